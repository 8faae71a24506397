"""Readings: what is looked at in the summary of a column, each a number per period in units of the reference's spread.

All are functions of the counts per cell, and scaled so that of n independent rows a reading has variance 1/n:

- *level*: the mean of the normal scores of the cells (van der Waerden 1952): a shift of one standard deviation is 1, an
  outlier counts no more than its cell, and of ten cells the loss against the mean of normal rows is 3 % of the rows;
- *spread*: the mean of the squared scores, made orthogonal to the level, less what the period's own level brings: a
  normal column that moves as a whole leaves its outer cells on one side and reaches beyond them on the other;
- *share* of each cell, of each level of a category and of the missing: 2·asin √p (Anscombe 1948) less that of the
  reference: Cohen's h, of which 0.2 is small as it is of a shift in standard deviations (Cohen 1988, ch. 6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from retrain_pipeline.monitoring.summaries import CategoryProfile, ColumnProfile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL_SHARE = 0.85
"""Of a numeric column's error the part that its level may use, since that is where shifts show first."""
# Standard deviations; all rows are in the outermost cell by then.
_FARTHEST_MOVE = 5.0
# Cells in which fewer rows are expected are read as one: the scale of a share is no longer that of its noise.
_MIN_EXPECTED = 5.0


@dataclass(frozen=True)
class Reading:
    """One number a period. `past`: of the reference's periods; `n`: rows that carry the present one; `weight`: its part
    of the column's error."""

    column: str
    what: str
    past: "NDArray[np.float64]"
    reference: float
    now: float
    n: float
    weight: float

    @property
    def kind(self) -> str:
        """`level`, `spread` or `share`."""
        return self.what if self.what in ("level", "spread") else "share"

    @property
    def unit(self) -> str:
        """What a shift of it is measured in, in words."""
        return "h" if self.kind == "share" else "sd"

    @property
    def shift(self) -> float:
        """The present less the whole reference, in standard deviations (of a share: Cohen's h)."""
        return self.now - self.reference


def readings_of(
    name: str, reference: ColumnProfile, periods: Sequence[ColumnProfile], current: ColumnProfile
) -> list[Reading]:
    """Return the readings of a column: of its reference, of the reference's periods, and of now."""
    import numpy as np

    counts = np.array([cells(one) for one in (reference, current, *periods)], dtype=np.float64)
    labels = cell_names(reference)
    rows = float(counts[1].sum())
    scored = _scored(counts[:, :-1]) if not isinstance(reference, CategoryProfile) else {}
    shares = _shares(counts, labels, rows)
    found = []
    for what, values in scored.items():
        present = counts[:, :-1].sum(axis=1) / np.maximum(counts.sum(axis=1), 1)
        n = rows * min(1.0, present[1] / present[0])
        weight = (LEVEL_SHARE if shares else 1.0) if what == "level" else (1 - LEVEL_SHARE) / (1 + len(shares))
        found.append(Reading(name, what, values[2:], float(values[0]), float(values[1]), n, weight))
    weight = (1.0 - sum(one.weight for one in found)) / max(len(shares), 1)
    for what, values in shares.items():
        found.append(Reading(name, what, values[2:], float(values[0]), float(values[1]), rows, weight))
    return found


def cells(side: ColumnProfile) -> list[int]:
    """Return the rows per cell, the missing last; rows outside the reference's range count in the outermost bins.

    Of a constant, whatever differs is a cell of its own.
    """
    if isinstance(side, CategoryProfile):
        return [*side.counts, side.other, side.nulls]
    if len(side.counts) < 2:
        return [*side.counts, side.below + side.above, side.nulls]
    return [side.counts[0] + side.below, *side.counts[1:-1], side.counts[-1] + side.above, side.nulls]


def cell_names(side: ColumnProfile) -> list[str]:
    """Return what each of `cells` is called in words."""
    if isinstance(side, CategoryProfile):
        return [*(f"level {level!r:.40}" for level in side.edges), "other levels", "missing values"]
    cuts = [f"{edge:.4g}" for edge in side.edges]
    if len(side.counts) < 2:
        return [*(f"value {cut}" for cut in cuts[: len(side.counts)]), "other values", "missing values"]
    inner = [f"values from {low} to {high}" for low, high in pairwise(cuts[1:-1])]
    return [f"values up to {cuts[1]}", *inner, f"values above {cuts[-2]}", "missing values"]


def _scored(counts: "NDArray[np.float64]") -> "Mapping[str, NDArray[np.float64]]":
    """Return level and spread per side; the scores are those of the first side, the reference."""
    import numpy as np
    from scipy.stats import norm

    total = counts[0].sum()
    if np.count_nonzero(counts[0]) < 2:
        return {}
    p = counts[0] / total
    ends = norm.ppf(np.concatenate([[0.0], np.minimum(np.cumsum(p), 1.0)]))
    density = norm.pdf(ends)
    scores = np.divide(density[:-1] - density[1:], p, out=np.zeros_like(p), where=p > 0)
    level = _standard(scores, p)
    found = {"level": _means(level, counts)}
    if np.count_nonzero(p) > 2:
        square = level**2 - 1
        spread = square - (p * square * level).sum() * level
        if (p * spread**2).sum() > 1e-9:
            spread = _standard(spread, p)
            found["spread"] = _means(spread, counts) - _brought(found["level"], ends, level, spread)
    return found


def _brought(levels: Any, ends: Any, level: Any, spread: Any) -> Any:
    """Return the spread that each level brings: of a normal column that moved until that is its level."""
    import numpy as np
    from scipy.stats import norm

    moves = np.arange(-_FARTHEST_MOVE, _FARTHEST_MOVE, 0.1)
    shares = np.diff(norm.cdf(ends - moves[:, None]), axis=1)
    return np.interp(levels, shares @ level, shares @ spread)


def _standard(scores: Any, p: Any) -> Any:
    centred = scores - (p * scores).sum()
    return centred / (p * centred**2).sum() ** 0.5


def _means(scores: Any, counts: Any) -> Any:
    import numpy as np

    rows = counts.sum(axis=1)
    return np.divide(counts @ scores, rows, out=np.zeros(len(counts)), where=rows > 0)


def _shares(counts: Any, labels: Sequence[str], rows: float) -> "dict[str, NDArray[np.float64]]":
    """Return, per cell, how far its share lies from the reference's; cells of which few rows are expected are one."""
    import numpy as np

    rare = counts[0] / max(counts[0].sum(), 1.0) * min(rows, counts[0].sum()) < _MIN_EXPECTED
    # the missing are a cell of their own, however rare they were
    rare[-1] = False
    parts = {labels[i]: counts[:, i] for i in np.flatnonzero(~rare).tolist()}
    if rare.any():
        what = labels[int(np.flatnonzero(rare)[0])] if rare.sum() == 1 else f"{int(rare.sum())} rare cells"
        parts[what] = counts[:, rare].sum(axis=1)
    return {what: _apart(one, counts.sum(axis=1)) for what, one in parts.items()}


def _apart(some: Any, total: Any) -> Any:
    """Return Cohen's h of each side's share from that of the first, held to what the binomial distribution says.

    Near 0 and 1 the transform makes a small count look rarer than it is (1 row where 10 are expected: 5 sd instead of
    3.5); beyond 8 sd both agree that it is no chance.
    """
    import numpy as np
    from scipy.special import bdtr, bdtrc, ndtri

    p = some[0] / max(total[0], 1.0)
    h = 2 * np.arcsin(np.sqrt((some + 0.375) / (total + 0.75))) - 2 * np.arcsin(np.sqrt(p))
    h[0] = 0.0
    down = bdtr(some, total.astype(np.int64), p)
    up = np.where(some > 0, bdtrc(np.maximum(some - 1, 0), total.astype(np.int64), p), 1.0)
    tail = np.where(h < 0, down, up)
    held = np.minimum(np.abs(h), np.maximum(-ndtri(np.maximum(tail, 1e-300)), 0.0) / np.sqrt(np.maximum(total, 1.0)))
    return np.where(tail > 1e-15, np.sign(h) * held, h)
