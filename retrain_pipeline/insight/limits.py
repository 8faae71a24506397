"""What a version is known to do badly, read from what was measured, and what nobody measured.

Pure functions: the same measurements give the same words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.insight.measure import Measured, Unmeasured
from retrain_pipeline.monitoring.labelfree import BLIND
from retrain_pipeline.monitoring.staleness import Judged, Staleness

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger

MIN_SLICE_ROWS = 30
MOST = 3
"""Lines of each kind."""
_SHOWN_SHARE = 0.01


@dataclass(frozen=True)
class Served:
    """What monitoring has found of a version while it served, as of its newest period; None where nothing."""

    staleness: Staleness | None = None
    estimate: Mapping[str, Any] | None = None
    """Of the label-free estimate: method, how many were reconciled with labels, how many of them were inside."""


def served(ledger: "Ledger", model: str, version: str) -> Served:
    """Return what monitoring has found of a version so far."""
    for entry in ledger.entries(model=model, action="monitored", newest_first=True):
        told = entry.payload
        if told.get("champion") == version:
            course = told.get("staleness")
            return Served(Staleness.from_json(course) if course else None, told.get("estimated_loss"))
    return Served()


def limitations(measured: Measured | None, seen: Served) -> list[str]:
    """Return in words what the measurements and the service of a version say against it."""
    return [
        *(_slices(measured) if measured else ()),
        *(_harmful(measured) if measured else ()),
        *(_ranges(measured) if measured else ()),
        *_stale(seen.staleness),
        *_blind(seen.estimate),
    ]


def not_measured(measured: Measured | None, seen: Served) -> list[Unmeasured]:
    """Return what was not measured of a version, each with its reason."""
    found = [Unmeasured(what="importances, ablation and groups", why="no measurement of this version is on record")]
    found = list(measured.not_measured) if measured else found
    if seen.staleness is None or not seen.staleness.judged:
        trouble = seen.staleness.trouble if seen.staleness else None
        why = trouble or "no period since its release has its labels yet"
        found.append(Unmeasured(what="how it ages", why=why))
    if seen.estimate is None or not seen.estimate.get("reconciled"):
        why = "no estimate without labels was compared with the truth yet"
        found.append(Unmeasured(what="the error of its label-free estimates", why=why))
    return found


def _slices(measured: Measured) -> list[str]:
    """Return the slices whose loss is above that of all rows beyond noise, the worst first."""
    lines = [one for one in measured.groups if one.stage == "prediction" and one.rows >= MIN_SLICE_ROWS]
    worse = [one for one in lines if one.loss_low is not None and one.loss_low > measured.mean_loss]
    return [
        f"worst where {one.column} is {one.value}: mean row loss {one.loss:.4g} (at least {one.loss_low:.4g}) on "
        f"{one.rows} rows, {measured.mean_loss:.4g} on all {measured.rows}"
        for one in sorted(worse, key=lambda one: (-(one.loss or 0.0), one.column, one.value))[:MOST]
    ]


def _harmful(measured: Measured) -> list[str]:
    return [
        f"{'without ' if one.kind == 'without' else 'with '}{one.name} the refit loses less: {one.difference:+.4g} "
        f"[{one.low:.4g}, {one.high:.4g}]"
        for one in (*measured.ablation, *measured.sensitivity)
        if one.shown == "better" and one.kind != "seed"
    ][:MOST]


def _ranges(measured: Measured) -> list[str]:
    beyond = [one for one in measured.out_of_range if one.share >= _SHOWN_SHARE]
    named = ", ".join(f"{one.feature} in {one.share:.1%} of rows (known: {one.known})" for one in beyond[:MOST])
    others = f" and {len(beyond) - MOST} more" if len(beyond) > MOST else ""
    return [f"inputs beyond the training rows: {named}{others}"] if beyond else []


def _stale(course: Staleness | None) -> list[str]:
    if course is None or not course.judged:
        return []
    first, last = course.judged[0], course.judged[-1]
    lines = [f"{one.champion - one.fresh:+.3g} in {one.period}" for one in _ends(course.judged)]
    proven = sum(one.champion - one.fresh > 2 * one.se for one in course.judged)
    span = first.period if first is last else f"{first.period} to {last.period}"
    return [
        f"ages: against a model fitted right before each period it lost {', '.join(lines)} (share of the label's size "
        f"or rate; {span}); beyond noise in {proven} of {len(course.judged)} periods"
    ]


def _ends(judged: Sequence[Judged]) -> list[Judged]:
    """Return the first period, the worst and the newest, in order of time."""
    worst = max(range(len(judged)), key=lambda at: judged[at].champion - judged[at].fresh)
    return [judged[at] for at in sorted({0, worst, len(judged) - 1})]


def _blind(estimate: Mapping[str, Any] | None) -> list[str]:
    if not estimate or not estimate.get("reconciled"):
        return []
    told, inside = int(estimate["reconciled"]), int(estimate["inside"])
    return [
        f"while labels are due its loss is estimated without them, and {told - inside} of the {told} newest estimates "
        f"missed the truth by more than their 95 % interval ({BLIND})"
    ]
