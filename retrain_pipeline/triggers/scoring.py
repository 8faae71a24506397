"""Was the retrain worth it? Asked later, on rows that came after, of the model that it replaced.

The replaced champion answers in the shadow, on the rows that the new one served: both are loaded as they were
registered and scored on the same later rows, as their labels mature. What the new one saved, summed over the periods
that it served, is set against the cost of a retrain. A rejected candidate is scored beside the champion that stayed.

A score is entered once for 1, 2, 4, 8, … mature periods and once at the end of the reign, so that looking again and
again costs no more than twice looking once. Each interval holds for its own look; the last is the one to go by.
"""

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import sha256
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.periods import as_utc
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores
from retrain_pipeline.triggers.cost import retrain_cost
from retrain_pipeline.triggers.judged import Judged, judged_retrains
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


SCORED = "retrain_scored"
MAX_PERIODS = 64
"""Later periods are not looked at: two models that old say nothing of the decision."""
MAX_ROWS = 20_000
"""Rows of all periods together; of more a sample is drawn, as many from each period."""
MIN_ROWS = 50


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a retrain saved over the periods since, in the unit of `trigger.retrain_cost`, with one-sided bounds.

    Released: PASS is worth its cost, FAIL is not. Rejected: PASS is rightly, FAIL wrongly. INCONCLUSIVE: too few
    labels, or within noise.
    """

    judged: Judged
    verdict: Verdict
    words: str
    periods: int
    final: bool
    cost: float
    rows: int = 0
    saved: float | None = None
    low: float | None = None
    high: float | None = None
    se: float | None = None
    by_period: tuple[tuple[str, int, float], ...] = ()
    """Period, rows, and what was saved in it."""


def score_retrains(stores: Stores, spec: ModelSpec, as_of: datetime) -> list[Score]:
    """Score the retrains for which enough has matured since they were scored last, and enter what was found.

    Only rows and labels known by `as_of` are looked at. Doing it again enters nothing.
    """
    known = stores.ledger.entries(model=spec.name, action=SCORED)
    entered = {(entry.payload["judged"], entry.payload["periods"], entry.payload["final"]) for entry in known}
    closed = {entry.payload["judged"] for entry in known if entry.payload["final"]}
    found = []
    for judged in judged_retrains(stores.ledger, spec.name):
        if judged.seq in closed:
            continue
        periods, final = _due(spec, judged, as_utc(as_of))
        if (not periods and not final) or (judged.seq, len(periods), final) in entered:
            continue
        found.append(_score(stores, spec, judged, periods, final, as_utc(as_of)))
        _enter(stores, spec, found[-1])
    return found


def _due(spec: ModelSpec, judged: Judged, as_of: datetime) -> tuple[list[str], bool]:
    """Return the periods to score now, and whether there will be no more."""
    calendar, delay = spec.data.time.calendar(), timedelta(hours=spec.data.label.delay_hours)
    until = judged.until or as_of
    served = calendar.keys_between(judged.as_of, min(until, calendar.shift(judged.as_of, MAX_PERIODS)))
    mature = [period for period in served if calendar.bounds(period)[1] + delay <= as_of]
    over = len(served) == MAX_PERIODS or (judged.until is not None and judged.until <= as_of)
    if over and len(mature) == len(served):
        return mature, True
    return mature[: 1 << (len(mature).bit_length() - 1)] if mature else [], False


def _score(stores: Stores, spec: ModelSpec, judged: Judged, periods: list[str], final: bool, as_of: datetime) -> Score:
    empty = Score(
        judged=judged,
        verdict=Verdict.INCONCLUSIVE,
        words=f"{judged.version} served no period",
        periods=len(periods),
        final=final,
        cost=retrain_cost(stores.ledger, spec),
    )
    try:
        rows = [found for period in periods if len(found := _labelled(stores, spec, period, as_of, len(periods)))]
        count = sum(map(len, rows))
        if count < MIN_ROWS:
            few = f"too few labels: {count} of {len(periods)} periods, at least {MIN_ROWS} are needed"
            return replace(empty, words=few, rows=count) if periods else empty
        return _compared(spec, empty, rows, _saved(stores, spec, judged, rows))
    except PermanentError as error:  # a version or a column that is gone: nothing can be said, and monitoring goes on
        return replace(empty, words=f"cannot be scored: {error}"[:1000])


def _labelled(stores: Stores, spec: ModelSpec, period: str, as_of: datetime, periods: int) -> "pd.DataFrame":
    """Return the features of a period with the labels that were known, or an even part of `MAX_ROWS` of them."""
    from retrain_pipeline.learning.labels import join_labels

    calendar, lake = spec.data.time.calendar(), stores.lake
    start, end = calendar.bounds(period)
    until = min(end + timedelta(hours=spec.data.label.delay_hours), as_of)
    features = lake.read(spec.name, "features", periods=[period], known_by=as_of)
    # A label lies in the partition of the period in which it became known; that of the moment itself is one more.
    partitions = calendar.keys_between(start, calendar.shift(calendar.floor(until), 1))
    marks = lake.read(spec.name, "labels", periods=partitions, known_by=as_of)
    if features.empty or marks.empty:
        return features.iloc[:0]
    rows = join_labels(features, marks, spec.data.key)
    cap = max(MAX_ROWS // periods, 1)
    if len(rows) <= cap:
        return rows
    seed = int(sha256(f"{spec.name}:{period}".encode())[:8], 16)
    return rows.sample(cap, random_state=seed).sort_index()


def _saved(stores: Stores, spec: ModelSpec, judged: Judged, rows: "list[pd.DataFrame]") -> "list[NDArray[np.float64]]":
    """Return, per period, the loss of the old model less that of the new one on each row, in the unit of the cost."""
    import numpy as np

    from retrain_pipeline.learning.labels import encode_labels
    from retrain_pipeline.learning.losses import row_losses, scale_of
    from retrain_pipeline.learning.versions import load_version

    metric, task = spec.problem.success.metric, spec.data.label.task
    old, new = (load_version(stores, spec.name, name) for name in (judged.against, judged.version))
    found = []
    truths = [encode_labels(part["label"], task) for part in rows]
    scale = scale_of(metric, np.concatenate(truths))
    for part, truth in zip(rows, truths, strict=True):
        sides = [row_losses(metric, task, truth, one.predict(part).frame) for one in (old, new)]
        found.append((sides[0] - sides[1]) / scale)
    return found


def _compared(spec: ModelSpec, empty: Score, rows: "list[pd.DataFrame]", saved: "list[NDArray[np.float64]]") -> Score:
    """Return the score of differences: a period counts once, however many rows it has."""
    import numpy as np
    import pandas as pd

    from retrain_pipeline.learning.paired import block_mean_interval

    count, periods = sum(map(len, saved)), len(saved)
    weighed = np.concatenate([one * (count / len(one)) for one in saved])  # its mean is the sum of the periods' means
    moments = pd.concat([part["_event_time"] for part in rows])
    seed = int(sha256(f"{empty.judged.version}:{empty.judged.against}".encode())[:8], 16)
    found = block_mean_interval(weighed, moments, block_hours=spec.gates.block_hours, alpha=spec.gates.alpha, seed=seed)
    names = [spec.data.time.calendar().key(part["_event_time"].iloc[0]) for part in rows]
    known = replace(
        empty,
        rows=count,
        saved=found.mean,
        by_period=tuple((name, len(one), float(one.mean())) for name, one in zip(names, saved, strict=True)),
    )
    if not found.enough:
        words = (
            f"saved {found.mean:.4g} over {periods} periods, in {found.blocks} blocks of time: too few labels to tell"
        )
        return replace(known, words=words)
    known = replace(known, low=found.low, high=found.high, se=found.se)
    return replace(known, **_verdict(known))


def _verdict(score: Score) -> dict[str, Any]:
    low, high = score.low or 0.0, score.high or 0.0
    over = f"{score.saved:.4g} [{low:.4g}, {high:.4g}] over {len(score.by_period)} periods ({score.rows} rows)"
    if score.judged.outcome == "rejected":
        verdict, told = _of_three(0.0, low, high, Verdict.FAIL, Verdict.PASS)
        ends = {"above": "it was wrongly rejected", "below": "it was rightly rejected"}
        return {
            "verdict": verdict,
            "words": f"would have saved {over}: {ends.get(told, 'it makes no clear difference')}",
        }
    verdict, told = _of_three(score.cost, low, high, Verdict.PASS, Verdict.FAIL)
    ends = {"above": "it was worth it", "below": "it was not worth it"}
    words = f"saved {over} at a cost of {score.cost:g}: {ends.get(told, 'whether it was worth it is not clear')}"
    return {"verdict": verdict, "words": words}


def _of_three(line: float, low: float, high: float, above: Verdict, below: Verdict) -> tuple[Verdict, str]:
    if low > line:
        return above, "above"
    return (below, "below") if high < line else (Verdict.INCONCLUSIVE, "around")


def _enter(stores: Stores, spec: ModelSpec, score: Score) -> None:
    judged = score.judged
    evidence = stores.artifacts.put_json({"schema": "retrain_score/1", "model": spec.name, **_plain(score)})
    payload = {
        "judged": judged.seq,
        "version": judged.version,
        "against": judged.against,
        "outcome": judged.outcome,
        "verdict": score.verdict.value,
        "words": score.words[:1000],
        **{name: getattr(score, name) for name in ("periods", "final", "cost", "rows", "saved", "low", "high", "se")},
        "evidence": evidence,
    }
    stores.ledger.append(
        NewEntry(
            actor="monitoring",
            action=SCORED,
            model=spec.name,
            subject=judged.version,
            payload=payload,
            key=f"{SCORED}:{spec.name}:{judged.seq}:{score.periods}:{'final' if score.final else 'open'}",
        )
    )


def _plain(score: Score) -> dict[str, Any]:
    plain = asdict(score)
    for name in ("as_of", "until"):
        moment = plain["judged"][name]
        plain["judged"][name] = moment.isoformat() if moment else None
    plain["judged"]["reasons"] = list(score.judged.reasons)
    names = ("period", "rows", "saved")
    return plain | {
        "verdict": score.verdict.value,
        "by_period": [dict(zip(names, one, strict=True)) for one in score.by_period],
    }
