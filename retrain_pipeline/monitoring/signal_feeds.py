"""Where declared signals come from: the sources that a team named, read strictly.

A source that is gone, unreadable or malformed is told in words and is no value: monitoring goes on, and the signal's
policy answers for it.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import RetrainError
from retrain_pipeline.lake.columns import WrongType, read_column
from retrain_pipeline.lake.files import ROW
from retrain_pipeline.lake.frames import EVENT_TIME, KNOWN_TIME
from retrain_pipeline.lake.quarantine import Quarantine
from retrain_pipeline.lake.sources import Part, Window, read_source
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.lake.times import TimeReader
from retrain_pipeline.monitoring.signals import Measured
from retrain_pipeline.periods import Calendar
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.spec.signals import Aggregate, Signal

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

VALUE, PERIOD = "value", "period"


@dataclass(frozen=True)
class Feed:
    """The readable rows of a declared signal: `period`, `value`, `_known_time`, and a column for each of its entity.

    refused: rows that could not be read, by period. trouble: in words.
    """

    signal: Signal
    calendar: Calendar
    rows: "pd.DataFrame | None" = None
    refused: dict[str, int] = field(default_factory=dict)
    max_rejected_share: float = 0.0
    trouble: str = ""

    def measured(self, as_of: datetime, but: Collection[int] = ()) -> dict[int, Measured]:
        """Return the values of the periods that are due by a moment, by place, of the rows known by then.

        Parameters
        ----------
        but
            Places that are left out.
        """
        found: dict[int, Measured] = {}
        for period, part in self.due(as_of):
            start, end = self.calendar.bounds(period)
            place = self.calendar.periods_since(self.calendar.origin, start)
            if place in but:
                continue
            value, se = aggregated(part[VALUE].to_numpy(), self.signal.aggregate, (end - start).total_seconds() / 3600)
            known = max(self._due(period), part[KNOWN_TIME].max().to_pydatetime())
            found[place] = Measured(value, se, len(part), known)
        return found

    def due(self, as_of: datetime) -> "Iterator[tuple[str, pd.DataFrame]]":
        """Yield the periods that are due by a moment, with their rows known by then; none of too many refused rows."""
        if self.rows is None or self.rows.empty:
            return
        for key, part in self.rows[self.rows[KNOWN_TIME] <= as_of].groupby(PERIOD, sort=True):
            period = str(key)
            refused = self.refused.get(period, 0)
            if self._due(period) <= as_of and refused <= self.max_rejected_share * (refused + len(part)):
                yield period, part

    def _due(self, period: str) -> datetime:
        return self.calendar.bounds(period)[1] + timedelta(hours=self.signal.delay_hours)


def entity_columns(count: int) -> list[str]:
    """Return the columns in which a feed holds the entity of each row; missing where it names nobody."""
    return [f"entity_{at}" for at in range(count)]


def aggregated(values: Any, aggregate: Aggregate, hours: float) -> tuple[float, float]:
    """Return the value of a period and its standard error, rows taken as independent; a single row is exact.

    Of a sum, rows come as a Poisson process: the variance of Σx is estimated by Σx² (compound Poisson).
    """
    n = len(values)
    if aggregate in ("count", "rate"):
        scale = 1.0 if aggregate == "count" else hours
        return n / scale, n**0.5 / scale
    if aggregate == "sum":
        return float(values.sum()), float((values @ values) ** 0.5) if n > 1 else 0.0
    return float(values.mean()), float(values.std(ddof=1) / n**0.5) if n > 1 else 0.0


def read_feed(lake: Lake, spec: ModelSpec, name: str, period: str, start: datetime, end: datetime, root: Path) -> Feed:
    """Return the rows of a declared signal in ``[start, end)``; what cannot be read is quarantined, or told.

    Parameters
    ----------
    period
        The period that is monitored: refused files are recorded under it.
    """
    reader = _Reader(spec, name, (period, start, end))
    feed = _feed(lake, spec, reader, root)
    reader.write_rejects(lake)
    return feed


def peek_feed(lake: Lake, spec: ModelSpec, name: str, start: datetime, end: datetime, root: Path) -> Feed:
    """Return the same, beside monitoring, which keeps what cannot be read: nothing is quarantined here."""
    calendar = spec.data.time.calendar()
    return _feed(lake, spec, _Reader(spec, name, (calendar.key(start), start, end)), root)


def _feed(lake: Lake, spec: ModelSpec, reader: "_Reader", root: Path) -> Feed:
    import pandas as pd

    parts: list[pd.DataFrame] = []
    trouble: list[str] = []
    try:
        source = read_source(lake, spec.name, reader.feed, reader.source, reader.time, reader.window, root=root)
        trouble += [f"{one.name} is refused ({one.rule}): {one.reason}" for one in source.refused]
        for part in source.parts:
            if not part.superseded:  # else a newer edition of the file stands
                parts += reader.read(part)
    except _unreadable() as error:
        trouble.append(f"the source cannot be read: {_told(error)}")
        parts.clear()  # half a source is no value
    refused = {key: one.rejected for key, one in reader.rejects.items()}
    if total := sum(refused.values()):
        trouble.append(f"{total} rows could not be read and are in quarantine")
    rows = pd.concat(parts, ignore_index=True) if parts else None
    return Feed(reader.signal, reader.calendar, rows, refused, spec.data.max_rejected_share, "; ".join(trouble)[:500])


def _unreadable() -> tuple[type[Exception], ...]:
    """Return what an outage of a source can raise, whatever its kind."""
    import pyarrow as pa
    import sqlalchemy.exc
    from deltalake.exceptions import DeltaError

    return RetrainError, WrongType, OSError, pa.ArrowException, DeltaError, sqlalchemy.exc.SQLAlchemyError


def _told(error: Exception) -> str:
    # Of errors that are not ours the text may hold an address with its password.
    return str(error) if isinstance(error, RetrainError | WrongType) else type(error).__name__


class _Reader:
    """Reads the rows of one declared signal, strictly, and keeps what it rejects by period."""

    def __init__(self, spec: ModelSpec, name: str, window: tuple[str, datetime, datetime]) -> None:
        import numpy as np

        self.signal, self.model, self.period, self.feed = spec.signals[name], spec.name, window[0], f"signal:{name}"
        self.calendar, self.zone = spec.data.time.calendar(), spec.data.time.timezone
        if self.signal.source is None or self.signal.time is None:
            raise ValueError(f"signal {name!r} is built in: it is measured, not read")
        self.source = self.signal.source
        self.time = spec.data.time.model_copy(update={"column": self.signal.time, "unit": "text"})
        routed = spec.rollout.route_by or spec.data.key
        typed = (spec.data.columns.get(one) for one in routed)
        self.entity = [(name, one.dtype if one else None) for name, one in zip(self.signal.entity, typed, strict=False)]
        wanted = (self.signal.time, self.signal.known_time, self.signal.column, *self.signal.entity)
        self.columns = frozenset(one for one in wanted if one is not None)
        self.window = Window(*window, self.columns)
        keys = self.calendar.keys_between(*window[1:])
        self.keys = np.array(keys, dtype=object)
        self.starts = np.array([self.calendar.bounds(key)[0].timestamp() * 1e6 for key in keys], dtype=np.int64)
        self.rejects: dict[str, Quarantine] = {}

    def read(self, part: Part) -> "list[pd.DataFrame]":
        """Return the readable rows of a part: period, value, known time, entity.

        Raises
        ------
        WrongType
            When a column is not there, or holds no numbers.
        """
        for name in sorted(self.columns - set(part.schema.names)):
            near = get_close_matches(name, part.schema.names, n=1)
            hint = f"the nearest is {near[0]!r}" if near else f"it has {', '.join(part.schema.names[:20])}"
            raise WrongType(f"column {name!r} is not in {part.name}; {hint}")
        return [self._read_chunk(chunk, part) for chunk in part.chunks()]

    def _read_chunk(self, chunk: "pa.Table", part: Part) -> "pd.DataFrame":
        import numpy as np
        import pandas as pd

        moments = chunk[EVENT_TIME]
        refused = [("time", str(self.signal.time), moments.is_null().to_numpy(), "a readable time")]
        frame = pd.DataFrame({EVENT_TIME: moments.to_pandas().astype("datetime64[us, UTC]")})
        frame[VALUE] = self._values(chunk, part, refused)
        frame[KNOWN_TIME] = frame[EVENT_TIME]
        if self.signal.known_time is not None:
            known = TimeReader(self.signal.known_time, "text", self.zone).read(chunk[self.signal.known_time])
            refused.append(("known_time", self.signal.known_time, known.is_null().to_numpy(), "a readable time"))
            frame[KNOWN_TIME] = known.to_pandas()
        entity = self._entity(chunk, part)
        good = frame[VALUE].notna().to_numpy()  # an empty cell is not known yet
        for index, (rule, column, mask, words) in enumerate(refused):
            earlier = [one[2] for one in refused[:index]]
            self._reject(chunk, mask & ~sum(earlier, mask & False), (rule, column, words), part)
            good &= ~mask
        frame = frame.assign(**entity)[good].reset_index(drop=True)
        places = np.searchsorted(self.starts, frame[EVENT_TIME].astype("int64").to_numpy(), side="right") - 1
        return frame.assign(**{PERIOD: self.keys[places]})[[PERIOD, VALUE, KNOWN_TIME, *entity]]

    def _entity(self, chunk: "pa.Table", part: Part) -> "dict[str, pd.Series[Any]]":
        """Return the columns of the entity, of text in the type that the routed column has; else as they came."""
        import pandas as pd
        import pyarrow as pa

        found = {}
        for at, (name, dtype) in zip(entity_columns(len(self.entity)), self.entity, strict=True):
            values = chunk[name]
            if part.text and dtype is not None:
                values = read_column(values, dtype, text=True, name=name, timezone=self.zone).values
            # whole numbers stay whole where one is missing
            found[at] = values.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
        return found

    def _values(self, chunk: "pa.Table", part: Part, refused: list[tuple[str, str, Any, str]]) -> Any:
        import pyarrow as pa

        if self.signal.column is None:
            return 1.0
        values = chunk[self.signal.column]
        values = values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values
        try:
            typed = read_column(values, "float", text=part.text, name=self.signal.column)
        except WrongType as error:
            raise WrongType(f"column {self.signal.column!r} of {part.name} {error}") from error
        refused += [(rule, self.signal.column, mask, words) for rule, mask, words in typed.refused]
        return typed.values.to_pandas()

    def _reject(self, chunk: "pa.Table", mask: Any, broken: tuple[str, str, str], part: Part) -> None:
        """Keep rows that broke a rule in the period of their event; without a time, in the one that is monitored."""
        import pyarrow as pa

        rule, column, words = broken
        for row in chunk.filter(pa.array(mask)).to_pylist():
            moment, number = row.pop(EVENT_TIME), row.pop(ROW)
            key = self.period if moment is None else self.calendar.key(moment)
            kept = self.rejects.setdefault(key, Quarantine(self.feed, self.calendar.bounds(key)[0]))
            kept.count(rule, 1)
            reason = f"column {column!r}: {row.get(column)!r} is not {words}"
            kept.reject(
                rule, reason, key=(), row=row, event_time=moment, column=column, delivery=part.name,
                source_digest=part.digest, row_number=number,
            )  # fmt: skip

    def write_rejects(self, lake: Lake) -> None:
        """Write what was rejected, and clear the monitored period where nothing is any more."""
        rejects = dict(self.rejects)
        if self.period in lake.partitions(self.model, "quarantine"):
            rejects.setdefault(self.period, Quarantine(self.feed, self.calendar.bounds(self.period)[0]))
        for key, one in rejects.items():
            one.write(lake, self.model, key)
