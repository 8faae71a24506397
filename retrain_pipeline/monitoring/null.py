"""The null distribution of a reading: how far a period lies from the reference when nothing but chance moved it.

It is learned from the champion's own reference periods. A reading of period k is μ + the chance of n_k independent
rows, of variance 1/n_k, + what dependence between rows and differences between periods add: (φ − 1)/n_k, where φ ≥ 1 is
the design effect (Kish 1965, ch. 8). From period to period that part is independent, autocorrelated, or a wave of which
the reference saw a quarter: a season that it is too short to know (`_courses`). Of each reading the likelihood of every
φ and course of a grid is taken with μ integrated out (Harville 1974, restricted likelihood); how common each is among
the readings of a kind is estimated from them by EM, starting from and held to `_prior` (empirical Bayes on a grid:
Laird 1978; Smyth 2004 does the same with one parametric prior). Without drift the present then lies around the
reference with the mixture of normals of variance φ/n + that of the reference's mean given φ and course: a predictive
distribution, so that few periods, or periods that move with a season, widen it by themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_PERIODS = 4
"""With fewer reference periods there is nothing to learn a null from; it is then `WIDENING` times that of chance."""
WIDENING = 19.0
"""The design effect of rows with autocorrelation 0.9: (1 + 0.9) / (1 − 0.9)."""

_EFFECTS = (1, 1.5, 2, 2.8, 4, 5.6, 8, 11, 16, 22, 32, 64, 128, 512, 2048, 8192)
# One value between: what a weaker dependence adds is near what independent periods add, and a finer grid (six values,
# to 0.97) spreads over more than some tens of periods can tell apart: at 26 periods 0.73 for 0.75 of power, and 0.0068
# for 0.0043 false alarms a look at worst, where periods are AR(1) 0.5 to 0.97.
_AUTOCORRELATION = 0.93
# The length of the wave in reference lengths. Of a wave of which less was seen, the reference may show nothing at all.
_WAVE = 4.0
# A smaller wave is not looked for: from 8 on it costs ten independent columns 1.5 points of power in place of 0.5.
_WAVE_EFFECT = 32
_WAVES = 0.01
# Most readings of tables are those of rows that are as good as independent; the rest is anything. Half and one reading
# cost ten independent columns 7 points of power (0.67 for 0.74), and hold the level with more to spare.
_PLAIN = 0.8
# The prior counts as much as so many readings.
_PRIOR_READINGS = 0.5
_EM_STEPS = 30
_BISECTIONS = 40


@dataclass(frozen=True)
class Null:
    """Mixtures of centred normals, one a reading: `weights` (readings × parts) of standard deviations `scales`."""

    weights: "NDArray[np.float64]"
    scales: "NDArray[np.float64]"

    def tail(self, shifts: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return the probability of a shift at least as large, either way, per reading."""
        from scipy.special import erfc

        distance = abs(shifts)[:, None] / self.scales / 2**0.5
        return (self.weights * erfc(distance)).sum(axis=1)  # type: ignore[no-any-return]

    def quantile(self, levels: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return, per reading, the shift that is exceeded, either way, with the probability `levels`."""
        import numpy as np
        from scipy.special import erfcinv

        low = np.zeros(len(levels))
        high = self.scales.max(axis=1) * 2**0.5 * erfcinv(levels)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            beyond = self.tail(middle) > levels
            low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
        return high  # type: ignore[no-any-return]

    def only(self, which: Sequence[int]) -> "Null":
        """Return the nulls of some readings."""
        return Null(self.weights[list(which)], self.scales[list(which)])


def learned_null(
    past: "NDArray[np.float64]", rows: "NDArray[np.float64]", n: "NDArray[np.float64]", kinds: Sequence[str] = ()
) -> Null:
    """Return the null of readings from what they were in the periods of the reference.

    Parameters
    ----------
    past
        Periods × readings, in time order.
    rows
        Rows of each period.
    n
        Rows that carry each reading now. More than a period usually has do not help: what periods differ by stays.
    kinds
        Of each reading; what is common is learned within a kind, since dependence between rows shows in their level
        more than in the share of a cell. Default: all of one kind.
    """
    import numpy as np

    periods = len(past)
    usual = float(np.median(rows)) if periods else np.inf
    carried = 1.0 / np.maximum(np.minimum(n, usual), 1.0)
    if periods < MIN_PERIODS:
        variance = WIDENING * (carried + (1.0 / rows.sum() if periods else 0.0))
        return Null(np.ones((len(n), 1)), np.sqrt(variance)[:, None])
    likelihoods, effects, of_mean = _likelihoods(past, np.sqrt(rows))
    scales = np.sqrt(carried[:, None] * effects + of_mean)
    weights = np.empty_like(likelihoods)
    of_kind = np.array(kinds or [""] * len(n))
    for kind in sorted(set(of_kind.tolist())):
        weights[of_kind == kind] = _posteriors(likelihoods[of_kind == kind])
    return Null(weights, scales)


def _courses(periods: int) -> Any:
    """Return correlations of periods, each with the design effects that are looked at: independent, AR(1), wave."""
    import numpy as np

    apart = np.abs(np.subtract.outer(np.arange(periods), np.arange(periods)))
    wave = np.cos(2 * np.pi * apart / (_WAVE * periods))
    large = tuple(effect for effect in _EFFECTS if effect >= _WAVE_EFFECT)
    return ((np.eye(periods), _EFFECTS), (_AUTOCORRELATION**apart, _EFFECTS), (wave, large))


def _likelihoods(past: Any, root: Any) -> tuple[Any, Any, Any]:
    """Return the restricted log-likelihood of every course and φ, per reading; φ; the variance of the rows' mean."""
    import numpy as np

    logs, effects, of_mean = [], list[float](), []
    for correlations, looked_at in _courses(len(past)):
        # In the eigenvectors of the correlations the periods are independent, whatever φ.
        values, vectors = np.linalg.eigh(correlations)
        values = np.maximum(values, 0.0)  # a wave has two that are not zero
        y, u = vectors.T @ (past * root[:, None]), vectors.T @ root
        for effect in looked_at:
            variance = 1 + (effect - 1) * values
            mass = float((u**2 / variance).sum())
            misfit = (y**2 / variance[:, None]).sum(axis=0) - (u / variance @ y) ** 2 / mass
            logs.append(-0.5 * (np.log(variance).sum() + np.log(mass) + np.maximum(misfit, 0.0)))
            effects.append(effect)
            of_mean.append(float((u**2 * variance).sum() / (root @ root) ** 2))
    return np.stack(logs, axis=1), np.array(effects), np.array(of_mean)


def _posteriors(logs: Any) -> Any:
    """Return the weights of the grid per reading, with the grid's weights over these readings learned by EM."""
    import numpy as np

    prior = _prior()
    likelihood = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights = prior
    for _ in range(_EM_STEPS):
        posterior = likelihood * weights
        posterior /= posterior.sum(axis=1, keepdims=True)
        weights = (posterior.sum(axis=0) + _PRIOR_READINGS * prior) / (len(logs) + _PRIOR_READINGS)
    posterior = likelihood * weights
    return posterior / posterior.sum(axis=1, keepdims=True)


def _prior() -> Any:
    import numpy as np

    waves = sum(effect >= _WAVE_EFFECT for effect in _EFFECTS)
    rest = (1 - _PLAIN - _WAVES) / (2 * len(_EFFECTS))
    prior = np.concatenate([np.full(2 * len(_EFFECTS), rest), np.full(waves, _WAVES / waves)])
    prior[0] += _PLAIN
    return prior
