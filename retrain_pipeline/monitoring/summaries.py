"""Mergeable summaries: what a pass over a partition leaves, a few kilobytes a table, and what two passes add up to.

Numeric columns are counted in cells whose edges come from a reference, categories by the reference's levels. Summaries
with the same edges merge **exactly**: whatever the partitioning and the order, the sums are those of one pass, bit for
bit. For that the moments are sums of whole numbers, the values on a fixed grid (`grid_of`), so that no addition rounds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from retrain_pipeline.monitoring.errors import ProfilesDiffer

_MEND = "profile both with the edges of one reference"
# The inner eight tenths of a reference are cut into 2^12 to 2^13 steps: rounding a value to a step adds less than a
# millionth to their variance, and 10^7 rows of squares stay below 2^53, where float64 adds whole numbers exactly.
_STEPS_LOG2 = 12
Edges = tuple[float, ...] | tuple[str, ...]
"""Of a numeric column: lowest value, cuts between bins, highest value (floats). Of a category: its levels (texts)."""


def grid_of(edges: Sequence[float]) -> tuple[float, float]:
    """Return origin and step of the grid on which the moments of a numeric column are summed; the step is a power of 2.

    Examples
    --------
    >>> grid_of((0.0, 1.0, 2.0, 8192.0))
    (2.0, 0.000244140625)
    """
    if not edges:
        return 0.0, 2.0**-_STEPS_LOG2
    inner = edges[1:-1] if len(edges) > 3 else edges
    whole = edges[-1] - edges[0]
    # however far the ends lie from the rest, they are on the grid
    span = max(inner[-1] - inner[0] or whole, whole * 2.0**-32) or abs(edges[0]) or 1.0
    # Of float64 the ends are cut off: neither the step nor what it divides may overflow.
    exponent = min(max(math.frexp(span)[1] - 1 - _STEPS_LOG2, -900), 900)
    return edges[len(edges) // 2], 2.0**exponent


@dataclass(frozen=True)
class NumericProfile:
    """A numeric column: rows per bin ``(edges[i], edges[i+1]]`` (the first closed), outside, missing; and moments.

    `total` and `squares` are the sums of the values and of their squares in steps of `grid_of` from its origin. Values
    that are not finite are missing.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    below: int
    above: int
    nulls: int
    count: int
    total: int
    squares: int
    min: float | None
    max: float | None

    @property
    def out_of_range(self) -> int:
        """Rows outside the reference's lowest and highest value."""
        return self.below + self.above

    @property
    def mean(self) -> float:
        """Mean of the values, to a step of the grid; 0 without values."""
        origin, step = grid_of(self.edges)
        return origin + self.total / self.count * step if self.count else 0.0

    @property
    def m2(self) -> float:
        """Sum of squared differences from the mean; 0 without values."""
        _, step = grid_of(self.edges)
        # whole numbers, so that nothing cancels
        return (self.squares * self.count - self.total**2) / self.count * step * step if self.count else 0.0

    @property
    def std(self) -> float:
        """Standard deviation of the values (population); 0 without values."""
        return math.sqrt(self.m2 / self.count) if self.count else 0.0

    def merge(self, other: "NumericProfile") -> "NumericProfile":
        """Return the profile of the rows of both."""
        if self.edges != other.edges:
            raise ProfilesDiffer(f"bins {self.edges[:3]}… and {other.edges[:3]}… differ: {_MEND}")
        low = [value for value in (self.min, other.min) if value is not None]
        high = [value for value in (self.max, other.max) if value is not None]
        return NumericProfile(
            edges=self.edges,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            below=self.below + other.below,
            above=self.above + other.above,
            nulls=self.nulls + other.nulls,
            count=self.count + other.count,
            total=self.total + other.total,
            squares=self.squares + other.squares,
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
        return {"schema": "profile/2", "rows": self.rows, "columns": columns}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Profile":
        """Return the profile that `to_json` wrote."""
        return cls(int(value["rows"]), {name: _column_from_json(column) for name, column in value["columns"].items()})


def without_edges(one: Profile) -> dict[str, Any]:
    """Return a profile as JSON values without its cells, which a reference has said; see `with_edges`."""
    value = one.to_json()
    for column in value["columns"].values():
        del column["edges"]
    return value


def with_edges(value: Mapping[str, Any], edges: Mapping[str, Edges]) -> Profile:
    """Return the profile that `without_edges` wrote, in the cells of its reference."""
    columns = {name: {**column, "edges": edges[name]} for name, column in value["columns"].items()}
    return Profile.from_json({**value, "columns": columns})


def _listed(column: dict[str, Any]) -> dict[str, Any]:
    # Sums pass 2^53, which JSON numbers need not hold.
    texts = {name: str(column[name]) for name in ("total", "squares") if name in column}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in column.items()} | texts


def _column_from_json(value: Mapping[str, Any]) -> ColumnProfile:
    fields: dict[str, Any] = {name: field for name, field in value.items() if name not in ("kind", "mean", "m2")}
    fields |= {"edges": tuple(value["edges"]), "counts": tuple(value["counts"])}
    if value["kind"] == "category":
        return CategoryProfile(**fields)
    # Canonical JSON spells 1.0 as 1.
    edges = tuple(float(edge) for edge in fields["edges"])
    floats = {name: float(fields[name]) for name in ("min", "max") if fields[name] is not None}
    sums = _sums_of_moments(value, edges) if "m2" in value else {n: int(value[n]) for n in ("total", "squares")}
    return NumericProfile(**fields | floats | sums | {"edges": edges})


def _sums_of_moments(value: Mapping[str, Any], edges: Sequence[float]) -> dict[str, int]:
    """Return the sums of a profile of schema 1, which kept the mean and the sum of squared differences from it."""
    origin, step = grid_of(edges)
    count, mean = int(value["count"]), (float(value["mean"]) - origin) / step
    return {"total": round(mean * count), "squares": round(float(value["m2"]) / step / step + mean * mean * count)}


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
