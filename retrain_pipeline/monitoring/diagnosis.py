"""Why is it so? One cause for what was found in a period, and the reasons in words; a decision and nothing else.

The order is that of harm: a retrain on labels or columns that are wrong makes a confident, wrong model, so these are
asked first. A loss that has risen as far as the inputs alone explain (the label-free estimate is blind to everything
else) is data shift; one that two numbers repair is miscalibration; one that retrains did not lower is a plateau; what
is left is concept shift. `docs/benchmarks/diagnosis.md` has how often that is right.
"""

from dataclasses import dataclass
from enum import StrEnum

from retrain_pipeline.verdicts import Verdict

MAX_MISSING_RISE = 0.2
MAX_RECODED_SHARE = 0.2
MIN_EXPECTED_LABELS = 50
PLATEAU_RETRAINS = 3
"""So many retrains in a row without gain are no bad luck."""
EXPLAINED_SHARE = 0.5
FAR_SLOPE = 0.3
FAR_INTERCEPT = 0.4
_SURE_SE = 3.0


class Cause(StrEnum):
    """What is wrong, if anything. UNCLEAR: nothing was measured that could tell."""

    NONE = "none"
    DATA_SHIFT = "data_shift"
    CONCEPT_SHIFT = "concept_shift"
    LABEL_FAULT = "label_fault"
    PIPELINE_FAULT = "pipeline_fault"
    MISCALIBRATION = "miscalibration"
    PLATEAU = "plateau"
    UNCLEAR = "unclear"


FAULTS = frozenset({Cause.LABEL_FAULT, Cause.PIPELINE_FAULT})
"""Causes that a retrain would learn instead of mending."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of a period; None where it could not be measured. Shares are of rows."""

    performance: Verdict
    drift: Verdict
    prediction_drift: Verdict = Verdict.INCONCLUSIVE
    drifted: tuple[str, ...] = ()
    missing_rise: tuple[str, float] | None = None
    """The column whose share of missing values rose most since training, and by how much."""
    recoded: tuple[str, float] | None = None
    """The column with most values that training never had in place of values that are gone. New values beside the old
    ones are the world's: a new channel, a new product."""
    labels_expected: int | None = None
    labels_known: int | None = None
    """Labels that should be known by the maturity curve, and those that are."""
    labels_turned: str | None = None
    """Words, when answers go with labels worse than chance and turning labels round explains it."""
    labels_moved: str | None = None
    """Words, when the labels' level or scale moved as a mistake moves it while answers stayed."""
    poisoned: str | None = None
    """Words of the poisoning probe when it found something."""
    marked: bool = False
    """It found marked rows; contradictions alone may come from inputs that drifted."""
    loss: float | None = None
    explained_up_to: float | None = None
    """Upper end of the label-free estimate of the same rows."""
    repaired_loss: float | None = None
    """Loss once answers are recalibrated on other rows of the same time."""
    validated_up_to: float | None = None
    """Validated loss and two standard errors."""
    slope: tuple[float, float] | None = None
    intercept: tuple[float, float] | None = None
    """Calibration of answers against labels, each with its standard error; right are 1 and 0."""
    retrains_without_gain: int = 0


@dataclass(frozen=True)
class Diagnosis:
    """The cause, and why."""

    cause: Cause
    reasons: tuple[str, ...]

    @property
    def words(self) -> str:
        """Return cause and reasons in one line."""
        return f"{self.cause.value.replace('_', ' ')}: {'; '.join(self.reasons)}"


def diagnose(evidence: Evidence) -> Diagnosis:
    """Return the cause that the evidence speaks for. Pure: the same evidence gives the same words."""
    for asked in (_pipeline, _labels, _risen, _unrisen):
        if (found := asked(evidence)) is not None:
            return found
    if evidence.performance is Verdict.INCONCLUSIVE:
        told = f"drift {evidence.drift}" if evidence.drift is Verdict.PASS else "inputs could not be compared either"
        return Diagnosis(Cause.UNCLEAR, (f"no loss is known; {told}",))
    return Diagnosis(Cause.NONE, ("the loss has not risen",))


def _pipeline(e: Evidence) -> Diagnosis | None:
    reasons = []
    if e.missing_rise is not None and e.missing_rise[1] > MAX_MISSING_RISE:
        reasons.append(f"{e.missing_rise[0]} is missing in {e.missing_rise[1]:.0%} of rows more than in training")
    if e.recoded is not None and e.recoded[1] > MAX_RECODED_SHARE:
        reasons.append(
            f"{e.recoded[0]} has new values in place of known ones that are gone: {e.recoded[1]:.0%} of rows"
        )
    return Diagnosis(Cause.PIPELINE_FAULT, tuple(reasons)) if reasons else None


def _labels(e: Evidence) -> Diagnosis | None:
    poisoned = e.poisoned if e.marked or e.drift is not Verdict.FAIL else None
    reasons = [words for words in (e.labels_turned, e.labels_moved, poisoned) if words]
    if e.labels_expected is not None and e.labels_known == 0 and e.labels_expected >= MIN_EXPECTED_LABELS:
        reasons.append(f"labels stopped: {e.labels_expected} should be known, none is")
    return Diagnosis(Cause.LABEL_FAULT, tuple(reasons)) if reasons else None


def _risen(e: Evidence) -> Diagnosis | None:
    if e.performance is not Verdict.FAIL or e.loss is None:
        return None
    drifted = f"{', '.join(e.drifted[:5])} drifted" if e.drifted else "inputs drifted"
    if e.drift is Verdict.FAIL and _explained(e, e.loss):
        reason = f"inputs alone explain a loss up to {e.explained_up_to:.4g}, it is {e.loss:.4g}"
        return Diagnosis(Cause.DATA_SHIFT, (drifted, reason))
    if e.retrains_without_gain >= PLATEAU_RETRAINS:
        return Diagnosis(Cause.PLATEAU, (f"{e.retrains_without_gain} retrains did not lower the loss of {e.loss:.4g}",))
    if e.repaired_loss is not None and e.validated_up_to is not None and e.repaired_loss <= e.validated_up_to:
        reason = (
            f"recalibrated, the loss of {e.loss:.4g} is {e.repaired_loss:.4g}, validated up to {e.validated_up_to:.4g}"
        )
        return Diagnosis(Cause.MISCALIBRATION, (reason,))
    reasons = [f"the loss is {e.loss:.4g}"]
    if e.explained_up_to is not None:
        reasons.append(f"inputs explain no more than {e.explained_up_to:.4g}")
    if e.drift is not Verdict.FAIL:
        reasons.append("no input drifted")
    elif e.explained_up_to is None:
        return Diagnosis(Cause.UNCLEAR, (*reasons, drifted, "no estimate says how much of it inputs explain"))
    return Diagnosis(Cause.CONCEPT_SHIFT, tuple(reasons))


def _explained(e: Evidence, loss: float) -> bool:
    """Do inputs explain most of the rise? An estimate falls short where inputs went beyond what it was learned from."""
    if e.explained_up_to is None:
        return False
    known = e.validated_up_to if e.validated_up_to is not None else loss
    return loss - e.explained_up_to <= (1 - EXPLAINED_SHARE) * max(loss - known, 0.0)


def _unrisen(e: Evidence) -> Diagnosis | None:
    """Without a risen loss: inputs that moved, numbers that are off, retrains that give nothing."""
    if e.drift is Verdict.FAIL:
        harm = "the loss has not risen" if e.performance is Verdict.PASS else "no loss is known"
        return Diagnosis(Cause.DATA_SHIFT, (f"{', '.join(e.drifted[:5]) or 'inputs'} drifted", harm))
    off = [
        f"{name} {value:.2f} ± {se:.2f} where {right:g} is right"
        for name, found, right, far in (
            ("slope", e.slope, 1.0, FAR_SLOPE),
            ("intercept", e.intercept, 0.0, FAR_INTERCEPT),
        )
        if found is not None
        for value, se in (found,)
        if abs(value - right) > max(far, _SURE_SE * se)
    ]
    if off:
        return Diagnosis(Cause.MISCALIBRATION, tuple(off))
    if e.retrains_without_gain >= PLATEAU_RETRAINS:
        return Diagnosis(Cause.PLATEAU, (f"{e.retrains_without_gain} retrains in a row were no gain",))
    return None
