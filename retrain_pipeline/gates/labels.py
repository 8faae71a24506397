"""Can the labels be believed? Labels that were inverted, recoded or rescaled upstream train a confident, wrong model.

Concept drift also changes labels while inputs stay, and is what a retrain is for. So two things are asked before labels
are called wrong. Of the order: does the champion do worse than chance, *and* as well as when it was validated once the
labels are turned round? (A world in which one effect turned gives the first without the second.) Of the level: did the
mean move as far as a mistake moves it (a rate nearer to its mirror image than to itself, a mean two standard deviations
away, or one whose spread became another, as of another unit) while the champion's scores stayed?
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.quality import all_of
from retrain_pipeline.lake.declared import Task
from retrain_pipeline.learning.concord import auc_influence, excess_agreement, rank_agreement
from retrain_pipeline.learning.paired import MeanInterval, block_mean_band, block_mean_interval, count_blocks
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_BAND_ALPHA = 0.01
_FAR_SD = 2.0
_FAR_SCALE = 3.0


@dataclass(frozen=True)
class LabelRows:
    """Labels of training and evaluation rows, and what the champion said of both (None before the first release).

    `champion_*` are scores for binary labels, predictions otherwise.
    """

    task: Task
    evaluation: "NDArray[Any]"
    evaluation_time: Any
    training: "NDArray[Any]"
    training_time: Any
    champion_evaluation: "NDArray[Any] | None"
    champion_training: "NDArray[Any] | None"
    relabelled_losses: "NDArray[np.float64] | None"
    """The champion's row losses on the evaluation rows with the labels turned round (`relabelled`)."""
    validated_loss: float | None
    """The most that the champion's mean row loss was when it was validated: mean and two standard errors."""
    alpha: float
    block_hours: float
    seed: int


def labels(rows: LabelRows) -> GateResult:
    """FAIL when the labels look inverted to the champion, or their level moved as a mistake would; see the module."""
    if rows.champion_evaluation is None:
        words = "no champion yet: nothing that knew the labels before can say whether they were turned round"
        return GateResult(gate="labels", verdict=Verdict.PASS, n=len(rows.evaluation), words=words)
    return all_of(_polarity(rows), _level(rows))


def _result(verdict: Verdict, n: int, words: str, **numbers: Any) -> GateResult:
    return GateResult(gate="labels", verdict=verdict, n=n, words=words, **numbers)


def _polarity(rows: LabelRows) -> GateResult:
    """Does the champion agree with the labels at least by chance, or else not with the labels turned round either?"""
    import numpy as np

    told, truth = np.asarray(rows.champion_evaluation), np.asarray(rows.evaluation)
    n = len(truth)
    agreement: dict[str, tuple[Callable[[Any, Any], Any], float, str]] = {
        "binary": (auc_influence, 0.5, "AUC"),
        "regression": (rank_agreement, 0.0, "rank correlation"),
        "multiclass": (excess_agreement, 0.0, "accuracy above chance"),
    }
    influence, chance, name = agreement[rows.task]
    values = influence(truth, told)
    if values is None:
        return _result(
            Verdict.INCONCLUSIVE, n, f"the champion's {name} cannot be told: labels or scores of one value, or none"
        )
    found = block_mean_interval(
        values, rows.evaluation_time, block_hours=rows.block_hours, alpha=rows.alpha, seed=rows.seed
    )
    words = f"the champion's {name} on these labels: {found.mean:.3f} {_bounds(found)}, chance {chance:g}"
    if not found.enough:
        return _result(Verdict.INCONCLUSIVE, n, f"{words}; too few blocks to tell")
    bounds = (found.low, found.high)
    if found.high >= chance:
        # Stated the other way round, so that smaller is better as in every gate.
        return _result(Verdict.PASS, n, words, statistic=chance - found.high, threshold=0.0, interval=bounds)
    turned, explained = _turned(rows)
    if explained:
        return _result(Verdict.FAIL, n, f"labels look inverted or recoded: {words}; {turned}", interval=bounds)
    return _result(Verdict.PASS, n, f"{words}; {turned}: the world turned, not the labels", interval=bounds)


def _turned(rows: LabelRows) -> tuple[str, bool]:
    """Would turning the labels round explain everything? Then the champion does as well on those as when validated."""
    import numpy as np

    losses, known = rows.relabelled_losses, rows.validated_loss
    if losses is None or known is None or not np.isfinite(losses).all():
        return "the champion's validated loss is not known to say otherwise", True
    found = block_mean_interval(
        losses, rows.evaluation_time, block_hours=rows.block_hours, alpha=rows.alpha, seed=rows.seed
    )
    words = f"with the labels turned round its loss is {found.mean:.4g} {_bounds(found)}, validated at most {known:.4g}"
    return words, found.low <= known


def _bounds(found: MeanInterval) -> str:
    return f"[{found.low:.3f}, {found.high:.3f}]"


def _level(rows: LabelRows) -> GateResult:
    """Did the labels' mean move far beyond what training labels do by themselves, with the champion's scores still?"""
    import numpy as np

    n = len(rows.evaluation)
    if rows.task == "multiclass":
        return _result(Verdict.PASS, n, "no level of class names to compare")
    if rows.champion_training is None:
        return _result(Verdict.INCONCLUSIVE, n, "no champion scores of the training rows to compare levels with")
    now, before = np.asarray(rows.evaluation, dtype=np.float64), np.asarray(rows.training, dtype=np.float64)
    moved, words = _outside(now, before, rows)
    if not moved:
        return _result(Verdict.PASS, n, f"label mean {words}")
    told = [np.asarray(side, dtype=np.float64) for side in (rows.champion_evaluation, rows.champion_training)]
    scores_moved, scores_words = _outside(told[0], told[1], rows)
    words = f"label mean {words}; champion's scores {scores_words}"
    if far_off(rows.task, now, before) and not scores_moved:
        return _result(Verdict.FAIL, n, f"labels look recoded or rescaled: {words}")
    return _result(Verdict.PASS, n, f"{words}: as drift does, not as a mistake would")


def far_off(task: Task, now: "NDArray[np.float64]", before: "NDArray[np.float64]") -> bool:
    """Are labels as far from those before as a mistake moves them: nearer to their mirror image, or of another unit?

    Parameters
    ----------
    now, before
        0 and 1, or numbers, shape (n,) and (m,).
    """
    apart = abs(now.mean() - before.mean())
    if task == "binary":
        return bool(apart > abs(now.mean() - (1 - before.mean())))
    scale = float(now.std()) / max(float(before.std()), 1e-12)
    rescaled = not 1 / _FAR_SCALE <= scale <= _FAR_SCALE  # a larger unit moves a mean by less than its spread
    return bool(rescaled or apart > _FAR_SD * before.std())


def _outside(now: "NDArray[np.float64]", before: "NDArray[np.float64]", rows: LabelRows) -> tuple[bool, str]:
    """Is the mean of `now` outside the band of means that as many blocks of `before` give?"""
    blocks = count_blocks(rows.evaluation_time, rows.block_hours)
    low, high = block_mean_band(
        before, rows.training_time, blocks=blocks, block_hours=rows.block_hours, alpha=_BAND_ALPHA, seed=rows.seed
    )
    mean = float(now.mean())
    return not low <= mean <= high, f"{mean:.4g}, by training rows [{low:.4g}, {high:.4g}]"


def leakage(suspects: "list[tuple[str, float]] | None", features: "pd.DataFrame") -> GateResult:
    """FAIL when one feature all but gives the label away (I28): what knows the label is not known in time."""
    if suspects is None:
        return GateResult(gate="leakage", verdict=Verdict.INCONCLUSIVE, words="the single-feature probe did not run")
    words = f"none of {features.shape[1]} features gives the label away by itself"
    if suspects:
        named = ", ".join(f"{name} ({value:.3f})" for name, value in suspects[:5])
        words = f"features that know the label: {named}; remove them or show that they are known in time"
    return GateResult(
        gate="leakage",
        verdict=Verdict.FAIL if suspects else Verdict.PASS,
        statistic=float(len(suspects)),
        threshold=0.0,
        n=len(features),
        words=words,
    )
