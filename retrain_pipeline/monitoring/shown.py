"""The rows of the monitoring table, and what is drawn from them."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.monitoring.plots import loss_plot
from retrain_pipeline.periods import as_utc
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores

if TYPE_CHECKING:
    import pandas as pd

    from retrain_pipeline.monitoring.looking import Found

PLOTTED_PERIODS = 104


def monitoring_rows(lake: Lake, spec: ModelSpec, period: str, found: "Found") -> "pd.DataFrame":
    """Return one row per check and column: part, column, statistic, threshold, n, effect, verdict, words, times.

    Parts: `drift`, `prediction_drift`, `performance`, `loss` (mean loss of the labels that became known in the period;
    threshold: the champion's validated loss), `latency_ms_mean`, `latency_ms_p95`, `unseen`, `missing`, `out_of_range`.
    Of late labels: `labels_known` (share known by an age in periods, the column), `maturing` (estimated loss of an
    earlier period whose labels still come; effect: from there to its upper bound), `estimated_loss` (of this period,
    without labels; column: the version; effect: half the interval), `reconciled` (loss of an earlier period; threshold:
    what was estimated; effect: what was missed). `staleness` (mean loss of the champion in an earlier period, the
    column; threshold: that of a model fitted right before it; effect: the difference). And `diagnosis`, with the cause
    as column.
    Measurements that nothing is judged by have no verdict.
    """
    import pandas as pd

    start, end = spec.data.time.calendar().bounds(period)
    records: list[tuple[Any, ...]] = []
    for part, one in (("drift", found.drift), ("prediction_drift", found.prediction_drift)):
        for r in one.results:
            records.append((part, r.column, r.statistic, r.threshold, r.n, r.effect, r.verdict.value, r.words))
        if not one.results:
            records.append((part, None, None, None, 0, None, one.verdict.value, one.words))
    p = found.performance
    records.append(("performance", None, p.statistic, p.threshold, p.n, p.relative_rise, p.verdict.value, p.words))
    loss, n = _period_loss(lake, spec, period)
    records.append(("loss", None, loss, p.validated, n, None, None, "mean loss of the labels that became known"))
    for part in ("latency_ms_mean", "latency_ms_p95"):
        records.append((part, None, getattr(found.answers, part), None, found.answers.rows, None, None, ""))
    counted = (("unseen", found.unseen), ("missing", found.missing), ("out_of_range", found.out_of_range))
    for part, counts in counted:
        for column, count in sorted(counts.items()):
            records.append((part, column, float(count), None, found.inputs.rows, None, None, ""))
    records += _explained_rows(found) + _staleness_rows(found)
    names = ["part", "column", "statistic", "threshold", "n", "effect", "verdict", "words"]
    frame = pd.DataFrame(records, columns=names)
    numbers = {name: frame[name].astype("float64") for name in ("statistic", "threshold", "effect")}
    times = {"_event_time": pd.Timestamp(start), "_known_time": pd.Timestamp(end)}
    return frame.assign(**numbers).assign(**times)


def _explained_rows(found: "Found") -> list[tuple[Any, ...]]:
    diagnosis, late = found.explained.diagnosis, found.explained.late
    records: list[tuple[Any, ...]] = [("diagnosis", diagnosis.cause.value, None, None, 0, None, None, diagnosis.words)]
    if late is None or found.champion is None:
        return records
    for age, share in enumerate(late.curve.known):
        records.append(("labels_known", str(age), share, None, 0, late.curve.se[age], None, f"known by age {age}"))
    for one in late.maturing:
        half = one.high - one.estimate if one.high is not None and one.estimate is not None else None
        records.append(("maturing", one.period, one.estimate, one.early, one.n, half, None, one.words))
    guess = late.guess
    half = guess.high - guess.estimate if guess.high is not None and guess.estimate is not None else None
    version = found.champion.version
    records.append(("estimated_loss", version, guess.estimate, None, guess.n, half, None, guess.words))
    for past in late.reconciled:
        off = past.realized - past.estimate
        records.append(("reconciled", past.period, past.realized, past.estimate, past.n, off, None, past.words))
    return records


def _staleness_rows(found: "Found") -> list[tuple[Any, ...]]:
    if found.staleness is None:
        return []
    words = f"losses in units of {found.staleness.scale:.6g}; {found.staleness.version}"
    return [
        ("staleness", one.period, one.champion, one.fresh, 0, round(one.champion - one.fresh, 6), None, words)
        for one in found.staleness.judged
    ]


def _period_loss(lake: Lake, spec: ModelSpec, period: str) -> tuple[float | None, int]:
    stored = lake.partitions(spec.name, "feedback").get(period)
    if stored is None or not stored.rows:
        return None, 0
    losses = lake.read(spec.name, "feedback", periods=[period], columns=["loss"])["loss"]
    return float(losses.mean()), len(losses)


def stored_loss_plot(stores: Stores, spec: ModelSpec, end: datetime) -> str | None:
    """Store the picture of losses up to a moment and return its digest; None while no loss is known."""
    calendar = spec.data.time.calendar()
    periods = [p for p in stores.lake.periods(spec.name, "monitoring") if calendar.bounds(p)[1] <= end]
    rows = stores.lake.read(
        spec.name,
        "monitoring",
        periods=periods[-PLOTTED_PERIODS:],
        columns=["part", "statistic", "threshold", "_event_time"],
    )
    rows = rows[(rows["part"] == "loss") & rows["statistic"].notna()]
    if rows.empty:
        return None
    first = rows["_event_time"].iloc[0]
    released = [as_utc(datetime.fromisoformat(e.payload["as_of"])) for e in _releases(stores, spec)]
    promised = [None if value != value else float(value) for value in rows["threshold"]]
    picture = loss_plot(
        [moment.to_pydatetime() for moment in rows["_event_time"]],
        rows["statistic"].tolist(),
        promised,
        [moment for moment in released if first <= moment <= end],
        f"{spec.name}: loss ({spec.problem.success.metric}, a row's) until {end:%Y-%m-%d}",
    )
    return stores.artifacts.put(picture)


def _releases(stores: Stores, spec: ModelSpec) -> list[Any]:
    return stores.ledger.entries(model=spec.name, action="released", limit=PLOTTED_PERIODS, newest_first=True)
