"""Where a run was otherwise than was agreed: looked for once, when the run goes on record."""

from typing import TYPE_CHECKING

from retrain_pipeline.records.agreed import protocols
from retrain_pipeline.records.kinds.deviation import Deviation
from retrain_pipeline.records.kinds.experiment import Experiment
from retrain_pipeline.records.record import enter, entered, read_recorded

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

MACHINE = "machine"


def enter_deviations(stores: "Stores", run: Experiment, actor: str) -> None:
    """Enter where a run was otherwise than the first run under its protocol, or its work tree had changes.

    Entered before the experiment itself: a run that is on record was looked at. Done again it enters nothing new, and
    what somebody has explained stands in a newer record of the same run.
    """
    for agreed, what in _deviations(run, _first(stores, run)):
        record = Deviation.make(model=run.model, subject=run.subject, found_by=MACHINE, agreed=agreed, what=what)
        enter(stores, record, actor=actor)


def _deviations(run: Experiment, first: Experiment | None) -> list[tuple[str, str]]:
    found = []
    if run.code is not None and run.code.dirty:
        agreed = f"the code of commit {run.code.commit}"
        found.append((agreed, f"the work tree had changes, kept as patch {run.code.diff_digest}"))
    if first is not None and run.environment not in (None, first.environment):
        agreed = (
            f"environment {first.environment} of {first.run_id}, the first run under protocol {run.protocol_version}"
        )
        found.append((agreed, f"the environment is {run.environment}"))
    if run.budget is not None and run.budget.over:
        agreed = f"{run.budget.wall_seconds_limit:g} s and {run.budget.peak_rss_mb_limit:g} MB of training"
        found.append((agreed, f"the training went over its budget: {', '.join(run.budget.over)}"))
    return found


def _first(stores: "Stores", run: Experiment) -> Experiment | None:
    """Return the first run on record under a run's protocol that tells its environment; None where there is none yet.

    Nothing runs under a protocol before it is registered, so what is read does not grow with the runs before that, nor
    with those after the first.
    """
    if run.protocol is None or run.environment is None:
        return None
    registered = [one.entry.seq for one, protocol in protocols(stores, run.model) if protocol.digest == run.protocol]
    for entry in entered(stores, run.model, Experiment.KIND, after_seq=min(registered, default=0)):
        earlier = read_recorded(stores, entry).read(Experiment)
        if earlier.protocol == run.protocol and earlier.environment is not None:
            return earlier
    return None
