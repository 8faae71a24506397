"""The validation rows: the newest of the training rows, or the newest of each class when time alone would hide one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from retrain_pipeline.learning.frames import Frames

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Split:
    """Positions of the training rows to fit on and to validate on."""

    fit: "np.ndarray[Any, Any]"
    validation: "np.ndarray[Any, Any]"
    kind: Literal["time", "time within class"]


def validation_split(frames: Frames, share: float) -> Split:
    """Return the split: the newest `share` of the training rows validates, rows of one moment on one side.

    When the older rows lack a class that the training rows have, the split degrades, the same way each time, to the
    newest share *of each class*; a class with one row is fitted on and not validated on (I24).
    """
    import numpy as np

    times = frames.train_keys["_event_time"].to_numpy()
    rows = np.arange(len(times))
    cut = times[min(int(len(times) * (1.0 - share)), len(times) - 1)]
    older = times < cut
    if not older.any():  # the cut falls into the first moment: one moment cannot be split
        older = rows < max(1, int(len(times) * (1.0 - share)))
    if frames.task == "regression" or len(np.unique(frames.train_y[older])) == len(np.unique(frames.train_y)):
        return Split(rows[older], rows[~older], "time")
    newest = np.zeros(len(rows), dtype=bool)
    for one in np.unique(frames.train_y):
        own = rows[frames.train_y == one]
        newest[own[len(own) - int(len(own) * share) :]] = True
    if not newest.any():  # too few rows of every class for a share: the newest row of the largest class
        classes, counts = np.unique(frames.train_y, return_counts=True)
        newest[rows[frames.train_y == classes[counts.argmax()]][-1]] = True
    return Split(rows[~newest], rows[newest], "time within class")
