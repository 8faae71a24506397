"""When are the gates alone not enough? What calls for a second validator, and what its answer means.

It is asked only where its answer decides: a candidate that a gate stops is stopped, and the rows stay unspent. Where
it is asked, it must come to the same: to promote needs both, so that it can only lower the rate of false promotions.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from retrain_pipeline.gates.evidence import Escalation, Evidence, GateResult, Mode
from retrain_pipeline.governance.halting import ESCALATION_HALTED
from retrain_pipeline.learning.losses import CLASS_PREFIX, CLIP
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from retrain_pipeline.gates.material import Material, Side
    from retrain_pipeline.ledger.past import Asked
    from retrain_pipeline.spec.escalate import Escalate
    from retrain_pipeline.spec.gates import Gates
    from retrain_pipeline.stores import Stores

GATE = "escalation"
CALLS = ("near", "open", "in_a_row", "far", "signs")
"""What may call: the first three follow from the results and the record, the others were measured."""


def escalate(
    stores: "Stores",
    material: "Material",
    mode: Mode,
    results: Sequence[GateResult],
    champion: str | None,
    in_a_row: int,
    keep: Callable[[bytes], str],
) -> Escalation:
    """Look at what may call for the second validator, and let it judge where something does.

    Parameters
    ----------
    results
        What all other gates found.
    in_a_row
        Releases of the model since the second validator looked last (`since_second`).
    keep
        Stores bytes and returns their digest.
    """
    from retrain_pipeline.gates.second import second_look

    spec = material.spec
    if spec.gates.escalate is None:
        raise ValueError(f"{spec.name}: gates.escalate is not declared")
    following = _following(spec.gates.escalate, results, in_a_row)
    looked = (*following, far(material, spec.gates.escalate.far), signs(material))
    if all(one.verdict is Verdict.PASS for one in looked) or stopped(results):
        return Escalation(looked=looked, rows=None, second=None)
    rows, second = second_look(stores, spec, material.manifest, champion, mode, keep)
    return Escalation(looked=looked, rows=rows, second=second)


def _following(declared: "Escalate", results: Sequence[GateResult], in_a_row: int) -> tuple[GateResult, ...]:
    return near(results, declared.near), unanswered(results), unwatched(in_a_row, declared.in_a_row)


def stopped(results: Sequence[GateResult]) -> list[str]:
    """Return the gates that stop the candidate, whatever a second validator would say."""
    return [one.gate for one in results if one.verdict is Verdict.FAIL]


def answer(found: Escalation | None, results: Sequence[GateResult]) -> GateResult:
    """Return the result of the gate `escalation`: a pure function of what was found.

    PASS where nothing called, or both validators came to the same; FAIL where they contradict each other; else
    INCONCLUSIVE: the second could not look, or did not confirm what the first passed.
    """
    words = "could not look: there is nothing to judge"
    if found is None:
        return GateResult(gate=GATE, verdict=Verdict.INCONCLUSIVE, words=words)
    if not found.called:
        words = f"nothing calls for a second validator ({', '.join(one.gate for one in found.looked)})"
        return GateResult(gate=GATE, verdict=Verdict.PASS, words=words)
    why = "; ".join(one.words for one in found.looked if one.verdict is not Verdict.PASS)
    second = found.second
    if second is None:
        words = f"not asked, since {', '.join(stopped(results))} stops it already, though: {why}"
        return GateResult(gate=GATE, verdict=Verdict.INCONCLUSIVE, words=words[:2000])
    first = next((one.verdict for one in results if one.gate == "quality"), Verdict.INCONCLUSIVE)
    verdict, told = _agreement(first, second)
    words = f"{told} ({second.words}); called for: {why}"
    return GateResult(gate=GATE, verdict=verdict, n=second.n, words=words[:2000])


def _agreement(first: Verdict, second: GateResult) -> tuple[Verdict, str]:
    if second.statistic is None:
        return Verdict.INCONCLUSIVE, "a second validator was called for and could not look"
    if second.verdict is Verdict.FAIL:
        return Verdict.FAIL, f"the second validator disagrees: quality is {first}, and it says FAIL"
    if first is Verdict.PASS and second.verdict is not Verdict.PASS:
        return Verdict.INCONCLUSIVE, "the second validator does not confirm the PASS of quality"
    return Verdict.PASS, f"the second validator agrees: quality is {first}, and it says {second.verdict}"


def near(results: Sequence[GateResult], limit: float) -> GateResult:
    """Is the statistic of `quality` far enough from its threshold, in widths of its interval?"""
    quality = next((one for one in results if one.gate == "quality"), None)
    low, high = quality.interval or (None, None) if quality else (None, None)
    if quality is None or quality.statistic is None or quality.threshold is None or low is None or high is None:
        words = "quality has no statistic to tell how near its threshold is"
        return GateResult(gate="near", verdict=Verdict.INCONCLUSIVE, words=words)
    away, width = abs(quality.threshold - quality.statistic), high - low
    distance = away / width if width > 0 else float(away > 0) * 1e9
    return _crossed(
        "near", -distance, -limit, f"quality is {distance:.2g} interval widths from its threshold, near is {limit:g}"
    )


def unanswered(results: Sequence[GateResult]) -> GateResult:
    """Did every gate come to an answer?"""
    which = [one.gate for one in results if one.verdict is Verdict.INCONCLUSIVE]
    words = f"gates that could not tell: {', '.join(which) or 'none'}"
    return _crossed("open", float(len(which)), 0.0, words)


def unwatched(in_a_row: int, limit: int) -> GateResult:
    """Were there fewer releases in a row without a second look than are allowed?"""
    words = f"{in_a_row} releases in a row without a second look, a second look is due after {limit}"
    return _crossed("in_a_row", float(in_a_row), float(limit - 1), words)


def far(material: "Material", limit: float) -> GateResult:
    """Do candidate and champion give answers of the same kind? Their mean distance, by the spread of the label."""
    import numpy as np

    champion, own = material.champion, material.candidate.predictions
    theirs = champion.predictions if champion is not None else None
    if champion is None:
        return GateResult(gate="far", verdict=Verdict.PASS, words="there is no champion to be far from")
    if own is None or theirs is None or not len(own):
        words = "one of both gives no answers to compare"
        return GateResult(gate="far", verdict=Verdict.INCONCLUSIVE, words=words)
    if material.frames.task == "multiclass":
        apart = float((own["prediction"].to_numpy() != theirs["prediction"].to_numpy()).mean())
        words = f"candidate and champion name different classes on {apart:.1%} of the rows, far is {limit:.0%}"
        return _crossed("far", apart, limit, words)
    scored = material.frames.task == "binary" and bool(own["score"].notna().all() and theirs["score"].notna().all())
    column = "score" if scored else "prediction"
    gap = np.abs(own[column].to_numpy(dtype=np.float64) - theirs[column].to_numpy(dtype=np.float64))
    spread = float(material.frames.eval_y.astype(np.float64).std()) or 1.0
    apart = float(gap.mean()) / spread
    words = f"candidate and champion lie {apart:.2g} standard deviations of the label apart, far is {limit:g}"
    return _crossed("far", apart, limit, words)


def signs(material: "Material") -> GateResult:
    """Do labels and the models' own probabilities say the same of who is better?

    Without labels, a probability says what loss to expect of it. Where both differences are beyond noise and have
    opposite signs, one of both models does not know what it does, or the labels are not what they were.
    """
    from retrain_pipeline.learning.paired import block_mean_interval

    rows, gates, metric = material.unseen, material.spec.gates, material.spec.problem.success.metric
    sides = [one for one in (material.candidate, material.champion) if one is not None and rows.any()]
    told = [(one.losses, expected) for one in sides if (expected := _expected(one, metric)) is not None]
    known = [(losses, expected) for losses, expected in told if losses is not None]
    if len(known) < 2:
        words = "no probabilities of two models to expect losses from"
        return GateResult(gate="signs", verdict=Verdict.PASS, n=0, words=words)
    bounds = []
    for own, theirs in zip(*known, strict=True):
        found = block_mean_interval(
            (own - theirs)[rows],
            material.event_time[rows],
            block_hours=gates.block_hours,
            alpha=gates.alpha,
            seed=material.seed,
        )
        bounds.append(0 if not found.enough else 1 if found.low > 0 else -1 if found.high < 0 else 0)
    opposite = bounds[0] * bounds[1] < 0
    said = {1: "worse", -1: "better", 0: "neither"}
    words = f"by labels the candidate is {said[bounds[0]]}, by probabilities alone {said[bounds[1]]}"
    return _crossed("signs", float(opposite), 0.0, words)


def _expected(side: "Side", metric: str) -> "NDArray[np.float64] | None":
    """Return the loss that the probabilities of a model expect of themselves, or None where it gives none."""
    import numpy as np

    told = side.predictions
    if told is None or told["score"].isna().any():
        return None
    classes = [name for name in told.columns if name.startswith(CLASS_PREFIX)]
    if classes:
        chances = told[classes].to_numpy(dtype=np.float64)
    else:
        score = told["score"].to_numpy(dtype=np.float64)
        chances = np.column_stack([1 - score, score])
    if metric == "error":
        return np.asarray(1 - chances.max(axis=1), dtype=np.float64)
    if metric == "log_loss":
        return np.asarray(-(chances * np.log(np.clip(chances, CLIP, 1.0))).sum(axis=1), dtype=np.float64)
    gini = 1 - np.square(chances).sum(axis=1)  # of the Brier score summed over classes; for two, it counts twice
    return np.asarray(gini if classes else gini / 2, dtype=np.float64)


def _crossed(name: str, statistic: float, threshold: float, words: str) -> GateResult:
    verdict = Verdict.PASS if statistic <= threshold else Verdict.FAIL
    return GateResult(gate=name, verdict=verdict, statistic=statistic, threshold=threshold, words=words)


def since_second(ledger: "Asked", model: str) -> int:
    """Return how many releases of a model came after the last on which the second validator looked."""
    judged = ledger.entries(model=model, action="judged")
    looked = {str(one.payload.get("evidence")) for one in judged if one.payload.get("escalated")}
    count = 0
    for one in ledger.entries(model=model, action="released", newest_first=True):
        if str(one.payload.get("evidence")) in looked:
            break
        count += 1
    return count


def disagreements(evidence: Evidence, gates: "Gates", in_a_row: int) -> list[str]:
    """Return what of an escalation does not follow from the policy, the results and the record of its time."""
    found, declared, told = evidence.escalation, gates.escalate, evidence.result(GATE)
    if declared is None:
        return [] if found is None else ["it escalates, and the policy does not"]
    if found is None:
        return [] if told is not None and told.verdict is Verdict.INCONCLUSIVE else ["no escalation"]
    others = [one for one in evidence.results if one.gate != GATE]
    wrong = [] if told == answer(found, others) else ["its answer to the escalation is another"]
    if tuple(one.gate for one in found.looked) != CALLS:
        return [*wrong, f"it did not look at all that may call: {', '.join(CALLS)}"]
    if found.looked[:3] != _following(declared, others, in_a_row):
        wrong.append("what called does not follow from the results and the record")
    if found.looked[3].threshold not in (None, declared.far):
        wrong.append(f"far is {declared.far:g} by the policy")
    if found.second is not None and found.second.threshold not in (None, gates.alpha):
        wrong.append(f"the second validator's level is {gates.alpha:g} by the policy")
    if (found.second is not None) != (bool(found.called) and not stopped(others)):
        wrong.append("a second validator was called for and is not there, or the reverse")
    if found.second is not None and found.second.statistic is not None and found.rows is None:
        wrong.append("the rows of the second validator are not named")
    return wrong


def halt_entry(evidence: Evidence, digest: str, run_id: str | None, actor: str) -> NewEntry | None:
    """Return the entry that halts promotions: what quality passes, a second validator does not confirm.

    Where quality could not tell, nothing was to be promoted, and the second's word stands in the evidence alone.
    """
    quality, told = evidence.result("quality"), evidence.result(GATE)
    if evidence.escalation is None or evidence.escalation.second is None:
        return None
    if quality is None or quality.verdict is not Verdict.PASS or told is None or told.verdict is Verdict.PASS:
        return None
    payload = {"evidence": digest, "called": list(evidence.escalation.called), "words": told.words}
    return NewEntry(
        actor=actor,
        action=ESCALATION_HALTED,
        model=evidence.model,
        subject=evidence.version,
        payload=payload,
        run_id=run_id,
        key=f"{ESCALATION_HALTED}:{evidence.model}:{evidence.judgement_digest}",
    )
