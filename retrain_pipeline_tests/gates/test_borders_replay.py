"""A judgement against its record, to the letter: what follows from results, policy and entries, and what does not."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from retrain_pipeline.gates.budget import Rows, account
from retrain_pipeline.gates.escalation import GATE, answer, near, unanswered, unwatched
from retrain_pipeline.gates.evidence import Escalation, EvaluationRows, GateResult, policy_document
from retrain_pipeline.gates.guard import GuardEvidence, store_guard
from retrain_pipeline.gates.judge import judged_entry
from retrain_pipeline.gates.replay import contradictions, disagrees_with_itself, redecided
from retrain_pipeline.gates.required import required_gates
from retrain_pipeline.gates.turning import turning
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.spec.escalate import Escalate
from retrain_pipeline.spec.gates import Gates
from retrain_pipeline.verdicts import Verdict, worst
from retrain_pipeline_tests.gates.handmade import evidence
from retrain_pipeline_tests.gates.small import Small

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def of(gate, verdict=PASS, **more):
    return GateResult(gate=gate, verdict=verdict, words=f"{gate} as found", **more)


# --- what a declared limit decides


@pytest.mark.parametrize(
    ("gate", "declared", "limit"),
    [
        ("latency", {"latency_ms_p95": 7.5}, 7.5),
        ("size", {"max_size_mb": 7.5}, 7.5),
        ("footprint", {"max_rss_mb": 7.5}, 7.5),
        ("footprint", {"max_rss_mb": None}, float("inf")),
    ],
)
def test_a_measured_number_is_held_to_the_limit_that_is_declared_now(gate, declared, limit):
    gates = Gates(**declared)
    for measured, verdict in ((7.4, PASS), (7.5, PASS), (7.6, PASS if limit > 8 else FAIL)):
        found = of(gate, INCONCLUSIVE, statistic=measured, threshold=3.0)
        words = f"{gate} as found; limit {limit:g} by this policy"
        again = found.model_copy(update={"verdict": verdict, "threshold": limit, "words": words})
        assert redecided(found, gates) == again
    held = of(gate, FAIL, statistic=7.5).model_copy(update={"threshold": limit})
    assert redecided(held, gates).words == f"{gate} as found", "the limit was that already"


def test_without_a_limit_or_a_number_a_result_stands():
    gates = Gates(latency_ms_p95=1.0)
    for found in (of("quality", statistic=5.0), of("latency", INCONCLUSIVE), of("robustness", FAIL, statistic=0.5)):
        assert redecided(found, gates) is found


# --- what a judgement says of itself


class Record:
    """A judgement of v2 that is on record, with what it stands on."""

    def __init__(self, folder, **gates):
        self.small = Small(folder, **gates)
        self.stores, self.ledger = self.small.stores, self.small.ledger

    def judgement(self, **changed):
        """Return evidence as the judge would make it of results by hand."""
        spec, registered = self.small.spec, self.small.manifest.frozen
        asked = required_gates(spec.gates)
        results = changed.pop("results", tuple(of(gate) for gate in asked if gate != GATE))
        rows = Rows(registered.evaluation_row_digests_artifact, registered.evaluation_from, registered.evaluation_until)
        mode = changed.get("mode", "superiority")
        budget = account(
            self.ledger, self.stores.artifacts, "toy", alpha=spec.gates.alpha, mode=mode, asked="q" * 64, rows=rows
        )
        given = {
            "policy": self.stores.artifacts.put_json(policy_document(spec)), "required": asked, "results": results,
            "verdict": worst(one.verdict for one in results), "turning": turning(results), "budget": budget,
            "evaluation": EvaluationRows(
                rows=240, digest=rows.digest, **{"from": rows.from_, "until": rows.until}
            ),
            "manifest": self.small.registered("v2"),
        }  # fmt: skip
        return evidence(**{**given, **changed})

    def enter(self, made):
        """Enter evidence as the judge would; return the entry."""
        return self.ledger.append(judged_entry(made, "d" * 64, "run-8", "somebody"))

    def told(self, **changed):
        """Enter a judgement, and return what does not follow of it with something changed in the evidence."""
        made = self.judgement()
        forged = made.model_copy(update=changed)
        entry = self.enter(made)
        said = judged_entry(forged, "d" * 64, "run-8", "somebody")
        return disagrees_with_itself(self.stores, replace(entry, payload=dict(said.payload), key=said.key), forged)


@pytest.fixture
def record(tmp_path):
    made = Record(tmp_path)
    yield made
    made.stores.close()


def test_of_a_judgement_that_follows_from_its_record_nothing_is_told(record):
    made = record.judgement()
    entry = record.enter(made)
    assert disagrees_with_itself(record.stores, entry, made) == []
    assert contradictions(record.stores, entry, made) == []


def test_an_entry_that_tells_of_other_evidence_is_found(record):
    made = record.judgement()
    entry = record.enter(made)
    for forged in (replace(entry, subject="v3"), replace(entry, payload={**entry.payload, "verdict": "FAIL"}),
                   replace(entry, payload={})):  # fmt: skip
        assert disagrees_with_itself(record.stores, forged, made) == ["its entry says something else"]
        assert contradictions(record.stores, forged, made)[0] == "its entry says something else"


@pytest.mark.parametrize("document", [None, {"rollout": {}}, ["gates"], {"gates": {"alpha": 9}}])
def test_without_its_policy_nothing_else_is_asked(record, document):
    digest = "f" * 64 if document is None else record.stores.artifacts.put_json(document)
    made = record.judgement(policy=digest, required=("contract",), turning=())
    words = f"the policy that it was judged under cannot be read: {digest}"
    entry = record.enter(made)
    assert disagrees_with_itself(record.stores, entry, made) == [words]
    assert contradictions(record.stores, entry, made) == [words]
    forged = replace(entry, subject="v3")
    assert disagrees_with_itself(record.stores, forged, made) == ["its entry says something else", words]


def test_the_policy_says_which_gates_are_required(record):
    policy = f"the policy requires {', '.join(required_gates(record.small.spec.gates))}"
    assert record.told(required=("contract", "nobody")) == [policy, "no result of gate nobody"]


def test_a_required_gate_without_a_result_is_named(record):
    results = tuple(of(gate) for gate in required_gates(record.small.spec.gates) if gate not in ("size", "labels"))
    assert record.told(results=results) == ["no result of gate labels", "no result of gate size"]


def test_a_statistic_beyond_its_limit_gives_another_verdict(record):
    slow = of("latency", statistic=501.0)
    results = tuple(slow if one.gate == "latency" else one for one in record.judgement().results)
    assert record.told(results=results, turning=turning(results)) == [
        "latency: FAIL by its own statistic, PASS then", "the results give FAIL",
    ]  # fmt: skip


def test_a_verdict_that_is_not_the_worst_and_a_turn_that_does_not_follow_are_told(record):
    results = tuple(of(one.gate, FAIL) if one.gate == "size" else one for one in record.judgement().results)
    assert record.told(results=results, turning=turning(results)) == ["the results give FAIL"]
    assert record.told(turning=turning(results)) == ["what it turned on does not follow from the results"]


# --- what the record of its time says of it


def test_the_error_budget_is_that_of_the_entries_before_it(record):
    first = record.judgement(budget=record.judgement().budget.model_copy(update={"question": "e" * 64}), version="v9")
    record.enter(first)
    made = record.judgement()
    assert made.budget.spent_before > 0
    assert [one.version for one in made.budget.reused] == ["v9"]
    entry = record.enter(made)
    later = made.model_copy(update={"budget": made.budget.model_copy(update={"question": "f" * 64}), "version": "v8"})
    record.enter(later)
    assert contradictions(record.stores, entry, made) == []
    richer = made.model_copy(update={"budget": made.budget.model_copy(update={"spent": 0.04})})
    own = judged_entry(richer, "d" * 64, "run-8", "somebody")
    forged = replace(entry, payload=dict(own.payload), key=own.key)
    words = f"the record gives another error budget: {made.budget.words()}"
    assert contradictions(record.stores, forged, richer) == [words]


@pytest.mark.parametrize("lost", ["from", "until"])
def test_a_judgement_whose_rows_are_not_known_may_share_those_of_every_other(record, lost):
    other = record.judgement(version="v9").evaluation.model_copy(
        update={"from_": "1999-01-01T00:00:00+00:00", "until": "1999-01-02T00:00:00+00:00"}
    )
    early = record.judgement(version="v9", evaluation=other)
    record.enter(early.model_copy(update={"budget": early.budget.model_copy(update={"question": "e" * 64})}))
    rows = record.judgement().evaluation.model_copy(update={"from_" if lost == "from" else "until": None})
    budget = account(
        record.ledger, record.stores.artifacts, "toy", alpha=0.05, mode="superiority", asked="q" * 64, rows=None
    )
    made = record.judgement(evaluation=rows, budget=budget)
    assert [(one.version, one.rows) for one in budget.reused] == [("v9", None)]
    assert contradictions(record.stores, record.enter(made), made) == []


def test_an_escalation_that_no_policy_asks_for_is_told(record):
    made = record.judgement(escalation=Escalation(looked=(), rows=None, second=None), schema="evidence/3")
    assert contradictions(record.stores, record.enter(made), made) == ["it escalates, and the policy does not"]


def test_a_result_that_no_policy_asks_for_is_not_taken_again(record):
    results = (*record.judgement().results, of("guard"))
    made = record.judgement(results=results)
    assert contradictions(record.stores, record.enter(made), made) == []


ESCALATING = Escalate(near=0.25, far=0.5, in_a_row=2)


def test_releases_in_a_row_are_counted_up_to_the_judgement(tmp_path):
    record = Record(tmp_path, escalate=ESCALATING)
    quality = of("quality", statistic=-5.0, threshold=0.0, interval=(-6.0, -4.0))
    others = tuple(quality if gate == "quality" else of(gate) for gate in required_gates(record.small.spec.gates)[:-1])
    looked = (near(others, 0.25), unanswered(others), unwatched(1, 2), of("far", statistic=0.1, threshold=0.5),
              of("signs"))  # fmt: skip
    found = Escalation(looked=looked, rows=None, second=None)
    results = (*others, answer(found, others))
    made = record.judgement(escalation=found, schema="evidence/3", results=results)
    assert made.verdict is PASS
    entry = record.enter(made)
    assert contradictions(record.stores, entry, made) == []
    record.ledger.append(NewEntry("test", "released", "toy", "v2", {"evidence": "d" * 64}))
    assert contradictions(record.stores, entry, made) == []
    one_more = replace(entry, seq=entry.seq + 2)
    assert contradictions(record.stores, one_more, made)[0] == (
        "what called does not follow from the results and the record"
    )


class Guarded(Record):
    """A record whose policy requires guard evidence, and has it."""

    def __init__(self, folder, **gates):
        super().__init__(folder, guard="required", **gates)
        self.looked()

    def looked(self, verdict=PASS, words="calm"):
        store_guard(
            self.ledger, self.stores.artifacts,
            GuardEvidence(
                model="toy", version="v2", manifest=self.small.registered("v2"), champion="v1",
                collection=self.small.spec.collection_digest, verdict=verdict, words=words,
                baseline_from=datetime(2023, 11, 1, tzinfo=UTC), baseline_until=datetime(2023, 12, 1, tzinfo=UTC),
            ), actor="test",
        )  # fmt: skip

    def judged(self, verdict=PASS, words=None, **changed):
        """Return the entry and evidence of a judgement whose guard said this."""
        seq = self.ledger.latest("toy", "guarded").seq
        said = GateResult(
            gate="guard", verdict=verdict, words=words or f"entry {seq}, baseline 2023-11-01 to 2023-12-01: calm"
        )
        results = tuple(said if one.gate == "guard" else one for one in self.judgement().results)
        made = self.judgement(results=results, **changed)
        return self.enter(made), made


@pytest.fixture
def guarded(tmp_path):
    made = Guarded(tmp_path)
    yield made
    made.stores.close()


def test_what_the_guard_passed_follows_from_the_record_of_then(guarded):
    entry, made = guarded.judged()
    guarded.looked(FAIL, "wild")
    assert contradictions(guarded.stores, entry, made) == []
    later = guarded.ledger.head().seq
    [told, *_] = contradictions(guarded.stores, replace(entry, seq=later + 1), made)
    assert told == f"the record gives FAIL of guard: entry {later}, baseline 2023-11-01 to 2023-12-01: wild"


def test_evidence_of_a_guard_for_another_champion_does_not_count(guarded):
    entry, made = guarded.judged(champion="v0")
    [told] = contradictions(guarded.stores, entry, made)
    assert told.startswith("the record gives INCONCLUSIVE of guard: ")
    assert "another champion: v1, and this is v0" in told


def test_a_guard_that_did_not_pass_is_not_asked_again(guarded):
    for verdict in (FAIL, INCONCLUSIVE):
        entry, made = guarded.judged(verdict, "nothing was found")
        assert contradictions(guarded.stores, entry, made) == []


def test_a_guard_without_a_result_is_missed_once(guarded):
    results = tuple(one for one in guarded.judgement().results if one.gate != "guard")
    made = guarded.judgement(results=results)
    assert contradictions(guarded.stores, guarded.enter(made), made) == ["no result of gate guard"]


def test_a_guard_of_a_version_that_is_gone_cannot_be_taken_again(guarded):
    entry, made = guarded.judged(version="v7")
    [told] = contradictions(guarded.stores, entry, made)
    assert told.startswith("guard cannot be taken again: model 'toy' has no version 'v7'")
