"""Is the candidate good enough? Quality against the champion, baselines, the declared success, slices.

Losses are row losses, lower is better. "Not worse than the reference beyond a share m" is judged as one paired mean:
mean(candidate) ≤ (1 + m)·mean(reference) is mean(candidate − (1 + m)·reference) ≤ 0, so the sampling error of the
reference's own loss is in the bound. For `rmse` the row loss is a squared error: a share m of the root is
(1 + m)² − 1 of the mean.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from retrain_pipeline.gates.evidence import GateResult, Mode
from retrain_pipeline.learning.paired import (
    MIN_BLOCKS,
    MeanInterval,
    batch_mean_interval,
    block_mean_interval,
    paired_interval,
)
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

MIN_SLICE_ROWS = 30


@dataclass(frozen=True)
class Paired:
    """Row losses of a candidate and of a reference on the same rows, and how they are compared."""

    candidate: "NDArray[np.float64]"
    reference: "NDArray[np.float64]"
    event_time: Any
    metric: str
    margin: float
    alpha: float
    block_hours: float
    min_rows: int
    seed: int
    spent: float | None = None
    """The level that `quality` may spend of the error budget; None where a comparison is not charged to it."""

    def interval(self, margin: float = 0.0, alpha: float | None = None) -> MeanInterval:
        """Bounds of mean(candidate − (1 + margin) × reference), the margin on the scale of the metric."""
        allowed, level = self.reference * (1 + loss_margin(self.metric, margin)), alpha or self.alpha
        return paired_interval(
            self.candidate, allowed, self.event_time, block_hours=self.block_hours, alpha=level, seed=self.seed
        )

    def charged_bound(self, margin: float, spent: float) -> float:
        """Upper bound of the same at a level of the error budget: the higher of resampled blocks' and whole blocks'."""
        allowed = self.reference * (1 + loss_margin(self.metric, margin))
        whole = batch_mean_interval(
            self.candidate - allowed, self.event_time, block_hours=self.block_hours, alpha=spent
        )
        return max(self.interval(margin, spent).high, whole.high)

    def rows(self, chosen: "NDArray[np.bool_]", **changes: Any) -> "Paired":
        """Return the comparison on some of the rows."""
        return replace(
            self,
            candidate=self.candidate[chosen],
            reference=self.reference[chosen],
            event_time=self.event_time[chosen],
            **changes,
        )


def loss_margin(metric: str, margin: float) -> float:
    """Return a margin on the metric as a share of the mean row loss.

    >>> round(loss_margin("rmse", 0.1), 2), loss_margin("mae", 0.1)
    (0.21, 0.1)
    """
    return float((1 + margin) ** 2 - 1 if metric == "rmse" else margin)


def metric_value(metric: str, mean_loss: float) -> float:
    """Return the metric of a mean row loss: the root for `rmse`, else the mean itself."""
    return float(mean_loss**0.5 if metric == "rmse" else mean_loss)


def cannot_compare(gate: str, paired: Paired, reference: str) -> GateResult | None:
    """Return a result when the rows cannot carry a comparison: losses that are not finite, or too few rows."""
    import numpy as np

    n = len(paired.candidate)
    for losses, name, verdict in (
        (paired.candidate, "candidate", Verdict.FAIL),
        (paired.reference, reference, Verdict.INCONCLUSIVE),
    ):
        lost = int((~np.isfinite(losses)).sum())
        if lost:
            words = f"the {name}'s loss is not finite on {lost} of {n} rows: it is no number to compare"
            return GateResult(gate=gate, verdict=verdict, n=n, words=words)
    if n < paired.min_rows:
        words = f"{n} rows to compare on, gates.min_rows asks for {paired.min_rows}"
        return GateResult(gate=gate, verdict=Verdict.INCONCLUSIVE, n=n, words=words)
    return None


def quality(paired: Paired, mode: Mode, *, gate: str = "quality", reference: str | None = None) -> GateResult:
    """Judge the mean paired loss difference.

    `first` and `superiority`: the candidate is better than the reference (the dummy, the champion) when the upper bound
    of the difference is below 0. `non_inferiority`: not worse beyond the margin when that of the difference to
    (1 + margin) × reference is at most 0. FAIL when the lower bound is above 0; INCONCLUSIVE between.

    The upper bound is at the level that the error budget grants (`paired.spent`), by whole blocks, too: to pass is what
    may be false. To fail spends nothing, so the lower bound is at the declared level.
    """
    reference = reference or ("dummy" if mode == "first" else "champion")
    stopped = cannot_compare(gate, paired, reference)
    if stopped:
        return stopped
    found = paired.interval()
    if not found.enough:
        words = f"{found.blocks} blocks of {paired.block_hours:g} h hold rows, {MIN_BLOCKS} are needed for an interval"
        return GateResult(gate=gate, verdict=Verdict.INCONCLUSIVE, n=found.n, words=words)
    words = (
        f"mean {paired.metric} row loss minus the {reference}'s: {found.mean:.4g} [{found.low:.4g}, {found.high:.4g}]"
    )
    judged, margin = found, 0.0
    if mode == "non_inferiority":
        judged, margin = paired.interval(paired.margin), paired.margin
        words += f"; minus {1 + margin:g} times it: [{judged.low:.4g}, {judged.high:.4g}]"
    high = judged.high
    if paired.spent is not None:
        high = paired.charged_bound(margin, paired.spent)
        words += f"; at the {paired.spent:.2g} that may be spent the upper bound is {high:.4g}"
    # An exact copy has bounds of 0: not worse, and not better.
    within = high <= 0 if mode == "non_inferiority" else high < 0
    return GateResult(
        gate=gate,
        verdict=Verdict.PASS if within else Verdict.FAIL if judged.low > 0 else Verdict.INCONCLUSIVE,
        statistic=high,
        threshold=0.0,
        n=found.n,
        interval=(found.low, found.high),
        words=f"{words}; asked: upper bound {'at most' if mode == 'non_inferiority' else 'below'} 0 ({mode})",
    )


def baseline(dummy: Paired | None, linear: Paired | None) -> GateResult:
    """A simpler model of the same training set does not do as well: better than the dummy, and not worse than the
    linear one beyond the margin. A baseline that is missing is INCONCLUSIVE."""
    if dummy is None or linear is None:
        missing = " and ".join(name for name, found in (("dummy", dummy), ("linear", linear)) if found is None)
        return GateResult(gate="baseline", verdict=Verdict.INCONCLUSIVE, words=f"no {missing} baseline to compare with")
    beside = quality(linear, "non_inferiority", gate="baseline", reference="linear model")
    return all_of(beside, quality(dummy, "first", gate="baseline"))


def all_of(*results: GateResult) -> GateResult:
    """Return one result of several comparisons that must all hold: the first of the worst verdict, in words of all."""
    verdict = worst(result.verdict for result in results)
    telling = next(result for result in results if result.verdict is verdict)
    return telling.model_copy(update={"words": "; ".join(result.words for result in results)})


def success(
    losses: "NDArray[np.float64]",
    champion_losses: "NDArray[np.float64] | None",
    event_time: Any,
    *,
    metric: str,
    at_most: float,
    margin: float,
    alpha: float,
    block_hours: float,
    seed: int,
) -> GateResult:
    """Does the candidate reach the level that the problem declares?

    The first release has to. A later one has to as well, unless the champion misses it too: then it must not be worse
    than the champion beyond the margin, since refusing would keep the worse model. PASS is by the measured value; a
    miss is FAIL when the lower bound misses too, otherwise INCONCLUSIVE.
    """
    import numpy as np

    if not len(losses):
        return GateResult(gate="success", verdict=Verdict.INCONCLUSIVE, n=0, words="no rows to measure on")
    if not np.isfinite(losses).all():
        return GateResult(
            gate="success", verdict=Verdict.FAIL, n=len(losses), words="the candidate's loss is not finite"
        )
    found = block_mean_interval(losses, event_time, block_hours=block_hours, alpha=alpha, seed=seed)
    value, low = metric_value(metric, found.mean), metric_value(metric, max(found.low, 0.0))
    threshold, against = at_most, "problem.success.at_most"
    if champion_losses is not None and np.isfinite(champion_losses).all():
        champion = metric_value(metric, float(champion_losses.mean()))
        if champion > at_most:
            threshold = champion * (1 + margin)
            against = f"the champion's {champion:.4g} and the margin, as it misses at_most {at_most:g} too"
    verdict = Verdict.PASS if value <= threshold else Verdict.FAIL if low > threshold else Verdict.INCONCLUSIVE
    words = f"{metric} {value:.4g} on the evaluation rows, asked at most {threshold:.4g} ({against})"
    return GateResult(gate="success", verdict=verdict, statistic=value, threshold=threshold, n=found.n, words=words)


def slices(paired: Paired, values: "pd.DataFrame", declared: tuple[str, ...], *, slice_margin: float) -> GateResult:
    """No value of a declared slice is worse than the reference beyond `slice_margin` of the reference's loss there.

    A slice is worse when the lower bound of its paired difference, at `alpha` divided by the number of slices looked
    at (Bonferroni), is beyond the margin. Values with fewer than 30 rows or 8 blocks are named, not judged.
    """
    import numpy as np

    missing = [name for name in declared if name not in values.columns]
    if missing:
        words = f"no values of {', '.join(missing)} for the evaluation rows"
        return GateResult(gate="slices", verdict=Verdict.INCONCLUSIVE, words=words)
    if not declared:
        return GateResult(gate="slices", verdict=Verdict.PASS, n=0, words="no slices are declared")
    stopped = cannot_compare("slices", paired, "reference")
    if stopped:
        return stopped
    parts: dict[str, NDArray[np.bool_]] = {}
    for column in declared:
        texts = values[column].astype("string").fillna("(missing)").to_numpy()
        parts.update({f"{column}={value}": np.asarray(texts == value) for value in sorted(set(texts))})
    looked = {name: chosen for name, chosen in parts.items() if int(chosen.sum()) >= MIN_SLICE_ROWS}
    return _judge_slices(paired, looked, sorted(parts.keys() - looked.keys()), slice_margin)


def _judge_slices(
    paired: Paired, looked: "dict[str, NDArray[np.bool_]]", small: list[str], slice_margin: float
) -> GateResult:
    found = []
    for name, chosen in looked.items():
        part = paired.rows(chosen, alpha=paired.alpha / len(looked))
        interval = part.interval(slice_margin)
        if interval.enough:
            found.append((interval.low, name, interval))
        else:
            small.append(name)
    note = f"; too few rows or blocks to judge: {', '.join(sorted(small))}" if small else ""
    if not found:
        return GateResult(gate="slices", verdict=Verdict.INCONCLUSIVE, words=f"no slice has rows enough{note}"[:2000])
    excess, name, interval = max(found, key=lambda one: one[0])
    bad = sorted(slice_name for over, slice_name, _ in found if over > 0)
    said = f"worse beyond the margin: {', '.join(bad)}" if bad else "no slice is worse beyond the margin"
    words = f"{len(found)} slices: {said}; nearest to it {name}{note}"
    return GateResult(
        gate="slices",
        verdict=Verdict.FAIL if bad else Verdict.PASS,
        statistic=excess,
        threshold=0.0,
        n=interval.n,
        interval=(interval.low, interval.high),
        words=words[:2000],
    )
