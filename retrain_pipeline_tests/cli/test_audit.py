"""`retrain audit` and `retrain retire` as a person runs them."""

import pytest

from retrain_pipeline.canonical import parse_json
from retrain_pipeline.cli import places
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.records.audit.conftest import DECISION


@pytest.fixture
def found(world, monkeypatch):
    """The world, its declaration where the command line looks."""
    monkeypatch.setattr(places, "DEFS", world.declaration.folder.parent)
    return world


@pytest.mark.requirement("A36")
def test_an_audit_fails_on_what_it_finds_and_is_on_record(retrain, found):
    result = retrain("audit", "toy", "--home", found.home)
    assert result.exit_code == 1, (result.output, result.exception)
    assert "| reviews | FAIL |" in result.stdout
    [file] = (found.declaration.folder / "decisions").glob("*.md")
    file.write_text(DECISION.format(id="tree-1", status="accepted", review_by="9999-01-01", more="", text="A corner."))
    result = retrain("audit", "toy", "--json", "--home", found.home)
    assert result.exit_code == 0, (result.output, result.exception)
    checks = {one["gate"]: one["verdict"] for one in parse_json(result.stdout)["checks"]}
    assert (checks["reviews"], checks["references"]) == ("PASS", "PASS")
    assert len(found.stores.ledger.entries(model="toy", action="recorded")) == 2


@pytest.mark.requirement("A37")
def test_a_version_is_retired_with_who_and_why(retrain, found):
    first, second, _ = versions(found)
    found.stores.ledger.append(NewEntry("test", "rejected", "toy", second, {"words": "no better"}, "run-7"))
    said = ("--why", "nobody asks for it any more", "--by", "team:toys", "--home", found.home)
    result = retrain("retire", "toy", first, *said)
    assert result.exit_code == 1
    assert "RetirementRefused" in result.stderr
    result = retrain("retire", "toy", second, *said, "--remove")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "bytes of its model are gone" in result.stdout
    entry = found.stores.ledger.latest("toy", "retired", second)
    assert entry.payload["tombstone"] in result.stdout
    assert entry.actor.startswith("person:")
    told = retrain("explain", "toy", second, "--home", found.home)
    assert "retired on" in told.stdout


def test_a_run_of_the_tests_is_entered_as_evidence(retrain, found, tmp_path):
    report = tmp_path / "tests.xml"
    report.write_text('<testsuites><testcase classname="a" name="b"/></testsuites>')
    result = retrain("tests", "toy", report, "--home", found.home)
    assert result.exit_code == 0, (result.output, result.exception)
    assert found.stores.ledger.latest("toy", "recorded").payload["kind"] == "test_run"
    result = retrain("tests", "toy", tmp_path / "none.xml", "--home", found.home)
    assert (result.exit_code, "FileNotFoundError" in result.stderr) == (1, True)


@pytest.mark.requirement("A27")
def test_the_index_and_the_newcomers_page_are_shown(retrain, found):
    for command, words, schema in (("annex", "| 5 |", "annex_iv/1"), ("newcomer", "# New to toy", "newcomer/1")):
        result = retrain(command, "toy", "--home", found.home)
        assert result.exit_code == 0, (result.output, result.exception)
        assert words in result.stdout
        assert parse_json(retrain(command, "toy", "--json", "--home", found.home).stdout)["schema"] == schema


@pytest.mark.requirement("D46")
def test_the_versions_of_a_row_are_shown_by_its_key(retrain, found):
    result = retrain("where", "toy", "--key", "id=t00010", "--home", found.home)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "1 rows with that key, in 3 versions" in result.stdout
    assert f"{versions(found)[0]} (serves): learned from 1, judged on 0" in result.stdout
    result = retrain("where", "toy", "--key", "shop=north", "--home", found.home)
    assert (result.exit_code, "KeyRefused" in result.stderr) == (1, True)
