"""The three stores as a Dagster resource."""

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from retrain_pipeline.lanes import Lane, acting_lane

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

DEFAULT_HOME = "data/state"


@cache
def _opened(
    home: str,
    lake_url: str | None,
    artifacts_url: str | None,
    ledger_url: str | None,
    ledger_key: str | None,
    keyring: Path,
    lane: Lane | None,
) -> "Stores":
    from retrain_pipeline.stores import open_stores

    # One pool of connections a process and place: a run has a dozen steps.
    return open_stores(
        home,
        lake_url=lake_url,
        artifacts_url=artifacts_url,
        ledger_url=ledger_url,
        ledger_key=ledger_key,
        keyring=keyring,
        lane=lane,
    )


def environment_stores() -> "Stores":
    """Open the stores that RETRAIN_HOME, RETRAIN_LAKE_URL, RETRAIN_ARTIFACTS_URL and RETRAIN_LEDGER_URL name."""
    return StoresResource().open()


class StoresResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where lake, artifacts and ledger live: under `home`, unless a URL says otherwise.

    A field left empty is read from the environment of the process that uses it (RETRAIN_HOME, RETRAIN_LAKE_URL,
    RETRAIN_ARTIFACTS_URL, RETRAIN_LEDGER_URL), so that no secret gets into what Dagster stores about a run. The file of
    the key that signs entries (RETRAIN_LEDGER_KEY) and the keyring's folder (RETRAIN_POLICY) come from there only.
    """

    home: str = ""
    lake_url: str = ""
    artifacts_url: str = ""
    ledger_url: str = ""

    def folder(self) -> Path:
        """Return the folder of what has no URL of its own."""
        return Path(self.home or os.environ.get("RETRAIN_HOME", DEFAULT_HOME))

    def open(self) -> "Stores":
        """Open the stores, in a step of a lane those of the lane; cheap, nothing is touched before its first use."""
        from retrain_pipeline.ledger.keyring import FILE as KEYRING
        from retrain_pipeline.ledger.keyring import policy_folder

        environment = os.environ
        return _opened(
            str(self.folder()),
            self.lake_url or environment.get("RETRAIN_LAKE_URL") or None,
            self.artifacts_url or environment.get("RETRAIN_ARTIFACTS_URL") or None,
            self.ledger_url or environment.get("RETRAIN_LEDGER_URL") or None,
            environment.get("RETRAIN_LEDGER_KEY") or None,
            policy_folder() / KEYRING,
            acting_lane(),
        )
