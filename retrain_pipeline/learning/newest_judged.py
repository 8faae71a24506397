"""The newest rows that a version was judged on, without the rest of its training set: what a look at a period needs."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from retrain_pipeline.lake.tables import Lake, Snapshot
from retrain_pipeline.learning.errors import RowsOverlap
from retrain_pipeline.learning.frames import Frames, assemble, identities
from retrain_pipeline.learning.training_set import TrainingSet, read_row_digests
from retrain_pipeline.stores import Stores

if TYPE_CHECKING:
    import pandas as pd


def read_newest_judged(stores: Stores, ts: TrainingSet, rows: int) -> Frames:
    """Return the newest evaluation rows, whole periods with at least `rows` where there are so many, and as little as
    may be of the rest of the training set.

    Raises
    ------
    TableMissing
        When a version of a table is gone.
    RowsOverlap
        When one of the rows is none of those that were frozen.
    """
    import numpy as np

    present = stores.lake.partitions(ts.features.model, ts.features.table, ts.features.version)
    asked, chosen = rows, list[str]()
    while True:
        while len(chosen) < len(ts.features.periods) and sum(present[one].rows for one in chosen) < asked:
            chosen.append(ts.features.periods[-len(chosen) - 1])
        frames = _of_periods(stores.lake, ts, chosen)
        before = len(frames.train_y) + frames.dropped_for_overlap  # then every later row is there
        if len(frames.eval_y) >= rows or before or len(chosen) == len(ts.features.periods):
            break
        asked *= 2  # some have no label
    frozen = read_row_digests(stores, ts.evaluation_row_digests_artifact)
    if not np.isin(identities(frames.eval_keys), frozen).all():
        raise RowsOverlap(f"training set {ts.digest[:12]} of {ts.model!r}: its newest rows are not the frozen ones")
    return frames


def _of_periods(lake: Lake, ts: TrainingSet, periods: Sequence[str]) -> Frames:
    """Return the rows of some periods of a training set, as they were frozen."""
    cut, as_of = datetime.fromisoformat(ts.evaluation_from), datetime.fromisoformat(ts.as_of)

    def read(one: Snapshot, wanted: Sequence[str]) -> "pd.DataFrame":
        known_by = None if one.known_by is None else datetime.fromisoformat(one.known_by)
        frame = lake.read(one.model, one.table, periods=wanted, known_by=known_by, version=one.version)
        return frame[frame["_event_time"] < as_of]

    since = min(periods)  # a label is never known before its event: earlier partitions hold none of these
    labels = read(ts.labels, [period for period in ts.labels.periods if period >= since])
    return assemble(read(ts.features, periods), labels, ts.key, ts.task, cut)
