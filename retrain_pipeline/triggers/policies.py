"""Policies: small named rules for when to retrain, one interface.

They are compared in a replay. The sensor asks through `policy.decide`, which knows the bounds, and who asks while there
is no course to look at yet.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from retrain_pipeline.triggers.course import Course, Opinion, Policy
from retrain_pipeline.triggers.errors import PolicyRefused
from retrain_pipeline.verdicts import Verdict

HORIZON = 200
"""The longest cycle that is thought of, in periods."""
DECAY = 0.3
"""Weight of a period's excess in the present rate, relative to the period after it."""
CAUTION = 1 / 0.7
"""The rate must exceed what a cycle costs on average by this factor: both are estimates from a few hundred rows."""
PAYBACK, PROOF = 2, 0.5
"""Excess that pays a retrain back in so many periods is reason by itself; as a mean with this decay, a steadier one."""


@dataclass(frozen=True)
class Never:
    """Never retrain."""

    name: str = "never"

    def look(self, course: Course) -> Opinion:
        """Return no."""
        return Opinion(False, (f"never: age {course.age} periods",))


@dataclass(frozen=True)
class Periodic:
    """Retrain every so many periods."""

    every: int

    @property
    def name(self) -> str:
        """``periodic:8``."""
        return f"periodic:{self.every}"

    def look(self, course: Course) -> Opinion:
        """Return whether the champion has served long enough."""
        return Opinion(course.age >= self.every, (f"age {course.age} of {self.every} periods",))


@dataclass(frozen=True)
class ErrorThreshold:
    """Retrain when the newest known loss is above the validated loss by a share."""

    rise: float

    @property
    def name(self) -> str:
        """``error_threshold:0.25``."""
        return f"error_threshold:{self.rise:g}"

    def look(self, course: Course) -> Opinion:
        """Return whether the newest loss has risen that much; no without a loss to compare with."""
        if not course.champion or course.validated is None:
            return Opinion(False, ("no loss to compare yet",))
        limit = course.validated * (1 + self.rise)
        newest = course.champion[-1]
        return Opinion(newest > limit, (f"loss {newest:.4g}, limit {limit:.4g} ({self.rise:+.0%} on validated)",))


@dataclass(frozen=True)
class DetectorFired:
    """Retrain when the detector finds the champion's loss risen."""

    name: str = "detector"

    def look(self, course: Course) -> Opinion:
        """Return whether the detector fired."""
        return Opinion(course.risen is Verdict.FAIL, (f"loss detector: {course.risen}",))


@dataclass(frozen=True)
class CumulativeExcess:
    """Retrain when the loss above the validated one has added up to a limit (ski rental with an estimated rent)."""

    limit: float

    @property
    def name(self) -> str:
        """``cumulative_excess:0.2``."""
        return f"cumulative_excess:{self.limit:g}"

    def look(self, course: Course) -> Opinion:
        """Return whether the limit is reached; no without a validated loss."""
        if not course.champion or course.validated is None:
            return Opinion(False, ("no loss to compare yet",))
        total = sum(max(loss - course.validated, 0.0) for loss in course.champion)
        return Opinion(total >= self.limit, (f"excess over validated {total:.4g} of {self.limit:g}",))


@dataclass(frozen=True)
class Adaptive:
    """Retrain when going on would cost more than a cycle costs on average, or has plainly cost a retrain.

    A cycle of T periods costs one retrain and the excess of its ages, per period (cost + Σ_{j<T} e(j)) / T, where e(j)
    is the mean excess of champions of age j, made to rise with age. Least over T it is the rate that cannot be beaten
    in the long run (renewal reward; Ross 1996, *Stochastic Processes*, ch. 3.6); once the excess that the next period
    will bring is above it, serving on costs more than starting anew. Where excess grows by r a period this gives the
    best interval √(2·cost/r); after a jump it asks at once, if a model fitted anew would do better, and not if not.

    The curve is a guess until there were many champions, and too high where excess comes and goes. So excess of late
    that pays a retrain back in `PAYBACK` periods is enough, whatever the curve says. Excess within one standard error
    of nothing is no reason at all: a period of few rows would otherwise ask by chance.
    """

    cost: float

    @property
    def name(self) -> str:
        """``adaptive:0.02``."""
        return f"adaptive:{self.cost:g}"

    def look(self, course: Course) -> Opinion:
        """Return whether the coming excess is above the best cycle's rate, or that of late pays a retrain back."""
        excess = course.excess
        if not excess:
            return Opinion(False, ("no labelled period since the champion's data ended",))
        runs = (*course.past, excess)
        slope = growth(runs)
        now, proven = present_rate(excess), present_rate(excess, PROOF)
        coming = now + slope * (1 + mean_back(len(excess)))
        least, periods = best_cycle(self.cost, staleness(runs), slope)
        limit, enough = CAUTION * least, self.cost / PAYBACK
        words = (
            f"a model fitted anew would have saved {now:.4g} a period of late and saves {coming:.4g} in the next; "
            f"the best cycle, {periods} periods, costs {least:.4g} a period (retrain {self.cost:g}): limit {limit:.4g}",
            f"over a little longer it would have saved {proven:.4g}; {enough:.4g} pays a retrain back in "
            f"{PAYBACK} periods",
        )
        error, steadier = weighted_error(course.noise), weighted_error(course.noise, PROOF)
        if now > 0 and (coming >= limit or proven >= enough):
            seen = now > error or proven > steadier
            return Opinion(seen, words if seen else (*words, f"but that is within noise (± {error:.4g})"))
        return Opinion(False, words)


def _weights(count: int, decay: float) -> list[float]:
    """Return the weights of periods in a rate, the oldest first; they add up to 1."""
    weights = [decay**back for back in reversed(range(count))]
    return [one / sum(weights) for one in weights]


def present_rate(excess: Sequence[float], decay: float = DECAY) -> float:
    """Return the mean of the excess, an earlier period counting `decay` times as much as the one after it.

    Examples
    --------
    >>> round(present_rate([0.0, 0.1]), 4)
    0.0769
    """
    return sum(weight * one for weight, one in zip(_weights(len(excess), decay), excess, strict=True))


def weighted_error(noise: Sequence[float], decay: float = DECAY) -> float:
    """Return the standard error of `present_rate`, the errors of periods being independent; 0 where none is known.

    Examples
    --------
    >>> round(weighted_error([0.0, 0.013]), 4)
    0.01
    """
    return math.sqrt(sum((weight * one) ** 2 for weight, one in zip(_weights(len(noise), decay), noise, strict=True)))


def mean_back(count: int) -> float:
    """Return how many periods the present rate lies behind the newest known one, on average."""
    return sum(weight * back for weight, back in zip(_weights(count, DECAY), reversed(range(count)), strict=True))


def growth(runs: Sequence[Sequence[float]]) -> float:
    """Return by how much excess grows with age, a period: least squares through the origin, at least 0.

    Examples
    --------
    >>> round(growth([[0.0, 0.1, 0.2], [0.0, 0.1]]), 4)
    0.1
    """
    pairs = [(age, one) for run in runs for age, one in enumerate(run)]
    squares = sum(age * age for age, _ in pairs)
    return max(sum(age * one for age, one in pairs) / squares, 0.0) if squares else 0.0


def staleness(runs: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return the mean excess at each age over champions, at least 0 and never falling with age.

    Examples
    --------
    >>> staleness([[0.0, 0.2], [0.0, 0.1, 0.3]])
    (0.0, 0.15000000000000002, 0.3)
    """
    curve = []
    for age in range(max(map(len, runs))):
        seen = [run[age] for run in runs if len(run) > age]
        curve.append(max(sum(seen) / len(seen), 0.0))
    return tuple(accumulate(curve, max))


def best_cycle(cost: float, curve: Sequence[float], slope: float) -> tuple[float, int]:
    """Return the least mean cost per period of a cycle, and its length; beyond its last age the curve grows by `slope`.

    Examples
    --------
    >>> best_cycle(0.02, [0.0, 0.01, 0.02, 0.03], 0.01)
    (0.015, 2)
    """
    beyond = (curve[-1] + slope * step for step in range(1, HORIZON))
    whole = [*curve, *beyond][:HORIZON]
    rates = [(cost + total) / periods for periods, total in enumerate(accumulate(whole), start=1)]
    least = min(rates)
    return least, rates.index(least) + 1


_NUMBERED: dict[str, Callable[[float], Policy]] = {
    "periodic": lambda number: Periodic(int(number)),
    "error_threshold": ErrorThreshold,
    "cumulative_excess": CumulativeExcess,
}
_PLAIN: dict[str, Callable[[float], Policy]] = {
    "never": lambda _: Never(),
    "detector": lambda _: DetectorFired(),
    "adaptive": Adaptive,
}
KINDS = (*sorted(_PLAIN), *sorted(f"{name}:NUMBER" for name in _NUMBERED))


def policy_named(text: str, cost: float) -> Policy:
    """Return the policy that a name stands for: ``adaptive``, ``periodic:8``, ``error_threshold:0.25``.

    Parameters
    ----------
    cost
        What a retrain costs, for the policies that weigh it.

    Raises
    ------
    PolicyRefused
        When there is no such policy, or its number is missing or makes no sense.
    """
    kind, _, number = text.partition(":")
    if kind in _PLAIN and not number:
        return _PLAIN[kind](cost)
    if kind not in _NUMBERED:
        raise PolicyRefused(f"policy {text!r:.60}: allowed are {', '.join(KINDS)}")
    try:
        value = float(number)
    except ValueError as error:
        raise PolicyRefused(f"policy {text!r:.60}: {number!r:.40} is no number; write {kind}:NUMBER") from error
    if not 0 < value < 1e6 or (kind == "periodic" and value != int(value)):
        raise PolicyRefused(f"policy {text!r:.60}: {number} makes no sense for {kind}; it must be positive")
    return _NUMBERED[kind](value)
