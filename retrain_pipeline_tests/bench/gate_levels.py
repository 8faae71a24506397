"""Levels that a life of judgements may spend: the product's rule, and others to measure it against."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from retrain_pipeline.gates.budget import FIRST_SHARE, level

ALPHA = 0.05
A_YEAR = 13
"""Judgements a year, one every four weeks."""
_LAMBDA = 0.5

Level = Callable[[int, Sequence[int], Sequence[float]], float]
"""From the place of a judgement, the places that passed and the p-values before it to its level."""


def fixed(t: int, passed: Sequence[int], p: Sequence[float]) -> float:
    return ALPHA


def spent_by_square(t: int, passed: Sequence[int], p: Sequence[float]) -> float:
    return float(6 * ALPHA / (np.pi * t) ** 2)


def by_year(t: int, passed: Sequence[int], p: Sequence[float]) -> float:
    return ALPHA / A_YEAR


def ours(t: int, passed: Sequence[int], p: Sequence[float]) -> float:
    return level(ALPHA, t, passed)


@cache
def _shares(kind: str) -> np.ndarray:
    j = np.arange(1, 10_001)
    steep = {
        "square": 1 / j**2.0,
        "1.6": 1 / j**1.6,
        "1.3": 1 / j**1.3,
        # Javanmard and Montanari 2018, Annals of Statistics 46:526
        "log": np.log(np.maximum(j, 2)) / (j * np.exp(np.sqrt(np.log(j)))),
    }[kind]
    return steep / steep.sum()


def lord(kind: str) -> Level:
    """Return LORD++ with another sequence γ."""

    def at(t: int, passed: Sequence[int], p: Sequence[float]) -> float:
        shares, first = _shares(kind), FIRST_SHARE * ALPHA
        earned = [(ALPHA - first if k == 0 else ALPHA) * shares[t - place - 1] for k, place in enumerate(passed)]
        return float(first * shares[t - 1] + sum(earned))

    return at


def saffron(t: int, passed: Sequence[int], p: Sequence[float]) -> float:
    """SAFFRON (Ramdas, Zrnic, Wainwright, Jordan 2018): judgements with a large p-value spend nothing.

    It is proved for independent p-values only.
    """
    shares, first = _shares("1.6"), FIRST_SHARE * ALPHA
    small = np.asarray(p) <= _LAMBDA

    def since(place: int) -> float:
        return float(shares[t - place - int(small[place:].sum()) - 1])

    earned = [(ALPHA - first if k == 0 else ALPHA) * since(place) for k, place in enumerate(passed)]
    return min(_LAMBDA, (1 - _LAMBDA) * (first * since(0) + sum(earned)))


LEVELS: dict[str, Level] = {
    "5 % at every look": fixed,
    "6α/(π²k²)": spent_by_square,
    f"α/{A_YEAR} at every look (5 % a year)": by_year,
    "LORD++, γ ∝ j⁻²": lord("square"),
    "**LORD++, γ ∝ j⁻¹·⁶: the product's**": ours,
    "LORD++, γ ∝ j⁻¹·³": lord("1.3"),
    "LORD++, γ of Javanmard and Montanari": lord("log"),
    "SAFFRON, γ ∝ j⁻¹·⁶": saffron,
}
