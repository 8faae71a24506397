"""Drift checks side by side: ours, those in use elsewhere, and those that were tried."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from retrain_pipeline.monitoring.distances import jensen_shannon, psi
from retrain_pipeline.monitoring.drift import drift
from retrain_pipeline.monitoring.readings import Reading, cells, readings_of
from retrain_pipeline.monitoring.summaries import Profile, merge_profiles
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.bench.streams import cells_of, summarized

RUN_LENGTH = 200.0
PERIODS = 26
# The pooled reference of 26 periods; a test of so many rows against more gains nothing.
_KS_ROWS = 20_000


@dataclass(frozen=True)
class Look:
    """One look: the rows now, and what is known of the reference."""

    now: np.ndarray
    past: np.ndarray
    current: Profile
    whole: Profile
    periods: list[Profile]


def ours(look: Look) -> float:
    """Largest ratio of statistic and threshold: above 1 is an alarm."""
    found = drift(look.whole, look.current.columns, RUN_LENGTH, periods=look.periods)
    ratios = [r.statistic / r.threshold for r in found.results if r.statistic is not None and r.threshold]
    # the unit check alarms without a threshold, a blind column does not alarm
    return max(*ratios, 1.01) if found.verdict is Verdict.FAIL else min(max(ratios), 1.0)


def chi_squared(look: Look) -> float:
    """PSI against the chi-squared null of independent rows, minimum 0.1, Bonferroni: what this project had before."""
    worst = 0.0
    for name, before in look.whole.columns.items():
        sides = np.array([cells(before), cells(look.current.columns[name])], dtype=float)
        used = sides[:, sides.sum(axis=0) > 0]
        n, m = used.sum(axis=1)
        dof = max(used.shape[1] - 1, 1)
        scale = 1 / n + 1 / m
        limit = max(stats.chi2.isf(1 / RUN_LENGTH / len(look.whole.columns), dof) * scale, 0.1 + dof * scale)
        worst = max(worst, psi(before, look.current.columns[name]) / limit)
    return worst


def psi_fixed(look: Look) -> float:
    """PSI above 0.2 in any column."""
    return max(psi(b, look.current.columns[name]) for name, b in look.whole.columns.items()) / 0.2


def kolmogorov_smirnov(look: Look) -> float:
    """Two-sample KS with Bonferroni, at the same declared rate."""
    level = 1 / RUN_LENGTH / look.now.shape[1]
    step = max(len(look.past) // _KS_ROWS, 1)
    p = [stats.ks_2samp(look.past[::step, i], look.now[:, i]).pvalue for i in range(look.now.shape[1])]
    return float(np.log(max(min(p), 1e-300)) / np.log(level))


def three_sigma(look: Look) -> float:
    """Jensen-Shannon beyond mean ± 3 sd of that of the reference's periods, in any column (as NannyML does)."""
    worst = 0.0
    for name, before in look.whole.columns.items():
        known = [jensen_shannon(before, one.columns[name]) for one in look.periods]
        limit = np.mean(known) + 3 * np.std(known)
        worst = max(worst, jensen_shannon(before, look.current.columns[name]) / max(limit, 1e-12))
    return worst


def _readings(look: Look) -> list[Reading]:
    columns = look.whole.columns.items()
    known = {name: [one.columns[name] for one in look.periods] for name, _ in columns}
    return [r for name, c in columns for r in readings_of(name, c, known[name], look.current.columns[name])]


def student(look: Look) -> float:
    """Tried: the same readings, each against a t prediction interval from its own reference periods."""
    worst = 0.0
    for one in _readings(look):
        spread = max(float(one.past.std(ddof=1)), one.n**-0.5) * (1 + 1 / PERIODS) ** 0.5
        level = one.weight / RUN_LENGTH / len(look.whole.columns)
        worst = max(worst, abs(one.shift) / spread / float(stats.t.isf(level / 2, PERIODS - 1)))
    return worst


def block_bootstrap(look: Look) -> float:
    """Tried: the largest studentized reading against its moving-block bootstrap over the reference periods."""
    readings = _readings(look)
    past = np.array([one.past for one in readings]).T
    scale = np.maximum(past.std(axis=0, ddof=1), np.array([one.n for one in readings]) ** -0.5)
    rng = np.random.default_rng(0)
    starts = rng.integers(0, PERIODS - 2, (1000, PERIODS // 3))
    means = past[(starts[:, :, None] + np.arange(3)).reshape(1000, -1)].mean(axis=1)
    drawn = past[rng.integers(0, PERIODS, 1000)]
    limit = np.quantile(np.max(np.abs(drawn - means) / scale, axis=1), 1 - 1 / RUN_LENGTH)
    return float(np.max(np.abs([one.shift for one in readings]) / scale) / limit)


PEERS: dict[str, Callable[[Look], float]] = {
    "ours": ours,
    "t interval (tried)": student,
    "block bootstrap, max (tried)": block_bootstrap,
    "PSI, χ² null": chi_squared,
    "PSI > 0.2": psi_fixed,
    "KS, Bonferroni": kolmogorov_smirnov,
    "JS, 3 sd": three_sigma,
}


def looks_of(values: np.ndarray, shift: float = 0.0) -> list[Look]:
    """Return the looks of one stream: the first periods are its reference; `shift` moves a column of the rest."""
    past = values[:PERIODS].reshape(-1, values.shape[2])
    past = past[:, [np.isfinite(column).sum() > 100 for column in past.T]]
    kept = [np.isfinite(column).sum() > 100 for column in values[:PERIODS].reshape(-1, values.shape[2]).T]
    edges = cells_of(past)
    periods = [summarized(one[:, kept], edges) for one in values[:PERIODS]]
    whole = merge_profiles(periods)
    found = []
    for one in values[PERIODS:]:
        now = one[:, kept].copy()
        now[:, 0] += shift
        found.append(Look(now, past, summarized(now, edges), whole, periods))
    return found


def alarms(looks: list[Look], peer: Callable[[Look], float]) -> list[bool]:
    """Return which looks a peer alarms at."""
    return [peer(look) > 1 for look in looks]
