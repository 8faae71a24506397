"""Do the frozen features come from the code that will serve? Else training and serving would see different values."""

from typing import TYPE_CHECKING

from retrain_pipeline.lake.checks import Check
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.learning.features import build_features, differing_columns, feature_columns
from retrain_pipeline.learning.team_code import FeatureCode
from retrain_pipeline.learning.training_set import TrainingSet
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.learning.frames import Frames


def features_agree(lake: Lake, code: FeatureCode, spec: ModelSpec, ts: TrainingSet, frames: "Frames") -> Check:
    """Return the check `feature_agreement`: the newest evaluation period computed anew from `raw`, against the frozen.

    A column that only the training rows have is fine when it is empty there (older code made it once); any other
    difference is FAIL. INCONCLUSIVE when raw does not have the rows.
    """
    calendar = spec.data.time.calendar()
    start, end = calendar.bounds(ts.periods[-1])
    periods = calendar.keys_between(calendar.shift(start, -spec.features.history_periods), end)
    raw = lake.read(spec.name, "raw", periods=periods)
    identity = [*ts.key, "_event_time"]
    frozen = frames.eval_keys.join(frames.eval_x)
    frozen = frozen[frozen["_event_time"] >= start]
    fresh = build_features(code, spec, raw, start, end) if "_event_time" in raw else raw
    if fresh.empty or not len(frozen.merge(fresh[identity], on=identity)):
        return Check("feature_agreement", Verdict.INCONCLUSIVE, f"raw has no rows of period {ts.periods[-1]}", {})
    names = feature_columns(spec, fresh)
    absent = [name for name in names if name not in frozen]
    ours = frozen.merge(fresh, on=identity, how="inner", suffixes=("", "\0fresh"))
    extra = [name for name in frames.train_x.columns if name not in names and frames.train_x[name].notna().any()]
    theirs = ours[[f"{name}\0fresh" for name in names if name not in absent]].set_axis(
        [name for name in names if name not in absent], axis=1
    )
    moved = differing_columns(ours[theirs.columns], theirs)
    wrong = sorted({*absent, *extra, *moved})
    if wrong:
        words = (
            f"model {spec.name!r}: the frozen features of period {ts.periods[-1]} are not those that {code.reference} "
            f"makes now ({', '.join(wrong)}): compute the features of the window again, then retrain"
        )
        return Check("feature_agreement", Verdict.FAIL, words, {"columns": ", ".join(wrong)})
    words = f"{code.reference} makes the frozen values of {len(names)} features in {len(ours)} rows"
    return Check("feature_agreement", Verdict.PASS, words, {"rows": len(ours), "features": len(names)})
