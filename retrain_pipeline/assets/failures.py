"""A retrain that cannot go on says so in the ledger before it fails in Dagster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.learning.errors import AllCandidatesFailed

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger
    from retrain_pipeline.triggers.retrain import Cause

STOPPED = "told to stop: SIGTERM, SIGINT, or Terminate in Dagster"


def cause_of(error: BaseException) -> "Cause":
    """Return the word of the record for what a step raised."""
    if isinstance(error, MemoryError) or (isinstance(error, AllCandidatesFailed) and error.out_of_memory):
        return "oom"
    if isinstance(error, (dg.DagsterExecutionInterruptedError, KeyboardInterrupt)):
        return "cancelled"
    return "refused" if isinstance(error, PermanentError) else "error"


@contextmanager
def closing(ledger: "Ledger", model: str, run_id: str, key: dg.AssetKey) -> Iterator[None]:
    """Enter `retrain_failed` with reason and cause when the body raises or is told to stop, and let the error go on.

    A refusal (PermanentError) becomes a Dagster failure that is not tried again. A process that is killed gets no
    say here: a sensor or the reconciler closes its retrain later (`assets.endings`).
    """
    from retrain_pipeline.triggers.retrain import close_retrain  # now: a step that ran out of memory imports badly

    def close(words: str, error: BaseException) -> None:
        close_retrain(ledger, model, run_id, f"{key.to_user_string()}: {words}", "dagster", cause_of(error))

    try:
        yield
    except PermanentError as error:
        close(str(error), error)
        raise dg.Failure(str(error), allow_retries=False) from error
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt) as stop:
        close(STOPPED, stop)
        raise
    except Exception as error:
        close(f"{type(error).__name__}: {error}", error)
        raise
