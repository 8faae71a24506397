"""Signals by arm, to the letter: values and errors, what is made of them, and whose rows they are."""

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import retrain_pipeline.release.arms as arms
from retrain_pipeline.monitoring.signal_feeds import Feed
from retrain_pipeline.release.arms import Arm, Told, arms_of, rows_of
from retrain_pipeline.release.guardrails import ENOUGH_ENTITIES, CanaryLook, canary_results, compared
from retrain_pipeline.release.router import CANARY, CONTROL, Routing, Share
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline.spec.rollout import Guardrail
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import write_folder
from retrain_pipeline_tests.release.fitted import Lake, rows

FIRST, SECOND = "2024-02-19", "2024-02-26"


def moment(week, **later):
    return datetime.fromisoformat(f"{week}T00:00:00+00:00") + timedelta(**later)


def routed(share=0.25, salt="salt", holdback=None):
    return Routing("v1", Share("v2", share, salt), holdback and Share("v0", holdback, "held"))


def told(values, aggregate="mean", periods=1, hours=168.0):
    """Rows of entities: pairs of an entity and a value."""
    frame = pd.DataFrame({"entity": [(one,) for one, _ in values], "value": [float(value) for _, value in values]})
    return Told(frame, aggregate, periods, hours)


def in_arm(routing, arm, count):
    """Return so many entities of an arm."""
    names = (f"c{at}" for at in range(100_000))
    return [name for name, _ in zip((n for n in names if routing.route((n,)).arm == arm), range(count), strict=False)]


def declared(folder, task="regression", rollout="guardrails: {prediction_mean: {at_most: 1}}", more="", delay=0):
    write_folder(folder / "toy", task, more=f"  rollout: {{{rollout}}}\n{more}")
    file = folder / "toy" / "defs.yaml"
    file.write_text(file.read_text().replace("{column: y,", f"{{delay_hours: {delay}, column: y,"))
    return read_declaration(folder / "toy").spec


# --- values and errors


def test_a_mean_is_of_rows_and_its_error_of_entities():
    routing = routed()
    one, two = in_arm(routing, CANARY, 2)
    three, four = in_arm(routing, CONTROL, 2)
    (served,) = in_arm(routing, "champion", 1)
    found = told([(one, 1), (one, 5), (two, 0), (three, 4), (four, 7), (served, 99)])
    canary, control = arms_of(found, routing)
    # of (Σ, rows) = (6, 2) and (0, 1) around 2 a row: 2 and -2; √((4 + 4)·2/1)/3
    assert canary == Arm(2.0, pytest.approx(4 / 3), 2)
    # of (4, 1) and (7, 1) around 5.5
    assert control == Arm(5.5, pytest.approx(1.5), 2)


def test_the_error_of_a_mean_is_that_of_a_sample_of_entities():
    routing = routed()
    found = told(list(zip(in_arm(routing, CANARY, 4), (0, 0, 4, 4), strict=True)))
    assert arms_of(found, routing)[0] == Arm(2.0, pytest.approx((16 * 4 / 3) ** 0.5 / 4), 4)


def test_a_single_entity_has_a_value_and_an_empty_arm_none():
    routing = routed()
    (one,) = in_arm(routing, CANARY, 1)
    canary, control = arms_of(told([(one, 3), (one, 4)]), routing)
    assert canary == Arm(3.5, 0.0, 1)
    assert control == Arm(0.0, 0.0, 0)


@pytest.mark.parametrize(("aggregate", "value"), [("sum", 10.0), ("count", 10.0), ("rate", 10 / 168)])
def test_a_total_is_told_as_if_the_arm_were_everybody(aggregate, value):
    routing = routed(holdback=0.2)  # a canary of a quarter of the rest: a fifth of all
    one, two = in_arm(routing, CANARY, 2)
    found = told([(one, 1), (one, 2), (two, 1)], aggregate, periods=2)
    canary, control = arms_of(found, routing)
    assert canary == Arm(pytest.approx(value), pytest.approx(value * 10**0.5 / 4), 2)
    assert control == Arm(0.0, 0.0, 0)


# --- a guardrail by arm


def test_within_its_bound_it_passes_and_says_what_was_seen():
    found = compared("refunds", Guardrail(at_most=0.1), Arm(0.06, 0.03, 40), Arm(0.02, 0.04, 35), 0.01)
    half = stats.t.isf(0.01, 34) * 0.05
    assert (found.gate, found.verdict, found.threshold, found.n) == ("guardrail:refunds", Verdict.PASS, 0.0, 75)
    assert (found.statistic, *found.interval) == pytest.approx((-0.04, 0.04 - half, 0.04 + half))
    assert found.words == (
        "refunds is 0.06 where the canary serves and 0.02 in its control (40 and 35 entities since the stage began), "
        "declared at most 0.1; canary minus control 0.04 [-0.08206, 0.1621], bounds for every look that it may have"
    )


@pytest.mark.parametrize(
    ("bound", "canary", "control", "verdict", "threshold"),
    [
        ({"at_most": 1}, 2.0, 0.5, "FAIL", 0.0),
        ({"at_most": 1}, 2.0, 1.2, "FAIL", 0.2),
        ({"at_most": 1}, 2.0, 1.9, "INCONCLUSIVE", 0.9),
        ({"at_most": 1}, 1.1, 0.9, "INCONCLUSIVE", 0.0),
        ({"at_most": 1}, 2.0, 3.0, "INCONCLUSIVE", 2.0),
        ({"at_most": 1}, 1.0, 0.1, "PASS", 0.0),
        ({"at_most": 1}, 1.001, 0.1, "FAIL", 0.0),
        ({"at_least": 1}, 0.2, 1.5, "FAIL", 0.0),
        ({"at_least": 1}, 0.2, 0.3, "INCONCLUSIVE", 0.7),
        ({"at_least": 1}, 0.2, -1.0, "INCONCLUSIVE", 2.0),
        ({"at_least": 1}, 1.0, 5.0, "PASS", 0.0),
        ({"at_least": 0, "at_most": 1}, -0.5, 0.5, "FAIL", 0.0),
        ({"at_least": 0, "at_most": 1}, 1.5, 0.5, "FAIL", 0.0),
    ],
)
def test_it_fails_where_it_is_beyond_and_shown_to_be_worse_than_its_control(bound, canary, control, verdict, threshold):
    found = compared("refunds", Guardrail(**bound), Arm(canary, 0.1, 50), Arm(control, 0.1, 50), 0.01)
    assert found.verdict is Verdict(verdict)
    assert found.threshold == pytest.approx(threshold)


@pytest.mark.parametrize("bound", [{"at_most": 1}, {"at_least": 3}])
def test_an_arm_that_is_exactly_as_its_control_is_not_shown_worse(bound):
    found = compared("refunds", Guardrail(**bound), Arm(2.0, 0.0, 50), Arm(2.0, 0.0, 50), 0.01)
    assert (found.verdict, found.interval) == (Verdict.INCONCLUSIVE, (0.0, 0.0))


# --- whose rows they are


@pytest.fixture
def stores():
    return SimpleNamespace(lake=Lake())


def values(stores, spec, name, as_of=None):
    found = rows_of(stores, spec, name, moment(FIRST), as_of or moment(SECOND), Path())
    return list(found.rows["value"]), found.periods


def test_answers_are_of_the_periods_since_the_stage_began_as_they_were_known(stores, tmp_path):
    spec = declared(tmp_path)
    assert values(stores, spec, "prediction_mean") == ([], 0)
    for week, answer in (("2024-02-12", 1.0), (FIRST, 2.0), (SECOND, 3.0)):
        stores.lake.said(week, "v1", answer, 2)
    stores.lake.add("predictions", FIRST, rows(FIRST, 1).assign(prediction=9.0, _known_time=moment(SECOND, hours=1)))
    stores.lake.said(FIRST, "v2", np.nan, 1, id="lost")
    assert values(stores, spec, "prediction_mean") == ([2.0, 2.0], 1)
    assert values(stores, spec, "prediction_mean", as_of=moment("2024-03-04")) == ([2.0, 9.0, 2.0, 3.0, 3.0], 2)
    found = rows_of(stores, spec, "prediction_mean", moment(FIRST), moment(SECOND), Path())
    assert list(found.rows["entity"]) == [(f"{FIRST}/0",), (f"{FIRST}/1",)]
    assert (found.aggregate, found.hours) == ("mean", 168)


def test_of_classes_the_mean_is_of_scores_and_a_share_is_of_those_answered_yes(stores, tmp_path):
    spec = declared(tmp_path, "binary")
    for at, (answer, score) in enumerate(((1.0, 0.9), (0.0, 0.2), (1.0, 0.6))):
        stores.lake.add(
            "predictions", FIRST, rows(FIRST, 3)[at : at + 1].assign(prediction=answer, score=score, arm="x")
        )
    assert values(stores, spec, "prediction_mean") == ([0.9, 0.2, 0.6], 1)
    assert values(stores, spec, "positive_share") == ([1.0, 0.0, 1.0], 1)


def test_what_the_champion_had_to_answer_for_a_canary_is_its_error(stores, tmp_path):
    spec = declared(tmp_path)
    stores.lake.said(FIRST, "v1", 1.0, 2, arm="fallback")
    stores.lake.said(FIRST, "v1", 1.0, 1, arm="control", id="other")
    assert sorted(values(stores, spec, "error_rate")[0]) == [0.0, 1.0, 1.0]


def test_labels_that_arrived_when_they_were_due_are_told_by_row(stores, tmp_path):
    spec = declared(tmp_path, delay=24)
    for week in (FIRST, SECOND):
        stores.lake.said(week, "v1", 1.0, 4)
    assert values(stores, spec, "label_arrival_share", as_of=moment(SECOND)) == ([], 0), "none is due"
    due = moment(SECOND, hours=24)
    assert values(stores, spec, "label_arrival_share", as_of=due) == ([], 1), "nobody looked for labels"
    stores.lake.true(FIRST, n=2)
    assert values(stores, spec, "label_arrival_share", as_of=due) == ([1.0, 1.0, 0.0, 0.0], 1)
    stores.lake.true(FIRST, n=3, into=SECOND, _known_time=pd.Timestamp(due))
    assert values(stores, spec, "label_arrival_share", as_of=due) == ([1.0, 1.0, 1.0, 0.0], 1)
    assert values(stores, spec, "label_arrival_share", as_of=moment("2024-03-05")) == ([1.0, 1.0, 1.0] + [0.0] * 5, 2)
    stores.lake.true(FIRST, n=4, into=SECOND, _known_time=pd.Timestamp(due + timedelta(seconds=1)))
    assert values(stores, spec, "label_arrival_share", as_of=moment("2024-03-04")) == ([1.0, 1.0, 1.0, 0.0], 1)


def test_labels_of_each_period_are_those_that_came_since(stores, tmp_path):
    spec = declared(tmp_path)
    for week, labelled in ((FIRST, 3), (SECOND, 1)):
        stores.lake.said(week, "v1", 1.0, 4)
        stores.lake.true(week, n=labelled)
    found = values(stores, spec, "label_arrival_share", as_of=moment("2024-03-04"))
    assert found == ([1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0], 2)


def test_what_no_row_can_be_given_to_is_not_told_by_arm(stores, tmp_path):
    signals = "{source: {kind: csv, path: s.csv}, time: at, column: x, unit: EUR, direction: up}"
    spec = declared(tmp_path, more=f"  signals: {{sales: {signals}}}\n")
    for name in ("latency_ms_p95", "prediction_count", "throughput_rows_per_hour", "sales", "nothing"):
        assert rows_of(stores, spec, name, moment(FIRST), moment(SECOND), Path()) is None


def test_rows_of_a_declared_signal_are_those_that_name_somebody(stores, tmp_path, monkeypatch):
    signal = "{source: {kind: csv, path: s.csv}, time: at, column: x, unit: EUR, direction: up, aggregate: sum, "
    spec = declared(tmp_path, more=f"  signals: {{sales: {signal}entity: [who]}}}}\n")
    known = pd.Series([moment(FIRST)] * 4).astype("datetime64[us, UTC]")
    frame = pd.DataFrame(
        {"period": [FIRST, FIRST, SECOND, SECOND], "value": [1.0, 2, 3, 4], "entity_0": ["a", None, "b", "c"]}
    )
    asked = []

    def peek(*given):
        asked.append(given)
        return Feed(spec.signals["sales"], spec.data.time.calendar(), frame.assign(_known_time=known))

    monkeypatch.setattr(arms, "peek_feed", peek)
    found = rows_of(stores, spec, "sales", moment(FIRST), moment("2024-03-04"), tmp_path)
    assert (list(found.rows["entity"]), list(found.rows["value"])) == ([("a",), ("b",), ("c",)], [1.0, 3.0, 4.0])
    assert (found.aggregate, found.periods, found.hours) == ("sum", 2, 168)
    assert asked == [(stores.lake, spec, "sales", moment(FIRST), moment("2024-03-04"), tmp_path)]
    found = rows_of(stores, spec, "sales", moment(FIRST), moment(SECOND), tmp_path)
    assert (len(found.rows), found.periods) == (1, 1)
    found = rows_of(stores, spec, "sales", moment(FIRST), moment(FIRST), tmp_path)
    assert (list(found.rows.columns), len(found.rows), found.periods) == (["entity", "value"], 0, 0)


# --- all guardrails of a look


def answered(stores, routing, *, canary, control, few=None, n=ENOUGH_ENTITIES):
    """Put answers of so many entities of each arm into the lake, of one arm perhaps of one less."""
    for arm, value in ((CANARY, canary), (CONTROL, control)):
        names = in_arm(routing, arm, n)[arm == few :]
        told = value + np.arange(len(names)) % 3 / 10
        frame = rows(FIRST, len(names)).assign(id=names, prediction=told, arm=arm, score=np.nan)
        stores.lake.add("predictions", FIRST, frame)


def looked(stores, spec, routing, holds=True, longest=5):
    look = CanaryLook(FIRST, moment(FIRST), moment(SECOND), longest, holds)
    return canary_results(stores, spec, routing, look, Path())


BOTH = "guardrails: {prediction_mean: {at_most: 3}, latency_ms_p95: {at_most: 9}}"


def test_each_guardrail_is_by_arm_where_it_can_be_at_its_share_of_alpha(stores, tmp_path):
    spec, routing = declared(tmp_path, rollout=BOTH), routed()
    answered(stores, routing, canary=5, control=1)
    latency, mean = looked(stores, spec, routing)
    assert (latency.gate, latency.words) == ("guardrail:latency_ms_p95", "latency_ms_p95 was not observed")
    expected = compared(
        "prediction_mean", spec.rollout.guardrails["prediction_mean"],
        *arms_of(rows_of(stores, spec, "prediction_mean", moment(FIRST), moment(SECOND), Path()), routing),
        spec.gates.alpha / (5 * 2),
    )  # fmt: skip
    assert mean == expected
    assert (mean.verdict, mean.n) == (Verdict.FAIL, 60)


def test_one_guardrail_has_the_alpha_of_its_looks_alone(stores, tmp_path):
    spec, routing = declared(tmp_path), routed()
    answered(stores, routing, canary=5, control=1)
    (found,) = looked(stores, spec, routing)
    canary, control = arms_of(rows_of(stores, spec, "prediction_mean", moment(FIRST), moment(SECOND), Path()), routing)
    assert found == compared("prediction_mean", Guardrail(at_most=1), canary, control, spec.gates.alpha / 5)


@pytest.mark.parametrize("few", [CANARY, CONTROL])
def test_a_split_that_is_off_and_few_entities_leave_the_whole_service(stores, tmp_path, few):
    spec, routing = declared(tmp_path, rollout=BOTH), routed()
    answered(stores, routing, canary=5, control=1, few=few)
    assert [one.words for one in looked(stores, spec, routing)][1] == "prediction_mean was not observed"
    stores.lake.tables.clear()
    answered(stores, routing, canary=5, control=1)
    assert looked(stores, spec, routing)[1].verdict is Verdict.FAIL
    assert looked(stores, spec, routing, holds=False)[1].words == "prediction_mean was not observed"


def test_a_model_without_guardrails_has_no_results(stores, tmp_path):
    assert looked(stores, declared(tmp_path, rollout="margin: 0.1"), routed()) == []
