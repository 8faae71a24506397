"""Real data sets go through ingest as they are."""

import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from retrain_pipeline.lake.declared import Data
from retrain_pipeline.lake.ingest import ingest_labels, ingest_period
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.verdicts import Verdict

FOLDER = Path(os.environ.get("RETRAIN_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
SETS: dict[str, dict[str, Any]] = {
    "bike_demand": {
        "source": {"kind": "csv", "path": "bike_demand/hour.csv"},
        "key": ["instant"],
        "time": {"column": "dteday", "period": "week", "start": date(2011, 1, 1)},
        "label": {"column": "cnt", "task": "regression", "delay_hours": 24},
        "columns": {
            "temp": {"dtype": "float", "range": (0, 1)},
            "season": {"dtype": "category", "values": ("1", "2", "3", "4")},
            "hr": {"dtype": "int", "range": (0, 23)},
        },
    },
    "electricity": {
        "source": {"kind": "csv", "path": "electricity/electricity.csv.gz"},
        "key": ["timestamp"],
        "time": {"column": "timestamp", "period": "week", "start": date(1996, 5, 7)},
        "label": {"column": "price_up", "task": "binary"},
        "columns": {"nswprice": {"dtype": "float"}, "nswdemand": {"dtype": "float"}},
    },
    "beijing_pm25": {
        "source": {"kind": "parquet", "path": "beijing_pm25/beijing_pm25.parquet"},
        "key": ["No"],
        "time": {"column": "time", "period": "week", "start": date(2010, 1, 1)},
        "label": {"column": "pm_data", "task": "regression"},
        "columns": {
            "TEMP": {"dtype": "float", "unit": "celsius"},
            "cbwd": {"dtype": "category"},
            "DEWP": {"dtype": "int"},
        },
    },
    "metro_traffic": {
        "source": {"kind": "parquet", "path": "metro_traffic/metro_traffic.parquet"},
        "key": ["date_time", "weather_description"],
        "time": {"column": "date_time", "period": "week", "start": date(2012, 10, 2)},
        "label": {"column": "traffic_volume", "task": "regression"},
        "columns": {
            "temp": {"dtype": "float"},
            "holiday": {"dtype": "category"},
            "weather_description": {"dtype": "category"},
        },
    },
}
# Rows and labels of the first three weeks, counted from the files with pandas alone.
EXPECTED = {
    "bike_demand": ([161, 163, 155], [161, 163, 155]),
    "electricity": ([336] * 3, [336] * 3),
    "beijing_pm25": ([168] * 3, [144, 168, 168]),
    "metro_traffic": ([150, 175, 188], [150, 175, 188]),
}


@pytest.mark.parametrize("name", SETS)
def test_the_first_weeks_of_a_real_set_arrive_whole(tmp_path: Path, name: str) -> None:
    if not (FOLDER / name).is_dir():
        pytest.skip(f"the real data sets are not at {FOLDER}: set RETRAIN_SHARED_DATA to their folder")
    lake, data = Lake(str(tmp_path)), Data.model_validate(SETS[name])
    calendar = data.time.calendar()
    keys = calendar.keys_between(calendar.origin, calendar.origin + timedelta(weeks=3))
    reports = [ingest_period(lake, data, name, key, root=FOLDER) for key in keys]
    labels = [ingest_labels(lake, data, name, key, root=FOLDER) for key in keys]
    assert [report.rows for report in reports] == EXPECTED[name][0]
    assert [report.rows for report in labels] == EXPECTED[name][1]
    assert {report.verdict for report in reports} == {Verdict.PASS}
    raw = lake.read(name, "raw")
    assert raw["_event_time"].is_monotonic_increasing
    assert not raw.duplicated(list(data.key)).any()
    assert set(data.columns) <= set(raw.columns)
    assert data.label.column in raw.columns
