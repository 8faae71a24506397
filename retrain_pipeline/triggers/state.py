"""The facts that the trigger decides on, read from the ledger alone: five questions, whatever its size."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.monitoring.diagnosis import FAULTS, Cause
from retrain_pipeline.monitoring.staleness import Staleness
from retrain_pipeline.periods import Calendar, as_utc
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.triggers.cost import retrain_cost
from retrain_pipeline.triggers.course import Course
from retrain_pipeline.triggers.halts import halts, overruled, standing_word
from retrain_pipeline.triggers.policy import Attempt, Evidence, Fleet, Outcome, TriggerDecision, TriggerState
from retrain_pipeline.triggers.retrain import TERMINAL
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.past import Asked

# Old periods may be monitored again after the newest one. A longer back-fill ends with waiting, which is safe.
_NEWEST_MONITORED = 16
# The cool-down and the attempt cap look at the last few; a rejected candidate counts as a judgement for max_age.
_NEWEST_STARTED = 16
PATIENCE = 4
"""Periods for which columns that look wrong halt the retraining; labels that do, halt it as long as they do."""
_UNBOUNDED = Fleet()


def read_state(ledger: "Asked", spec: ModelSpec, in_flight: bool, fleet: Fleet = _UNBOUNDED) -> TriggerState:
    """Return the state of a model's trigger.

    Parameters
    ----------
    in_flight
        Whether a retrain is queued or running; only the orchestrator knows. A retrain that was started, has no terminal
        entry and is not in flight has died: it counts as an attempt.
    fleet
        What all models together have used; see `halts.fleet_use`.
    """
    model = spec.name
    budget = spec.trigger.budget.retrains if spec.trigger.budget else 0
    starts = max(_NEWEST_STARTED, 2 * spec.trigger.max_attempts, budget)
    monitored = ledger.entries(model=model, action="monitored", limit=_NEWEST_MONITORED, newest_first=True)
    started = ledger.entries(model=model, action="retrain_started", limit=starts, newest_first=True)
    # Each has one end; a few more, since ends may come in another order than starts.
    ended = ledger.entries(model=model, action=TERMINAL, limit=starts + 8, newest_first=True)
    word = standing_word(ledger, model)
    deployment = ledger.deployment(model)
    calendar = spec.data.time.calendar()
    evidence = _evidence(monitored, calendar)
    champion_as_of = None if deployment is None else _moment(deployment.state["effective_as_of"])
    age = None
    if evidence is not None and champion_as_of is not None:
        age = calendar.periods_since(champion_as_of, evidence.as_of)
    return TriggerState(
        model=model,
        trigger=spec.trigger,
        min_periods=spec.training.min_periods,
        champion=None if deployment is None else str(deployment.state["champion"]),
        champion_as_of=champion_as_of,
        champion_age_periods=age,
        evidence=evidence,
        attempts=() if evidence is None else _attempts(started, ended, evidence.as_of, calendar, in_flight),
        in_flight=in_flight,
        on_trial=None if deployment is None else _on_trial(deployment.state),
        course=_course(monitored, evidence, age),
        halted=halts(word),
        overruled=evidence is not None and overruled(word, evidence.seq),
        fleet=fleet,
        cost=retrain_cost(ledger, spec),
    )


def run_key(model: str, decision: TriggerDecision) -> str:
    """Return the key by which an orchestrator asks for an attempt once, whatever happens to cursors and ticks."""
    return f"{model}:{decision.trigger_id}:{decision.attempt}"


def _on_trial(state: Mapping[str, Any]) -> str | None:
    challenger = state.get("challenger")
    return str(challenger["version"]) if challenger else None


def _moment(text: str) -> datetime:
    return as_utc(datetime.fromisoformat(text))


def _evidence(monitored: list[Entry], calendar: Calendar) -> Evidence | None:
    """Return the newest period; where it was monitored several times, what was found last."""
    if not monitored:
        return None
    entry = max(monitored, key=lambda one: (_moment(one.payload["as_of"]), one.seq))
    payload = entry.payload
    return Evidence(
        seq=entry.seq,
        period=payload["period"],
        as_of=_moment(payload["as_of"]),
        champion=payload["champion"],
        performance=Verdict(payload["performance"]["verdict"]),
        performance_words=payload["performance"].get("words", ""),
        drift=Verdict(payload["drift"]["verdict"]),
        drift_words=payload["drift"].get("words", ""),
        labelled_periods=payload["labelled_periods"],
        new_labels=payload["new_labels_since_champion"],
        learnable=_learnable(monitored, calendar),
        doubts=tuple(_doubts(payload, _lasts(monitored))),
    )


def _learnable(monitored: list[Entry], calendar: Calendar) -> datetime | None:
    """Return the `as_of` from which on labels were known of periods that drifted; of the run of them up to the newest.

    An entry of an older release does not tell how far its labels reach: they count as known.
    """
    newest = {_moment(one.payload["as_of"]): one.payload for one in sorted(monitored, key=lambda one: one.seq)}
    drifting = list(takewhile(lambda one: one[1]["drift"]["verdict"] == Verdict.FAIL, sorted(newest.items())[::-1]))
    if not drifting:
        return None
    began = calendar.shift(drifting[-1][0], -1)
    known = [moment for moment, one in drifting if "labelled_through" not in one or _reaches(one, began)]
    return min(known, default=None)


def _reaches(payload: Mapping[str, Any], moment: datetime) -> bool:
    through = payload["labelled_through"]
    return through is not None and _moment(through) > moment


def _doubts(payload: Mapping[str, Any], lasts: int) -> Iterator[str]:
    diagnosis = payload.get("diagnosis") or {}
    # Columns that stay as they are have become what the model is served: gates judge what was learned from them.
    if diagnosis.get("cause") in FAULTS and (diagnosis["cause"] != Cause.PIPELINE_FAULT or lasts <= PATIENCE):
        yield diagnosis["words"]
    yield from (payload.get("signals") or {}).get("halts", ())


def _lasts(monitored: list[Entry]) -> int:
    """Return for how many periods the newest diagnosis was the same."""
    causes = {
        _moment(one.payload["as_of"]): (one.payload.get("diagnosis") or {}).get("cause") for one in monitored[::-1]
    }
    newest = [cause for _, cause in sorted(causes.items(), reverse=True)]
    return next((count for count, cause in enumerate(newest) if cause != newest[0]), len(newest))


def _course(monitored: list[Entry], evidence: Evidence | None, age: int | None) -> Course:
    """Return the champion's course as the newest monitoring has it."""
    entry = next((one for one in monitored if evidence is not None and one.seq == evidence.seq), None)
    found = entry.payload.get("staleness") if entry else None
    if entry is None or not found or found["version"] != entry.payload["champion"]:
        return Course(age=age or 0)
    course, promised = Staleness.from_json(found), entry.payload["performance"].get("validated")
    return Course(
        age=age or 0,
        lag=max((age or 0) - len(course.judged), 0),
        champion=tuple(one.champion for one in course.judged),
        fresh=tuple(one.fresh for one in course.judged),
        noise=tuple(one.se for one in course.judged),
        past=course.past,
        validated=promised / course.scale if promised is not None and course.scale else None,
        risen=Verdict(entry.payload["performance"]["verdict"]),
    )


def _attempts(
    started: list[Entry], ended: list[Entry], now: datetime, calendar: Calendar, in_flight: bool
) -> tuple[Attempt, ...]:
    outcomes = {entry.run_id: entry.action for entry in ended}
    attempts = []
    for index, entry in enumerate(started):
        as_of = _moment(entry.payload["as_of"])
        attempts.append(
            Attempt(
                run_id=entry.run_id or "",
                trigger_id=entry.payload["trigger_id"],
                kind=entry.payload["kind"],
                attempt=entry.payload["attempt"],
                as_of=as_of,
                outcome=_outcome(outcomes.get(entry.run_id), running=in_flight and index == 0),
                periods_ago=calendar.periods_since(as_of, now),
            )
        )
    return tuple(attempts)


def _outcome(action: str | None, running: bool) -> Outcome:
    for known in ("released", "staged", "rejected", "superseded", "retrain_failed", "awaiting_approval"):
        if action == known:
            return known
    return "running" if running else "died"
