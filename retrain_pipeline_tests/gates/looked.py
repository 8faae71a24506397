"""Material of a judgement that is read once, and what some gates must say of it."""

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

from retrain_pipeline.gates.calibration import binary_calibration, not_calibrated, residual_bias
from retrain_pipeline.gates.quality import Paired
from retrain_pipeline_tests.gates.small import Small


@functools.cache
def read(task, champion=True):
    """Return the material of v2 against a champion that has seen some of the rows that judge, or against nobody."""
    with tempfile.TemporaryDirectory(prefix="looking-") as folder:
        small = Small(Path(folder), task, champion=False)
        small.version("v0", learned=200, leaf=30)
        made = small.material(champion="v0" if champion else None)
        small.stores.close()
    gates = {
        "groups": ("shop",),
        "margin": 0.07,
        "alpha": 0.06,
        "min_rows": 90,
        "group_margin": 0.11,
        "block_hours": 30,
    }
    spec = made.spec.model_copy(update={"gates": made.spec.gates.model_copy(update={**gates, "slice_margin": 0.12})})
    validated = 0.9 if champion else None
    return replace(made, spec=spec, champion_validated=validated)


def pair(material, reference, spent=None):
    rows, gates = material.unseen, material.spec.gates
    return Paired(
        candidate=material.candidate.losses[rows], reference=reference.losses[rows],
        event_time=material.event_time[rows], metric=material.spec.problem.success.metric, margin=gates.margin,
        alpha=gates.alpha, block_hours=gates.block_hours, min_rows=gates.min_rows, seed=material.seed, spent=spent,
    )  # fmt: skip


def calibrated(material):
    rows, frames, gates = material.unseen, material.frames, material.spec.gates
    sides = [material.candidate, material.champion]
    if frames.task == "multiclass":
        return not_calibrated(int(rows.sum()))
    column = "score" if frames.task == "binary" else "prediction"
    own, theirs = (None if one is None else one.predictions[column].to_numpy()[rows] for one in sides)
    truth = frames.eval_y[rows].astype(float)
    if frames.task == "binary":
        return binary_calibration(own, truth, theirs, seed=material.seed)
    return residual_bias(
        truth - own, None if theirs is None else truth - theirs, material.event_time[rows], alpha=gates.alpha,
        block_hours=gates.block_hours, seed=material.seed,
    )  # fmt: skip
