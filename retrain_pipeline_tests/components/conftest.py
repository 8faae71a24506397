"""Copies of the project, loaded by Dagster in processes of their own."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from retrain_pipeline_tests.bench.load import project_of

LOAD = """
import json, sys
from datetime import UTC, datetime
import dagster as dg
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.definitions import defs
repository = defs().get_repository_def()
instance = dg.DagsterInstance.local_temp()  # a schedule's context asks for one that another process could open
nodes = {node.key.to_user_string(): node for node in repository.asset_graph.asset_nodes}
asked = []
for schedule in repository.schedule_defs:
    with dg.build_schedule_context(
        instance=instance,
        repository_def=repository,
        scheduled_execution_time=datetime(2025, 3, 5, 0, 15, tzinfo=UTC),
        resources={"stores": StoresResource(home=sys.argv[1])},
    ) as context:
        tags = [request.tags for request in schedule.evaluate_tick(context).run_requests]
        asked += [one["retrain/model"] for one in tags if "retrain/model" in one]  # the portal is of all models
print(json.dumps({
    "assets": sorted(nodes),
    "descriptions": {key: node.description for key, node in nodes.items()},
    "tags": {key: dict(node.tags) for key, node in nodes.items()},
    "schedules": [schedule.name for schedule in repository.schedule_defs],
    "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
    "asked": sorted(asked),
}))
"""


@dataclass(frozen=True)
class Copy:
    """A copy of the project with models of its own."""

    folder: Path

    @property
    def defs(self) -> Path:
        return self.folder / "retrain_pipeline" / "defs"

    def file(self, model: str) -> Path:
        return self.defs / "models" / model / "defs.yaml"

    def edit(self, model: str, *exchanges: tuple[str, str], more: str = "") -> None:
        text = self.file(model).read_text()
        for old, new in exchanges:
            assert text.count(old) == 1, (old, text.count(old))
            text = text.replace(old, new)
        self.file(model).write_text(text + more)

    def run(self, *command: str) -> subprocess.CompletedProcess:
        binaries = Path(sys.executable).parent
        path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER", "RETRAIN"))}
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment | {"PYTHONPATH": str(self.folder), "PATH": path, "COLUMNS": "200", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    def load(self) -> dict:
        done = self.run(sys.executable, "-c", LOAD, str(self.folder / "state"))
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture
def copy_of_project(tmp_path):
    """Return a function that makes a copy of the project with this many good models, `model_000` and on."""
    yield lambda models: Copy(project_of(tmp_path, models))
    shutil.rmtree(tmp_path / "retrain_pipeline", ignore_errors=True)
