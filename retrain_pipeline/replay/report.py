"""A whole replay: of a model's record or of a table, with the policies that were asked for, as rows and a picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from retrain_pipeline.learning.twins import champion_recipe
from retrain_pipeline.replay.compare import Frontier, Outcome, compare, frontier
from retrain_pipeline.replay.history import History, from_model
from retrain_pipeline.replay.matrix import LossMatrix, Progress, Recipe, loss_matrix
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores
from retrain_pipeline.triggers.course import Policy
from retrain_pipeline.triggers.errors import PolicyRefused
from retrain_pipeline.triggers.policies import DetectorFired, policy_named

POLICIES = ("adaptive", "never", "periodic:4", "periodic:13", "error_threshold:0.25", "cumulative_excess:0.2")
"""What is compared when nothing is named."""


@dataclass(frozen=True)
class Replay:
    """What came of a replay; `outcomes` in the order of costs, then of policies."""

    matrix: LossMatrix
    frontier: Frontier
    outcomes: tuple[Outcome, ...]

    def rows(self) -> list[dict[str, str]]:
        """Return the outcomes as text, one dictionary a row."""
        return [
            {
                "cost": f"{one.cost:g}",
                "policy": one.episode.policy.split(":")[0] if _has_cost(one) else one.episode.policy,
                "retrains": str(len(one.episode.retrains)),
                "mean loss": f"{one.episode.mean_loss:.4g}",
                "regret": f"{one.regret:.4f} [{one.regret_low:.4f}, {one.regret_high:.4f}]",
                "gain over cron": f"{one.gain:+.1%}",
            }
            for one in self.outcomes
        ]


def _has_cost(outcome: Outcome) -> bool:
    return outcome.episode.policy == f"adaptive:{outcome.cost:g}"


def replay(
    history: History,
    recipe: Recipe,
    policies: Sequence[str],
    costs: Sequence[float],
    warm_up: int,
    cache: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Replay:
    """Return what policies would have done over a history.

    Parameters
    ----------
    policies
        As `triggers.policies.policy_named` reads them.
    warm_up
        Batches whose labels the first model knows.

    Raises
    ------
    PolicyRefused
        When a policy does not exist, or looks at what a replay does not have.
    HistoryRefused
        When no batch is left to serve after the warm-up.
    """
    makers: list[Callable[[float], Policy]] = [partial(policy_named, name) for name in policies]
    for make in makers:
        if isinstance(make(costs[0]), DetectorFired):  # told before an hour of fits, as a wrong name is
            raise PolicyRefused("policy 'detector': a replay does not run the loss detector; compare the others")
    matrix = loss_matrix(history, recipe, cache, workers=workers, progress=progress)
    reached = frontier(matrix, warm_up)
    return Replay(matrix, reached, tuple(compare(matrix, makers, costs, warm_up, reached)))


def model_recipe(stores: Stores, spec: ModelSpec) -> Recipe:
    """Return how a replay fits a model: as the champion was fitted, or else as the first candidate is; no search.

    The champion's parameters are those of today, so early models of a replay are a little better than they were.
    """
    row = stores.ledger.deployment(spec.name)
    made = champion_recipe(stores, spec, None if row is None else str(row.state["champion"]))
    return Recipe(made.candidate, made.periods, spec.training.seed)


def replay_model(
    stores: Stores,
    spec: ModelSpec,
    policies: Sequence[str],
    costs: Sequence[float],
    cache: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Replay:
    """Return what policies would have done over a model's record; see `replay`.

    Raises
    ------
    HistoryRefused
        When the record is too short.
    """
    history, recipe = from_model(stores, spec), model_recipe(stores, spec)
    warm_up = spec.training.min_periods
    return replay(history, recipe, policies, costs, warm_up, cache, workers=workers, progress=progress)
