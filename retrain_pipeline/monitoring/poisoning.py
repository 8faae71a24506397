"""Were labels tampered with? A few per cent of flipped labels do not move a mean; they contradict what is sure.

Two probes of labels that came in, against rows from before. **Disagreement**: on rows where the champion was sure, how
many labels say the opposite, more than chance allows given how many did before. **Trigger rows**: among the rows of one
value (a category, or a number given again and again), how many contradict the champion: a poisoner marks the rows that
the next model is to get wrong, and marks are values. Levels are shared over all values looked at (Bonferroni).

Concept drift contradicts the champion too, but gradually over its scores; so the disagreement alert asks for
contradictions among the surest scores that are out of proportion to those among the others.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

MIN_ROWS = 100
MIN_SURE = 30
SURE_SHARE = 0.3
"""The champion is sure of the rows whose answers were least often wrong before: this share of them."""
ALPHA = 0.001
"""A probe that halts retraining should be wrong once in a thousand periods."""
MIN_TRIGGER_ROWS = 8
MIN_EXCESS = 0.02
_MAX_VALUES = 50
_TRIGGER_SHARE = 0.5


@dataclass(frozen=True)
class Poisoning:
    """What the probes say: FAIL where labels contradict what is sure, PASS, or INCONCLUSIVE with too few rows."""

    verdict: Verdict
    words: str
    disagreement: float | None = None
    expected: float | None = None
    triggers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """Rows with features, how sure the champion was of each (larger is surer), and whether the label contradicts it."""

    features: "pd.DataFrame"
    sure: "NDArray[np.float64]"
    wrong: "NDArray[np.bool_]"


def contradictions(
    task: str,
    truth: "NDArray[Any]",
    prediction: "NDArray[Any]",
    score: "NDArray[np.float64]",
    scale: float | None = None,
) -> "tuple[NDArray[np.float64], NDArray[np.bool_]]":
    """Return how sure answers were, and which labels contradict them.

    Parameters
    ----------
    scale
        Regression: residuals beyond it contradict; take a high quantile of the absolute residuals before. There every
        answer is as sure as the others.
    """
    import numpy as np

    if task == "regression":
        residual = np.abs(np.asarray(truth, dtype=np.float64) - np.asarray(prediction, dtype=np.float64))
        return np.zeros(len(residual)), np.asarray(residual > (scale if scale is not None else np.inf))
    wrong = np.asarray(truth).astype(str) != np.asarray(prediction).astype(str)
    sure = np.abs(score - 0.5) if task == "binary" else score
    return np.nan_to_num(np.asarray(sure, dtype=np.float64)), wrong


def poisoning(before: Judged, now: Judged) -> Poisoning:
    """Return FAIL when labels of `now` contradict what the champion was sure of, as those of `before` did not."""
    import numpy as np

    if min(len(before.wrong), len(now.wrong)) < MIN_ROWS:
        words = f"{len(now.wrong)} labelled rows against {len(before.wrong)}; at least {MIN_ROWS} are needed"
        return Poisoning(Verdict.INCONCLUSIVE, words)
    cut = float(np.quantile(before.sure, 1 - SURE_SHARE)) if np.ptp(before.sure) > 0 else -1.0
    surest = (before.sure > cut, now.sure > cut)
    triggers = _triggers(now, _rate(before.wrong))
    found, expected, significant = _disagreement(before, now, *surest)
    words = f"{found:.1%} of {int(surest[1].sum())} labels contradict sure answers, {expected:.1%} before"
    if triggers:
        words = f"rows with {'; '.join(triggers[:3])} contradict the champion; {words}"
    verdict = Verdict.FAIL if triggers or significant else Verdict.PASS
    return Poisoning(verdict, words, found, expected, triggers)


def _rate(wrong: "NDArray[np.bool_]") -> float:
    return float((wrong.sum() + 1) / (len(wrong) + 2))


def _disagreement(
    before: Judged, now: Judged, sure_before: "NDArray[np.bool_]", sure_now: "NDArray[np.bool_]"
) -> tuple[float, float, bool]:
    """Return contradicted sure answers now and before, and whether chance and the other rows explain the rise."""
    import numpy as np
    from scipy.stats import betabinom

    n, m = int(sure_now.sum()), int(sure_before.sum())
    if min(n, m) < MIN_SURE:
        return 0.0, 0.0, False
    wrong_now, wrong_before = int(now.wrong[sure_now].sum()), int(before.wrong[sure_before].sum())
    found, expected = wrong_now / n, wrong_before / m
    # Both rates are estimates: the predictive distribution of the count, with Jeffreys' prior on the rate before.
    chance = float(betabinom.sf(wrong_now - 1, n, wrong_before + 0.5, m - wrong_before + 0.5))
    rest = [side.wrong[~mask] for side, mask in ((now, sure_now), (before, sure_before))]
    worse = float(np.mean(rest[0]) - np.mean(rest[1])) if min(len(one) for one in rest) else 0.0
    # Flips hit all rows alike and make the sure ones wrong most; drift makes the unsure ones wrong first.
    out_of_proportion = found - expected > max(MIN_EXCESS, worse)
    return found, expected, chance < ALPHA and out_of_proportion


def _triggers(now: Judged, base: float) -> tuple[str, ...]:
    """Return the values whose rows contradict the champion mostly, and more than chance given all values looked at."""
    from scipy.stats import binom

    rows = [
        (f"{name} = {value}", len(at), int(now.wrong[at].sum()))
        for name in sorted(now.features.columns)
        for value, at in _repeated(now.features[name])
    ]
    overall = max(base, float(now.wrong.mean()))
    return tuple(
        f"{told} ({wrong} of {n})"
        for told, n, wrong in rows
        if wrong / n > max(_TRIGGER_SHARE, 2 * overall) and float(binom.sf(wrong - 1, n, overall)) < ALPHA / len(rows)
    )


def _repeated(column: "pd.Series[Any]") -> "list[tuple[Any, NDArray[np.int64]]]":
    """Return values that come again and again, with the places of their rows; the most frequent first."""
    import numpy as np

    values = column.reset_index(drop=True)
    counts = values.value_counts()
    often = counts[counts >= MIN_TRIGGER_ROWS].sort_index().sort_values(ascending=False, kind="stable")
    return [(value, np.flatnonzero((values == value).to_numpy())) for value in often.index[:_MAX_VALUES]]
