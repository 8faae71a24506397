"""Declared groups at each stage on the way to an answer: source rows, features, training rows, predictions.

A group that thins out between two stages, whose labels or answers drift apart, or whose inputs are missing more often
shows here, for each version and against the version before it.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from retrain_pipeline.insight.recipe import Made
    from retrain_pipeline.stores import Stores

Stage = Literal["source", "features", "training", "prediction"]
MAX_VALUES = 12
"""Values of a column that are told apart, the most frequent at the source; the others are one, `OTHERS`."""
OTHERS = "(others)"
MISSING = "(missing)"


class GroupLine(Strict):
    """One value of a declared column at one stage; shares are of all rows of the stage.

    `missing` is the share of missing cells: of the declared columns at the source, of the features from there on.
    Means of labels and predictions are of numbers, or of the probability of 1; several classes have none.
    `loss` is the mean row loss with one-sided bounds at the level of the gates over all values (Bonferroni).
    `moved_*` is the difference to the version before; None where that has no such line.
    """

    column: str
    value: str
    stage: Stage
    rows: int
    share: float
    missing: float
    label_mean: float | None = None
    prediction_mean: float | None = None
    loss: float | None = None
    loss_low: float | None = None
    loss_high: float | None = None
    moved_share: float | None = None
    moved_label_mean: float | None = None
    moved_prediction_mean: float | None = None


def declared_groups(made: "Made") -> tuple[str, ...]:
    """Return the columns that are looked at: `gates.groups`, else `gates.slices`."""
    return made.spec.gates.groups or made.spec.gates.slices


def group_lines(
    stores: "Stores", one: "Made", told: "pd.DataFrame", losses: "NDArray[np.float64]", before: Sequence[GroupLine] = ()
) -> list[GroupLine]:
    """Return a line for each declared column, stage and value, in this order.

    Parameters
    ----------
    told, losses
        The version's predictions and row losses of the evaluation rows.
    before
        The lines of the version before.
    """
    columns = declared_groups(one)
    if not columns:
        return []
    stages = list(_stages(stores, one, columns, told, losses))
    found = list[GroupLine]()
    for column in columns:
        often = stages[0][1][column].value_counts()
        named = {str(name) for name in sorted(often.index, key=lambda name: (-often[name], name))[:MAX_VALUES]}
        for stage, values, numbers in stages:
            texts = values[column].where(values[column].isin(named), OTHERS)
            found += _lines(one, column, stage, texts, numbers)
    earlier = {(line.column, line.stage, line.value): line for line in before}
    return [_moved(line, earlier.get((line.column, line.stage, line.value))) for line in found]


def _stages(
    stores: "Stores", one: "Made", columns: Sequence[str], told: "pd.DataFrame", losses: "NDArray[np.float64]"
) -> "Iterator[tuple[Stage, pd.DataFrame, pd.DataFrame]]":
    """Yield each stage with the values of the declared columns and the numbers of its rows, indexes alike."""
    import pandas as pd

    from retrain_pipeline.learning.frames import raw_values
    from retrain_pipeline.learning.windows import learned_from

    spec, frozen = one.spec, one.manifest.frozen
    identity = [*frozen.key, "_event_time"]
    marks = stores.lake.read_snapshot(frozen.labels).drop_duplicates(identity)
    raw = stores.lake.read(spec.name, "raw", periods=list(frozen.periods), known_by=one.as_of)
    raw = raw[raw["_event_time"] < one.as_of].reset_index(drop=True)
    given = [name for name in spec.data.columns if name in raw]
    yield "source", _texts(raw, columns), _numbers(one, raw[given], _joined(raw, marks, identity))
    rows = stores.lake.read_snapshot(frozen.features)
    rows = rows[rows["_event_time"] < one.as_of].reset_index(drop=True)
    names = [name for name in one.frames.train_x.columns if name in rows]
    values = raw_values(stores, spec, rows[identity], one.as_of, columns)
    yield "features", _texts(values, columns), _numbers(one, rows[names], _joined(rows, marks, identity))
    learned = learned_from(one.frames, one.manifest.window)
    values = raw_values(stores, spec, learned.train_keys, one.as_of, columns)
    yield "training", _texts(values, columns), _numbers(one, learned.train_x, learned.train_y)
    frames = one.frames
    values = raw_values(stores, spec, frames.eval_keys, one.as_of, columns)
    numbers = _numbers(one, frames.eval_x, frames.eval_y)
    answers = told["score"] if spec.data.label.task == "binary" and told["score"].notna().all() else told["prediction"]
    if spec.data.label.task != "multiclass":
        numbers["prediction"] = pd.to_numeric(answers).to_numpy(dtype="float64")
    yield "prediction", _texts(values, columns), numbers.assign(loss=losses, at=frames.eval_keys["_event_time"])


def _texts(values: "pd.DataFrame", columns: Sequence[str]) -> "pd.DataFrame":
    import pandas as pd

    def text(name: str) -> Any:
        if name not in values:
            return MISSING
        return values[name].astype("string").fillna(MISSING).astype(object)

    return pd.DataFrame({name: text(name) for name in columns}, index=values.index)


def _joined(rows: "pd.DataFrame", marks: "pd.DataFrame", identity: list[str]) -> "pd.Series[Any]":
    return rows[identity].merge(marks[[*identity, "label"]], on=identity, how="left")["label"]


def _numbers(one: "Made", given: "pd.DataFrame", labels: Any) -> "pd.DataFrame":
    """Return what is averaged over the rows: cells that are missing, and the label where it is a number."""
    import pandas as pd

    from retrain_pipeline.learning.labels import encode_labels

    found = pd.DataFrame({"missing": given.isna().mean(axis=1) if given.shape[1] else 0.0}, index=given.index)
    if one.spec.data.label.task == "multiclass":
        return found
    known = pd.Series(labels, index=given.index)
    some = known[known.notna()]
    numbers = pd.Series(encode_labels(some, one.spec.data.label.task), index=some.index, dtype="float64")
    return found.assign(label=numbers.reindex(given.index))


def _lines(
    one: "Made", column: str, stage: Stage, texts: "pd.Series[Any]", numbers: "pd.DataFrame"
) -> Iterator[GroupLine]:
    values = sorted(set(texts))
    for value in values:
        part = numbers[(texts == value).to_numpy()]
        means: dict[str, Any] = {
            field: _mean(part[name])
            for name, field in (("label", "label_mean"), ("prediction", "prediction_mean"), ("loss", "loss"))
            if name in part
        }
        if "loss" in part:
            means |= _bounds(one, part, len(values))
        yield GroupLine(
            column=column, value=value, stage=stage, rows=len(part), share=len(part) / max(1, len(numbers)),
            missing=float(part["missing"].mean()), **means,
        )  # fmt: skip


def _mean(values: "pd.Series[Any]") -> float | None:
    return float(values.mean()) if values.notna().any() else None


def _bounds(one: "Made", part: "pd.DataFrame", values: int) -> dict[str, float]:
    from retrain_pipeline.learning.paired import block_mean_interval

    gates = one.spec.gates
    found = block_mean_interval(
        part["loss"].to_numpy(), part["at"], block_hours=gates.block_hours, alpha=gates.alpha / values, seed=one.draw
    )
    return {"loss_low": found.low, "loss_high": found.high} if found.enough else {}


def _moved(line: GroupLine, before: GroupLine | None) -> GroupLine:
    if before is None:
        return line
    pairs = {
        f"moved_{name}": (getattr(line, name), getattr(before, name))
        for name in ("share", "label_mean", "prediction_mean")
    }
    return line.model_copy(update={name: now - then for name, (now, then) in pairs.items() if None not in (now, then)})
