"""Every retrain run that the orchestrator knows has one end on record: what does not add up, and its mending."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.triggers.retrain import TERMINAL, Ending, close_retrain
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger


@dataclass(frozen=True)
class KnownRun:
    """A retrain run, as the orchestrator has it."""

    model: str
    """Empty where the run does not say: then the ledger does, or nobody."""
    run_id: str
    alive: bool
    status: str
    """The orchestrator's word for how it stands."""


@dataclass(frozen=True)
class Reconciliation:
    """What both records say of each other. FAIL with the disagreements; INCONCLUSIVE where there was no run at all."""

    runs: int
    closed: tuple[str, ...]
    """Runs that had ended without a word and got their terminal entry now."""
    problems: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """Whether the two records agree now."""
        if self.problems:
            return Verdict.FAIL
        return Verdict.PASS if self.runs else Verdict.INCONCLUSIVE


def reconcile(
    ledger: "Ledger",
    known: Sequence[KnownRun],
    actor: str,
    *,
    close: bool = True,
    close_unknown: bool = False,
    ending: Callable[[str], Ending] | None = None,
) -> Reconciliation:
    """Compare the retrain runs of an orchestrator with the ledger, and close those that ended without a word.

    Parameters
    ----------
    known
        The retrain runs that the orchestrator has.
    close
        Whether to give ended runs their terminal entry; else each is a problem: an experiment kept off the record (G9).
    close_unknown
        The same for retrains of the ledger whose run the orchestrator does not know. Only who knows that no other
        orchestrator shares the ledger can say that they are dead.
    ending
        What the orchestrator knows of how a run ended.
    """
    runs = {run.run_id: run for run in known}
    started = {entry.run_id: entry.model or "" for entry in ledger.entries(action="retrain_started") if entry.run_id}
    ends = Counter(entry.run_id for entry in ledger.entries(action=TERMINAL) if entry.run_id)
    closed, problems = [], []
    for run_id in sorted(runs.keys() | started.keys()):
        run = runs.get(run_id)
        model = started.get(run_id) or (run.model if run else "")
        if ends[run_id] > 1:
            problems.append(f"{model} {run_id}: {ends[run_id]} terminal entries, expected one")
        if ends[run_id] or (run and run.alive):
            continue
        status = run.status if run else "not known to the orchestrator"
        if close and model and (run or close_unknown):
            how = Ending("died", f"the run ended without a verdict ({status})") if ending is None else ending(run_id)
            close_retrain(ledger, model, run_id, how.words, actor, how.cause)
            closed.append(run_id)
        else:
            problems.append(f"{model} {run_id}: no terminal entry, and the run is {status}")
    return Reconciliation(len(runs.keys() | started.keys()), tuple(closed), tuple(problems))
