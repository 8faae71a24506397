"""Sources, one face: the rows of a period as chunks of Arrow columns, untouched by opinion.

CSV gives text, since what a cell means is the contract's business; the others give the types that they hold. No source
is ever held in memory whole: a chunk has at most some hundred thousand rows.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import time as wall_clock
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.lake.declared import CsvSource, DeltaSource, ParquetSource, Source, SqlSource, TimeColumn
from retrain_pipeline.lake.deliveries import Delivery
from retrain_pipeline.lake.errors import SourceMissing, SourceUnavailable
from retrain_pipeline.lake.files import ROW
from retrain_pipeline.lake.frames import EVENT_TIME
from retrain_pipeline.lake.inbox import Inbox
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.lake.times import TimeReader

if TYPE_CHECKING:
    import pyarrow as pa

_FETCH_ROWS = 50_000


@dataclass(frozen=True)
class Part:
    """One delivery's rows of a period.

    `chunks` yields tables of the wanted columns that are there, plus `_event_time` (missing where it could not be read)
    and `_row` (1 for the first row of the delivery). `text` says that cells are strings still to be read.
    """

    name: str
    digest: str
    schema: "pa.Schema"
    text: bool
    chunks: "Callable[[], Iterator[pa.Table]]"
    superseded: bool = False
    """A later delivery has the same name and overlaps it: if this one cannot be read as a whole, that one stands."""


@dataclass(frozen=True)
class SourceRows:
    """What a source has for a period: parts in the order of delivery.

    `covered` says that the source speaks about the period even if it has no row of it: no rows then mean empty, and
    otherwise missing.
    """

    parts: tuple[Part, ...]
    covered: bool
    refused: tuple[Delivery, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Window:
    """What to read: event times in ``[start, end)``, and these columns."""

    period: str
    start: datetime
    end: datetime
    columns: frozenset[str]


def read_source(
    lake: Lake, model: str, feed: str, source: Source, time: TimeColumn, window: Window, *, root: Path,
    clock: Callable[[], float] = wall_clock,
) -> SourceRows:  # fmt: skip
    """Return the rows of a window of event time.

    Parameters
    ----------
    feed
        "data" or "label": whose deliveries they are.
    root
        The folder that declared paths are relative to.
    clock
        Seconds since 1970 now; decides which files of an inbox have settled.

    Raises
    ------
    SourceMissing
        When the path, table, column or variable that was declared does not exist.
    SourceUnavailable
        When a database does not answer.
    SourceUnsettled
        When a single file changes while it is copied.
    """
    if isinstance(source, CsvSource | ParquetSource):
        return _from_files(Inbox(lake, model, feed, source, time, root, clock), window)
    if isinstance(source, DeltaSource):
        return _from_delta(source, time, window, root)
    return _from_sql(source, time, window)


def _from_files(inbox: Inbox, window: Window) -> SourceRows:
    taken = inbox.take(window.period)
    parts, covered = [], False
    for one in taken.deliveries:
        named_empty = not one.rows and one.period in (window.period, "")
        if one.first is None or one.last is None:
            covered = covered or named_empty
        elif one.first < window.end and one.last >= window.start:
            covered = covered or (one.first < window.start and one.last >= window.end)
            again = any(_replaces(later, one) for later in taken.deliveries)
            parts.append(_file_part(inbox, one, window, again))
    return SourceRows(tuple(parts), covered, taken.refused, taken.notes)


def _replaces(later: Delivery, one: Delivery) -> bool:
    """Is a delivery a newer edition of another: the same name, and times that overlap?"""
    if later.first is None or later.last is None or one.first is None or one.last is None:
        return False
    overlap = later.first <= one.last and one.first <= later.last
    return later.name == one.name and later.sequence > one.sequence and overlap


def _file_part(inbox: Inbox, delivery: Delivery, window: Window, superseded: bool) -> Part:
    def chunks() -> "Iterator[pa.Table]":
        return inbox.batches(delivery, window.start, window.end, set(window.columns))

    text = isinstance(inbox.source, CsvSource)
    return Part(delivery.name, delivery.digest, inbox.schema(delivery), text, chunks, superseded)


def _from_delta(source: DeltaSource, time: TimeColumn, window: Window, root: Path) -> SourceRows:
    import pyarrow as pa
    import pyarrow.compute as pc
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    uri = source.path if "://" in source.path else str(root / source.path)
    try:
        handle = DeltaTable(uri)
    except TableNotFoundError as error:
        raise SourceMissing(f"data source: there is no Delta table at {uri}: correct data.source.path") from error
    dataset = handle.to_pyarrow_dataset()
    kind = _time_type(dataset.schema, time, f"Delta table {source.path}")
    bounds = _native_bounds(kind, time, window)
    inside: Any = None
    later = False  # times that the table cannot compare do not tell whether it goes on
    if bounds is not None:
        low, high = pc.field(time.column) >= bounds[0], pc.field(time.column) < bounds[1]
        inside, later = low & high, bool(dataset.head(1, columns=[time.column], filter=~high).num_rows)
    names = [name for name in dataset.schema.names if name in window.columns]

    def batches() -> "Iterator[pa.Table]":
        found = dataset.to_batches(columns=names, filter=inside, batch_readahead=1, fragment_readahead=1)
        return (pa.Table.from_batches([batch]) for batch in found)

    digest = digest_of([handle.metadata().id, handle.version()])
    return SourceRows(
        (Part(source.path, digest, dataset.schema, False, lambda: _windowed(batches(), time, window)),), later
    )


def _from_sql(source: SqlSource, time: TimeColumn, window: Window) -> SourceRows:
    import sqlalchemy as sa

    url = source.url if source.url is not None else os.environ.get(source.url_env or "")
    if not url:
        raise SourceMissing(f"environment variable {source.url_env} is not set: it holds the URL of the data source")
    engine = sa.create_engine(url, hide_parameters=True)
    schema, _, name = source.table.rpartition(".")
    try:
        table = sa.Table(name, sa.MetaData(), schema=schema or None, autoload_with=engine)
    except sa.exc.NoSuchTableError as error:
        raise SourceMissing(f"data source: there is no table {source.table!r} in the database: correct it") from error
    except sa.exc.OperationalError as error:
        raise SourceUnavailable(f"data source: the database of table {source.table!r} does not answer") from error
    fields = _sql_schema(table)
    kind = _time_type(fields, time, f"table {source.table}")
    bounds = _native_bounds(kind, time, window)
    column = table.c[time.column]
    if bounds is not None and not getattr(column.type, "timezone", False):
        bounds = tuple(bound.replace(tzinfo=None) if isinstance(bound, datetime) else bound for bound in bounds)
    names = [one.name for one in table.columns if one.name in window.columns]
    query = sa.select(*(table.c[one] for one in names))
    later = False
    with engine.connect() as connection:
        if bounds is not None:
            query = query.where(column >= bounds[0], column < bounds[1]).order_by(column)
            later = connection.execute(sa.select(column).where(column >= bounds[1]).limit(1)).first() is not None

    def batches() -> "Iterator[pa.Table]":
        wanted = _subschema(fields, names)
        with engine.connect() as connection:
            result = connection.execution_options(yield_per=_FETCH_ROWS).execute(query)
            for block in result.partitions():
                yield _sql_chunk(block, wanted)
        engine.dispose()

    return SourceRows((Part(source.table, "", fields, False, lambda: _windowed(batches(), time, window)),), later)


def _sql_schema(table: Any) -> "pa.Schema":
    import pyarrow as pa
    import sqlalchemy as sa

    def arrow(kind: Any) -> Any:
        if isinstance(kind, sa.Boolean):
            return pa.bool_()
        if isinstance(kind, sa.Integer):
            return pa.int64()
        if isinstance(kind, sa.Numeric | sa.Float):  # a decimal becomes the float that it is nearest to
            return pa.float64()
        if isinstance(kind, sa.DateTime):
            return pa.timestamp("us", tz="UTC" if kind.timezone else None)
        if isinstance(kind, sa.Date):
            return pa.date32()
        return pa.string()

    return pa.schema([(column.name, arrow(column.type)) for column in table.columns])


def _sql_chunk(block: Any, schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa

    arrays = []
    for index, field in enumerate(schema):
        values = [row[index] for row in block]
        if pa.types.is_string(field.type):
            values = [value if value is None or isinstance(value, str) else str(value) for value in values]
        elif pa.types.is_floating(field.type):
            values = [None if value is None else float(value) for value in values]
        arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _subschema(schema: "pa.Schema", names: list[str]) -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([schema.field(name) for name in names])


def _time_type(schema: "pa.Schema", time: TimeColumn, where: str) -> Any:
    if time.column not in schema.names:
        raise SourceMissing(
            f"{where} has no time column {time.column!r}; it has {', '.join(sorted(schema.names)[:20])}"
        )
    return schema.field(time.column).type


def _native_bounds(kind: Any, time: TimeColumn, window: Window) -> tuple[Any, ...] | None:
    """Return the window in the time column's own type, for the source to filter by; None when it cannot."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        zone = None if kind.tz is None else UTC
        return tuple(moment.astimezone(UTC).replace(tzinfo=zone) for moment in (window.start, window.end))
    if pa.types.is_integer(kind) and time.unit != "text":
        factor = 1 if time.unit == "s" else 1000
        return tuple(int(moment.timestamp()) * factor for moment in (window.start, window.end))
    return None


def _windowed(chunks: "Iterator[pa.Table]", time: TimeColumn, window: Window) -> "Iterator[pa.Table]":
    """Add event times and row numbers, and keep the rows of the window."""
    import pyarrow as pa
    import pyarrow.compute as pc

    reader = TimeReader(time.column, time.unit, time.timezone)
    lowest, highest = (pa.scalar(moment, pa.timestamp("us", tz="UTC")) for moment in (window.start, window.end))
    count = 0
    for chunk in chunks:
        moments = reader.read(chunk[time.column])
        inside = pc.and_(pc.greater_equal(moments, lowest), pc.less(moments, highest))
        chunk = chunk.append_column(EVENT_TIME, moments)
        chunk = chunk.append_column(ROW, pa.array(range(count + 1, count + 1 + chunk.num_rows), pa.int64()))
        count += chunk.num_rows
        kept = chunk.filter(inside)
        if kept.num_rows:
            yield kept
