"""Do the numbers mean what they say? Probabilities against frequencies, residuals around zero.

Miscalibration is always reported. It fails a candidate only when it is large, beyond what chance gives, and no smaller
than the champion's: a candidate that is off but less so than the champion is an improvement.
"""

from typing import TYPE_CHECKING, Any

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.learning.paired import block_mean_interval
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 10
MAX_ECE = 0.10
"""Probabilities that are off by 10 points on average mislead whoever acts on them."""
MAX_BIAS_SHARE = 0.5
"""A bias of half the mean absolute residual: half of the error is one constant that should have been learned."""
_NULL_DRAWS = 200
_NULL_QUANTILE = 0.99


def expected_calibration_error(probability: "NDArray[np.float64]", truth: "NDArray[np.float64]") -> float:
    """Return the expected calibration error over ten bins of equal count (Nixon et al. 2019, adaptive bins)."""
    import numpy as np

    order = np.argsort(probability, kind="stable")
    gaps = np.array_split((truth - probability)[order], BINS)
    return float(sum(abs(gap.sum()) for gap in gaps) / len(truth))


def binary_calibration(
    score: "NDArray[np.float64]",
    truth: "NDArray[np.float64]",
    champion_score: "NDArray[np.float64] | None",
    *,
    seed: int,
) -> GateResult:
    """Judge the ECE of probabilities against 0.10, its 99 % quantile were they right, and the champion's."""
    import numpy as np

    n = len(truth)
    if not n or not np.isfinite(score).all() or score.min() < 0 or score.max() > 1:
        words = "the candidate gives no probabilities for these rows: calibration cannot be told"
        return GateResult(gate="calibration", verdict=Verdict.INCONCLUSIVE, n=n, words=words)
    rng = np.random.default_rng(seed)
    null = [expected_calibration_error(score, (rng.random(n) < score).astype(float)) for _ in range(_NULL_DRAWS)]
    chance = float(np.quantile(null, _NULL_QUANTILE))
    found = expected_calibration_error(score, truth)
    threshold, against = max(MAX_ECE, chance), f"limit {MAX_ECE:g}, by chance {chance:.3f}"
    if champion_score is not None and np.isfinite(champion_score).all():
        champion = expected_calibration_error(champion_score, truth)
        threshold, against = max(threshold, champion), f"{against}, champion {champion:.3f}"
    verdict = Verdict.PASS if found <= threshold else Verdict.FAIL
    words = f"expected calibration error {found:.3f} ({against})"
    return GateResult(gate="calibration", verdict=verdict, statistic=found, threshold=threshold, n=n, words=words)


def residual_bias(
    residual: "NDArray[np.float64]",
    champion_residual: "NDArray[np.float64] | None",
    event_time: Any,
    *,
    alpha: float,
    block_hours: float,
    seed: int,
) -> GateResult:
    """Judge the mean residual (label − prediction) as a share of the mean absolute one, if its interval excludes 0."""
    import numpy as np

    n = len(residual)
    if not n or not np.isfinite(residual).all():
        words = "the candidate's residuals are not finite: bias cannot be told"
        return GateResult(gate="calibration", verdict=Verdict.INCONCLUSIVE, n=n, words=words)
    found = block_mean_interval(residual, event_time, block_hours=block_hours, alpha=alpha / 2, seed=seed)
    interval = (found.low, found.high) if found.enough else None
    share = _bias_share(residual)
    threshold, against = MAX_BIAS_SHARE, f"limit {MAX_BIAS_SHARE:g}"
    if champion_residual is not None and np.isfinite(champion_residual).all():
        champion = _bias_share(champion_residual)
        threshold, against = max(threshold, champion), f"{against}, champion {champion:.2f}"
    proven = found.enough and (found.low > 0 or found.high < 0)
    words = f"mean residual {found.mean:.4g}, {share:.2f} of the mean absolute one ({against})"
    verdict = Verdict.PASS if share <= threshold else Verdict.FAIL if proven else Verdict.INCONCLUSIVE
    return GateResult(
        gate="calibration", verdict=verdict, statistic=share, threshold=threshold, n=n, interval=interval, words=words
    )


def _bias_share(residual: "NDArray[np.float64]") -> float:
    import numpy as np

    scale = float(np.abs(residual).mean())
    return float(abs(residual.mean()) / scale) if scale else 0.0


def not_calibrated(n: int) -> GateResult:
    """Return the result for tasks whose predictions carry no single probability."""
    words = "class names carry no single probability: calibration is not looked at"
    return GateResult(gate="calibration", verdict=Verdict.PASS, n=n, words=words)
