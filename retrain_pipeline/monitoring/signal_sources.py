"""Where signals come from: the lake's own tables, and the sources that a team declared.

A source that is gone, unreadable or malformed is told in words and is no value: monitoring goes on, and the signal's
policy answers for it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
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
from retrain_pipeline.lake.tables import Lake, Partition
from retrain_pipeline.lake.times import TimeReader
from retrain_pipeline.monitoring.signals import Measured
from retrain_pipeline.periods import Calendar
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.spec.signals import Aggregate, Signal

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

VALUE = "value"
_TABLES = ("raw", "quarantine", "features", "predictions", "labels")


@dataclass(frozen=True)
class Feed:
    """The readable rows of a declared signal. refused: rows that could not be read, by period. trouble: in words."""

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
        if self.rows is None or self.rows.empty:
            return {}
        found: dict[int, Measured] = {}
        rows = self.rows[self.rows[KNOWN_TIME] <= as_of]
        for period, part in rows.groupby("period", sort=True):
            start, end = self.calendar.bounds(str(period))
            due = end + timedelta(hours=self.signal.delay_hours)
            place = self.calendar.periods_since(self.calendar.origin, start)
            refused = self.refused.get(str(period), 0)
            if due > as_of or place in but or refused > self.max_rejected_share * (refused + len(part)):
                continue
            value, se = aggregated(part[VALUE].to_numpy(), self.signal.aggregate, (end - start).total_seconds() / 3600)
            known = max(due, part[KNOWN_TIME].max().to_pydatetime())
            found[place] = Measured(value, se, len(part), known)
        return found


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
    import pandas as pd

    reader = _Reader(spec, name, (period, start, end))
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
    reader.write_rejects(lake)
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
        wanted = (self.signal.time, self.signal.known_time, self.signal.column)
        self.columns = frozenset(one for one in wanted if one is not None)
        self.window = Window(*window, self.columns)
        keys = self.calendar.keys_between(*window[1:])
        self.keys = np.array(keys, dtype=object)
        self.starts = np.array([self.calendar.bounds(key)[0].timestamp() * 1e6 for key in keys], dtype=np.int64)
        self.rejects: dict[str, Quarantine] = {}

    def read(self, part: Part) -> "list[pd.DataFrame]":
        """Return the readable rows of a part: period, value, known time.

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
        good = frame[VALUE].notna().to_numpy()  # an empty cell is not known yet
        for index, (rule, column, mask, words) in enumerate(refused):
            earlier = [one[2] for one in refused[:index]]
            self._reject(chunk, mask & ~sum(earlier, mask & False), (rule, column, words), part)
            good &= ~mask
        frame = frame[good].reset_index(drop=True)
        places = np.searchsorted(self.starts, frame[EVENT_TIME].astype("int64").to_numpy(), side="right") - 1
        return frame.assign(period=self.keys[places])[["period", VALUE, KNOWN_TIME]]

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


def built_in(lake: Lake, spec: ModelSpec, periods: Iterable[str], as_of: datetime) -> dict[str, dict[str, Measured]]:
    """Return, by period, the built-in signals that its tables tell, of those that are due by a moment."""
    tables = {table: lake.partitions(spec.name, table) for table in _TABLES}
    return {period: dict(_built_in(lake, spec, period, as_of, tables)) for period in periods}


def _built_in(
    lake: Lake, spec: ModelSpec, period: str, as_of: datetime, tables: Mapping[str, Mapping[str, Partition]]
) -> Iterator[tuple[str, Measured]]:
    start, end = spec.data.time.calendar().bounds(period)
    rows = {name: present[period].rows if period in present else None for name, present in tables.items()}
    answered = rows["predictions"] or 0
    if answered:
        yield "prediction_count", Measured(float(answered), answered**0.5, answered, end)
        yield from _answers(lake, spec, period, answered, end)
    if (received := rows["raw"]) is not None:
        hours = (end - start).total_seconds() / 3600
        yield "throughput_rows_per_hour", Measured(received / hours, received**0.5 / hours, received, end)
        rejected = _quarantined(lake, spec, period) if rows["quarantine"] else 0
        unanswered = max((rows["features"] or 0) - answered, 0) if answered else 0
        if received + rejected:
            yield "error_rate", _share(rejected + unanswered, received + rejected, end)
    due = end + timedelta(hours=spec.data.label.delay_hours)
    if received and due <= as_of and (labelled := _labelled(lake, spec, period, due, tables["labels"])) is not None:
        yield "label_arrival_share", _share(min(labelled, received), received, due)


def _share(some: int, n: int, known: datetime) -> Measured:
    """Return a share; its error is that of Agresti and Coull (1998), which is not 0 where none or all are."""
    p = (some + 2) / (n + 4)
    return Measured(some / n, (p * (1 - p) / (n + 4)) ** 0.5, n, known)


def _answers(lake: Lake, spec: ModelSpec, period: str, n: int, end: datetime) -> Iterator[tuple[str, Measured]]:
    """Yield what was answered and how fast, in one streamed pass; the quantile's error is that of its ranks."""
    import polars as pl

    rows = lake.lazy(spec.name, "predictions", [period])
    if rows is None:
        return
    regression, binary = spec.data.label.task == "regression", spec.data.label.task == "binary"
    answer = pl.col("prediction" if regression else "score").cast(pl.Float64).fill_nan(None)
    latency = pl.col("latency_ms").cast(pl.Float64).fill_nan(None)
    off = 1.96 * (0.95 * 0.05 / n) ** 0.5
    positive = (pl.col("prediction") == 1).sum() if binary else pl.lit(0)
    told = rows.select(
        answered=answer.count(), mean=answer.mean(), sd=answer.std(), positive=positive, timed=latency.count(),
        took=latency.mean(), took_sd=latency.std(), p95=latency.quantile(0.95),
        low=latency.quantile(max(0.95 - off, 0.0)), high=latency.quantile(min(0.95 + off, 1.0)),
    ).collect(engine="streaming").row(0, named=True)  # fmt: skip
    if told["answered"]:
        error = (told["sd"] or 0.0) / told["answered"] ** 0.5
        yield "prediction_mean", Measured(told["mean"], error, told["answered"], end)
    if binary:
        yield "positive_share", _share(told["positive"], n, end)
    if told["timed"]:
        error = (told["took_sd"] or 0.0) / told["timed"] ** 0.5
        yield "latency_ms_mean", Measured(told["took"], error, told["timed"], end)
        yield "latency_ms_p95", Measured(told["p95"], (told["high"] - told["low"]) / 3.92, told["timed"], end)


def _quarantined(lake: Lake, spec: ModelSpec, period: str) -> int:
    stages = lake.read(spec.name, "quarantine", periods=[period], columns=["stage"])["stage"]
    return int((stages == "data").sum())


def _labelled(lake: Lake, spec: ModelSpec, period: str, due: datetime, labels: Mapping[str, Partition]) -> int | None:
    """Return how many rows of a period had their label when it was due; None when no label was looked for since."""
    from retrain_pipeline.lake.digests import row_digests

    calendar = spec.data.time.calendar()
    start, end = calendar.bounds(period)
    periods = [key for key in labels if period <= key <= calendar.key(due)]
    if not periods:
        return None
    if not any(labels[key].rows for key in periods):
        return 0
    identity = list(dict.fromkeys([*spec.data.key, EVENT_TIME]))
    rows = lake.read(spec.name, "labels", periods=periods, known_by=due, columns=identity)
    rows = rows[(rows[EVENT_TIME] >= start) & (rows[EVENT_TIME] < end)]
    return len(set(row_digests(rows, identity).tolist())) if len(rows) else 0
