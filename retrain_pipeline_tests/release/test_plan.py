"""Who answers the rows of a period, border by border, from a ledger alone; and which model is frozen for comparison."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.release.plan import Plan, is_watched, plan_period
from retrain_pipeline.release.router import Routing, Share
from retrain_pipeline.release.stages import holdback_after
from retrain_pipeline.release.state import Challenger, Deployment, Holdback, current
from retrain_pipeline.stores import open_stores
from retrain_pipeline_tests.gates.world import START, write_folder

NOTHING = pd.DataFrame({"model_version": []})


def week(number: int) -> datetime:
    return START + timedelta(weeks=number)


def deployed(champion: str, at: int, previous: str | None = None, **more) -> Deployment:
    return Deployment(
        model="toy", champion=champion, previous=previous, manifest="a" * 64, previous_manifest=None,
        evidence="b" * 64, feature_code="c" * 64, spec="d" * 64, effective_as_of=week(at).isoformat(),
        released_at="now", **more,
    )  # fmt: skip


def on_trial(version: str, at: int, *, share: float = 0.0, since: int | None = None) -> Challenger:
    return Challenger(
        version=version, manifest="1" * 64, evidence="2" * 64, feature_code="3" * 64, spec="4" * 64,
        effective_as_of=week(at).isoformat(), stage="canary" if share else "shadow", share=share, salt="c",
        stage_from=week(at if since is None else since).isoformat(),
    )  # fmt: skip


def frozen(version: str, at: int, share: float = 0.1) -> Holdback:
    return Holdback(version=version, manifest="5" * 64, effective_as_of=week(at).isoformat(), share=share, salt="h")


class Past:
    """A ledger that deployments are entered into, and the question."""

    def __init__(self, folder) -> None:
        rollout = "  rollout: {watch_periods: 2, holdback_share: 0.1, holdback_periods: 3}"
        self.spec = write_folder(folder / "toy", more=rollout).spec
        self.stores = open_stores(folder / "home")
        self.epoch = 0

    def enter(self, action: str, state: Deployment) -> None:
        new = NewEntry("test", action, "toy", state.champion)
        self.stores.ledger.change_deployment("toy", self.epoch, state.to_state(), new)
        self.epoch += 1

    def plan(self, at: int, earlier: pd.DataFrame = NOTHING) -> Plan:
        return plan_period(self.stores, self.spec, week(at), earlier)


@pytest.fixture
def past(tmp_path):
    made = Past(tmp_path)
    yield made
    made.stores.close()


def test_the_deployment_of_now_is_none_at_epoch_0_and_then_the_newest(past):
    past.stores.ledger.change_deployment(
        "other", 0, deployed("v7", 1).to_state(), NewEntry("test", "released", "other")
    )
    assert current(past.stores.ledger, "toy") == (0, None)
    past.enter("released", deployed("v1", 4))
    past.enter("released", deployed("v2", 5))
    assert current(past.stores.ledger, "toy") == (2, deployed("v2", 5))


def test_without_a_champion_in_time_nobody_answers(past):
    assert past.plan(3) == Plan(None, words="no champion yet")
    past.enter("released", deployed("v1", 4))
    assert past.plan(3) == Plan(None, words=f"no champion whose data ended by {week(3).isoformat()}")
    words = f"v1, champion with data up to {week(4).isoformat()}"
    assert past.plan(4) == Plan(Routing("v1"), None, 1, words)


def test_a_period_is_answered_by_the_newest_champion_that_knew_nothing_of_it(past):
    past.enter("released", deployed("v1", 4))
    past.enter("released", deployed("v2", 6, "v1", holdback=frozen("v1", 4)))
    assert past.plan(5) == Plan(Routing("v1"), None, 1, f"v1, champion with data up to {week(4).isoformat()}")
    now = past.plan(6)
    assert (now.routing, now.epoch) == (Routing("v2", None, Share("v1", 0.1, "h")), 2)
    past.enter("rolled_back", deployed("v1", 4))
    assert (past.plan(6).routing, past.plan(6).epoch) == (Routing("v1"), 3), "what was undone answers nothing"


@pytest.mark.parametrize(("at", "beside"), [(5, None), (6, "v1"), (7, "v1"), (8, None)])
def test_the_one_before_answers_beside_a_released_champion_while_it_is_watched(past, at, beside):
    past.enter("released", deployed("v1", 4))
    past.enter("released", deployed("v2", 5, "v1", serves_from=week(6).isoformat()))
    assert past.plan(at).beside == beside
    past.enter("rolled_back", deployed("v2", 5, "v1", serves_from=week(6).isoformat()))
    assert past.plan(at).beside is None


def test_watching_needs_somebody_to_compare_with(past):
    assert not is_watched(past.spec, deployed("v1", 4), week(4))
    assert is_watched(past.spec, deployed("v1", 4, "v0"), week(4))


def test_a_version_on_trial_answers_beside_from_its_data_on_and_serves_from_its_stage_on(past):
    past.enter("released", deployed("v1", 4))
    past.enter("staged", deployed("v1", 4, challenger=on_trial("v2", 5, share=0.2, since=6)))
    assert [past.plan(at).beside for at in (4, 5, 6)] == [None, "v2", "v2"]
    assert [past.plan(at).routing.canary for at in (4, 5, 6)] == [None, None, Share("v2", 0.2, "c")]
    past.enter("staged", deployed("v1", 4, challenger=on_trial("v2", 5)))
    assert (past.plan(6).beside, past.plan(6).routing) == ("v2", Routing("v1"))


def test_a_holdback_answers_no_period_that_it_has_learned_from(past):
    past.enter("released", deployed("v1", 2, holdback=frozen("v0", 4)))
    assert [past.plan(at).routing.holdback for at in (3, 4)] == [None, Share("v0", 0.1, "h")]


def scored(version: str, *epochs: int | None) -> pd.DataFrame:
    return pd.DataFrame({"model_version": [version] * len(epochs), "epoch": pd.array(epochs, dtype="Int64")})


def test_a_period_that_was_scored_is_scored_again_by_the_record_of_then(past):

    def other(action: str, epoch: int) -> None:
        """Another model of the same ledger, whose record says nothing of this one."""
        state = deployed("v7", 1).to_state() | {"model": "other"}
        past.stores.ledger.change_deployment("other", epoch, state, NewEntry("test", action, "other"))

    other("released", 0)
    other("released", 1)
    assert past.plan(6) == Plan(None, words="no champion yet")
    past.enter("released", deployed("v1", 4))
    past.enter("staged", deployed("v1", 4, challenger=on_trial("v2", 5, share=0.2)))
    past.enter("released", deployed("v2", 5, "v1"))
    past.enter("rolled_back", deployed("v1", 4, "v0"))
    other("rolled_back", 2)
    other("rolled_back", 3)
    again = past.plan(6, scored("v1", None, 2, 2))
    assert again == Plan(Routing("v1", Share("v2", 0.2, "c")), "v2", 2, "v1 scored this period before")
    assert past.plan(6, scored("v2", 3)) == Plan(Routing("v2"), "v1", 3, "v2 scored this period before")
    assert past.plan(5, scored("v2", 3)) == Plan(Routing("v2"), "v1", 3, "v2 scored this period before")
    assert past.plan(5, scored("v1", 4)).beside is None, "a rollback is not watched"
    later = past.plan(4, scored("v1", 3))
    assert later == Plan(Routing("v1"), epoch=3, words="v2 scored this period before")
    assert past.plan(6).routing == Routing("v1")
    for unknown in (scored("v9", None), scored("v9", 77), scored("v9", 1).drop(columns="epoch")):
        assert past.plan(6, unknown) == Plan(Routing("v9"), words="v9 scored this period before")


def test_the_model_held_back_is_the_champion_before_until_it_is_too_old(past):
    spec, before = past.spec, deployed("v1", 4)
    assert holdback_after(spec, None, 1, week(5)) is None
    none = spec.model_copy(update={"rollout": spec.rollout.model_copy(update={"holdback_share": 0.0})})
    assert holdback_after(none, before, 1, week(5)) is None
    first = holdback_after(spec, before, 1, week(5))
    assert (first.version, first.manifest, first.effective_as_of, first.share) == (
        "v1",
        "a" * 64,
        week(4).isoformat(),
        0.1,
    )
    assert holdback_after(spec, before, 2, week(5)).salt != first.salt
    held = deployed("v2", 5, "v1", holdback=first)
    assert holdback_after(spec, held, 2, week(6)) == first
    assert holdback_after(spec, held, 2, week(7)).version == "v2"
    other = deployed("v2", 5, "v1", holdback=frozen("v1", 4, share=0.2))
    assert holdback_after(spec, other, 2, week(5)).version == "v2"
    assert datetime.fromisoformat(first.effective_as_of).tzinfo == UTC
