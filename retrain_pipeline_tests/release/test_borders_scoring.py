"""Who answers the rows of a period, to the row: batches, arms, those who stand in, and what is said beside."""

import itertools
import time
from pathlib import Path

import pandas as pd
import pytest

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.release.plan import Plan
from retrain_pipeline.release.router import Routing, Share, place
from retrain_pipeline.release.scoring import Asked, entities, served, unserved
from retrain_pipeline_tests.release.answering import Answering, constant

SAYS = {"v0": 0.0, "v1": 1.0, "v2": 2.0}
HELD, CANARY = Share("v0", 0.2, "h"), Share("v2", 0.3, "c")


@pytest.fixture
def toys(tmp_path):
    """Three versions, each of which says its own number always."""
    made = Answering(tmp_path, models=tuple(constant(version, value) for version, value in SAYS.items()))
    made.asked = Asked(made.stores, made.spec)
    yield made
    made.stores.close()


def lose(toys, version):
    """Take away the bytes of a version."""
    Path(toys.stores.artifacts.path(read_manifest(toys.stores, "toy", version).model_artifact)).unlink()


def arm_of(identity):
    """The arm by its definition, of all three."""
    if place("h", [identity]) < 0.2:
        return "holdback"
    at = place("c", [identity])
    return "canary" if at < 0.3 else "control" if at >= 0.7 else "champion"


PROPENSITIES = {"holdback": 0.2, "canary": 0.8 * 0.3, "control": 0.8 * 0.3, "champion": 0.8 * 0.4}
VERSIONS = {"holdback": "v0", "canary": "v2", "control": "v1", "champion": "v1"}


# --- one version


@pytest.mark.parametrize(("n", "sizes"), [(1, [1]), (3, [1, 1, 1]), (5, [1] * 5), (11, [3, 3, 3, 2]), (12, [3] * 4)])
def test_rows_are_answered_in_at_most_five_batches_and_each_row_is_told_its_share_of_the_time(
    toys, monkeypatch, n, sizes
):
    rows = toys.features(6).head(n).set_axis([f"row {at}" for at in range(n)])
    toys.asked.answers("v2", rows)  # loaded
    clock = itertools.count(0, 6_000_000)
    monkeypatch.setattr(time, "perf_counter_ns", lambda: next(clock))
    told = toys.asked.answers("v2", rows)
    assert list(told.index) == list(rows.index)
    assert list(told.columns) == ["prediction", "score", "latency_ms"]
    assert set(told["prediction"]) == {2.0}
    assert list(told["latency_ms"]) == [6 / size for size in sizes for _ in range(size)]


def test_what_was_not_met_in_training_is_counted_once_over_all_batches_and_calls(toys):
    rows = toys.features(6).head(10).assign(shop=["west"] * 4 + ["north"] * 6, a=[None] * 7 + [1.0] * 3)
    toys.asked.answers("v1", rows, counted=False)
    assert (toys.asked.unseen, toys.asked.missing) == ({}, {})
    toys.asked.answers("v1", rows)
    assert (toys.asked.unseen, toys.asked.missing) == ({"shop": 4}, {"a": 7})
    assert toys.asked.tried("v2", rows.assign(b=None)) is not None
    assert (toys.asked.unseen, toys.asked.missing) == ({"shop": 8}, {"a": 14, "b": 10})
    assert toys.asked.tried("v2", rows, counted=False) is not None
    assert toys.asked.unseen == {"shop": 8}


def test_rows_that_a_version_could_not_answer_to_the_end_are_not_counted_for_it(toys):
    rows = toys.features(6).head(10).assign(a=None)
    broken = rows.astype({"b": object})
    broken.loc[9, "b"] = "text where numbers were"
    assert toys.asked.tried("v2", broken) is None
    assert toys.asked.missing == {}
    assert list(toys.asked.failures) == ["v2"]


def test_a_version_is_loaded_once(toys):
    rows = toys.features(6)
    toys.asked.answers("v1", rows)
    lose(toys, "v1")
    assert set(toys.asked.answers("v1", rows)["prediction"]) == {1.0}


def test_one_that_cannot_answer_is_not_tried_again_and_it_is_kept_why(toys):
    rows = toys.features(6)
    with pytest.raises(PermanentError) as refused:
        toys.asked.answers("v1", rows.drop(columns="a"))
    assert toys.asked.tried("v1", rows.drop(columns="a")) is None
    assert toys.asked.failures == {"v1": str(refused.value)}
    assert toys.asked.tried("v1", rows) is None
    assert set(toys.asked.tried("v2", rows)["prediction"]) == {2.0}


# --- who serves


def test_each_row_gets_the_answer_of_its_arm_and_the_table_says_how_it_came_to_it(toys):
    rows, routing = toys.features(6), Routing("v1", CANARY, HELD)
    table = served(toys.asked, Plan(routing, epoch=7), routing, rows)
    arms = [arm_of(one) for one in rows["id"]]
    assert set(arms) == set(PROPENSITIES), "all four have rows"
    assert list(table.index) == list(rows.index)
    wanted = rows[["id", "_event_time"]].assign(
        _known_time=rows["_event_time"], model_version=[VERSIONS[arm] for arm in arms], arm=arms,
        propensity=[PROPENSITIES[arm] for arm in arms], epoch=7,
        prediction=[SAYS[VERSIONS[arm]] for arm in arms], score=float("nan"),
    )  # fmt: skip
    pd.testing.assert_frame_equal(table.drop(columns="latency_ms"), wanted)
    assert table["latency_ms"].gt(0).all()


def test_one_champion_alone_answers_all(toys):
    rows, routing = toys.features(6).drop(columns="_period"), Routing("v1")
    table = served(toys.asked, Plan(routing, epoch=3), routing, rows)
    assert len(table) == len(rows)
    columns = ["model_version", "arm", "propensity", "epoch", "prediction"]
    assert set(table[columns].itertuples(index=False, name=None)) == {("v1", "champion", 1.0, 3, 1.0)}
    assert (table["arm"].dtype, table["propensity"].dtype) == (object, float)


@pytest.mark.parametrize("lost", [{"v0"}, {"v2"}, {"v0", "v2"}])
def test_the_champion_stands_in_for_who_cannot_answer_once_a_row(toys, lost):
    for version in lost:
        lose(toys, version)
    rows, routing = toys.features(6).assign(shop="west"), Routing("v1", CANARY, HELD)
    table = served(toys.asked, Plan(routing, epoch=7), routing, rows)
    arms = [arm_of(one) for one in rows["id"]]
    stands_in = [VERSIONS[arm] in lost for arm in arms]
    assert list(table.index) == list(rows.index)
    assert list(table["arm"]) == ["fallback" if lacks else arm for arm, lacks in zip(arms, stands_in, strict=True)]
    versions = ["v1" if lacks else VERSIONS[arm] for arm, lacks in zip(arms, stands_in, strict=True)]
    assert list(table["model_version"]) == versions
    assert list(table["prediction"]) == [SAYS[version] for version in versions]
    assert list(table["propensity"]) == pytest.approx([PROPENSITIES[arm] for arm in arms])
    assert set(toys.asked.failures) == lost
    assert toys.asked.unseen == {"shop": len(rows)}


def test_where_the_champion_has_no_row_of_its_own_it_is_not_asked(toys):
    rows, routing = toys.features(6), Routing("v9", None, HELD)
    held = rows[[arm_of(one) == "holdback" for one in rows["id"]]]
    assert set(served(toys.asked, Plan(routing), routing, held)["model_version"]) == {"v0"}
    with pytest.raises(PermanentError, match="v9"):
        served(toys.asked, Plan(routing), routing, rows)


def test_who_stands_in_is_named_whole_where_nobody_else_answers(toys):
    toys.add(constant("champion", 1.0))
    lose(toys, "v2")
    rows, routing = toys.features(6), Routing("champion", CANARY, HELD)
    table = served(toys.asked, Plan(routing), routing, rows[[arm_of(one) == "canary" for one in rows["id"]]])
    assert set(zip(table["model_version"], table["arm"], strict=True)) == {("champion", "fallback")}


def test_rows_are_routed_by_what_only_raw_has(toys):
    rollout = toys.spec.rollout.model_copy(update={"route_by": ("y",)})
    asked = Asked(toys.stores, toys.spec.model_copy(update={"rollout": rollout}))
    rows, routing = toys.features(6), Routing("v1", CANARY, HELD)
    raw = toys.stores.lake.read("toy", "raw", periods=["2024-02-12"])
    table = served(asked, Plan(routing), routing, rows)
    assert list(table["arm"]) == [arm_of(one) for one in raw["y"]]


# --- what is said beside


def beside(toys, routing, version="v2", rows=None):
    rows = toys.features(6) if rows is None else rows
    plan = Plan(routing, version, epoch=7)
    table = served(toys.asked, plan, routing, rows)
    toys.asked.unseen.clear()
    return rows, table, unserved(toys.asked, plan, routing, rows, table)


def test_in_shadow_the_other_answers_every_row_but_those_of_the_holdback_and_who_stands_in(toys):
    rows, table, told = beside(toys, Routing("v1", None, HELD))
    mine = rows[table["arm"] == "champion"]
    assert 0 < len(mine) < len(rows)
    wanted = mine[["id", "_event_time"]].assign(
        _known_time=mine["_event_time"], model_version="v2", prediction=2.0, score=float("nan")
    )
    pd.testing.assert_frame_equal(told, wanted)
    lose(toys, "v0")
    toys.asked = Asked(toys.stores, toys.spec)
    _, table, again = beside(toys, Routing("v1", None, HELD))
    assert set(table["arm"]) == {"champion", "fallback"}
    pd.testing.assert_frame_equal(again, wanted)


def test_in_a_canary_each_of_two_arms_is_answered_by_the_model_of_the_other_and_nothing_is_counted(toys):
    unmet = toys.features(6).assign(shop="west")
    rows, table, told = beside(toys, Routing("v1", CANARY, HELD), rows=unmet)
    by_arm = {"control": "v2", "canary": "v1"}
    paired = table["arm"].isin(by_arm)
    said = told.sort_index()
    assert list(said.index) == list(rows.index[paired])
    assert list(said["model_version"]) == [by_arm[arm] for arm in table["arm"][paired]]
    assert list(said["prediction"]) == [SAYS[version] for version in said["model_version"]]
    assert toys.asked.unseen == {}


def test_who_has_no_rows_or_cannot_answer_says_nothing_beside(toys):
    plain = Routing("v1")
    assert beside(toys, plain, None)[2].empty
    assert beside(toys, plain, "v9")[2].empty
    assert list(toys.asked.failures) == ["v9"]
    rows = toys.features(6)
    canary = rows[[arm_of(one) == "canary" for one in rows["id"]]]
    _, _, told = beside(toys, Routing("v1", CANARY), rows=canary)
    assert set(told["model_version"]) == {"v1"}
    assert "v2" not in toys.asked.failures


# --- entities


def test_an_entity_is_the_key_or_what_rows_are_routed_by(tmp_path, toys):
    rows = toys.features(6).head(3)
    for told in (rows, rows[["id"]]):
        assert entities(toys.stores, toys.spec, told) == [(one,) for one in rows["id"]]
    by_shop = Answering(tmp_path / "other", more="  rollout: {route_by: [shop, id]}")
    assert entities(by_shop.stores, by_shop.spec, rows) == list(zip(rows["shop"], rows["id"], strict=True))
    by_shop.stores.close()


def test_what_rows_do_not_have_is_looked_up_in_raw_of_their_period(tmp_path):
    other = Answering(tmp_path, more="  rollout: {route_by: [shop]}")
    lake, period = other.stores.lake, "2024-02-12"
    rows = other.features(6)
    asked = rows[["_event_time", "id", "_period"]].iloc[::-1]
    wanted = [(shop,) for shop in rows["shop"].iloc[::-1]]
    assert entities(other.stores, other.spec, asked) == wanted
    raw = lake.read("toy", "raw", periods=[period]).drop(columns="_period")
    lake.put("toy", "raw", period, pd.concat([raw, raw.assign(shop="twice")]))
    assert entities(other.stores, other.spec, asked) == wanted, "delivered twice, the first counts"
    assert entities(other.stores, other.spec, asked.drop(columns="_period")) == wanted
    lake.put("toy", "raw", "2024-02-19", raw.assign(shop="of another period"))
    lake.put("toy", "raw", period, raw.iloc[1:])
    found = entities(other.stores, other.spec, asked)
    assert found[:-1] == wanted[:-1]
    assert pd.isna(found[-1][0]), "raw of the row's own period does not have it"
    assert entities(other.stores, other.spec, asked.drop(columns="_period"))[-1] == ("of another period",)
    other.stores.close()
