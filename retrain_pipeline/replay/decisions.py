"""The trigger's decisions over again: from what was on record at each, by the policy of today or by another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.ledger.past import PastLedger
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.triggers.policies import policy_named
from retrain_pipeline.triggers.policy import TriggerDecision, decide
from retrain_pipeline.triggers.state import read_state

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger


@dataclass(frozen=True)
class Redecided:
    """One monitored period: what was decided on it then, and what is decided now on the same record.

    `taken` is the trigger that was followed by a retrain, None where it waited.
    """

    period: str
    taken: str | None
    again: TriggerDecision

    @property
    def same(self) -> bool:
        """Whether the same is decided now."""
        return (self.again.trigger_id if self.again.action == "retrain" else None) == self.taken


def redecide(ledger: "Ledger", spec: ModelSpec, policy: str | None = None) -> list[Redecided]:
    """Return every decision of a model's trigger, taken again on what was on record then.

    Budgets of the fleet are left out: they are of the day, not of the model. After the first decision that differs
    the record is that of another history.

    Parameters
    ----------
    policy
        Another policy than the declared one, as `triggers.policies.policy_named` reads it.

    Raises
    ------
    PolicyRefused
        When there is no such policy.
    """
    if policy is not None:
        policy_named(policy, spec.trigger.retrain_cost)
        spec = spec.model_copy(update={"trigger": spec.trigger.model_copy(update={"policy": policy})})
    whole = ledger.entries(model=spec.name)
    started = [one for one in whole if one.action == "retrain_started" and one.payload["kind"] != "manual"]
    looks, found = _looks(whole), []
    ends = [entry.seq for _, entry in looks[1:]] + [whole[-1].seq + 1 if whole else 0]
    for (seq, entry), end in zip(looks, ends, strict=True):
        state = read_state(PastLedger(whole, seq), spec, in_flight=False)
        answers = [one for one in started if seq < one.seq < end and one.payload["as_of"] == entry.payload["as_of"]]
        taken = str(answers[0].payload["trigger_id"]) if answers else None
        found.append(Redecided(entry.payload["period"], taken, decide(state)))
    return found


def _looks(whole: Sequence[Entry]) -> list[tuple[int, Entry]]:
    """Return the periods that were decided on, each with the last entry before something was.

    Of several periods that one run monitored, the newest is what the trigger saw.
    """
    looks: list[tuple[int, Entry]] = []
    deciding = False
    for entry in whole:
        if entry.action == "monitored":
            if looks and entry.run_id is not None and looks[-1][1].run_id == entry.run_id:
                looks.pop()
            looks.append((entry.seq, entry))
            deciding = True
        elif entry.action == "retrain_started":
            deciding = False
        elif deciding:
            looks[-1] = (entry.seq, looks[-1][1])
    return looks
