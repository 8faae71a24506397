"""How a run ended that left no word in the ledger: what Dagster and the kernel know of it."""

import re
from typing import TYPE_CHECKING

import dagster as dg

from retrain_pipeline.assets.common import OOM_TAG

if TYPE_CHECKING:
    from retrain_pipeline.triggers.retrain import Cause, Ending

# Dagster has no field for these, only words (seen in 1.13.27); a test with real processes holds each.
_SIGNAL = re.compile(r"was terminated by signal (\d+) \((\w+)\)")
_GIVEN_UP = re.compile(r"(?i)exceed\w* maximum runtime|timed out due to taking longer")
_TOLD = {
    dg.DagsterEventType.ENGINE_EVENT,
    dg.DagsterEventType.RUN_CANCELING,
    dg.DagsterEventType.RUN_CANCELED,
    dg.DagsterEventType.RUN_FAILURE,
}


def ending_of(instance: dg.DagsterInstance, run_id: str) -> "Ending":
    """Return how a run ended, as far as Dagster and the kernel of this machine can tell."""
    from retrain_pipeline.triggers.retrain import DIED, Ending

    run = instance.get_run_by_id(run_id)
    if run is None:
        return DIED
    status = run.status.value.lower()
    if run.status is dg.DagsterRunStatus.SUCCESS:
        return Ending("no_verdict", f"Dagster run {status}, but without a verdict")
    told = [entry.message for entry in instance.all_logs(run_id, of_type=_TOLD)]
    if killed := _last(_SIGNAL, told):
        return _killed(int(killed[1]), killed[2], run.tags.get(OOM_TAG))
    given_up = _last(_GIVEN_UP, told)
    cause: Cause = "timeout" if given_up else "cancelled" if run.status is dg.DagsterRunStatus.CANCELED else "error"
    words = given_up.string if given_up else next(iter(told[::-1]), "")
    return Ending(cause, f"Dagster run {status}: {' '.join(words.split())}".rstrip(": "))


def _last(pattern: re.Pattern[str], told: list[str]) -> re.Match[str] | None:
    return next((found for words in reversed(told) if (found := pattern.search(words))), None)


def _killed(number: int, name: str, kills_before: str | None) -> "Ending":
    from retrain_pipeline.learning.kernel import killed_for_memory, oom_kills
    from retrain_pipeline.triggers.retrain import Ending

    words = f"the run's process was killed by signal {number} ({name})"
    if number == 9 and killed_for_memory(kills_before, oom_kills()):
        return Ending("oom", f"{words}, and the kernel killed for want of memory meanwhile")
    return Ending("killed", words)
