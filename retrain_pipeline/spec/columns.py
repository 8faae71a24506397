"""A first draft of `data.columns`, from a look at the data: a team corrects it rather than starting from nothing."""

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.spec.yaml import yaml_flow, yaml_text

if TYPE_CHECKING:
    import pandas as pd

ROWS = 10_000
WIDEN = 0.25
"""Share of the observed width that a range is widened by at either end."""
LISTED_LEVELS = 20
"""A text column with at most this many values lists them."""
CATEGORY_LEVELS = 1000
"""One with more, but at most this many and on average at least two rows each, is a category without a list."""
FEW_NUMBERS = 12
"""A whole-number column with at most this many different values gets the question whether it is a category."""

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[-+]\d\d:?\d\d)?)?")
_BOOLS = frozenset({"true", "false"})


class UnreadableData(PermanentError):
    """A file that no columns can be read from."""


@dataclass(frozen=True)
class _Draft:
    declared: dict[str, Any]
    note: str = ""


def suggest_columns(
    path: Path, *, leave_out: Sequence[str] = (), rows: int = ROWS, delimiter: str = ",", missing: Sequence[str] = ("",)
) -> str:
    """Return a YAML block for `data.columns` that the rows at hand fulfil.

    Ranges are those observed, widened by a quarter of their width at either end, outward to two digits of that width;
    a column without negative (positive) values keeps 0 as its bound. Columns are nullable when a cell is missing.

    Parameters
    ----------
    path
        A ``.csv``, ``.csv.gz`` or ``.parquet`` file.
    leave_out
        Columns that are no features: the keys, the time, the label.
    rows
        How many of the first rows to look at.
    delimiter, missing
        As the csv source declares them.

    Raises
    ------
    UnreadableData
        When the file is neither, cannot be read, or has no rows.
    """
    frame = _first_rows(path, rows, delimiter)
    if frame.empty:
        raise UnreadableData(f"{path}: no rows to look at")
    lines = [f"# from the first {len(frame)} rows of {path.name}; correct what you know better", "columns:"]
    for name in frame.columns:
        if name not in leave_out:
            draft = _draft(frame[name], frozenset(missing))
            note = f"  # {draft.note}" if draft.note else ""
            lines.append(f"  {yaml_text(str(name))}: {yaml_flow(draft.declared)}{note}")
    return "\n".join(lines) + "\n"


def _first_rows(path: Path, rows: int, delimiter: str) -> "pd.DataFrame":
    """Return the first rows: text as it stands for csv, typed for parquet."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.name.endswith((".csv", ".csv.gz")):
            return pd.read_csv(path, nrows=rows, sep=delimiter, dtype=str, keep_default_na=False)
        if path.suffix == ".parquet":
            batch = next(pq.ParquetFile(path).iter_batches(batch_size=rows), None)
            return pd.DataFrame() if batch is None else batch.to_pandas()
    except (OSError, EOFError, zlib.error, ValueError, pa.ArrowException) as error:  # parser errors are ValueErrors
        raise UnreadableData(f"{path}: {error}") from error
    raise UnreadableData(f"{path}: expected a .csv, .csv.gz or .parquet file")


def _draft(column: "pd.Series[Any]", missing: frozenset[str]) -> _Draft:
    from pandas.api import types

    if types.is_datetime64_any_dtype(column.dtype):
        return _Draft({"dtype": "timestamp", **_nullable(column)})
    if types.is_bool_dtype(column.dtype):
        return _Draft({"dtype": "bool"})
    if types.is_numeric_dtype(column.dtype):
        dtype = "int" if types.is_integer_dtype(column.dtype) else "float"
        return _number(dtype, [float(value) for value in column.dropna()], _nullable(column))
    texts = [str(value) for value in column.dropna() if str(value) not in missing]
    nullable = {"nullable": True} if len(texts) < len(column) else {}
    return _text(texts, nullable)


def _nullable(column: "pd.Series[Any]") -> dict[str, Any]:
    return {"nullable": True} if bool(column.isna().any()) else {}


def _text(texts: list[str], nullable: dict[str, Any]) -> _Draft:
    """Return the draft of a column of text cells; numbers, booleans and times are recognised by their spelling."""
    if not texts:
        return _Draft({"dtype": "string", "nullable": True}, "empty in these rows")
    for dtype, spelled in (("int", _INT), ("float", _FLOAT)):
        # Ids such as 007, or longer than a number is exact, stay text.
        if all(len(text) <= 15 and spelled.fullmatch(text) for text in texts) and not any(map(_is_code, texts)):
            return _number(dtype, [float(text) for text in texts], nullable)
    levels = sorted(set(texts))
    if {level.lower() for level in levels} <= _BOOLS:
        return _Draft({"dtype": "bool", **nullable})
    if all(map(_TIME.fullmatch, texts)):
        return _Draft({"dtype": "timestamp", **nullable})
    if len(levels) <= LISTED_LEVELS and len(levels) <= len(texts) / 2:
        return _Draft({"dtype": "category", "values": levels, **nullable})
    if len(levels) <= min(CATEGORY_LEVELS, len(texts) / 2):
        return _Draft({"dtype": "category", **nullable}, f"{len(levels)} values")
    return _Draft({"dtype": "string", **nullable}, f"{len(levels)} values in {len(texts)} cells")


def _is_code(text: str) -> bool:
    return re.match(r"[-+]?0[0-9]", text) is not None


def _number(dtype: str, values: list[float], nullable: dict[str, Any]) -> _Draft:
    finite = [value for value in values if math.isfinite(value)]
    notes = ["holds infinities"] if len(finite) < len(values) else []
    levels = set(finite)
    if len(levels) < 2:
        return _Draft({"dtype": dtype, **nullable}, "; ".join([*notes, "constant in these rows"]))
    bounds = _widened(min(finite), max(finite), smallest_step=1.0 if dtype == "int" else 0.0)
    if dtype == "int" and len(levels) <= FEW_NUMBERS < len(finite):
        notes.append(f"{len(levels)} different values: a category?")
    return _Draft({"dtype": dtype, "range": bounds, **nullable}, "; ".join(notes))


def _widened(lowest: float, highest: float, smallest_step: float) -> list[float | int]:
    width = highest - lowest
    step = max(10.0 ** (math.floor(math.log10(width)) - 1), smallest_step)
    down, up = math.floor((lowest - WIDEN * width) / step) * step, math.ceil((highest + WIDEN * width) / step) * step
    bounds = (max(down, 0.0) if lowest >= 0 else down, min(up, 0.0) if highest <= 0 else up)
    digits = max(0, -round(math.log10(step)))
    rounded = [round(bound, digits) for bound in bounds]
    return [int(bound) if bound.is_integer() else bound for bound in rounded]
