"""Distances between two summaries of a column in the same cells: pure functions, each with its source.

Between counts they are exact; against the same distance of the rows they err by what happens within a bin. Where every
value has a bin of its own (few distinct values, categories) nothing happens within one, and both agree.
"""

from typing import TYPE_CHECKING, Any

from retrain_pipeline.monitoring.errors import ProfilesDiffer
from retrain_pipeline.monitoring.readings import cells
from retrain_pipeline.monitoring.summaries import CategoryProfile, ColumnProfile, NumericProfile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SMOOTHING = 0.5
"""Rows added to every cell of a logarithmic distance, so that an empty one gives a finite value (Jeffreys)."""


def shares(one: ColumnProfile, smoothing: float = 0.0) -> "NDArray[np.float64]":
    """Return the share of rows per cell, the missing last; all 0 without rows."""
    import numpy as np

    counts = np.array(cells(one), dtype=np.float64) + smoothing
    found: NDArray[np.float64] = counts / max(counts.sum(), 1.0)
    return found


def psi(reference: ColumnProfile, current: ColumnProfile) -> float:
    """Return the population stability index Σ (q − p)·ln(q/p) (Siddiqi 2006), over cells that either side uses."""
    import numpy as np

    p, q = _smoothed(reference, current)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: ColumnProfile, current: ColumnProfile) -> float:
    """Return the Jensen-Shannon distance to base 2, from 0 to 1 (Endres and Schindelin 2003)."""
    import numpy as np

    p, q = _pair(reference, current)
    middle = (p + q) / 2
    parts = [np.sum(side[side > 0] * np.log2(side[side > 0] / middle[side > 0])) for side in (p, q)]
    return float(max(sum(parts) / 2, 0.0) ** 0.5)


def total_variation(reference: ColumnProfile, current: ColumnProfile) -> float:
    """Return half the sum of the differences of shares: the share of rows that would have to change cell."""
    p, q = _pair(reference, current)
    return float(abs(p - q).sum() / 2)


def kolmogorov_smirnov(reference: NumericProfile, current: NumericProfile) -> float:
    """Return the greatest difference of the distribution functions at the edges; never above that of the rows."""
    import numpy as np

    p, q = _distribution(reference, current)
    return float(np.max(np.abs(p - q), initial=0.0))


def wasserstein(reference: NumericProfile, current: NumericProfile) -> float:
    """Return the mean distance that rows must move, in the column's unit (Vallender 1974: ∫|F − G|).

    Within a bin the distribution functions are taken as straight, except where the reference has as few values as
    bins: there they are steps. Beyond the reference's range the rows lie at its ends; what `max` and `min` say of them
    is the mean's affair.
    """
    import numpy as np

    p, q = _distribution(reference, current)
    gap = p - q
    lengths = np.diff(np.array(reference.edges))
    before, after = gap[:-1], gap[1:]
    if _is_discrete(reference):
        return float((np.abs(before) * lengths).sum())
    same = before * after >= 0
    wide = np.abs(before) + np.abs(after)
    # |a| and |b| of opposite signs meet at zero: two triangles
    crossing = np.divide(before**2 + after**2, wide, out=np.zeros_like(wide), where=wide > 0)
    return float((np.where(same, wide, crossing) / 2 * lengths).sum())


def _is_discrete(one: NumericProfile) -> bool:
    """A reference with a cut at its lowest value has a bin per value (`edges_of`)."""
    return len(one.edges) > 2 and one.edges[0] == one.edges[1]


def _distribution(reference: NumericProfile, current: NumericProfile) -> tuple[Any, Any]:
    """Return the shares of values up to each edge, on both sides; those outside count to the ends."""
    import numpy as np

    _same_cells(reference, current)
    sides = []
    for one in (reference, current):
        counts = np.array(cells(one)[:-1], dtype=np.float64)
        if len(one.counts) < 2:
            counts = np.array([one.below + sum(one.counts), one.above], dtype=np.float64)[: len(one.counts)]
        sides.append(np.concatenate([[0.0], np.cumsum(counts)]) / max(one.count, 1))
    return sides[0], sides[1]


def _pair(reference: ColumnProfile, current: ColumnProfile) -> tuple[Any, Any]:
    _same_cells(reference, current)
    return shares(reference), shares(current)


def _smoothed(reference: ColumnProfile, current: ColumnProfile) -> tuple[Any, Any]:
    """Return the shares over the cells that either side uses, `SMOOTHING` added to each."""
    import numpy as np

    _same_cells(reference, current)
    sides = np.array([cells(reference), cells(current)], dtype=np.float64)
    used = sides[:, sides.sum(axis=0) > 0] + SMOOTHING
    p, q = used / used.sum(axis=1, keepdims=True)
    return p, q


def _same_cells(reference: ColumnProfile, current: ColumnProfile) -> None:
    if type(reference) is not type(current) or reference.edges != current.edges:
        raise ProfilesDiffer("the two sides were counted in other cells: profile both with the edges of one reference")


def category_shifts(reference: CategoryProfile, current: CategoryProfile) -> dict[str, float]:
    """Return by how much the share of each level moved, the largest first."""
    p, q = _pair(reference, current)
    moved = dict(zip(reference.edges, (q - p).tolist(), strict=False))
    return dict(sorted(moved.items(), key=lambda item: (-abs(item[1]), item[0])))
