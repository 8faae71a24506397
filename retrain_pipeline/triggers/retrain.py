"""One retrain, from the moment it starts to its one terminal entry: what the steps of a run know about themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.ledger.entries import Entry, NewEntry
from retrain_pipeline.periods import as_utc
from retrain_pipeline.redaction import redacted
from retrain_pipeline.triggers.policy import Kind, Mode

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger

TERMINAL = ("released", "staged", "rejected", "retrain_failed", "superseded", "awaiting_approval")

Cause = Literal["error", "refused", "oom", "killed", "cancelled", "timeout", "no_verdict", "died"]
"""Why a retrain came to no verdict. ``oom``: out of memory, as the fit, its budget or the kernel said; ``killed``: by a
signal that left no say, and nothing shows that it was for memory; ``timeout``: the orchestrator gave it up;
``no_verdict``: the run went well and said nothing; ``died``: nobody knows."""


@dataclass(frozen=True)
class Ending:
    """How a run ended that gave its retrain no verdict."""

    cause: Cause
    words: str


DIED = Ending("died", "the run died without a verdict")


class NoRetrain(PermanentError):
    """A step of the model side that no retrain stands behind."""


@dataclass(frozen=True, kw_only=True)
class Retrain:
    """Who asked for a model, as of when, and on what terms it will be judged."""

    model: str
    run_id: str
    trigger_id: str
    kind: Kind
    attempt: int
    as_of: datetime
    mode: Mode
    reasons: tuple[str, ...] = ()
    """What was looked at when it was asked for."""
    policy: str = ""
    """The declared policy, for the report card; of a person ``manual``, where nobody said so empty."""

    def payload(self) -> dict[str, Any]:
        """Return what the ledger keeps of it."""
        return {
            "trigger_id": self.trigger_id,
            "kind": self.kind,
            "attempt": self.attempt,
            "as_of": self.as_of.isoformat(),
            "mode": self.mode,
            "reasons": list(self.reasons),
            "policy": self.policy,
        }


def _from_entry(entry: Entry) -> Retrain:
    payload = entry.payload
    return Retrain(
        model=entry.model or "",
        run_id=entry.run_id or "",
        trigger_id=payload["trigger_id"],
        kind=payload["kind"],
        attempt=payload["attempt"],
        as_of=as_utc(datetime.fromisoformat(payload["as_of"])),
        mode=payload["mode"],
        reasons=tuple(payload.get("reasons", ())),
        policy=payload.get("policy", ""),
    )


def start_retrain(ledger: "Ledger", retrain: Retrain, actor: str) -> Retrain:
    """Record that a retrain starts. A run that is executed again finds its own entry and keeps its terms."""
    entry = ledger.append(
        NewEntry(
            actor=actor,
            action="retrain_started",
            model=retrain.model,
            payload=retrain.payload(),
            run_id=retrain.run_id,
            key=f"retrain_started:{retrain.run_id}",
        )
    )
    return _from_entry(entry)


def retrain_of(ledger: "Ledger", model: str, run_id: str) -> Retrain:
    """Return the retrain of this run, or, for a step that is materialized alone, the model's newest.

    Raises
    ------
    NoRetrain
        When the model has none.
    """
    own = ledger.entries(model=model, action="retrain_started", run_id=run_id, limit=1)
    newest = own or ledger.entries(model=model, action="retrain_started", limit=1, newest_first=True)
    if not newest:
        raise NoRetrain(f"{model}: no retrain was ever started; materialize {model}/training_set first")
    return _from_entry(newest[0])


def note_candidate(
    ledger: "Ledger", model: str, version: str, run_id: str, actor: str, *, fit_seconds: float | None = None
) -> Entry:
    """Record which version a run built: a repeated retrain gives a version that another run registered already.

    Parameters
    ----------
    fit_seconds
        What the fits of its search took together; what a retrain costs where `trigger.cost_per_hour` is declared.
    """
    return ledger.append(
        NewEntry(
            actor=actor,
            action="candidate_built",
            model=model,
            subject=version,
            payload={} if fit_seconds is None else {"fit_seconds": round(fit_seconds, 3)},
            run_id=run_id,
            key=f"candidate_built:{run_id}:{version}",
        )
    )


def subject_of(ledger: "Ledger", model: str, action: str | tuple[str, ...], run_id: str) -> str:
    """Return the subject of a run's entry of this action (its training set, its candidate), or of the model's newest.

    Raises
    ------
    NoRetrain
        When there is none.
    """
    own = ledger.entries(model=model, action=action, run_id=run_id, limit=1, newest_first=True)
    newest = own or ledger.entries(model=model, action=action, limit=1, newest_first=True)
    if not newest or newest[0].subject is None:
        raise NoRetrain(f"{model}: the ledger has no {action!r}; materialize the assets upstream of this one first")
    return newest[0].subject


def close_retrain(
    ledger: "Ledger", model: str, run_id: str, reason: str, actor: str, cause: Cause = "error"
) -> Entry | None:
    """Give a retrain that ended without a verdict its terminal entry; one that has an entry keeps it."""
    if ledger.entries(model=model, action=TERMINAL, run_id=run_id, limit=1):
        return None
    return ledger.append(
        NewEntry(
            actor=actor,
            action="retrain_failed",
            model=model,
            payload={"reason": redacted(reason)[:2000], "cause": cause},
            run_id=run_id,
            key=f"retrain_failed:{run_id}",
        )
    )


def close_dead(
    ledger: "Ledger",
    model: str,
    is_alive: Callable[[str], bool],
    actor: str,
    ending: Callable[[str], Ending] = lambda _run: DIED,
) -> list[str]:
    """Close every retrain of a model whose run is dead and that has no terminal entry; return their run ids."""
    started = {entry.run_id for entry in ledger.entries(model=model, action="retrain_started") if entry.run_id}
    closed = {entry.run_id for entry in ledger.entries(model=model, action=TERMINAL)}
    dead = sorted(run_id for run_id in started - closed if not is_alive(run_id))
    for run_id in dead:
        how = ending(run_id)
        close_retrain(ledger, model, run_id, how.words, actor, how.cause)
    return dead
