"""Drift of inputs and of predictions: has the distribution of a column moved, beyond chance and beyond what matters?

Looked at are the readings of each column (`readings.py`). A column has drifted when one of them lies farther from the
reference than its null distribution (`null.py`, learned from the champion's reference periods) lets expect, **and**
farther than the minimum effect. One multiplicity rule: a look may raise a false alarm once in the declared run length,
and that error is split evenly over columns and, within a numeric column, 95 % to its level and the rest evenly over
the other readings (Bonferroni; it holds whatever the dependence between columns).

The declared rate is held, by what `docs/benchmarks/drift_calibration.md` shows, where rows or periods depend on each
other (AR(1) up to 0.9), and through a season up to twice as long as the reference that the reference shows. Of a longer
one, or a flat stretch of a weak one (0.1 to 0.2 standard deviations), it may show nothing: that is drift, found up to
three times as often as declared at twice the length and more beyond, unless the same part of an earlier season is known
(`season`), the matched baseline, and moved the same way. What is looked at is then what the present moved beyond it.

A column whose null is so wide that a shift of two standard deviations would pass is INCONCLUSIVE when nothing was
found: its season or its few periods hide what one looks for. The unit check (`units.py`) still sees through that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retrain_pipeline.monitoring.null import MIN_PERIODS, Null, learned_null
from retrain_pipeline.monitoring.readings import Reading, less_season, readings_of
from retrain_pipeline.monitoring.summaries import CategoryProfile, ColumnProfile, NumericProfile, Profile
from retrain_pipeline.monitoring.units import changed_unit
from retrain_pipeline.verdicts import Verdict, worst

MIN_EFFECT = 0.1
"""Less than this, in standard deviations, is no drift whatever its significance; half of what Cohen calls small."""
BLIND = 2.0
"""A column whose main reading has a threshold above this is undecided: at two standard deviations apart, two normal
distributions share less than a third of their rows, and nobody would call that no drift."""
MIN_ROWS = 50
SPENT = 0.8
"""Of the declared error, what is spent: tails that are learned from some tens of periods are off by about a fifth."""


@dataclass(frozen=True)
class ColumnDrift:
    """One column against the reference.

    `statistic`: how far the reading that stands out most has moved, in standard deviations of the reference (of a
    share: Cohen's h); `threshold`: how far chance and what does not matter go; `effect`: the movement with its sign.
    """

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
        farthest_first = sorted(failed, key=lambda result: (-abs(result.effect or 0.0), result.column))
        return tuple(result.column for result in farthest_first)

    @property
    def max_effect(self) -> float | None:
        """The largest effect of any column, without its sign; None when none was measured."""
        return max((abs(result.effect) for result in self.results if result.effect is not None), default=None)


def drift(
    reference: Profile,
    current: Mapping[str, ColumnProfile],
    run_length_periods: float,
    what: str = "columns",
    *,
    periods: Sequence[Profile] = (),
    season: Mapping[str, ColumnProfile] | None = None,
    min_effect: float = MIN_EFFECT,
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
    periods
        Profiles of the periods of the reference, in time order and in its cells. With fewer than four the null is
        `WIDENING` times as wide as that of independent rows, and the words say so.
    season
        Profile of each column in the same part of an earlier season, in the reference's cells; None: not known.
    min_effect
        In standard deviations.
    """
    used = [one for one in periods if one.rows]
    alpha = SPENT / run_length_periods / max(len(reference.columns), 1)
    results = _refused(reference, current)
    units = {name: words for name in reference.columns if (words := _unit(name, reference, current, used))}
    judged = {name: column for name, column in sorted(reference.columns.items()) if name not in results}
    readings = less_season(_readings(judged, used, current), _readings(judged, used, season or {}))
    farthest = _farthest(readings, _null(readings, used), alpha, min_effect) if readings else {}
    for name, one in farthest.items():
        m, n = _rows(current[name]), _rows(reference.columns[name])
        results[name] = _judged(one, m, n, units.get(name), len(used))
    return _together(tuple(results[name] for name in sorted(results)), what)


def _readings(
    reference: Mapping[str, ColumnProfile], periods: Sequence[Profile], now: Mapping[str, ColumnProfile]
) -> list[Reading]:
    return [
        reading
        for name, column in reference.items()
        if name in now and _rows(now[name]) >= MIN_ROWS
        for reading in readings_of(name, column, [one.columns[name] for one in periods], now[name])
    ]


def _refused(reference: Profile, current: Mapping[str, ColumnProfile]) -> dict[str, ColumnDrift]:
    """Return the columns that are judged without a look at their values: gone, or of too few rows."""
    found = {}
    for name, column in reference.columns.items():
        now = current.get(name)
        if now is None:
            words = f"{name}: not there any more, or of another type"
            found[name] = ColumnDrift(name, None, None, 0, None, Verdict.FAIL, words)
        elif min(_rows(now), _rows(column)) < MIN_ROWS:
            words = f"{name}: {_rows(now)} rows against {_rows(column)}; at least {MIN_ROWS} are needed"
            found[name] = ColumnDrift(name, None, None, _rows(now), None, Verdict.INCONCLUSIVE, words)
    return found


def _rows(column: ColumnProfile) -> int:
    return column.count + column.nulls


def _unit(
    name: str, reference: Profile, current: Mapping[str, ColumnProfile], periods: Sequence[Profile]
) -> str | None:
    whole, now, past = reference.columns[name], current.get(name), [one.columns[name] for one in periods]
    if not isinstance(whole, NumericProfile) or not isinstance(now, NumericProfile):
        return None
    return changed_unit(whole, [one for one in past if isinstance(one, NumericProfile)], now)


def _null(readings: Sequence[Reading], periods: Sequence[Profile]) -> Null:
    import numpy as np

    past = np.array([one.past for one in readings], dtype=np.float64).reshape(len(readings), len(periods)).T
    rows = np.array([one.rows for one in periods], dtype=np.float64)
    n = np.array([one.n for one in readings], dtype=np.float64)
    return learned_null(past, rows, n, [one.kind for one in readings])


@dataclass(frozen=True)
class Farthest:
    """The reading of a column that stands out most, its threshold, and whether the column's null hides everything."""

    reading: Reading
    threshold: float
    blind: bool


def _farthest(readings: Sequence[Reading], null: Null, alpha: float, min_effect: float) -> dict[str, Farthest]:
    """Return, per column, the reading that is least likely under no drift."""
    import numpy as np

    surprise = null.tail(np.array([one.shift for one in readings])) / np.array([one.weight for one in readings])
    # Of those that are certain (the tail underflows to 0) the farthest; a movement that does not matter comes last.
    order = sorted(
        range(len(readings)),
        key=lambda i: (abs(readings[i].shift) <= min_effect, surprise[i], -abs(readings[i].shift), readings[i].what),
    )
    chosen: dict[str, int] = {}
    main: dict[str, int] = {}
    for i in order:
        column = readings[i].column
        chosen.setdefault(column, i)
        if column not in main or readings[i].weight > readings[main[column]].weight:
            main[column] = i
    which = [*chosen.values(), *(main[column] for column in chosen)]
    levels = np.array([alpha * readings[i].weight for i in which])
    thresholds = np.maximum(null.only(which).quantile(levels), min_effect).tolist()
    of_main = thresholds[len(chosen) :]
    return {
        column: Farthest(readings[i], threshold, finest > BLIND)
        for (column, i), threshold, finest in zip(chosen.items(), thresholds, of_main, strict=False)
    }


def _judged(found: Farthest, m: int, n: int, unit: str | None, periods: int) -> ColumnDrift:
    """Return the verdict on a column whose farthest reading is known."""
    reading, threshold = found.reading, found.threshold
    effect = reading.shift
    statistic = abs(effect)
    way = "up" if effect > 0 else "down"
    moved = f"{reading.column}: {reading.what} {way} by {statistic:.2g} {reading.unit}"
    if reading.season:
        moved += f" beyond the {reading.season:+.2g} of the same part of the year before"
    basis = f"n={m} against {n} in {periods} periods"
    if periods < MIN_PERIODS:
        basis += ", too few to learn from: widened to allow for rows that depend on each other"
    if unit is not None:
        words = f"{reading.column}: {unit}; {moved.partition(': ')[2]}"
        return ColumnDrift(reading.column, statistic, threshold, m, effect, Verdict.FAIL, words)
    if statistic > threshold:
        verdict, words = Verdict.FAIL, f"{moved}, above {threshold:.2g} ({basis})"
    elif found.blind:
        verdict = Verdict.INCONCLUSIVE
        words = f"{moved}, and {threshold:.2g} would be within what the reference periods did ({basis})"
    else:
        verdict, words = Verdict.PASS, f"{moved}, within {threshold:.2g} ({basis})"
    return ColumnDrift(reading.column, statistic, threshold, m, effect, verdict, words)


def _together(results: tuple[ColumnDrift, ...], what: str) -> Drift:
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
