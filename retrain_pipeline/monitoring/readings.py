"""Readings: what is looked at in the summary of a column, each a number per period in units of the reference's spread.

All are functions of the counts per cell, and scaled so that of n independent rows a reading has variance 1/n:

- *level*: the mean of the normal scores of the cells (van der Waerden 1952): a shift of one standard deviation is 1, an
  outlier counts no more than its cell, and of ten cells the loss against the mean of normal rows is 3 % of the rows;
- *spread*: the mean of the squared scores, made orthogonal to the level;
- *share* of each cell, of each level of a category and of the missing: 2·asin √p (Anscombe 1948) less that of the
  reference: Cohen's h, of which 0.2 is small as it is of a shift in standard deviations (Cohen 1988, ch. 6).

The spread and the shares of a number are looked at less what the period's own level brings to them (`_expected`): what
moves a column as a whole, as a season does, is judged once, by its level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from retrain_pipeline.monitoring.null import MIN_PERIODS
from retrain_pipeline.monitoring.summaries import CategoryProfile, ColumnProfile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL_SHARE = 0.95
"""Of a numeric column's error the part that its level may use, since that is where shifts show first."""
# Standard errors of independent rows from which on a reading is thought to have a season. Of those without one in forty
# is then held against one period in place of the whole reference, and drift of it is found more rarely.
_SEASONAL = 2.0
# Standard deviations; all rows are in the outermost cell by then.
_FARTHEST_MOVE = 5.0
# Cells in which fewer rows are expected are read as one: the scale of a share is no longer that of its noise.
_MIN_EXPECTED = 5.0


@dataclass(frozen=True)
class Reading:
    """One number a period. `past`: of the reference's periods; `reference`: their mean, or without enough of them that
    of the whole; `n`: rows that carry the present one; `weight`: its part of the column's error; `season`: how far it
    lay from the reference in the same part of an earlier season, and does again."""

    column: str
    what: str
    past: "NDArray[np.float64]"
    reference: float
    now: float
    n: float
    weight: float
    season: float = 0.0

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
        """The present less reference and season, in standard deviations (of a share: Cohen's h)."""
        return self.now - self.reference - self.season


def readings_of(
    name: str, reference: ColumnProfile, periods: Sequence[ColumnProfile], current: ColumnProfile
) -> list[Reading]:
    """Return the readings of a column: of its reference, of the reference's periods, and of now."""
    import numpy as np

    counts = np.array([cells(one) for one in (reference, current, *periods)], dtype=np.float64)
    rows, present = counts.sum(axis=1), counts[:, :-1].sum(axis=1) / np.maximum(counts.sum(axis=1), 1)
    expected = np.tile(counts[0] / max(rows[0], 1.0), (len(counts), 1))
    scored: dict[str, NDArray[np.float64]] = {}
    if not isinstance(reference, CategoryProfile) and np.count_nonzero(counts[0, :-1]) > 1:
        scored, around = _scored(counts[:, :-1])
        expected[:, :-1] = around * present[:, None]
    shares = _shares(counts, expected, cell_names(reference))
    rest = (1 - LEVEL_SHARE if "level" in scored else 1.0) / max(len(shares) + ("spread" in scored), 1)
    # Around its own level a period is narrower than the whole, which spreads over the levels of all.
    mixed = rows * (np.arange(len(counts)) > 1) if len(periods) >= MIN_PERIODS else np.eye(len(counts))[0]
    found = []
    for what, values in (scored | shares).items():
        n = rows[1] * min(1.0, present[1] / present[0]) if what in scored else rows[1]
        base = float(np.average(values, weights=mixed))
        weight = LEVEL_SHARE if what == "level" else rest
        found.append(Reading(name, what, values[2:], base, float(values[1]), float(n), weight))
    return found


def less_season(now: Sequence[Reading], earlier: Sequence[Reading]) -> list[Reading]:
    """Return readings less what those of the same part of an earlier season had moved, where both moved the same way.

    The matched baseline is one period, whose own chance is added to that of the present: 1/n + 1/n'.
    """
    known = {(one.column, one.what): one for one in earlier}
    found = []
    for one in now:
        then = known.get((one.column, one.what))
        if then is not None and one.shift * then.shift > 0 and abs(then.shift) > _SEASONAL * then.n**-0.5:
            one = replace(one, season=then.shift, n=1 / (1 / one.n + 1 / then.n))
        found.append(one)
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


def _scored(counts: "NDArray[np.float64]") -> "tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]":
    """Return level and spread per side, by the scores of the first side, the reference; and the shares that each
    side's level lets expect."""
    import numpy as np
    from scipy.special import ndtri

    p = counts[0] / counts[0].sum()
    ends = ndtri(np.concatenate([[0.0], np.minimum(np.cumsum(p), 1.0)]))
    density = np.exp(-0.5 * ends**2) / (2 * np.pi) ** 0.5
    scores = np.divide(density[:-1] - density[1:], p, out=np.zeros_like(p), where=p > 0)
    level = _standard(scores, p)
    found = {"level": _means(level, counts)}
    expected = _expected(found["level"], ends, level)
    if np.count_nonzero(p) > 2:
        square = level**2 - 1
        spread = square - (p * square * level).sum() * level
        if (p * spread**2).sum() > 1e-9:
            spread = _standard(spread, p)
            found["spread"] = _means(spread, counts) - expected @ spread
    return found, expected


def _expected(levels: Any, ends: Any, level: Any) -> Any:
    """Return the shares of the cells of a normal column that has moved as a whole, until it has each of the levels."""
    import numpy as np
    from scipy.special import ndtr

    moves = np.arange(-_FARTHEST_MOVE, _FARTHEST_MOVE, 0.05)
    of_moves = np.diff(ndtr(ends - moves[:, None]), axis=1) @ level
    moved = np.interp(levels, of_moves, moves)
    return np.diff(ndtr(ends - moved[:, None]), axis=1)


def _standard(scores: Any, p: Any) -> Any:
    centred = scores - (p * scores).sum()
    return centred / (p * centred**2).sum() ** 0.5


def _means(scores: Any, counts: Any) -> Any:
    import numpy as np

    rows = counts.sum(axis=1)
    return np.divide(counts @ scores, rows, out=np.zeros(len(counts)), where=rows > 0)


def _shares(counts: Any, expected: Any, labels: Sequence[str]) -> "dict[str, NDArray[np.float64]]":
    """Return, per cell, how far its share lies from what is expected; cells of which few rows are expected are one."""
    import numpy as np

    whole, now = counts[:2].sum(axis=1)
    rare = counts[0] / max(whole, 1.0) * min(now, whole) < _MIN_EXPECTED
    # the missing are a cell of their own, however rare they were
    rare[-1] = False
    names, parts, shares = [labels[i] for i in np.flatnonzero(~rare).tolist()], counts[:, ~rare], expected[:, ~rare]
    if rare.any():
        names.append(labels[int(np.flatnonzero(rare)[0])] if rare.sum() == 1 else f"{int(rare.sum())} rare cells")
        parts = np.column_stack([parts, counts[:, rare].sum(axis=1)])
        shares = np.column_stack([shares, expected[:, rare].sum(axis=1)])
    return dict(zip(names, _apart(parts, counts.sum(axis=1)[:, None], shares).T, strict=True))


def _apart(some: Any, total: Any, p: Any) -> Any:
    """Return Cohen's h of shares from those expected, held to what the binomial distribution says.

    Near 0 and 1 the transform makes a small count look rarer than it is (1 row where 10 are expected: 5 sd instead of
    3.5); beyond 8 sd both agree that it is no chance.
    """
    import numpy as np
    from scipy.special import bdtr, bdtrc, ndtri

    p = np.clip(p, 0.0, 1.0)
    h = 2 * np.arcsin(np.sqrt((some + 0.375) / (total + 0.75))) - 2 * np.arcsin(np.sqrt(p))
    h[0] = 0.0
    down = bdtr(some, total.astype(np.int64), p)
    up = np.where(some > 0, bdtrc(np.maximum(some - 1, 0), total.astype(np.int64), p), 1.0)
    tail = np.where(h < 0, down, up)
    held = np.minimum(np.abs(h), np.maximum(-ndtri(np.maximum(tail, 1e-300)), 0.0) / np.sqrt(np.maximum(total, 1.0)))
    return np.where(tail > 1e-15, np.sign(h) * held, h)
