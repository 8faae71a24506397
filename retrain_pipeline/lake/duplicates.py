"""Rows that carry the same key: repeats, contradictions, corrections."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.contracts import DELIVERY
from retrain_pipeline.lake.digests import row_digests
from retrain_pipeline.lake.files import ROW

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Resolved:
    """One row per key, and what became of the others.

    repeats: exact duplicates within a delivery. redelivered: rows that a later delivery brought again, unchanged.
    corrected: rows that a later delivery changed. conflicting: positions of rows of one delivery that share a key and
    differ, all of them refused unless a later delivery knows the key.
    """

    keep: "np.ndarray[Any, Any] | None"
    repeats: int = 0
    redelivered: int = 0
    corrected: int = 0
    conflicting: tuple[int, ...] = ()


def resolve(frame: "pd.DataFrame", key: Sequence[str]) -> Resolved:
    """Decide which rows stand.

    Parameters
    ----------
    frame
        With `_delivery`, the number of the delivery (later is larger), and `_row`.

    Returns
    -------
    Resolved
        `keep` is a mask over rows, or None when all stand.
    """
    import numpy as np
    import pandas as pd

    if not len(frame):
        return Resolved(None)
    keys = pd.Series(row_digests(frame, key))
    shared = keys.duplicated(keep=False).to_numpy()
    if not shared.any():
        return Resolved(None)
    positions = np.flatnonzero(shared)
    some = frame.iloc[positions]
    content = [name for name in frame.columns if name not in (DELIVERY, ROW)]
    rows = pd.DataFrame({
        "position": positions, "key": keys.to_numpy()[positions], "content": row_digests(some, content),
        "delivery": some[DELIVERY].to_numpy(), "row": some[ROW].to_numpy(),
    })  # fmt: skip
    rows = rows.sort_values(["key", "delivery", "row"])
    first = rows.drop_duplicates(["key", "delivery", "content"])
    at_odds = first.duplicated(["key", "delivery"], keep=False)
    contested = rows.merge(first.loc[at_odds, ["key", "delivery"]].drop_duplicates(), on=["key", "delivery"])
    outdated = contested["delivery"] < contested["key"].map(rows.groupby("key")["delivery"].max())
    sound = first[~at_odds]
    newest = sound.drop_duplicates("key", keep="last")
    older = sound.drop(newest.index)
    truth = older["key"].map(newest.set_index("key")["content"])
    keep = ~shared
    keep[newest["position"].to_numpy()] = True
    return Resolved(
        keep,
        repeats=len(rows) - len(contested) - len(sound),
        redelivered=int((older["content"] == truth).sum()),
        corrected=int((older["content"] != truth).sum()) + int(outdated.sum()),
        conflicting=tuple(int(position) for position in sorted(contested.loc[~outdated, "position"])),
    )
