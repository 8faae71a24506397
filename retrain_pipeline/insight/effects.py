"""Ablation and sensitivity: the recipe fitted again without a group of features, or with a hyper-parameter moved.

Both refits are scored on the version's frozen evaluation rows, row by row beside the recipe as it is, and the mean
difference has the moving-block interval that the gates use. Over all effects of a kind the level is that of the gates
(Bonferroni), so one that shows by luck is rare. The recipe with another seed stands beside them: what the luck of a
seed does.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.insight.recipe import Made, Purse, drop_features, fitted, losses_on
from retrain_pipeline.learning.guarded import FitFailed
from retrain_pipeline.learning.paired import MIN_BLOCKS, paired_interval
from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from retrain_pipeline.learning.frames import Frames

Kind = Literal["without", "parameter", "seed"]
FACTOR = 2
"""A number that is declared without a list to search is moved by this factor, both ways."""


class Effect(Strict):
    """What the mean row loss gains by a change of the recipe: above 0, the recipe as it is does better."""

    kind: Kind
    name: str
    """The group that was left out, ``max_depth = 8``, or ``seed 1``."""
    features: tuple[str, ...] = ()
    value: Any = None
    own: Any = None
    """Of a parameter, its value in the recipe."""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    blocks: int = 0
    words: str

    @property
    def shown(self) -> Literal["worse", "better", "not shown"]:
        """What the change does beyond noise."""
        if self.low is None or self.high is None:
            return "not shown"
        return "worse" if self.low > 0 else "better" if self.high < 0 else "not shown"


def ablation(one: Made, groups: Mapping[str, Iterable[str]], purse: Purse) -> list[Effect]:
    """Return the effect of leaving out each group of features, in the order of their names."""
    used = {*one.manifest.columns.numeric, *one.manifest.columns.categorical}
    parts = {name: tuple(sorted(used & set(features))) for name, features in sorted(groups.items())}
    parts = {name: features for name, features in parts.items() if features}
    return _effects(one, [("without", name, {"features": features}) for name, features in parts.items()], purse)


def sensitivity(one: Made, purse: Purse) -> list[Effect]:
    """Return the effect of each declared hyper-parameter moved one step, and of another seed."""
    moves: list[tuple[Kind, str, dict[str, Any]]] = [
        ("parameter", f"{name} = {value}", {"value": value, "own": own, "parameter": name})
        for name, own, value in steps(one)
    ]
    return _effects(one, [*moves, ("seed", f"seed {one.manifest.seed + 1}", {})], purse)


def steps(one: Made) -> list[tuple[str, Any, Any]]:
    """Return (parameter, its value, a neighbouring value): from the list that is searched, or by `FACTOR`."""
    candidate = one.spec.training.candidates.get(one.manifest.candidate)
    searched = dict(candidate.search) if candidate else {}
    found = []
    for name, own in sorted(one.manifest.params.items()):
        if name in searched and own in searched[name]:
            values, at = searched[name], searched[name].index(own)
            near = [values[place] for place in (at - 1, at + 1) if 0 <= place < len(values)]
        elif isinstance(own, int | float) and not isinstance(own, bool) and own > 0:
            near = [_scaled(own, 1 / FACTOR), _scaled(own, FACTOR)]
        else:
            near = []
        found += [(name, own, value) for value in near if value != own]
    return found


def _scaled(value: float, by: float) -> float:
    return max(1, round(value * by)) if isinstance(value, int) else value * by


def _effects(one: Made, asked: list[tuple[Kind, str, dict[str, Any]]], purse: Purse) -> list[Effect]:
    if not asked or not purse.allows("the recipe as it is, to compare with"):
        return []
    own = one.refitted_losses
    alpha = one.spec.gates.alpha / len(asked)
    found = []
    for kind, name, more in asked:
        if not purse.allows(f"without {name}" if kind == "without" else name):
            continue
        parameter = more.pop("parameter", None)
        frames, params, seed = one.frames, dict(one.manifest.params), 0
        if kind == "without":
            frames = drop_features(frames, more["features"])
        elif kind == "seed":
            seed = 1
        else:
            params[parameter] = more["value"]
        found.append(_effect(one, kind, name, more, own, frames, params, seed, alpha))
    return found


def _effect(
    one: Made,
    kind: Kind,
    name: str,
    more: dict[str, Any],
    own: "NDArray[np.float64]",
    frames: "Frames",
    params: dict[str, Any],
    seed: int,
    alpha: float,
) -> Effect:
    import numpy as np

    if not len(frames.train_x.columns):
        return Effect(kind=kind, name=name, **more, words="nothing is left to learn from without it")
    try:
        other = losses_on(one.spec, fitted(one, frames, params, seed), frames.eval_x, frames.eval_y)
        other = np.where(np.isclose(other, own, rtol=1e-9, atol=1e-12), own, other)  # sums in another order
        times, hours = frames.eval_keys["_event_time"], one.spec.gates.block_hours
        found = paired_interval(other, own, times, block_hours=hours, alpha=alpha / 2, seed=one.draw)
    except (PermanentError, FitFailed) as error:
        return Effect(kind=kind, name=name, **more, words=f"no refit: {' '.join(str(error).split())[:300]}")
    told = {"difference": found.mean, "n": found.n, "blocks": found.blocks}
    if not found.enough:
        words = f"{found.blocks} blocks of {hours:g} h hold rows, {MIN_BLOCKS} are needed for an interval"
        return Effect(kind=kind, name=name, **more, **told, words=words)
    effect = Effect(kind=kind, name=name, **more, **told, low=found.low, high=found.high, words="x")
    said = {"worse": "worse beyond noise", "better": "better beyond noise", "not shown": "no difference is shown"}
    return effect.model_copy(update={"words": said[effect.shown]})
