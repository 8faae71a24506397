"""The stores as a lane gets them.

What a lane may do follows from what it is handed. Its lake reads the rows and labels of its model and writes tables of
its own; its ledger enters what the lane did and refuses, on record, whatever is about anybody else.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.lake.partitions import PartitionWrite
from retrain_pipeline.lake.tables import Lake, Snapshot
from retrain_pipeline.lanes import OPENED, Lane, LaneRefused
from retrain_pipeline.ledger.entries import Entry, NewEntry
from retrain_pipeline.ledger.store import Ledger

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.fs
    from deltalake import DeltaTable

    from retrain_pipeline.ledger.writing import Change

REFUSED = "refused"
SHARED = ("raw", "quarantine", "labels", "deliveries")
"""Tables that a lane reads of its model: the source is read once, and rows are quarantined once."""


class LaneLedger(Ledger):
    """The ledger as a lane gets it: all can be read, and written only what the lane itself did.

    Parameters
    ----------
    lane
        Whose it is.
    url, options
        As for `Ledger`.
    """

    def __init__(self, url: str, lane: Lane, **options: Any) -> None:
        super().__init__(url, **options)
        self._lane = lane
        self._opened = False

    def restore_deployments(self, actor: str) -> list[str]:
        """Refuse: the rows are everybody's."""
        self.refuse("deployments_restored", None)

    def refuse(self, attempted: str, model: str | None) -> NoReturn:
        """Enter what was tried, once a day, and raise LaneRefused."""
        lane, whose = self._lane, model or "the project"
        words = f"lane {lane.name} may not do {attempted} to {whose}: it runs beside {lane.of} and changes only itself"
        key = f"{REFUSED}:{lane.name}:{attempted:.100}:{whose}:{datetime.now(UTC):%Y%m%d}"
        payload = {"attempted": attempted, "of": whose, "words": words, "roles": None}
        self._enter(NewEntry(f"lane:{lane.name}", REFUSED, lane.name, payload=payload, key=key))
        raise LaneRefused(words)

    def _record(self, new: NewEntry, change: "Change | None") -> Entry:
        if new.model != self._lane.name:
            self.refuse(new.action, new.model)
        if new.key is not None and not self._is_own_key(new.key, new.run_id):
            self.refuse(f"{new.action} under the key {new.key:.80}", self._lane.of)
        return self._enter(new, change)

    def _is_own_key(self, key: str, run_id: str | None) -> bool:
        """Return whether nobody else would ever use a key: who took a model's key would keep it from its entry."""
        parts = key.split(":")
        if self._lane.name in parts:
            return True
        if run_id is None or run_id not in parts:
            return False
        return all(entry.model == self._lane.name for entry in self.entries(run_id=run_id))

    def _enter(self, new: NewEntry, change: "Change | None" = None) -> Entry:
        if not self._opened:
            lane = self._lane
            payload = {"of": lane.of, "because": lane.why}
            opened = NewEntry(f"lane:{lane.name}", OPENED, lane.name, payload=payload, key=f"{OPENED}:{lane.name}")
            super()._record(opened, None)
            self._opened = True
        return super()._record(new, change)


class LaneLake(Lake):
    """The lake as a lane gets it: its own tables, over the rows and labels of its model, which it can only read.

    Parameters
    ----------
    lane
        Whose it is.
    refuse
        Called with what was tried and whose it is; it raises.
    url, storage_options
        As for `Lake`.
    """

    def __init__(
        self,
        url: str,
        lane: Lane,
        refuse: Callable[[str, str | None], NoReturn],
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(url, storage_options)
        self._lane, self._refuse = lane, refuse

    def snapshot(self, model: str, table: str, **wanted: Any) -> Snapshot:
        """Name rows, those of a shared table under the name of the model: so anybody can read them again."""
        return super().snapshot(self._owner(model, table), table, **wanted)

    def filesystem(self, model: str, area: str) -> "pyarrow.fs.FileSystem":
        """Return a side area of the lane's own; its model's deliveries are not for it."""
        if model != self._lane.name:
            self._refuse(f"open of the area {area}", model)
        return super().filesystem(model, area)

    def _owner(self, model: str, table: str) -> str:
        return self._lane.of if model == self._lane.name and table in SHARED else model

    def _uri(self, model: str, table: str) -> str:
        return super()._uri(self._owner(model, table), table)

    def _write(
        self,
        model: str,
        table: str,
        periods: Sequence[str],
        contents: "Callable[[DeltaTable], Mapping[str, pd.DataFrame]]",
    ) -> list[PartitionWrite]:
        if (owner := self._owner(model, table)) != self._lane.name:
            self._refuse(f"write of the table {table}", owner)
        return super()._write(model, table, periods, contents)


class LaneArtifacts(Artifacts):
    """The artifacts as a lane gets them: bytes under their digest can be added, and nothing can be taken away."""

    def __init__(self, url: str | Path, refuse: Callable[[str, str | None], NoReturn]) -> None:
        super().__init__(url)
        self._refuse = refuse

    def sweep(self, reachable: Any, *, grace_hours: float = 168.0) -> list[str]:
        """Refuse: what a lane does not reach, others do."""
        self._refuse("sweep of the artifacts", None)

    def remove(self, digest: str) -> bool:
        """Refuse: the bytes may be others', too."""
        self._refuse("removal of an artifact", None)
