"""History played through Dagster: period after period the data side, then whatever the sensor asks for.

For the demo, for end-to-end tests, and for a team that brings a history: the same assets, checks and sensor as in
production, run in this process, with the end of each period as "now".
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME

from retrain_pipeline.assets.common import MODEL_SIDE, MODEL_TAG, SIDE_TAG, asset_keys, data_side
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.assets.schedules import RANGE_END, RANGE_START
from retrain_pipeline.spec.declaration import Declaration

RUN_KEY = "dagster/run_key"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Played:
    """One period: the run of the data side, and what the sensor asked for, or why it did not."""

    period: str
    data_run: str
    data_ok: bool
    retrain_run: str | None
    retrain_ok: bool | None
    why: str
    """Of a data side that failed: its error."""


class Player:
    """Plays one model's history on an instance, with the definitions of a project."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance, declaration: Declaration) -> None:
        self.instance = instance
        self.definitions = definitions
        self.model = declaration.spec.name
        job = definitions.resolve_implicit_global_asset_job_def()
        self._sides = {
            "data": job.get_subset(asset_selection=set(data_side(declaration))),
            "model": job.get_subset(asset_selection=set(asset_keys(self.model, MODEL_SIDE))),
            "drill": job.get_subset(asset_selection=set(asset_keys(self.model, ["drill"]))),
        }
        self._spec = declaration.spec
        self._sensor = definitions.resolve_sensor_def(f"{self.model}_retrain")

    def data(self, period: str) -> dg.ExecuteInProcessResult:
        """Run the data side for one period."""
        return self._run("data", {SIDE_TAG: "data"}, QUIET, partition_key=period)

    def backfill(self, first: str, last: str) -> dg.ExecuteInProcessResult:
        """Run the data side for a range of periods, in one run."""
        return self._run("data", {SIDE_TAG: "data", RANGE_START: first, RANGE_END: last}, QUIET)

    def ask(self) -> dg.RunRequest | str:
        """Let the sensor look; return the run that it asks for, or why it does not."""
        resources = dict(self.definitions.resources or {})
        with dg.build_sensor_context(
            instance=self.instance, definitions=self.definitions, resources=resources
        ) as context:
            tick = self._sensor.evaluate_tick(context)
        requests = tick.run_requests or []
        if not requests:
            return tick.skip_message or "nothing to do"
        key = requests[0].run_key or ""
        # what the daemon does: a run key is asked for once
        if self.instance.get_runs_count(dg.RunsFilter(tags={RUN_KEY: key})):
            return f"{key} was asked for before"
        return requests[0]

    def retrain(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run what the sensor asked for."""
        tags = {**request.tags, RUN_KEY: request.run_key or ""}
        return self._run("model", tags, {**QUIET, **request.run_config})

    def retrain_by_hand(self) -> dg.ExecuteInProcessResult:
        """Run the model side as a person does who does not wait for the sensor."""
        return self._run("model", {SIDE_TAG: "model"}, QUIET)

    def drill_when_due(self) -> None:
        """Rehearse the way back where its schedule would."""
        from retrain_pipeline.release.drills import is_due

        stores: StoresResource = (self.definitions.resources or {})["stores"]
        if is_due(stores.open().ledger, self._spec):
            self._run("drill", {SIDE_TAG: "drill"}, QUIET)

    def step(self, period: str) -> Played:
        """Play one period."""
        data = self.data(period)
        if not data.success:
            return Played(period, data.run_id, False, None, None, _error(data))
        self.drill_when_due()
        asked = self.ask()
        if isinstance(asked, str):
            return Played(period, data.run_id, data.success, None, None, asked)
        run = self.retrain(asked)
        return Played(period, data.run_id, data.success, run.run_id, run.success, asked.tags.get("retrain/why", ""))

    def _run(self, side: str, tags: dict[str, str], config: dict[str, Any], **kwargs: Any) -> dg.ExecuteInProcessResult:
        run_id = str(uuid4())
        with kept_open(self.instance, run_id):
            return self._sides[side].execute_in_process(
                instance=self.instance,
                run_id=run_id,
                tags={MODEL_TAG: self.model, **tags},
                run_config=config,
                raise_on_error=False,
                **kwargs,
            )


@contextmanager
def kept_open(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Keep the two SQLite files that a run's events are written to open while it runs.

    Dagster opens a file anew for every event. Whoever is the last to close a file in WAL mode copies the log into it
    and waits for the disk: with nobody else there, a tenth of the processor time of a period, and more of its wall
    clock.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        yield
        return
    with storage.run_connection(run_id):
        pass  # makes the file, as Dagster would at the first event
    with closing(_opened(storage, INDEX_SHARD_NAME)), closing(_opened(storage, run_id)):
        yield


def _opened(storage: SqliteEventLogStorage, shard: str) -> sqlite3.Connection:
    connection = sqlite3.connect(storage.path_for_shard(shard))
    connection.execute("PRAGMA schema_version").fetchone()  # a file is opened when it is first read
    return connection


def _error(result: dg.ExecuteInProcessResult) -> str:
    """Return what the first step that failed said."""
    for event in result.all_events:
        error = event.step_failure_data.error if event.is_step_failure else None
        if error is not None:
            return str((error.cause or error).message).strip()[:2000]
    return "no step failed: see the run"


def play(player: Player, periods: Sequence[str]) -> Iterator[Played]:
    """Play periods in order."""
    for period in periods:
        yield player.step(period)
