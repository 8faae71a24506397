"""Monitoring a period: inputs, answers, performance and operation, judged, stored, and entered once in the ledger."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.monitoring.diagnosis import FAULTS, Diagnosis
from retrain_pipeline.monitoring.drift import Drift
from retrain_pipeline.monitoring.errors import MonitoringUnread
from retrain_pipeline.monitoring.kept import MONITORED
from retrain_pipeline.monitoring.late import Late
from retrain_pipeline.monitoring.looking import Found, look
from retrain_pipeline.monitoring.measuring import Labels
from retrain_pipeline.monitoring.performance import Performance
from retrain_pipeline.monitoring.shown import monitoring_rows, stored_loss_plot
from retrain_pipeline.monitoring.signal_table import monitor_signals
from retrain_pipeline.monitoring.signals import SignalsReport
from retrain_pipeline.monitoring.staleness import Staleness
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores
from retrain_pipeline.verdicts import Verdict

DATA_DOUBTED = "data_doubted"
"""Entered when labels or columns look wrong: somebody must look, and a retrain would learn it."""


@dataclass(frozen=True, kw_only=True)
class MonitoringReport:
    """What monitoring found in a period. `report`, `evidently`, `quality` and `plot` are digests of artifacts."""

    model: str
    period: str
    as_of: datetime
    champion: str | None
    verdict: Verdict
    words: str
    drift: Drift
    prediction_drift: Drift
    performance: Performance
    rows: int
    latency_ms_mean: float | None
    latency_ms_p95: float | None
    unseen_by_column: dict[str, int]
    missing_by_column: dict[str, int]
    labels: Labels
    diagnosis: Diagnosis
    late: Late | None
    """None before the first release."""
    staleness: Staleness | None
    """None until a period of the champion has its labels."""
    signals: SignalsReport
    report: str
    evidently: str | None
    quality: str | None
    """Evidently's page on labels and answers."""
    plot: str | None
    seq: int
    """The ledger entry."""

    @property
    def unseen(self) -> int:
        """Values of categories that training never had."""
        return sum(self.unseen_by_column.values())


def overall(performance: Performance, drift: Drift, halts: Sequence[str] = ()) -> tuple[Verdict, str]:
    """Return the verdict on a period, and in words what it stands on.

    FAIL when columns drifted or the loss has risen. PASS when the loss has not, or when no loss is known and no column
    drifted: a part that cannot tell does not hide one that can. INCONCLUSIVE when neither can tell. Drift of
    predictions is shown and does not count: it follows from that of the inputs. A signal that asks for a halt is no
    fault of the model, but nothing passes beside it.
    """
    if Verdict.FAIL in (performance.verdict, drift.verdict):
        parts = [part.words for part in (performance, drift) if part.verdict is Verdict.FAIL]
        return Verdict.FAIL, "; ".join(parts)
    if halts:
        return Verdict.INCONCLUSIVE, "; ".join(halts)
    if performance.verdict is Verdict.PASS:
        return Verdict.PASS, f"by performance: {performance.words}; drift: {drift.words}"
    if drift.verdict is Verdict.PASS:
        return Verdict.PASS, f"by drift alone: {drift.words}; performance: {performance.words}"
    return Verdict.INCONCLUSIVE, f"performance: {performance.words}; drift: {drift.words}"


def monitor_period(
    stores: Stores, spec: ModelSpec, period: str, run_id: str | None = None, *, root: Path = Path()
) -> MonitoringReport:
    """Monitor a period as of its end, against the champion of now; write ``monitoring[period]`` and one ledger entry.

    Bytes first, then the entry, whose key holds a digest of what was found: doing it again with the same finding
    enters nothing. Every `report.every` periods an Evidently report and a plot are made.

    Parameters
    ----------
    run_id
        The run that monitors: of several periods that one monitors, the trigger sees the newest.
    root
        The folder that the declared sources of signals are relative to.

    Raises
    ------
    PeriodRefused
        When the period is none of the calendar.
    MonitoringUnread
        When a table cannot be read (P34); nothing is entered then, so that no trigger or release takes it for a pass.
    """
    start, end = spec.data.time.calendar().bounds(period)
    due = spec.data.time.calendar().periods_since(spec.data.time.calendar().origin, start) % spec.report.every == 0
    try:
        found = look(stores, spec, period, end, due)
        signals = monitor_signals(stores, spec, period, found.champion, root)
    except OSError as error:
        words = f"{spec.name} {period}: not monitored, a store cannot be read: {error}; monitor the period again"
        raise MonitoringUnread(words) from error
    verdict, words = overall(found.performance, found.drift, signals.halts)
    rows = monitoring_rows(stores.lake, spec, period, found)
    stores.lake.replace_partition(spec.name, "monitoring", period, rows)
    plot = stored_loss_plot(stores, spec, end, found.summary.joint if found.summary else None) if due else None
    summary = stores.artifacts.put_json(found.summary.to_json()) if found.summary else None
    facts = {**_facts(period, end, found, verdict), "summary": summary, "signals": signals.facts()}
    told = {"words": words, "plot": plot, **facts, "checks": _checks(found), "signals": signals.to_json()}
    report = stores.artifacts.put_json({"schema": "monitoring/1", "model": spec.name, **told})
    # Evidently's HTML has other ids at every run: what was found is the same.
    key = f"{MONITORED}:{spec.name}:{period}:{digest_of(facts)[:32]}"
    evidently = found.evidently.digest if found.evidently else None
    quality = found.evidently.quality if found.evidently else None
    payload = {**facts, "report": report, "evidently": evidently, "quality": quality, "plot": plot}
    entry = stores.ledger.append(NewEntry("monitoring", MONITORED, spec.name, period, payload, run_id=run_id, key=key))
    if found.explained.diagnosis.cause in FAULTS:
        _doubt(stores, spec, period, found.explained.diagnosis)
    return MonitoringReport(
        model=spec.name,
        period=period,
        as_of=end,
        champion=found.champion.version if found.champion else None,
        verdict=verdict,
        words=words,
        drift=found.drift,
        prediction_drift=found.prediction_drift,
        performance=found.performance,
        rows=found.inputs.rows,
        latency_ms_mean=found.answers.latency_ms_mean,
        latency_ms_p95=found.answers.latency_ms_p95,
        unseen_by_column=found.unseen,
        missing_by_column=found.missing,
        labels=found.labels,
        diagnosis=found.explained.diagnosis,
        late=found.explained.late,
        staleness=found.staleness,
        signals=signals,
        report=report,
        evidently=evidently,
        quality=quality,
        plot=plot,
        seq=entry.seq,
    )


def _doubt(stores: Stores, spec: ModelSpec, period: str, diagnosis: Diagnosis) -> None:
    """Enter a fault of labels or columns once a period and cause, for alerts."""
    payload = {"period": period, "cause": diagnosis.cause.value, "words": diagnosis.words[:1000]}
    key = f"{DATA_DOUBTED}:{spec.name}:{period}:{diagnosis.cause.value}"
    stores.ledger.append(
        NewEntry(actor="monitoring", action=DATA_DOUBTED, model=spec.name, subject=period, payload=payload, key=key)
    )


def _facts(period: str, end: datetime, found: Found, verdict: Verdict) -> dict[str, Any]:
    """Return what the ledger keeps: scalars that the trigger reads, and no more."""
    judged, diagnosis, late = found.performance, found.explained.diagnosis, found.explained.late
    return {
        "period": period,
        "as_of": end.isoformat(),
        "champion": found.champion.version if found.champion else None,
        "verdict": verdict.value,
        "drift": _told(found.drift),
        "prediction_drift": _told(found.prediction_drift),
        "performance": {
            "verdict": judged.verdict.value,
            "mean": judged.mean,
            "validated": judged.validated,
            "n": judged.n,
            "relative_rise": judged.relative_rise,
            "evidence": judged.statistic,
            "alarm_at": judged.threshold,
            "words": judged.words,
        },
        "diagnosis": {"cause": diagnosis.cause.value, "words": diagnosis.words[:1000]},
        "estimated_loss": _guessed(late) if late else None,
        "staleness": found.staleness.to_json() if found.staleness else None,
        "labelled_periods": found.labels.periods,
        "labelled_through": found.labels.through.isoformat() if found.labels.through else None,
        "labels_total": found.labels.total,
        "new_labels_since_champion": found.labels.new,
        "rows": found.inputs.rows,
        "latency_ms_mean": found.answers.latency_ms_mean,
        "latency_ms_p95": found.answers.latency_ms_p95,
        "unseen": sum(found.unseen.values()),
        "missing": sum(found.missing.values()),
    }


def _guessed(late: Late) -> dict[str, Any]:
    guess, judged = late.guess, late.reconciled
    return {
        "method": guess.method,
        "estimate": guess.estimate,
        "low": guess.low,
        "high": guess.high,
        "words": guess.words,
        "reconciled": len(judged),
        "inside": sum(one.inside for one in judged),
    }


def _told(one: Drift) -> dict[str, Any]:
    # Names are the team's; a hundred of them are enough for a ledger entry, all are in the report.
    return {
        "verdict": one.verdict.value,
        "columns": list(one.columns[:100]),
        "max_effect": one.max_effect,
        "words": one.words[:1000],
    }


def _checks(found: Found) -> dict[str, Any]:
    sampled = found.evidently
    return {
        "drift": [asdict(result) for result in found.drift.results],
        "prediction_drift": [asdict(result) for result in found.prediction_drift.results],
        "performance": asdict(found.performance),
        "explained": found.explained.to_json(),
        "unseen": found.unseen,
        "missing": found.missing,
        "out_of_range": found.out_of_range,
        "sampled": {"reference": sampled.reference_rows, "current": sampled.current_rows} if sampled else None,
    }
