"""Profiles: what a pass over a partition leaves, a few kilobytes a table, and what two passes add up to.

Numeric columns are counted in cells whose edges come from a reference, categories by the reference's levels. Profiles
with the same edges merge: counts exactly, moments by the pairwise update of Chan, Golub and LeVeque (1979, *Updating
formulae and a pairwise algorithm for computing sample variances*, eq. 1.5).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from retrain_pipeline.monitoring.errors import ProfilesDiffer

if TYPE_CHECKING:
    import pandas as pd

BINS = 10
TOP_LEVELS = 100
"""Levels of a category that are counted by name; the rest is `other`, so that an id as a category stays small (I26)."""

_MEND = "profile both with the edges of one reference"
Edges = tuple[float, ...] | tuple[str, ...]
"""Of a numeric column: lowest value, cuts between bins, highest value (floats). Of a category: its levels (texts)."""


@dataclass(frozen=True)
class NumericProfile:
    """A numeric column: rows per bin ``(edges[i], edges[i+1]]`` (the first closed), outside, missing; and moments."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    below: int
    above: int
    nulls: int
    count: int
    mean: float
    m2: float
    min: float | None
    max: float | None

    @property
    def out_of_range(self) -> int:
        """Rows outside the reference's lowest and highest value."""
        return self.below + self.above

    def merge(self, other: "NumericProfile") -> "NumericProfile":
        """Return the profile of the rows of both."""
        if self.edges != other.edges:
            raise ProfilesDiffer(f"bins {self.edges[:3]}… and {other.edges[:3]}… differ: {_MEND}")
        count = self.count + other.count
        delta = other.mean - self.mean
        share = other.count / count if count else 0.0
        low = [value for value in (self.min, other.min) if value is not None]
        high = [value for value in (self.max, other.max) if value is not None]
        return NumericProfile(
            edges=self.edges,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            below=self.below + other.below,
            above=self.above + other.above,
            nulls=self.nulls + other.nulls,
            count=count,
            mean=self.mean + delta * share,
            m2=self.m2 + other.m2 + delta * delta * self.count * share,
            min=min(low, default=None),
            max=max(high, default=None),
        )


@dataclass(frozen=True)
class CategoryProfile:
    """A category column: rows per named level, rows of all other levels, missing."""

    edges: tuple[str, ...]
    counts: tuple[int, ...]
    other: int
    nulls: int

    @property
    def count(self) -> int:
        """Rows with a value."""
        return sum(self.counts) + self.other

    def merge(self, other: "CategoryProfile") -> "CategoryProfile":
        """Return the profile of the rows of both."""
        if self.edges != other.edges:
            raise ProfilesDiffer(f"levels {self.edges[:3]}… and {other.edges[:3]}… differ: {_MEND}")
        return CategoryProfile(
            edges=self.edges,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            other=self.other + other.other,
            nulls=self.nulls + other.nulls,
        )


ColumnProfile = NumericProfile | CategoryProfile


@dataclass(frozen=True)
class Profile:
    """All columns of some rows."""

    rows: int
    columns: dict[str, ColumnProfile]

    @property
    def edges(self) -> dict[str, Edges]:
        """The cells of every column: what another profile needs to be comparable."""
        return {name: column.edges for name, column in self.columns.items()}

    def merge(self, other: "Profile") -> "Profile":
        """Return the profile of the rows of both.

        Raises
        ------
        ProfilesDiffer
            When the columns or their cells are not the same.
        """
        if self.columns.keys() != other.columns.keys():
            odd = sorted(self.columns.keys() ^ other.columns.keys())
            raise ProfilesDiffer(f"columns {', '.join(odd)} are in one profile only: {_MEND}")
        merged: dict[str, ColumnProfile] = {}
        for name, mine in self.columns.items():
            theirs = other.columns[name]
            if isinstance(mine, NumericProfile) and isinstance(theirs, NumericProfile):
                merged[name] = mine.merge(theirs)
                continue
            if isinstance(mine, CategoryProfile) and isinstance(theirs, CategoryProfile):
                merged[name] = mine.merge(theirs)
                continue
            raise ProfilesDiffer(f"column {name!r} is a number in one profile and a category in the other")
        return Profile(self.rows + other.rows, merged)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, no NaN among them."""
        columns = {
            name: {"kind": "numeric" if isinstance(column, NumericProfile) else "category"} | _listed(asdict(column))
            for name, column in sorted(self.columns.items())
        }
        return {"schema": "profile/1", "rows": self.rows, "columns": columns}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Profile":
        """Return the profile that `to_json` wrote."""
        return cls(int(value["rows"]), {name: _column_from_json(column) for name, column in value["columns"].items()})


def _listed(column: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in column.items()}


def _column_from_json(value: Mapping[str, Any]) -> ColumnProfile:
    fields: dict[str, Any] = {name: field for name, field in value.items() if name != "kind"}
    fields |= {"edges": tuple(value["edges"]), "counts": tuple(value["counts"])}
    if value["kind"] == "category":
        return CategoryProfile(**fields)
    # Canonical JSON spells 1.0 as 1.
    floats = {name: float(fields[name]) for name in ("mean", "m2", "min", "max") if fields[name] is not None}
    return NumericProfile(**fields | floats | {"edges": tuple(float(edge) for edge in fields["edges"])})


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
    columns = {str(name): profile_column(frame[name], None if edges is None else edges[name]) for name in names}
    return Profile(len(frame), columns)


def profile_column(column: "pd.Series[Any]", edges: Edges | None = None) -> ColumnProfile:
    """Return the profile of one column; see `profile`."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    numeric = is_numeric_dtype(column.dtype) or is_bool_dtype(column.dtype)
    if edges is None:
        return _numeric(column, None) if numeric else _category(column, None)
    if edges and isinstance(edges[0], str):
        return _category(column, tuple(str(level) for level in edges))
    if not numeric and column.notna().any():
        example = column.dropna().iloc[0]
        raise ProfilesDiffer(f"column {column.name!r} was a number and now holds text, e.g. {example!r:.60}")
    return _numeric(column, tuple(float(edge) for edge in edges))


def _numeric(column: "pd.Series[Any]", edges: tuple[float, ...] | None) -> NumericProfile:
    import numpy as np

    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    present = ~np.isnan(values)
    rows, count = len(values), int(present.sum())
    if count < rows:
        values = values[present]
    if edges is None:
        edges = _edges_of(values)
    bins = max(len(edges) - 1, 0)
    if not count:
        return NumericProfile(edges, (0,) * bins, 0, 0, rows, 0, 0.0, 0.0, None, None)
    counts, below, above = _counted(values, edges) if bins else ((), 0, count)
    mean = float(values.mean())
    low, high = float(values.min()), float(values.max())
    spread = float(np.square(values - mean).sum())
    return NumericProfile(edges, counts, below, above, rows - count, count, mean, spread, low, high)


def _counted(values: Any, edges: tuple[float, ...]) -> tuple[tuple[int, ...], int, int]:
    import numpy as np

    counts = np.bincount(np.searchsorted(np.asarray(edges[1:-1]), values, side="left"), minlength=len(edges) - 1)
    below, above = int((values < edges[0]).sum()), int((values > edges[-1]).sum())
    counts[0] -= below
    counts[-1] -= above
    return tuple(int(n) for n in counts), below, above


def _edges_of(values: Any) -> tuple[float, ...]:
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


def _category(column: "pd.Series[Any]", levels: tuple[str, ...] | None) -> CategoryProfile:
    found = column.value_counts()
    total = int(found.sum())
    named: dict[str, int] = {}
    for level, count in found.items():
        named[str(level)] = named.get(str(level), 0) + int(count)
    if levels is None:
        # A reference without a level would look like a numeric one without values.
        top = sorted(named, key=lambda level: (-named[level], level))[:TOP_LEVELS]
        levels = tuple(sorted(top)) or ("",)
    counts = tuple(named.get(level, 0) for level in levels)
    return CategoryProfile(levels, counts, total - sum(counts), len(column) - total)


def merge_profiles(profiles: Sequence[Profile]) -> Profile:
    """Return the profile of the rows of all.

    Raises
    ------
    ProfilesDiffer
        When there are none, or they were not counted in the same cells.
    """
    if not profiles:
        raise ProfilesDiffer("no profile to merge")
    total = replace(profiles[0])
    for one in profiles[1:]:
        total = total.merge(one)
    return total
