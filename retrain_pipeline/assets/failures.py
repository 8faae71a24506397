"""A retrain that cannot go on says so in the ledger before it fails in Dagster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.triggers.retrain import close_retrain

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger


@contextmanager
def closing(ledger: "Ledger", model: str, run_id: str, key: dg.AssetKey) -> Iterator[None]:
    """Enter `retrain_failed` with the reason when the body raises, and let the error go on.

    A refusal (PermanentError) becomes a Dagster failure that is not tried again. A process that is killed gets no
    say here: the reconciler closes its retrain later.
    """
    try:
        yield
    except PermanentError as error:
        close_retrain(ledger, model, run_id, f"{key.to_user_string()}: {error}", actor="dagster")
        raise dg.Failure(str(error), allow_retries=False) from error
    except Exception as error:
        close_retrain(
            ledger, model, run_id, f"{key.to_user_string()}: {type(error).__name__}: {error}", actor="dagster"
        )
        raise
