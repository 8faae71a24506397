"""Permutation importances: what the loss gains when one feature's values are mixed among the evaluation rows."""

from typing import TYPE_CHECKING, Any

from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    from retrain_pipeline.insight.recipe import Made

REPEATS = 6
MAX_ROWS = 4000
"""Evaluation rows that are asked, at most, evenly over time."""
_LEVEL = 0.95


class Importance(Strict):
    """The mean rise of the row loss over the repeats, with a 95 % interval over them (Student's t)."""

    feature: str
    rise: float
    low: float
    high: float
    repeats: int


def importances(one: "Made", pipeline: Any) -> list[Importance]:
    """Return the importance of each feature that the model uses, the largest first.

    Of two features that say the same either can stand for the other, and both look unimportant: the ablation of a group
    tells what the recipe loses without them.
    """
    import numpy as np
    from scipy.special import stdtrit

    from retrain_pipeline.insight.recipe import losses_on
    from retrain_pipeline.learning.prediction import aligned, used_columns

    rows = np.unique(np.linspace(0, len(one.frames.eval_y) - 1, MAX_ROWS).round().astype(int))
    numeric, categorical = used_columns(pipeline)
    x = aligned(one.frames.eval_x.iloc[rows].reset_index(drop=True), numeric, categorical)
    y = one.frames.eval_y[rows]
    own = float(losses_on(one.spec, pipeline, x, y).mean())
    rng = np.random.default_rng(one.draw)
    reach = float(stdtrit(REPEATS - 1, (1 + _LEVEL) / 2)) / REPEATS**0.5
    found = []
    for name in sorted(x.columns):
        rises = np.empty(REPEATS)
        for at in range(REPEATS):
            mixed = x.assign(**{name: x[name].to_numpy()[rng.permutation(len(x))]})
            rises[at] = losses_on(one.spec, pipeline, mixed, y).mean() - own
        mean, half = float(rises.mean()), reach * float(rises.std(ddof=1))
        found.append(Importance(feature=name, rise=mean, low=mean - half, high=mean + half, repeats=REPEATS))
    return sorted(found, key=lambda line: (-line.rise, line.feature))
