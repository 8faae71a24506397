"""The rows of the monitoring table, and what is drawn from them."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.monitoring.errors import SummaryMissing
from retrain_pipeline.monitoring.joint import CalibrationBin, JointTable, calibration
from retrain_pipeline.monitoring.kept import read_summary
from retrain_pipeline.monitoring.performance import LONG_PERIODS, estimate
from retrain_pipeline.monitoring.plots import GuessPoint, LossPoint, loss_plot
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
    threshold: the champion's validated loss; effect: half the 95 % interval), `latency_ms_mean`, `latency_ms_p95`,
    `unseen`, `missing`, `out_of_range`.
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
    loss, half, n = _period_loss(lake, spec, period)
    records.append(("loss", None, loss, p.validated, n, half, None, "mean loss of the labels that became known"))
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


def _period_loss(lake: Lake, spec: ModelSpec, period: str) -> tuple[float | None, float | None, int]:
    """Return mean loss, half its 95 % interval (None: too few blocks to tell) and number of the labels of a period."""
    import math

    from scipy.stats import t

    stored = lake.partitions(spec.name, "feedback").get(period)
    if stored is None or not stored.rows:
        return None, None, 0
    frame = lake.read(spec.name, "feedback", periods=[period], columns=["loss", "_event_time"])
    times = frame["_event_time"].dt.tz_localize(None).to_numpy()
    found = estimate(frame["loss"].to_numpy(), times, spec.gates.block_hours)
    # the standard error allows for dependence already; to cut the degrees of freedom too widens some weeks fivefold
    half = float(t.isf(0.025, max(found.blocks - 1, 1))) * found.se
    return found.mean, half if math.isfinite(half) else None, found.n


def stored_loss_plot(stores: Stores, spec: ModelSpec, end: datetime, joint: JointTable | None) -> str | None:
    """Store the picture of losses up to a moment and return its digest; None while no loss is known.

    Parameters
    ----------
    joint
        Labels and answers of the period that ends then, for the calibration of a binary model.
    """
    calendar = spec.data.time.calendar()
    periods = [p for p in stores.lake.periods(spec.name, "monitoring") if calendar.bounds(p)[1] <= end]
    periods = periods[-PLOTTED_PERIODS:]
    columns = ["part", "column", "statistic", "threshold", "effect", "_period", "_event_time"]
    rows = stores.lake.read(spec.name, "monitoring", periods=periods, columns=columns)
    rows = rows[rows["statistic"].notna()]
    losses = [
        LossPoint(start.to_pydatetime(), loss, _or_none(half), _or_none(promised))
        for start, loss, half, promised in rows.loc[
            rows["part"] == "loss", ["_event_time", "statistic", "effect", "threshold"]
        ].itertuples(index=False, name=None)
    ]
    if not losses:
        return None
    guesses = _guesses(rows)
    first = min([losses[0].start, *(one.start for one in guesses[:1])])
    released = [as_utc(datetime.fromisoformat(e.payload["as_of"])) for e in _releases(stores, spec)]
    picture = loss_plot(
        losses,
        [moment for moment in released if first <= moment <= end],
        f"{spec.name}: loss ({spec.problem.success.metric}, a row's) until {end:%Y-%m-%d}",
        guesses=guesses,
        bins=_calibration(stores, spec, periods, joint),
    )
    return stores.artifacts.put(picture)


def _guesses(rows: "pd.DataFrame") -> list[GuessPoint]:
    """Return each estimate without labels beside what came true of its period, as it was known last."""
    came = rows[rows["part"] == "reconciled"].drop_duplicates("column", keep="last")
    realized = {str(period): float(loss) for period, loss in zip(came["column"], came["statistic"], strict=True)}
    told = rows[(rows["part"] == "estimated_loss") & rows["effect"].notna()]
    columns = ["_event_time", "statistic", "effect", "_period"]
    return [
        GuessPoint(start.to_pydatetime(), guess, half, realized.get(period))
        for start, guess, half, period in told[columns].itertuples(index=False, name=None)
    ]


def _calibration(
    stores: Stores, spec: ModelSpec, periods: Sequence[str], joint: JointTable | None
) -> list[CalibrationBin]:
    """Return the bins of a binary champion's newest four periods with labels; none where labels are no 0 and 1."""
    if spec.data.label.task != "binary" or joint is None:
        return []
    for period in reversed(periods[-LONG_PERIODS:-1]):
        try:
            earlier = read_summary(stores, spec.name, period).joint
        except SummaryMissing:
            break
        if earlier is None or earlier.cuts != joint.cuts:  # another champion's
            break
        joint = joint.merge(earlier)
    if {label for _, _, label in joint.cells} - {"0", "1"}:
        return []
    return list(calibration(joint, "1").values())


def _or_none(value: float) -> float | None:
    return None if value != value else float(value)


def _releases(stores: Stores, spec: ModelSpec) -> list[Any]:
    return stores.ledger.entries(model=spec.name, action="released", limit=PLOTTED_PERIODS, newest_first=True)
