"""Who stopped the retraining of a model, and how much of a day's retrains the fleet has used."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from retrain_pipeline.governance.halting import ESCALATION_HALTED, RESUMED, halted_words
from retrain_pipeline.governance.roles import check
from retrain_pipeline.lanes import Lane, known_lanes
from retrain_pipeline.ledger.entries import Entry, NewEntry
from retrain_pipeline.triggers.errors import PolicyRefused
from retrain_pipeline.triggers.policy import Fleet

if TYPE_CHECKING:
    from retrain_pipeline.ledger.past import Asked
    from retrain_pipeline.ledger.store import Ledger

HALTED = "retraining_halted"
FLEET_LIMIT = "RETRAIN_MAX_RETRAINS_A_DAY"
"""Environment variable: retrains that the sensors may start in 24 hours, over all models of the ledger."""


def halt(ledger: "Ledger", model: str, because: str, actor: str) -> Entry:
    """Stop the sensor from asking for retrains of a model until `resume`; a person's own run is not stopped."""
    return _enter(ledger, model, HALTED, because, actor)


def resume(ledger: "Ledger", model: str, because: str, actor: str) -> Entry:
    """Let the sensor ask again, and releases go on where validators did not agree.

    What the newest monitoring doubts is overruled: the next one may doubt it again. A version that a second validator
    did not confirm stays refused: its evidence says so.
    """
    return _enter(ledger, model, RESUMED, because, actor)


def _enter(ledger: "Ledger", model: str, action: str, because: str, actor: str) -> Entry:
    check(ledger, actor, "halt" if action == HALTED else "resume", model)
    reason = " ".join(because.split())
    if not reason:
        raise PolicyRefused(f"{model}: a reason is needed: --because")
    return ledger.append(NewEntry(actor=actor, action=action, model=model, payload={"because": reason[:1000]}))


def standing_word(ledger: "Asked", model: str) -> Entry | None:
    """Return the newest word on the retraining of a model: of a person, or of validators that do not agree.

    A person's resume ends both kinds of halt, so the newest tells all.
    """
    return ledger.latest(model, (HALTED, RESUMED, ESCALATION_HALTED))


def halts(word: Entry | None) -> tuple[str, ...]:
    """Return why the retraining is halted; nothing when it goes on."""
    if word is None or word.action == RESUMED:
        return ()
    if word.action == ESCALATION_HALTED:
        return (halted_words(word),)
    return (f"{word.payload['because']} ({word.actor}, {word.at_utc[:16]})",)


def overruled(word: Entry | None, seq: int) -> bool:
    """Return whether a person let the retraining go on after the entry `seq` was made."""
    return word is not None and word.action == RESUMED and word.seq > seq


def fleet_use(
    ledger: "Ledger", environment: Mapping[str, str], now: datetime | None = None, *, lane: Lane | None = None
) -> Fleet:
    """Return the retrains of the last day against the limit that the environment sets.

    A lane counts all of them, a model only those of models: experiments use what is left over.

    Raises
    ------
    PolicyRefused
        When the limit is no whole number.
    """
    text = environment.get(FLEET_LIMIT, "").strip()
    if not text:
        return Fleet()
    if not text.isdecimal():
        raise PolicyRefused(f"{FLEET_LIMIT} is {text!r:.40}: write a whole number, or leave it out for no limit")
    limit, since = int(text), (now or datetime.now(UTC)) - timedelta(days=1)
    others = known_lanes(ledger) if lane is None else {}
    asked = limit
    while True:
        newest = ledger.entries(action="retrain_started", limit=asked, newest_first=True)
        young = [entry for entry in newest if datetime.fromisoformat(entry.at_utc) > since]
        counted = sum(entry.model not in others for entry in young)
        if counted >= limit or len(young) < asked:
            return Fleet(counted, limit)
        asked *= 2  # lanes took the places of models among the newest
