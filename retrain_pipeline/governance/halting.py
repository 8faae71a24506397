"""The halt that two validators who disagree bring about: nothing is promoted until a person lets it go on."""

from typing import TYPE_CHECKING

from retrain_pipeline.ledger.entries import Entry

if TYPE_CHECKING:
    from retrain_pipeline.ledger.past import Asked

ESCALATION_HALTED = "escalation_halted"
RESUMED = "retraining_resumed"
"""A person's word that a model's loop may go on (`retrain resume`)."""


def disagreement(ledger: "Asked", model: str) -> Entry | None:
    """Return the disagreement of validators that nobody has resolved, or None."""
    word = ledger.latest(model, (ESCALATION_HALTED, RESUMED))
    return word if word is not None and word.action == ESCALATION_HALTED else None


def halted_words(entry: Entry) -> str:
    """Return what is halted, and the mend."""
    return (
        f"{entry.model}: validators do not agree on {entry.subject} (entry {entry.seq}: {entry.payload.get('words')}); "
        f"nothing is promoted until a person has looked: retrain explain {entry.model} {entry.subject}, then "
        f"retrain resume {entry.model} --because …"
    )
