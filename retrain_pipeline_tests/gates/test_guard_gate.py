"""The guard gate reads what somebody found of collection and behaviour; without it nothing passes where it is asked."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from retrain_pipeline.gates.beyond import guard_now
from retrain_pipeline.gates.guard import GuardEvidence, canaries, collection_of, store_guard
from retrain_pipeline.gates.replay import contradictions
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import START, versions

pytestmark = pytest.mark.requirement("D6")
PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.fixture
def update(world):
    """The world, and the manifest of an update whose collection somebody should have looked at."""
    return world, read_manifest(world.stores, "toy", versions(world)[1])


def evidence_for(world, update, /, **changes) -> GuardEvidence:
    entry = world.stores.ledger.latest("toy", "candidate_registered", update.version)
    known = {
        "model": "toy",
        "version": update.version,
        "manifest": entry.payload["manifest"],
        "champion": versions(world)[0],
        "collection": collection_of(world.stores.artifacts, update),
        "baseline_from": START + timedelta(weeks=1),
        "baseline_until": START + timedelta(weeks=3),
        "verdict": PASS,
        "words": "three streams are within their baselines",
    }
    return GuardEvidence(**{**known, **changes})


def entered(world, manifest, /, **changes):
    return store_guard(
        world.stores.ledger, world.stores.artifacts, evidence_for(world, manifest, **changes), actor="guard"
    )


def asked(world, manifest):
    return guard_now(world.stores, manifest, versions(world)[0])


@pytest.mark.fault("G19")
def test_without_evidence_the_gate_says_what_is_missing(update):
    world, manifest = update
    told = asked(world, manifest)
    assert told.verdict is INCONCLUSIVE
    assert f"no entry `guarded` of {manifest.version} is on record" in told.words
    entered(world, manifest, version="20300101-00000000")
    assert "(the newest is of 20300101-00000000)" in asked(world, manifest).words


@pytest.mark.parametrize("verdict", [PASS, FAIL, INCONCLUSIVE])
def test_what_was_found_is_the_verdict_and_the_newest_counts(update, verdict):
    world, manifest = update
    assert collection_of(world.stores.artifacts, manifest) == world.declaration.spec.collection_digest
    entered(world, manifest, verdict=PASS if verdict is FAIL else FAIL)
    entry = entered(world, manifest, verdict=verdict, words="looked again")
    told = asked(world, manifest)
    assert (told.verdict, f"entry {entry.seq}" in told.words) == (verdict, True)


@pytest.mark.fault("G4", "G19")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"manifest": "a" * 64}, "of another manifest"),
        ({"champion": "20230101-00000000"}, "of another champion: 20230101-00000000"),
        ({"champion": None}, "of another champion: None"),
        ({"collection": "a" * 64}, "of another collection"),
        ({"model": "other"}, "of another model"),
    ],
)
def test_evidence_of_something_else_or_of_before_is_stale(update, changes, words):
    world, manifest = update
    found = evidence_for(world, manifest, **changes)
    digest = world.stores.artifacts.put_json(found.model_dump(mode="json", by_alias=True))
    payload = {"evidence": digest, "verdict": "PASS"}
    world.stores.ledger.append(NewEntry("guard", "guarded", "toy", manifest.version, payload))
    told = asked(world, manifest)
    assert told.verdict is INCONCLUSIVE
    assert words in told.words


@pytest.mark.fault("P11")
def test_evidence_that_is_gone_or_whose_entry_says_otherwise_is_refused(update):
    world, manifest = update
    entry = entered(world, manifest, verdict=FAIL)
    forged = {**entry.payload, "verdict": "PASS"}
    world.stores.ledger.append(NewEntry("mallory", "guarded", "toy", manifest.version, forged))
    assert "of another verdict: FAIL" in asked(world, manifest).words
    entry = entered(world, manifest)
    file = Path(world.stores.artifacts.path(entry.payload["evidence"]))
    file.chmod(0o600)
    file.unlink()
    told = asked(world, manifest)
    assert (told.verdict, "cannot be read" in told.words) == (INCONCLUSIVE, True)


@pytest.mark.fault("G17")
@pytest.mark.requirement("C14")
def test_a_baseline_that_reaches_into_the_rollout_is_refused(update):
    world, manifest = update
    begin = datetime.fromisoformat(manifest.as_of)
    entered(world, manifest, baseline_until=begin)
    assert asked(world, manifest).verdict is PASS
    entered(world, manifest, baseline_until=begin + timedelta(seconds=1))
    told = asked(world, manifest)
    assert told.verdict is INCONCLUSIVE
    assert "its baseline lasts until" in told.words


def canary(world, version, week, share=0.25):
    """Let a version serve a share from a week on, as the release would enter it."""
    ledger = world.stores.ledger
    row = ledger.deployment("toy")
    at = (START + timedelta(weeks=week)).isoformat()
    challenger = {"version": version, "share": share, "stage_from": at} if version else None
    entry = NewEntry("test", "staged" if version else "withdrawn", "toy", version or "gone")
    ledger.change_deployment("toy", row.epoch, {**row.state, "challenger": challenger}, entry)


def looked(world, version, week):
    payload = {"stage": "canary", "as_of": (START + timedelta(weeks=week)).isoformat()}
    world.stores.ledger.append(NewEntry("test", "rollout_looked", "toy", version, payload))


@pytest.mark.fault("G17")
@pytest.mark.requirement("C14")
@pytest.mark.parametrize(
    ("serves", "ended", "overlaps"), [(2, 4, True), (0, 2, True), (3, 4, False), (0, 1, False), (2, None, True)]
)
def test_a_baseline_that_overlaps_a_canary_is_refused(update, serves, ended, overlaps):
    """The baseline is weeks 1 and 2; another version served a share from one week until another, or still does."""
    world, manifest = update
    entered(world, manifest)
    canary(world, "other", serves, share=0.0)
    assert canaries(world.stores.ledger.entries(model="toy")) == [], "a shadow serves nobody"
    canary(world, "other", serves)
    if ended is not None:
        looked(world, "other", ended)
        canary(world, None, ended)
    told = asked(world, manifest)
    assert told.verdict is (INCONCLUSIVE if overlaps else PASS)
    assert ("a canary of other served" in told.words) is overlaps


@pytest.mark.fault("G19", "G17")
def test_where_it_is_declared_nothing_is_released_without_a_pass_that_still_holds(update):
    world, manifest = update
    path = world.declaration.folder / "defs.yaml"
    path.write_text(path.read_text().replace("gates: {", "gates: {guard: required, refits: 0, "))
    world, version = world.again(), manifest.version
    evidence, digest = world.judge(version)
    assert [one.gate for one in evidence.results if one.verdict is not PASS] == ["guard"]
    with pytest.raises(ReleaseRefused, match=r"guard INCONCLUSIVE: gates.guard is required"):
        world.release(version, digest)
    entered(world, manifest)
    evidence, digest = world.judge(version)
    assert evidence.verdict is PASS
    entry = world.stores.ledger.latest("toy", "judged", version)
    assert contradictions(world.stores, entry, evidence) == []
    other = evidence.result("guard").model_copy(update={"words": "another"})
    results = tuple(other if one.gate == "guard" else one for one in evidence.results)
    forged = evidence.model_copy(update={"results": results})
    assert "the record gives PASS of guard" in "; ".join(contradictions(world.stores, entry, forged))
    entered(world, manifest, verdict=FAIL, words="half as many events arrive")
    with pytest.raises(ReleaseRefused, match=r"guard is FAIL now: .*half as many events arrive"):
        world.release(version, digest)
    entered(world, manifest, words="the missing half was a lost file")
    assert world.release(version, digest).released
