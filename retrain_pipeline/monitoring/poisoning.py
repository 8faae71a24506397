"""Were labels tampered with? A few per cent of flipped labels do not move a mean; they contradict what is sure.

Two probes of labels that came in, against rows from before. **Disagreement**: of labels that the champion was sure of,
how many say the opposite, more than chance allows given how many did before? **Trigger rows**: among the rows of one
value (a category, or a number that comes again and again), do most contradict the champion? A poisoner marks the rows
that the next model is to get wrong, and marks are values, few and hardly seen before: an hour of the day at which the
world changed is neither. Nor is a price that stood for a day, or one beside which the others contradict as well: a mark
comes at many times, and alone. Levels are shared over all values looked at (Bonferroni).

Drift contradicts the champion too. Flips of a share f raise the contradictions of sure answers by about f and those of
the others by at most f(1 − e), where e of them were wrong before; drift makes the unsure wrong first, and more. So the
disagreement is an alert while the others rose by no more than that, and f is small: where labels contradict the
champion everywhere the world is another, or all labels are wrong, which other probes tell.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

MIN_ROWS = 100
MIN_SURE = 30
SURE_SHARE = 0.3
"""The champion is sure of this share of its answers: those with the highest confidence."""
ALPHA = 0.005
"""Each probe is wrong about once in 200 periods. 5 % of flips in 260 sure answers have a p-value of about 0.003."""
MIN_TRIGGER_ROWS = 8
MIN_EXCESS = 0.02
MAX_FLIPPED = 0.10
"""Beyond it labels are contradicted everywhere, which drift does too."""
_MAX_VALUES = 50
_TRIGGER_SHARE = 0.5
_MARK_RISE = 2.0


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
    """Rows of which the champion's answers were compared with labels.

    `wrong`: does the label of a row contradict the answer, shape (n,); `sure`: which of them the champion was sure of;
    `doubted`: the same comparison where it was not, any number of rows; `times`: a number for each stretch of time that
    a row lies in (None: each row is one of its own).
    """

    features: "pd.DataFrame"
    wrong: "NDArray[np.bool_]"
    sure: "NDArray[np.bool_]"
    doubted: "NDArray[np.bool_]"
    times: "NDArray[np.int64] | None" = None


def classified(
    features: "pd.DataFrame",
    truth: "NDArray[Any]",
    prediction: "NDArray[Any]",
    confidence: "NDArray[np.float64]",
    cut: float,
) -> Judged:
    """Return class labels against answers; those with a confidence above `cut` are sure."""
    import numpy as np

    wrong = np.asarray(truth).astype(str) != np.asarray(prediction).astype(str)
    sure = np.asarray(confidence > cut)
    return Judged(features, wrong, sure, wrong[~sure])


def measured(features: "pd.DataFrame", residual: "NDArray[np.float64]", far: float, usual: float) -> Judged:
    """Return numbers against answers: residuals beyond `far` contradict, those beyond `usual` are in doubt.

    Take a high quantile and the median of the absolute residuals before: a few labels that were tampered with fill the
    tail and leave the middle where it was.
    """
    import numpy as np

    size = np.abs(residual)
    return Judged(features, size > far, np.ones(len(size), dtype=np.bool_), size > usual)


def poisoning(before: Judged, now: Judged) -> Poisoning:
    """Return FAIL when labels of `now` contradict what the champion was sure of, as those of `before` did not."""
    if min(len(before.wrong), len(now.wrong)) < MIN_ROWS:
        words = f"{len(now.wrong)} labelled rows against {len(before.wrong)}; at least {MIN_ROWS} are needed"
        return Poisoning(Verdict.INCONCLUSIVE, words)
    hot = _hot(before, now)
    triggers = tuple(one.words for one in hot if one.mark)
    found, expected, significant = _disagreement(before, _without(now, [one for one in hot if not one.mark]))
    words = f"{found:.1%} of {int(now.sure.sum())} labels contradict sure answers, {expected:.1%} before"
    if triggers:
        words = f"rows with {'; '.join(triggers[:3])} contradict the champion; {words}"
    verdict = Verdict.FAIL if triggers or significant else Verdict.PASS
    return Poisoning(verdict, words, found, expected, triggers)


def _rate(wrong: "NDArray[np.bool_]") -> float:
    return float((wrong.sum() + 1) / (len(wrong) + 2))


def _disagreement(before: Judged, now: Judged) -> tuple[float, float, bool]:
    """Return contradicted sure answers now and before, and whether flipped labels are what explains the rise."""
    from scipy.stats import betabinom

    n, m = int(now.sure.sum()), int(before.sure.sum())
    if min(n, m) < MIN_SURE:
        return 0.0, 0.0, False
    wrong_now, wrong_before = int(now.wrong[now.sure].sum()), int(before.wrong[before.sure].sum())
    found, expected = wrong_now / n, wrong_before / m
    # Both rates are estimates: the predictive distribution of the count, with Jeffreys' prior on the rate before.
    chance = float(betabinom.sf(wrong_now - 1, n, wrong_before + 0.5, m - wrong_before + 0.5))
    flipped = (found - expected) / max(1 - 2 * expected, 0.1)
    few = MIN_EXCESS < flipped < MAX_FLIPPED
    return found, expected, bool(chance < ALPHA and few and _as_flips_would(before, now, flipped))


def _as_flips_would(before: Judged, now: Judged, flipped: float) -> bool:
    """Did the doubted answers go wrong by no more than flips of that share make them?"""
    n, m = len(now.doubted), len(before.doubted)
    if min(n, m) < MIN_SURE:
        return True
    was, are = float(before.doubted.mean()), float(now.doubted.mean())
    se = (was * (1 - was) / m + are * (1 - are) / n) ** 0.5
    return bool(are - was <= flipped * (1 - was) + 1.5 * se)


@dataclass(frozen=True)
class _Hot:
    """A value whose rows mostly contradict the champion; whether it is a mark, or a place where the world changed."""

    words: str
    rows: "NDArray[np.int64]"
    mark: bool


def _hot(before: Judged, now: Judged) -> list[_Hot]:
    """Return the values whose rows contradict the champion mostly, and more than chance given all values looked at."""
    from scipy.stats import binom

    values = [
        (name, value, at, int(now.wrong[at].sum()))
        for name in sorted(now.features.columns)
        for value, at in _repeated(now.features[name])
    ]
    overall = max(_rate(before.wrong), float(now.wrong.mean()))
    return [
        _Hot(
            f"{name} = {value} ({wrong} of {len(at)})",
            at,
            _is_mark(before, now, name, value, at),
        )
        for name, value, at, wrong in values
        if wrong / len(at) > max(_TRIGGER_SHARE, 2 * overall)
        and float(binom.sf(wrong - 1, len(at), overall)) < ALPHA / len(values)
    ]


def _without(now: Judged, places: list[_Hot]) -> Judged:
    """Return the rows but those of some values: flips are anywhere, a change that has a place is the world's."""
    import numpy as np

    keep = np.ones(len(now.wrong), dtype=np.bool_)
    for one in places:
        keep[one.rows] = False
    return replace(now, features=now.features[keep], wrong=now.wrong[keep], sure=now.sure[keep], times=None)


def _is_mark(before: Judged, now: Judged, name: str, value: Any, at: "NDArray[np.int64]") -> bool:
    """Return whether a value is on few rows of many times, on many more than before, and unlike its neighbours."""
    rows = len(now.wrong)
    times = len(at) if now.times is None else len(set(now.times[at].tolist()))
    if len(at) > MAX_FLIPPED * rows or times < MIN_TRIGGER_ROWS:
        return False
    earlier = int((before.features[name] == value).sum()) if name in before.features else 0
    risen = len(at) / rows > _MARK_RISE * (earlier + 1) / max(len(before.wrong), 1)
    return risen and not _among_alike(now, name, value, at)


def _among_alike(now: Judged, name: str, value: Any, at: "NDArray[np.int64]") -> bool:
    """Do the rows with the nearest other numbers, as many, contradict at least half as often?"""
    import numpy as np
    import pandas as pd

    column = now.features[name]
    if not pd.api.types.is_numeric_dtype(column):
        return False
    apart = np.abs(column.to_numpy(dtype=np.float64) - float(value))
    apart[at] = np.inf
    nearest = np.argsort(apart, kind="stable")[: len(at)]
    return bool(now.wrong[nearest].mean() >= now.wrong[at].mean() / 2)


def _repeated(column: "pd.Series[Any]") -> "list[tuple[Any, NDArray[np.int64]]]":
    """Return values that come again and again, with the places of their rows; the most frequent first."""
    import numpy as np

    values = column.reset_index(drop=True)
    counts = values.value_counts()
    often = counts[counts >= MIN_TRIGGER_ROWS].sort_index().sort_values(ascending=False, kind="stable")
    return [(value, np.flatnonzero((values == value).to_numpy())) for value in often.index[:_MAX_VALUES]]
