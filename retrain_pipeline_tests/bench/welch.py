"""The loss test that the e-detector replaced: Welch's t of the newest weeks against validation and the weeks before."""

import numpy as np
from scipy.stats import t

LONG_DAYS, SHORT_DAYS, SHORT_SHARE, LOOKS_SHARE, MIN_RISE = 28, 7, 0.1, 2.0, 0.05
Estimate = tuple[float, float, float]
"""Mean, standard error, degrees of freedom."""


def estimate(days: np.ndarray) -> Estimate:
    """Return the mean of days with a standard error that allows for their lag-1 autocorrelation (Kendall's bias)."""
    n, residual = len(days), days - days.mean()
    total = float(residual @ residual)
    variance, dof = total / (n - 1) / n, n - 1.0
    if n > 2 and total > 0:
        rho = min(max(float(residual[1:] @ residual[:-1]) / total + 1 / n, 0.0), 0.9)
        variance, dof = variance * (1 + rho) / (1 - rho), max(1.0, dof * (1 - rho) / (1 + rho))
    return float(days.mean()), float(variance**0.5), dof


def risen(now: Estimate, before: Estimate, level: float) -> bool:
    """Welch and Satterthwaite's test, one-sided, and a rise of 5 %."""
    variance = now[1] ** 2 + before[1] ** 2
    dof = variance**2 / (now[1] ** 4 / now[2] + before[1] ** 4 / before[2])
    significant = (now[0] - before[0]) / variance**0.5 > t.isf(level, max(dof, 1.0))
    return bool(significant and now[0] > before[0] * (1 + MIN_RISE))


def first_alarm(known: np.ndarray, days: np.ndarray, run_length: float) -> int | None:
    """Return the day of the first alarm; looks are weekly."""
    validated = estimate(known)
    for end in range(7, len(days) + 1, 7):
        long, short = estimate(days[max(0, end - LONG_DAYS) : end]), estimate(days[end - SHORT_DAYS : end])
        short = (short[0], max(short[1], validated[1] * (len(known) / SHORT_DAYS) ** 0.5), short[2])
        baselines = [validated]
        if end - LONG_DAYS >= LONG_DAYS:
            baselines.append(estimate(days[: end - LONG_DAYS]))
        level = LOOKS_SHARE / run_length / len(baselines)
        levels = [(long, level * (1 - SHORT_SHARE)), (short, level * SHORT_SHARE)]
        if any(risen(window, one, share) for one in baselines for window, share in levels):
            return end
    return None
