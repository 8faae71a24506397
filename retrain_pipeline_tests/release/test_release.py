"""Who becomes champion: only a whole PASS, on this version, by this policy, in this state of the world, once."""

import json
import os
import signal
import time
from dataclasses import replace

import pytest

import retrain_pipeline.release.release as module
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.gates.judge import judged_entry
from retrain_pipeline.gates.required import GATES
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.release import close_failed, newest_evidence, reject
from retrain_pipeline.release.state import Deployment, current
from retrain_pipeline_tests.gates.world import template, versions

RELEASE = """
import sys, time
from pathlib import Path
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.release import newest_evidence, release
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline.stores import open_stores
import retrain_pipeline.learning.versions

home, url, folder, version, ready, go = sys.argv[1:]
stores, declaration = open_stores(home, ledger_url=url or None), read_declaration(Path(folder))
digest = newest_evidence(stores, "toy", version)
Path(ready).touch()
while not Path(go).exists():
    time.sleep(0.002)
try:
    release(stores, declaration, version, evidence_digest=digest, run_id=f"run-{version}", actor="test")
    print("won")
except ReleaseRefused as refusal:
    print("lost", refusal)
"""


def wait_for(*paths):
    deadline = time.monotonic() + 60
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline, paths
        time.sleep(0.005)


def forge(world, version, enter=True, **changes):
    """Store evidence that was edited by hand; with `enter` also a judged entry that names it."""
    document = read_evidence(world.stores.artifacts, newest_evidence(world.stores, "toy", version)).document()
    digest = world.stores.artifacts.put_json({**document, **changes})
    if enter:
        world.stores.ledger.append(judged_entry(read_evidence(world.stores.artifacts, digest), digest, None, "mallory"))
    return digest


@pytest.mark.requirement("D21", "A32")
def test_a_pass_becomes_champion_in_one_entry_that_says_why(world):
    first, second, _ = versions(world)
    digest = newest_evidence(world.stores, "toy", second)
    outcome = world.release(second, digest)
    assert outcome.released
    assert (outcome.epoch, outcome.deployment.champion, outcome.deployment.previous) == (2, second, first)
    entry = world.stores.ledger.latest("toy", "released")
    assert entry.payload["evidence"] == digest
    assert entry.payload["trigger"]["id"] == "week-7"
    assert entry.payload["mode"] == "non_inferiority"
    assert entry.payload["validated_loss"]["n"] == 336
    assert entry.payload["previous"] == first
    for name in ("manifest", "evidence", "previous_manifest"):
        assert world.stores.artifacts.get(getattr(outcome.deployment, name))
    assert world.stores.ledger.verify().verdict == "PASS"


@pytest.mark.fault("P26")
def test_releasing_again_changes_nothing_and_says_so(world):
    second = versions(world)[1]
    digest = newest_evidence(world.stores, "toy", second)
    first_time = world.release(second, digest)
    head = world.stores.ledger.head()
    again = world.release(second, digest, run_id="another")
    assert not again.released
    assert "already" in again.words
    assert again.deployment == first_time.deployment
    assert world.stores.ledger.head() == head


def refused(world, version, digest, words):
    before = world.stores.ledger.deployment("toy")
    with pytest.raises(ReleaseRefused, match=words) as caught:
        world.release(version, digest)
    assert world.stores.ledger.deployment("toy") == before
    return str(caught.value)


@pytest.mark.fault("G19")
@pytest.mark.requirement("D6")
@pytest.mark.parametrize("gate", GATES)
def test_without_the_result_of_any_one_gate_nothing_is_released(world, gate):
    version = versions(world)[1]
    document = read_evidence(world.stores.artifacts, newest_evidence(world.stores, "toy", version)).document()
    rest = [one for one in document["results"] if one["gate"] != gate]
    refused(world, version, forge(world, version, results=rest), f"no result of gate {gate}")


@pytest.mark.requirement("D6")
@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE"])
def test_any_gate_that_did_not_pass_stops_the_release(world, verdict):
    version = versions(world)[1]
    document = read_evidence(world.stores.artifacts, newest_evidence(world.stores, "toy", version)).document()
    for at in range(len(GATES)):
        results = [one | ({"verdict": verdict} if place == at else {}) for place, one in enumerate(document["results"])]
        words = refused(world, version, forge(world, version, results=results, verdict=verdict), "the verdict is")
        assert GATES[at] in words


@pytest.mark.dagster_fact("K2", "K9")
@pytest.mark.requirement("D6")
def test_a_verdict_that_no_judge_put_on_record_releases_nothing(world):
    """A forged check promotes nothing: neither a made-up digest nor a made-up evidence file is a judgement."""
    version = versions(world)[1]
    refused(world, version, "f" * 64, "judge the version again")
    refused(
        world, version, forge(world, version, enter=False, as_of="2030-01-01T00:00:00+00:00"), "no judgement on record"
    )


@pytest.mark.fault("G19")
@pytest.mark.parametrize("change", [{"payload": {"gates": {}}}, {"key": None}, {"epoch": 0}])
def test_evidence_that_an_entry_of_another_judgement_names_releases_nothing(world, change):
    """The evidence is whole, and an entry names it, but not the entry that its judge would have written."""
    version = versions(world)[1]
    digest = forge(world, version, enter=False, as_of="2030-01-01T00:00:00+00:00")
    said = judged_entry(read_evidence(world.stores.artifacts, digest), digest, None, "mallory")
    payload = {**said.payload, **change.pop("payload", {})}
    world.stores.ledger.append(replace(said, payload=payload, **change))
    refused(world, version, digest, "its entry says something else")


@pytest.mark.dagster_fact("K9")
def test_release_alone_without_verdict_is_refused(world):
    unjudged = world.build(6, parent=versions(world)[0])
    with pytest.raises(ReleaseRefused, match="never judged"):
        newest_evidence(world.stores, "toy", unjudged)
    other = newest_evidence(world.stores, "toy", versions(world)[1])
    refused(world, unjudged, other, "the evidence is of toy")


@pytest.mark.fault("G4", "P20")
def test_evidence_of_another_manifest_is_refused(world):
    version = versions(world)[1]
    refused(world, version, forge(world, version, manifest="b" * 64), "not of the registered one")


@pytest.mark.fault("P11")
@pytest.mark.requirement("B35")
def test_damaged_evidence_is_refused(world):
    version = versions(world)[1]
    digest = newest_evidence(world.stores, "toy", version)
    with open(world.stores.artifacts.path(digest), "r+b") as file:
        file.write(b"{}")
    refused(world, version, digest, "cannot be read")


def edit(world, old, new, file="defs.yaml"):
    path = world.declaration.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return world.again()


@pytest.mark.fault("P25", "G15")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("margin: 0.08", "margin: 0.5"),
        ("at_most: 5", "at_most: 50"),
        ("gates:", "rollout: {holdback_share: 0.1}\n  gates:"),
    ],
)
def test_a_policy_that_was_edited_after_the_judgement_is_refused(world, old, new):
    version = versions(world)[1]
    digest = newest_evidence(world.stores, "toy", version)
    assert "judge it again" in refused(edit(world, old, new), version, digest, "judged under policy")


@pytest.mark.fault("P19")
def test_other_code_than_that_which_judged_is_refused(world):
    version = versions(world)[1]
    digest = newest_evidence(world.stores, "toy", version)
    code = {"commit": "c" * 40, "dirty": False, "diff_digest": None}
    refused(world, version, forge(world, version, code=code), "judged by code cccc")
    refused(edit(world, '"a", "b"', '"b", "a"', "features.py"), version, digest, "the folder now holds")


def test_required_approval_stops_every_release_until_there_are_approvals(world):
    version = versions(world)[1]
    asked = edit(world, "gates:", "rollout: {approval: required}\n  gates:")
    evidence, digest = asked.judge(version)
    assert evidence.verdict == "PASS"
    refused(asked, version, digest, "approval is required")


@pytest.mark.fault("P2", "P20")
def test_a_version_whose_bytes_are_gone_is_not_released(world):
    from retrain_pipeline.learning.versions import read_manifest

    version = versions(world)[1]
    os.unlink(world.stores.artifacts.path(read_manifest(world.stores, "toy", version).model_artifact))
    refused(world, version, newest_evidence(world.stores, "toy", version), "does not load")


@pytest.mark.fault("P12", "P22")
@pytest.mark.fault("P3")
def test_a_run_that_was_closed_as_dead_releases_nothing_though_nobody_released_since(world):
    _, second, _ = versions(world)
    digest = world.judge(second)[1]
    close_failed(world.stores, "toy", "orphan", "the run died without a verdict", actor="reconciler")
    before = world.stores.ledger.deployment("toy")
    with pytest.raises(ReleaseRefused, match="run orphan was closed as failed"):
        world.release(second, digest, run_id="orphan")
    assert world.stores.ledger.deployment("toy") == before
    assert world.release(second, digest, run_id="another").released


def test_a_release_judged_on_an_older_deployment_is_refused_and_recorded_as_superseded(world):
    _, second, third = versions(world)
    world.release(second, newest_evidence(world.stores, "toy", second))
    words = refused(world, third, newest_evidence(world.stores, "toy", third), "epoch 1")
    assert "epoch 2" in words
    assert second in words
    [entry] = world.stores.ledger.entries(action="superseded")
    assert (entry.subject, entry.payload["judged_epoch"], entry.payload["found_epoch"]) == (third, 1, 2)
    assert world.judge(third)[0].champion == second


@pytest.mark.fault("P12", "P3")
def test_a_release_that_is_overtaken_just_before_its_commit_is_superseded(world, monkeypatch):
    """Everything was checked; then another release is committed; the compare-and-swap refuses ours."""
    _, second, third = versions(world)
    load = module.loadable

    def overtaken(*arguments):
        manifest = load(*arguments)
        monkeypatch.setattr(module, "loadable", load)
        world.release(third, newest_evidence(world.stores, "toy", third), run_id="other")
        return manifest

    monkeypatch.setattr(module, "loadable", overtaken)
    with pytest.raises(ReleaseRefused, match=f"epoch 2 with {third}"):
        world.release(second, newest_evidence(world.stores, "toy", second))
    assert current(world.stores.ledger, "toy")[1].champion == third
    [superseded] = world.stores.ledger.entries(action="superseded")
    assert superseded.subject == second


@pytest.mark.fault("P12")
def test_of_two_processes_that_race_one_wins_and_the_other_is_told(tmp_path, ledger_url, python):
    world = template().copy(tmp_path, ledger_url)
    _, second, third = versions(world)
    go = tmp_path / "go"
    started = []
    for version in (second, third):
        ready = tmp_path / version
        started.append((python(RELEASE, world.home, ledger_url, world.declaration.folder, version, ready, go), ready))
    wait_for(*(ready for _, ready in started))
    go.touch()
    said = [process.communicate(timeout=120) for process, _ in started]
    outcomes = [out.split()[0] for out, err in said if out or pytest.fail(err)]
    assert sorted(outcomes) == ["lost", "won"], said
    winner = (second, third)[outcomes.index("won")]
    epoch, deployment = current(world.stores.ledger, "toy")
    assert (epoch, deployment.champion) == (2, winner)
    [superseded] = world.stores.ledger.entries(action="superseded")
    assert superseded.subject != winner
    assert superseded.payload["champion"] == winner
    assert len(world.stores.ledger.entries(action="released")) == 2
    world.stores.close()


@pytest.mark.fault("P3", "P22", "P13")
@pytest.mark.dagster_fact("K3")
def test_an_orphan_that_was_stopped_and_goes_on_is_refused(world, tmp_path, python):
    """A release is frozen just before its commit; meanwhile another one is made; the frozen one must not win."""
    _, second, third = versions(world)
    ready, go = tmp_path / "ready", tmp_path / "go"
    orphan = python(RELEASE, world.home, "", world.declaration.folder, second, ready, go)
    wait_for(ready)
    os.kill(orphan.pid, signal.SIGSTOP)
    world.release(third, newest_evidence(world.stores, "toy", third))
    go.touch()
    os.kill(orphan.pid, signal.SIGCONT)
    out, err = orphan.communicate(timeout=120)
    assert out.startswith("lost"), (out, err)
    assert current(world.stores.ledger, "toy")[1].champion == third


def test_a_rejected_candidate_has_a_terminal_entry_with_the_gates_that_stopped_it(world):
    twin = world.build(6, parent=versions(world)[0])
    evidence, digest = world.judge(twin, "superiority", run_id="run-twin")
    assert evidence.verdict == "INCONCLUSIVE"

    def say():
        return reject(world.stores, world.declaration, twin, evidence_digest=digest, run_id="run-twin", actor="test")

    entry = say()
    assert (entry.action, entry.subject, entry.run_id) == ("rejected", twin, "run-twin")
    assert entry.payload["inconclusive"] == ["quality"]
    assert "quality INCONCLUSIVE" in entry.payload["words"]
    assert say() == entry
    refused(world, twin, digest, "the verdict is INCONCLUSIVE")


def test_what_passes_cannot_be_rejected_and_nothing_can_be_for_another(world):
    _, second, third = versions(world)
    for version, words in ((second, "passes"), (third, "is of toy")):
        with pytest.raises(ReleaseRefused, match=words):
            reject(
                world.stores, world.declaration, version, run_id=None, actor="test",
                evidence_digest=newest_evidence(world.stores, "toy", second),
            )  # fmt: skip
    with pytest.raises(ReleaseRefused, match="judge the version again"):
        reject(world.stores, world.declaration, second, evidence_digest="0" * 64, run_id=None, actor="test")


@pytest.mark.fault("P27")
def test_a_retrain_that_died_is_closed_once(world):
    entry = close_failed(world.stores, "toy", "run-x", "out of memory", actor="test")
    assert (entry.action, entry.payload["reason"]) == ("retrain_failed", "out of memory")
    assert close_failed(world.stores, "toy", "run-x", "out of memory", actor="test") is None


def test_a_deployment_of_a_newer_release_is_named_not_guessed(world):
    state = world.stores.ledger.deployment("toy").state
    assert Deployment.from_state(state).to_state() == state
    with pytest.raises(ReleaseRefused, match="newer"):
        Deployment.from_state(state | {"canary": 0.05})
    assert json.dumps(state)
