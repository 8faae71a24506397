"""Declared bounds on signals: what breaks one that held before, or that holds beside it, goes back."""

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.monitoring.signal_table import observed_signals
from retrain_pipeline.release.arms import Arm, arms_of, rows_of
from retrain_pipeline.release.look import GUARDRAIL
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.release.router import Routing
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.spec.rollout import Guardrail
    from retrain_pipeline.stores import Stores

ENOUGH_ENTITIES = 30
"""Of fewer in an arm nothing is said by arm."""


@dataclass(frozen=True)
class CanaryLook:
    """A look at a canary whose stage began at `since`: the period that ends at `as_of`."""

    period: str
    since: datetime
    as_of: datetime
    longest: int
    """Looks that it may have in all."""
    split_holds: bool
    """Entities are in the arms that the router gives them, in the declared numbers."""


def guardrail_results(
    stores: "Stores", spec: "ModelSpec", period: str, changed_at: datetime, as_of: datetime
) -> list[GateResult]:
    """Judge each declared guardrail in a period, against the newest period before a change.

    FAIL: beyond its bound, and within it before the change. A signal that was beyond before is not the change's doing:
    INCONCLUSIVE, as is one that was not observed. What was imputed is not observed.

    Parameters
    ----------
    changed_at
        Start of the first period after the change.
    """
    calendar = spec.data.time.calendar()
    if not spec.rollout.guardrails:
        return []
    before = calendar.key(calendar.shift(calendar.floor(changed_at), -1))
    now, then = (observed_signals(stores.lake, spec, one, as_of) for one in (period, before))
    results = []
    for name, bound in sorted(spec.rollout.guardrails.items()):
        results.append(_judged(name, bound, now.get(name), then.get(name)))
    return results


def _judged(name: str, bound: "Guardrail", now: float | None, then: float | None) -> GateResult:
    gate = f"{GUARDRAIL}{name}"
    if now is None:
        return GateResult(gate=gate, verdict=Verdict.INCONCLUSIVE, words=f"{name} was not observed")
    excess = beyond(bound, now)
    before = "not observed" if then is None else f"{then:.4g}"
    words = f"{name} is {now:.4g}, {_bounds(bound)}; before the change it was {before}"
    if excess <= 0:
        verdict = Verdict.PASS
    else:
        verdict = Verdict.INCONCLUSIVE if then is not None and beyond(bound, then) > 0 else Verdict.FAIL
    return GateResult(gate=gate, verdict=verdict, statistic=excess, threshold=0.0, words=words)


def canary_results(
    stores: "Stores", spec: "ModelSpec", routing: "Routing", look: "CanaryLook", root: Path
) -> list[GateResult]:
    """Judge each declared guardrail in a canary: against its control where a signal is told by entity, else by time.

    The whole stage so far is compared. FAIL: beyond its bound where the canary serves, and shown to be worse there than
    in the control. INCONCLUSIVE: beyond, and not shown. A signal that names no entity, a split that is off and an arm
    of few entities leave what `guardrail_results` says of the whole service.
    """
    results = guardrail_results(stores, spec, look.period, look.since, look.as_of)
    if not look.split_holds:
        return results
    alpha = spec.gates.alpha / (look.longest * max(len(results), 1))
    found = []
    for result in results:
        name = result.gate.removeprefix(GUARDRAIL)
        told = rows_of(stores, spec, name, look.since, look.as_of, root)
        arms = arms_of(told, routing) if told is not None else None
        few = arms is None or min(arms[0].entities, arms[1].entities) < ENOUGH_ENTITIES
        found.append(result if few or arms is None else compared(name, spec.rollout.guardrails[name], *arms, alpha))
    return found


def compared(name: str, bound: "Guardrail", canary: Arm, control: Arm, alpha: float) -> GateResult:
    """Judge a signal in the canary against the control, by Student's t on entities.

    Parameters
    ----------
    alpha
        P(shown worse | no worse) of this guardrail at this look, one-sided: the declared alpha, shared out over all
        looks and guardrails of the trial (Bonferroni).
    """
    from scipy import stats

    apart = canary.value - control.value
    wide = float(stats.t.isf(alpha, min(canary.entities, control.entities) - 1))
    half = wide * math.hypot(canary.se, control.se)
    over = bound.at_most is not None and canary.value > bound.at_most
    shown = apart - half > 0 if over else apart + half < 0
    excess = beyond(bound, canary.value)
    words = (
        f"{name} is {canary.value:.4g} where the canary serves and {control.value:.4g} in its control "
        f"({canary.entities} and {control.entities} entities since the stage began), {_bounds(bound)}; canary minus "
        f"control {apart:.4g} [{apart - half:.4g}, {apart + half:.4g}], bounds for every look that it may have"
    )
    return GateResult(
        gate=f"{GUARDRAIL}{name}",
        verdict=Verdict.PASS if excess <= 0 else Verdict.FAIL if shown else Verdict.INCONCLUSIVE,
        statistic=excess,
        threshold=max(beyond(bound, control.value), 0.0),
        n=canary.entities + control.entities,
        interval=(apart - half, apart + half),
        words=words,
    )


def beyond(bound: "Guardrail", value: float) -> float:
    """Return by how much a value is beyond its bound; at most 0 within it."""
    over = [value - bound.at_most] if bound.at_most is not None else []
    under = [bound.at_least - value] if bound.at_least is not None else []
    return max([*over, *under])


def _bounds(bound: "Guardrail") -> str:
    parts = [f"at most {bound.at_most:g}"] if bound.at_most is not None else []
    parts += [f"at least {bound.at_least:g}"] if bound.at_least is not None else []
    return f"declared {' and '.join(parts)}"
