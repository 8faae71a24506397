"""Where the rows of an entity are: which frozen training sets, and so which versions, hold them.

For requests to erase: the record names rows by digest alone, and what was learned from them is a version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.learning.versions import REGISTERED, read_manifest
from retrain_pipeline.records.retirement import tombstones

if TYPE_CHECKING:
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores


class KeyRefused(PermanentError):
    """A key that no row can be found by."""


@dataclass(frozen=True)
class Held:
    """How many of the rows that were asked for a version learned from, and was judged on."""

    version: str
    training_set: str
    learned: int
    judged: int
    role: str
    """Whether it serves, served before, is on trial, was retired, or serves nobody."""


def where(stores: "Stores", spec: "ModelSpec", key: Mapping[str, str]) -> tuple[int, list[Held]]:
    """Return how many rows of the features have these values, and every version whose frozen rows are among them.

    Rows are looked for as they are in the lake now; those that were taken out of it cannot be found by key any more.

    Parameters
    ----------
    key
        Values of columns of `data.key`, as text; one of several columns finds all rows with that value.

    Raises
    ------
    KeyRefused
        For a column that is not of the key, or without one.
    """
    import numpy as np

    from retrain_pipeline.learning.frames import identities
    from retrain_pipeline.learning.training_set import read_row_digests

    unknown = sorted(set(key) - set(spec.data.key))
    if unknown or not key:
        named = ", ".join(unknown) or "nothing"
        raise KeyRefused(f"{spec.name}: {named}: give COLUMN=VALUE of data.key ({', '.join(spec.data.key)})")
    rows = stores.lake.read(spec.name, "features", columns=[*spec.data.key, "_event_time"])
    for name, value in key.items():
        rows = rows[rows[name].astype(str) == value] if len(rows) else rows
    if not len(rows):
        return 0, []
    wanted, gone, found = identities(rows), tombstones(stores, spec.name), list[Held]()
    for entry in stores.ledger.entries(model=spec.name, action=REGISTERED):
        version = str(entry.subject)
        frozen = read_manifest(stores, spec.name, version).frozen
        artifacts = (frozen.row_digests_artifact, frozen.evaluation_row_digests_artifact)
        learned, judged = (int(np.isin(wanted, read_row_digests(stores, one)).sum()) for one in artifacts)
        if learned or judged:
            role = "retired" if version in gone else _role(stores, spec.name, version)
            found.append(Held(version, frozen.digest, learned, judged, role))
    return len(rows), found


def _role(stores: "Stores", model: str, version: str) -> str:
    row = stores.ledger.deployment(model)
    if row is not None:
        if row.state["champion"] == version:
            return "serves"
        for name in ("challenger", "holdback"):
            if (row.state.get(name) or {}).get("version") == version:
                return f"serves as {name}"
    served = stores.ledger.entries(model=model, action="released", subject=version, limit=1)
    return "served before" if served else "serves nobody"
