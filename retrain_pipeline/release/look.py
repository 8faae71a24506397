"""One look at a rollout: what was found of a model on trial at the end of a period, and what follows from it.

What follows is a pure function of what was found, so that a look can be read again and checked.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import Digest, GateResult
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.spec.rollout import Rollout
from retrain_pipeline.strict import Strict
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.artifacts import Artifacts

Move = Literal["advance", "promote", "hold", "withdraw"]
GUARDRAIL = "guardrail:"
_SPLIT = ("sample_ratio", "exposure")


class Look(Strict):
    """What was found, whole: stored by digest, read again before anything is done on it."""

    schema_: Literal["rollout_look/1"] = "rollout_look/1"
    model: str
    version: str
    reference: str
    """The champion that it is compared with."""
    evidence: Digest
    """What it was judged on before it was staged."""
    epoch: int
    stage: Literal["shadow", "canary"]
    share: float
    period: str
    as_of: str
    periods_in_stage: int
    periods_on_trial: int
    longest: int
    """Periods that it may be on trial."""
    rollout: Rollout
    """The declaration that it goes by."""
    results: tuple[GateResult, ...]

    def result(self, gate: str) -> GateResult | None:
        """Return the result of a check, or None where it was not made."""
        return next((one for one in self.results if one.gate == gate), None)

    def document(self) -> dict[str, Any]:
        """Return the look as JSON values."""
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class Step:
    """What follows from a look. `stage` and `share` are those to go on with; of a promotion, the last ones."""

    move: Move
    words: str
    stage: Literal["shadow", "canary"] = "shadow"
    share: float = 0.0


def stages(rollout: Rollout) -> list[tuple[Literal["shadow", "canary"], float, int]]:
    """Return the declared stages in order: name, share, and the periods that each lasts at least.

    Examples
    --------
    >>> stages(Rollout(shadow_periods=2, canary_shares=(0.1, 0.5)))
    [('shadow', 0.0, 2), ('canary', 0.1, 1), ('canary', 0.5, 1)]
    """
    shadow: list[tuple[Literal["shadow", "canary"], float, int]] = []
    if rollout.shadow_periods:
        shadow.append(("shadow", 0.0, rollout.shadow_periods))
    return [*shadow, *(("canary", share, rollout.canary_periods) for share in rollout.canary_shares)]


def next_step(look: Look) -> Step:
    """Return what follows from a look: on, hold, or back.

    Back at once: it cannot answer, a guardrail is broken, or it is worse beyond the margin. Nothing is read off a
    split that is off, nor off a comparison that cannot tell: that holds, and so does a guardrail that is broken in the
    canary alone, as long as it may be by chance. A hold ends when `longest` is over. On to the next stage when the
    stage has lasted and the losses are no worse within the margin; as long as labels are too few to tell, a label-free
    estimate may stand in for them, but never on the last step, which is to serve everybody.
    """
    failed = _failed(look)
    if failed is not None:
        return Step("withdraw", failed, look.stage, look.share)
    why = _not_yet(look)
    if why is None:
        return _onward(look)
    if look.periods_on_trial >= look.longest:
        words = f"not proved after {look.periods_on_trial} periods, which is all that it has: {why}"
        return Step("withdraw", words, look.stage, look.share)
    return Step("hold", why, look.stage, look.share)


def _failed(look: Look) -> str | None:
    """Return why a version goes back at once, or None."""
    for result in look.results:
        if result.gate in _SPLIT or result.verdict is not Verdict.FAIL:
            continue
        if result.gate in ("serves", "proof", "terms", "online_loss") or result.gate.startswith(GUARDRAIL):
            return f"{result.gate}: {result.words}"
    return None


def _not_yet(look: Look) -> str | None:
    """Return why a version does not go on yet, or None when it does."""
    if (why := _not_read(look)) is not None:
        return why
    declared = stages(look.rollout)
    at = _place(look)
    if at is not None and look.periods_in_stage < declared[at][2]:
        return f"{look.periods_in_stage} of {declared[at][2]} periods of this stage"
    loss, guess = look.result("online_loss"), look.result("label_free")
    if loss is None:
        return "no comparison of losses"
    last = at is None or at == len(declared) - 1
    if last and (why := _not_allowed(look)) is not None:
        return why
    if loss.verdict is Verdict.PASS:
        return None
    if not last and not loss.n and guess is not None and guess.verdict is Verdict.PASS:
        return None
    return f"cannot tell yet: {loss.words}"


def _not_read(look: Look) -> str | None:
    """Return what keeps the losses from being read at all, or None."""
    for gate in ("serves", "proof", "terms"):
        found = look.result(gate)
        if found is None or found.verdict is not Verdict.PASS:
            return f"{gate} was not looked at"
    for gate in _SPLIT if look.stage == "canary" else ():
        split = look.result(gate)
        if split is None or split.verdict is not Verdict.PASS:
            return f"nothing is read off this split: {split.words if split else f'no {gate}'}"
    broken = next((one for one in look.results if _breaks_alone(one)), None)
    return f"cannot tell yet whether {broken.gate} is broken: {broken.words}" if broken is not None else None


def _breaks_alone(result: GateResult) -> bool:
    """A guardrail is broken where the canary serves and not in its control, by chance or not."""
    by_arm = result.gate.startswith(GUARDRAIL) and result.interval is not None
    return by_arm and result.verdict is Verdict.INCONCLUSIVE and result.threshold == 0


def _not_allowed(look: Look) -> str | None:
    """Return what besides its losses keeps a version from serving everybody, or None."""
    way_back, permit = look.result("drill"), look.result("permit")
    if way_back is None or way_back.verdict is not Verdict.PASS:
        return way_back.words if way_back else "nobody has seen that the way back was rehearsed"
    if permit is not None:
        return None if permit.verdict is Verdict.PASS else permit.words
    return "nobody has looked whether it may become champion" if look.rollout.approval == "required" else None


def _onward(look: Look) -> Step:
    declared, at = stages(look.rollout), _place(look)
    why = "; ".join(result.words for result in look.results if result.gate in ("online_loss", "label_free"))
    if at is None or at == len(declared) - 1:
        return Step("promote", why, look.stage, look.share)
    stage, share, _ = declared[at + 1]
    return Step("advance", why, stage, share)


def _place(look: Look) -> int | None:
    """Return which of the declared stages the version is in; None when the declaration has it no more."""
    places = [(stage, share) for stage, share, _ in stages(look.rollout)]
    return places.index((look.stage, look.share)) if (look.stage, look.share) in places else None


def read_look(artifacts: "Artifacts", digest: str) -> Look:
    """Return a stored look.

    Raises
    ------
    ReleaseRefused
        When it is missing, damaged, or none.
    """
    try:
        return Look.model_validate(artifacts.get_json(digest))
    except (PermanentError, ValidationError) as error:
        raise ReleaseRefused(f"look {digest[:12]}: it cannot be read: {error}; look again") from error
