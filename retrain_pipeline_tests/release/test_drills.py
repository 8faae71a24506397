"""The way back is rehearsed in a copy; what was not rehearsed stops a release."""

from pathlib import Path

import pytest

from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.release.drills import DRILL_FAILED, DRILLED, drill, is_due, rehearsed
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.release.state import current
from retrain_pipeline_tests.gates.world import versions


def due_every(world, periods: int):
    """Declare that a drill is due, and judge what is on record by that declaration."""
    path = world.declaration.folder / "defs.yaml"
    path.write_text(f"{path.read_text().rstrip()}\n  rollout: {{drill_periods: {periods}}}\n")
    return world.again()


@pytest.fixture
def twice(world):
    """The world after its second release."""
    second = versions(world)[1]
    world.release(second, newest_evidence(world.stores, "toy", second))
    return world


def monitored(world, as_of: str) -> None:
    world.stores.ledger.append(NewEntry("test", "monitored", "toy", as_of, {"as_of": as_of}))


@pytest.mark.requirement("C19", "D28")
def test_the_earlier_champion_comes_back_in_a_copy_and_production_stays_as_it_is(twice):
    before, seq = current(twice.stores.ledger, "toy"), twice.stores.ledger.head().seq
    report = drill(twice.stores, twice.declaration.spec, actor="test")
    assert report.verdict == "PASS", report.words
    assert (report.champion, report.target) == tuple(versions(twice)[1::-1])
    assert 0 < report.seconds < 1
    assert report.golden_rows > 0
    assert current(twice.stores.ledger, "toy") == before
    (entry,) = twice.stores.ledger.entries(after_seq=seq)
    assert (entry.action, entry.payload["verdict"]) == (DRILLED, "PASS")


def test_a_first_champion_has_nothing_to_rehearse(world):
    assert drill(world.stores, world.declaration.spec, actor="test").verdict == "INCONCLUSIVE"
    assert world.stores.ledger.latest("toy", DRILLED) is None
    assert rehearsed(world.stores.ledger, world.declaration.spec).verdict == "PASS"


@pytest.mark.fault("G23", "P14")
def test_a_drill_that_fails_stops_the_next_release_until_one_succeeds(twice):
    """The bytes of the earlier champion are gone: nobody noticed, until the drill."""
    first, _, third = versions(twice)
    lost = Path(twice.stores.artifacts.path(read_manifest(twice.stores, "toy", first).model_artifact))
    kept = lost.read_bytes()
    lost.unlink()
    assert drill(twice.stores, twice.declaration.spec, actor="test").verdict == "FAIL"
    assert twice.stores.ledger.latest("toy", DRILL_FAILED).payload["target"] == first
    _, evidence = twice.judge(third, run_id="run-again")
    with pytest.raises(ReleaseRefused, match="newest drill did not succeed"):
        twice.release(third, evidence)
    lost.write_bytes(kept)
    assert drill(twice.stores, twice.declaration.spec, actor="test").verdict == "PASS"
    twice.release(third, evidence)
    assert current(twice.stores.ledger, "toy")[1].champion == third


@pytest.mark.fault("G23")
def test_an_overdue_drill_stops_a_release_and_is_asked_for(twice):
    world = due_every(twice, 2)
    third = versions(world)[2]
    _, evidence = world.judge(third, run_id="run-again")
    assert is_due(world.stores.ledger, world.declaration.spec)
    with pytest.raises(ReleaseRefused, match="never rehearsed"):
        world.release(third, evidence)
    monitored(world, "2024-02-19T00:00:00+00:00")
    drill(world.stores, world.declaration.spec, actor="test")
    assert not is_due(world.stores.ledger, world.declaration.spec)
    monitored(world, "2024-03-11T00:00:00+00:00")
    assert is_due(world.stores.ledger, world.declaration.spec)
    with pytest.raises(ReleaseRefused, match="rehearsed 3 periods ago"):
        world.release(third, evidence)
    drill(world.stores, world.declaration.spec, actor="test")
    world.release(third, evidence)
    assert current(world.stores.ledger, "toy")[1].champion == third


def test_answers_that_are_not_what_they_were_fail_a_drill(twice, monkeypatch):
    """The copy answers otherwise than production: what a drill is for."""
    from retrain_pipeline.release import drills

    whole = drills._answers

    def shifted(stores, spec, version, rows):
        told = whole(stores, spec, version, rows)
        return told if stores is twice.stores else told.assign(prediction=told["prediction"] + 1)

    monkeypatch.setattr(drills, "_answers", shifted)
    report = drill(twice.stores, twice.declaration.spec, actor="test")
    assert (report.verdict, "are not what they were" in report.words) == ("FAIL", True)
