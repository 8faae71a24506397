"""Checks on a period of data, each a verdict with its numbers."""

import statistics
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from retrain_pipeline.lake.declared import Data
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.periods import Calendar
from retrain_pipeline.verdicts import Verdict

# A median of fewer periods says little about what is usual.
_MIN_PERIODS = 3


@dataclass(frozen=True)
class Check:
    """A verdict, the words for people, and the numbers that it rests on."""

    name: str
    verdict: Verdict
    words: str
    numbers: dict[str, float | int | str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the check as JSON values."""
        return {"name": self.name, "verdict": str(self.verdict), "words": self.words, "numbers": dict(self.numbers)}


def volume_check(lake: Lake, data: Data, model: str, period: str, rows: int, received: int, covered: bool) -> Check:
    """Is the number of rows what the last periods let expect? Empty is FAIL, missing is INCONCLUSIVE.

    Compared are rows per hour, so that months of 28 and 31 days are alike, with the periods of the same part of the
    season (`Calendar.same_season`) once there are three: a Sunday with half the rows of a Friday is no half Sunday.
    """
    if not received and not covered:
        return Check("volume", Verdict.INCONCLUSIVE, "missing: the source has not delivered this period", {"rows": 0})
    if not received:
        return Check("volume", Verdict.FAIL, "empty: the source covers this period and has no row of it", {"rows": 0})
    calendar = data.time.calendar()
    hours = _hours(calendar, period)
    before = {key: one.rows for key, one in lake.partitions(model, "raw").items() if key < period and one.rows}
    earlier = calendar.same_season(period, list(before), _MIN_PERIODS)[-data.volume.periods :]
    numbers: dict[str, float | int | str] = {"rows": rows, "periods": len(earlier), "rows_per_hour": rows / hours}
    if len(earlier) < _MIN_PERIODS:
        words = f"{rows} rows; {len(earlier)} earlier periods are too few to tell (at least {_MIN_PERIODS})"
        return Check("volume", Verdict.INCONCLUSIVE, words, numbers)
    usual = statistics.median(before[key] * (hours / _hours(calendar, key)) for key in earlier)
    share = rows / usual
    low, high = data.volume.min_share, data.volume.max_share
    words = (
        f"{rows} rows are {share:.2f} of the median of {len(earlier)} periods ({usual:g}); {low:g} to {high:g} is usual"
    )
    verdict = Verdict.PASS if low <= share <= high else Verdict.FAIL
    return Check("volume", verdict, words, {**numbers, "median": float(usual), "share": share})


def _hours(calendar: Calendar, period: str) -> float:
    start, end = calendar.bounds(period)
    return (end - start) / timedelta(hours=1)


def fresh_hours(data: Data, start: datetime, end: datetime) -> float:
    """Return how many hours before a period's end its newest row may lie: as declared, else a tenth of the period."""
    return data.freshness_hours or max((end - start) / timedelta(hours=10), 1.0)


def freshness_check(data: Data, newest: datetime | None, start: datetime, end: datetime, now: datetime) -> Check:
    """Does the newest row lie close enough to the period's end, or to now while the period lasts?"""
    if newest is None:
        return Check("freshness", Verdict.INCONCLUSIVE, "no row to judge")
    hours = fresh_hours(data, start, end)
    age = (min(end, now) - newest) / timedelta(hours=1)
    words = f"the newest row is {age:.1f} h before the period's end; at most {hours:g} h is fresh"
    verdict = Verdict.PASS if age <= hours else Verdict.FAIL
    return Check("freshness", verdict, words, {"age_hours": age, "max_age_hours": hours, "newest": newest.isoformat()})
