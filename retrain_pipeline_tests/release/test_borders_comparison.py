"""Two models on the same rows, to the letter: which rows count, what is made of them, and whether the split held."""

from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.online import Trial, online_loss, sample_ratio
from retrain_pipeline.release.comparison import Pair, all_answers, compared_loss, paired_rows, serves, split_results
from retrain_pipeline.release.router import Routing, Share
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import write_folder
from retrain_pipeline_tests.release.fitted import Fitted, Lake, rows

FIRST, SECOND, THIRD = "2024-02-05", "2024-02-12", "2024-02-19"


def moment(week, **later):
    return datetime.fromisoformat(f"{week}T00:00:00+00:00") + timedelta(**later)


SINCE, END = moment(FIRST), moment("2024-02-26")
PAIR = Pair("v2", "v1", SINCE)


@pytest.fixture
def shop(tmp_path):
    """Both models answered two weeks, one of them beside the other."""
    lake = Lake()
    for week in (FIRST, SECOND):
        lake.said(week, "v1", 3.0)
        lake.said(week, "v2", 2.0, table="shadow")
        lake.true(week)
    spec = write_folder(tmp_path, more="  rollout: {margin: 0.25}").spec
    return SimpleNamespace(lake=lake, spec=spec, stores=SimpleNamespace(lake=lake), folder=tmp_path)


def edited(shop, old, new):
    file = shop.folder / "defs.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    shop.spec = read_declaration(shop.folder).spec


def paired(shop, pair=PAIR, as_of=END):
    return paired_rows(shop.stores, shop.spec, pair, as_of)


# --- which rows count


def test_rows_count_that_both_answered_and_that_have_a_label(shop):
    shop.lake.said(THIRD, "v1", 3.0)
    shop.lake.true(THIRD)
    found = paired(shop)
    assert list(found.columns) == ["id", "_event_time", "trial_loss", "reference_loss"]
    assert len(found) == 60
    assert set(found["trial_loss"]) == {2.0}
    assert set(found["reference_loss"]) == {3.0}
    assert found["_event_time"].is_monotonic_increasing
    assert list(found.index) == list(range(60))


@pytest.mark.parametrize("gone", ["predictions", "shadow", "labels"])
def test_without_answers_of_both_or_labels_there_are_none(shop, gone):
    del shop.lake.tables["toy", gone]
    assert paired(shop).empty
    words = "no row that v2 and v1 both answered has a mature label yet"
    assert compared_loss(shop.stores, shop.spec, PAIR, END, 4) == GateResult(
        gate="online_loss", verdict=Verdict.INCONCLUSIVE, n=0, words=words
    )


def test_neither_other_models_nor_other_versions_nor_earlier_weeks_count(shop):
    for week, version, model in ((FIRST, "v9", "toy"), (FIRST, "v2", "doll"), ("2024-01-29", "v2", "toy")):
        shop.lake.said(week, version, 9.0, table="shadow", model=model)
        if (week, model) != (FIRST, "toy"):
            shop.lake.said(week, "v1", 9.0, model=model)
            shop.lake.true(week, 7.0, model=model)
    found = paired(shop)
    assert (len(found), set(found["trial_loss"])) == (60, {2.0})
    assert len(paired(shop, Pair("v2", "v1", moment(SECOND)))) == 30
    answers = all_answers(shop.stores, shop.spec, SINCE, END)
    assert set(answers["model_version"]) == {"v1", "v2", "v9"}
    assert answers["_period"].min() == FIRST


def test_what_one_said_twice_of_a_row_counts_once_and_the_first_time(shop):
    shop.lake.said(SECOND, "v2", 8.0, table="shadow")
    found = paired(shop)
    assert (len(found), set(found["trial_loss"])) == (60, {2.0})


def test_a_row_is_named_by_its_key_and_its_time(shop):
    late = rows(FIRST, 30).drop(columns="a").assign(label=5.0)
    late["_event_time"] = late["_known_time"] = late["_event_time"] + timedelta(minutes=30)
    shop.lake.add("labels", FIRST, late)
    assert len(paired(shop)) == 60


def test_the_newest_label_counts_in_whatever_week_it_came(shop):
    known = rows(FIRST, 30)["_event_time"]
    shop.lake.true(FIRST, 1.5, into=SECOND, _known_time=known + timedelta(days=8))
    shop.lake.true(FIRST, 9.0, into=FIRST, _known_time=known + timedelta(days=1))
    shop.lake.true(FIRST, 8.0, into=THIRD, _known_time=END + timedelta(hours=1))
    found = paired(shop)
    first = found[found["_event_time"] < moment(SECOND)]
    assert (len(first), set(first["trial_loss"])) == (30, {0.5})
    shop.lake.true(FIRST, 1.0, into=THIRD, _known_time=known + timedelta(days=8))
    assert set(paired(shop)["trial_loss"]) == {1.0, 2.0}, "of two of one moment that of the later week"


def test_a_label_that_came_before_the_trial_is_of_no_row_of_it(shop):
    shop.lake.true("2024-01-29", into=FIRST)
    shop.lake.said("2024-01-29", "v1", 3.0, table="shadow")
    assert len(paired(shop)) == 60


def test_labels_count_once_they_had_their_delay(shop):
    edited(shop, "label: {column: y,", "label: {delay_hours: 24, column: y,")
    assert len(paired(shop, as_of=moment(SECOND, hours=24))) == 30
    assert len(paired(shop, as_of=moment(SECOND, hours=25))) == 31, "an event just a delay ago is not mature yet"


def test_answers_and_labels_count_as_they_were_known(shop):
    shop.lake.true(THIRD)
    shop.lake.said(THIRD, "v1", 3.0)
    shop.lake.said(THIRD, "v2", 2.0, table="shadow", _known_time=moment(THIRD, hours=10))
    assert len(paired(shop, as_of=moment(THIRD, hours=9))) == 60
    assert len(paired(shop, as_of=moment(THIRD, hours=10))) == 70


def test_weeks_that_are_there_without_rows_are_left_out(shop):
    empty = pd.DataFrame({"_event_time": pd.Series([], dtype="datetime64[us, UTC]")})
    for table in ("predictions", "shadow", "labels"):
        shop.lake.replace_partition("toy", table, THIRD, empty.assign(_known_time=empty["_event_time"]))
    assert len(paired(shop)) == 60
    del shop.lake.tables["toy", "shadow"]
    assert len(all_answers(shop.stores, shop.spec, SINCE, END)) == 60
    assert all_answers(shop.stores, shop.spec, moment(THIRD), END).empty


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_losses_are_those_of_the_declared_metric_and_task(tmp_path, task):
    spec, lake = write_folder(tmp_path, task).spec, Lake()
    for version, score in (("v1", 0.5), ("v2", 0.75)):
        told = {"prediction": 1, "score": score} if task == "binary" else {"prediction": "1", "p:0": 0.2, "p:1": 0.8}
        frame = rows(FIRST, 9).drop(columns="a").assign(model_version=version, **told)
        lake.add("predictions", FIRST, frame)
    lake.true(FIRST, 1.0, 9)
    found = paired_rows(SimpleNamespace(lake=lake), spec, PAIR, END)
    wanted = (0.0625, 0.25) if task == "binary" else (0.0, 0.0)
    assert (set(found["trial_loss"]), set(found["reference_loss"])) == ({wanted[0]}, {wanted[1]})


# --- what is made of them


@pytest.mark.parametrize(
    ("old", "new", "longest", "blocks"),
    [("toys.csv", "toys.csv", 4, 28), ("margin: 0.08", "block_hours: 36, margin: 0.08", 2, 9),
     ("margin: 0.08", "block_hours: 400, margin: 0.08", 1, 1), ("period: week", "period: month", 3, 87)],
)  # fmt: skip
def test_losses_are_judged_in_blocks_by_the_declaration(shop, old, new, longest, blocks):
    edited(shop, old, new)
    edited(shop, "margin: 0.08", "min_rows: 20, alpha: 0.1, margin: 0.08")
    rng = np.random.default_rng(1)
    month = "month" in new
    for held in shop.lake.tables.values():
        for week in list(held):
            frame = held.pop(week)
            at = pd.date_range(week, periods=30, freq="5h", tz="UTC").as_unit("us")
            frame = frame.assign(_event_time=at, _known_time=at)
            if "prediction" in frame:
                frame["prediction"] += rng.random(30)
            key = "2024-02-01" if month else week
            held[key] = pd.concat([held[key], frame]) if key in held else frame
    since = moment("2024-02-01") if month else SINCE
    found = compared_loss(shop.stores, shop.spec, Pair("v2", "v1", since), END, longest)
    told = paired(shop, Pair("v2", "v1", since))
    assert len(told) == 60
    trial = Trial(
        trial=told["trial_loss"].to_numpy(), reference=told["reference_loss"].to_numpy(),
        event_time=told["_event_time"], metric="mae", margin=0.25, alpha=0.1, min_rows=20, expected_blocks=blocks,
        block_hours=shop.spec.gates.block_hours,
    )  # fmt: skip
    assert found == online_loss(trial, ("v2", "v1"))
    assert found.n == 60


# --- the split


ROUTING = Routing("v1", Share("v2", 0.5, "salt"))
NOBODY = "nobody was served since this stage began"


@pytest.fixture
def street(shop):
    """Nobody was served yet."""
    shop.lake.tables.clear()
    return shop


def split(street, since=SINCE, as_of=END):
    return split_results(street.stores, street.spec, ROUTING, since, as_of)


def served(street, week=FIRST, n=40, arms=None, **columns):
    """Put predictions of entities into the arms that the router gives them, or into others."""
    frame = rows(week, n)
    right = [ROUTING.route((one,)).arm for one in frame["id"]]
    street.lake.tables.setdefault(("toy", "predictions"), {}).pop(week, None)
    street.lake.said(week, "v1", 1.0, n, arm=arms or right, **columns)
    return dict(zip(frame["id"], arms or right, strict=True))


def test_entities_are_counted_by_arm_once_each(street):
    arms = [*served(street).values(), *served(street, SECOND, 10).values()]
    counts = {arm: arms.count(arm) for arm in set(arms)}
    exposed = GateResult(
        gate="exposure", verdict=Verdict.PASS, statistic=0.0, threshold=0.0, n=50,
        words="0 of 50 entities were answered outside their arm",
    )  # fmt: skip
    assert split(street) == [sample_ratio(counts, ROUTING.shares), exposed]
    frame = street.lake.tables["toy", "predictions"][FIRST]
    street.lake.add("predictions", FIRST, frame.assign(_event_time=frame["_event_time"] + timedelta(days=1)))
    assert split(street)[1].n == 50, "an entity with two rows is one"


def test_entities_in_another_arm_or_in_two_have_strayed(street):
    meant = served(street)
    first, second = list(meant)[:2]
    turned = {"canary": "control", "control": "canary"}
    arms = [turned[arm] if name == first else arm for name, arm in meant.items()]
    served(street, arms=arms)
    ratio, exposure = split(street)
    assert exposure == GateResult(
        gate="exposure", verdict=Verdict.FAIL, statistic=1.0, threshold=0.0, n=40,
        words=f"1 of 40 entities were answered outside their arm, for example ({first!r},)",
    )  # fmt: skip
    assert ratio == sample_ratio({arm: arms.count(arm) for arm in set(arms)}, ROUTING.shares)
    served(street)
    frame = street.lake.tables["toy", "predictions"][FIRST]
    twice = frame[frame["id"] == second].assign(arm=turned[meant[second]])
    street.lake.add("predictions", FIRST, twice.assign(_event_time=twice["_event_time"] + timedelta(days=1)))
    ratio, exposure = split(street)
    assert (exposure.statistic, exposure.n) == (1.0, 40)
    both = {**meant, second: "canary"}
    counts = {arm: list(both.values()).count(arm) for arm in ("canary", "control")}
    assert ratio == sample_ratio(counts, ROUTING.shares), "it counts once"


def test_long_examples_are_cut(street):
    served(street, arms=["other"] * 40)
    street.lake.tables["toy", "predictions"][FIRST]["id"] = [f"{'x' * 200}{at}" for at in range(40)]
    assert split(street)[1].words.endswith(f"for example ('{'x' * 78}")


def test_what_was_stood_in_for_is_in_no_arm(street):
    meant = served(street)
    fallen = next(name for name, arm in meant.items() if arm == "canary")
    served(street, arms=["fallback" if name == fallen else arm for name, arm in meant.items()])
    assert [one.n for one in split(street)] == [39, 39]
    served(street, arms=["fallback"] * 40)
    ratio, exposure = split(street, as_of=moment(SECOND))
    assert (ratio.verdict, exposure.verdict) == (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE)
    assert exposure.words == "0 of 0 entities were answered outside their arm"


def test_before_anybody_was_served_in_this_stage_nothing_is_said(street):
    served(street)
    for gate, found in zip(("sample_ratio", "exposure"), split(street, since=moment(THIRD)), strict=True):
        assert found == GateResult(gate=gate, verdict=Verdict.INCONCLUSIVE, n=0, words=NOBODY)
    assert split(street, as_of=moment(SECOND))[1].n == 40
    assert split(street, as_of=moment(FIRST, hours=5))[1].n == 6, "what was known by then"
    street.lake.said(THIRD, "v1", 1.0, model="doll")
    assert split(street, since=moment(THIRD))[0].words == NOBODY


def test_entities_are_those_that_are_routed_by(street):
    edited(street, "rollout: {margin: 0.25}", "rollout: {margin: 0.25, route_by: [shop]}")
    served(street, arms=[ROUTING.route(("north",)).arm] * 40)
    street.lake.replace_partition("toy", "raw", FIRST, rows(FIRST, 40).assign(shop="north"))
    assert split(street, as_of=moment(SECOND))[1].n == 1


# --- whether it answers


def test_a_version_that_answers_serves_and_another_is_told(tmp_path):
    made = Fitted(tmp_path)
    passed = GateResult(gate="serves", verdict=Verdict.PASS, words="v2 loads and answers")
    assert serves(made.stores, "toy", "v2") == passed
    gone = serves(made.stores, "toy", "v9")
    assert (gone.gate, gone.verdict) == ("serves", Verdict.FAIL)
    assert gone.words.startswith("model 'toy' has no version 'v9' in the ledger")
    assert len(serves(made.stores, "toy", "v" * 400 * 10).words) == 2000
