"""Why a metric differs between two versions: data, code, configuration, seed and the rows that it was measured on.

Each cause can be taken from the old version or from the new one. The recipe is fitted on every mixture of those that
differ, and a cause's part is what it moves the metric by, averaged over all orders in which the causes could be
exchanged (Shapley 1953): so the parts sum to the change, and a cause that is the same in both has none. What refits do
not reproduce of the metric on record is a part of its own, the environment's. All of it is done again with other seeds,
and the spread of the parts is their uncertainty.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import factorial
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.insight.mixing import CAUSES, Mixer, NotMixable, mixer
from retrain_pipeline.insight.recipe import Made, NotMeasured, Purse, losses_on, made
from retrain_pipeline.learning.guarded import FitFailed
from retrain_pipeline.strict import Strict
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.spec.model import Metric
    from retrain_pipeline.stores import Stores

ENVIRONMENT = "environment"
TOGETHER = ("data", "code", "evaluation")
"""Without the feature code of both versions these cannot be exchanged one by one."""
_SAME = 1e-12
"""Sums in another order differ by less."""


class Part(Strict):
    """One cause, or several that could not be told apart (INCONCLUSIVE): what it moved the metric by.

    `low` and `high` are the least and the most over the seeds, `sd` the standard deviation; None of one seed.
    """

    cause: str
    moved: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: Verdict
    words: str


class Split(Strict):
    """The change of a metric from one version to another; the parts sum to it."""

    old: str
    new: str
    metric: str
    old_value: float
    new_value: float
    total: float
    parts: tuple[Part, ...]
    refits: int
    seeds: int


Player = tuple[str, ...]
"""Causes that are exchanged together."""
Worth = Mapping[frozenset[Player], float]


def split_change(stores: "Stores", model: str, old: str, new: str, *, seeds: int, purse: Purse) -> Split:
    """Return the change of the metric from one version to another, split into its causes.

    Raises
    ------
    NotMeasured
        When the versions have different metrics, rows or declarations are gone, a refit fails, or time runs out before
        the first seed is done.
    VersionNotLoadable
        When a version is not on record.
    """
    from retrain_pipeline.learning.losses import metric_value

    before, after = made(stores, model, old), made(stores, model, new)
    metric = after.spec.problem.success.metric
    if before.spec.problem.success.metric != metric:
        raise NotMeasured(
            f"{old} is measured by {before.spec.problem.success.metric} and {new} by {metric}: they have no difference"
        )
    values = [metric_value(metric, _recorded(stores, one)) for one in (before, after)]
    why = ""
    try:
        with mixer(stores, before, after) as mixed:
            every: tuple[Player, ...] = tuple((cause,) for cause in CAUSES)
            rounds = _rounds(mixed, every, metric, seeds, purse)
    except NotMixable as error:
        why = str(error)
        mixed = Mixer(before, after, {(False, False): before.frames, (True, True): after.frames})
        every = (TOGETHER, ("configuration",), ("seed",))
        rounds = _rounds(mixed, every, metric, seeds, purse)
    total = values[1] - values[0]
    parts = [_part(player, mixed, [one.get(player, 0.0) for one in rounds], why) for player in every]
    return Split(
        old=old, new=new, metric=metric, old_value=values[0], new_value=values[1], total=total,
        parts=(*parts, _rest(total, parts, before, after)), refits=mixed.refits, seeds=len(rounds),
    )  # fmt: skip


def _recorded(stores: "Stores", one: Made) -> Any:
    """Return the losses of a version as it is stored."""
    from retrain_pipeline.learning.versions import load_version

    pipeline = load_version(stores, one.manifest.model, one.manifest.version).pipeline
    return losses_on(one.spec, pipeline, one.frames.eval_x, one.frames.eval_y)


def _rounds(
    mixed: Mixer, every: Sequence[Player], metric: "Metric", seeds: int, purse: Purse
) -> list[dict[Player, float]]:
    """Return the parts of the players that differ, for each seed that there was time for."""
    moving = [player for player in every if player == TOGETHER or mixed.differs(player[0])]
    rounds: list[dict[Player, float]] = []
    for shift in range(seeds):
        try:
            worth = _worth(mixed, moving, metric, shift, purse)
        except (FitFailed, PermanentError) as error:
            raise NotMeasured(f"a mixture of the two versions could not be fitted: {error}") from error
        if worth is None:
            break
        rounds.append(shapley(moving, worth))
        if shift and all(abs(rounds[-1][one] - rounds[0][one]) <= _SAME for one in moving):
            break  # this recipe draws nothing: other seeds give the same again
    if not rounds:
        raise NotMeasured(f"there was no time to split the change: {purse.not_reached[-1]}")
    return rounds


def _worth(
    mixed: Mixer, moving: Sequence[Player], metric: "Metric", shift: int, purse: Purse
) -> dict[frozenset[Player], float] | None:
    """Return the metric of every mixture; None when time ran out."""
    from retrain_pipeline.learning.losses import metric_value

    worth = {}
    for size in range(len(moving) + 1):
        for chosen in combinations(moving, size):
            causes = [cause for player in chosen for cause in player]
            if mixed.needs(causes, shift) and not purse.allows(f"seed {shift + 1} of the split by causes"):
                return None
            worth[frozenset(chosen)] = metric_value(metric, mixed.losses(causes, shift))
    return worth


def shapley(players: Sequence[Player], worth: Worth) -> dict[Player, float]:
    """Return what each player adds on average over all orders; the sum is the worth of all less that of none.

    Examples
    --------
    >>> a, b, none = ("a",), ("b",), frozenset()
    >>> shapley([a, b], {none: 1.0, frozenset([a]): 3.0, frozenset([b]): 1.0, frozenset([a, b]): 4.0})
    {('a',): 2.5, ('b',): 0.5}
    """
    n, found = len(players), {}
    for player in players:
        others = [one for one in players if one != player]
        found[player] = sum(
            factorial(size) * factorial(n - size - 1) / factorial(n)
            * (worth[frozenset([*chosen, player])] - worth[frozenset(chosen)])
            for size in range(n)
            for chosen in combinations(others, size)
        )  # fmt: skip
    return found


def _part(player: Player, mixed: Mixer, moved: Sequence[float], why: str) -> Part:
    spread = {}
    if len(moved) > 1:
        mean = sum(moved) / len(moved)
        sd = (sum((one - mean) ** 2 for one in moved) / (len(moved) - 1)) ** 0.5
        spread = {"sd": sd, "low": min(moved), "high": max(moved)}
    if player == TOGETHER:
        words = f"cannot be told apart: {why}"
        return Part(cause=" + ".join(player), moved=moved[0], **spread, verdict=Verdict.INCONCLUSIVE, words=words[:900])
    return Part(
        cause=player[0], moved=moved[0], **spread, verdict=Verdict.PASS, words=_difference(player[0], mixed)[:900]
    )


def _difference(cause: str, mixed: Mixer) -> str:
    """Say how a cause differs between the two versions."""
    if not mixed.differs(cause):
        return "the same in both"
    old, new = mixed.old.manifest, mixed.new.manifest
    if cause == "data":
        told = [f"{one.frozen.train_rows} rows until {one.frozen.train_until[:16]}" for one in (old, new)]
    elif cause == "evaluation":
        told = [f"{one.frozen.evaluation_rows} rows from {one.frozen.evaluation_from[:16]}" for one in (old, new)]
    elif cause == "code":
        told = [one.feature_code_digest[:12] for one in (old, new)]
    elif cause == "seed":
        told = [str(one.seed) for one in (old, new)]
    else:
        return _recipes(old, new)
    return f"{told[0]}, then {told[1]}"


def _recipes(old: Any, new: Any) -> str:
    changes = [f"{old.estimator}, then {new.estimator}"] if old.estimator != new.estimator else []
    for name in sorted({*old.params, *new.params}):
        then, now = old.params.get(name, "default"), new.params.get(name, "default")
        if then != now:
            changes.append(f"{name} {then}, then {now}")
    windows = [one.window.periods if one.window else None for one in (old, new)]
    if windows[0] != windows[1]:
        told = [f"{one} periods" if one else "all rows" for one in windows]
        changes.append(f"learned from {told[0]}, then {told[1]}")
    return "; ".join(changes)


def _rest(total: float, parts: Sequence[Part], *versions: Made) -> Part:
    """Return what the refits do not reproduce of the metric on record, and what is other here than it was there."""
    from retrain_pipeline.learning.environment import environment
    from retrain_pipeline.learning.reproduce import environment_differences

    rest = total - sum(one.moved for one in parts)
    if abs(rest) <= _SAME * max(1.0, abs(total)):
        return Part(cause=ENVIRONMENT, moved=0.0, verdict=Verdict.PASS, words="the refits are the versions on record")
    layers = {
        f"{one.manifest.version}: {words}"
        for one in versions
        for words in environment_differences(one.manifest.environment, environment(one.spec.training.threads))
    }
    why = (
        "; ".join(sorted(layers)) or "packages and platform are the same: the pipeline's own code, or an unseeded draw"
    )
    words = f"fitted again here the versions come out otherwise ({why})"
    return Part(cause=ENVIRONMENT, moved=rest, verdict=Verdict.INCONCLUSIVE, words=words[:900])
