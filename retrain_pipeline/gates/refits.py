"""Fitting the candidate again: with its own seed it must come out the same, with others as good."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import GateResult, Mode
from retrain_pipeline.gates.quality import loss_margin
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.gates.material import Material, Side
    from retrain_pipeline.learning.reproduce import Reproduction
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores


def reproducible(stores: "Stores", declaration: "Declaration", version: str) -> GateResult:
    """Fit the version again from its manifest: its answers to the probe set must be those on record (P28).

    FAIL names how far they lie apart and what differs now; INCONCLUSIVE when the fit could not be done.
    """
    from retrain_pipeline.learning.guarded import FitFailed, guarded
    from retrain_pipeline.learning.reproduce import reproduce

    try:
        found = guarded(lambda: reproduce(stores, declaration, version))
    except (PermanentError, FitFailed) as error:
        words = f"it could not be fitted again: {error}"
        return GateResult(gate="reproducible", verdict=Verdict.INCONCLUSIVE, words=words[:2000])
    return reproduced(found)


def reproduced(found: "Reproduction") -> GateResult:
    """Judge a fit that was done again."""
    if found.same:
        words = "fitted again from its manifest, it gives the same answers"
        return GateResult(gate="reproducible", verdict=Verdict.PASS, n=1, words=words)
    lost = any(one.startswith("data:") for one in found.differences)
    return GateResult(
        gate="reproducible",
        verdict=Verdict.INCONCLUSIVE if lost else Verdict.FAIL,
        n=1,
        words=f"fitted again from its manifest, it is another model: {'; '.join(found.differences)}"[:2000],
    )


def seed_losses(material: "Material", seeds: Sequence[int]) -> list[float]:
    """Return the mean loss, on the rows that judge, of the candidate's setting fitted with each of some seeds.

    Raises
    ------
    FitFailed
        When a fit comes to nothing.
    """
    from retrain_pipeline.gates.material import losses_of
    from retrain_pipeline.learning.fitting import refit
    from retrain_pipeline.learning.guarded import guarded
    from retrain_pipeline.learning.prediction import predict
    from retrain_pipeline.spec.model import Candidate

    manifest, frames = material.manifest, material.frames
    setting = Candidate(estimator=manifest.estimator, params=manifest.params)
    found = []
    for seed in seeds:
        pipeline = guarded(partial(refit, material.spec, setting, {}, frames, seed, manifest.window))
        told = predict(pipeline, frames.task, frames.eval_x).frame
        found.append(float(losses_of(material.spec, frames, told)[material.unseen].mean()))
    return found


def seed_noise(
    own: float, others: Sequence[float], reference: float, *, metric: str, margin: float, mode: Mode
) -> GateResult:
    """Judge that the gain is not the luck of a seed: the worst seed, too, is better than the reference.

    In mode `non_inferiority`, not worse than it beyond the margin. FAIL when most seeds are not; INCONCLUSIVE when only
    some are not.

    Parameters
    ----------
    own, others
        Mean row losses of the candidate, and of its setting with other seeds.
    reference
        That of the champion, or before the first release of the dummy.
    """
    allowed = reference * (1 + loss_margin(metric, margin)) if mode == "non_inferiority" else reference
    all_of_them = sorted([own, *others])
    beyond = [one - allowed for one in all_of_them]
    missed = sum(one > 0 if mode == "non_inferiority" else one >= 0 for one in beyond)
    verdict = Verdict.PASS if not missed else Verdict.FAIL if 2 * missed > len(beyond) else Verdict.INCONCLUSIVE
    return GateResult(
        gate="seed_noise",
        verdict=verdict,
        statistic=beyond[-1],
        threshold=0.0,
        n=len(beyond),
        interval=(beyond[0], beyond[-1]),
        words=f"mean row loss of {len(beyond)} seeds: {all_of_them[0]:.4g} to {all_of_them[-1]:.4g}, own {own:.4g}; "
        f"{missed} of them miss {allowed:.4g} ({mode})",
    )


def seed_noise_of(material: "Material", reference: "Side | None", mode: Mode, seeds: int) -> GateResult:
    """Fit the candidate's setting with so many other seeds, and judge; nothing to compare with is INCONCLUSIVE."""
    from retrain_pipeline.learning.guarded import FitFailed

    own, rows = material.candidate.losses, material.unseen
    if own is None or reference is None or reference.losses is None or not rows.any():
        words = "no losses of candidate and reference on the same rows to hold other seeds to"
        return GateResult(gate="seed_noise", verdict=Verdict.INCONCLUSIVE, words=words)
    first = material.manifest.seed
    try:
        others = seed_losses(material, [(first + step) % 2**32 for step in range(1, seeds + 1)])
    except (FitFailed, PermanentError) as error:
        words = f"another seed could not be fitted: {error}"
        return GateResult(gate="seed_noise", verdict=Verdict.INCONCLUSIVE, words=words[:2000])
    metric, margin = material.spec.problem.success.metric, material.spec.gates.margin
    means = float(own[rows].mean()), float(reference.losses[rows].mean())
    return seed_noise(means[0], others, means[1], metric=metric, margin=margin, mode=mode)
