"""Why a period is as it was found: labels that come late, the rows that are labelled, and one diagnosis of it all."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.monitoring.arrivals import suspect_delivery
from retrain_pipeline.monitoring.champion import Champion
from retrain_pipeline.monitoring.diagnosis import Diagnosis, Evidence, diagnose
from retrain_pipeline.monitoring.drift import Drift
from retrain_pipeline.monitoring.evidence import Measured, Scored, measure
from retrain_pipeline.monitoring.late import Late, known_rows, late_labels
from retrain_pipeline.monitoring.performance import Performance, window_starts
from retrain_pipeline.monitoring.summaries import CategoryProfile, ColumnProfile
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger

_ATTEMPTS = 10
VANISHED = 0.1


@dataclass(frozen=True)
class Explained:
    """What was found out about the reasons. `late` and `measured` are None before the first release."""

    diagnosis: Diagnosis
    evidence: Evidence
    late: Late | None = None
    measured: Measured | None = None

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "cause": self.diagnosis.cause.value,
            "reasons": list(self.diagnosis.reasons),
            "evidence": asdict(self.evidence),
            "late": self.late.to_json() if self.late else None,
            "measured": asdict(self.measured) if self.measured else None,
        }


@dataclass(frozen=True)
class Seen:
    """What was found of a period before reasons are asked for. `before`, `now`: profiles of its columns."""

    performance: Performance
    drift: Drift
    prediction_drift: Drift
    before: Mapping[str, ColumnProfile]
    now: Mapping[str, ColumnProfile]


def explain(
    stores: Stores, spec: ModelSpec, champion: Champion | None, seen: Seen, period: str, end: datetime
) -> Explained:
    """Return what explains a period as of its end.

    Raises
    ------
    VersionNotLoadable, TableMissing, RowsOverlap
        When the champion, or the rows that it was judged on, cannot be read, or are others: that is no finding about
        the period.
    """
    late = measured = suspect = None
    if champion is not None:
        known: list[Scored | None] = []

        def rows() -> Scored | None:  # read at most once, and only if somebody asks
            if not known:
                known.append(known_rows(stores, spec, champion, end))
            return known[0]

        late = late_labels(stores, spec, champion, period, end, rows)
        measured = _measured(spec, champion, seen, rows)
        suspect = suspect_delivery(stores, spec, end)
    evidence = _evidence(stores.ledger, spec, champion, seen, late, measured)
    evidence = replace(evidence, labels_turned=evidence.labels_turned or suspect)
    return Explained(diagnose(evidence), evidence, late, measured)


def _measured(spec: ModelSpec, champion: Champion, seen: Seen, known: Callable[[], Scored | None]) -> Measured | None:
    """Measure the newest four periods of labelled rows against those before; None while there are none of either."""
    import numpy as np

    if seen.performance.verdict is Verdict.INCONCLUSIVE or champion.validated is None:
        return None
    rows = known()
    if rows is None:
        return None
    newest = rows.event_time.max().astype("datetime64[us]").item().replace(tzinfo=UTC)
    long = window_starts(newest, spec.data.time.calendar(), spec.gates.block_hours)[0]
    cut = int(np.searchsorted(rows.event_time, np.datetime64(max(long, champion.as_of).replace(tzinfo=None), "us")))
    before: Scored = rows.part(0, cut)
    return measure(
        spec.data.label.task,
        spec.problem.success.metric,
        before,
        rows.part(cut),
        validated=champion.validated,
        block_hours=spec.gates.block_hours,
        seed=spec.training.seed,
        explain=seen.performance.verdict is Verdict.FAIL,
    )


def _evidence(
    ledger: "Ledger", spec: ModelSpec, champion: Champion | None, seen: Seen, late: Late | None, told: Measured | None
) -> Evidence:
    told = told or Measured()
    validated = champion.validated if champion else None
    gaps = {
        name: _missing(column) - _missing(seen.before[name])
        for name, column in sorted(seen.now.items())
        if name in seen.before
    }
    # Other values than the declared ones are refused on the way in: a declared one that is new is a new season.
    agreed = {name for name, column in spec.data.columns.items() if column.values}
    swapped = {name: share for name, share in recoded(seen.before, seen.now).items() if name not in agreed}
    poisoned = told.poisoning.words if told.poisoning and told.poisoning.verdict is Verdict.FAIL else None
    return Evidence(
        performance=seen.performance.verdict,
        drift=seen.drift.verdict,
        prediction_drift=seen.prediction_drift.verdict,
        drifted=seen.drift.columns,
        missing_rise=max(gaps.items(), key=lambda one: one[1], default=None),
        recoded=max(swapped.items(), key=lambda one: one[1], default=None),
        labels_expected=late.expected if late else None,
        labels_known=late.known if late else None,
        labels_turned=told.labels_turned,
        labels_moved=told.labels_moved,
        poisoned=poisoned,
        marked=bool(told.poisoning and told.poisoning.triggers),
        loss=told.loss if told.loss is not None else seen.performance.mean,
        explained_up_to=told.explained.high if told.explained else None,
        repaired_loss=told.repaired_loss,
        validated_up_to=validated.mean + 2 * validated.se if validated else None,
        slope=told.slope,
        intercept=told.intercept,
        retrains_without_gain=_without_gain(ledger, spec),
    )


def recoded(before: Mapping[str, ColumnProfile], now: Mapping[str, ColumnProfile]) -> dict[str, float]:
    """Return, per category column where there are any, the share of rows with new levels in place of vanished ones.

    A level of the reference has vanished when it has under a tenth of its share there; what new levels have beyond
    the shares of those is growth, and no recoding.
    """
    shares = {}
    for name, column in sorted(now.items()):
        past = before.get(name)
        if not isinstance(column, CategoryProfile) or not isinstance(past, CategoryProfile) or past.other:
            continue
        pairs = zip(past.counts, column.counts, strict=True)
        was = [(_share(a, past.count), _share(b, column.count)) for a, b in pairs]
        gone = sum(a for a, b in was if b < a * VANISHED)
        if share := min(gone, _share(column.other, column.count)):
            shares[name] = share
    return shares


def _missing(column: ColumnProfile) -> float:
    return _share(column.nulls, column.count + column.nulls)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _without_gain(ledger: "Ledger", spec: ModelSpec) -> int:
    """Return how many candidates were rejected since one was released."""
    released = ledger.latest(spec.name, "released")
    rejected = ledger.entries(model=spec.name, action="rejected", limit=_ATTEMPTS, newest_first=True)
    return sum(1 for one in rejected if released is None or one.seq > released.seq)
