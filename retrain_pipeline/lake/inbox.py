"""Deliveries: files taken from a folder (or one file), copied first, hashed and read from the copy, each content once.

The `deliveries` table remembers every file that was looked at, so an unchanged file is neither copied nor read again.
A single file is a snapshot: its newest content replaces what it held before. Files of a folder add up: where two carry
the same key, the later one is a correction.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import time as wall_clock
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.lake import folders
from retrain_pipeline.lake.declared import CsvSource, ParquetSource, TimeColumn
from retrain_pipeline.lake.deliveries import Delivery, deliveries, remember
from retrain_pipeline.lake.errors import SourceRefused, SourceUnsettled
from retrain_pipeline.lake.files import ROW, copy_rows, read_batches
from retrain_pipeline.lake.frames import EVENT_TIME
from retrain_pipeline.lake.keep import Keep
from retrain_pipeline.lake.tables import Lake

if TYPE_CHECKING:
    import pyarrow as pa

FileSource = CsvSource | ParquetSource


@dataclass(frozen=True)
class Taken:
    """What a source holds now: the deliveries to read, and those refused or ignored in this period."""

    deliveries: tuple[Delivery, ...]
    refused: tuple[Delivery, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class Inbox:
    """The deliveries of one feed (`data` or `label`) of one model."""

    lake: Lake
    model: str
    feed: str
    source: FileSource
    time: TimeColumn
    root: Path
    clock: Callable[[], float] = wall_clock
    _keep: Keep = field(init=False)
    _parse: str = field(init=False)

    def __post_init__(self) -> None:
        self._keep = Keep(self.lake, self.model)
        # What decides how bytes become rows: when it changes, files are read again.
        settings = self.source.model_dump(mode="json", exclude={"path", "settle_seconds"})
        self._parse = digest_of([settings, self.time.column, self.time.unit, self.time.timezone])[:16]

    def take(self, period: str) -> Taken:
        """Take what is new in the source, and return what is there for a period.

        Parameters
        ----------
        period
            The period that is read; an empty text when none is, and then files that are refused are not recorded.

        Raises
        ------
        SourceMissing
            When the declared path does not exist.
        SourceUnsettled
            When a single file changes while it is copied.
        """
        path = folders.locate(self.source, self.root)
        known = deliveries(self.lake, self.model)
        seen = {record.identity for record in known}
        notes: list[str] = []
        fresh: list[Delivery] = []
        entries = folders.look(path, self.source)
        for entry in entries:
            if (self.feed, entry.shown, entry.stamp, self._parse) in seen:
                continue
            if path.is_dir() and not entry.rule and 0 <= self.clock() - entry.modified < self.source.settle_seconds:
                notes.append(f"{entry.shown}: written to less than {self.source.settle_seconds} s ago, left for later")
                continue
            try:
                fresh.append(self._met(entry, period, [*known, *fresh]))
            except SourceUnsettled as error:
                if not path.is_dir():
                    raise
                notes.append(str(error))
        if path.is_dir():
            fresh += self._read_again([*known, *fresh])
        if not period:  # a look at how far the source reaches: what is wrong with it is for the period that reads it
            fresh = [record for record in fresh if record.status in ("taken", "duplicate")]
        records = remember(self.lake, self.model, fresh, datetime.fromtimestamp(self.clock(), UTC)) if fresh else known
        current = None if path.is_dir() else {(entry.shown, entry.stamp) for entry in entries}
        return self._current(records, current, period, notes)

    def batches(self, delivery: Delivery, start: datetime, end: datetime, wanted: set[str]) -> "Iterator[pa.Table]":
        """Yield the rows of a delivery in ``[start, end)``, in time order; rows without a readable time last.

        A row without a readable time belongs to the period of the delivery's first row.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        file = self._keep.parquet(self._rows_name(delivery.digest))
        names = [name for name in file.schema_arrow.names if name in wanted or name in (EVENT_TIME, ROW)]
        groups = _groups_between(file.metadata, start, end)
        lowest, highest = (pa.scalar(moment, pa.timestamp("us", tz="UTC")) for moment in (start, end))
        strays = delivery.first is not None and start <= delivery.first < end
        with file:
            for batch in read_batches(file, groups, names):
                moments = batch.column(EVENT_TIME)
                inside = pc.and_(pc.greater_equal(moments, lowest), pc.less(moments, highest))
                kept = batch.filter(pc.fill_null(inside, strays))
                if kept.num_rows:
                    yield pa.Table.from_batches([kept])

    def schema(self, delivery: Delivery) -> "pa.Schema":
        """Return the columns of a delivery as they came, by name and type."""
        with self._keep.parquet(self._rows_name(delivery.digest)) as file:
            schema = file.schema_arrow
        return schema.remove(schema.get_field_index(ROW)).remove(schema.get_field_index(EVENT_TIME))

    def _met(self, entry: folders.Entry, period: str, known: list[Delivery]) -> Delivery:
        """Take one file, or say why not."""
        named = folders.period_in_name(entry.path.name, self.time.calendar())
        met = Delivery(self.feed, entry.shown, entry.stamp, self._parse, period=named)
        failed = replace(met, period=named or period, status="refused")
        if entry.rule:
            status = "ignored" if entry.ignored else "refused"
            return replace(failed, status=status, rule=entry.rule, reason=entry.reason)
        digest = ""
        with self._keep.staging() as folder:
            try:
                digest = folders.copy_file(entry, folder / "original")
                twin = next((one for one in known if self._same(one, digest)), None)
                if twin is not None:
                    return replace(met, digest=digest, status="duplicate", reason=f"same bytes as {twin.name}")
                return self._taken(folder, replace(met, digest=digest))
            except SourceRefused as error:
                return replace(failed, digest=digest, rule=error.rule, reason=str(error)[:500])
            finally:
                if digest and (folder / "original").exists():
                    self._keep.put(folder / "original", f"{digest}/original")

    def _taken(self, folder: Path, met: Delivery) -> Delivery:
        rows = copy_rows(folder / "original", self.source, self.time, folder / "rows")
        self._keep.put(folder / "rows", self._rows_name(met.digest))
        return replace(met, rows=rows.rows, unreadable_times=rows.unreadable_times, first=rows.first, last=rows.last)

    def _read_again(self, known: list[Delivery]) -> list[Delivery]:
        """Read kept originals again that were taken under another declaration and are gone from the source."""
        have = {record.digest for record in known if record.parse == self._parse}
        again: list[Delivery] = []
        for old in known:
            if old.feed != self.feed or old.status != "taken" or old.digest in have:
                continue
            have.add(old.digest)
            met = Delivery(self.feed, old.name, old.stamp, self._parse, old.digest, period=old.period)
            with self._keep.staging() as folder:
                try:
                    self._keep.fetch(f"{old.digest}/original", folder / "original")
                    again.append(self._taken(folder, met))
                except SourceRefused as error:
                    again.append(replace(met, status="refused", rule=error.rule, reason=str(error)[:500]))
        return again

    def _current(
        self, records: list[Delivery], single: set[tuple[str, str]] | None, period: str, notes: list[str]
    ) -> Taken:
        mine = [record for record in records if record.feed == self.feed and record.parse == self._parse]
        if single is not None:  # a single file is what it holds now
            digests = {record.digest for record in mine if (record.name, record.stamp) in single}
            mine = [record for record in mine if record.digest in digests]
        here = [record for record in mine if record.period == period]
        good = {record.name: record.sequence for record in mine if record.status in ("taken", "duplicate")}
        ignored = [f"{record.name}: {record.reason}" for record in here if record.status in ("ignored", "duplicate")]
        return Taken(
            tuple(record for record in mine if record.status == "taken"),
            tuple(one for one in here if one.status == "refused" and good.get(one.name, -1) < one.sequence),
            (*notes, *ignored),
        )

    def _same(self, record: Delivery, digest: str) -> bool:
        return (record.feed, record.parse, record.digest, record.status) == (self.feed, self._parse, digest, "taken")

    def _rows_name(self, digest: str) -> str:
        return f"{digest}/rows-{self._parse}.parquet"


def _groups_between(metadata: Any, start: datetime, end: datetime) -> list[int]:
    """Return the row groups that may hold event times in ``[start, end)`` or none at all."""
    column = next(i for i in range(metadata.num_columns) if metadata.schema.column(i).path == EVENT_TIME)
    groups = []
    for index in range(metadata.num_row_groups):
        found = metadata.row_group(index).column(column).statistics
        apart = (
            found is not None and found.has_min_max and not found.null_count and (found.max < start or found.min >= end)
        )
        if not apart:
            groups.append(index)
    return groups
