"""Learning on real rentals: ten weeks of 2011, by the hour."""

import os
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from retrain_pipeline.lake.ingest import ingest_labels
from retrain_pipeline.learning.build import build_candidate
from retrain_pipeline.learning.features import load_features, update_features
from retrain_pipeline.learning.losses import metric_value, row_losses
from retrain_pipeline.learning.prediction import predict
from retrain_pipeline.learning.reproduce import reproduce
from retrain_pipeline.learning.training_set import freeze_training_set, read_training_set
from retrain_pipeline.learning.versions import load_baseline, load_version
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.learning.small_world import World

WEEKS = 10
FEATURES = """
def build(rows):
    columns = ["season", "hr", "holiday", "workingday", "weathersit", "temp", "hum", "windspeed"]
    return rows[columns].assign(weekday=rows["at"].dt.dayofweek, before=rows["temp"].shift(1))
"""
BOOSTING = {
    "estimator": "sklearn.ensemble.HistGradientBoostingRegressor",
    "params": {"max_iter": 60},
    "search": {"max_leaf_nodes": [15, 31]},
}


@pytest.fixture
def rentals() -> pd.DataFrame:
    beside = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("RETRAIN_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: the real data sets are not part of the repository")
    rows = pd.read_csv(folder / "bike_demand" / "hour.csv", dtype={"season": str, "weathersit": str})
    times = pd.to_datetime(rows["dteday"], utc=True).dt.as_unit("us") + pd.to_timedelta(rows["hr"], unit="h")
    rows = rows.assign(_event_time=times, _known_time=times).drop(columns="dteday")
    return rows[rows["_event_time"] < pd.Timestamp("2011-01-01", tz="UTC") + pd.Timedelta(weeks=WEEKS)]


def bikes() -> ModelSpec:
    number, text = {"dtype": "float"}, {"dtype": "category"}
    columns = dict.fromkeys(("hr", "holiday", "workingday", "temp", "hum", "windspeed", "registered", "casual"), number)
    return ModelSpec.model_validate(
        {
            "name": "bikes",
            "problem": {
                "statement": "Rentals per hour, so that bikes are moved in time.",
                "business_metric": {"name": "lost_rentals", "direction": "down"},
                "success": {"metric": "mae", "at_most": 60},
            },
            "data": {
                "source": {"kind": "csv", "path": "hour.csv"},
                "key": ["instant"],
                "time": {"column": "at", "period": "week", "start": date(2011, 1, 1)},
                "label": {"column": "cnt", "task": "regression", "delay_hours": 24},
                "columns": {**columns, "season": text, "weathersit": text},
            },
            "training": {"window_periods": 8, "candidates": {"boosting": BOOSTING}},
        }
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("D1", "D2", "D38")
def test_a_model_of_real_rentals_beats_its_baselines_and_is_reproduced(world, rentals, tmp_path):
    there: World = world(bikes(), FEATURES)
    spec, stores, calendar = there.spec, there.stores, there.spec.data.time.calendar()
    there.put_raw(rentals)
    periods = calendar.keys_between(calendar.origin, calendar.shift(calendar.origin, WEEKS))
    there.put_features(periods)
    for period in periods:
        ingest_labels(stores.lake, spec.data, spec.name, period, root=tmp_path)

    as_of = calendar.bounds(periods[-1])[1]
    ts = freeze_training_set(stores, spec, as_of)
    # labels are a day late: the newest week is known but for its last day
    assert ts.periods == tuple(periods[-8:])
    assert 0.84 < ts.label_stats["labelled_share"][periods[-1]] < 0.87
    manifest = build_candidate(
        stores, there.declaration, ts, trigger={"kind": "manual", "id": "test"}, run_id=None, actor="tester"
    )

    frames = read_training_set(stores, ts)
    loaded = load_version(stores, "bikes", manifest.version)
    mine = loaded.predict(frames.eval_x).frame
    loss = {"model": metric_value("mae", row_losses("mae", "regression", frames.eval_y, mine))}
    for name in ("dummy", "linear"):
        answers = predict(load_baseline(stores, manifest, name), "regression", frames.eval_x).frame
        loss[name] = metric_value("mae", row_losses("mae", "regression", frames.eval_y, answers))
    assert loss["model"] < 0.6 * loss["linear"] < 0.6 * loss["dummy"]
    assert reproduce(stores, there.declaration, manifest.version).same

    # Members and guests are known only with the sum that is predicted, and are that sum.
    guilty = FEATURES.replace("weekday=", 'riders=rows["registered"] + rows["casual"], weekday=')
    (there.declaration.folder / "features.py").write_text(guilty)
    report = update_features(stores.lake, load_features(there.declaration.folder, spec.features), spec, periods[-1])
    leak = next(check for check in report.checks if check.name == "label_leak")
    assert (leak.verdict, leak.numbers["columns"]) == (Verdict.FAIL, "riders (1.0000)")
    assert report.write is None
