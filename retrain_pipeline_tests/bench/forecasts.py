"""What there would be to know beyond the record: a regression of hindsight, expected excess, half of the rows."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from retrain_pipeline.replay.matrix import LossMatrix
from retrain_pipeline.triggers.course import Course

AHEAD = 2
"""Batches over which a saving is forecast."""
OLDEST = 12
"""Periods that a champion of the regression has served at most."""
BLOCK, APART = 8, 12
"""Batches forecast by the same coefficients, and how far away those are from which these come."""
STRETCHES = 8
"""A batch in two halves is every second of so many stretches: rows next to each other are alike."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """Regression of the coming saving on age and excess, over champions released at any batch from `start` on.

    With `other_blocks` a batch is forecast by coefficients from batches at least `APART` away from its block, before
    and after it; else by those of all batches, itself among them.
    """

    matrix: LossMatrix
    start: int
    other_blocks: bool

    def saving(self, course: Course) -> float:
        """Return the forecast of the mean saving over the next batches."""
        t = course.first + len(course.champion) + course.lag
        return float(self.coefficients(t) @ _features(course.excess, course.age))

    def coefficients(self, t: int) -> np.ndarray:
        """Return those by which batch t is forecast."""
        block = (t - self.start) // BLOCK if self.other_blocks else None
        if block not in self._fitted:
            self._fitted[block] = self._fit(block)
        return self._fitted[block]

    @cached_property
    def _fitted(self) -> dict[int | None, np.ndarray]:
        return {}

    def _fit(self, block: int | None) -> np.ndarray:
        at, features, savings, weights = self.pairs
        use = np.ones(len(at), bool)
        if block is not None:
            low = self.start + block * BLOCK
            use = (at < low - APART) | (at >= low + BLOCK + APART)
        root = np.sqrt(weights[use])
        found: np.ndarray = np.linalg.lstsq(features[use] * root[:, None], savings[use] * root, rcond=None)[0]
        return found

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Batch, features and saving of each champion at each batch, and weights: each age counts alike at a batch."""
        mean, known = self.matrix.mean, self.matrix.history.known
        rows = []
        for t in range(self.start + 1, self.matrix.history.batches):
            for released in range(max(self.start, t - OLDEST), t):
                mine, new = known[released], known[t]
                if new > mine:
                    excess = tuple(mean[mine, k] - mean[k, k] for k in range(mine, new))
                    saved = (mean[mine, t : t + AHEAD] - mean[new, t : t + AHEAD]).mean()
                    rows.append((t, _features(excess, t - released), saved, 1 / (t - released)))
        at, features, savings, weights = zip(*rows, strict=True)
        return np.array(at), np.array(features), np.array(savings), np.array(weights)


def _features(excess: tuple[float, ...], age: int) -> np.ndarray:
    return np.array([1, age, excess[-1], np.mean(excess[-2:]), np.mean(excess[-4:])])


def foreseen_share(forecast: Forecast) -> float:
    """Return the share of the variance of savings that the forecasts explain."""
    at, features, savings, weights = forecast.pairs
    told = np.array([forecast.coefficients(int(t)) @ x for t, x in zip(at, features, strict=True)])
    about = np.average(savings, weights=weights)
    return float(1 - (weights * (savings - told) ** 2).sum() / (weights * (savings - about) ** 2).sum())


def halves(matrix: LossMatrix) -> tuple[LossMatrix, LossMatrix]:
    """Return the losses on one half of the rows of each batch, and on the other: every second of eight stretches."""
    starts = np.asarray(matrix.history.starts)
    owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    within = (np.arange(starts[-1]) - starts[owner]) * STRETCHES // np.diff(starts)[owner]
    found = []
    for half in (within % 2 == 0, within % 2 == 1):
        ends = tuple(int(one) for one in (0, *np.cumsum(np.bincount(owner[half]))))
        rows = {s: losses[half[starts[s] :]] for s, losses in matrix.rows.items()}
        found.append(LossMatrix(replace(matrix.history, starts=ends), rows))
    return found[0], found[1]


def expected(matrix: LossMatrix, batches: float) -> LossMatrix:
    """Return what excess to expect of a model of each age about each batch: a normal mean over batches near it.

    Ages are kept apart, so that no single model's or batch's luck is left; batches yet to come count like those past.
    """
    count = matrix.history.batches
    smooth = matrix.mean - np.diag(matrix.mean)
    for age in range(count - min(matrix.rows)):
        s = np.arange(min(matrix.rows), count - age)
        weights = np.exp(-0.5 * ((s[:, None] - s) / batches) ** 2)
        smooth[s, s + age] = weights @ smooth[s, s + age] / weights.sum(axis=1)
    rows = {s: smooth[s, s:].astype(np.float32) for s in matrix.rows}
    return LossMatrix(replace(matrix.history, starts=tuple(range(count + 1))), rows)
