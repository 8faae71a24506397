"""Mixtures of two versions: rows of one with the feature code, recipe, seed or judging rows of the other."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.insight.recipe import Made, losses_on
from retrain_pipeline.learning.guarded import FitFailed, guarded

if TYPE_CHECKING:
    import pandas as pd

    from retrain_pipeline.learning.frames import Frames
    from retrain_pipeline.learning.team_code import FeatureCode
    from retrain_pipeline.stores import Stores

CAUSES = ("data", "code", "configuration", "seed", "evaluation")


class NotMixable(PermanentError):
    """Feature code of one version that cannot be run on the rows of the other, and why."""


@dataclass
class Mixer:
    """Two versions whose causes can be exchanged; a side is False for the old version and True for the new one.

    `frames` holds, by the side of the rows and the side of the code, training and evaluation rows. `refits` counts.
    """

    old: Made
    new: Made
    frames: dict[tuple[bool, bool], "Frames"]
    refits: int = 0
    _fitted: dict[tuple[bool, ...], Any] = field(default_factory=dict)
    _shift: int = 0

    def differs(self, cause: str) -> bool:
        """Return whether a cause is not the same in both versions."""
        codes = sorted({code for _, code in self.frames})
        rows = sorted({side for side, _ in self.frames})
        old, new = self.old.manifest, self.new.manifest
        if cause == "configuration":
            return _recipe(self.old) != _recipe(self.new)
        if cause == "seed":
            return old.seed != new.seed
        if cause == "code":
            if old.feature_code_digest == new.feature_code_digest:
                return False
            return any(not _alike(self.frames[side, False], self.frames[side, True], "both") for side in rows)
        return any(not _alike(self.frames[False, code], self.frames[True, code], cause) for code in codes)

    def needs(self, chosen: Collection[str], shift: int) -> bool:
        """Return whether the losses of a mixture ask for a fit that was not done yet."""
        return shift != self._shift or self._fit_key(chosen) not in self._fitted

    def losses(self, chosen: Collection[str], shift: int) -> Any:
        """Return the row losses of the mixture that takes `chosen` from the new version and the rest from the old one.

        Parameters
        ----------
        shift
            Moves the seeds of both versions on by so many; fits are kept for one shift at a time.

        Raises
        ------
        FitFailed
            When the fit comes to nothing.
        """
        if shift != self._shift:
            self._fitted, self._shift = {}, shift
        key = self._fit_key(chosen)
        if key not in self._fitted:
            self._fitted[key] = self._fit(*key, shift)
            self.refits += 1
        judged = self.frames["evaluation" in chosen, "code" in chosen]
        return losses_on(self.new.spec, self._fitted[key], judged.eval_x, judged.eval_y)

    @staticmethod
    def _fit_key(chosen: Collection[str]) -> tuple[bool, bool, bool, bool]:
        return ("data" in chosen, "code" in chosen, "configuration" in chosen, "seed" in chosen)

    def _fit(self, data: bool, code: bool, configuration: bool, seed: bool, shift: int) -> Any:
        import numpy as np

        from retrain_pipeline.learning.fitting import refit
        from retrain_pipeline.learning.windows import FitWindow, windows_of
        from retrain_pipeline.spec.model import Candidate

        recipe, rows = self.new if configuration else self.old, self.frames[data, code]
        made, window = recipe.manifest, recipe.manifest.window
        if window is not None:  # so many of the newest periods of these rows, whichever they are
            times = rows.train_keys["_event_time"]
            newest = windows_of(recipe.spec, times).newest(np.arange(len(times)), window.periods)
            window = FitWindow.of(window.periods, times.iloc[newest])
        own = ((self.new if seed else self.old).manifest.seed + shift) % 2**32
        setting = Candidate(estimator=made.estimator, params=made.params)
        return guarded(partial(refit, recipe.spec, setting, {}, rows, own, window))


def _recipe(one: Made) -> tuple[Any, ...]:
    window = one.manifest.window
    return one.manifest.estimator, one.manifest.params, window.periods if window else None


def _alike(one: "Frames", other: "Frames", cause: str) -> bool:
    train = _same_rows((one.train_x, one.train_y, one.train_keys), (other.train_x, other.train_y, other.train_keys))
    judged = _same_rows((one.eval_x, one.eval_y, one.eval_keys), (other.eval_x, other.eval_y, other.eval_keys))
    return {"data": train, "evaluation": judged, "both": train and judged}[cause]


def _same_rows(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    import numpy as np

    from retrain_pipeline.learning.features import differing_columns

    same = len(one[1]) == len(other[1]) and np.array_equal(one[1], other[1]) and bool(one[2].equals(other[2]))
    return same and not differing_columns(_held(one[0]), _held(other[0]))


def _held(features: "pd.DataFrame") -> "pd.DataFrame":
    """Return the columns with values: a table keeps a column, empty, that only older code filled."""
    return features.loc[:, features.notna().any()]


@contextmanager
def mixer(stores: "Stores", old: Made, new: Made) -> Iterator[Mixer]:
    """Give the mixer of two versions.

    Raises
    ------
    NotMixable
        When their feature code differs, and one is not kept, does not load, or does not run on the other's rows.
    """
    digests = [one.manifest.feature_code_digest for one in (old, new)]
    if digests[0] == digests[1]:
        own = {False: old.frames, True: new.frames}
        yield Mixer(old, new, {(side, code): own[side] for side in own for code in own})
        return
    from retrain_pipeline.learning.kept_code import kept_code

    try:
        with (
            kept_code(stores.artifacts, digests[0], old.spec.features) as before,
            kept_code(stores.artifacts, digests[1], new.spec.features) as after,
        ):
            frames = {
                (False, False): guarded(partial(_confirmed, stores, old, before)),
                (False, True): guarded(partial(_with_code, stores, old, after, new)),
                (True, False): guarded(partial(_with_code, stores, new, before, old)),
                (True, True): guarded(partial(_confirmed, stores, new, after)),
            }
    except (PermanentError, FitFailed) as error:
        raise NotMixable(" ".join(str(error).split())[:600]) from error
    yield Mixer(old, new, frames)


def _confirmed(stores: "Stores", one: Made, code: "FeatureCode") -> "Frames":
    """Return a version's own rows, after seeing that its code makes the frozen features of them from raw still."""
    from retrain_pipeline.learning.features import differing_columns

    again = _with_code(stores, one, code, one, judged_only=True)
    moved = differing_columns(_held(one.frames.eval_x), _held(again.eval_x))
    if moved:
        raise NotMixable(
            f"raw does not give the frozen features of {one.manifest.version} any more ({', '.join(sorted(moved))}): "
            "rows were restated since, or the code depends on something else"
        )
    return one.frames


def _with_code(stores: "Stores", rows: Made, code: "FeatureCode", of: Made, *, judged_only: bool = False) -> "Frames":
    """Return the rows of one version with the features that the code of another makes of raw as it was known then."""
    import pandas as pd

    from retrain_pipeline.learning.features import build_features, feature_columns

    spec, frames = of.spec, rows.frames
    calendar, periods = spec.data.time.calendar(), list(rows.manifest.frozen.periods)
    if judged_only:
        first = frames.eval_keys["_event_time"].min()
        periods = [name for name in periods if calendar.bounds(name)[1] > first]
    earliest = calendar.shift(calendar.bounds(periods[0])[0], -spec.features.history_periods)
    wanted = calendar.keys_between(earliest, calendar.bounds(periods[-1])[1])
    raw = stores.lake.read(spec.name, "raw", periods=wanted, known_by=rows.as_of)
    parts = []
    for name in periods:
        start, end = calendar.bounds(name)
        since = calendar.shift(start, -spec.features.history_periods)
        seen = raw[(raw["_event_time"] >= since) & (raw["_event_time"] < end)]
        if len(seen):
            parts.append(build_features(code, spec, seen, start, end))
    if not parts:
        raise NotMixable(f"raw has none of the rows of {rows.manifest.version} any more")
    made = pd.concat(parts, ignore_index=True)
    names = feature_columns(spec, made)
    judged = _features_of(frames.eval_keys, made, names, rows)
    if judged_only:
        return replace(frames, eval_x=judged)
    return replace(frames, train_x=_features_of(frames.train_keys, made, names, rows), eval_x=judged)


def _features_of(keys: "pd.DataFrame", made: "pd.DataFrame", names: list[str], rows: Made) -> "pd.DataFrame":
    identity = list(keys.columns)
    found = keys.merge(made.drop_duplicates(identity), on=identity, how="left", indicator=True)
    lost = int((found["_merge"] != "both").sum())
    if lost:
        raise NotMixable(f"raw has {lost} of the {len(keys)} rows of {rows.manifest.version} no more")
    return found[names].set_index(keys.index)
