"""Evidence while a model serves: bounds that hold at every look, and whether the arms are the arms that were meant.

A confidence sequence covers the mean at all looks together with probability 1 − alpha, so that a rollout may be looked
at each period and stopped at any. Its observations are blocks of time, not rows: losses of neighbours depend.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.learning.paired import MIN_BLOCKS
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

RATIO_ALPHA = 0.001
"""A split that is off stops every reading: it is called once in a thousand rollouts by chance."""
ENOUGH_AGAINST = 6
"""Blocks from which bounds may speak against a model: a week of days. To speak for it they need `MIN_BLOCKS`."""
_MICROSECONDS = 3_600_000_000
_MOST_CARRIED = 0.9


@dataclass(frozen=True)
class MeanSequence:
    """A mean of blocks, and bounds that hold at this look and at all before and after it."""

    mean: float
    low: float
    high: float
    blocks: int

    @property
    def enough(self) -> bool:
        """There were blocks enough to know their spread."""
        return self.blocks >= MIN_BLOCKS


def mean_sequence(
    blocks: "NDArray[np.float64]", *, alpha: float, expected: int, effective: float | None = None
) -> MeanSequence:
    """Return the bounds of a running mean after `len(blocks)` independent observations.

    Parameters
    ----------
    blocks
        One number a block, shape (n,), in the order of time.
    alpha
        P(the true mean is outside at any look) ≤ alpha, half of it on each side.
    expected
        Blocks at which the bounds shall be tightest.
    effective
        As many blocks of equal rows would tell as much of the spread (`Blocks.effective`); None: all are equal.

    Notes
    -----
    The asymptotic sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024, *Annals of Statistics* 52:2613,
    Theorem 2.2): mean ± sd·√(2(nρ² + 1)/(n²ρ²)·ln(√(nρ² + 1)/α)), ρ² = (−2 ln α + ln(−2 ln α + 1))/expected. It knows
    the spread; of few blocks the spread is a guess, so it is widened as Student's t is wider than the normal. Where
    neighbouring blocks still go together, it is widened as for a first-order autoregression.
    """
    import numpy as np
    from scipy import stats

    n = len(blocks)
    if n < 2:
        return MeanSequence(float(blocks.mean()) if n else 0.0, -math.inf, math.inf, n)
    mean, sd = float(blocks.mean()), float(np.std(blocks, ddof=1)) * _carried(blocks)
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / max(expected, 1)
    reach = n * rho2 + 1
    normal = math.sqrt(2 * reach / (n * n * rho2) * math.log(math.sqrt(reach) / alpha))
    # the level at which a look at n blocks alone would be this wide
    level = max(float(stats.norm.sf(normal * math.sqrt(n))), 1e-12)
    half = sd * float(stats.t.isf(level, max((effective or n) - 1, 1))) / math.sqrt(n)
    return MeanSequence(mean, mean - half, mean + half, n)


def _carried(blocks: "NDArray[np.float64]") -> float:
    """Return √((1 + r)/(1 − r)), r the correlation of neighbours where it is positive; its bias is about −1/n."""
    import numpy as np

    centred = blocks - blocks.mean()
    total = float(centred @ centred)
    if not total:
        return 1.0
    r = float(centred[1:] @ centred[:-1]) / total + 1 / len(blocks)
    return float(np.sqrt((1 + (kept := min(max(r, 0.0), _MOST_CARRIED))) / (1 - kept)))


@dataclass(frozen=True)
class Blocks:
    """Rows summed up by block of time."""

    values: "NDArray[np.float64]"
    """One observation a block, in order, shape (blocks,). Their mean is the mean of all rows."""
    effective: float
    """(Σ rows)² / Σ rows²: as many blocks of equal rows."""


def block_means(values: "NDArray[np.float64]", event_time: Any, block_hours: float) -> Blocks:
    """Return one observation a block of time: the mean of all rows, and by how much the block's rows move it.

    What a block adds to the spread is how its rows differ from the mean, weighted by their number, and not how many
    they are: the days of a canary hold a few rows beside those of the shadow before it. (The linearised ratio, Cochran
    1977, *Sampling Techniques*, §6.4. With sums alone, a mean that is far from 0 would spread its own bounds.)
    """
    import numpy as np
    import pandas as pd

    micros = pd.to_datetime(pd.Series(event_time), utc=True).dt.as_unit("us").astype("int64").to_numpy()
    cells = np.floor(micros / (block_hours * _MICROSECONDS)).astype(np.int64)
    _, block = np.unique(cells, return_inverse=True)
    if not len(cells):
        return Blocks(np.empty(0), 0.0)
    rows, mean = np.bincount(block), float(values.mean())
    apart = np.bincount(block, values) - mean * rows
    return Blocks(mean + apart * (len(rows) / len(values)), len(values) ** 2 / float(np.square(rows).sum()))


@dataclass(frozen=True)
class Trial:
    """Row losses of the model on trial and of the one that it is compared with, on the same rows."""

    trial: "NDArray[np.float64]"
    reference: "NDArray[np.float64]"
    event_time: Any
    metric: str
    margin: float
    alpha: float
    block_hours: float
    min_rows: int
    expected_blocks: int


def online_loss(found: Trial, names: tuple[str, str]) -> GateResult:
    """Judge the paired losses of a rollout so far.

    PASS: not worse beyond the margin; FAIL: worse beyond it; both by a bound that holds at every look. INCONCLUSIVE
    between, or with too few rows or blocks. To take a model back costs little where it was in order, so it takes fewer
    blocks (`ENOUGH_AGAINST`; of few blocks the bounds are wide).
    """
    import numpy as np

    from retrain_pipeline.gates.quality import loss_margin

    trial, reference = names
    n = len(found.trial)
    lost = int((~np.isfinite(found.trial)).sum())
    if lost:
        words = f"the loss of {trial} is not finite on {lost} of {n} rows"
        return GateResult(gate="online_loss", verdict=Verdict.FAIL, n=n, words=words)
    if not np.isfinite(found.reference).all():
        words = f"the loss of {reference} is not finite: there is nothing to compare with"
        return GateResult(gate="online_loss", verdict=Verdict.INCONCLUSIVE, n=n, words=words)
    allowed = found.reference * (1 + loss_margin(found.metric, found.margin))
    blocks = block_means(found.trial - allowed, found.event_time, found.block_hours)
    bounds = mean_sequence(blocks.values, alpha=found.alpha, expected=found.expected_blocks, effective=blocks.effective)
    against = bounds.low > 0 and bounds.blocks >= ENOUGH_AGAINST
    if n < found.min_rows or not (bounds.enough or against):
        words = (
            f"{n} rows with a label in {bounds.blocks} blocks of {found.block_hours:g} h, "
            f"{found.min_rows} rows in {MIN_BLOCKS} blocks are needed"
        )
        return GateResult(gate="online_loss", verdict=Verdict.INCONCLUSIVE, n=n, words=words)
    verdict = Verdict.PASS if bounds.high <= 0 else Verdict.FAIL if against else Verdict.INCONCLUSIVE
    plain = float(found.trial.mean() - found.reference.mean())
    words = (
        f"mean {found.metric} row loss of {trial} minus that of {reference}: {plain:.4g}; minus {1 + found.margin:g} "
        f"times it: {bounds.mean:.4g} [{bounds.low:.4g}, {bounds.high:.4g}] in {bounds.blocks} blocks, "
        "bounds that hold at every look"
    )
    return GateResult(
        gate="online_loss",
        verdict=verdict,
        statistic=bounds.high,
        threshold=0.0,
        n=n,
        interval=(bounds.low, bounds.high),
        words=words,
    )


def sample_ratio(counts: "Mapping[str, int]", shares: "Mapping[str, float]") -> GateResult:
    """Judge whether entities were split as declared, at any look.

    Parameters
    ----------
    counts, shares
        Entities by arm, and the declared probability of each arm; arms of share 0 must be empty.

    Notes
    -----
    The sequential test of Lindon and Malek (2022, *Anytime-valid inference for multinomial count data*): the Bayes
    factor of a Dirichlet prior around the declared shares, with one prior entity an arm, against these shares. Under
    the declared split it exceeds 1/alpha at any time with probability at most alpha.
    """
    arms = sorted(set(counts) | set(shares))
    meant = {arm: shares.get(arm, 0.0) for arm in arms}
    stray = {arm: counts[arm] for arm in arms if not meant[arm] and counts.get(arm, 0)}
    n = sum(counts.values())
    if stray:
        words = f"entities in an arm that has no share: {stray}"
        return GateResult(gate="sample_ratio", verdict=Verdict.FAIL, n=n, words=words)
    if not n:
        return GateResult(gate="sample_ratio", verdict=Verdict.INCONCLUSIVE, n=0, words="no entity was routed yet")
    held = [arm for arm in arms if meant[arm]]
    evidence = _log_bayes_factor([counts.get(arm, 0) for arm in held], [meant[arm] for arm in held])
    threshold = math.log(1 / RATIO_ALPHA)
    verdict = Verdict.PASS if evidence <= threshold else Verdict.FAIL
    split = ", ".join(f"{arm} {counts.get(arm, 0)} ({meant[arm]:.1%} meant)" for arm in held)
    return GateResult(
        gate="sample_ratio",
        verdict=verdict,
        statistic=evidence,
        threshold=threshold,
        n=n,
        words=f"entities by arm: {split}; log evidence against that split {evidence:.2f}, limit {threshold:.2f}",
    )


def _log_bayes_factor(counts: "Sequence[int]", shares: "Sequence[float]") -> float:
    """Return ln of P(counts | Dirichlet around the shares) / P(counts | the shares)."""
    total, prior = sum(counts), float(len(counts))
    found = math.lgamma(prior) - math.lgamma(prior + total)
    for count, share in zip(counts, shares, strict=True):
        alpha = prior * share
        found += math.lgamma(alpha + count) - math.lgamma(alpha) - count * math.log(share)
    return found
