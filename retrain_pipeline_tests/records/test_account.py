"""A version accounts for itself with links that hold, and the past is told as it was."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from retrain_pipeline.canonical import canonical_json
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.records.account import account
from retrain_pipeline.records.belief import MomentRefused, as_of, believed, moment
from retrain_pipeline.records.decisions import register_decisions
from retrain_pipeline.records.history import UnknownVersion
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.records.audit.conftest import DECISION

SECTIONS = ["what changed", "why", "who decided", "on what evidence", "how it came out", "back to the problem"]


def words(found, section: str) -> str:
    return "\n".join(one.words for one in found.sections[section])


def at(document, pointer: str):
    for part in pointer.split("/")[1:]:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


@pytest.mark.requirement("A8", "A32", "D15")
def test_a_version_accounts_for_itself_back_to_the_problem(world):
    first, second, _ = versions(world)
    (world.declaration.folder / "decisions" / "0002-corner.md").write_text(
        DECISION.format(id="corner", status="accepted", review_by="2030-01-01", more="", text="A corner.")
    )
    register_decisions(world.stores, world.declaration, "test")
    _, digest = world.judge(second)
    world.stores.ledger.append(NewEntry("person:ann", "approved", "toy", second, {"because": "it follows the corner"}))
    assert world.release(second, digest).released
    rollback(world.stores, "toy", because="it was far off everywhere", actor="person:bob")
    found = account(world.stores, "toy", second)
    assert list(found.sections) == SECTIONS
    assert "rows from" in words(found, "what changed")
    assert "scheduled retrain as of 2024-02-19" in words(found, "why")
    assert "person:ann approved: it follows the corner" in words(found, "who decided")
    assert "decisions/0002-corner.md: A tree (team:toys)" in words(found, "who decided")
    assert "quality PASS" in words(found, "on what evidence")
    assert "same verdict: PASS" in words(found, "on what evidence")
    assert "taken back: back to" in words(found, "how it came out")
    assert "it was far off everywhere" in words(found, "how it came out")
    told = words(found, "back to the problem").splitlines()
    assert told[0].startswith(f"{second}, after {first}, with 0002-corner.md")
    assert told[-1] == f"the problem: {world.declaration.spec.problem.statement}"


def test_every_link_of_an_account_holds(world):
    first, second, third = versions(world)
    world.release(second, newest_evidence(world.stores, "toy", second))
    entries = {one.seq: one for one in world.stores.ledger.entries(model="toy")}
    looked = 0
    for version in (first, second, third):
        for lines in account(world.stores, "toy", version).sections.values():
            for line in lines:
                for place in line.places:
                    looked += 1
                    assert place.seq is None or place.seq in entries
                    if place.digest is None:
                        continue
                    stored = world.stores.artifacts.get(place.digest)
                    if place.pointer:
                        value = at(world.stores.artifacts.get_json(place.digest), place.pointer)
                        if isinstance(value, dict):
                            assert line.words == f"{value['gate']} {value['verdict']}: {value['words']}"
                    assert stored
    assert looked > 60


def test_a_rule_is_named_where_no_person_was_asked(world):
    found = account(world.stores, "toy", versions(world)[1])
    assert "no person was asked" in words(found, "who decided")
    unjudged = world.build(6, parent=versions(world)[0])
    found = account(world.stores, "toy", unjudged)
    assert words(found, "who decided") == "nobody: it was never judged"
    assert "the same data" in words(found, "what changed")
    assert "cannot be followed" in words(found, "back to the problem")
    with pytest.raises(UnknownVersion):
        account(world.stores, "toy", "20200101-00000000")


def test_a_manifest_that_is_gone_hides_nothing_else(world):
    version = versions(world)[1]
    os.unlink(world.stores.artifacts.path(world.stores.ledger.latest("toy", "judged", version).payload["evidence"]))
    assert "cannot be read" in words(account(world.stores, "toy", version), "on what evidence")
    entry = world.stores.ledger.latest("toy", "candidate_registered", version)
    os.unlink(world.stores.artifacts.path(entry.payload["manifest"]))
    found = account(world.stores, "toy", version)
    assert words(found, "what changed").startswith("not known: ")
    assert "never released" in words(found, "how it came out")


def test_what_changed_in_the_declaration_is_told_field_by_field(world):
    file = world.declaration.folder / "defs.yaml"
    file.write_text(file.read_text().replace("window_periods: 8", "window_periods: 6"))
    features = world.declaration.folder / "features.py"
    features.write_text(features.read_text() + "\n# another word\n")
    again = world.again()
    version = again.build(8, parent=versions(world)[0])
    told = words(account(world.stores, "toy", version), "what changed")
    assert "declared training.window_periods: 8 → 6" in told
    assert "feature code: " in told
    assert canonical_json(account(world.stores, "toy", version).to_json())


@pytest.mark.requirement("A22", "A37")
def test_what_was_believed_then_is_told_as_it_was(world):
    first, second, _ = versions(world)
    before = datetime.now(UTC)
    while datetime.now(UTC) == before:
        pass
    world.release(second, newest_evidence(world.stores, "toy", second))
    then, now = believed(world.stores, "toy", before), believed(world.stores, "toy", datetime.now(UTC))
    assert words(then, "who served").startswith(f"{first}: champion since")
    assert words(now, "who served").startswith(f"{second}: champion since")
    assert "promised mae" in words(then, "who served")
    assert words(then, "what held") == "no decision was on record"
    # the same moment is told the same later
    register_decisions(world.stores, world.declaration, "test")
    assert believed(world.stores, "toy", before) == then
    assert account(as_of(world.stores, "toy", before), "toy", second).sections["how it came out"][0].words == (
        "never released: it serves nobody"
    )


def test_before_the_first_entry_nothing_was_believed(world):
    with pytest.raises(UnknownVersion, match="first entry"):
        believed(world.stores, "toy", datetime(2000, 1, 1, tzinfo=UTC))
    with pytest.raises(UnknownVersion):
        believed(world.stores, "other", datetime.now(UTC) + timedelta(days=1))


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", ""])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(MomentRefused):
        moment(text)
