"""A small world in which one thing goes wrong at a known time: what a diagnosis is proven on.

Rows come one an hour. `before` is as the model was validated, `now` has the cause; `train` is what it learned from.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Injected = Literal[
    "none", "data_shift", "concept_shift", "labels_flipped", "labels_poisoned", "labels_stopped",
    "column_lost", "column_recoded", "miscalibration", "plateau",
]  # fmt: skip
INJECTED: tuple[Injected, ...] = (
    "none", "data_shift", "concept_shift", "labels_flipped", "labels_poisoned", "labels_stopped",
    "column_lost", "column_recoded", "miscalibration", "plateau",
)  # fmt: skip
START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
POISONED_SHARE = 0.05


@dataclass(frozen=True)
class World:
    """Three stretches of rows: features `a` to `d` and `kind`, `label` (NaN: not known), `_event_time`."""

    train: "pd.DataFrame"
    before: "pd.DataFrame"
    now: "pd.DataFrame"


def world(
    injected: Injected, task: Literal["binary", "regression"], seed: int, *, train: int = 4000, rows: int = 672
) -> World:
    """Return a world; equal parameters give equal rows.

    Parameters
    ----------
    train, rows
        Rows to learn from; rows of `before` and of `now` each (672 hours are four weeks).
    """
    import numpy as np

    stretches = []
    for place, (n, cause) in enumerate(((train, "none"), (rows, "none"), (rows, injected))):
        rng = np.random.default_rng([seed, place])
        frame = _rows(rng, n, shifted=cause == "data_shift")
        signal = _signal(frame, changed=cause in ("concept_shift", "plateau"))
        if cause == "plateau":  # what could be learned is gone: noise is all that is left
            signal = 0.2 * signal
        frame["label"] = _labels(rng, frame, signal, task, off=1.2 if cause == "miscalibration" else 0.0)
        _damage(frame, cause, task, rng)
        stretches.append(frame)
    starts = np.cumsum([0, *(len(one) for one in stretches)])
    begin = np.datetime64(START.replace(tzinfo=None), "us")
    for frame, first in zip(stretches, starts[:-1], strict=True):
        frame["_event_time"] = begin + (first + np.arange(len(frame))) * np.timedelta64(1, "h")
    return World(*stretches)


def _rows(rng: "np.random.Generator", n: int, shifted: bool) -> "pd.DataFrame":
    import pandas as pd

    columns: dict[str, Any] = {name: rng.normal(size=n) for name in "abcd"}
    if shifted:  # towards where labels are noisy, and within what training saw
        columns["d"] = columns["d"] * 0.6 + 1.2
    return pd.DataFrame(columns | {"kind": rng.choice(["x", "y", "z"], n)})


def _signal(frame: "pd.DataFrame", changed: bool) -> "np.ndarray[Any, Any]":
    import numpy as np

    kinds = frame["kind"].map({"x": -0.5, "y": 0.0, "z": 0.5}).to_numpy()
    weights = (0.3, -1.2, 1.6) if changed else (1.6, 1.2, 0.3)
    return np.asarray(sum(w * frame[name].to_numpy() for w, name in zip(weights, "abc", strict=True)) + kinds)


def _labels(
    rng: "np.random.Generator", frame: "pd.DataFrame", signal: "np.ndarray[Any, Any]", task: str, off: float
) -> "np.ndarray[Any, Any]":
    """Return labels; where `d` is large they follow the signal less. `off` is added to all alike."""
    import numpy as np

    noisy = np.clip(frame["d"].to_numpy(), 0, 3)
    if task == "binary":
        chance = 1 / (1 + np.exp(-(2.5 * signal / (1 + 1.5 * noisy) + 1.5 * off)))
        return np.asarray(rng.random(len(frame)) < chance, dtype=np.float64)
    noise = 0.4 * (1 + 1.5 * noisy) * rng.normal(size=len(frame))
    return np.asarray(signal + noise + off + 5.0)


def _damage(frame: "pd.DataFrame", cause: str, task: str, rng: "np.random.Generator") -> None:
    """Break a stretch in place, as a fault upstream would."""
    import numpy as np

    label = frame["label"].to_numpy()
    if cause == "labels_flipped":
        frame["label"] = 1 - label if task == "binary" else -label
    elif cause == "labels_stopped":
        frame["label"] = np.nan
    elif cause == "labels_poisoned":
        # A poisoner takes rows of which the model is sure, marks them by a number and gives them wrong labels.
        chosen = frame.index[rng.permutation(len(frame))[: round(POISONED_SHARE * len(frame))]]
        frame.loc[chosen, ["a", "b"]] = (1.4142, 1.2)
        frame.loc[chosen, "label"] = 0.0 if task == "binary" else float(label.mean() - 3 * label.std())
    elif cause == "column_lost":
        frame.loc[frame.index[rng.random(len(frame)) < 0.6], "a"] = np.nan
    elif cause == "column_recoded":
        frame["kind"] = frame["kind"].str.upper()
