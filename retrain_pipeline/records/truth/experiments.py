"""Checks 11 and 12: every retrain run has one experiment, and what it was judged by was on record before it began."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.records.agreed import protocols
from retrain_pipeline.records.experiments import STARTED, retrain_runs
from retrain_pipeline.records.hypotheses import written_late
from retrain_pipeline.records.kinds.experiment import Experiment
from retrain_pipeline.records.reconciled import count_experiments
from retrain_pipeline.records.truth.finding import Finding, right, unknown, wrong
from retrain_pipeline.triggers.reconcile import KnownRun

if TYPE_CHECKING:
    from retrain_pipeline.records.record import Recorded
    from retrain_pipeline.records.truth.context import Context

_UPDATE = "bring the records up to date: retrain docs update"


def experiments_counted(context: "Context") -> Iterator[Finding]:
    """Hold the experiments against the runs of the ledger, and those that an orchestrator knows where it was asked."""
    try:
        runs = retrain_runs(context.stores, context.model)
        # Where nobody asked an orchestrator, a run without an end on record may be under way.
        under_way = [KnownRun(context.model, run_id, True, "under way") for run_id, ended in runs.items() if not ended]
        counted = count_experiments(context.stores, context.model, under_way if context.runs is None else context.runs)
    except PermanentError as error:
        yield wrong("experiments", "records", str(error), _UPDATE)
        return
    for words in counted.problems:
        thing, _, rest = words.partition(": ")
        yield wrong(f"experiment of {thing}", "records", rest, _UPDATE)
    if not counted.problems:
        for run_id, ended in runs.items():
            if ended:
                yield right(f"experiment of {run_id}", "records")


def protocol_first(context: "Context") -> Iterator[Finding]:
    """Look, for every experiment that made a version, for its protocol in an entry before the start of its run.

    The order is that of the chain, not of clocks.
    """
    try:
        registered = {
            one.digest: recorded.entry.seq for recorded, one in reversed(protocols(context.stores, context.model))
        }
        late = written_late(context.stores, context.model)
    except PermanentError as error:
        yield wrong("protocol", "records", str(error), _UPDATE)
        return
    for words in late:
        thing, _, rest = words.partition(": ")
        yield wrong(f"hypothesis of {thing}", "records", rest, "what was written afterwards is no hypothesis: retrain")
    begun = {entry.run_id: entry.seq for entry in reversed(context.entries) if entry.action == STARTED}
    for experiment in context.records(Experiment.KIND):
        yield _protocol(experiment, registered, begun.get(experiment.subject))


def _protocol(experiment: "Recorded", registered: dict[str, int], begun: int | None) -> Finding:
    thing, place = f"protocol of experiment {experiment.subject}", f"ledger entry {experiment.entry.seq}"
    digest, version = experiment.document.get("protocol"), experiment.document.get("version")
    if version is None and digest is None:
        return right(thing, place)  # it ended before anything was judged
    if begun is None:
        words = "when its run began is not on record"
        return unknown(thing, place, words, "restore the ledger from a backup, or retrain")
    seq = registered.get(str(digest))
    if seq is None:
        words = "the protocol that it names is not on record"
        return wrong(thing, place, words, "register what models are judged by before a run begins, then retrain")
    if seq > begun:
        words = f"it was registered in entry {seq}, after the run began in entry {begun}"
        return wrong(thing, place, words, "what was agreed afterwards judges nothing: retrain")
    return right(thing, place)
