"""A retired version serves no more, and a tombstone stands for it; what serves or may again is never retired."""

import pytest

from retrain_pipeline.artifacts import ArtifactMissing
from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.learning.errors import VersionNotLoadable, VersionRetired
from retrain_pipeline.learning.versions import load_version, read_manifest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.records.audit.references import look_up
from retrain_pipeline.records.card import write_card
from retrain_pipeline.records.history import explain, history
from retrain_pipeline.records.kinds.tombstone import Tombstone
from retrain_pipeline.records.retirement import (
    RetirementRefused,
    due_for_retirement,
    kept_versions,
    retire,
    tombstones,
)
from retrain_pipeline.release.errors import ReleaseRefused, RollbackRefused
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import versions

WHY = "it was rejected and nobody asks for it"


@pytest.fixture
def rejected(world) -> str:
    """The second version, rejected."""
    version = versions(world)[1]
    world.stores.ledger.append(NewEntry("test", "rejected", "toy", version, {"words": "it was no better"}, "run-7"))
    return version


def bury(world, version, **more):
    return retire(world.stores, "toy", version, **{"why": WHY, "by": "team:toys", "actor": "person:ann", **more})


@pytest.mark.requirement("A36", "A37")
def test_a_retired_version_leaves_a_tombstone_and_all_but_its_bytes(world, rejected):
    manifest = read_manifest(world.stores, "toy", rejected)
    done = bury(world, rejected, remove=True)
    assert done.removed
    stone = done.tombstone.read(Tombstone)
    assert (stone.subject, stone.why, stone.decided_by, stone.served) == (rejected, WHY, "team:toys", "nobody")
    assert done.entry.actor == "person:ann"
    with pytest.raises(ArtifactMissing):
        world.stores.artifacts.get(manifest.model_artifact)
    assert world.stores.artifacts.get(stone.manifest)
    assert world.stores.artifacts.get(stone.evidence)
    assert read_manifest(world.stores, "toy", rejected) == manifest
    assert [event.words for event in history(world.stores, "toy") if event.action == "retired"] == [WHY]
    assert world.stores.ledger.verify().verdict is Verdict.PASS


@pytest.mark.requirement("A36")
@pytest.mark.parametrize("remove", [True, False])
def test_reading_a_retired_version_points_at_the_tombstone(world, rejected, remove):
    done = bury(world, rejected, remove=remove)
    with pytest.raises(VersionRetired, match=done.tombstone.digest) as refusal:
        load_version(world.stores, "toy", rejected)
    assert isinstance(refusal.value, VersionNotLoadable)
    assert WHY in str(refusal.value)
    with pytest.raises(ReleaseRefused, match="retired"):
        world.release(rejected, newest_evidence(world.stores, "toy", rejected))


@pytest.mark.requirement("A37")
@pytest.mark.fault("G27")
def test_the_card_of_a_retired_version_says_so(world, rejected):
    before = write_card(world.stores, world.declaration, rejected)
    done = bury(world, rejected)
    after = write_card(world.stores, world.declaration, rejected)
    assert before.markdown != after.markdown
    assert done.tombstone.digest in world.stores.artifacts.get(after.markdown).decode()
    assert explain(world.stores, "toy", rejected).serves.startswith("retired on ")


def test_a_tombstone_is_no_dead_reference(world, rejected):
    assert look_up(world.stores, "toy", []).buried == ()
    bury(world, rejected, remove=True)
    looked = look_up(world.stores, "toy", [])
    assert (looked.dead, looked.buried) == ((), (rejected,))
    other = read_manifest(world.stores, "toy", versions(world)[2]).model_artifact
    world.stores.artifacts.remove(other)
    assert other in {one.what for one in look_up(world.stores, "toy", []).dead}


def test_what_serves_or_may_again_is_never_retired(world):
    first, second, third = versions(world)
    for version in (second, third):
        assert kept_versions(world.stores, "toy")[version] == "a version that nothing is decided of yet"
    world.release(second, newest_evidence(world.stores, "toy", second))
    kept = kept_versions(world.stores, "toy")
    assert kept == {first: "the champion before", second: "the champion"}
    for version in (first, second):
        with pytest.raises(RetirementRefused, match="champion"):
            bury(world, version)
    assert tombstones(world.stores, "toy") == {}


def test_trial_holdback_and_anchor_are_never_retired(world):
    from retrain_pipeline.release.state import Challenger, Deployment, Holdback

    first, second, third = versions(world)
    row = world.stores.ledger.deployment("toy")
    state = Deployment.from_state(row.state)
    common = {"manifest": state.manifest, "effective_as_of": state.effective_as_of, "salt": "s"}
    trial = Challenger(
        version=third, evidence=state.evidence, feature_code=state.feature_code, spec=state.spec, stage="shadow",
        share=0.0, stage_from=state.effective_as_of, **common,
    )  # fmt: skip
    state = state.model_copy(update={"challenger": trial, "holdback": Holdback(version=second, share=0.02, **common)})
    payload = {"version": first, "permit": {"kind": "approval"}}
    world.stores.ledger.change_deployment(
        "toy", row.epoch, state.to_state(), NewEntry("test", "released", "toy", first, payload)
    )
    kept = kept_versions(world.stores, "toy")
    assert kept[third] == "the version on trial"
    assert kept[second] == "the holdback"
    for version in (second, third):
        with pytest.raises(RetirementRefused):
            bury(world, version)


def test_a_champion_that_was_taken_back_can_be_retired_and_is_no_target_then(world):
    first, second, _ = versions(world)
    world.release(second, newest_evidence(world.stores, "toy", second))
    rollback(world.stores, "toy", because="it was far off everywhere", actor="person:test")
    done = bury(world, second, remove=True)
    assert done.tombstone.document["served"].startswith("champion from")
    with pytest.raises(RollbackRefused, match="retired"):
        rollback(world.stores, "toy", to=second, because="let us try it again", actor="person:test")
    assert world.stores.ledger.deployment("toy").state["champion"] == first


def test_bytes_that_another_version_has_too_stay(world, rejected):
    registered = world.stores.ledger.latest("toy", "candidate_registered", rejected)
    twin = dict(registered.payload)
    world.stores.ledger.append(NewEntry("test", "candidate_registered", "twin", "v1", twin))
    assert not bury(world, rejected, remove=True).removed
    assert world.stores.artifacts.exists(twin["model_artifact"])


def test_retiring_again_goes_on_from_where_it_was(world, rejected):
    first = bury(world, rejected)
    again = bury(world, rejected, why="another reason altogether", remove=True)
    assert again.tombstone.digest == first.tombstone.digest
    assert again.entry.seq == first.entry.seq
    assert (first.removed, again.removed) == (False, True)
    assert not bury(world, rejected, remove=True).removed


def test_without_a_reason_or_a_version_nothing_is_retired(world, rejected):
    with pytest.raises(RetirementRefused, match="10 characters"):
        bury(world, rejected, why=" old  ")
    with pytest.raises(RetirementRefused, match="who decided"):
        bury(world, rejected, by=" ")
    with pytest.raises(VersionNotLoadable):
        bury(world, "20200101-00000000")
    assert tombstones(world.stores, "toy") == {}


def test_who_has_no_role_for_it_retires_nothing(world, rejected, tmp_path, monkeypatch):
    (tmp_path / "roles.yaml").write_text("roles: {lead: [retire]}\npeople: {ann: {roles: [lead]}, bob: {roles: []}}\n")
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path))
    with pytest.raises(NotAllowed):
        bury(world, rejected, actor="person:bob")
    assert world.stores.ledger.latest("toy", "refused").payload["attempted"] == "retire"
    assert bury(world, rejected, actor="person:ann").entry.payload["role"] == "lead"


def test_what_is_older_than_declared_is_due(world, rejected):
    spec = world.declaration.spec
    as_of = "2024-04-29T00:00:00+00:00"
    world.stores.ledger.append(NewEntry("test", "monitored", "toy", payload={"as_of": as_of}))
    assert due_for_retirement(world.stores, spec) == []

    def due(periods):
        rollout = spec.rollout.model_copy(update={"retire_periods": periods})
        return [
            (one.version, one.periods)
            for one in due_for_retirement(world.stores, spec.model_copy(update={"rollout": rollout}))
        ]

    assert due(9) == [(rejected, 10)]
    assert due(10) == []
    bury(world, rejected)
    assert due(9) == []


def test_a_declared_retention_changes_digests_only_where_it_is_declared(world):
    spec = world.declaration.spec
    assert "retire_periods" not in spec.model_dump(mode="json")["rollout"]
    rollout = spec.rollout.model_copy(update={"retire_periods": 52})
    assert spec.model_copy(update={"rollout": rollout}).model_dump(mode="json")["rollout"]["retire_periods"] == 52
