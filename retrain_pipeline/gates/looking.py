"""Each gate looks at the material of a judgement. Nothing to look with is INCONCLUSIVE, never an exception."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.anchor import beside_anchor, held_to_anchor
from retrain_pipeline.gates.calibration import binary_calibration, not_calibrated, residual_bias
from retrain_pipeline.gates.compatibility import Answers, Asked, Look, contract, disjoint
from retrain_pipeline.gates.evidence import Anchored, GateResult, Mode
from retrain_pipeline.gates.groups import groups
from retrain_pipeline.gates.known import wrong_about_candidates
from retrain_pipeline.gates.labels import LabelRows, labels, leakage
from retrain_pipeline.gates.material import Material, Side, losses_of
from retrain_pipeline.gates.operation import fingerprint, latency, size
from retrain_pipeline.gates.pairs import nothing, paired
from retrain_pipeline.gates.quality import Paired, baseline, quality, slices, success
from retrain_pipeline.gates.robustness import robustness
from retrain_pipeline.gates.self_test import self_test
from retrain_pipeline.learning.concord import relabelled
from retrain_pipeline.learning.errors import TooFewToProbe

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

# Enough for ten positives at a rate of one in two thousand; the probe fits one small tree a feature.
_PROBED_ROWS = 20_000


def look(material: Material, mode: Mode, spent: float | None = None) -> tuple[GateResult, ...]:
    """Return the result of every gate, in the order of `required.GATES`. All look, whatever others found.

    `spent` is the level that `quality` may spend of the error budget; by default the declared one.
    """
    return look_beside(beside_anchor(material, spent), material, mode, spent)


def look_beside(beside: Anchored | None, material: Material, mode: Mode, spent: float | None) -> tuple[GateResult, ...]:
    """Return the same where what candidate and champion are beside the anchor was found already."""
    reference = material.baselines["dummy"] if material.champion is None else material.champion
    main = paired(material, reference)
    main = main and replace(main, spent=spent)
    return (
        _contract(material),
        disjoint(
            material.digests,
            material.event_time,
            material.candidate_seen,
            material.champion_seen,
            min_rows=material.spec.gates.min_rows,
        ),
        _quality(material, reference, main, mode, beside),
        baseline(paired(material, material.baselines["dummy"]), paired(material, material.baselines["linear"])),
        _success(material),
        _slices(material),
        labels(_label_rows(material)),
        _leakage(material),
        _calibration(material),
        latency(_predict_one(material), material.frames.eval_x, limit_ms=material.spec.gates.latency_ms_p95),
        size(material.model_bytes, max_size_mb=material.spec.gates.max_size_mb),
        fingerprint(material.manifest.prediction_fingerprint, material.fidelity),
        robustness(
            material,
            material.baselines["linear"] if material.champion is None else material.champion,
            factor=material.spec.gates.robustness,
        ),
        _self_test(material, reference, main, mode),
        *((_groups(material),) if material.spec.gates.groups else ()),
    )


def _quality(
    material: Material, reference: Side | None, main: Paired | None, mode: Mode, beside: Anchored | None
) -> GateResult:
    """Held to the champion, and to the anchor too."""
    if main is None:
        return nothing("quality", material.candidate, reference)
    held = quality(main, mode)
    return held if beside is None else held_to_anchor(held, beside.candidate)


def _contract(material: Material) -> GateResult:
    classes = material.frames.train_y.astype(str) if material.frames.task == "multiclass" else ()
    asked = Asked(
        task=material.frames.task,
        columns=tuple(material.frames.eval_x.columns),
        rows=len(material.frames.eval_x),
        classes=tuple(sorted(set(classes))),
        probabilities=material.spec.problem.success.metric != "error",
    )
    sides = [side for side in (material.candidate, material.champion) if side is not None]
    present = tuple(Answers(side.name, side.takes, side.predictions, side.why_not) for side in sides)
    return contract(asked, present, _earlier(material, asked, sides))


def _earlier(material: Material, asked: Asked, sides: list[Side]) -> Look | None:
    """Return what both models say of rows of the champion's schema; None where there is no champion that loads.

    A column that the release adds is missing in such rows: it is, wherever they are read after it.
    """
    rows = material.earlier
    if rows is None:
        return None
    added = [name for side in sides for name in side.takes if name not in rows]
    shaped = rows.assign(**dict.fromkeys(added))
    known = [str(one) for side in sides for one in getattr(side.pipeline, "classes_", ())]
    classes = tuple(sorted({*asked.classes, *known})) if asked.task == "multiclass" else ()
    asked = replace(asked, columns=tuple(shaped.columns), rows=len(shaped), classes=classes)
    return asked, tuple(_answering(material, side, shaped) for side in sides)


def _answering(material: Material, side: Side, rows: "pd.DataFrame") -> Answers:
    from retrain_pipeline.learning.guarded import FitFailed, guarded
    from retrain_pipeline.learning.prediction import predict

    try:
        told = guarded(lambda: predict(side.pipeline, material.frames.task, rows).frame)
    except (PermanentError, FitFailed) as error:
        return Answers(side.name, side.takes, None, str(error))
    return Answers(side.name, side.takes, told)


def _success(material: Material) -> GateResult:
    gates, rows = material.spec.gates, material.unseen
    own, champion = material.candidate.losses, material.champion
    if own is None:
        return nothing("success", material.candidate, None)
    theirs = champion.losses[rows] if champion is not None and champion.losses is not None else None
    return success(
        own[rows],
        theirs,
        material.event_time[rows],
        metric=material.spec.problem.success.metric,
        at_most=material.spec.problem.success.at_most,
        margin=gates.margin,
        alpha=gates.alpha,
        block_hours=gates.block_hours,
        seed=material.seed,
    )


def _slices(material: Material) -> GateResult:
    # A first candidate has no champion to be worse than; on a slice the linear model is the bar.
    reference = material.baselines["linear"] if material.champion is None else material.champion
    judged = paired(material, reference)
    if judged is None:
        return nothing("slices", material.candidate, reference)
    gates = material.spec.gates
    return slices(judged, material.slices[material.unseen], gates.slices, slice_margin=gates.slice_margin)


def _groups(material: Material) -> GateResult:
    import numpy as np

    # As for slices: before the first release the linear model is the bar.
    reference = material.baselines["linear"] if material.champion is None else material.champion
    judged = paired(material, reference)
    if judged is None or reference is None or not len(judged.candidate):
        return nothing("groups", material.candidate, reference)
    rows, gates, sides = material.unseen, material.spec.gates, (material.candidate, reference)
    scale = float(judged.reference.mean()) or 1.0
    measures = {"loss": (judged.candidate / scale, judged.reference / scale)}
    if material.frames.task == "binary":
        told = [side.predictions for side in sides if side.predictions is not None]
        own, theirs = (one["prediction"].to_numpy(dtype=np.float64)[rows] for one in told)
        measures["positive rate"] = (own, theirs)
    values = material.slices[rows]
    return groups(measures, values, gates.groups, margin=gates.group_margin, alpha=gates.alpha, seed=material.seed)


def _label_rows(material: Material) -> LabelRows:
    frames, champion = material.frames, material.champion
    evaluation, training, turned = None, None, None
    if champion is not None and champion.predictions is not None:
        told = champion.predictions
        evaluation, training = _level(told), _of_training(material, champion)
        truth = relabelled(frames.task, frames.eval_y, told["prediction"].to_numpy())
        turned = losses_of(material.spec, frames, told, truth)
    elif champion is not None:
        evaluation = _unknown(len(frames.eval_y))
    return LabelRows(
        task=frames.task,
        evaluation=frames.eval_y,
        evaluation_time=frames.eval_keys["_event_time"],
        training=frames.train_y,
        training_time=frames.train_keys["_event_time"],
        champion_evaluation=evaluation,
        champion_training=training,
        relabelled_losses=turned,
        validated_loss=material.champion_validated,
        alpha=material.spec.gates.alpha,
        block_hours=material.spec.gates.block_hours,
        seed=material.seed,
    )


def _level(predictions: "pd.DataFrame") -> "NDArray[Any]":
    """Scores where there are any (binary), else the predictions."""
    told = predictions["prediction"]
    use_score = told.dtype != object and predictions["score"].notna().any()
    return (predictions["score"] if use_score else told).to_numpy()


def _unknown(rows: int) -> "NDArray[np.float64]":
    import numpy as np

    return np.full(rows, np.nan)


def _of_training(material: Material, champion: Side) -> "NDArray[Any]":
    from retrain_pipeline.learning.prediction import predict

    return _level(predict(champion.pipeline, material.frames.task, material.frames.train_x).frame)


def _leakage(material: Material) -> GateResult:
    import numpy as np
    import pandas as pd

    from retrain_pipeline.learning.leaks import knows_the_label

    frames = material.frames
    features = pd.concat([frames.train_x, frames.eval_x], ignore_index=True).tail(_PROBED_ROWS)
    truth = pd.Series(np.concatenate([frames.train_y, frames.eval_y])).tail(_PROBED_ROWS)
    used = [name for name in features.columns if name in material.candidate.takes]
    try:
        return leakage(knows_the_label(features[used], truth, frames.task), features[used])
    except TooFewToProbe as error:
        return leakage(None, features[used]).model_copy(update={"words": str(error)})


def _calibration(material: Material) -> GateResult:
    import numpy as np

    rows, frames = material.unseen, material.frames
    told, champion = material.candidate.predictions, material.champion
    theirs = champion.predictions if champion is not None else None
    if told is None:
        return nothing("calibration", material.candidate, None)
    by_label = material.spec.problem.success.metric == "error" and told["score"].isna().all()
    if frames.task == "multiclass" or by_label:
        return not_calibrated(int(rows.sum()))
    column = "score" if frames.task == "binary" else "prediction"
    own = told[column].to_numpy(dtype=np.float64)[rows]
    other = theirs[column].to_numpy(dtype=np.float64)[rows] if theirs is not None else None
    truth = frames.eval_y[rows].astype(np.float64)
    if frames.task == "binary":
        return binary_calibration(own, truth, other, seed=material.seed)
    gates = material.spec.gates
    return residual_bias(
        truth - own,
        truth - other if other is not None else None,
        material.event_time[rows],
        alpha=gates.alpha,
        block_hours=gates.block_hours,
        seed=material.seed,
    )


def _predict_one(material: Material) -> Any:
    from retrain_pipeline.learning.prediction import predict

    return lambda row: predict(material.candidate.pipeline, material.frames.task, row)


def _self_test(material: Material, reference: Side | None, main: Paired | None, mode: Mode) -> GateResult:
    import numpy as np

    told = material.candidate.predictions
    if told is None or main is None:
        return nothing("self_test", material.candidate, reference)
    dealt = np.random.default_rng(material.seed).permutation(len(told))
    shuffled = losses_of(material.spec, material.frames, told.iloc[dealt].reset_index(drop=True))
    answering = material.baselines["linear"] if material.champion is None else material.champion
    others = wrong_about_candidates(material, answering)
    return self_test(main, shuffled[material.unseen], mode, material.spec.gates, others)
