"""The facts behind a decision come from the ledger alone, by a fixed number of questions."""

import time

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.triggers.retrain import close_dead
from retrain_pipeline.triggers.state import read_state
from retrain_pipeline.verdicts import Verdict


def selects_of(work) -> list[str]:
    """Return the SELECT statements on our tables that some work sends."""
    sent: list[str] = []

    def listen(conn, cursor, statement, parameters, context, executemany):  # type: ignore[no-untyped-def]
        if statement.lstrip().upper().startswith("SELECT") and ("entry" in statement or "deployment" in statement):
            sent.append(statement)

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        work()
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    return sent


@pytest.mark.dagster_fact("K15")
def test_the_state_takes_as_many_questions_from_a_long_ledger_as_from_a_short_one(story):
    story.with_champion()
    counts = []
    for week in range(3, 40):
        story.monitored(week, "FAIL")
        story.answer("rejected" if week % 3 else "retrain_failed")
        sent = selects_of(lambda: read_state(story.ledger, story.spec, in_flight=False))
        counts.append(len(sent))
        # three lists of the newest, a person's newest word, and the deployment with the entry that made it
        assert sum("LIMIT" in statement for statement in sent) == 4
    assert set(counts) == {6}
    started = time.perf_counter()
    for _ in range(5):
        read_state(story.ledger, story.spec, in_flight=False)
    assert (time.perf_counter() - started) / 5 < 0.5  # about 5 ms alone


def test_every_outcome_is_told_apart(make_story):
    story = make_story(cooldown_periods=0).with_champion()
    for week, end in enumerate(["rejected", "superseded", "retrain_failed", "died", "released"], start=5):
        story.monitored(week, "FAIL")
        assert story.answer(end).action == "retrain"
    story.monitored(10)
    state = read_state(story.ledger, story.spec, in_flight=False)
    outcomes = [one.outcome for one in state.attempts]
    assert outcomes == ["released", "died", "retrain_failed", "superseded", "rejected", "released"]
    assert [one.periods_ago for one in state.attempts] == [1, 2, 3, 4, 5, 8]
    assert (state.champion, state.champion_age_periods) == ("v-run-6", 1)
    assert state.evidence.performance is Verdict.PASS


def test_only_the_newest_start_can_be_running(story):
    story.with_champion().monitored(5, "FAIL")
    first = story.look()
    story.start(first)
    assert read_state(story.ledger, story.spec, in_flight=True).attempts[0].outcome == "running"
    assert read_state(story.ledger, story.spec, in_flight=False).attempts[0].outcome == "died"


@pytest.mark.fault("P4")
def test_a_run_that_died_counts_as_an_attempt_before_and_after_it_is_closed(story):
    story.with_champion().monitored(5, "FAIL")
    story.start(story.look())
    assert story.look().attempt == 2
    assert close_dead(story.ledger, "small", lambda run: False, "test") == ["run-2"]
    assert story.look().attempt == 2


def test_another_model_and_what_is_no_fact_of_the_trigger_are_not_read(story):
    story.with_champion().monitored(5, "FAIL")
    before = read_state(story.ledger, story.spec, in_flight=False)
    story.ledger.append(NewEntry("x", "retrain_started", "other", payload={"kind": "manual"}, run_id="r"))
    story.ledger.append(NewEntry("x", "alerted", "small"))
    assert read_state(story.ledger, story.spec, in_flight=False) == before
