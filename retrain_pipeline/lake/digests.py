"""Digests of frames that depend on content only: not on row order, column order, index or machine.

Two frames with the same rows have the same digest, so "did the data change?" is a comparison of two strings, and
"do these two sets share a row?" is an intersection of two integer arrays.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import canonical_json
from retrain_pipeline.lake.errors import ColumnRefused

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_MISSING = 0x9E3779B97F4A7C15  # an arbitrary odd constant: every missing value of every type hashes to it
_MULTIPLIER = 0xD6E8FEB86659FD93


def logical_type(series: "pd.Series[Any]") -> str:
    """Return what a column holds, whatever its width or container: int, float, bool, time, string.

    Raises
    ------
    ColumnRefused
        For a naive time and for objects that are not text.
    """
    import pandas as pd

    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return logical_type(pd.Series(dtype.categories, name=series.name))
    if pd.api.types.is_bool_dtype(dtype):
        return "bool"
    if pd.api.types.is_integer_dtype(dtype):
        return "int"
    if pd.api.types.is_float_dtype(dtype):
        return "float"
    if isinstance(dtype, pd.DatetimeTZDtype):
        return "time"
    if pd.api.types.is_string_dtype(dtype) or pd.api.types.is_object_dtype(dtype):
        found = pd.api.types.infer_dtype(series, skipna=True)
        if found in ("string", "empty"):
            return "string"
        raise ColumnRefused(f"column {series.name!r} holds {found} objects: give it one type (text, numbers or times)")
    raise ColumnRefused(f"column {series.name!r} is {dtype}: use int, float, bool, text or aware times")


def row_digests(frame: "pd.DataFrame", columns: Sequence[str] | None = None) -> "np.ndarray[Any, np.dtype[np.uint64]]":
    """Return one 64-bit digest per row, in row order.

    Parameters
    ----------
    frame
        Any frame of ints, floats, bools, texts and aware times. Names, logical types and values count; the order of
        columns does not. NaN equals NaN, and -0.0 equals 0.0. Integers and floats of one value differ.
    columns
        The columns that count; default all.

    Returns
    -------
    np.ndarray of uint64, shape (rows,)
    """
    import numpy as np

    total = np.zeros(len(frame), dtype=np.uint64)
    multiplier = np.uint64(_MULTIPLIER)
    with np.errstate(over="ignore"):
        for name in sorted(frame.columns if columns is None else columns):
            kind = logical_type(frame[name])
            seed = np.uint64(int.from_bytes(hashlib.sha256(canonical_json([name, kind])).digest()[:8], "little"))
            hashed = _value_hashes(frame[name], kind)
            # A multiply and a shift between columns: sums alone would let values swap columns unseen.
            hashed ^= seed
            hashed *= multiplier
            hashed ^= hashed >> np.uint64(32)
            total += hashed
            total *= multiplier
            total ^= total >> np.uint64(29)
    return total


def _value_hashes(series: "pd.Series[Any]", kind: str) -> Any:
    """Hash the values of one column; missing ones get one constant."""
    import numpy as np
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.dtype.categories.dtype)
    missing = series.isna().to_numpy()
    if kind == "string":
        hashed = pd.util.hash_pandas_object(series, index=False, categorize=True).to_numpy(dtype=np.uint64, copy=True)
    elif kind == "float":
        values = series.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0  # -0.0 + 0.0 is 0.0
        hashed = pd.util.hash_array(values)
    elif kind == "time":
        hashed = pd.util.hash_array(series.astype("datetime64[us, UTC]").astype("int64").to_numpy())
    else:
        filled = series.fillna(False if kind == "bool" else 0) if missing.any() else series
        hashed = pd.util.hash_array(filled.to_numpy(dtype=np.int64))
    if missing.any():
        hashed[missing] = np.uint64(_MISSING)
    return hashed


def digest_of_rows(digests: Any, names_and_types: Sequence[tuple[str, str]]) -> str:
    """Return the SHA-256 over sorted row digests and the columns they were made of."""
    import numpy as np

    total = hashlib.sha256(canonical_json(sorted([name, kind] for name, kind in names_and_types)))
    total.update(np.sort(digests).astype("<u8").tobytes())
    return total.hexdigest()


def frame_digest(frame: "pd.DataFrame") -> str:
    """Return the SHA-256 of a frame's content as 64 hex digits: rows as a multiset, columns as a set.

    Raises
    ------
    ColumnRefused
        When a column has no single type.
    """
    return digest_of_rows(row_digests(frame), [(name, logical_type(frame[name])) for name in frame.columns])
