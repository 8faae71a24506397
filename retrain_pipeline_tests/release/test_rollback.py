"""Going back: to whom, with what, how fast, and against whom it must win."""

import os
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retrain_pipeline.release.rollback as module
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.learning.features import load_features, update_features
from retrain_pipeline.learning.kept_code import kept_code
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.release.errors import ReleaseRefused, RollbackRefused
from retrain_pipeline.release.lineage import Reign, reigns, standing
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.release.state import Deployment, current
from retrain_pipeline_tests.gates.world import versions

WHY = "predictions went wild"


@pytest.fixture
def three(world):
    """All three versions were champion, one after the other; the third serves."""
    _, second, third = versions(world)
    world.release(second, newest_evidence(world.stores, "toy", second))
    world.judged_release(third)
    return world


def back(world, to=None, because=WHY):
    return rollback(world.stores, "toy", to=to, because=because, actor="person:test")


def changes(world):
    return [one.version for one in reigns(world.stores.ledger, "toy")]


@pytest.mark.requirement("C18", "D23", "D28")
def test_a_rollback_restores_model_features_and_declaration_at_once(three):
    first, second, third = versions(three)
    before = next(one.deployment for one in reigns(three.stores.ledger, "toy") if one.version == second)
    found = back(three)
    same = ("champion", "manifest", "feature_code", "spec", "evidence", "effective_as_of")
    assert [getattr(found, name) for name in same] == [getattr(before, name) for name in same]
    assert found.previous == first
    entry = three.stores.ledger.latest("toy", "rolled_back")
    assert (entry.subject, entry.payload["from"], entry.payload["because"]) == (second, third, WHY)
    assert entry.actor == "person:test"
    assert current(three.stores.ledger, "toy") == (4, found)
    started = time.monotonic()
    back(three, because="and the one before it, too")
    assert time.monotonic() - started < 1.0


@pytest.mark.requirement("C16", "C17")
def test_features_and_collection_are_toggled_there_and_back_as_often_as_anybody_likes(world):
    """Each way has its inverse: the state is the same to the digest, and so is what the features are."""
    folder = world.declaration.folder
    rows = world.stores.lake.read("toy", "raw", periods=["2024-01-01"])
    code = (folder / "features.py").read_text()
    (folder / "features.py").write_text(code.replace("return rows[", "return rows.assign(a=-rows.a)["))
    declared = (folder / "defs.yaml").read_text()
    (folder / "defs.yaml").write_text(declared.replace("b: {dtype: float}", "b: {dtype: float, range: [-9, 9]}"))
    other = world.again()
    spec, lake = other.declaration.spec, other.stores.lake
    for period in sorted(lake.periods("toy", "raw")):
        update_features(lake, load_features(folder, spec.features), spec, period)
    first = versions(world)[0]
    second = other.build(8, parent=first)
    other.judged_release(second)
    states = {one.version: one.deployment for one in reigns(world.stores.ledger, "toy")}
    assert all(
        getattr(states[first], part) != getattr(states[second], part) for part in ("feature_code", "collection", "spec")
    )

    def answers(deployment):
        with kept_code(world.stores.artifacts, deployment.feature_code, spec.features) as kept:
            return kept.build(rows)["a"].tolist()

    for to in (first, second, first, second, first):
        found = back(world, to=to)
        assert found.serving_digest == states[to].serving_digest
        assert (found.feature_code, found.collection) == (states[to].feature_code, states[to].collection)
        sign = 1 if to == first else -1
        assert answers(found) == (sign * rows["a"]).tolist()


@pytest.mark.fault("P14")
def test_a_second_rollback_goes_back_one_further_and_a_repeated_one_nowhere(three):
    first, second, _ = versions(three)
    assert back(three).champion == second
    head = three.stores.ledger.head()
    assert back(three).champion == second, "the same command again"
    assert back(three, to=second, because="whatever the reason").champion == second
    assert three.stores.ledger.head() == head
    assert back(three, because="this one is wild as well").champion == first
    with pytest.raises(RollbackRefused, match="no champion before it"):
        back(three, because="and now where to")


def test_a_version_that_was_rolled_back_can_be_named_again(three):
    first, _, third = versions(three)
    back(three, to=first)
    found = back(three, to=third, because="it was the data after all")
    assert (found.champion, found.previous) == (third, first)
    assert back(three, because="no, it was the model").champion == first


@pytest.mark.fault("P14")
def test_a_target_that_is_no_target_is_refused(world):
    first, second, _ = versions(world)
    for to, because, words in (
        (None, WHY, "no champion before it"),
        (second, WHY, "has never been champion"),
        (None, "oops", "at least 10 characters"),
        (None, "          o          ", "at least 10 characters"),
    ):
        with pytest.raises(RollbackRefused, match=words):
            back(world, to, because)
    with pytest.raises(RollbackRefused, match="nothing was ever released"):
        rollback(world.stores, "other", because=WHY, actor="test")
    assert changes(world) == [first]


@pytest.mark.fault("P14", "P32")
@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_a_target_whose_bytes_are_not_whole_is_refused_with_one_that_is(three, how):
    first, second, _ = versions(three)
    path = three.stores.artifacts.path(read_manifest(three.stores, "toy", second).model_artifact)
    if how == "missing":
        os.unlink(path)
    else:
        with open(path, "r+b") as file:
            file.write(b"damaged!")
    before = current(three.stores.ledger, "toy")
    with pytest.raises(RollbackRefused, match=f"to='{first}'"):
        back(three)
    assert current(three.stores.ledger, "toy") == before
    assert back(three, to=first).champion == first


@pytest.mark.fault("P14")
def test_when_nothing_can_serve_it_says_so(three):
    first, second, _ = versions(three)
    for version in (first, second):
        os.unlink(three.stores.artifacts.path(read_manifest(three.stores, "toy", version).model_artifact))
    with pytest.raises(RollbackRefused, match="no other earlier champion can serve either"):
        back(three)


@pytest.mark.fault("P14")
def test_a_target_that_cannot_take_todays_features_is_refused(three, tmp_path):
    first = versions(three)[0]
    assert module.cannot_serve(three.stores, "toy", first) is None
    rows = three.stores.lake.read("toy", "features", periods=["2024-02-19"]).drop(columns=["_period", "b"])
    changed = replace(three.stores, lake=Lake(str(tmp_path / "other")))
    changed.lake.replace_partition("toy", "features", "2024-02-19", rows)
    with pytest.raises(RollbackRefused, match=r"features \['b'\] are not in the frame"):
        rollback(changed, "toy", to=first, because=WHY, actor="test")


@pytest.mark.fault("P13")
def test_a_rollback_wins_over_a_release_that_overtakes_it(world, monkeypatch):
    """The release is committed between the rollback's look and its commit: it goes through, and is undone."""
    first, second, third = versions(world)
    world.release(second, newest_evidence(world.stores, "toy", second))
    evidence, digest = world.judge(third)
    assert evidence.epoch == 2
    look = module._check_can_serve

    def overtaken(*arguments):
        look(*arguments)
        assert world.release(third, digest).released

    monkeypatch.setattr(module, "_check_can_serve", overtaken)
    found = back(world)
    assert (found.champion, found.previous) == (first, None)
    assert changes(world) == [first, second, third, first]
    assert current(world.stores.ledger, "toy")[0] == 4
    assert world.stores.ledger.verify().verdict == "PASS"


@pytest.mark.fault("P13")
def test_two_rollbacks_at_once_are_one(three, monkeypatch):
    _, second, _ = versions(three)
    look = module._check_can_serve

    def overtaken(*arguments):
        look(*arguments)
        monkeypatch.setattr(module, "_check_can_serve", look)
        rollback(three.stores, "toy", because="somebody else saw it too", actor="person:other")

    monkeypatch.setattr(module, "_check_can_serve", overtaken)
    assert back(three).champion == second
    assert len(three.stores.ledger.entries(action="rolled_back")) == 1


def trial_beside(world, version):
    """A declaration by stages, and evidence by it on a version: its release is a trial beside the champion."""
    file = world.declaration.folder / "defs.yaml"
    file.write_text(f"{file.read_text().rstrip()}\n  rollout: {{shadow_periods: 1}}\n")
    staged = world.again()
    return staged, staged.judge(version)[1]


@pytest.mark.fault("P13")
def test_a_second_rollback_that_a_trial_overtakes_still_goes_back(three, monkeypatch):
    """The newest change of champion is a rollback, but not one that happened meanwhile: it answers for nothing."""
    first, second, third = versions(three)
    assert back(three).champion == second
    staged, digest = trial_beside(three, third)
    look = module._check_can_serve

    def overtaken(*arguments):
        look(*arguments)
        monkeypatch.setattr(module, "_check_can_serve", look)
        assert staged.release(third, digest).stage == "shadow"

    monkeypatch.setattr(module, "_check_can_serve", overtaken)
    assert back(three, because="this one is wild as well").champion == first
    epoch, now = current(three.stores.ledger, "toy")
    assert (now.champion, now.challenger, epoch) == (first, None, 6)


@pytest.mark.fault("P13", "P22")
def test_a_rollback_after_which_a_trial_begins_at_once_is_not_called_broken(three, monkeypatch):
    """A process that is stopped between its commit and its look at what it did finds what came after."""
    _, second, third = versions(three)
    look = module._check_restored

    def late(*arguments):
        staged, digest = trial_beside(three, third)
        assert staged.release(third, digest).stage == "shadow"
        look(*arguments)

    monkeypatch.setattr(module, "_check_restored", late)
    assert back(three).champion == second
    _, now = current(three.stores.ledger, "toy")
    assert (now.champion, now.challenger.version) == (second, third)


@pytest.mark.fault("P13")
def test_a_release_between_the_looks_of_a_rollback_does_not_turn_it_into_nothing(world, monkeypatch):
    """It asked to leave the second version; that a third was released meanwhile does not make the second a target."""
    first, second, third = versions(world)
    world.release(second, newest_evidence(world.stores, "toy", second))
    _, digest = world.judge(third)
    look = module.current

    def overtaken(*arguments):
        found = look(*arguments)
        monkeypatch.setattr(module, "current", look)
        assert world.release(third, digest).released
        return found

    monkeypatch.setattr(module, "current", overtaken)
    assert back(world).champion == first
    assert current(world.stores.ledger, "toy")[1].champion == first


def test_a_version_released_again_over_its_successors_is_gone_back_to_where_it_was_released_last():
    history = [reign(seq, "released", version) for seq, version in enumerate("abcad", 1)]
    line = standing([*history, reign(6, "rolled_back", "a")])
    assert [one.version for one in line] == ["a", "b", "c", "a"]
    assert line[-1].entry.seq == 6


@pytest.mark.fault("P13")
def test_a_rollback_that_is_overtaken_for_ever_gives_up(three, monkeypatch):
    from retrain_pipeline.ledger.errors import StaleEpoch

    def stale(*_):
        raise StaleEpoch("toy", 3, 4)

    monkeypatch.setattr(module, "_change", stale)
    with pytest.raises(RollbackRefused, match="overtook"):
        back(three)


@pytest.mark.fault("P3", "P13")
def test_a_retrain_that_was_judged_before_the_rollback_is_refused_after_it(three):
    """The candidate of a running retrain was judged against the champion that is gone now."""
    spec = three.declaration.spec  # a margin that the third refresh of two weeks' rows keeps to its anchor, too
    wide = spec.model_copy(update={"gates": spec.gates.model_copy(update={"margin": 0.3})})
    three.declaration = replace(three.declaration, spec=wide)
    candidate = three.build(8, parent=versions(three)[2])
    evidence, digest = three.judge(candidate)
    assert evidence.verdict == "PASS"
    found = back(three)
    with pytest.raises(ReleaseRefused, match="epoch 3"):
        three.release(candidate, digest)
    assert current(three.stores.ledger, "toy") == (4, found)


def test_a_version_that_was_rolled_back_is_released_again_only_on_new_evidence(three):
    third = versions(three)[2]
    digest = newest_evidence(three.stores, "toy", third)
    back(three)
    with pytest.raises(ReleaseRefused, match="epoch 2"):
        three.release(third, digest)
    three.judged_release(third, run_id="anew")
    assert current(three.stores.ledger, "toy")[1].champion == third


def reign(seq, action, version):
    entry = Entry(seq, "", "", 0, "t", action, "toy", version, {}, None, seq, "")
    made = Deployment(
        model="toy", champion=version, previous=None, manifest="a" * 64, previous_manifest=None, evidence="a" * 64,
        feature_code="a" * 64, spec="a" * 64, effective_as_of="2024-01-01T00:00:00+00:00", released_at="x",
    )  # fmt: skip
    return Reign(entry, made)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-3, 3), max_size=30))
def test_standing_champions_are_a_line_without_repeats_whose_end_serves(moves):
    """A move above 0 releases a new version; one at or below rolls back to any version that was champion."""
    history, known = [], []
    for seq, move in enumerate(moves, 1):
        if move > 0 or not known:
            known.append(f"v{seq}")
            history.append(reign(seq, "released", known[-1]))
        else:
            history.append(reign(seq, "rolled_back", known[move % len(known)]))
    line = standing(history)
    names = [one.version for one in line]
    assert len(set(names)) == len(names)
    assert bool(line) is bool(history)
    if history:
        assert names[-1] == history[-1].version
    seqs = [one.entry.seq for one in line]
    assert seqs == sorted(seqs)
