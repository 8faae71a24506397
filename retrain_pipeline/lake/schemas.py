"""The columns of `raw`, and the Pandera schema that a declaration makes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from retrain_pipeline.lake.declared import Column, Data, Dtype
from retrain_pipeline.lake.frames import EVENT_TIME, KNOWN_TIME

if TYPE_CHECKING:
    import pandas as pd

LABEL_DTYPES: dict[str, Dtype] = {"regression": "float", "binary": "int", "multiclass": "category"}


@dataclass(frozen=True)
class Field:
    """A column that the lake keeps, and the part that it plays; `column` is its promise, if one was declared."""

    name: str
    role: Literal["key", "time", "column", "label"]
    column: Column | None = None


def fields_of(data: Data) -> list[Field]:
    """Return the columns of `raw`: the key, the time column, the declared columns, and the label if it is embedded."""
    fields = {name: Field(name, "key", data.columns.get(name)) for name in data.key}
    fields[data.time.column] = Field(data.time.column, "time")
    for name, column in data.columns.items():
        fields.setdefault(name, Field(name, "column", column))
    if data.label.source is None:
        fields.setdefault(data.label.column, Field(data.label.column, "label"))
    return list(fields.values())


def pandera_schema(data: Data) -> Any:
    """Return the Pandera schema of the declared columns, as they are after reading.

    Returns
    -------
    pandera.DataFrameSchema
        Range, allowed values and presence per column; the unit in the description.
    """
    import pandera.pandas as pandera

    types = frame_dtypes()
    columns = {}
    for name, column in data.columns.items():
        checks = []
        if column.range is not None:
            checks.append(pandera.Check.in_range(*column.range, name="range", n_failure_cases=1))
        if column.values is not None:
            checks.append(pandera.Check.isin(list(column.values), name="values", n_failure_cases=1))
        columns[name] = pandera.Column(
            types[column.dtype], checks, nullable=column.nullable and name not in data.key,
            description=None if column.unit is None else f"unit: {column.unit}",
        )  # fmt: skip
    columns.pop(data.time.column, None)
    return pandera.DataFrameSchema(columns)


def frame_dtypes() -> dict[Dtype, Any]:
    """Return the pandas type of each declared type, with room for missing values."""
    import pandas as pd

    return {
        "int": pd.Int64Dtype(), "float": "float64", "bool": pd.BooleanDtype(), "string": object, "category": object,
        "timestamp": pd.DatetimeTZDtype("us", "UTC"),
    }  # fmt: skip


def empty_raw(data: Data) -> "pd.DataFrame":
    """Return a frame of `raw` without rows, typed as far as the declaration tells."""
    import pandas as pd

    dtypes = frame_dtypes()
    columns: dict[str, Any] = dict.fromkeys((EVENT_TIME, KNOWN_TIME), dtypes["timestamp"])
    for one in fields_of(data):
        if one.role == "label":
            columns[one.name] = dtypes[LABEL_DTYPES[data.label.task]]
        elif one.role == "time" or one.column is not None:
            columns[one.name] = dtypes["timestamp" if one.column is None else one.column.dtype]
    return pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in columns.items()})


def key_dtype(kind: Any) -> Dtype:
    """Return how a key column without a declaration is kept: text as text, numbers as whole numbers, times as times."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "timestamp"
    return "string" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else "int"
