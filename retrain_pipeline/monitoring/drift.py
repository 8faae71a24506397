"""Drift of inputs and of predictions: has the distribution of a column moved, beyond chance and beyond what matters?

The statistic is the population stability index over the reference's cells. For independent rows without drift it is
about χ² with cells − 1 degrees of freedom, times 1/n + 1/m (Yurdakul 2018, *Statistical properties of the population
stability index*, ch. 3); its mean is therefore (cells − 1)·(1/n + 1/m), which is taken off to get an effect that does
not grow as samples shrink. A column has drifted when the index is beyond the quantile of that distribution, at a level
that the declared run length gives shared over the columns (Bonferroni), **and** the effect is at least 0.1.

What this assumes: independent rows. Hours of weather are not; of such columns the test finds "drift" every week, which
is true of the sample and no reason to retrain. Therefore drift alone asks for a retrain only while labels are late.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.monitoring.profile import CategoryProfile, ColumnProfile, NumericProfile, Profile
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_EFFECT = 0.1
"""Less than this is no drift whatever its significance: 0.1 is where the index' users begin to look (Siddiqi 2006)."""
MIN_ROWS = 50
# A cell with fewer expected rows than this is added to the rest: χ² is no approximation there (Cochran 1954).
_MIN_EXPECTED = 5.0
# Added to every cell, so that an empty one gives a finite index.
_SMOOTHING = 0.5


@dataclass(frozen=True)
class ColumnDrift:
    """One column against the reference. `effect` is the index less its mean under no drift, at least 0."""

    column: str
    statistic: float | None
    threshold: float | None
    n: int
    effect: float | None
    verdict: Verdict
    words: str


@dataclass(frozen=True)
class Drift:
    """All columns. `columns` names those that drifted, the farthest first."""

    verdict: Verdict
    words: str
    results: tuple[ColumnDrift, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that drifted, the largest effect first."""
        failed = [result for result in self.results if result.verdict is Verdict.FAIL]
        farthest_first = sorted(failed, key=lambda result: (-(result.effect or 0.0), result.column))
        return tuple(result.column for result in farthest_first)

    @property
    def max_effect(self) -> float | None:
        """The largest effect of any column; None when none was measured."""
        return max((result.effect for result in self.results if result.effect is not None), default=None)


def drift(
    reference: Profile, current: Mapping[str, ColumnProfile], run_length_periods: float, what: str = "columns"
) -> Drift:
    """Return the drift of every column of the reference.

    Parameters
    ----------
    reference
        Profile of the champion's training rows.
    current
        Profile of each column now, counted in the reference's cells; a column that is not there has drifted.
    run_length_periods
        One false alarm is expected in this many looks, over all columns together.
    """
    alpha = 1.0 / run_length_periods / max(len(reference.columns), 1)
    results = tuple(
        column_drift(name, column, current.get(name), alpha) for name, column in sorted(reference.columns.items())
    )
    verdict = worst(result.verdict for result in results)
    failed = Drift(verdict, "", results).columns
    if failed:
        named = "; ".join(result.words for name in failed[:3] for result in results if result.column == name)
        words = f"{len(failed)} of {len(results)} {what} drifted: {named}" + ("; …" if len(failed) > 3 else "")
    elif verdict is Verdict.INCONCLUSIVE:
        words = next((result.words for result in results if result.verdict is verdict), f"no {what} to compare")
    else:
        words = f"none of {len(results)} {what} drifted"
    return Drift(verdict, words, results)


def column_drift(name: str, reference: ColumnProfile, current: ColumnProfile | None, alpha: float) -> ColumnDrift:
    """Return the drift of one column at level `alpha`; INCONCLUSIVE below 50 rows on either side."""
    if current is None:
        words = f"{name}: not there any more, or of another type"
        return ColumnDrift(name, None, None, 0, None, Verdict.FAIL, words)
    before, now = cells(reference, current)
    n, m = int(before.sum()), int(now.sum())
    if min(n, m) < MIN_ROWS:
        words = f"{name}: {m} rows against {n}; at least {MIN_ROWS} are needed"
        return ColumnDrift(name, None, None, m, None, Verdict.INCONCLUSIVE, words)
    statistic, noise_mean, noise_quantile = index_and_null(before, now, alpha)
    effect = max(statistic - noise_mean, 0.0)
    # Beyond noise and beyond the minimum effect is beyond the larger of the two.
    threshold = max(noise_quantile, MIN_EFFECT + noise_mean)
    verdict = Verdict.FAIL if statistic > threshold else Verdict.PASS
    relation = "above" if verdict is Verdict.FAIL else "within"
    words = f"{name}: PSI {statistic:.3g} {relation} {threshold:.3g} (n={m} against {n})"
    return ColumnDrift(name, statistic, threshold, m, effect, verdict, words)


def cells(reference: ColumnProfile, current: ColumnProfile) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Return the rows per cell on both sides, small cells added up; the last cells are the missing and the rest.

    Rows outside the reference's range count in the outermost bins; of a constant they are a cell of their own.
    """
    import numpy as np

    before, now = (np.asarray([*_folded(side), side.nulls], dtype=np.int64) for side in (reference, current))
    total = before.sum()
    rare = before * (now.sum() / total if total else 0.0) < _MIN_EXPECTED
    rare |= before < _MIN_EXPECTED
    pooled = [np.append(side[~rare], side[rare].sum()) for side in (before, now)]
    occupied = (pooled[0] + pooled[1]) > 0
    return pooled[0][occupied], pooled[1][occupied]


def _folded(side: ColumnProfile) -> list[int]:
    if isinstance(side, CategoryProfile):
        return [*side.counts, side.other]
    if len(side.counts) < 2:
        return [*side.counts, side.below + side.above]
    return [side.counts[0] + side.below, *side.counts[1:-1], side.counts[-1] + side.above]


def index_and_null(before: "NDArray[np.int64]", now: "NDArray[np.int64]", alpha: float) -> tuple[float, float, float]:
    """Return the index of two rows of counts, and its mean and 1 − `alpha` quantile under no drift."""
    import numpy as np
    from scipy.stats import chi2

    count = len(before)
    if count < 2:
        return 0.0, 0.0, 0.0
    p, q = ((side + _SMOOTHING) / (side.sum() + _SMOOTHING * count) for side in (before, now))
    scale = 1.0 / before.sum() + 1.0 / now.sum()
    statistic = float(((q - p) * np.log(q / p)).sum())
    return statistic, float((count - 1) * scale), float(chi2.isf(alpha, count - 1) * scale)


def unseen(reference: Mapping[str, ColumnProfile], current: Mapping[str, ColumnProfile]) -> dict[str, int]:
    """Return, per category column where there are any, the rows with a level that training never had (I27).

    A reference that itself has levels beyond those it names cannot tell; its column is left out.
    """
    counts = {}
    for name, column in reference.items():
        now = current.get(name)
        if isinstance(column, CategoryProfile) and isinstance(now, CategoryProfile) and not column.other and now.other:
            counts[name] = now.other
    return counts


def missing(current: Mapping[str, ColumnProfile]) -> dict[str, int]:
    """Return, per column where there are any, the rows without a value."""
    return {name: column.nulls for name, column in current.items() if column.nulls}


def out_of_range(current: Mapping[str, ColumnProfile]) -> dict[str, int]:
    """Return, per numeric column where there are any, the rows outside the reference's lowest and highest value."""
    return {
        name: column.out_of_range
        for name, column in current.items()
        if isinstance(column, NumericProfile) and column.out_of_range
    }
