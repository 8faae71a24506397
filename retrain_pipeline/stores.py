"""The three stores of a project, opened together."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.files import private_folder
from retrain_pipeline.ledger.keyring import FILE as KEYRING
from retrain_pipeline.ledger.keyring import policy_folder
from retrain_pipeline.ledger.store import Ledger

if TYPE_CHECKING:
    from retrain_pipeline.lake.tables import Lake
    from retrain_pipeline.lanes import Lane


@dataclass(frozen=True)
class Stores:
    """The truth of data, of bytes and of decisions. All that Dagster shows can be rebuilt from them."""

    lake: "Lake"
    artifacts: Artifacts
    ledger: Ledger

    def close(self) -> None:
        """Close the connections of this process; the stores stay usable and open new ones."""
        self.ledger.close()


def open_stores(
    home: str | Path,
    *,
    lake_url: str | None = None,
    artifacts_url: str | None = None,
    ledger_url: str | None = None,
    ledger_key: str | Path | None = None,
    keyring: str | Path | None = None,
    lane: "Lane | None" = None,
) -> Stores:
    """Return the stores: ``home/lake``, ``home/artifacts`` and ``home/ledger.db``, or what the URLs name.

    Parameters
    ----------
    home
        A folder of this machine; made (0700) when one of the stores lies in it.
    lake_url, artifacts_url
        A path or object storage URL instead.
    ledger_url
        A SQLAlchemy URL (SQLite or PostgreSQL) instead.
    ledger_key
        File of the private key that signs the ledger's entries. Default: they are not signed.
    keyring
        File of the public keys that are believed. Default: `keyring.json` of the project's policy folder.
    lane
        Whose stores they are: a lane writes nothing but its own. Default: that whose step runs here, if any.

    Raises
    ------
    OSError
        When `home` cannot be made.
    LedgerUrlRefused
        When the URL is of another database.
    """
    from retrain_pipeline.lake.tables import Lake
    from retrain_pipeline.lane_stores import LaneArtifacts, LaneLake, LaneLedger
    from retrain_pipeline.lanes import acting_lane

    folder = Path(home).absolute()
    if None in (lake_url, artifacts_url, ledger_url):
        private_folder(folder)
    at_lake, at_artifacts = lake_url or str(folder / "lake"), artifacts_url or folder / "artifacts"
    at_ledger = ledger_url or f"sqlite:///{folder / 'ledger.db'}"
    keys: dict[str, Any] = {
        "signing_key": Path(ledger_key) if ledger_key else None,
        "keyring": Path(keyring) if keyring else policy_folder() / KEYRING,
    }
    lane = lane or acting_lane()
    if lane is None:
        return Stores(Lake(at_lake), Artifacts(at_artifacts), Ledger(at_ledger, **keys))
    ledger = LaneLedger(at_ledger, lane, **keys)
    return Stores(LaneLake(at_lake, lane, ledger.refuse), LaneArtifacts(at_artifacts, ledger.refuse), ledger)
