"""Declared bounds on signals: within before a change and beyond after it, the change goes back."""

from datetime import datetime
from typing import TYPE_CHECKING

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.monitoring.signal_table import observed_signals
from retrain_pipeline.release.look import GUARDRAIL
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.spec.rollout import Guardrail
    from retrain_pipeline.stores import Stores


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


def beyond(bound: "Guardrail", value: float) -> float:
    """Return by how much a value is beyond its bound; at most 0 within it."""
    over = [value - bound.at_most] if bound.at_most is not None else []
    under = [bound.at_least - value] if bound.at_least is not None else []
    return max([*over, *under])


def _bounds(bound: "Guardrail") -> str:
    parts = [f"at most {bound.at_most:g}"] if bound.at_most is not None else []
    parts += [f"at least {bound.at_least:g}"] if bound.at_least is not None else []
    return f"declared {' and '.join(parts)}"
