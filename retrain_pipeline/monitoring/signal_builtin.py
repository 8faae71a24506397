"""Signals that every model has, measured from the lake's own tables (`docs/signals.md` says what each is)."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta

from retrain_pipeline.lake.frames import EVENT_TIME
from retrain_pipeline.lake.tables import Lake, Partition
from retrain_pipeline.monitoring.signals import Measured
from retrain_pipeline.spec.model import ModelSpec

_TABLES = ("raw", "quarantine", "features", "predictions", "labels")
_OF_ANSWERS = frozenset({"prediction_mean", "positive_share", "latency_ms_mean", "latency_ms_p95"})


def built_in(
    lake: Lake, spec: ModelSpec, wanted: Mapping[str, Collection[str]], as_of: datetime
) -> dict[str, dict[str, Measured]]:
    """Return, by period, the built-in signals that are wanted of it, its tables tell, and are due by a moment."""
    tables = {table: lake.partitions(spec.name, table) for table in _TABLES}
    found = {period: dict(_built_in(lake, spec, period, names, as_of, tables)) for period, names in wanted.items()}
    return {period: {name: one for name, one in found[period].items() if name in wanted[period]} for period in found}


def _built_in(
    lake: Lake,
    spec: ModelSpec,
    period: str,
    names: Collection[str],
    as_of: datetime,
    tables: Mapping[str, Mapping[str, Partition]],
) -> Iterator[tuple[str, Measured]]:
    """Yield what is cheap to tell, and of the rest what is wanted: that reads rows."""
    start, end = spec.data.time.calendar().bounds(period)
    rows = {name: present[period].rows if period in present else None for name, present in tables.items()}
    answered = rows["predictions"] or 0
    if answered:
        yield "prediction_count", Measured(float(answered), answered**0.5, answered, end)
        if not _OF_ANSWERS.isdisjoint(names):
            yield from _answers(lake, spec, period, answered, end)
    if (received := rows["raw"]) is not None:
        hours = (end - start).total_seconds() / 3600
        yield "throughput_rows_per_hour", Measured(received / hours, received**0.5 / hours, received, end)
        rejected = _quarantined(lake, spec, period) if rows["quarantine"] else 0
        unanswered = max((rows["features"] or 0) - answered, 0) if answered else 0
        if received + rejected:
            yield "error_rate", _share(rejected + unanswered, received + rejected, end)
    due = end + timedelta(hours=spec.data.label.delay_hours)
    if not received or due > as_of or "label_arrival_share" not in names:
        return
    if (labelled := _labelled(lake, spec, period, due, tables["labels"])) is not None:
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
