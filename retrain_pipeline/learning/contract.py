"""What a feature function must return, and the one spelling of its values that everything later sees."""

from typing import TYPE_CHECKING, Any

from retrain_pipeline.learning.errors import FeatureContractBroken
from retrain_pipeline.spec.model import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

RESERVED = frozenset({"label", "prediction", "score"})
"""Column names that other tables use; so are the key columns, the label's name and everything with a leading '_'."""


def checked_features(spec: ModelSpec, index: "pd.Index[Any]", result: Any) -> "pd.DataFrame":
    """Return the features in one spelling: float64 for numbers and bools, text with None for missing for the rest.

    Parameters
    ----------
    spec
        The model, for names and for the error.
    index
        The index of the frame that the function was given.
    result
        What it returned: a frame with the same index, unique column names, and numeric, bool, string or category
        columns without infinities.

    Raises
    ------
    FeatureContractBroken
        Naming the model, the column, an example and the mend.
    """
    import pandas as pd

    if not isinstance(result, pd.DataFrame):
        raise _broken(spec, None, f"the function returned {type(result).__name__}", "return a pandas DataFrame")
    if len(result) != len(index) or not result.index.equals(index):
        raise _broken(
            spec,
            None,
            f"{len(result)} rows for {len(index)}, or another index",
            "keep one row per given row, with the index of the given frame: no merge or dropna at the end",
        )
    _check_names(spec, result)
    spelled = {name: _spelled(spec, name, result[name]) for name in result.columns}
    return pd.DataFrame(spelled, index=index, copy=False)  # nobody else holds what the function returned


def _check_names(spec: ModelSpec, result: "pd.DataFrame") -> None:
    names = list(result.columns)
    if not names:
        raise _broken(spec, None, "no columns", "return at least one feature")
    for name in names:
        if not isinstance(name, str) or not name:
            raise _broken(spec, name, "a column name is not text", "name every feature with a string")
        if names.count(name) > 1:
            raise _broken(spec, name, "the name occurs twice", "give every feature a name of its own")
        if name == spec.data.label.column:
            raise _broken(spec, name, "it is the label", "features never carry the label; drop it")
        if name.startswith("_") or name in RESERVED or name in spec.data.key:
            raise _broken(spec, name, "the name is reserved", "choose another (keys and times are joined for you)")


def _spelled(spec: ModelSpec, name: str, column: "pd.Series[Any]") -> "pd.Series[Any]":
    import numpy as np
    import pandas as pd
    from pandas.api import types

    dtype = column.dtype
    if types.is_numeric_dtype(dtype) and not types.is_complex_dtype(dtype):
        # One type for numbers, bools too: a column that is int in a period without gaps and float in one with gaps
        # would be two columns to a table.
        values = column if dtype == "float64" else column.astype("float64")
        if types.is_integer_dtype(dtype) and values.abs().max() > 2**53:
            raise _broken(
                spec, name, f"{column.abs().max()} is beyond 2**53", "an id is no number: cast it to a string"
            )
        endless = np.isinf(values.to_numpy())
        if endless.any():
            where = f"{int(endless.sum())} infinite values, the first in row {column.index[int(endless.argmax())]}"
            raise _broken(spec, name, where, "use NaN where a value is not defined, for example after a division")
        return values
    if isinstance(dtype, pd.CategoricalDtype):
        column = column.astype(object).map(str, na_action="ignore")
    if types.is_object_dtype(column.dtype) or types.is_string_dtype(column.dtype):
        present = column.dropna()
        other = next((value for value in present if not isinstance(value, str)), None)
        if other is None:
            return column.astype(object).where(column.notna(), None)
        raise _broken(
            spec, name, f"holds {type(other).__name__} {other!r:.60} in an object column", "cast it: astype('float64')"
        )
    raise _broken(spec, name, f"dtype {dtype}", "return numbers, bools, strings or categories (hours since, not times)")


def _broken(spec: ModelSpec, column: object, found: str, mend: str) -> FeatureContractBroken:
    where = "" if column is None else f" column {column!r:.120}:"
    return FeatureContractBroken(f"model {spec.name!r}, {spec.features.build}:{where} {found}; {mend}")
