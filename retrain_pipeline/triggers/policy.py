"""When to ask for a retrain: a pure function of facts on record, which says what it looked at either way.

The declared policy (`policies.py`) is asked first. Until it has labelled periods of the champion to look at, a risen
loss asks, and drift of inputs, once labels of what changed are known that no retrain has learned from. The maximum age
asks whatever the policy.

It is edge-triggered: what asks is one monitored period, and a period that was answered never asks again. It is bounded
by one retrain in flight, a cool-down between the data of two retrains, an attempt cap for crashes, a minimum of new
labels, and budgets over the model's periods and over the fleet's day. It halts while a person says so, or while labels
or columns of the newest period look wrong: a retrain would learn the fault.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from retrain_pipeline.spec.model import Trigger
from retrain_pipeline.triggers.course import Course, Policy
from retrain_pipeline.triggers.policies import Never, Periodic, policy_named
from retrain_pipeline.verdicts import Verdict

Action = Literal["retrain", "wait"]
Stance = Literal["continue", "adjust", "halt"]
"""Serve on; retrain; or serve on and let nothing be learned until somebody has looked."""
Kind = Literal["first_model", "policy", "performance", "drift", "max_age", "manual"]
Mode = Literal["first", "non_inferiority", "superiority"]
Outcome = Literal[
    "released", "staged", "rejected", "superseded", "retrain_failed", "awaiting_approval", "died", "running"
]

ANSWERED = frozenset({"released", "staged", "rejected", "superseded", "awaiting_approval"})
"""Outcomes of a retrain that came to an end by judgement; the others are crashes."""
_NEVER = datetime.min.replace(tzinfo=UTC)
# Where something was wrong, a refresh that is no worse will do; where nothing was, the candidate must be better.
_MODES: dict[Kind, Mode] = {
    "first_model": "first",
    "policy": "non_inferiority",
    "performance": "non_inferiority",
    "drift": "non_inferiority",
    "max_age": "superiority",
    "manual": "superiority",
}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One monitored period, as the ledger has it."""

    seq: int
    period: str
    as_of: datetime
    champion: str | None
    performance: Verdict
    performance_words: str
    drift: Verdict
    drift_words: str
    labelled_periods: int
    new_labels: int
    learnable: datetime | None = None
    """Since when labels are known of the periods that drifted, of the unbroken run of them up to this one."""
    doubts: tuple[str, ...] = ()
    """Why nothing should be learned from what is known: faults of labels, columns or signals."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One retrain that was started. `periods_ago` counts from its `as_of` to that of the evidence."""

    run_id: str
    trigger_id: str
    kind: str
    attempt: int
    as_of: datetime
    outcome: Outcome
    periods_ago: int


@dataclass(frozen=True)
class Fleet:
    """Retrains of all models that were started in the last 24 hours, and how many may be (None: any number)."""

    started: int = 0
    limit: int | None = None


_NEW, _UNBOUNDED = Course(age=0), Fleet()


@dataclass(frozen=True, kw_only=True)
class TriggerState:
    """Everything that the decision depends on. `attempts`: the newest first."""

    model: str
    trigger: Trigger
    min_periods: int
    champion: str | None = None
    champion_as_of: datetime | None = None
    champion_age_periods: int | None = None
    """Periods from the champion's `as_of` to that of the evidence."""
    evidence: Evidence | None = None
    attempts: tuple[Attempt, ...] = ()
    in_flight: bool = False
    on_trial: str | None = None
    """A version that was staged and has not proved itself yet."""
    course: Course = _NEW
    halted: tuple[str, ...] = ()
    """Reasons for which a person stopped the retraining of this model."""
    overruled: bool = False
    """A person has looked at the doubts of this evidence and lets the retraining go on."""
    fleet: Fleet = _UNBOUNDED
    cost: float | None = None
    """What a retrain costs now; None: as declared."""


@dataclass(frozen=True, kw_only=True)
class TriggerDecision:
    """To retrain or to wait. `reasons`: what was looked at, with numbers; the other fields are of a retrain only."""

    action: Action
    reasons: tuple[str, ...]
    stance: Stance = "continue"
    kind: Kind = "manual"
    trigger_id: str = ""
    attempt: int = 0
    as_of: datetime = _NEVER
    mode: Mode = "superiority"


def decide(state: TriggerState) -> TriggerDecision:
    """Return whether to retrain now, and why or why not. Pure: the same facts give the same decision."""
    seen = _seen(state)
    evidence = state.evidence
    if evidence is None:
        return _wait(seen, "nothing was monitored yet")
    if (halted := _halted(state, evidence)) is not None:
        return replace(_wait(seen, halted), stance="halt")
    if state.in_flight:
        return _wait(seen, "a retrain is in flight")
    if state.on_trial is not None:
        return _wait(seen, f"{state.on_trial} is on trial: its rollout decides first")
    if state.champion_age_periods is not None and state.champion_age_periods <= 0:
        return _wait(seen, f"{state.champion} knows the data up to {_iso(state.champion_as_of)} already")
    kind, why = _asks(state, evidence)
    if kind is None:
        return _wait(seen, why)
    tried = [one for one in state.attempts if one.as_of == evidence.as_of and one.kind != "manual"]
    if (bound := _bound(state, evidence, kind, tried)) is not None:
        return _wait(seen, why, bound)
    attempt = len(tried) + 1
    again = f"attempt {attempt} of {state.trigger.max_attempts}"
    return TriggerDecision(
        action="retrain",
        reasons=(*seen, why, again),
        stance="adjust",
        kind=kind,
        trigger_id=f"{kind}-{evidence.as_of:%Y%m%dt%H}",
        attempt=attempt,
        as_of=evidence.as_of,
        mode="superiority" if kind == "policy" and isinstance(_policy(state), Periodic) else _MODES[kind],
    )


def _halted(state: TriggerState, evidence: Evidence) -> str | None:
    """Return why nothing may be learned now, or None."""
    if state.halted:
        return f"retraining is halted: {'; '.join(state.halted)}"
    if evidence.doubts and not state.overruled:
        return f"retraining halts, it would learn a fault: {'; '.join(evidence.doubts)}"
    return None


def _policy(state: TriggerState) -> Policy:
    return policy_named(state.trigger.policy, state.trigger.retrain_cost if state.cost is None else state.cost)


def _wait(seen: tuple[str, ...], *reasons: str) -> TriggerDecision:
    return TriggerDecision(action="wait", reasons=(*seen, *reasons))


def _iso(moment: datetime | None) -> str:
    return "nothing" if moment is None else moment.isoformat(timespec="minutes")


def _seen(state: TriggerState) -> tuple[str, ...]:
    champion = (
        f"champion {state.champion} (data up to {_iso(state.champion_as_of)})" if state.champion else "no champion"
    )
    if (one := state.evidence) is None:
        return (champion,)
    return (
        f"monitored {one.period} as of {_iso(one.as_of)}",
        champion,
        f"performance {one.performance}: {one.performance_words}",
        f"drift {one.drift}: {one.drift_words}",
    )


def _asks(state: TriggerState, evidence: Evidence) -> tuple[Kind | None, str]:
    """Return what asks for a retrain, if anything, and in words what was compared."""
    if state.champion is None:
        enough = evidence.labelled_periods >= state.min_periods
        words = f"{evidence.labelled_periods} labelled periods, training.min_periods is {state.min_periods}"
        return ("first_model", words) if enough else (None, words)
    if evidence.champion != state.champion:
        return None, f"the period was monitored against {evidence.champion or 'no champion'}: the next one will tell"
    kind, words = _told(state, evidence)
    if kind is not None:
        return kind, words
    age, limit = _age(state), state.trigger.max_age_periods
    if age >= limit:
        return "max_age", f"{age} periods since a model was last judged on new data, trigger.max_age_periods is {limit}"
    return None, f"{words}; age {age} of {limit} periods"


def _told(state: TriggerState, evidence: Evidence) -> tuple[Kind | None, str]:
    """Return what the policy says; what detectors say while it has nothing to look at yet."""
    policy = _policy(state)
    if isinstance(policy, Never | Periodic) or state.course.champion:
        opinion = policy.look(replace(state.course, age=_age(state)))
        words = f"policy {state.trigger.policy}: {'; '.join(opinion.reasons)}"
        return ("policy" if opinion.retrain else None), words
    if evidence.performance is Verdict.FAIL:
        return "performance", "the champion's loss has risen"
    if evidence.drift is not Verdict.FAIL:
        return None, "nothing asks"
    if evidence.performance is not Verdict.INCONCLUSIVE:
        return None, "nothing asks; drift alone does not ask while the loss is known"
    return _drifted(state, evidence.learnable)


def _drifted(state: TriggerState, learnable: datetime | None) -> tuple[Kind | None, str]:
    """Return whether drift asks: a retrain that learns nothing of what changed only begins another wait for labels."""
    if learnable is None:
        return None, "inputs drifted, and no label of what changed is known yet: a retrain would learn nothing of it"
    if any(one.as_of >= learnable and one.outcome in ANSWERED for one in state.attempts):
        return None, "inputs drifted, and a retrain has learned of it: its labels will tell whether that was enough"
    return "drift", "inputs drifted and too few labels are known to tell whether it matters"


def _age(state: TriggerState) -> int:
    """Periods since the champion's data ended, or since a candidate was judged and the champion kept its place."""
    judged = [one.periods_ago for one in state.attempts if one.outcome in ANSWERED and one.periods_ago >= 0]
    return min([state.champion_age_periods or 0, *judged])


def _bound(state: TriggerState, evidence: Evidence, kind: Kind, tried: list[Attempt]) -> str | None:
    """Return which bound forbids a retrain on this evidence, or None."""
    bounds = state.trigger
    answered = next((one for one in tried if one.outcome in ANSWERED), None)
    if answered is not None:
        return f"this period asked already: {answered.trigger_id} was {answered.outcome}"
    if len(tried) >= bounds.max_attempts:
        last = f"the last one {tried[0].outcome}"
        return f"{len(tried)} attempts on this period failed ({last}), trigger.max_attempts is {bounds.max_attempts}"
    since = min((one.periods_ago for one in state.attempts), default=None)
    # Another attempt at the same period is no new retrain; one that is older than the last retrain never is asked for.
    if since is not None and (since < 0 or (not tried and since < bounds.cooldown_periods)):
        limit = f"trigger.cooldown_periods is {bounds.cooldown_periods}"
        return f"cool-down: {since} periods since the data of the last retrain, {limit}"
    if not tried and (spent := _spent(state)) is not None:
        return spent
    if kind != "first_model" and evidence.new_labels < bounds.min_new_labels:
        return f"{evidence.new_labels} new labels since the champion, trigger.min_new_labels is {bounds.min_new_labels}"
    return None


def _spent(state: TriggerState) -> str | None:
    """Return which budget is spent, or None."""
    budget = state.trigger.budget
    if budget is not None:
        lately = sum(0 <= one.periods_ago < budget.periods for one in state.attempts)
        if lately >= budget.retrains:
            allowed = f"trigger.budget allows {budget.retrains}"
            return f"{lately} retrains in the last {budget.periods} periods, {allowed}"
    fleet = state.fleet
    if fleet.limit is not None and fleet.started >= fleet.limit:
        return f"{fleet.started} retrains of all models in the last day, the fleet's budget is {fleet.limit}"
    return None
