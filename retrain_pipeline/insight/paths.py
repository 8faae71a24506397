"""Decision paths: what moved the model's answer for one row, feature by feature, away from what it answers on average.

Shapley values by sampling (Štrumbelj and Kononenko 2014, *Knowledge and Information Systems* 41:647): from a training
row drawn at random the features are replaced by the row's own, one after another in a random order, and each is given
what the answer moved by. Averaged over draws the parts sum to the answer less the mean answer of the drawn rows. It
asks the model and does not look into it, so it is the same for every estimator.
"""

from typing import TYPE_CHECKING, Any, Literal

from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from retrain_pipeline.insight.recipe import Made

DRAWS = 64
SHOWN = 12
"""Features of a path that are named; the others are summed."""

Which = Literal["typical", "worst", "borderline"]


class Step(Strict):
    """One feature of the row: its value, by how much it moved the answer, and the standard error of that."""

    feature: str
    value: str
    moved: float
    se: float


class DecisionPath(Strict):
    """From the mean answer to the answer for a row: `start` + all `moved` + `others` is `answer`."""

    which: Which
    why: str
    key: dict[str, str]
    at: str
    asked: str
    """What the answer is: the prediction, the probability of 1, or that of a class."""
    start: float
    answer: float
    loss: float
    truth: str
    steps: tuple[Step, ...]
    others: float


def decision_paths(one: "Made", pipeline: Any) -> list[DecisionPath]:
    """Return the paths of the row of median loss, of that of the greatest, and of one that might have gone either way.

    The borderline row of a classifier is that whose best two classes are nearest; of a regression, that whose loss is
    nearest to the declared success.
    """
    from retrain_pipeline.learning.losses import row_losses
    from retrain_pipeline.learning.prediction import aligned, predict, used_columns

    task, metric = one.spec.data.label.task, one.spec.problem.success.metric
    numeric, categorical = used_columns(pipeline)
    x = aligned(one.frames.eval_x, numeric, categorical)
    told = predict(pipeline, task, x).frame
    losses = row_losses(metric, task, one.frames.eval_y, told)
    found = []
    for which, place, why in _rows(one, told, losses):
        found.append(_path(one, pipeline, x, told, float(losses[place]), place, which, why))
    return found


def _rows(one: "Made", told: "pd.DataFrame", losses: "NDArray[np.float64]") -> list[tuple[Which, int, str]]:
    import numpy as np

    typical, worst = int(np.argsort(losses, kind="stable")[len(losses) // 2]), int(losses.argmax())
    found: list[tuple[Which, int, str]] = [
        ("typical", typical, "its loss is the median"),
        ("worst", worst, "its loss is the greatest"),
    ]
    others = np.setdiff1d(np.arange(len(losses)), [typical, worst])
    if not len(others):
        return found
    if one.spec.data.label.task == "regression":
        success = one.spec.problem.success
        level = success.at_most**2 if success.metric == "rmse" else success.at_most
        nearest = int(others[np.abs(losses[others] - level).argmin()])
        why = f"of the others its loss is nearest to the declared {success.at_most:g}"
        return [*found, ("borderline", nearest, why)]
    chances = _chances(told)
    if chances is None:
        return found
    best = np.sort(chances[others], axis=1)
    nearest = int(others[(best[:, -1] - best[:, -2]).argmin()])
    return [*found, ("borderline", nearest, "of the others its two likeliest classes are nearest to each other")]


def _chances(told: "pd.DataFrame") -> "NDArray[np.float64] | None":
    import numpy as np

    from retrain_pipeline.learning.losses import CLASS_PREFIX

    columns = [name for name in told.columns if name.startswith(CLASS_PREFIX)]
    if len(columns) > 1:
        return told[columns].to_numpy(dtype=np.float64)
    score = told["score"].to_numpy(dtype=np.float64)
    return None if np.isnan(score).any() else np.column_stack([1 - score, score])


def _path(
    one: "Made",
    pipeline: Any,
    x: "pd.DataFrame",
    told: "pd.DataFrame",
    loss: float,
    place: int,
    which: Which,
    why: str,
) -> DecisionPath:
    import numpy as np

    from retrain_pipeline.learning.losses import CLASS_PREFIX

    task = one.spec.data.label.task
    prediction = told["prediction"].iloc[place]
    column = "prediction" if task == "regression" else "score"
    asked = "the prediction" if task == "regression" else "the probability of 1"
    if task == "multiclass":
        column, asked = f"{CLASS_PREFIX}{prediction}", f"the probability of {prediction}"
    if column not in told or told[column].isna().any():
        column, asked = "prediction", f"whether it answers {prediction}"
    start, moved = _shapley(one, pipeline, x, place, column, prediction)
    mean, se = moved.mean(axis=0), moved.std(axis=0, ddof=1) / len(moved) ** 0.5
    order = sorted(range(len(mean)), key=lambda at: (-abs(mean[at]), x.columns[at]))
    steps = [
        Step(feature=str(x.columns[at]), value=_text(x.iloc[place, at]), moved=float(mean[at]), se=float(se[at]))
        for at in order[:SHOWN]
    ]
    keys = one.frames.eval_keys.iloc[place]
    return DecisionPath(
        which=which,
        why=why,
        key={name: str(keys[name]) for name in one.manifest.frozen.key},
        at=keys["_event_time"].isoformat(),
        asked=asked,
        start=start,
        answer=start + float(mean.sum()),
        loss=loss,
        truth=_text(one.frames.eval_y[place]),
        steps=tuple(steps),
        others=float(np.sum([mean[at] for at in order[SHOWN:]])),
    )


def _shapley(
    one: "Made", pipeline: Any, x: "pd.DataFrame", place: int, column: str, prediction: Any
) -> "tuple[float, NDArray[np.float64]]":
    """Return the mean answer of the drawn rows, and by draw what each feature moved, shape (draws, features)."""
    import numpy as np
    import pandas as pd

    from retrain_pipeline.learning.prediction import aligned, predict, used_columns
    from retrain_pipeline.learning.windows import learned_from

    task, width = one.spec.data.label.task, x.shape[1]
    rng = np.random.default_rng([one.draw, place])
    learned = learned_from(one.frames, one.manifest.window).train_x
    drawn = learned.iloc[rng.integers(0, len(learned), DRAWS)].reset_index(drop=True)
    base = aligned(drawn, *used_columns(pipeline))[list(x.columns)]
    orders = np.array([rng.permutation(width) for _ in range(DRAWS // 2)])
    orders = np.concatenate([orders, orders[:, ::-1]])  # an order and its reverse: less noise for the same work
    # rank[d, f]: after how many replacements feature f of draw d has the row's own value
    rank = np.argsort(orders, axis=1)
    stage = np.tile(np.arange(width + 1), DRAWS)
    repeated = base.loc[base.index.repeat(width + 1)].reset_index(drop=True)
    columns: dict[str, Any] = {}
    for at, name in enumerate(x.columns):
        own = np.repeat(rank[:, at], width + 1) < stage
        values = repeated[name].to_numpy(copy=True)
        values[own] = x[name].iloc[place]
        columns[str(name)] = values
    answers = predict(pipeline, task, pd.DataFrame(columns)).frame[column]
    numbers = (answers == prediction) if column == "prediction" and task != "regression" else answers
    course = numbers.to_numpy(dtype=np.float64).reshape(DRAWS, width + 1)
    moved = np.empty((DRAWS, width))
    np.put_along_axis(moved, orders, np.diff(course, axis=1), axis=1)
    return float(course[:, 0].mean()), moved


def _text(value: Any) -> str:
    import pandas as pd

    if value is None or pd.isna(value):
        return "missing"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
