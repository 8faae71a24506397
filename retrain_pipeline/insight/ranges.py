"""Evaluation rows beyond what the model learned from: numbers outside the training range, categories never met."""

from typing import TYPE_CHECKING, Any

from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    from retrain_pipeline.insight.recipe import Made


class OutOfRange(Strict):
    """A feature, the share of evaluation rows beyond the training rows, and the range or the levels of those."""

    feature: str
    share: float
    rows: int
    known: str


def out_of_range(one: "Made", pipeline: Any) -> list[OutOfRange]:
    """Return the features of which some evaluation rows lie beyond the training rows, the largest share first."""
    from retrain_pipeline.learning.prediction import aligned, used_columns
    from retrain_pipeline.learning.windows import learned_from

    numeric, categorical = used_columns(pipeline)
    learned = aligned(learned_from(one.frames, one.manifest.window).train_x, numeric, categorical)
    x = aligned(one.frames.eval_x, numeric, categorical)
    found = []
    for name in numeric:
        low, high = float(learned[name].min()), float(learned[name].max())
        beyond = int(((x[name] < low) | (x[name] > high)).sum())
        found.append((name, beyond, f"{low:.6g} to {high:.6g}"))
    for name in categorical:
        levels = learned[name].dropna().unique()
        beyond = int((x[name].notna() & ~x[name].isin(levels)).sum())
        found.append((name, beyond, f"{len(levels)} levels"))
    lines = [
        OutOfRange(feature=name, share=rows / len(x), rows=rows, known=known) for name, rows, known in found if rows
    ]
    return sorted(lines, key=lambda line: (-line.share, line.feature))
