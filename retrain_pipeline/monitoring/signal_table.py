"""The signals of a period, and the joined table `signals`: one row a signal and period.

Columns: `signal`, `value`, `low`, `high`, `se`, `n`, `unit`, `imputed`, `how`, `age_periods`, `_event_time` (start of
the period), `_known_time` (an observed value: when it was known; else: the moment as of which nothing better was).

Monitoring a period writes its partition, and those of the newest 13 due periods whose values have come since:
the table holds what is known as of the newest monitored period, while a report and its ledger entry hold what was known
at the end of theirs. A row that was missing when it was due testifies that the value came later, whatever the source
says of it; so monitoring an old period again finds what it found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.monitoring.champion import Champion
from retrain_pipeline.monitoring.signal_builtin import built_in
from retrain_pipeline.monitoring.signal_feeds import Feed, read_feed
from retrain_pipeline.monitoring.signal_value import release_values
from retrain_pipeline.monitoring.signals import (
    LOOKBACK,
    REFRESHED,
    Course,
    Measured,
    Reading,
    SignalsReport,
    read_at,
)
from retrain_pipeline.periods import Calendar
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.spec.signals import BUILT_IN, Signal
from retrain_pipeline.stores import Stores

if TYPE_CHECKING:
    import pandas as pd

TABLE = "signals"


@dataclass(frozen=True)
class _Stored:
    reading: Reading
    known: datetime


_Table = dict[int, dict[str, _Stored]]


def monitor_signals(
    stores: Stores, spec: ModelSpec, period: str, champion: Champion | None, root: Path
) -> SignalsReport:
    """Return the signals of a period as of its end, and bring the table up to what is known now.

    Parameters
    ----------
    root
        The folder that declared paths are relative to.
    """
    calendar = spec.data.time.calendar()
    end = calendar.bounds(period)[1]
    stored = _stored(stores.lake, spec, period)
    at = _place(calendar, period)
    now = calendar.shift(calendar.origin, max([at, *stored]) + 1)
    fresh = _newest_due(spec, now, REFRESHED)
    places = sorted({at} | {place for place in stored if place in fresh})
    feeds = _feeds(stores.lake, spec, period, stored, places, root)
    own = _built_ins(stores.lake, spec, stored, places, at, now)
    table, courses = {}, {}
    for name in signal_names(spec):
        feed = feeds.get(name)
        table[name] = _course(spec, name, _observed(name, feed, own, stored, at, now), now, feed)
        courses[name] = table[name]
        if end < now:
            courses[name] = _course(spec, name, _observed(name, feed, own, stored, at, now, end), end, feed)
    filled = _write(stores.lake, spec, table, stored, places, at, now)
    return SignalsReport(
        readings=tuple(read_at(course, at) for course in courses.values()),
        verdicts={name: course.verdict for name, course in courses.items()},
        halts=tuple(course.halt for course in courses.values() if course.halt is not None),
        trouble={name: course.trouble for name, course in courses.items() if course.trouble},
        values=release_values(stores, spec, champion, courses, at) if champion else (),
        filled=filled,
    )


def observed_signals(lake: Lake, spec: ModelSpec, period: str, as_of: datetime) -> dict[str, float]:
    """Return the signals of a period that were observed by a moment; what was imputed was not."""
    rows = lake.read(spec.name, TABLE, periods=[period], known_by=as_of)
    if rows.empty:
        return {}
    rows = rows[(rows["how"] == "observed") & rows["value"].notna()]
    return {str(name): float(value) for name, value in zip(rows["signal"], rows["value"], strict=True)}


def signal_names(spec: ModelSpec) -> list[str]:
    """Return the signals of a model: those built in that its task has, then those declared."""
    own = [name for name in BUILT_IN if name != "positive_share" or spec.data.label.task == "binary"]
    return [*own, *(name for name in spec.signals if name not in BUILT_IN)]


def _place(calendar: Calendar, period: str) -> int:
    return calendar.periods_since(calendar.origin, calendar.bounds(period)[0])


def _due(spec: ModelSpec, name: str, as_of: datetime) -> int:
    """Return the newest place whose value of a signal is due by a moment."""
    calendar, declared = spec.data.time.calendar(), spec.signals.get(name, Signal())
    hours = spec.data.label.delay_hours if name == "label_arrival_share" else declared.delay_hours
    return calendar.periods_since(calendar.origin, as_of - timedelta(hours=hours)) - 1


def _newest_due(spec: ModelSpec, now: datetime, count: int) -> set[int]:
    """Return the newest places of now, and of every signal those that are due."""
    calendar = spec.data.time.calendar()
    newest = {calendar.periods_since(calendar.origin, now) - 1, *(_due(spec, name, now) for name in signal_names(spec))}
    return {place for one in newest for place in range(max(one - count + 1, 0), one + 1)}


def _course(spec: ModelSpec, name: str, observed: Mapping[int, Measured], as_of: datetime, feed: Feed | None) -> Course:
    signal, calendar = spec.signals.get(name, Signal()), spec.data.time.calendar()
    due = _due(spec, name, as_of)
    unit = BUILT_IN.get(name) or signal.unit or ""
    return Course(name, unit, signal.missing, calendar, observed, due, feed.trouble if feed else "")


def _key(calendar: Calendar, place: int) -> str:
    return calendar.key(calendar.shift(calendar.origin, place))


def _is_observed(name: str, row: Mapping[str, _Stored]) -> bool:
    return name in row and row[name].reading.how == "observed"


def _feeds(
    lake: Lake, spec: ModelSpec, period: str, stored: _Table, places: Sequence[int], root: Path
) -> dict[str, Feed]:
    """Read the declared signals, from the first place on that was never looked at, or may still get its value."""
    calendar, feeds = spec.data.time.calendar(), {}
    at = _place(calendar, period)
    now = calendar.shift(calendar.origin, max([at, *stored]) + 1)
    for name, signal in spec.signals.items():
        if signal.source is not None:
            unseen = [one for one in range(max(places[0] - LOOKBACK, 0), at) if name not in stored.get(one, {})]
            open_ones = [one for one in places if not _is_observed(name, stored.get(one, {}))]
            first = min([at, *unseen, *open_ones])
            feeds[name] = read_feed(lake, spec, name, period, calendar.shift(calendar.origin, first), now, root)
    return feeds


def _built_ins(
    lake: Lake, spec: ModelSpec, stored: _Table, places: Sequence[int], at: int, now: datetime
) -> dict[int, dict[str, Measured]]:
    """Measure this period, and those before of which something was not there yet."""
    names = [name for name in signal_names(spec) if name in BUILT_IN]
    missing = {place: [n for n in names if place == at or not _is_observed(n, stored[place])] for place in places}
    keys = {_key(spec.data.time.calendar(), place): place for place in places if missing[place]}
    found = built_in(lake, spec, {key: missing[place] for key, place in keys.items()}, now)
    return {keys[key]: values for key, values in found.items()}


def _observed(
    name: str,
    feed: Feed | None,
    own: Mapping[int, Mapping[str, Measured]],
    stored: _Table,
    at: int,
    now: datetime,
    as_of: datetime | None = None,
) -> dict[int, Measured]:
    """Return the values observed by a moment (default: now), the stored ones where they stand or the source is gone."""
    by = as_of or now
    stands = {place for place, row in stored.items() if place != at and _is_observed(name, row)}
    fresh = {place: values[name] for place, values in own.items() if name in values}
    if feed is not None:
        fresh = feed.measured(by, stands)
    found = {}
    for place in {*fresh, *stored}:
        before, one = stored.get(place, {}).get(name), None if place in stands else fresh.get(place)
        if before is not None and before.reading.how == "observed":
            kept = before.reading
            new = one or Measured(kept.value or 0.0, kept.se or 0.0, kept.n, before.known)
            one = replace(new, known=before.known)
        elif one is not None and before is not None and before.known >= one.known:
            one = replace(one, known=now)
        if one is not None and one.known <= by:
            found[place] = one
    return found


def _stored(lake: Lake, spec: ModelSpec, period: str) -> _Table:
    """Return the rows of the table from which answers about the newest periods and this one are made."""
    calendar = spec.data.time.calendar()
    present = lake.periods(spec.name, TABLE)
    if not present:
        return {}
    at, now = _place(calendar, period), calendar.bounds(max(present[-1], period))[1]
    near = {*_newest_due(spec, now, REFRESHED + LOOKBACK), *range(at - LOOKBACK, at + LOOKBACK)}
    places = {key: place for key in present if (place := _place(calendar, key)) in near}
    frame = lake.read(spec.name, TABLE, periods=list(places))
    frame = frame.astype(object).where(frame.notna(), None)
    names = ["_period", "_known_time", "signal", "unit", "how", "value", "low", "high", "se", "n", "age_periods"]
    found: _Table = {}
    for key, known, name, unit, how, value, low, high, se, n, age in frame[names].itertuples(index=False):
        reading = Reading(name, unit, how, value, low, high, se, int(n), None if age is None else int(age))
        found.setdefault(places[key], {})[reading.signal] = _Stored(reading, known.to_pydatetime())
    return found


def _write(
    lake: Lake,
    spec: ModelSpec,
    courses: Mapping[str, Course],
    stored: _Table,
    places: Sequence[int],
    at: int,
    now: datetime,
) -> tuple[str, ...]:
    """Write the partitions whose rows are not what they were; return the earlier periods among them."""
    calendar, changed = spec.data.time.calendar(), dict[str, "pd.DataFrame"]()
    for place in places:
        before = stored.get(place, {})
        rows = {} if place == at else dict(before)  # of this period, signals that are declared no more are gone
        for name, course in courses.items():
            reading, old = read_at(course, place), before.get(name)
            same = old is not None and old.reading == reading
            known = course.observed[place].known if reading.how == "observed" else now
            rows[name] = old if same and old is not None else _Stored(reading, known)
        if rows != before:
            key = _key(calendar, place)
            changed[key] = _frame(rows, calendar.bounds(key)[0])
    lake.replace_partitions(spec.name, TABLE, changed)
    return tuple(key for key in changed if key != _key(calendar, at))


def _frame(rows: Mapping[str, _Stored], start: datetime) -> "pd.DataFrame":
    import pandas as pd

    told = [one.reading for one in rows.values()]
    frame = pd.DataFrame(
        {
            "signal": [one.signal for one in told],
            **{name: [getattr(one, name) for one in told] for name in ("value", "low", "high", "se")},
            "n": [one.n for one in told],
            "unit": [one.unit for one in told],
            "imputed": [one.imputed for one in told],
            "how": [one.how for one in told],
            "age_periods": pd.array([one.age for one in told], dtype="Int64"),
            "_event_time": pd.Series([start] * len(told), dtype="datetime64[us, UTC]"),
            "_known_time": pd.Series([one.known for one in rows.values()], dtype="datetime64[us, UTC]"),
        }
    )
    return frame.astype(dict.fromkeys(("value", "low", "high", "se"), "float64"))
