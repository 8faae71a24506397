"""The code location: what it imports, where it loads from, how many jobs it makes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from retrain_pipeline.assets.common import DATA_SIDE, MODEL_SIDE
from retrain_pipeline.assets.model import project_definitions
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline_tests.assets.conftest import DEFS, write_model

CHECKOUT = Path(__file__).parents[2]
HEAVY = ("pandas", "numpy", "sklearn", "scipy", "evidently", "polars", "pandera", "deltalake", "skops", "pyarrow")
LOAD = f"""
import json, sys
from retrain_pipeline.definitions import defs
loaded = defs() if not hasattr(defs, "resolve_asset_graph") else defs
repository = loaded.get_repository_def()
print(json.dumps({{
    "heavy": [name for name in {HEAVY!r} if name in sys.modules],
    "assets": sorted(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()),
    "package": sys.modules["retrain_pipeline"].__file__,
}}))
"""


def load_in_fresh_interpreter(folder: Path, **environment: str) -> dict:
    """Load the code location as Dagster would, in a new process that starts in `folder`."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.dagster_fact("K12")
def test_code_location_loads_without_the_heavy_libraries():
    assert load_in_fresh_interpreter(CHECKOUT)["heavy"] == []


@pytest.mark.dagster_fact("K13")
@pytest.mark.slow
def test_definitions_load_from_an_installed_wheel(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )
    wheel = next((tmp_path / "dist").glob("*.whl"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--no-index",
            "--target",
            str(tmp_path / "site"),
            str(wheel),
        ],
        check=True,
    )
    loaded = load_in_fresh_interpreter(tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert loaded["package"].startswith(str(tmp_path / "site"))
    assert loaded["assets"] == load_in_fresh_interpreter(CHECKOUT)["assets"]
    assert "lending/release" in loaded["assets"]


def toys(folder: Path, count: int) -> list:
    return [
        read_declaration(write_model(folder / f"toy{i}", DEFS.replace("name: toy", f"name: toy{i}")))
        for i in range(count)
    ]


@pytest.mark.dagster_fact("K14")
def test_jobs_do_not_grow_with_models(tmp_path):
    one = project_definitions(toys(tmp_path / "one", 1)).get_repository_def()
    five = project_definitions(toys(tmp_path / "five", 5)).get_repository_def()
    assert len(five.get_all_jobs()) == len(one.get_all_jobs())
    assert len(five.schedule_defs) == len(one.schedule_defs) == 3


@pytest.mark.requirement("D4")
def test_a_declaration_gives_the_whole_asset_group(tmp_path):
    (declaration,) = toys(tmp_path, 1)
    graph = project_definitions([declaration]).resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert keys == {f"toy0/{asset}" for asset in (*DATA_SIDE, *MODEL_SIDE, "drill", "audit", "replay")}
    for asset in DATA_SIDE:
        assert graph.get(dg.AssetKey(["toy0", asset])).partitions_def is not None
    for asset in MODEL_SIDE:
        assert graph.get(dg.AssetKey(["toy0", asset])).partitions_def is None
    edges = {
        (parent.path[-1], key.path[-1]) for key in graph.get_all_asset_keys() for parent in graph.get(key).parent_keys
    }
    assert edges == {
        ("raw", "features"),
        ("features", "predictions"),
        ("raw", "feedback"),
        ("predictions", "feedback"),
        ("features", "monitoring"),
        ("predictions", "monitoring"),
        ("feedback", "monitoring"),
        ("monitoring", "rollout"),
        ("features", "training_set"),
        ("feedback", "training_set"),
        ("training_set", "candidate"),
        ("candidate", "evaluation"),
        ("evaluation", "release"),
        ("release", "insight"),
        ("release", "model_card"),
        ("insight", "model_card"),
        ("model_card", "records"),
        ("release", "drill"),
        ("records", "audit"),
        ("feedback", "replay"),
    }


@pytest.mark.dagster_fact("K8")
@pytest.mark.parametrize("day", ["2024-03-31", "2024-10-27", "2024-03-10", "2024-11-03"])
def test_a_period_has_its_hours_on_days_when_clocks_change(tmp_path, day):
    defs = DEFS.replace("period: week", "period: day")
    declaration = read_declaration(write_model(tmp_path / "daily", defs))
    partitions = declaration.spec.data.time.calendar()
    from retrain_pipeline.assets.common import partitions_of

    window = partitions_of(declaration.spec).time_window_for_partition_key(day)
    assert (window.end - window.start).total_seconds() == 24 * 3600
    assert (window.start, window.end) == partitions.bounds(day)


@pytest.mark.parametrize("cadence", ["hour", "day", "week", "month"])
def test_dagsters_partitions_are_the_calendars_periods(tmp_path, cadence):
    from datetime import UTC, datetime

    from retrain_pipeline.assets.common import partitions_of

    start = "2024-01-01" if cadence == "month" else "2024-01-06"
    defs = DEFS.replace("period: week, start: 2024-01-01", f"period: {cadence}, start: {start}")
    spec = read_declaration(write_model(tmp_path / "model", defs)).spec
    now = datetime(2024, 3, 1, 12, 30, tzinfo=UTC)
    calendar = spec.data.time.calendar()
    keys = partitions_of(spec).get_partition_keys(now)
    assert keys[-1] == calendar.newest_complete(now)
    assert list(keys) == calendar.keys_between(calendar.origin, calendar.bounds(keys[-1])[1])
