"""Signals: numbers of a period beside the model's loss, and what stands in for one that is missing or late.

A value is *observed*, or the signal's policy answers for it. Nothing else is a value: where a policy has no answer the
period waits, and a value that comes later takes its place. What is imputed is flagged and says how; it is read by no
part that makes labels or training sets.

Uncertainty: a signal is taken as a random walk, whose squared step a period σ² is the mean of the squared steps between
its newest 26 observed values before the gap (noise of the values is in it, so it errs on the wide side). With i periods
from the last observed value and j to the next one, the squared standard error is

- observed: se², from the rows of the period;
- carried on: se² + i·σ²;
- interpolated: σ²·i·j/(i + j) + (j²·se_left² + i²·se_right²)/(i + j)², the Brownian bridge;
- fallen back to c: mean (x − c)² of those observed values + i·σ².

Intervals are 95 %: ±1.96 se where observed, Student's t with as many degrees of freedom as steps (distances) elsewhere;
fewer than two steps tell no interval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from retrain_pipeline.periods import Calendar
from retrain_pipeline.spec.signals import Missing
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    from retrain_pipeline.monitoring.signal_value import ReleaseValue

LEARNED_FROM = 26
"""So many newest observed values say how a signal moves."""
REFRESHED = 13
"""A value that comes late is taken for so many newest due periods; for older ones when they are monitored again."""
SAME_SEASON = 3
"""A season counts from so many of its periods on."""
LOOKBACK = 52
"""An answer looks back so many periods, and no further: so it stays the same however much later it is given again."""
Z = 1.96
_SHOWN = 40

How = Literal["observed", "interpolated", "carried", "fall_back", "waiting", "not_due"]
IMPUTED = frozenset({"interpolated", "carried", "fall_back"})


@dataclass(frozen=True)
class Measured:
    """The observed value of a period: of how many rows, and when it became known."""

    value: float
    se: float
    n: int
    known: datetime


@dataclass(frozen=True)
class Reading:
    """What is said of a signal in a period. `age`: periods since the observed value that it stands on."""

    signal: str
    unit: str
    how: How
    value: float | None = None
    low: float | None = None
    high: float | None = None
    se: float | None = None
    n: int = 0
    age: int | None = None

    @property
    def imputed(self) -> bool:
        """Does it stand in for a value that nobody observed?"""
        return self.how in IMPUTED

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "imputed": self.imputed}


@dataclass(frozen=True)
class Course:
    """A signal as of a moment: observed values by place (periods since the calendar's first).

    due: the newest place whose value should be known by now. trouble: why the source could not be read, if so.
    """

    signal: str
    unit: str
    missing: Missing
    calendar: Calendar
    observed: Mapping[int, Measured]
    due: int
    trouble: str = ""

    def key(self, place: int) -> str:
        """Return the key of the period at a place."""
        return self.calendar.key(self.calendar.shift(self.calendar.origin, place))

    @property
    def overdue(self) -> int:
        """Periods in a row, up to the newest due one, without an observed value."""
        newest = max((place for place in self.observed if place <= self.due), default=max(self.due - LOOKBACK, 0) - 1)
        return max(self.due - newest, 0)

    @property
    def halt(self) -> str | None:
        """Return why retraining should halt, if it should."""
        limit = self.missing.limit
        if self.missing.policy != "halt" or limit is None or self.overdue <= limit:
            return None
        count = f"{self.overdue} period{'s' if self.overdue > 1 else ''} up to {self.key(self.due)}"
        return (
            f"signal {self.signal!r} has no value for {count} (signals.{self.signal}.missing.max_periods: {limit}): "
            f"{self.trouble or 'its source has no row of them'}; bring it in and monitor the newest period again"
        )[:1000]

    @property
    def verdict(self) -> Verdict:
        """FAIL when it asks for a halt, PASS when the newest due value was observed, else INCONCLUSIVE."""
        if self.halt is not None:
            return Verdict.FAIL
        return Verdict.PASS if self.due in self.observed else Verdict.INCONCLUSIVE


@dataclass(frozen=True)
class SignalsReport:
    """The signals of a period as of its end. `filled`: earlier periods whose rows changed since they were written."""

    readings: tuple[Reading, ...] = ()
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    halts: tuple[str, ...] = ()
    trouble: Mapping[str, str] = field(default_factory=dict)
    values: "tuple[ReleaseValue, ...]" = ()
    filled: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst over signals; INCONCLUSIVE as long as a value that is due is not observed."""
        return worst(self.verdicts.values())

    def facts(self) -> dict[str, Any]:
        """Return what the ledger keeps: why retraining should halt, and which signals are not what was observed."""
        return {
            "verdict": self.verdict.value,
            "halts": list(self.halts),
            "waiting": [one.signal for one in self.readings if one.how == "waiting"],
            "imputed": [one.signal for one in self.readings if one.imputed],
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything but `filled`, which depends on when one looks, as JSON values."""
        return {
            **self.facts(),
            "readings": [one.to_json() for one in self.readings],
            "trouble": dict(self.trouble),
            "values": [{**asdict(one), "words": one.words} for one in self.values],
        }

    def markdown(self) -> str:
        """Return the readings as a table, and what a better model was worth, for people."""
        lines = ["| signal | value | 95 % interval | rows | how | verdict |", "|---|---|---|---|---|---|"]
        for one in self.readings[:_SHOWN]:
            value = "" if one.value is None else f"{one.value:.4g} {one.unit}"
            interval = "" if one.low is None or one.high is None else f"{one.low:.4g} to {one.high:.4g}"
            how = f"{one.how}, {one.age} periods old" if one.imputed and one.age else one.how.replace("_", " ")
            lines.append(f"| {one.signal} | {value} | {interval} | {one.n} | {how} | {self.verdicts[one.signal]} |")
        if len(self.readings) > _SHOWN:
            lines.append(f"| … and {len(self.readings) - _SHOWN} more | | | | | |")
        told = [*self.halts, *(f"{name}: {words}" for name, words in self.trouble.items())]
        told += [one.words for one in self.values]
        return "\n".join([*lines, *(f"\n{words.replace('|', '/')}" for words in told)])


def read_at(course: Course, at: int) -> Reading:
    """Return the value at a place: the observed one, or what the policy makes of its neighbours."""
    if (now := course.observed.get(at)) is not None:
        half = Z * now.se
        return Reading(
            course.signal, course.unit, "observed", now.value, now.value - half, now.value + half, now.se, now.n, 0
        )
    places = sorted(place for place in course.observed if place >= at - LOOKBACK)
    left = max((place for place in places if place < at), default=None)
    right = min((place for place in places if place > at), default=None)
    age = None if left is None else at - left
    missing, limit = course.missing, course.missing.limit
    waiting = Reading(course.signal, course.unit, "not_due" if at > course.due else "waiting", age=age)
    if missing.policy in ("buffer", "halt") or (limit is not None and _gap(course, at, left, right) > limit):
        return waiting
    if missing.policy == "fall_back":
        return _fallen_back(course, at, [place for place in places if place < at], age) or waiting
    if left is None:
        return waiting
    past = [place for place in places if place < at or place == right]
    steps = _squared_steps(course.observed, past[-LEARNED_FROM:])
    step = sum(steps) / len(steps) if steps else 0.0
    here, i = course.observed[left], at - left
    if right is None:
        how: How = "carried"
        value, variance = here.value, here.se**2 + i * step
    else:
        there, j = course.observed[right], right - at
        how, value = "interpolated", (j * here.value + i * there.value) / (i + j)
        variance = step * i * j / (i + j) + ((j * here.se) ** 2 + (i * there.se) ** 2) / (i + j) ** 2
    return _imputed(course, how, value, variance, len(steps), age)


def _gap(course: Course, at: int, left: int | None, right: int | None) -> int:
    """Return the overdue periods of the gap around a place: those between its neighbours, else up to the place."""
    start = max(at - LOOKBACK, 0) - 1 if left is None else left
    return (right - 1 if right is not None else min(at, course.due)) - start


def _squared_steps(observed: Mapping[int, Measured], places: Sequence[int]) -> list[float]:
    """Return the squared steps between neighbours, each a period's: of a walk they grow with its length."""
    return [(observed[b].value - observed[a].value) ** 2 / (b - a) for a, b in pairwise(places)]


def _fallen_back(course: Course, at: int, places: Sequence[int], age: int | None) -> Reading | None:
    """Return the declared constant or the median of the same season; None when there is neither."""
    from statistics import median

    newest = places[-LEARNED_FROM:]
    to = course.missing.fall_back
    if to is None:
        keys = {course.key(place): place for place in places}
        alike = [keys[key] for key in course.calendar.same_season(course.key(at), list(keys), SAME_SEASON)]
        newest = alike[-LEARNED_FROM:]
        if not newest:
            return None
        to = median(course.observed[place].value for place in newest)
    steps = _squared_steps(course.observed, places[-LEARNED_FROM:])
    step = sum(steps) / len(steps) if steps else 0.0
    apart = [(course.observed[place].value - to) ** 2 for place in newest]
    variance = (sum(apart) / len(apart) if apart else 0.0) + (age or 0) * step
    return _imputed(course, "fall_back", to, variance, len(apart) - 1, age)


def _imputed(course: Course, how: How, value: float, variance: float, dof: int, age: int | None) -> Reading:
    if dof < 2:
        return Reading(course.signal, course.unit, how, value, age=age)
    from scipy.stats import t

    se = variance**0.5
    half = float(t.ppf(0.975, dof)) * se
    return Reading(course.signal, course.unit, how, value, value - half, value + half, se, 0, age)
