"""What a better model was expected to be worth, beside how the business signal moved since its release (D47).

Expected: the gain of the gate's evidence (mean row loss of the version before, or of a constant, less the champion's,
on the same rows) times the signal's `value_per_unit`. Moved: the mean of the observed values of up to 13 periods from
the release on less that of up to 13 before it, with a Welch interval. Values of neighbouring periods depend on each
other: with ρ the lag-one correlation within the two sides (bias-corrected after Kendall 1954, from 0 to 0.8), n values
count as n(1 − ρ)/(1 + ρ). The two stand side by side: whatever else changed with the release is in the movement too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.monitoring.champion import Champion
from retrain_pipeline.monitoring.signals import Course
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores

WINDOW_PERIODS = 13
MIN_PERIODS = 3
_MOST = 0.8


@dataclass(frozen=True)
class Movement:
    """Mean after less mean before, its 95 % interval, and how many observed periods each side has."""

    before: float
    after: float
    low: float
    high: float
    n_before: int
    n_after: int

    @property
    def moved(self) -> float:
        """The difference of the means."""
        return self.after - self.before


@dataclass(frozen=True)
class ReleaseValue:
    """A linked signal around a release. gain, expected: (low, high), None where there is none to tell."""

    signal: str
    link: str
    unit: str
    direction: str
    version: str
    gain: tuple[float, float] | None
    expected: tuple[float, float] | None
    movement: Movement | None

    @property
    def words(self) -> str:
        """Return both in words, without a word about causes."""
        told = f"{self.signal} ({self.link}) since the release of {self.version}: "
        if self.movement is None:
            told += f"fewer than {MIN_PERIODS} observed periods on a side, no movement is told"
        else:
            one = self.movement
            told += (
                f"{one.moved:+.4g} {self.unit} [{one.low:.4g}, {one.high:.4g}], {one.n_after} periods after against "
                f"{one.n_before} before: {self._way(one)}"
            )
        if self.expected is not None:
            told += f"; of the gate's gain in loss, {self.expected[0]:.4g} to {self.expected[1]:.4g} {self.unit} "
            told += "was expected"
        return f"{told}. Other things changed in the same time"

    def _way(self, one: Movement) -> str:
        if one.low <= 0 <= one.high:
            return "not told apart from none"
        return "the declared way" if (one.low > 0) == (self.direction == "up") else "against the declared way"


def release_values(
    stores: Stores, spec: ModelSpec, champion: Champion, courses: Mapping[str, Course], at: int
) -> tuple[ReleaseValue, ...]:
    """Return, for each linked signal, what was expected of the champion and how the signal moved up to a place."""
    linked = {name: signal for name, signal in spec.signals.items() if signal.link is not None}
    if not linked:
        return ()
    calendar = spec.data.time.calendar()
    split = calendar.periods_since(calendar.origin, champion.as_of)
    released = stores.ledger.latest(spec.name, "released", champion.version)
    gain = loss_gain(stores.artifacts, str(released.payload.get("evidence") or "")) if released else None
    found = []
    for name, signal in linked.items():
        seen = {place: one.value for place, one in courses[name].observed.items() if place <= at}
        expected = None
        if gain is not None and signal.value_per_unit is not None:
            sign = 1.0 if signal.direction == "up" else -1.0
            ends = sorted(sign * signal.value_per_unit * one for one in gain)
            expected = (ends[0], ends[1])
        found.append(
            ReleaseValue(
                name, str(signal.link), signal.unit or "", str(signal.direction), champion.version, gain, expected,
                movement(seen, split),
            )
        )  # fmt: skip
    return tuple(found)


def loss_gain(artifacts: Artifacts, evidence: str) -> tuple[float, float] | None:
    """Return the bounds of the gain in mean row loss that the quality gate found, None without such evidence."""
    if not evidence:
        return None
    results: Sequence[Mapping[str, Any]] = artifacts.get_json(evidence).get("results", ())
    bounds = next((one.get("interval") for one in results if one.get("gate") == "quality"), None)
    if not bounds or None in bounds:
        return None
    return -float(bounds[1]), -float(bounds[0])  # the gate takes candidate minus reference


def movement(values: Mapping[int, float], split: int, window: int = WINDOW_PERIODS) -> Movement | None:
    """Return how the mean moved at a place; None with fewer than three values on a side.

    Parameters
    ----------
    values
        Observed values by place; imputed ones have no part in it.
    """
    sides = [
        {place: values[place] for place in sorted(values) if low <= place < high}
        for low, high in ((split - window, split), (split, split + window))
    ]
    if min(map(len, sides)) < MIN_PERIODS:
        return None
    from scipy.stats import t

    means = [sum(side.values()) / len(side) for side in sides]
    spread = [
        sum((x - mean) ** 2 for x in side.values()) / (len(side) - 1) for side, mean in zip(sides, means, strict=True)
    ]
    rho = _correlation(sides, means)
    counts = [max(len(side) * (1 - rho) / (1 + rho), 2.0) for side in sides]
    parts = [variance / n for variance, n in zip(spread, counts, strict=True)]
    half = 0.0
    if sum(parts):
        dof = sum(parts) ** 2 / sum(part**2 / (n - 1) for part, n in zip(parts, counts, strict=True))
        half = float(t.ppf(0.975, dof)) * sum(parts) ** 0.5
    moved = means[1] - means[0]
    return Movement(means[0], means[1], moved - half, moved + half, len(sides[0]), len(sides[1]))


def _correlation(sides: Sequence[Mapping[int, float]], means: Sequence[float]) -> float:
    """Return the lag-one correlation within the sides."""
    total = products = 0.0
    for side, mean in zip(sides, means, strict=True):
        total += sum((x - mean) ** 2 for x in side.values())
        products += sum((x - mean) * (side[place + 1] - mean) for place, x in side.items() if place + 1 in side)
    if not total:
        return 0.0
    n = sum(map(len, sides))
    rho = products / total
    return min(max(rho + (1 + 3 * rho) / (n / 2), 0.0), _MOST)
