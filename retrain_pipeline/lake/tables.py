"""The lake: one Delta table per model and kind of data, replaced one period at a time, every version addressable.

A partition carries its own digest and row count as a second partition value, so both are in the Delta log: writing the
same content again is noticed without reading, and an empty partition (one marker row, never shown) is present with 0
rows, in every version and on any storage. Log and files are kept for good: a manifest may cite any version.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake import frames
from retrain_pipeline.lake.digests import frame_digest
from retrain_pipeline.lake.errors import PartitionContended, SnapshotChanged, TableMissing
from retrain_pipeline.lake.frames import CONTENT, EVENT_TIME, KNOWN_TIME, PERIOD
from retrain_pipeline.lake.handles import opened
from retrain_pipeline.lake.partitions import Partition, PartitionWrite, commit, lazy_scan, partitions_of, scan
from retrain_pipeline.lake.storage import open_area
from retrain_pipeline.names import check_name
from retrain_pipeline.periods import as_utc

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow.fs
    from deltalake import DeltaTable

__all__ = ["TABLES", "Lake", "Partition", "PartitionWrite", "Snapshot"]

TABLES = (
    "raw", "quarantine", "features", "labels", "predictions", "shadow", "feedback", "monitoring", "signals",
    "deliveries",
)  # fmt: skip

_ATTEMPTS = 20
_CONFIGURATION = {
    "delta.checkpointInterval": "20",  # opening a table reads the commits since the last checkpoint one by one
    # delta-rs would drop log entries after 30 days, and with them versions that training sets cite.
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}


@dataclass(frozen=True)
class Snapshot:
    """A named, re-readable set of rows: one version of one table, some periods, what was known by a moment."""

    model: str
    table: str
    version: int
    predicate: str
    periods: tuple[str, ...]
    known_by: str | None
    rows: int
    digest: str

    def to_json(self) -> dict[str, Any]:
        """Return the snapshot as JSON values."""
        return {**asdict(self), "periods": list(self.periods)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Snapshot":
        """Return the snapshot that `to_json` wrote."""
        return cls(**{**value, "periods": tuple(value["periods"])})


class Lake:
    """Tables under one URL.

    Parameters
    ----------
    url
        A folder, or an object-storage URL such as ``s3://bucket/lake``.
    storage_options
        What delta-rs needs to reach the storage (``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, ...).
    """

    def __init__(self, url: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.url = str(url).rstrip("/")
        self.storage_options = dict(storage_options or {})

    def replace_partition(self, model: str, table: str, period: str, frame: "pd.DataFrame") -> PartitionWrite:
        """Make the content of one partition equal to `frame`.

        Parameters
        ----------
        frame
            Has aware `_event_time` and `_known_time` without gaps; `_period` is added. An empty frame is a legal
            partition: present with 0 rows.

        Returns
        -------
        PartitionWrite
            With `changed` False and no new version when the partition holds the same rows already, in whatever order.

        Raises
        ------
        ColumnRefused
            When a column cannot be stored, or not in the type that the table has.
        PartitionContended
            When other writers kept winning.
        """
        return self._write(model, table, [period], lambda handle: {period: frame})[0]

    def replace_partitions(
        self, model: str, table: str, contents: "Mapping[str, pd.DataFrame]"
    ) -> list[PartitionWrite]:
        """Replace partitions, by period, in one step: a reader sees all of them or none.

        As `replace_partition` otherwise, and in the same order.
        """
        return self._write(model, table, list(contents), lambda handle: contents) if contents else []

    def update_partition(
        self, model: str, table: str, period: str, change: Callable[["pd.DataFrame"], "pd.DataFrame"]
    ) -> PartitionWrite:
        """Replace one partition by a function of its present content, as if nobody else wrote meanwhile.

        `change` gets the rows of the partition (an empty frame without columns when there are none) and may be called
        again when another writer was faster.
        """

        def changed(handle: "DeltaTable") -> "Mapping[str, pd.DataFrame]":
            return {period: change(scan(handle, [period], None, None))}

        return self._write(model, table, [period], changed)[0]

    def read(
        self,
        model: str,
        table: str,
        *,
        periods: Sequence[str] | None = None,
        known_by: datetime | None = None,
        version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> "pd.DataFrame":
        """Return rows by event time, ties by period and then as written.

        Parameters
        ----------
        periods
            Partitions to read; default all. Those that are not there contribute nothing.
        known_by
            Only rows with `_known_time` up to and including this moment.
        version
            Version of the table; default the newest.
        columns
            Columns to return, in this order; default all.

        Returns
        -------
        pandas.DataFrame
            Without rows and columns when the table does not exist.

        Raises
        ------
        TableMissing
            For a version or a column that the table does not have.
        """
        import pandas as pd

        handle = self._open(model, table, version)
        if handle is None:
            return pd.DataFrame()
        return scan(handle, periods, known_by, columns)

    def lazy(
        self, model: str, table: str, periods: Sequence[str], *, known_by: datetime | None = None
    ) -> "pl.LazyFrame | None":
        """Return the rows of some periods of the newest version, to be streamed; None when the table does not exist.

        Nothing is read before the frame is collected, and then only the columns and files that it needs. Rows come in
        the order of their files.
        """
        handle = self._open(model, table, None)
        return None if handle is None else lazy_scan(handle, periods, known_by)

    def version(self, model: str, table: str) -> int | None:
        """Return the newest version of a table, or None when there is none."""
        handle = self._open(model, table, None)
        return None if handle is None else handle.version()

    def periods(self, model: str, table: str, version: int | None = None) -> list[str]:
        """Return the periods that are present, in order, those with 0 rows included."""
        return list(self.partitions(model, table, version))

    def partitions(self, model: str, table: str, version: int | None = None) -> dict[str, Partition]:
        """Return rows and digest of every partition by period, in order, from the log alone."""
        handle = self._open(model, table, version)
        return {} if handle is None else partitions_of(handle)

    def snapshot(
        self,
        model: str,
        table: str,
        *,
        periods: Sequence[str],
        known_by: datetime | None = None,
        version: int | None = None,
    ) -> Snapshot:
        """Name rows so that they can be read again, unchanged, for ever.

        Raises
        ------
        TableMissing
            When the table or the version does not exist.
        """
        handle = self._open(model, table, version)
        if handle is None:
            raise TableMissing(f"table {model}/{table} does not exist in {self.url}: write a period first")
        wanted = tuple(sorted(set(periods)))
        moment = None if known_by is None else as_utc(known_by).isoformat()
        predicate = f"{PERIOD} IN ({', '.join(map(repr, wanted))})"
        if moment is not None:
            predicate += f" AND {KNOWN_TIME} <= '{moment}'"
        frame = scan(handle, wanted, known_by, None)
        digest = frame_digest(frame)
        return Snapshot(model, table, handle.version(), predicate, wanted, moment, len(frame), digest)

    def read_snapshot(self, snapshot: Snapshot) -> "pd.DataFrame":
        """Return the rows of a snapshot.

        Raises
        ------
        SnapshotChanged
            When they are not the rows that the snapshot was taken of.
        TableMissing
            When the table or version is gone.
        """
        handle = self._open(snapshot.model, snapshot.table, snapshot.version)
        if handle is None:
            raise TableMissing(f"table {snapshot.model}/{snapshot.table} of a snapshot does not exist in {self.url}")
        known_by = None if snapshot.known_by is None else datetime.fromisoformat(snapshot.known_by)
        frame = scan(handle, snapshot.periods, known_by, None)
        found = frame_digest(frame)
        if found != snapshot.digest:
            raise SnapshotChanged(
                f"{snapshot.model}/{snapshot.table} version {snapshot.version} has {len(frame)} rows of digest "
                f"{found[:12]}, the snapshot {snapshot.rows} of {snapshot.digest[:12]}: restore the table's files"
            )
        return frame

    def filesystem(self, model: str, area: str) -> "pyarrow.fs.FileSystem":
        """Return a file system rooted at a side area of a model, on the same storage as its tables."""
        return open_area(f"{self.url}/{check_name(model, 'model')}/_{check_name(area, 'area')}", self.storage_options)

    def _uri(self, model: str, table: str) -> str:
        if table not in TABLES:
            raise TableMissing(f"table {table!r:.80} is none of {', '.join(TABLES)}")
        return f"{self.url}/{check_name(model, 'model')}/{table}"

    def _open(self, model: str, table: str, version: int | None) -> "DeltaTable | None":
        """Return a table to be read, and never to be written with: others may read by the same handle."""
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            return opened(self._uri(model, table), version, self.storage_options)
        except TableNotFoundError:
            return None
        except DeltaError as error:
            if version is None:
                raise
            raise TableMissing(f"version {version} of {model}/{table} cannot be read: {error}") from error

    def _create(self, model: str, table: str) -> "DeltaTable":
        import pyarrow as pa
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        reserved = {EVENT_TIME: "time", KNOWN_TIME: "time", PERIOD: "string", CONTENT: "string"}
        schema = pa.schema([(name, frames.arrow_type(kind)) for name, kind in reserved.items()])
        try:
            return DeltaTable.create(
                self._uri(model, table),
                schema,
                mode="ignore",
                partition_by=[PERIOD, CONTENT],
                configuration=dict(_CONFIGURATION),
                storage_options=self.storage_options or None,
            )
        except DeltaError:
            handle = self._to_write(model, table)  # somebody else was faster
            if handle is None:
                raise
            return handle

    def _to_write(self, model: str, table: str) -> "DeltaTable | None":
        """Return the newest version of a table, nobody else's to move on."""
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self._uri(model, table), storage_options=self.storage_options or None)
        except TableNotFoundError:
            return None

    def _write(
        self,
        model: str,
        table: str,
        periods: Sequence[str],
        contents: Callable[["DeltaTable"], "Mapping[str, pd.DataFrame]"],
    ) -> list[PartitionWrite]:
        from deltalake.exceptions import CommitFailedError

        for period in periods:
            check_name(period, "period")
        for attempt in range(_ATTEMPTS):
            handle = self._to_write(model, table) or self._create(model, table)
            try:
                return commit(handle, table, contents(handle))
            except CommitFailedError:
                time.sleep(random.uniform(0, 0.02 * 2 ** min(attempt, 6)))  # noqa: S311 - spreads writers, decides nothing
        what = f"{model}/{table} period {', '.join(periods)}"
        raise PartitionContended(f"{what}: {_ATTEMPTS} writes were overtaken by others")
