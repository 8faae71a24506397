"""`retrain explain` with accounts, moments and JSON; `retrain log` with search and export."""

import pytest

from retrain_pipeline.canonical import parse_json
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline_tests.gates.world import versions


@pytest.mark.requirement("A8", "A32")
def test_explain_answers_in_words_with_places(retrain, two_champions):
    world, _, second = two_champions
    result = retrain("explain", "toy", second, "--home", world.home)
    assert result.exit_code == 0, (result.output, result.exception)
    for word in ("what changed", "who decided", "how it came out", "the problem: How much a toy weighs", "[entry "):
        assert word in result.stdout, result.stdout
    result = retrain("explain", "toy", second, "--json", "--home", world.home)
    found = parse_json(result.stdout)
    assert (found["schema"], found["about"]) == ("account/1", second)
    assert found["on what evidence"][0]["places"][0]["pointer"] == "/verdict"


@pytest.mark.requirement("A22")
def test_explain_says_what_was_believed(retrain, world):
    first = versions(world)[0]
    result = retrain("explain", "toy", "--as-of", "9999-01-01", "--home", world.home)
    assert result.exit_code == 0, (result.output, result.exception)
    assert f"{first}: champion since" in result.stdout
    result = retrain("explain", "toy", "--as-of", "2000-01-01", "--home", world.home)
    assert (result.exit_code, "knew nothing" in result.stderr) == (1, True)
    result = retrain("explain", "toy", "--home", world.home)
    assert (result.exit_code, "give a version" in result.stderr) == (1, True)


@pytest.mark.requirement("A22")
@pytest.mark.fault("I34", "S11")
def test_the_log_is_searched_and_exported(retrain, world, tmp_path):
    text = "=cmd|calc\n\x1b[31mreleased"
    world.stores.ledger.append(NewEntry("person:ann", "halted", "toy", payload={"because": text}))
    result = retrain("log", "toy", "--grep", "CALC", "--home", world.home)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "halted" in result.stdout
    assert "judged" not in result.stdout
    assert "\x1b" not in result.stdout
    for form, start in (("csv", "'=cmd"), ("jsonl", "=cmd")):
        file = tmp_path / f"log.{form}"
        result = retrain("log", "toy", "--grep", "calc", "--export", file, "--home", world.home)
        assert result.exit_code == 0, (result.output, result.exception)
        assert start in file.read_text()
        assert "\x1b" not in file.read_text()
    result = retrain("log", "toy", "--export", tmp_path / "log.html", "--home", world.home)
    assert (result.exit_code, "ExportRefused" in result.stderr) == (1, True)
