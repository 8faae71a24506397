"""How well do answers and labels go together? Values of rows whose mean says so, and labels turned round."""

from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.declared import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def auc_influence(truth: "NDArray[Any]", scores: "NDArray[Any]") -> "NDArray[np.float64] | None":
    """Return one value a row whose mean is the AUC and whose spread is the AUC's (DeLong et al. 1988, placements).

    None when one class is missing. Ties count half.
    """
    import numpy as np
    from scipy.stats import rankdata

    positive = truth.astype(np.int64) == 1
    p, q = int(positive.sum()), int((~positive).sum())
    if not p or not q or not np.isfinite(scores.astype(np.float64)).all():
        return None
    ranks = rankdata(scores)
    placed = np.empty(len(scores))
    placed[positive] = (ranks[positive] - rankdata(scores[positive])) / q
    placed[~positive] = 1 - (ranks[~positive] - rankdata(scores[~positive])) / p
    auc = placed[positive].mean()
    share = np.where(positive, p, q) / len(scores)
    return np.asarray(auc + (placed - auc) / share)


def rank_agreement(truth: "NDArray[Any]", told: "NDArray[Any]") -> "NDArray[np.float64] | None":
    """Return one value a row whose mean is Spearman's rank correlation; None when either side has one value only."""
    import numpy as np
    from scipy.stats import rankdata

    sides = [rankdata(side.astype(np.float64)) for side in (truth, told)]
    if not len(truth) or not np.isfinite(told.astype(np.float64)).all() or any(np.ptp(side) == 0 for side in sides):
        return None
    first, second = ((side - side.mean()) / side.std() for side in sides)
    return np.asarray(first * second)


def excess_agreement(truth: "NDArray[Any]", told: "NDArray[Any]") -> "NDArray[np.float64] | None":
    """Return one value a row whose mean is accuracy less what independent labels with the same shares would give."""
    import numpy as np

    truth, told = truth.astype(str), told.astype(str)
    if not len(truth) or len(set(truth)) < 2:
        return None
    chance = sum(float((truth == one).mean() * (told == one).mean()) for one in set(truth))
    return np.asarray((truth == told).astype(np.float64) - chance)


def relabelled(task: Task, truth: "NDArray[Any]", told: "NDArray[Any]") -> "NDArray[Any]":
    """Return the labels turned round: 0 for 1, −y for y, or the renaming of classes that agrees best with `told`.

    Examples
    --------
    >>> import numpy as np
    >>> relabelled("multiclass", np.array(["b", "b", "a"]), np.array(["a", "a", "b"])).tolist()
    ['a', 'a', 'b']
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    if task == "binary":
        return np.asarray(1 - truth)
    if task == "regression":
        return np.asarray(-truth)
    truth, told = truth.astype(str), told.astype(str)
    classes = np.array(sorted({*truth.tolist(), *told.tolist()}))
    agree = np.array([[((truth == one) & (told == other)).sum() for other in classes] for one in classes])
    before, after = linear_sum_assignment(-agree)
    names = dict(zip(classes[before].tolist(), classes[after].tolist(), strict=True))
    return np.array([names[one] for one in truth.tolist()])


def concord(task: Task, truth: "NDArray[Any]", told: "NDArray[Any]") -> "NDArray[np.float64] | None":
    """Return the values of the task's measure: AUC (chance 0.5), rank correlation, or accuracy above chance (0)."""
    measure = {"binary": auc_influence, "regression": rank_agreement, "multiclass": excess_agreement}[task]
    return measure(truth, told)
