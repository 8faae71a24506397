"""Every retrain run that the orchestrator or the ledger knows has one experiment, and every experiment a run."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.records.experiments import recorded_runs, retrain_runs
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores
    from retrain_pipeline.triggers.reconcile import KnownRun


@dataclass(frozen=True)
class Counted:
    """Runs and experiments of a model. FAIL names each that has no other half; no run at all is INCONCLUSIVE."""

    runs: int
    """Ended runs, of the orchestrator and the ledger together."""
    experiments: int
    running: int
    problems: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """Whether the two agree."""
        if self.problems:
            return Verdict.FAIL
        return Verdict.PASS if self.runs else Verdict.INCONCLUSIVE

    @property
    def words(self) -> str:
        """What was found."""
        counts = f"{self.runs} ended retrain runs, {self.experiments} experiments, {self.running} runs under way"
        return "; ".join((counts, *self.problems))[:4000]


def count_experiments(stores: "Stores", model: str, known: Sequence["KnownRun"]) -> Counted:
    """Compare the experiments of a model with the runs that the orchestrator knows (`known`) and the ledger's.

    A run that the orchestrator has forgotten is the ledger's to tell; an experiment of a run that neither knows is
    made up. A run that is still alive and has no end yet needs no record yet.
    """
    ledger = retrain_runs(stores, model)
    ours = {run.run_id: run for run in known if run.model == model or run.run_id in ledger}
    alive = {run_id for run_id, run in ours.items() if run.alive and not ledger.get(run_id, False)}
    written = Counter(recorded_runs(stores, model))
    expected = sorted((ours.keys() | ledger.keys()) - alive)
    unknown = "not known to the orchestrator" if known else "ended"
    problems = [
        f"{model} {run_id}: {ours[run_id].status if run_id in ours else unknown}, "
        f"but no experiment; run `retrain ledger reconcile`, then `retrain docs update {model}`"
        for run_id in expected
        if not written[run_id]
    ]
    problems += [f"{model} {run_id}: {count} experiments, expected one" for run_id, count in sorted(written.items())
                 if count > 1]  # fmt: skip
    problems += [f"{model} {run_id}: an experiment without a run" for run_id in sorted(written.keys() - {*expected})
                 if run_id not in alive]  # fmt: skip
    return Counted(len(expected), sum(written.values()), len(alive), tuple(problems))
