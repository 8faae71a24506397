"""Partitions inside one open Delta table: what the log says of them, how one is replaced, how rows are read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from retrain_pipeline.lake import frames
from retrain_pipeline.lake.digests import frame_digest, logical_type
from retrain_pipeline.lake.errors import TableMissing
from retrain_pipeline.lake.frames import CONTENT, EVENT_TIME, KNOWN_TIME, PERIOD
from retrain_pipeline.lake.memory import give_memory_back
from retrain_pipeline.periods import as_utc

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from deltalake import DeltaTable


@dataclass(frozen=True)
class PartitionWrite:
    """What a write left behind. `changed` is False when the partition already held exactly this content."""

    table: str
    version: int
    period: str
    rows: int
    digest: str
    changed: bool

    def to_json(self) -> dict[str, Any]:
        """Return the write as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Partition:
    """A partition as the log knows it."""

    rows: int
    digest: str


def partitions_of(handle: "DeltaTable") -> dict[str, Partition]:
    """Return rows and digest of every partition by period, in order, from the log alone."""
    import pyarrow as pa

    actions = pa.table(handle.get_add_actions(flatten=True))
    if not actions.num_rows:
        return {}
    found = {}
    pairs = zip(actions[f"partition.{PERIOD}"].to_pylist(), actions[f"partition.{CONTENT}"].to_pylist(), strict=True)
    for period, content in pairs:
        digest, _, rows = content.rpartition("-")
        found[period] = Partition(int(rows), digest)
    return dict(sorted(found.items()))


def commit(handle: "DeltaTable", table: str, contents: "Mapping[str, pd.DataFrame]") -> list[PartitionWrite]:
    """Write partitions, by period, in one step on top of the version that `handle` has open; another writer of it makes
    this fail. Those that hold exactly this content already are left alone."""
    import pandas as pd
    import pyarrow as pa
    from deltalake import CommitProperties, write_deltalake

    schema, present = pa.schema(handle.schema().to_arrow()), partitions_of(handle)
    known = {field.name: field.type for field in schema}
    aligned = {period: frames.align(frame, known) for period, frame in contents.items()}
    told = {
        period: Partition(len(frame), frame_digest(pd.DataFrame(aligned[period] if len(frame) else {}, copy=False)))
        for period, frame in contents.items()
    }
    changed = [period for period in contents if present.get(period) != told[period]]
    if changed:
        fresh = {
            name: pa.field(name, frames.arrow_type(logical_type(column)))
            for period in changed
            for name, column in aligned[period].items()
            if name not in known
        }
        target = pa.schema([*schema, *fresh.values()])
        data = (batch for period in changed for batch in _batches(aligned[period], target, period, told[period]))
        write_deltalake(
            handle,
            pa.RecordBatchReader.from_batches(target, data),
            mode="overwrite",
            predicate=f"{PERIOD} IN ({', '.join(map(repr, changed))})",  # the period's grammar has no quote
            schema_mode="merge" if fresh else None,
            target_file_size=2**30,
            writer_properties=_writer_properties(target),
            commit_properties=CommitProperties(custom_metadata=_said(changed, told)),
        )
    return [
        PartitionWrite(table, handle.version(), period, one.rows, one.digest, changed=period in changed)
        for period, one in told.items()
    ]


def _batches(
    columns: "Mapping[str, pd.Series[Any]]", target: "pa.Schema", period: str, told: Partition
) -> "Iterator[pa.RecordBatch]":
    constants = {PERIOD: period, CONTENT: f"{told.digest}-{told.rows}"}
    return frames.batches(columns, target, constants) if told.rows else iter([frames.marker(target, constants)])


def _said(periods: Sequence[str], told: Mapping[str, Partition]) -> dict[str, str]:
    """Return what the table's own history says of a write."""
    return {
        "period": " ".join(periods),
        "rows": " ".join(str(told[period].rows) for period in periods),
        "digest": " ".join(told[period].digest for period in periods),
    }


def _writer_properties(schema: "pa.Schema") -> Any:
    """Dictionaries for text only: on floats they cost the writer 7 s and 200 MB per million rows of 30."""
    import pyarrow as pa
    from deltalake import ColumnProperties, WriterProperties

    texts = [field.name for field in schema if pa.types.is_string(field.type) and field.name not in (PERIOD, CONTENT)]
    return WriterProperties(
        compression="SNAPPY",
        max_row_group_size=2 * frames.ROWS_IN_FLIGHT,
        default_column_properties=ColumnProperties(dictionary_enabled=False),
        column_properties={name: ColumnProperties(dictionary_enabled=True) for name in texts},
    )


def scan(
    handle: "DeltaTable", periods: Sequence[str] | None, known_by: datetime | None, columns: Sequence[str] | None
) -> "pd.DataFrame":
    """Return the rows of the open version, as `Lake.read` says."""
    import pyarrow as pa
    import pyarrow.compute as pc

    present = partitions_of(handle)
    wanted = [period for period in present if (periods is None or period in set(periods)) and present[period].rows]
    schema = pa.schema(handle.schema().to_arrow())
    names = [name for name in schema.names if name != CONTENT]
    for name in columns or ():
        if name not in names:
            raise TableMissing(f"column {name!r} is not in the table; it has {', '.join(sorted(names))}")
    chosen = list(columns) if columns is not None else names
    if not wanted:
        return frames.to_frame(chosen, list(schema.empty_table().select(chosen).columns))
    cells = sum(present[period].rows for period in wanted) * len(chosen)
    give_memory_back(cells)  # of what came before
    moment = None if known_by is None else pa.scalar(as_utc(known_by), pa.timestamp("us", tz="UTC"))
    table = _dataset(handle, wanted).to_table(
        columns=list(dict.fromkeys([*chosen, EVENT_TIME, PERIOD])),
        filter=None if moment is None else pc.field(KNOWN_TIME) <= moment,
    )
    order = frames.in_time_order(table, wanted)
    arrays = list(table.select(chosen).columns)
    del table  # to_frame gives the memory of each column back as it goes
    frame = frames.to_frame(chosen, arrays, order)
    del arrays
    give_memory_back(cells)
    return frame


def lazy_scan(handle: "DeltaTable", periods: Sequence[str], known_by: datetime | None) -> "pl.LazyFrame":
    """Return the rows of some periods of the open version, as `Lake.lazy` says."""
    import polars as pl

    present = partitions_of(handle)
    wanted = [period for period in sorted(set(periods)) if period in present and present[period].rows]
    rows = pl.scan_delta(handle).filter(pl.col(PERIOD).is_in(wanted))  # prunes the files of other periods
    if known_by is not None:
        rows = rows.filter(pl.col(KNOWN_TIME) <= as_utc(known_by))
    return rows.drop(CONTENT)


def _dataset(handle: "DeltaTable", periods: Sequence[str]) -> Any:
    """Return the files of some periods in the order of writing, which is that of their names within a period."""
    import pyarrow.dataset

    known = _fragments_of(handle)
    missing = [period for period in periods if period not in known.of]
    if missing:
        found = handle.to_pyarrow_dataset(file_pruning_predicate=[(PERIOD, "in", missing)])
        known.like = found
        fresh: dict[str, list[Any]] = {period: [] for period in missing}
        for fragment in found.get_fragments():
            keys = pyarrow.dataset.get_partition_keys(fragment.partition_expression)
            fresh[keys[PERIOD]].append(fragment)
        known.of |= fresh
    like = known.like
    files = sorted((one for period in periods for one in known.of[period]), key=lambda one: str(one.path))
    return pyarrow.dataset.FileSystemDataset(files, like.schema, like.format, like.filesystem)


class _Fragments:
    """The files of one version of a table, by period, as far as they were asked for: naming them anew is a third of
    what reading a small table takes."""

    def __init__(self, version: int):
        self.version = version
        self.of: dict[str, list[Any]] = {}
        self.like: Any = None


def _fragments_of(handle: "DeltaTable") -> _Fragments:
    # Kept with the handle, and so for as long as it is: a table has no hash to keep it by.
    known = vars(handle).get("_retrain_fragments")
    if known is None or known.version != handle.version():
        known = vars(handle)["_retrain_fragments"] = _Fragments(handle.version())
    return cast(_Fragments, known)
