"""Training windows: how far back a fit reaches, chosen on the newest validation rows.

After a change old rows teach what is no longer so; without one they only make the fit steadier. Which it is shows on
rows that come after both windows: a shorter window is taken when it beats the longer one there beyond noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.learning.frames import Frames
from retrain_pipeline.learning.paired import MIN_BLOCKS, block_mean_interval
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

ALPHA = 0.01
"""A shorter window that is no better is taken this often, at each comparison. At 0.05 more were taken, and none of the
real sets did better: docs/benchmarks/window.md."""


@dataclass(frozen=True)
class Comparison:
    """A shorter window beside the one that held until then: mean of (its loss − the other's) with one-sided bounds."""

    periods: int
    against: int
    difference: float
    low: float
    high: float
    blocks: int
    taken: bool


class FitWindow(Strict):
    """The newest labelled periods that a version learned from, counted with those that judged it."""

    periods: int
    train_from: str
    """The first event learned from, ISO 8601."""
    train_rows: int

    @classmethod
    def of(cls, periods: int, moments: "pd.Series[pd.Timestamp]") -> "FitWindow":
        """Return the window of rows by their event times."""
        return cls(periods=periods, train_from=moments.min().isoformat(), train_rows=len(moments))

    def rows_of(self, moments: "pd.Series[pd.Timestamp]") -> "NDArray[np.int64]":
        """Return the positions of the rows of the window among all training rows, by their event times."""
        import numpy as np

        found: NDArray[np.int64] = np.flatnonzero(moments >= datetime.fromisoformat(self.train_from))
        return found


def learned_from(frames: Frames, window: FitWindow | None) -> Frames:
    """Return frames with those of their training rows that a version was fitted on."""
    if window is None:
        return frames
    rows = window.rows_of(frames.train_keys["_event_time"])
    return replace(
        frames,
        train_x=frames.train_x.iloc[rows].reset_index(drop=True),
        train_y=frames.train_y[rows],
        train_keys=frames.train_keys.iloc[rows].reset_index(drop=True),
    )


@dataclass(frozen=True)
class Windows:
    """The labelled periods of training rows in time order, as numbers from 0: `period` has shape (rows,)."""

    period: "NDArray[np.int64]"
    judged: int
    """Periods of a window that judge and do not train."""

    def newest(self, rows: "NDArray[np.int64]", periods: int) -> "NDArray[np.int64]":
        """Return those of some rows that lie in the newest periods of them, in a window of `periods`.

        A period of which the rows hold a part only, as where validation begins, comes on top.
        """
        own = self.period[rows]
        last = own.max()
        if (own == last).sum() < (self.period == last).sum():
            last -= 1
        kept: NDArray[np.int64] = rows[own > last - (periods - self.judged)]
        return kept

    def shorter(self, spec: ModelSpec, rows: "NDArray[np.int64]") -> list[int]:
        """Return the declared windows that leave some of the rows out, the longest first."""
        held = int(self.period[rows].max()) + 1 + self.judged
        return sorted((one for one in spec.training.shorter_windows if one < held), reverse=True)


def windows_of(spec: ModelSpec, moments: "pd.Series[pd.Timestamp]") -> Windows:
    """Return the windows of training rows.

    Parameters
    ----------
    moments
        Event times of the training rows, in order, shape (rows,).
    """
    import numpy as np

    calendar, hours = spec.data.time.calendar(), moments.dt.floor("h")
    names = {moment: calendar.key(moment) for moment in hours.unique()}
    # A period without labelled rows does not count, as it does not in the training set's own window.
    _, period = np.unique(hours.map(names).to_numpy(dtype=str), return_inverse=True)
    return Windows(period.astype(np.int64), spec.training.evaluation_periods)


def choose_window(
    losses: "Mapping[int, NDArray[np.float64]]", moments: Any, *, block_hours: float, seed: int, alpha: float = ALPHA
) -> tuple[int, list[Comparison]]:
    """Return the window to take, and each comparison on the way from the longest to the shortest.

    Parameters
    ----------
    losses
        By window, the loss of each validation row, shape (rows,), by the fit on it.
    moments
        Event time of each validation row.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> moments = pd.date_range("2024-01-01", periods=240, freq="h", tz="UTC")
    >>> noise = np.random.default_rng(0).normal(size=240)
    >>> choose_window({26: noise, 4: noise - 0.5 + 0.1 * noise[::-1]}, moments, block_hours=24, seed=0)[0]
    4
    """
    order = sorted(losses, reverse=True)
    held, steps = order[0], list[Comparison]()
    for periods in order[1:]:
        difference = losses[periods] - losses[held]
        found = block_mean_interval(difference, moments, block_hours=block_hours, alpha=alpha, seed=seed)
        taken = found.blocks >= MIN_BLOCKS and found.high < 0
        steps.append(Comparison(periods, held, found.mean, found.low, found.high, found.blocks, taken))
        held = periods if taken else held
    return held, steps
