"""The pass over rows that leaves a mergeable summary: streaming, out of memory, the same for a frame and for a table.

Polars reads the rows of a few columns once, some thousands at a time, on all cores. A bin is counted by comparisons
with its edges: ten of them cost less than one search, since each is a single vector instruction over the values.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from retrain_pipeline.monitoring.errors import ProfilesDiffer
from retrain_pipeline.monitoring.summaries import (
    CategoryProfile,
    ColumnProfile,
    Edges,
    NumericProfile,
    Profile,
    grid_of,
)

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

BINS = 10
TOP_LEVELS = 100
"""Levels of a category that are counted by name; the rest is `other`, so that an id as a category stays small (I26)."""

# Files are read by column, so passes over a few each take no longer than one over all. Of all columns at once several
# row groups are in flight: 300 to 600 MB, the more the longer the table; of four about 230 MB, whatever its length.
_COLUMNS_A_PASS = 4
# Float64 adds whole numbers exactly below this; columns whose squares add up to more are summed in 128 bits.
_EXACT = 2.0**53
_FARTHEST = 2.0**50
"""Values farther from the grid's origin than so many steps count as so far: beyond 10^11 spans of the reference."""


def profile(frame: "pd.DataFrame", edges: Mapping[str, Edges] | None = None) -> Profile:
    """Return the profile of a frame, column by column, without a copy of the frame.

    Parameters
    ----------
    frame
        Numbers and bools are numeric, everything else is a category by its text. Names with a leading '_' are left out.
    edges
        The cells of a reference (`Profile.edges`); only its columns are profiled. Without them the frame is the
        reference: deciles of its values, its `TOP_LEVELS` most frequent levels.

    Raises
    ------
    ProfilesDiffer
        When a numeric column of the reference holds text here.
    """
    names = [name for name in frame.columns if not str(name).startswith("_")] if edges is None else list(edges)
    cells = {str(name): edges_of(frame[name]) if edges is None else edges[name] for name in names}
    found: dict[str, ColumnProfile] = dict(_numeric_of_frame(frame, cells))
    for name, levels in cells.items():
        if _is_category(levels):
            found[name] = _category_of(_levels(frame[name]), levels, len(frame))
    return Profile(len(frame), {name: found[name] for name in cells})


def profile_column(column: "pd.Series[Any]", edges: Edges | None = None) -> ColumnProfile:
    """Return the profile of one column; see `profile`."""
    found = profile(column.to_frame("x"), None if edges is None else {"x": edges})
    return found.columns["x"]


def _numeric_of_frame(frame: "pd.DataFrame", cells: Mapping[str, Edges]) -> dict[str, NumericProfile]:
    import polars as pl

    numbers = {name: tuple(float(edge) for edge in cuts) for name, cuts in cells.items() if not _is_category(cuts)}
    values = {}
    for name in numbers:
        column = frame[name]
        if not _is_numeric(column) and column.notna().any():
            example = column.dropna().iloc[0]
            raise ProfilesDiffer(f"column {name!r} was a number and now holds text, e.g. {example!r:.60}")
        values[name] = column.to_numpy(dtype="float64", na_value=float("nan"))
    return _numeric_profiles(pl.LazyFrame(values), numbers, len(frame))


def profile_lazy(rows: "pl.LazyFrame", edges: Mapping[str, Edges]) -> Profile:
    """Return the profile of a lazily scanned table, streamed: memory does not grow with the rows.

    Columns that are not there, or that were numbers and now are something else, are left out.
    """
    import polars as pl

    schema = rows.collect_schema()
    numbers: dict[str, tuple[float, ...]] = {}
    categories: dict[str, tuple[str, ...]] = {}
    for name, cuts in edges.items():
        if name in schema and _is_category(cuts):
            categories[name] = tuple(str(level) for level in cuts)
        elif name in schema and (schema[name].is_numeric() or schema[name] in (pl.Boolean, pl.Null)):
            numbers[name] = tuple(float(cut) for cut in cuts)
    floats = rows.select(pl.col(name).cast(pl.Float64) for name in numbers)
    count = int(rows.select(pl.len()).collect(engine="streaming").item())
    columns: dict[str, ColumnProfile] = dict(_numeric_profiles(floats, numbers, count))
    for name, levels in categories.items():
        columns[name] = _category_of(_levels_lazy(rows, name, levels), levels, count)
    return Profile(count, {name: columns[name] for name in edges if name in columns})


def _is_category(edges: Edges) -> bool:
    return bool(edges) and isinstance(edges[0], str)


def _is_numeric(column: "pd.Series[Any]") -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return is_numeric_dtype(column.dtype) or is_bool_dtype(column.dtype)


def _numeric_profiles(
    rows: "pl.LazyFrame", edges: Mapping[str, tuple[float, ...]], count: int
) -> dict[str, NumericProfile]:
    """Return the profiles of columns of floats, each in one pass, and in a second one where it has odd values."""
    found = _collected(rows, edges, clean=False)
    odd = {name: edges[name] for name in edges if not _is_exact(found, name)}
    if odd:
        found |= _collected(rows, odd, clean=True)
    return {name: _numeric_of(found, name, cuts, count) for name, cuts in edges.items()}


def _is_exact(found: Mapping[str, Any], name: str) -> bool:
    squares = found[f"{name}:squares"]
    return found[f"{name}:count"] == found[f"{name}:present"] and squares is not None and squares < _EXACT


def _collected(rows: "pl.LazyFrame", edges: Mapping[str, tuple[float, ...]], *, clean: bool) -> dict[str, Any]:
    """Return what passes over some columns at a time count."""
    found: dict[str, Any] = {}
    names = list(edges)
    for first in range(0, len(names), _COLUMNS_A_PASS):
        wanted = [one for name in names[first : first + _COLUMNS_A_PASS] for one in _counted(name, edges[name], clean)]
        found |= rows.select(wanted).collect(engine="streaming").row(0, named=True)
    return found


def _counted(name: str, cuts: tuple[float, ...], clean: bool) -> "list[pl.Expr]":
    """Return what is counted of a column. `clean` leaves values out that are not finite, and sums in 128 bits."""
    import polars as pl

    value = pl.col(name)
    finite = value.is_finite()
    if clean:
        value = pl.when(finite).then(value)
    origin, step = grid_of(cuts)
    # floor(… + 1/2) is the nearest step, and one that does not depend on who rounds halves how
    steps = ((value - origin) * (1.0 / step) + 0.5).floor()
    if clean:
        steps = steps.clip(-_FARTHEST, _FARTHEST).cast(pl.Int128)
    sums = {
        "count": finite.sum(),
        "present": value.count(),
        "total": steps.sum(),
        "squares": (steps * steps).sum(),
        "min": value.min(),
        "max": value.max(),
    }
    sums |= {"below": (value < cuts[0]).sum()} if cuts else {}
    sums |= {f"upto{i}": (value <= cut).sum() for i, cut in enumerate(cuts) if i}
    return [expression.alias(f"{name}:{what}") for what, expression in sums.items()]


def _numeric_of(found: Mapping[str, Any], name: str, edges: tuple[float, ...], rows: int) -> NumericProfile:
    count = int(found[f"{name}:count"])
    below = int(found.get(f"{name}:below", 0))
    upto = [below, *(int(found[f"{name}:upto{i}"]) for i in range(1, len(edges)))]
    low, high = (None if not count else float(found[f"{name}:{what}"]) for what in ("min", "max"))
    return NumericProfile(
        edges=edges,
        counts=tuple(after - before for before, after in pairwise(upto)),
        below=below,
        above=count - upto[-1],
        nulls=rows - count,
        count=count,
        total=int(found[f"{name}:total"] or 0),
        squares=int(found[f"{name}:squares"] or 0),
        min=low,
        max=high,
    )


def _levels(column: "pd.Series[Any]") -> dict[str, int]:
    """Return the rows of every level by its text."""
    named: dict[str, int] = {}
    for level, count in column.value_counts().items():
        named[str(level)] = named.get(str(level), 0) + int(count)
    return named


def _levels_lazy(rows: "pl.LazyFrame", name: str, levels: Sequence[str]) -> dict[str, int]:
    """Return the rows of some levels, and under None those of all others; so that an id as a category stays small."""
    import polars as pl

    text = pl.col(name).cast(pl.String)
    known = pl.when(text.is_in(list(levels))).then(text)
    counted = rows.filter(pl.col(name).is_not_null()).group_by(known.alias("level")).len().collect(engine="streaming")
    return dict(counted.iter_rows())


def _category_of(named: Mapping[str, int], levels: Edges, rows: int) -> CategoryProfile:
    texts = tuple(str(level) for level in levels)
    total = sum(named.values())
    counts = tuple(named.get(level, 0) for level in texts)
    return CategoryProfile(texts, counts, total - sum(counts), rows - total)


def edges_of(column: "pd.Series[Any]") -> Edges:
    """Return the cells of a column that is a reference: of a number lowest value, cuts and highest, else top levels."""
    import numpy as np

    if not _is_numeric(column):
        named = _levels(column)
        # A reference without a level would look like a numeric one without values.
        return tuple(sorted(sorted(named, key=lambda level: (-named[level], level))[:TOP_LEVELS])) or ("",)
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return _cuts_of(values[np.isfinite(values)])


def _cuts_of(values: Any) -> tuple[float, ...]:
    """Return lowest value, cuts and highest value: a cut at each value where there are few, else at the deciles.

    A bin is closed on the right, so a cut at the highest value would leave an empty bin; it is dropped. A constant has
    one bin (lowest and highest value are equal), a column of nothing none.
    """
    import numpy as np

    if not len(values):
        return ()
    low, high = float(values.min()), float(values.max())
    # A sample decides whether there are few values; only then all are looked at.
    if len(np.unique(values[:1000])) <= BINS and len(distinct := np.unique(values)) <= BINS:
        cuts = distinct[:-1]
    else:
        cuts = np.unique(np.quantile(values, np.arange(1, BINS) / BINS, method="lower"))
        cuts = cuts[cuts < high]
        if not len(cuts):  # nine tenths are the highest value: tell it from the rest
            cuts = np.array([values[values < high].max()])
    return (low, *(float(cut) for cut in cuts), high)
