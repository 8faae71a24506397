"""Delivered files, read strictly: one that is damaged, ragged or not what its name says is refused as a whole.

A file becomes a parquet copy of its rows, in event-time order, with `_event_time` (missing where it could not be read)
and `_row` (1 for the first row of the file): what reads a period later touches only the row groups of that period.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.declared import CsvSource, ParquetSource, TimeColumn
from retrain_pipeline.lake.errors import SourceRefused
from retrain_pipeline.lake.frames import EVENT_TIME
from retrain_pipeline.lake.times import TimeReader

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROW = "_row"
ROW_GROUP = 65_536
# Arrow's reader hands out buffers of twice the size for batches of 64 Ki rows, and of the exact size for these.
BATCH = 32_768
# Numbers as text make poor dictionaries: with them, writing a million rows of 30 took three times as long.
_COPY: dict[str, Any] = {
    "compression": "snappy", "use_dictionary": False, "write_statistics": [EVENT_TIME], "write_page_checksum": True,
}  # fmt: skip
MAX_COLUMNS = 10_000
MAX_LINE_BYTES = 2**20
# Text of real tables packs 5- to 30-fold, a bomb 1000-fold. One float column alone is 8 bytes a row.
MAX_UNPACKED_SHARE = 200
MIN_UNPACKED_BUDGET = 64 * 2**20
MAX_CELLS_PER_BYTE = 100


@dataclass(frozen=True)
class Rows:
    """What is in the parquet copy of a file: `first` and `last` event time (None without a readable one)."""

    rows: int
    unreadable_times: int
    first: datetime | None
    last: datetime | None


def copy_rows(path: Path, source: CsvSource | ParquetSource, time: TimeColumn, target: Path) -> Rows:
    """Write the parquet copy of a file's rows.

    Raises
    ------
    SourceRefused
        For a file of which not every row can be read; nothing of it is used.
    """
    import pyarrow as pa

    try:
        if isinstance(source, CsvSource):
            chunks = _csv_chunks(path, source, target.with_suffix(".text"))
        else:
            chunks = _parquet_chunks(path)
        rows, in_order = _write(chunks, time, target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the machine refused (no space, no permission), not the file
        raise SourceRefused("file_unreadable", f"not a whole {source.kind} file: {error}") from error
    if rows.rows and rows.first is None:
        raise SourceRefused("time_unreadable", f"no row has a readable time in column {time.column!r} ({time.unit})")
    if not in_order:
        _sort(target)
    pa.default_memory_pool().release_unused()  # sorting a million rows leaves 400 MB behind
    return rows


def _write(chunks: "Iterator[pa.Table]", time: TimeColumn, target: Path) -> tuple[Rows, bool]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    reader = TimeReader(time.column, time.unit, time.timezone)
    count = unreadable = 0
    first = last = None
    in_order, writer = True, None
    try:
        for chunk in chunks:
            if time.column not in chunk.column_names:
                raise SourceRefused("time_missing", no_time_column(time.column, chunk.column_names))
            moments = reader.read(chunk[time.column])
            chunk = chunk.append_column(EVENT_TIME, moments)
            chunk = chunk.append_column(ROW, pa.array(range(count + 1, count + 1 + chunk.num_rows), pa.int64()))
            writer = writer or pq.ParquetWriter(target, chunk.schema, **_COPY)
            writer.write_table(chunk, row_group_size=ROW_GROUP)
            count, unreadable = count + chunk.num_rows, unreadable + moments.null_count
            lowest, highest = pc.min_max(moments).as_py().values()
            follows = last is None or lowest is None or last <= lowest
            in_order = in_order and not moments.null_count and follows and _sorted(moments)
            first = min((m for m in (first, lowest) if m), default=None)
            last = max((m for m in (last, highest) if m), default=None)
    finally:
        if writer is not None:
            writer.close()
    return Rows(count, unreadable, first, last), in_order


def no_time_column(column: str, found: list[str]) -> str:
    """Return what is said of a source without the declared time column."""
    return f"time column {column!r} is not in the source; it has {', '.join(map(repr, found[:20]))}"


def _sorted(moments: Any) -> bool:
    import numpy as np

    return bool((np.diff(moments.cast("int64").to_numpy()) >= 0).all())


def _sort(target: Path) -> None:
    """Rewrite a parquet copy by event time, unreadable ones last; holds the rows once."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(target) as file:
        table = pa.Table.from_batches(read_batches(file), file.schema_arrow)
    order = pc.sort_indices(table, sort_keys=[(EVENT_TIME, "ascending"), (ROW, "ascending")])
    with pq.ParquetWriter(target, table.schema, **_COPY) as writer:
        for start in range(0, table.num_rows, ROW_GROUP):
            writer.write_table(table.take(order[start : start + ROW_GROUP]))


def read_batches(
    file: "pq.ParquetFile", groups: Sequence[int] | None = None, columns: Sequence[str] | None = None
) -> "Iterator[pa.RecordBatch]":
    """Yield the rows of some row groups, one group at a time: over several, Arrow's reader keeps all it has read."""
    for group in range(file.num_row_groups) if groups is None else groups:
        yield from file.iter_batches(batch_size=BATCH, row_groups=[group], columns=columns)


def _parquet_chunks(path: Path) -> "Iterator[pa.Table]":
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as magic:
        if magic.read(4) != b"PAR1":
            raise SourceRefused("file_unreadable", "not a parquet file: it does not begin with PAR1")
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        _check_header(names)
        cells, size = file.metadata.num_rows * len(names), path.stat().st_size
        if cells > max(size * MAX_CELLS_PER_BYTE, 10_000_000):
            raise SourceRefused("too_large", f"{size} bytes unpack to {cells} cells: refused before unpacking")
        if not file.metadata.num_rows:
            yield file.schema_arrow.empty_table()
        for batch in read_batches(file):
            yield pa.Table.from_batches([batch])


def _csv_chunks(path: Path, source: CsvSource, text: Path) -> "Iterator[pa.Table]":
    """Yield the rows of a CSV file as strings; the declared spellings of "missing" are missing, nothing else is."""
    import pyarrow as pa
    import pyarrow.csv

    header, lines = _check_text(path, source.delimiter, text)
    if not lines:
        yield pa.schema([(name, pa.string()) for name in header]).empty_table()
        return
    convert = pyarrow.csv.ConvertOptions(
        column_types={name: pa.string() for name in header}, null_values=list(source.missing), strings_can_be_null=True
    )
    parse = pyarrow.csv.ParseOptions(delimiter=source.delimiter)
    read = pyarrow.csv.ReadOptions(use_threads=False, block_size=8 * 2**20)
    rows = 0
    with pyarrow.csv.open_csv(text, read_options=read, parse_options=parse, convert_options=convert) as batches:
        for batch in batches:
            rows += batch.num_rows
            yield pa.Table.from_batches([batch])
    if rows != lines:
        raise SourceRefused("ragged", f"{lines} lines of data read as {rows} rows: check the quotes")


def _check_text(path: Path, delimiter: str, target: Path) -> tuple[list[str], int]:
    """Copy a CSV file as plain text, line by line; return its header and the number of its data lines."""
    width, header, lines = 0, [], 0
    budget = max(MIN_UNPACKED_BUDGET, MAX_UNPACKED_SHARE * path.stat().st_size)
    with _open_text(path) as packed, target.open("wb") as plain:
        for number, line in enumerate(iter(lambda: packed.readline(MAX_LINE_BYTES + 1), b""), start=1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            budget -= len(line)
            if budget < 0:
                raise SourceRefused("too_large", f"unpacks to more than {MAX_UNPACKED_SHARE} times its size")
            cells = _cells(line, number, delimiter)
            if not width:
                header, width = cells, len(cells)
                _check_header(header)
            elif cells:
                if len(cells) != width:
                    raise SourceRefused("ragged", f"line {number} has {len(cells)} cells, the header has {width}")
                lines += 1
            plain.write(line)
    if not header:
        raise SourceRefused("zero_bytes", "the file is empty: it has no header")
    return header, lines


def _open_text(path: Path) -> Any:
    with path.open("rb") as file:
        magic = file.read(2)
    return gzip.open(path, "rb") if magic == b"\x1f\x8b" else path.open("rb")


def _cells(line: bytes, number: int, delimiter: str) -> list[str]:
    """Return the cells of a line; an empty line has none."""
    if len(line) > MAX_LINE_BYTES:
        raise SourceRefused("too_large", f"line {number} is longer than {MAX_LINE_BYTES} bytes")
    if b"\0" in line:
        raise SourceRefused("nul_byte", f"line {number} holds a NUL byte: write the file as UTF-8 text")
    try:
        text = line.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise SourceRefused("encoding", f"line {number} is not UTF-8 at byte {error.start + 1}") from error
    if "\r" in text:
        raise SourceRefused("line_ends", f"line {number} holds a lone carriage return: end lines with LF or CRLF")
    if not text:
        return []
    if '"' not in text:
        return text.split(delimiter)
    if text.count('"') % 2:
        raise SourceRefused("quotes", f"line {number} has an unbalanced quote: a row is one line")
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise SourceRefused("quotes", f"line {number} has a quote amid a cell: {error}") from error


def _check_header(names: list[str]) -> None:
    if len(names) > MAX_COLUMNS:
        raise SourceRefused("too_large", f"{len(names)} columns: at most {MAX_COLUMNS} are read")
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) != len(names) else []
    reserved = [name for name in names if name in (EVENT_TIME, ROW)]
    if repeated or reserved:
        listed = ", ".join(map(repr, repeated + reserved))
        raise SourceRefused("header", f"column names repeat or are reserved: {listed}")
