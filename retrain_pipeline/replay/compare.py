"""Policies side by side: what each cost, how far from hindsight, and whether a cron job would have done as well."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.replay.episode import Episode, play_policy
from retrain_pipeline.replay.matrix import LossMatrix
from retrain_pipeline.replay.oracle import best_at_cost, best_with_retrains
from retrain_pipeline.triggers.course import Policy
from retrain_pipeline.triggers.policies import Never, Periodic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PERIODS = (1, 2, 4, 8, 13, 26)
"""The cron jobs that every policy is measured against."""
_RESAMPLES = 1000
_BLOCK = 8
"""Batches that are drawn together: losses of neighbouring batches are alike."""


@dataclass(frozen=True)
class Outcome:
    """What one policy came to at one cost of a retrain.

    Attributes
    ----------
    regret
        Mean loss plus cost, per batch, above the best plan of hindsight at this cost.
    regret_low, regret_high
        95 % interval of the regret: moving-block bootstrap over batches (Künsch 1989).
    gain
        Matched-budget gain: (loss of the cron job at the same number of retrains, interpolated − loss) / (loss of the
        worst cron job − least loss of any plan); 0 is a cron job, 1 would be all that can be had.
    """

    episode: Episode
    cost: float
    regret: float
    regret_low: float
    regret_high: float
    gain: float


@dataclass(frozen=True)
class Frontier:
    """Losses by number of retrains: of the cron jobs, and the least that hindsight reaches with exactly as many."""

    cron: tuple[Episode, ...]
    hindsight: "NDArray[np.float64]"

    @property
    def span(self) -> float:
        """Worst cron job less the best plan: all that choosing well can be worth."""
        return max(one.mean_loss for one in self.cron) - float(self.hindsight.min())

    def cron_loss(self, retrains: float) -> float:
        """Return the loss of a cron job with this number of retrains, interpolated."""
        import numpy as np

        points = sorted((len(one.retrains), one.mean_loss) for one in self.cron)
        return float(np.interp(retrains, [x for x, _ in points], [y for _, y in points]))

    def gain(self, episode: Episode) -> float:
        """Return the matched-budget gain; see `Outcome`."""
        return (self.cron_loss(len(episode.retrains)) - episode.mean_loss) / self.span if self.span > 0 else 0.0


def frontier(matrix: LossMatrix, warm_up: int) -> Frontier:
    """Return what cron jobs and hindsight reach."""
    jobs: list[Policy] = [Never(), *map(Periodic, PERIODS)]
    cron = tuple(play_policy(matrix, one, warm_up) for one in jobs)
    return Frontier(cron, best_with_retrains(matrix, cron[0].start))


def compare(
    matrix: LossMatrix,
    policies: Sequence[Callable[[float], Policy]],
    costs: Sequence[float],
    warm_up: int,
    reached: Frontier | None = None,
) -> list[Outcome]:
    """Return the outcome of every policy at every cost.

    Parameters
    ----------
    policies
        Each gives the policy for a cost.
    """
    reached = reached or frontier(matrix, warm_up)
    played, found = {one.policy: one for one in reached.cron}, []
    for cost in costs:
        best = best_at_cost(matrix, reached.cron[0].start, cost)
        per_batch = _plan_losses(matrix, reached.cron[0].start, best.retrains)
        for make in policies:
            policy = make(cost)
            # policies are pure and a name tells the setting: who does not look at the cost does the same at any
            if policy.name not in played:
                played[policy.name] = play_policy(matrix, policy, warm_up)
            episode = played[policy.name]
            low, high = interval(episode.losses - per_batch)
            dearer = cost * (len(episode.retrains) - len(best.retrains)) / len(episode.losses)
            regret = episode.mean_cost(cost) - best.mean_cost
            found.append(Outcome(episode, cost, regret, low + dearer, high + dearer, reached.gain(episode)))
    return found


def _plan_losses(matrix: LossMatrix, start: int, retrains: Sequence[int]) -> "NDArray[np.float64]":
    import numpy as np

    known, released, losses = matrix.history.known, start, []
    for t in range(start, matrix.history.batches):
        released = t if t in retrains else released
        losses.append(matrix.mean[known[released], t])
    return np.asarray(losses)


def interval(differences: "NDArray[np.float64]", seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean of a series, by a circular block bootstrap (Politis and Romano 1992)."""
    import numpy as np

    count = len(differences)
    block = min(_BLOCK, count)
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, count, (_RESAMPLES, -(-count // block)))
    rows = (starts[:, :, None] + np.arange(block)).reshape(_RESAMPLES, -1)[:, :count] % count
    means = differences[rows].mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))
