"""Judgements taken again: from the record alone, and by gates and thresholds that were changed since."""

import os
from dataclasses import replace

import pytest

from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.gates.judge import judged_entry
from retrain_pipeline.gates.replay import contradictions, redecided, replay_judgements
from retrain_pipeline.gates.turning import turning
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import versions


def changed_declaration(world, old, new):
    path = world.declaration.folder / "defs.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return world.again().declaration.spec


def judged(world, version):
    entry = world.stores.ledger.latest("toy", "judged", version)
    return entry, read_evidence(world.stores.artifacts, entry.payload["evidence"])


@pytest.mark.requirement("D15")
def test_every_judgement_follows_from_its_evidence(world):
    for version in versions(world):
        assert contradictions(world.stores, *judged(world, version)) == []


@pytest.mark.requirement("D15")
def test_evidence_that_does_not_give_its_verdict_is_told(world):
    entry, evidence = judged(world, versions(world)[1])
    slow = tuple(
        one.model_copy(update={"statistic": 499.0}) if one.gate == "latency" else one for one in evidence.results
    )
    within = evidence.model_copy(update={"results": slow, "turning": turning(slow)})
    assert contradictions(world.stores, entry, within) == []  # measured times are no part of what is on record
    too_slow = tuple(one.model_copy(update={"statistic": 501.0}) if one.gate == "latency" else one for one in slow)
    words = " ".join(contradictions(world.stores, entry, evidence.model_copy(update={"results": too_slow})))
    assert "latency: FAIL by its own statistic" in words
    assert "the results give FAIL" in words


@pytest.mark.requirement("D15")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mode": "superiority"}, "its entry says something else"),
        ({"required": ("contract",)}, "the policy requires contract, disjoint"),
        ({"policy": "f" * 64}, "cannot be read"),
        ({"epoch": 0}, "its entry says something else"),
    ],
)
def test_a_record_that_was_turned_is_told(world, change, words):
    entry, evidence = judged(world, versions(world)[1])
    assert words in " ".join(contradictions(world.stores, entry, evidence.model_copy(update=change)))


@pytest.mark.requirement("D15", "D26")
def test_a_budget_that_the_record_does_not_give_is_told(world):
    entry, evidence = judged(world, versions(world)[2])
    richer = evidence.model_copy(update={"budget": evidence.budget.model_copy(update={"spent": 0.05})})
    said = judged_entry(richer, entry.payload["evidence"], entry.run_id, entry.actor)
    own = replace(entry, payload=dict(said.payload), key=said.key)
    [words] = contradictions(world.stores, own, richer)
    assert "another error budget" in words


@pytest.mark.requirement("D51")
def test_unchanged_gates_flip_nothing(world):
    before = world.stores.ledger.head()
    found = replay_judgements(world.stores, world.declaration.spec)
    assert [one.version for one in found] == versions(world)
    assert [(one.then, one.now, one.changed) for one in found] == [(Verdict.PASS, Verdict.PASS, ())] * 3
    assert {one.how for one in found} == {"the same policy, looked at again"}
    assert world.stores.ledger.head() == before


@pytest.mark.fault("G15")
@pytest.mark.requirement("D51")
def test_a_changed_threshold_is_seen_by_the_verdicts_that_it_flips(world):
    """A level that no version reaches; and one that only a look at the rows can tell: a margin."""
    spec = changed_declaration(world, "at_most: 5", "at_most: 0.1")
    first = replay_judgements(world.stores, spec)[0]
    assert first.flips
    assert [(one.gate, one.then, one.now) for one in first.changed] == [("success", Verdict.PASS, Verdict.FAIL)]
    spec = changed_declaration(world, "at_most: 0.1", "at_most: 5")
    spec = changed_declaration(world, "gates: {margin: 0.08", "gates: {min_rows: 400, margin: 0.08")
    last = replay_judgements(world.stores, spec)[-1]
    assert last.now is Verdict.INCONCLUSIVE
    assert "quality" in {one.gate for one in last.changed}


@pytest.mark.fault("G15")
def test_a_loosened_threshold_shows_the_candidate_that_it_would_let_through(world):
    spec = changed_declaration(world, "margin: 0.08, ", "margin: 0.08, max_size_mb: 0.0001, ")
    strict = world.again()
    evidence, _ = strict.judge(versions(world)[2])
    assert evidence.verdict is Verdict.FAIL
    assert all(one.now is Verdict.FAIL for one in replay_judgements(world.stores, spec))
    loose = changed_declaration(world, "max_size_mb: 0.0001", "max_size_mb: 100")
    flipped = [one for one in replay_judgements(world.stores, loose) if one.flips]
    assert [(one.version, one.then, one.now) for one in flipped] == [(versions(world)[2], Verdict.FAIL, Verdict.PASS)]
    assert [one.gate for one in flipped[0].changed] == ["size"]


@pytest.mark.fault("G19")
def test_rows_that_are_gone_leave_the_stored_results_to_todays_limits(world):
    version = versions(world)[1]
    os.unlink(world.stores.artifacts.path(read_manifest(world.stores, "toy", version).model_artifact))
    kept = {one.version: one for one in replay_judgements(world.stores, world.declaration.spec)}[version]
    assert (kept.now, kept.changed) == (Verdict.PASS, ())
    assert kept.how.startswith("from stored results")
    spec = changed_declaration(world, "latency_ms_p95: 500", "latency_ms_p95: 0.0001")
    now = {one.version: one for one in replay_judgements(world.stores, spec)}[version]
    assert now.flips
    assert [one.gate for one in now.changed] == ["latency"]


@pytest.mark.fault("G19")
def test_a_judgement_whose_evidence_is_gone_stands_for_nothing(world):
    version = versions(world)[1]
    entry, _ = judged(world, version)
    os.unlink(world.stores.artifacts.path(entry.payload["evidence"]))
    lost = {one.version: one for one in replay_judgements(world.stores, world.declaration.spec)}[version]
    assert lost.now is Verdict.INCONCLUSIVE
    assert "cannot be read" in lost.how


def test_only_declared_limits_are_decided_by_the_stored_statistic(world):
    _, evidence = judged(world, versions(world)[1])
    gates = world.declaration.spec.gates.model_copy(update={"max_size_mb": 1e-9})
    again = {one.gate: redecided(one, gates).verdict for one in evidence.results}
    assert {gate for gate, verdict in again.items() if verdict is not Verdict.PASS} == {"size"}
