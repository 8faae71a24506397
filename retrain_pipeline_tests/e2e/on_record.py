"""What a project's stores and its Dagster hold, read from outside while its processes run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from retrain_pipeline.alerts import ALERTING
from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.ledger.store import Ledger


@dataclass
class Record:
    """The records under one folder: `dagster/` and `state/`."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.folder / "dagster"))

    def runs(self, **tags: str) -> list[dg.DagsterRun]:
        with self.instance() as instance:
            return list(instance.get_runs(dg.RunsFilter(tags=tags)))

    def status(self, run_id: str) -> str:
        with self.instance() as instance:
            run = instance.get_run_by_id(run_id)
        assert run is not None
        return run.status.value

    def events(self, run_id: str) -> list[Any]:
        with self.instance() as instance:
            return list(instance.all_logs(run_id))

    def entries(self, **asked: Any) -> list[Entry]:
        """Return entries of the ledger."""
        if not (self.state / "ledger.db").exists():
            return []
        ledger = Ledger(f"sqlite:///{self.state / 'ledger.db'}")
        try:
            return ledger.entries(**asked)
        finally:
            ledger.close()

    def champion(self, model: str) -> tuple[int, str] | None:
        """Return epoch and digest of the deployment."""
        ledger = Ledger(f"sqlite:///{self.state / 'ledger.db'}")
        try:
            row = ledger.deployment(model)
        finally:
            ledger.close()
        return (row.epoch, row.state_digest) if row else None

    def alerts(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """Return what the alert log holds, of one run or of all."""
        path = self.state / "alerts.jsonl"
        told = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        assert {one["kind"] for one in told} <= ALERTING.keys()
        return [one for one in told if run_id in (None, one["run_id"])]
