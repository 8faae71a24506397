"""A monitored period: what is found, what is kept of it, and what it costs."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.monitoring.drift import Drift, drift
from retrain_pipeline.monitoring.errors import ReferenceMissing, SummaryMissing
from retrain_pipeline.monitoring.joint import ALL, slice_rates
from retrain_pipeline.monitoring.kept import read_summary
from retrain_pipeline.monitoring.measuring import Answers, read_answers, read_inputs
from retrain_pipeline.monitoring.monitor import overall
from retrain_pipeline.monitoring.performance import Performance
from retrain_pipeline.monitoring.profile import profile
from retrain_pipeline.monitoring.reference import read_reference, read_sample, store_reference
from retrain_pipeline.monitoring.summaries import merge_profiles
from retrain_pipeline.verdicts import Verdict

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.mark.requirement("D5", "B32")
def test_a_quiet_period_passes_and_every_check_is_in_the_lake(world):
    for week in (6, 7):
        world.pass_week(week)
    report = world.monitor(7)
    assert report.verdict is PASS, report.words
    assert report.performance.verdict is PASS
    assert report.drift.verdict is PASS
    assert report.prediction_drift.verdict is PASS
    assert (report.latency_ms_mean, report.latency_ms_p95) == (0.5, 0.5)
    rows = world.stores.lake.read("small", "monitoring", periods=[world.period(7)])
    assert set(rows.loc[rows["part"] == "drift", "column"]) == {"x", "z", "kind"}
    loss = rows[rows["part"] == "loss"].iloc[0]
    feedback = world.stores.lake.read("small", "feedback", periods=[world.period(7)])
    assert loss["statistic"] == pytest.approx(feedback["loss"].mean())
    assert loss["threshold"] == pytest.approx(report.performance.validated)
    names = ["part", "column", "statistic", "threshold", "n", "effect", "verdict", "words"]
    assert set(rows.columns) == {*names, "_event_time", "_known_time", "_period"}


def test_one_ledger_entry_holds_what_the_trigger_reads(world):
    world.pass_week(6)
    report = world.monitor(6)
    entry = world.stores.ledger.latest("small", "monitored")
    payload = entry.payload
    assert entry.seq == report.seq
    assert entry.subject == payload["period"] == world.period(6)
    assert payload["as_of"] == world.end(6).isoformat()
    assert payload["champion"] == world.champion.manifest.version
    assert payload["verdict"] == "PASS"
    assert payload["drift"] == {
        "verdict": "PASS",
        "columns": [],
        "max_effect": report.drift.max_effect,
        "words": report.drift.words,
    }
    assert payload["performance"]["n"] == 144
    assert payload["labelled_periods"] == 7
    assert payload["labels_total"] == 6 * 168 + 144
    # known after the champion's data ended: those of its last day, and of six days since
    assert payload["new_labels_since_champion"] == 168
    stored = world.stores.artifacts.get_json(payload["report"])
    assert stored["checks"]["performance"]["n"] == 144
    assert payload["evidently"] is None
    json.dumps(payload, allow_nan=False)


@pytest.mark.fault("P26")
def test_monitoring_again_enters_nothing_until_something_else_is_found(world):
    world.pass_week(6)
    first = world.monitor(6)
    again = world.monitor(6)
    assert (again.seq, again.report) == (first.seq, first.report)
    assert len(world.stores.ledger.entries(model="small", action="monitored")) == 1
    kept = world.stores.lake.read("small", "feedback", periods=[world.period(6)])
    world.stores.lake.replace_partition("small", "feedback", world.period(6), kept.head(100))
    assert world.monitor(6).seq > first.seq


@pytest.mark.requirement("D16")
def test_a_changed_world_fails_the_performance(world):
    for week in (6, 7):
        world.pass_week(week, slope=-2.0)
    report = world.monitor(7)
    assert report.verdict is FAIL
    assert report.performance.verdict is FAIL
    assert report.drift.verdict is PASS
    assert report.performance.relative_rise > 1


@pytest.mark.fault("I27")
def test_shifted_inputs_and_unseen_categories_are_named_and_counted(world):
    world.pass_week(6, shift=3.0, kinds="abn")
    report = world.monitor(6)
    assert report.drift.columns[0] == "x"
    assert report.prediction_drift.verdict is FAIL
    assert report.unseen == report.unseen_by_column["kind"] == (world.raw[6]["kind"] == "n").sum()
    assert report.verdict is FAIL
    payload = world.stores.ledger.latest("small", "monitored").payload
    assert payload["drift"]["columns"] == list(report.drift.columns)
    assert payload["unseen"] == report.unseen


@pytest.mark.fault("G20")
def test_what_moved_the_same_way_in_the_same_week_of_the_year_before_is_no_drift(world):
    world.pass_week(6, shift=1.0)
    assert world.monitor(6).drift.columns == ("x",)
    for week, shift, drifted in ((58, 1.0, ()), (58, -1.0, ("x",)), (60, 1.0, ("x",))):  # nothing of week 8
        world.pass_week(week, shift=shift)
        assert world.monitor(week).drift.columns == drifted


@pytest.mark.requirement("D20")
def test_late_labels_leave_performance_open_and_drift_answers_alone(make_world):
    world = make_world(label={"delay_hours": 24 * 21})
    for week in range(9):
        world.pass_week(week)
    world.release(8)
    world.pass_week(9)
    report = world.monitor(9)
    assert report.performance.verdict is INCONCLUSIVE
    assert report.verdict is PASS
    assert "by drift alone" in report.words
    assert report.labels.new == 168


def test_before_the_first_release_nothing_can_be_told_but_labels_are_counted(make_world):
    world = make_world()
    for week in range(3):
        world.pass_week(week)
    report = world.monitor(2)
    assert (report.verdict, report.champion) == (INCONCLUSIVE, None)
    assert "no champion yet" in report.words
    assert (report.labels.periods, report.labels.total, report.labels.new) == (3, 480, 480)
    assert report.labels.through == report.as_of
    rows = world.stores.lake.read("small", "monitoring")
    assert set(rows.loc[rows["part"].isin(["drift", "performance"]), "verdict"]) == {"INCONCLUSIVE"}


def test_a_period_without_rows_is_inconclusive(world):
    world.stores.lake.replace_partition(
        "small", "features", world.period(6), world.raw[0][["_event_time", "_known_time"]].head(0)
    )
    report = world.monitor(6)
    assert report.verdict is INCONCLUSIVE
    assert "the period has no features" in report.words
    assert report.latency_ms_p95 is None


def test_a_champion_without_reference_or_promise_is_judged_on_the_rest(make_world):
    world = make_world()
    for week in range(6):
        world.pass_week(week)
    version = world.release(5, with_reference=False)
    world.pass_week(6, slope=-2.0)
    report = world.monitor(6)
    assert "no reference profile" in report.drift.words
    assert report.performance.verdict is FAIL
    world.stores.ledger.append(NewEntry("test", "released", "small", version, {"validated_loss": None}))
    assert world.monitor(6).verdict is INCONCLUSIVE
    with pytest.raises(ReferenceMissing, match="profile it"):
        read_reference(world.stores, "small", version)


@pytest.mark.fault("P31")
def test_an_old_period_is_not_judged_by_labels_of_its_future(world):
    for week in (6, 7):
        world.pass_week(week, slope=-2.0)
    report = world.monitor(4)
    assert report.performance.verdict is INCONCLUSIVE
    assert report.labels.total == 5 * 168 - 24
    assert report.labels.new == 0


def test_large_partitions_are_read_a_few_columns_at_a_time(world, monkeypatch):
    world.pass_week(6)
    whole = world.monitor(6)
    monkeypatch.setattr("retrain_pipeline.monitoring.measuring._VALUES_A_READ", 168)
    monkeypatch.setattr("retrain_pipeline.monitoring.feedback._BATCH_ROWS", 1)
    again = world.monitor(6)
    assert again.drift == whole.drift
    assert again.performance == whole.performance
    assert again.labels == whole.labels


def test_columns_that_hold_another_type_than_in_training_are_left_out_and_so_have_drifted(world):
    world.pass_week(6)
    lake, spec, period = world.stores.lake, world.spec, world.period(6)
    numbers = profile(world.raw[6][["x", "z"]].rename(columns={"z": "kind"}))
    inputs = read_inputs(lake, spec, period, world.end(6), numbers, 10)
    assert set(inputs.columns) == {"x"}
    assert list(inputs.sample.columns) == ["x"]
    assert len(inputs.sample) == 10
    assert drift(numbers, inputs.columns, 200.0).columns == ("kind",)
    texts = profile(pd.DataFrame({"prediction": ["a", "b"]}))
    version = world.champion.manifest.version
    assert read_answers(lake, spec, period, version, texts).profile.other == 168
    assert read_answers(lake, spec, period, "another", None) == Answers()


def test_the_reference_is_profiled_once_and_holds_a_sample(world):
    version = world.champion.manifest.version
    digest = world.stores.ledger.latest("small", "profiled", version).payload["profile"]
    assert store_reference(world.stores, world.spec, version) == digest
    assert len(world.stores.ledger.entries(model="small", action="profiled")) == 1
    reference = read_reference(world.stores, "small", version)
    assert reference.features.rows == world.champion.manifest.frozen.train_rows
    assert set(reference.features.columns) == {"x", "z", "kind"}
    assert reference.predictions.columns["prediction"].count == reference.features.rows
    assert len(read_sample(world.stores, reference)) == 100


def test_the_reference_keeps_its_periods_and_a_monitored_period_its_summary(world):
    world.pass_week(6)
    report = world.monitor(6)
    reference = read_reference(world.stores, "small", world.champion.manifest.version)
    assert merge_profiles(reference.feature_periods) == reference.features
    assert merge_profiles(reference.prediction_periods) == reference.predictions
    kept = read_summary(world.stores, "small", world.period(6))
    assert kept.champion == world.champion.manifest.version
    # the check of the summary is the check of the rows
    again = drift(reference.features, kept.features.columns, 200.0, periods=reference.feature_periods, min_effect=0.1)
    assert again == report.drift
    assert kept.features == profile(world.raw[6][["x", "z", "kind"]], reference.features.edges)
    feedback = world.stores.lake.read("small", "feedback", periods=[world.period(6)])
    feedback = feedback[feedback["model_version"] == kept.champion]
    assert slice_rates(kept.joint)[ALL].rows == len(feedback)
    assert slice_rates(kept.joint)[ALL].loss == pytest.approx(feedback["loss"].mean(), abs=1e-5)
    with pytest.raises(SummaryMissing, match="monitor the period"):
        read_summary(world.stores, "small", world.period(5))


def test_a_reference_from_before_periods_were_kept_is_judged_by_a_wider_null(world):
    stores, version = world.stores, world.champion.manifest.version
    entry = stores.ledger.latest("small", "profiled", version)
    value = stores.artifacts.get_json(entry.payload["profile"])
    old = {
        "schema": "reference/1",
        "features": value["features"]["whole"],
        "predictions": value["predictions"]["whole"],
        "sample": value["sample"],
    }
    stores.ledger.append(
        NewEntry("test", "profiled", "small", version, {**entry.payload, "profile": stores.artifacts.put_json(old)})
    )
    world.pass_week(6, shift=3.0)
    report = world.monitor(6)
    assert report.drift.columns == ("x",)
    assert "too few to learn from" in report.drift.words
    assert report.verdict is FAIL


@pytest.mark.parametrize(
    ("performance", "drift", "verdict", "words"),
    [
        (PASS, PASS, PASS, "by performance"),
        (PASS, INCONCLUSIVE, PASS, "by performance"),
        (INCONCLUSIVE, PASS, PASS, "by drift alone"),
        (INCONCLUSIVE, INCONCLUSIVE, INCONCLUSIVE, "performance: p; drift: d"),
        (FAIL, PASS, FAIL, "p"),
        (PASS, FAIL, FAIL, "d"),
        (INCONCLUSIVE, FAIL, FAIL, "d"),
        (FAIL, FAIL, FAIL, "p; d"),
    ],
)
def test_the_verdict_of_a_period(performance, drift, verdict, words):
    found, told = overall(Performance(performance, "p"), Drift(drift, "d"))
    assert found is verdict
    assert told.startswith(words)


def test_monitoring_is_imported_without_heavy_libraries():
    code = (
        "import sys, retrain_pipeline.monitoring.monitor, retrain_pipeline.monitoring.report, "
        "retrain_pipeline.triggers.state\n"
        "print([m for m in ('pandas', 'numpy', 'polars', 'scipy', 'evidently', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "[]"
