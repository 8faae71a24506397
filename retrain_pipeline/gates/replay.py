"""Judgements taken again: from the evidence alone, as a check of the record, and under today's gates and thresholds, so
that a changed threshold is seen by what it would have let through."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.canonical import digest_of, sha256
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.budget import Account, Rows, account
from retrain_pipeline.gates.escalation import answer, disagreements, escalate, since_second
from retrain_pipeline.gates.evidence import Evidence, GateResult, policy_document, read_evidence
from retrain_pipeline.gates.judge import tells_of
from retrain_pipeline.gates.required import required_gates
from retrain_pipeline.gates.turning import turning
from retrain_pipeline.ledger.past import PastLedger
from retrain_pipeline.spec.gates import Gates
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

DECLARED: Mapping[str, Callable[[Gates], float]] = {
    "latency": lambda gates: gates.latency_ms_p95,
    "size": lambda gates: gates.max_size_mb,
    "footprint": lambda gates: gates.max_rss_mb or math.inf,
}
"""Gates of which the whole decision is: the measured statistic is at most a declared number."""
_STORED = frozenset({"latency", "size", "footprint", "reproducible", "seed_noise", "documentation", "guard"})
"""Gates that a replay does not look with again: what they measured or fitted then stands."""


@dataclass(frozen=True)
class Changed:
    """One gate that answers otherwise now; None where it was not looked at, or is not any more."""

    gate: str
    then: Verdict | None
    now: Verdict | None
    words: str


@dataclass(frozen=True)
class Replayed:
    """A past judgement and what today's gates say of it."""

    version: str
    seq: int
    at_utc: str
    then: Verdict
    now: Verdict
    changed: tuple[Changed, ...]
    how: str

    @property
    def flips(self) -> bool:
        """The judgement would end otherwise."""
        return self.then is not self.now


def contradictions(stores: "Stores", entry: "Entry", evidence: Evidence) -> list[str]:
    """Take a judgement again from its stored evidence, under the policy of then; return what does not follow from it.

    Results and policy give the verdict, the record gives the error budget, and the entry says what the evidence says.
    """
    found = disagrees_with_itself(stores, entry, evidence)
    gates = _policy(stores, evidence)
    if gates is None:
        return found
    found += _asked_beyond(stores, entry, evidence, gates)
    budget = _account(stores, entry, evidence, gates.alpha)
    if budget != evidence.budget:
        found.append(f"the record gives another error budget: {budget.words()}")
    return found


def disagrees_with_itself(stores: "Stores", entry: "Entry", evidence: Evidence) -> list[str]:
    """Return what of a judgement does not follow from its entry, results and policy; no other record is asked."""
    found = [] if tells_of(entry, evidence, str(entry.payload.get("evidence"))) else ["its entry says something else"]
    gates = _policy(stores, evidence)
    if gates is None:
        return [*found, f"the policy that it was judged under cannot be read: {evidence.policy}"]
    if evidence.required != required_gates(gates):
        found.append(f"the policy requires {', '.join(required_gates(gates))}")
    found += [f"no result of gate {gate}" for gate in evidence.missing_gates]
    for result in evidence.results:
        again = redecided(result, gates)
        if again.verdict is not result.verdict:
            found.append(f"{result.gate}: {again.verdict} by its own statistic, {result.verdict} then")
    verdict = worst(redecided(result, gates).verdict for result in evidence.results)
    if verdict is not evidence.verdict:
        found.append(f"the results give {verdict}")
    if evidence.turning != turning(evidence.results):
        found.append("what it turned on does not follow from the results")
    return found


def _policy(stores: "Stores", evidence: Evidence) -> Gates | None:
    """Return the gates that a candidate was judged by; None where they cannot be read."""
    try:
        return Gates.model_validate(stores.artifacts.get_json(evidence.policy)["gates"], strict=False)
    except (PermanentError, ValueError, KeyError, TypeError):
        return None


def _asked_beyond(stores: "Stores", entry: "Entry", evidence: Evidence, gates: Gates) -> list[str]:
    """Return what of escalation and guard does not follow from the policy, the results and the record of then."""
    from retrain_pipeline.gates.beyond import guard_now
    from retrain_pipeline.learning.versions import read_manifest

    if gates.escalate is None and gates.guard == "none":
        return disagreements(evidence, gates, 0)
    before = PastLedger(stores.ledger.entries(model=evidence.model), entry.seq - 1)
    found = disagreements(evidence, gates, since_second(before, evidence.model))
    told = evidence.result("guard")
    if told is None or told.verdict is not Verdict.PASS:
        return found
    try:
        again = guard_now(stores, read_manifest(stores, evidence.model, evidence.version), evidence.champion, before)
    except PermanentError as error:
        return [*found, f"guard cannot be taken again: {error}"]
    return found if again == told else [*found, f"the record gives {again.verdict} of guard: {again.words}"]


def redecided(result: GateResult, gates: Gates) -> GateResult:
    """Return a result with the declared threshold of its gate, where there is one, and the verdict that this gives."""
    declared = DECLARED.get(result.gate)
    if declared is None or result.statistic is None:
        return result
    limit = declared(gates)
    within = result.statistic <= limit
    words = f"{result.words}; limit {limit:g} by this policy" if limit != result.threshold else result.words
    verdict = Verdict.PASS if within else Verdict.FAIL
    return result.model_copy(update={"verdict": verdict, "threshold": limit, "words": words})


def _account(stores: "Stores", entry: "Entry", evidence: Evidence, alpha: float) -> Account:
    rows = evidence.evaluation
    past = PastLedger(stores.ledger.entries(model=evidence.model, action="judged"), entry.seq - 1)
    known = Rows(rows.digest, rows.from_, rows.until) if rows.from_ and rows.until else None
    asked, mode = evidence.budget.question, evidence.mode
    return account(past, stores.artifacts, evidence.model, alpha=alpha, mode=mode, asked=asked, rows=known)


def replay_judgements(stores: "Stores", spec: "ModelSpec") -> list[Replayed]:
    """Judge every past judgement of a model again, by today's gates and thresholds; nothing is written.

    Each is looked at again on the rows, models and record of its time. Measured times are those of then. Where rows or
    models are gone, the stored results are held to today's declared limits, and the outcome says so.
    """
    whole = stores.ledger.entries(model=spec.name)
    return [_replayed(stores, spec, whole, entry) for entry in whole if entry.action == "judged"]


def _replayed(stores: "Stores", spec: "ModelSpec", whole: "Sequence[Entry]", entry: "Entry") -> Replayed:
    then = Verdict(entry.payload["verdict"])
    try:
        evidence = read_evidence(stores.artifacts, str(entry.payload["evidence"]))
    except PermanentError as error:
        words = f"its evidence cannot be read: {error}"
        return Replayed(str(entry.subject), entry.seq, entry.at_utc, then, Verdict.INCONCLUSIVE, (), words)
    if evidence.policy == digest_of(policy_document(spec)) and evidence.required == required_gates(spec.gates):
        how = "the same policy, looked at again"
    else:
        how = "another policy, looked at again"
    stored = {result.gate: redecided(result, spec.gates) for result in evidence.results}
    try:
        found = _looked_again(stores, spec, whole, entry, evidence, tuple(stored.values()))
        kept = {gate: one for gate, one in stored.items() if gate in _STORED & {*required_gates(spec.gates)}}
        results = {one.gate: one for one in found} | kept
    except PermanentError as error:
        results, how = stored, f"from stored results: {error}"
    missing = [gate for gate in required_gates(spec.gates) if gate not in results]
    now = worst([*(one.verdict for one in results.values()), *(Verdict.INCONCLUSIVE for _ in missing)])
    return Replayed(
        evidence.version, entry.seq, entry.at_utc, then, now, _changed(evidence, results, missing), how[:500]
    )


def _looked_again(
    stores: "Stores",
    spec: "ModelSpec",
    whole: "Sequence[Entry]",
    entry: "Entry",
    evidence: Evidence,
    stored: "Sequence[GateResult]",
) -> tuple[GateResult, ...]:
    from retrain_pipeline.gates.looking import look
    from retrain_pipeline.gates.material import read_material
    from retrain_pipeline.learning.versions import load_version

    past = PastLedger(whole, entry.seq - 1)
    deployed = past.deployment(spec.name)
    champion = (deployed.state["champion"], deployed.state["evidence"]) if deployed else (None, None)
    loaded = load_version(stores, spec.name, evidence.version)
    material = read_material(stores, spec, loaded, *champion)
    found = look(material, evidence.mode, _account(stores, entry, evidence, spec.gates.alpha).spent)
    if spec.gates.escalate is None:
        return found
    # What is not looked at with again counts here as it was found then.
    required = required_gates(spec.gates)
    known = {one.gate: one for one in found} | {
        one.gate: one for one in stored if one.gate in _STORED and one.gate in required
    }
    others = [known[gate] for gate in required if gate in known]
    again = escalate(stores, material, evidence.mode, others, champion[0], since_second(past, spec.name), sha256)
    return (*found, answer(again, others))


def _changed(evidence: Evidence, results: Mapping[str, GateResult], missing: Sequence[str]) -> tuple[Changed, ...]:
    then = {result.gate: result.verdict for result in evidence.results}
    changed = [
        Changed(gate, then.get(gate), one.verdict, one.words)
        for gate, one in results.items()
        if then.get(gate) is not one.verdict
    ]
    changed += [Changed(gate, None, None, "required now, and it was not looked at") for gate in missing]
    changed += [
        Changed(gate, then[gate], None, "not looked at any more") for gate in then.keys() - results.keys() - {*missing}
    ]
    return tuple(sorted(changed, key=lambda one: one.gate))
