"""Labels that come late: how many are known at which age, and what the early ones say of the loss of all.

Everything is read from a run-off triangle: per predicted period, the rows, and per age (in periods from the end of the
predicted one) how many labels became known then and the sum of their losses. It holds what was known as of a moment.

**Maturity curve**: the hazard of a label at age k is (labels at age k)/(rows without one before), over the periods that
are old enough to tell; the share known by age k is 1 − Π(1 − hazard) (Kaplan and Meier 1958, *JASA* 53:457: rows too
young are censored). Rows that never get a label leave it below 1.

**Loss of a period that is not mature**: labels that come early are not a sample of all (defaults come early, and paid
loans last). From periods that are mature, the ratio of the loss of all labels to that of labels known by the same age
is taken: the chain ladder of claims reserving (Mack 1993, *ASTIN Bulletin* 23:213), on losses. It assumes that early
labels are now as unlike late ones as they were then; the spread of the ratio over those periods widens the interval.
Without that assumption, where losses are bounded, the loss is within the worst-case bounds (Manski 1989): they are
given beside it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

Cell = tuple[int, float, float]
"""Labels, the sum of their losses, and of the squares."""

MIN_PERIODS = 3
"""A ratio needs so many mature periods; with fewer nothing is said of those that are not."""
MATURE_SHARE = 0.98
"""A period is mature at the age by which so much of what will ever be known is known."""


@dataclass(frozen=True)
class Triangle:
    """What is known of each predicted period. `ages[p]`: whole periods since its end; `cells[p][k]`: came at age k."""

    rows: Mapping[str, int]
    ages: Mapping[str, int]
    cells: Mapping[str, Mapping[int, Cell]]

    def known(self, period: str, age: int | None = None) -> Cell:
        """Return labels, sum and squares of the losses that were known by an age (None: by now)."""
        found = [cell for k, cell in self.cells.get(period, {}).items() if age is None or k <= age]
        return sum(one[0] for one in found), math.fsum(one[1] for one in found), math.fsum(one[2] for one in found)


@dataclass(frozen=True)
class MaturityCurve:
    """Share of labels known by age: `known[k]` at age k, with its standard error (Greenwood 1926)."""

    known: tuple[float, ...] = ()
    se: tuple[float, ...] = ()

    def share(self, age: int) -> float | None:
        """Return the share known by an age; beyond the oldest age seen, that of the oldest. None before any was."""
        return self.known[min(age, len(self.known) - 1)] if self.known and age >= 0 else None

    @property
    def mature_age(self) -> int | None:
        """The least age by which nearly all that will be known is known; None when nothing is."""
        if not self.known or self.known[-1] <= 0:
            return None
        return next(k for k, one in enumerate(self.known) if one >= MATURE_SHARE * self.known[-1])


@dataclass(frozen=True)
class Maturing:
    """The loss of a predicted period whose labels are still coming. `early`: of those that have come."""

    period: str
    age: int
    known_share: float
    n: int
    early: float
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    bounds: tuple[float, float] | None = None
    words: str = field(default="")


def maturity_curve(triangle: Triangle) -> MaturityCurve:
    """Return the share of labels known by age, from what is known now: no period tells of an age it has not reached.

    Examples
    --------
    >>> half = {"a": {0: (50, 0.0, 0.0), 1: (50, 0.0, 0.0)}, "b": {0: (50, 0.0, 0.0)}}
    >>> maturity_curve(Triangle({"a": 100, "b": 100}, {"a": 1, "b": 0}, half)).known
    (0.5, 1.0)
    """
    known: list[float] = []
    errors: list[float] = []
    without, greenwood = 1.0, 0.0
    for age in range(max(triangle.ages.values(), default=-1) + 1):
        old = [p for p, reached in triangle.ages.items() if reached >= age and triangle.rows.get(p)]
        at_risk = sum(triangle.rows[p] - triangle.known(p, age - 1)[0] for p in old)
        came = min(sum(triangle.cells.get(p, {}).get(age, (0, 0.0, 0.0))[0] for p in old), max(at_risk, 0))
        if at_risk > 0:
            without *= 1 - came / at_risk
            greenwood += came / at_risk / (at_risk - came) if at_risk > came else 0.0
        known.append(1 - without)
        errors.append(without * math.sqrt(greenwood))
    return MaturityCurve(tuple(known), tuple(errors))


def maturing(triangle: Triangle, curve: MaturityCurve, worst: float | None = None) -> tuple[Maturing, ...]:
    """Return the loss of each period that is not mature, the oldest first.

    Parameters
    ----------
    worst
        The largest loss that a row can have, where there is one: for worst-case bounds.
    """
    mature_age = curve.mature_age
    if mature_age is None:
        return ()
    mature = [p for p, age in triangle.ages.items() if age >= mature_age and triangle.known(p)[0]]
    young = sorted(p for p, age in triangle.ages.items() if age < mature_age and triangle.rows.get(p))
    return tuple(_maturing(triangle, mature, period, worst) for period in young)


def _maturing(triangle: Triangle, mature: list[str], period: str, worst: float | None) -> Maturing:
    age, rows = triangle.ages[period], triangle.rows[period]
    n, total, squares = triangle.known(period)
    share = min(n / rows, 1.0)
    if not n:
        bounds = (0.0, worst) if worst is not None else None
        return Maturing(period, age, 0.0, 0, 0.0, bounds=bounds, words=f"{period}: no label yet of {rows} rows")
    early = total / n
    bounds = (share * early, share * early + (1 - share) * worst) if worst is not None else None
    words = f"{period}: {share:.0%} of {rows} labels known, loss of those {early:.4g}"
    ratios = _ratios(triangle, mature, age)
    if len(ratios) < MIN_PERIODS:
        words += f"; {len(ratios)} mature periods do not tell what the others will be"
        return Maturing(period, age, share, n, early, bounds=bounds, words=words)
    mean = math.fsum(ratios) / len(ratios)
    spread = math.fsum((one - mean) ** 2 for one in ratios) / (len(ratios) - 1) * (1 + 1 / len(ratios))
    noise = max(squares / n - early**2, 0.0) / n
    half = _t(len(ratios) - 1) * math.sqrt(mean**2 * noise + early**2 * spread)
    estimate = early * mean
    low, high = max(estimate - half, 0.0), estimate + half
    words += f"; of all about {estimate:.4g} [{low:.4g}, {high:.4g}], if early labels are as they were"
    return Maturing(period, age, share, n, early, estimate, low, high, bounds, words)


def _ratios(triangle: Triangle, mature: list[str], age: int) -> list[float]:
    """Return, per mature period, the loss of all its labels over the loss of those known by an age."""
    found = []
    for period in mature:
        by_age, finally_known = triangle.known(period, age), triangle.known(period)
        if by_age[0] and by_age[1] > 0:
            found.append((finally_known[1] / finally_known[0]) / (by_age[1] / by_age[0]))
    return found


def _t(dof: int) -> float:
    """Return Student's 97.5 % quantile."""
    from scipy.stats import t

    return float(t.isf(0.025, dof))
