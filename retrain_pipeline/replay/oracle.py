"""The best that hindsight could have done: dynamic programming over the loss matrix."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.replay.matrix import LossMatrix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Hindsight:
    """The best plan: when it retrains, its mean loss, and its mean loss plus cost."""

    retrains: tuple[int, ...]
    mean_loss: float
    mean_cost: float


def segment_losses(matrix: LossMatrix, start: int) -> "NDArray[np.float64]":
    """Return the summed loss from a retrain at a until e, shape (batches + 1, batches + 1), inf where e ≤ a."""
    import numpy as np

    batches = matrix.history.batches
    found = np.full((batches + 1, batches + 1), np.inf)
    for a in range(start, batches):
        found[a, a + 1 :] = np.cumsum(matrix.mean[matrix.history.known[a], a:])
    return found


def best_at_cost(matrix: LossMatrix, start: int, cost: float) -> Hindsight:
    """Return the plan of least loss plus `cost` a retrain, over the batches from `start` on.

    Bellman's equation over the last retrain: V(e) = min over a < e of V(a) + loss(a, e) + cost.
    """
    import numpy as np

    segments, batches = segment_losses(matrix, start), matrix.history.batches
    value, before = np.full(batches + 1, np.inf), np.zeros(batches + 1, dtype=int)
    value[start] = -cost  # the first model is there already
    for e in range(start + 1, batches + 1):
        totals = value[start:e] + segments[start:e, e] + cost
        before[e] = start + int(np.argmin(totals))
        value[e] = totals[before[e] - start]
    retrains, e = [], batches
    while before[e] != start:
        e = int(before[e])
        retrains.append(e)
    count = batches - start
    mean_cost = float(value[batches]) / count
    return Hindsight(tuple(reversed(retrains)), mean_cost - cost * len(retrains) / count, mean_cost)


def best_with_retrains(matrix: LossMatrix, start: int) -> "NDArray[np.float64]":
    """Return the least mean loss with exactly k retrains, shape (batches − start,), k = 0, 1, 2, …"""
    import numpy as np

    segments, batches = segment_losses(matrix, start), matrix.history.batches
    reached = segments[start].copy()
    found = [reached[batches]]
    for _ in range(batches - start - 1):
        reached = np.array(
            [np.min(reached[start:e] + segments[start:e, e], initial=np.inf) for e in range(batches + 1)]
        )
        found.append(reached[batches])
    return np.asarray(found) / (batches - start)
