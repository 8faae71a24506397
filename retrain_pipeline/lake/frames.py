"""Between pandas frames and Arrow, with types that do not depend on the values that happen to be there.

Stored types are int64, float64, bool, string and timestamp[us, UTC]. A column keeps the type of its first partition.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.digests import logical_type
from retrain_pipeline.lake.errors import ColumnRefused

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

EVENT_TIME = "_event_time"
KNOWN_TIME = "_known_time"
PERIOD = "_period"
CONTENT = "_content"
"""Partition column beside the period: ``<digest>-<rows>`` of the partition, so that the Delta log holds both."""

# The writer holds several batches and a row group: 600 MB at 128 Ki rows of 30 floats, 200 MB at 16 Ki.
ROWS_IN_FLIGHT = 16_384


def arrow_type(kind: str) -> "pa.DataType":
    """Return the stored type of a logical type."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "string": pa.string(),
        "time": pa.timestamp("us", tz="UTC"),
    }
    return types[kind]


def align(frame: "pd.DataFrame", known: Mapping[str, "pa.DataType"]) -> dict[str, "pd.Series[Any]"]:
    """Return the columns of a frame in their stored types, the reserved ones first; nothing is copied that fits.

    Parameters
    ----------
    frame
        With aware, never missing `_event_time` and `_known_time`.
    known
        Types that the table already has. An all-missing column takes the known type, else text.

    Raises
    ------
    ColumnRefused
        Names that repeat or are reserved, mixed objects, naive or missing times, a type other than before.
    """
    names = [str(name) for name in frame.columns if name not in (PERIOD, CONTENT)]
    if not len(frame):  # no value tells what an object column of no rows holds
        names = [name for name in names if name in known or frame[name].dtype != object]
        return {name: _align_column(frame[name], known.get(name)) for name in names}
    for name in (EVENT_TIME, KNOWN_TIME):
        if name not in names:
            raise ColumnRefused(f"column {name!r} is missing: every row of the lake has an event time and a known time")
    if len(set(names)) != len(names):
        raise ColumnRefused(f"column names repeat: {sorted({name for name in names if names.count(name) > 1})}")
    names.sort(key=lambda name: (name != EVENT_TIME, name != KNOWN_TIME))
    aligned = {name: _align_column(frame[name], known.get(name)) for name in names}
    for name in (EVENT_TIME, KNOWN_TIME):
        if aligned[name].isna().any():
            raise ColumnRefused(f"column {name!r} has missing times: every row needs one")
    return aligned


def _align_column(series: Any, known: "pa.DataType | None") -> Any:
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.dtype.categories.dtype)
    dtypes = {"int": "Int64", "float": "float64", "bool": "boolean", "string": "object", "time": "datetime64[us, UTC]"}
    stored = {str(arrow_type(kind)): kind for kind in dtypes}.get(str(known)) if known is not None else None
    if stored is not None and series.isna().all():
        return pd.Series([None] * len(series), index=series.index, name=series.name, dtype=dtypes[stored])
    kind = logical_type(series)
    if stored is not None and stored != kind:
        if {stored, kind} != {"int", "float"}:
            raise ColumnRefused(
                f"column {series.name!r} is {kind}, the table has {stored}: keep its type or use another name"
            )
        try:
            return series.astype(dtypes[stored])
        except TypeError as error:
            raise ColumnRefused(f"column {series.name!r} has fractions, the table has whole numbers") from error
    if kind == "time":
        return series.astype("datetime64[us, UTC]", copy=False)
    return series.astype("float64", copy=False) if kind == "float" else series


def batches(
    columns: Mapping[str, "pd.Series[Any]"], schema: "pa.Schema", constants: Mapping[str, str]
) -> Iterator["pa.RecordBatch"]:
    """Yield the rows by event time, ties as given, in batches of the schema; what the frame lacks is missing."""
    import numpy as np
    import pyarrow as pa

    moments = columns[EVENT_TIME].astype("int64").to_numpy()
    in_order = bool((np.diff(moments) >= 0).all())
    order = None if in_order else np.argsort(moments, kind="stable")
    for start in range(0, len(moments), ROWS_IN_FLIGHT):
        rows: Any = slice(start, start + ROWS_IN_FLIGHT) if order is None else order[start : start + ROWS_IN_FLIGHT]
        count = len(moments[rows])
        arrays = []
        for field in schema:
            if field.name in columns:
                arrays.append(pa.array(columns[field.name].iloc[rows], type=field.type, from_pandas=True))
            elif field.name in constants:
                arrays.append(pa.repeat(pa.scalar(constants[field.name], pa.string()), count))
            else:
                arrays.append(pa.nulls(count, field.type))
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def marker(schema: "pa.Schema", constants: Mapping[str, str]) -> "pa.RecordBatch":
    """Return the one row that makes an empty partition present: nothing but the partition values."""
    import pyarrow as pa

    arrays = [pa.array([constants.get(field.name)], type=field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def to_frame(names: Sequence[str], columns: list[Any], order: "np.ndarray[Any, Any] | None" = None) -> "pd.DataFrame":
    """Return a frame whose dtypes depend on types and presence of missing values only.

    Whole numbers and bools with missing values become ``Int64`` and ``boolean``: floats would lose ids beyond 2**53.

    Parameters
    ----------
    names, columns
        A table taken apart. `columns` is emptied on the way: so at most one column exists twice.
    order
        Positions of the rows to return; default all, as they are.
    """
    import pandas as pd

    frame: dict[str, pd.Series[Any]] = {}
    for index, name in enumerate(names):
        column = columns[index]
        frame[name] = _to_series(column if order is None else column.take(order))
        columns[index] = column = None
    return pd.DataFrame(frame, copy=False)


def _to_series(column: Any) -> Any:
    import pandas as pd
    import pyarrow as pa

    if column.null_count and pa.types.is_integer(column.type):
        return column.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    if column.null_count and pa.types.is_boolean(column.type):
        return column.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get)
    series = column.to_pandas()
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        # Arrow gives pytz's UTC, pandas datetime's: two such columns would meet as objects in a concat.
        return series.dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    values = series.to_numpy()
    return series if values.flags.writeable else series.copy()  # one chunk would be a read-only view of Arrow memory


def in_time_order(table: "pa.Table", periods: Sequence[str]) -> "np.ndarray[Any, Any] | None":
    """Return the order that sorts by event time, then period, then as written; None when rows are sorted already."""
    import numpy as np
    import pyarrow.compute as pc

    moments = table[EVENT_TIME].cast("int64").to_numpy()
    ranks = pc.index_in(table[PERIOD], value_set=_strings(sorted(periods))).to_numpy()
    later, same = np.diff(moments) > 0, np.diff(moments) == 0
    if bool((later | (same & (np.diff(ranks) >= 0))).all()):
        return None
    return np.lexsort((ranks, moments))


def _strings(values: Sequence[str]) -> "pa.Array":
    import pyarrow as pa

    return pa.array(values, pa.string())
