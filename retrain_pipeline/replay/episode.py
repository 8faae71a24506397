"""One policy over one history: what it decided at each batch with what was known then, and what that cost."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.replay.matrix import MIN_FIRST, LossMatrix
from retrain_pipeline.triggers.course import Course, Policy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Decision:
    """What a policy said at the start of a batch, before it was served."""

    batch: str
    retrain: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Episode:
    """A policy's run. `losses` holds the mean loss of each served batch, from batch `start` on."""

    policy: str
    start: int
    losses: "NDArray[np.float64]"
    retrains: tuple[int, ...]
    decisions: tuple[Decision, ...]
    seconds: float
    """What the policy itself took; fits are counted by `LossMatrix.fit_seconds`."""

    @property
    def mean_loss(self) -> float:
        """Mean loss over the served batches."""
        return float(self.losses.mean())

    def mean_cost(self, cost: float) -> float:
        """Return mean loss plus `cost` for each retrain, per batch."""
        return self.mean_loss + cost * len(self.retrains) / len(self.losses)


def first_start(matrix: LossMatrix, warm_up: int) -> int:
    """Return the first batch that is served: by a model that knows the labels of `warm_up` batches."""
    known = matrix.history.known
    wanted = max(warm_up, MIN_FIRST)
    return next((t for t in range(matrix.history.batches) if known[t] >= wanted), matrix.history.batches)


def play_policy(matrix: LossMatrix, policy: Policy, warm_up: int) -> Episode:
    """Return what a policy does from the first batch on that a model can serve.

    Raises
    ------
    HistoryRefused
        When no batch is left to serve.
    """
    import numpy as np

    from retrain_pipeline.replay.errors import HistoryRefused

    history, start = matrix.history, first_start(matrix, warm_up)
    if start >= history.batches:
        raise HistoryRefused(f"{history.name}: {history.batches} batches leave none to serve after {warm_up}")
    released, losses, retrains, decisions = start, [], list[int](), list[Decision]()
    past, course = list[tuple[float, ...]](), Course(age=0)
    began = time.perf_counter()
    for t in range(start, history.batches):
        if history.known[t] > history.known[released]:
            course = course_at(matrix, released, t, tuple(past))
            opinion = policy.look(course)
            decisions.append(Decision(history.keys[t], opinion.retrain, opinion.reasons))
            if opinion.retrain:
                past.append(course.excess)
                retrains.append(t)
                released = t
        losses.append(matrix.mean[history.known[released], t])
    seconds = time.perf_counter() - began
    return Episode(policy.name, start, np.asarray(losses), tuple(retrains), tuple(decisions), seconds)


def course_at(matrix: LossMatrix, released: int, t: int, past: tuple[tuple[float, ...], ...] = ()) -> Course:
    """Return what is known at the start of batch t of the champion that was released at the start of batch `released`.

    Only batches whose labels are known by then are looked at; none of them was seen by the model that it is scored on.
    """
    mean, known = matrix.mean, matrix.history.known
    model, until = known[released], known[t]
    return Course(
        age=t - released,
        lag=t - until,
        first=model,
        champion=tuple(float(mean[model, k]) for k in range(model, until)),
        fresh=tuple(float(mean[k, k]) for k in range(model, until)),
        noise=tuple(matrix.noise(model, k) for k in range(model, until)),
        past=past,
        validated=float(mean[model - 1, model - 1]) if model > MIN_FIRST else None,
    )
