"""Periods of event time, in UTC: the partitions of the data side.

A period is named by its start (``2011-01-08``; ``2011-01-08-13`` for hours). Weeks start on the weekday of the
declared start. `as_of` is always the end of a period, exclusive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from retrain_pipeline.errors import PermanentError

Cadence = Literal["hour", "day", "week", "month"]

_STEP = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}

_SEASONS = {"hour": (168, 24), "day": (7,), "week": (52,), "month": (12,)}
# Whole weeks, so that it is the same hour and weekday.
_YEAR = {"hour": 364 * 24, "day": 364, "week": 52, "month": 12}


class PeriodRefused(PermanentError):
    """A key that names no period of this calendar."""


def as_utc(moment: datetime) -> datetime:
    """Return an aware moment in UTC; a naive one is refused, since its zone would be a guess."""
    if moment.tzinfo is None:
        raise PeriodRefused(f"{moment.isoformat()} has no time zone: give an aware time")
    return moment.astimezone(UTC)


@dataclass(frozen=True)
class Calendar:
    """The periods of one model: a cadence and the start of the first period."""

    cadence: Cadence
    start: date

    def __post_init__(self) -> None:
        if self.cadence == "month" and self.start.day != 1:
            raise PeriodRefused(f"start {self.start}: monthly periods start on the first day of a month")

    @property
    def origin(self) -> datetime:
        """Start of the first period."""
        return datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC)

    @property
    def key_format(self) -> str:
        """The strftime format of a period's key."""
        return "%Y-%m-%d-%H" if self.cadence == "hour" else "%Y-%m-%d"

    @property
    def cron(self) -> str:
        """The cron schedule whose ticks are the period boundaries."""
        weekday = (self.start.weekday() + 1) % 7  # cron counts from Sunday
        return {"hour": "0 * * * *", "day": "0 0 * * *", "week": f"0 0 * * {weekday}", "month": "0 0 1 * *"}[
            self.cadence
        ]

    def floor(self, moment: datetime) -> datetime:
        """Start of the period that holds a moment."""
        moment = as_utc(moment)
        if self.cadence == "month":
            return datetime(moment.year, moment.month, 1, tzinfo=UTC)
        step = _STEP[self.cadence]
        return self.origin + ((moment - self.origin) // step) * step

    def shift(self, start: datetime, periods: int) -> datetime:
        """Start of the period that lies `periods` after (or before) the one starting at `start`."""
        if self.cadence == "month":
            months = start.year * 12 + start.month - 1 + periods
            return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
        return start + periods * _STEP[self.cadence]

    def key(self, moment: datetime) -> str:
        """Key of the period that holds a moment."""
        return self.floor(moment).strftime(self.key_format)

    def bounds(self, key: str) -> tuple[datetime, datetime]:
        """Start (inclusive) and end (exclusive) of a period.

        Raises
        ------
        PeriodRefused
            When the key names no period of this calendar.
        """
        try:
            start = datetime.strptime(key, self.key_format).replace(tzinfo=UTC)
        except ValueError as error:
            raise PeriodRefused(f"period {key!r:.80}: expected a key like {self.key(self.origin)}") from error
        if self.floor(start) != start or start.strftime(self.key_format) != key or start < self.origin:
            raise PeriodRefused(
                f"period {key!r}: no {self.cadence} of the calendar that starts on {self.start} starts there"
            )
        return start, self.shift(start, 1)

    def same_season(self, key: str, others: Sequence[str], at_least: int) -> list[str]:
        """Keys among `others` that lie in the same part of the season as a period, if there are enough of them.

        The same hour of the week or else of the day, weekday, week of 52, month of the year; the longest season of
        which there are `at_least` periods counts. Otherwise all of `others`.

        Raises
        ------
        PeriodRefused
            When a key names no period of this calendar.
        """
        place = {one: self.periods_since(self.origin, self.bounds(one)[0]) for one in [key, *others]}
        for season in _SEASONS[self.cadence]:
            found = [one for one in others if (place[one] - place[key]) % season == 0]
            if len(found) >= at_least:
                return found
        return list(others)

    def year_before(self, key: str) -> str | None:
        """Key of the same part of the year before: of 52 weeks, so on the same weekday; None before the first period.

        Raises
        ------
        PeriodRefused
            When the key names no period of this calendar.
        """
        start = self.shift(self.bounds(key)[0], -_YEAR[self.cadence])
        return start.strftime(self.key_format) if start >= self.origin else None

    def keys_between(self, start: datetime, end: datetime) -> list[str]:
        """Keys of the periods that begin in ``[start, end)``, from the calendar's first period on."""
        moment = self.floor(max(as_utc(start), self.origin))
        if moment < as_utc(start):
            moment = self.shift(moment, 1)
        keys = []
        while moment < as_utc(end):
            keys.append(moment.strftime(self.key_format))
            moment = self.shift(moment, 1)
        return keys

    def newest_complete(self, now: datetime) -> str | None:
        """Key of the newest period that has ended by `now`, or None before the first end."""
        start = self.shift(self.floor(now), -1)
        return start.strftime(self.key_format) if start >= self.origin else None

    def periods_since(self, earlier: datetime, later: datetime) -> int:
        """Whole periods from one moment's period to another's (0 when they share a period)."""
        if self.cadence == "month":
            a, b = self.floor(earlier), self.floor(later)
            return (b.year - a.year) * 12 + b.month - a.month
        return (self.floor(later) - self.floor(earlier)) // _STEP[self.cadence]
