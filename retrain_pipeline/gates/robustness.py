"""What does the candidate say when an input is missing, or not quite right? An outage must not make it wild."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.learning.errors import FeaturesMissing, LossNotComputable
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from retrain_pipeline.gates.material import Material, Side

ROWS = 500
"""Rows that are perturbed, evenly spread: each feature costs a prediction of all of them by both models."""
NOISE_SD = 0.1
"""Noise on every number, in standard deviations of the training rows."""


def robustness(material: "Material", reference: "Side | None", *, factor: float) -> GateResult:
    """Judge the candidate's loss with each used feature missing, and with noise on all numbers, against a reference's.

    The reference (the champion; before the first release the linear model) answers the same perturbed rows. FAIL when
    the candidate gives no finite answer, or when its mean loss is more than `factor` times the reference's; the worst
    perturbation is the statistic. INCONCLUSIVE when the reference cannot answer.
    """
    rows = _spread(material.unseen)
    if reference is None or reference.losses is None or not len(rows):
        words = "no rows to perturb" if not len(rows) else "no reference to compare with on perturbed rows"
        return GateResult(gate="robustness", verdict=Verdict.INCONCLUSIVE, words=words)
    found: list[tuple[float, str]] = []
    for name, features in _perturbed(material, rows):
        own, theirs = (_mean_loss(material, side, features, rows) for side in (material.candidate, reference))
        if own is None:
            words = f"with {name} it gives no answer that has a loss"
            return GateResult(gate="robustness", verdict=Verdict.FAIL, n=len(rows), words=words)
        if theirs is None:
            words = f"with {name} the {reference.name} gives no answer to compare with"
            return GateResult(gate="robustness", verdict=Verdict.INCONCLUSIVE, n=len(rows), words=words)
        # A reference without any loss leaves nothing to multiply: then any loss at all is beyond the factor.
        found.append((own / theirs if theirs else (0.0 if own == 0 else 2 * factor), name))
    worst, name = max(found)
    return GateResult(
        gate="robustness",
        verdict=Verdict.PASS if worst <= factor else Verdict.FAIL,
        statistic=worst,
        threshold=factor,
        n=len(rows),
        words=f"{len(found)} perturbations; the worst is {name}: {worst:.2f} times the loss of the {reference.name}, "
        f"at most {factor:g} times is allowed",
    )


def _spread(unseen: "NDArray[np.bool_]") -> "NDArray[np.int64]":
    import numpy as np

    at = np.flatnonzero(unseen)
    return at[np.unique(np.linspace(0, len(at) - 1, ROWS).round().astype(int))] if len(at) > ROWS else at


def _perturbed(material: "Material", rows: "NDArray[np.int64]") -> "Iterator[tuple[str, pd.DataFrame]]":
    """Yield each perturbation's name and the perturbed rows."""
    import numpy as np

    frames = material.frames
    features, numbers = frames.eval_x.iloc[rows], dict[str, Any]()
    for name in sorted(material.candidate.takes):
        yield f"{name} missing", features.assign(**{name: None})
        if features[name].dtype != object:
            numbers[name] = features[name].astype(np.float64)
    if numbers:
        rng = np.random.default_rng(material.seed)
        scale = {name: float(frames.train_x[name].astype(np.float64).std()) for name in numbers}
        noisy = {name: column + rng.normal(0, NOISE_SD, len(rows)) * scale[name] for name, column in numbers.items()}
        yield f"noise of {NOISE_SD:g} sd on every number", features.assign(**noisy)


def _mean_loss(material: "Material", side: "Side", features: "pd.DataFrame", rows: "NDArray[np.int64]") -> float | None:
    import numpy as np

    from retrain_pipeline.learning.guarded import FitFailed, guarded
    from retrain_pipeline.learning.losses import row_losses
    from retrain_pipeline.learning.prediction import predict

    spec, frames = material.spec, material.frames
    try:
        told = guarded(lambda: predict(side.pipeline, frames.task, features).frame)
        losses = row_losses(spec.problem.success.metric, frames.task, frames.eval_y[rows], told)
    except (FitFailed, FeaturesMissing, LossNotComputable):
        return None
    return float(losses.mean()) if np.isfinite(losses).all() else None
