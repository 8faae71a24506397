"""Decisions taken again: what the live trigger did is what its policy says on the record of then."""

import pytest

from retrain_pipeline.ledger.past import PastLedger
from retrain_pipeline.replay.decisions import redecide
from retrain_pipeline.triggers.errors import PolicyRefused
from retrain_pipeline.triggers.halts import halt, resume
from retrain_pipeline_tests.triggers.conftest import make_story, story
from retrain_pipeline_tests.triggers.test_policy import judged

__all__ = ["make_story", "story"]


def tell(story):
    """Tell a story of a first model, a rejected and a released retrain, a halt, and quiet weeks."""
    for week in range(3):
        story.monitored(week)
        if story.look().action == "retrain":
            story.answer("released")
    story.monitored(3)
    story.monitored(4, "FAIL")
    story.answer("rejected")
    story.monitored(5, "FAIL")  # cool-down
    halt(story.ledger, "small", "audit", "person:ada")
    story.monitored(6, "FAIL")
    resume(story.ledger, "small", "done", "person:ada")
    story.answer("rejected")
    story.monitored(7, "FAIL")  # cool-down
    story.monitored(8, **judged((0.3, 0.3), (0.5, 0.3), (0.5, 0.3), version=story.champion))
    story.answer("released")
    story.monitored(9)


@pytest.mark.requirement("D3", "D51")
def test_the_live_policy_gives_the_decisions_that_were_taken(story):
    tell(story)
    again = redecide(story.ledger, story.spec)
    assert len(again) == 10
    assert [one.taken is not None for one in again].count(True) == 4
    assert all(one.same for one in again), [(one.period, one.taken, one.again) for one in again if not one.same]


@pytest.mark.requirement("D51")
def test_another_policy_is_seen_to_decide_otherwise(story):
    tell(story)
    other = [one for one in redecide(story.ledger, story.spec, "never") if not one.same]
    assert [one.taken.split("-")[0] for one in other] == ["performance", "performance", "policy"]
    with pytest.raises(PolicyRefused, match="allowed are"):
        redecide(story.ledger, story.spec, "sometimes")


def test_of_several_periods_that_one_run_monitored_the_newest_was_decided_on(story):
    from retrain_pipeline.ledger.entries import NewEntry

    for week in range(5):
        story.monitored(week)
        entry = story.ledger.latest("small", "monitored")
        story.ledger.append(NewEntry("monitoring", "monitored", "small", entry.subject, entry.payload, run_id="one"))
    assert story.look().kind == "first_model"
    found = [one for one in redecide(story.ledger, story.spec) if one.again.action == "retrain"]
    assert found[-1].period == story.ledger.latest("small", "monitored").subject


def test_a_ledger_of_the_past_answers_as_the_ledger_did(story):
    answers = []
    for week in range(8):
        story.monitored(week, "FAIL")
        if story.look().action == "retrain":
            story.answer("released")
        seq = story.ledger.head().seq
        questions = (
            lambda ledger: ledger.entries(model="small", action="monitored", limit=3, newest_first=True),
            lambda ledger: ledger.entries(action=("released", "rejected"), after_seq=2),
            lambda ledger: ledger.latest("small", "retrain_started"),
            lambda ledger: ledger.deployment("small"),
            lambda ledger: ledger.latest("other", "released"),
        )
        answers.append((seq, [ask(story.ledger) for ask in questions], questions))
    whole = story.ledger.entries()
    for seq, then, questions in answers:
        assert [ask(PastLedger(whole, seq)) for ask in questions] == then
