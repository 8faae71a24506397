"""The rows of a training set: features and labels joined, cut at one moment into training and evaluation rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.declared import Task
from retrain_pipeline.lake.digests import row_digests
from retrain_pipeline.learning.errors import RowsOverlap
from retrain_pipeline.learning.labels import encode_labels, join_labels

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores


@dataclass(frozen=True)
class Frames:
    """Training and evaluation rows, each in order of event time and key, with equal indexes from 0.

    `train_x` and `eval_x` hold features only, columns sorted. `train_keys` and `eval_keys` hold the key columns and
    `_event_time` of the same rows. `train_y` and `eval_y` are as `learning.labels.encode_labels` spells them.
    """

    train_x: "pd.DataFrame"
    train_y: "np.ndarray[Any, Any]"
    train_keys: "pd.DataFrame"
    eval_x: "pd.DataFrame"
    eval_y: "np.ndarray[Any, Any]"
    eval_keys: "pd.DataFrame"
    task: Task
    dropped_for_overlap: int = 0
    """Training rows left out because their key is among the evaluation rows."""


def assemble(
    features: "pd.DataFrame", labels: "pd.DataFrame", key: Sequence[str], task: Task, evaluation_from: datetime
) -> Frames:
    """Return the labelled rows, those from `evaluation_from` on as evaluation rows.

    A key on both sides of the cut is one entity (or one row delivered twice): the evaluation keeps it, training does
    not, so that no model is judged on what it was fitted on (I30).
    """
    rows = join_labels(features, labels, key)
    identity = [*key, "_event_time"]
    names = sorted(name for name in features.columns if not name.startswith("_") and name not in key)
    late = (rows["_event_time"] >= evaluation_from).to_numpy()
    judged = rows.loc[late, list(key)].drop_duplicates()
    shared = rows[list(key)].merge(judged, how="left", on=list(key), indicator=True)["_merge"].eq("both").to_numpy()
    train = rows[~late & ~shared].reset_index(drop=True)
    evaluation = rows[late].reset_index(drop=True)
    return Frames(
        train_x=train[names],
        train_y=encode_labels(train["label"], task),
        train_keys=train[identity],
        eval_x=evaluation[names],
        eval_y=encode_labels(evaluation["label"], task),
        eval_keys=evaluation[identity],
        task=task,
        dropped_for_overlap=int((~late & shared).sum()),
    )


def identities(keys: "pd.DataFrame") -> "np.ndarray[Any, np.dtype[np.uint64]]":
    """Return the sorted digests of rows' identities: key columns and event time.

    Identity, not content: after a change of features or a restated value the same event must still count as the same
    row, or "unseen by the champion" would hold for every row at once.
    """
    import numpy as np

    return np.sort(row_digests(keys))


def assert_disjoint(frames: Frames) -> None:
    """Raise RowsOverlap unless training and evaluation share no row digest and no key, and evaluation is later."""
    import numpy as np

    key = [name for name in frames.eval_keys.columns if name != "_event_time"]
    shared = len(np.intersect1d(identities(frames.train_keys), identities(frames.eval_keys)))
    keys = len(np.intersect1d(row_digests(frames.train_keys, key), row_digests(frames.eval_keys, key)))
    if shared or keys:
        raise RowsOverlap(f"training and evaluation share {shared} rows and {keys} keys: the split is wrong")
    train, evaluation = frames.train_keys["_event_time"], frames.eval_keys["_event_time"]
    if len(train) and len(evaluation) and not train.max() < evaluation.min():
        raise RowsOverlap(f"training reaches {train.max()}, evaluation begins {evaluation.min()}: it must be later")


def slice_values(stores: "Stores", spec: "ModelSpec", keys: "pd.DataFrame", as_of: datetime) -> "pd.DataFrame":
    """Return the declared columns (`gates.slices`, `gates.groups`) of rows, from `raw` as it was known at `as_of`.

    Parameters
    ----------
    keys
        Key columns and `_event_time`, as `Frames.eval_keys`.

    Returns
    -------
    DataFrame
        The slice columns only, index as `keys`; a row that raw lacks has missing values.
    """
    names = list(dict.fromkeys([*spec.gates.slices, *spec.gates.groups]))
    return raw_values(stores, spec, keys, as_of, names)


def raw_values(
    stores: "Stores", spec: "ModelSpec", keys: "pd.DataFrame", as_of: datetime, names: Sequence[str]
) -> "pd.DataFrame":
    """Return named columns of rows from `raw`, as `slice_values`."""
    identity = [*spec.data.key, "_event_time"]
    calendar = spec.data.time.calendar()
    periods = sorted({calendar.key(moment) for moment in keys["_event_time"].dt.floor("h").unique()})
    wanted = list(dict.fromkeys([*identity, *names]))
    raw = stores.lake.read(spec.name, "raw", periods=periods, known_by=as_of, columns=wanted)
    if raw.empty:
        return keys.reindex(columns=list(names))
    joined = keys.merge(raw.drop_duplicates(identity), on=identity, how="left", validate="one_to_one")
    return joined.set_index(keys.index)[list(names)]
