"""An escalation against its record, to the letter: what is counted, what does not follow, and what halts."""

import pytest

from retrain_pipeline.gates.escalation import (
    answer,
    disagreements,
    halt_entry,
    near,
    since_second,
    unanswered,
    unwatched,
)
from retrain_pipeline.gates.evidence import Escalation, EvaluationRows, GateResult
from retrain_pipeline.gates.required import GATES
from retrain_pipeline.ledger.entries import Entry, NewEntry
from retrain_pipeline.ledger.past import PastLedger
from retrain_pipeline.spec.escalate import Escalate
from retrain_pipeline.spec.gates import Gates
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.handmade import ROWS, evidence

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def of(gate, verdict=PASS, words=None, **more):
    return GateResult(gate=gate, verdict=verdict, words=words or f"{gate} as found", **more)


CALM = of("quality", statistic=-5.0, threshold=0.0, interval=(-6.0, -4.0))
"""Far enough from its threshold to call nobody."""

# --- releases in a row


def told(*entries):
    """Return a ledger of what was judged and released, in this order."""
    made = []
    for action, digest, *more in entries:
        payload = {"evidence": digest} | ({"escalated": more[0]} if more and more[0] else {})
        model = more[1] if len(more) > 1 else "toy"
        made.append(Entry(len(made) + 1, "", "", 0, "t", action, model, "v2", payload, None, None, ""))
    return PastLedger(made, 99)


@pytest.mark.parametrize(
    ("entries", "count"),
    [
        ([], 0),
        ([("judged", "a"), ("released", "a"), ("judged", "b"), ("released", "b")], 2),
        ([("judged", "a", ["near"]), ("released", "a"), ("judged", "b"), ("released", "b")], 1),
        ([("judged", "a"), ("released", "a"), ("judged", "b", ["near"]), ("released", "b")], 0),
        ([("judged", "a", ["near"]), ("released", "c"), ("judged", "b", ["far"])], 1),
        ([("released", "a"), ("judged", "a", ["near"], "doll")], 1),
        ([("released", "a", None, "doll"), ("released", "b"), ("rolled_back", "c")], 1),
        ([("noted", "a", ["near"]), ("released", "a"), ("judged", "b", []), ("released", "b")], 2),
    ],
)
def test_releases_are_counted_back_to_the_last_that_a_second_validator_looked_at(entries, count):
    assert since_second(told(*entries), "toy") == count


# --- what does not follow

DECLARED = Gates(escalate=Escalate(near=0.25, far=0.5, in_a_row=2), alpha=0.05)
OTHERS = (*(of(gate) for gate in GATES if gate != "quality"), CALM)
NAMED = EvaluationRows(rows=70, digest="7" * 64, **ROWS)


def looked(in_a_row=0, others=OTHERS, far=("far", PASS, 0.1, 0.5)):
    gate, verdict, statistic, threshold = far
    far = of(gate, verdict, statistic=statistic, threshold=threshold)
    return (near(others, 0.25), unanswered(others), unwatched(in_a_row, 2), far, of("signs"))


def judged(found, others=OTHERS, told=None):
    """Return evidence of an escalation; by default its answer is the one that follows."""
    told = told or answer(found, others)
    return evidence(
        escalation=found, results=(*others, told), schema="evidence/2" if found is None else "evidence/3",
        verdict=max((one.verdict for one in (*others, told)), key=[PASS, INCONCLUSIVE, FAIL].index),
    )  # fmt: skip


CONFIRMED = of("second", statistic=0.01, threshold=0.05)


def test_nothing_is_said_of_an_escalation_that_follows():
    assert disagreements(judged(Escalation(looked=looked(), rows=None, second=None)), DECLARED, 0) == []
    called = Escalation(looked=looked(2), rows=NAMED, second=CONFIRMED)
    assert disagreements(judged(called), DECLARED, 2) == []
    blind = Escalation(looked=looked(2), rows=None, second=of("second", INCONCLUSIVE))
    assert disagreements(judged(blind), DECLARED, 2) == []
    silent = looked(far=("far", INCONCLUSIVE, None, None))
    assert disagreements(judged(Escalation(looked=silent, rows=NAMED, second=CONFIRMED)), DECLARED, 0) == []
    stops = (*OTHERS[:-1], CALM.model_copy(update={"gate": "labels"}), of("quality", FAIL))
    stops = tuple({one.gate: one for one in stops}.values())
    held = Escalation(looked=looked(2, stops), rows=None, second=None)
    assert disagreements(judged(held, stops), DECLARED, 2) == []


def test_without_an_escalation_there_is_an_answer_that_says_so_or_none_is_asked_for():
    plain = evidence()
    assert disagreements(plain, Gates(), 0) == []
    assert disagreements(plain, DECLARED, 0) == ["no escalation"]
    found = judged(Escalation(looked=looked(), rows=None, second=None))
    assert disagreements(found, Gates(), 0) == ["it escalates, and the policy does not"]
    assert disagreements(judged(None), DECLARED, 0) == []
    assert disagreements(judged(None, told=of("escalation")), DECLARED, 0) == ["no escalation"]


ANSWER = "its answer to the escalation is another"


@pytest.mark.parametrize(
    ("found", "in_a_row", "wrong"),
    [
        (Escalation(looked=looked()[1:], rows=None, second=None), 0,
         ["it did not look at all that may call: near, open, in_a_row, far, signs"]),
        (Escalation(looked=looked()[::-1], rows=None, second=None), 0,
         ["it did not look at all that may call: near, open, in_a_row, far, signs"]),
        (Escalation(looked=looked(1), rows=None, second=None), 0,
         ["what called does not follow from the results and the record"]),
        (Escalation(looked=looked(far=("far", PASS, 0.1, 0.7)), rows=None, second=None), 0,
         ["far is 0.5 by the policy"]),
        (Escalation(looked=looked(2), rows=NAMED, second=of("second", statistic=0.01, threshold=0.2)), 2,
         ["the second validator's level is 0.05 by the policy"]),
        (Escalation(looked=looked(2), rows=None, second=None), 2,
         ["a second validator was called for and is not there, or the reverse"]),
        (Escalation(looked=looked(), rows=NAMED, second=CONFIRMED), 0,
         ["a second validator was called for and is not there, or the reverse"]),
        (Escalation(looked=looked(2), rows=None, second=CONFIRMED), 2,
         ["the rows of the second validator are not named"]),
    ],
)  # fmt: skip
def test_an_escalation_that_does_not_follow_is_told_by_what_does_not(found, in_a_row, wrong):
    assert disagreements(judged(found), DECLARED, in_a_row) == wrong
    forged = judged(found, told=of("escalation", words="another"))
    assert disagreements(forged, DECLARED, in_a_row) == [ANSWER, *wrong]


def test_a_second_that_was_asked_though_a_gate_stops_it_is_told():
    stops = (*OTHERS[1:], of("contract", FAIL))
    found = Escalation(looked=looked(2, stops), rows=NAMED, second=CONFIRMED)
    wrong = ["a second validator was called for and is not there, or the reverse"]
    assert disagreements(judged(found, stops), DECLARED, 2) == wrong


# --- what halts


def test_a_pass_that_the_second_does_not_confirm_halts_promotions_by_an_entry():
    found = Escalation(looked=looked(2), rows=NAMED, second=of("second", FAIL, statistic=0.99, threshold=0.05))
    made = judged(found)
    assert halt_entry(made, "d" * 64, "run-8", "somebody") == NewEntry(
        actor="somebody", action="escalation_halted", model="toy", subject="v2", run_id="run-8",
        payload={"evidence": "d" * 64, "called": ["in_a_row"], "words": made.result("escalation").words},
        key=f"escalation_halted:toy:{made.judgement_digest}",
    )  # fmt: skip


def test_nothing_halts_where_nobody_was_asked_quality_did_not_pass_or_both_agree():
    failed = of("second", FAIL, statistic=0.99, threshold=0.05)
    unsure = (*OTHERS[:-1], of("quality", INCONCLUSIVE))
    without = tuple(one for one in OTHERS if one.gate != "quality")
    for made in (
        evidence(), judged(Escalation(looked=looked(2), rows=None, second=None)),
        judged(Escalation(looked=looked(2), rows=NAMED, second=CONFIRMED)),
        judged(Escalation(looked=looked(2, unsure), rows=NAMED, second=failed), unsure),
        judged(Escalation(looked=looked(2, without), rows=NAMED, second=failed), without),
        evidence(escalation=Escalation(looked=looked(2), rows=NAMED, second=failed), schema="evidence/3"),
    ):  # fmt: skip
        assert halt_entry(made, "d" * 64, "run-8", "somebody") is None
