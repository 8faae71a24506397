"""When a retrain is asked for, when not, and that whatever happens it is not asked for too often."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.triggers.errors import PolicyRefused
from retrain_pipeline.triggers.halts import FLEET_LIMIT, fleet_use, halt, resume
from retrain_pipeline.triggers.policy import ANSWERED, Attempt, Evidence, Fleet, TriggerState, decide
from retrain_pipeline.triggers.retrain import note_candidate
from retrain_pipeline.triggers.state import read_state, run_key
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.triggers.conftest import START, declared


def test_nothing_is_asked_before_anything_was_monitored(story):
    decision = story.look()
    assert decision.action == "wait"
    assert decision.reasons == ("no champion", "nothing was monitored yet")


@pytest.mark.requirement("D3")
def test_the_first_model_is_asked_for_when_enough_periods_are_labelled(story):
    story.monitored(0)
    story.monitored(1)
    waits = story.look()
    assert waits.action == "wait"
    assert "2 labelled periods, training.min_periods is 3" in waits.reasons
    story.monitored(2)
    asks = story.look()
    assert (asks.action, asks.kind, asks.mode, asks.attempt) == ("retrain", "first_model", "first", 1)
    assert asks.as_of == story.end(2)
    assert run_key("small", asks) == "small:first_model-20240122t00:1"


@pytest.mark.requirement("D3")
@pytest.mark.parametrize(
    ("performance", "drift", "kind"),
    [
        ("FAIL", "PASS", "performance"),
        ("FAIL", "FAIL", "performance"),
        ("FAIL", "INCONCLUSIVE", "performance"),
        ("INCONCLUSIVE", "FAIL", "drift"),
        ("PASS", "FAIL", None),
        ("PASS", "PASS", None),
        ("INCONCLUSIVE", "PASS", None),
        ("INCONCLUSIVE", "INCONCLUSIVE", None),
        ("PASS", "INCONCLUSIVE", None),
    ],
)
def test_a_risen_loss_asks_and_drift_only_while_no_loss_is_known(story, performance, drift, kind):
    story.with_champion().monitored(5, performance, drift)
    decision = story.look()
    assert decision.action == ("retrain" if kind else "wait")
    if kind:
        assert (decision.kind, decision.mode, decision.as_of) == (kind, "non_inferiority", story.end(5))
    assert f"performance {performance}: loss 1 against 1" in decision.reasons
    assert f"drift {drift}: x moved" in decision.reasons
    assert any(reason.startswith("monitored 2024-02-05 as of 2024-02-12T00:00") for reason in decision.reasons)


def test_age_asks_for_something_better(story):
    story.with_champion().monitored(11)
    assert "nothing asks; age 9 of 10 periods" in story.look().reasons
    story.monitored(12)
    decision = story.answer("rejected")
    assert (decision.kind, decision.mode) == ("max_age", "superiority")
    # a judgement on new data that the champion won is as good as a new champion
    for week in range(13, 22):
        story.monitored(week)
        assert story.look().action == "wait"
    story.monitored(22)
    assert story.look().kind == "max_age"


def test_too_few_new_labels_wait(story):
    story.with_champion().monitored(5, "FAIL", new_labels_since_champion=49)
    assert "49 new labels since the champion, trigger.min_new_labels is 50" in story.look().reasons


def test_the_period_that_made_the_champion_asks_no_more(story):
    story.with_champion()
    assert any("knows the data up to 2024-01-22T00:00+00:00 already" in reason for reason in story.look().reasons)


def test_evidence_on_another_champion_waits_for_the_next_period(story):
    story.with_champion().monitored(5, "FAIL")
    row = story.ledger.deployment("small")
    state = {"champion": "v0", "effective_as_of": story.end(1).isoformat()}
    story.ledger.change_deployment("small", row.epoch, state, NewEntry("me", "rolled_back", subject="v0"))
    assert any("was monitored against v-run-1" in reason for reason in story.look().reasons)
    story.monitored(6, "FAIL")
    assert story.look().action == "retrain"


def test_a_halted_model_and_one_in_flight_wait(story):
    story.with_champion().monitored(5, "FAIL")
    assert "a retrain is in flight" in story.look(in_flight=True).reasons
    halt(story.ledger, "small", "audit", "person:ada")
    decision = story.look()
    assert (decision.action, decision.stance) == ("wait", "halt")
    assert decision.reasons[-1].startswith("retraining is halted: audit (person:ada, ")
    resume(story.ledger, "small", "audited", "person:ada")
    assert (story.look().kind, story.look().stance) == ("performance", "adjust")


@pytest.mark.requirement("D35")
@pytest.mark.fault("I7", "I45")
def test_a_fault_of_labels_halts_until_a_person_overrules_it_or_it_is_gone(story):
    faulty = {"diagnosis": {"cause": "label_fault", "words": "label fault: labels look inverted"}}
    story.with_champion().monitored(5, "FAIL", **faulty)
    decision = story.look()
    assert decision.stance == "halt"
    assert "retraining halts, it would learn a fault: label fault: labels look inverted" in decision.reasons
    resume(story.ledger, "small", "the source confirms them", "person:ada")
    assert story.look().action == "retrain"
    story.monitored(6, "FAIL", **faulty)  # the next look may doubt again
    assert story.look().stance == "halt"
    story.monitored(7, "FAIL")
    assert story.look().action == "retrain"


@pytest.mark.parametrize(("cause", "halted"), [("pipeline_fault", 4), ("label_fault", 7)])
def test_columns_that_stay_as_they_are_halt_for_a_while_and_labels_for_as_long_as_they_look_wrong(
    make_story, cause, halted
):
    story, found = make_story().with_champion(), []
    for week in range(3, 10):
        story.monitored(week, "FAIL", diagnosis={"cause": cause, "words": f"{cause}: kind"})
        found.append(story.look().stance)
    assert found == ["halt"] * halted + ["adjust"] * (7 - halted)


@pytest.mark.requirement("D20")
def test_a_signal_that_is_gone_for_too_long_halts(story):
    story.with_champion().monitored(5, "FAIL", signals={"halts": ["clicks: nothing for 3 periods"]})
    assert story.look().stance == "halt"
    assert "clicks: nothing for 3 periods" in story.look().reasons[-1]


def judged(*pairs, version=None, past=()):
    """Return what monitoring keeps of a course, for losses of the champion and of fresh models."""
    periods = [[f"2024-01-{i + 1:02d}", mine, fresh, 0.001] for i, (mine, fresh) in enumerate(pairs)]
    return {"staleness": {"version": version, "scale": 1.0, "judged": periods, "past": list(past), "trouble": None}}


@pytest.mark.requirement("D3", "D16")
def test_the_declared_policy_asks_once_it_has_something_to_look_at(make_story):
    story = make_story(retrain_cost=0.02).with_champion()
    gain = judged((0.3, 0.3), (0.4, 0.3), (0.5, 0.3), version=story.champion)
    story.monitored(5, "PASS", **gain)
    decision = story.look()
    assert (decision.action, decision.kind, decision.mode) == ("retrain", "policy", "non_inferiority")
    assert any("policy adaptive: a model fitted anew would have saved" in reason for reason in decision.reasons)


def test_a_risen_loss_that_no_retrain_would_mend_asks_for_nothing(story):
    none = judged((0.3, 0.3), (0.6, 0.6), (0.6, 0.61), version=story.with_champion().champion)
    story.monitored(5, "FAIL", **none)
    decision = story.look()
    assert (decision.action, decision.stance) == ("wait", "continue")
    assert "policy adaptive" in decision.reasons[-1]


def test_the_course_of_another_champion_is_not_looked_at(story):
    story.with_champion().monitored(5, "PASS", **judged((0.3, 0.3), (0.9, 0.3), version="older"))
    assert story.look().action == "wait"


def test_a_cron_job_asks_for_something_better_and_never_never_asks(make_story):
    story = make_story(policy="periodic:4", max_age_periods=26).with_champion()
    story.monitored(5, "FAIL")
    assert story.look().action == "wait"
    story.monitored(6, "FAIL")
    assert (story.look().kind, story.look().mode) == ("policy", "superiority")
    other = make_story(policy="never", max_age_periods=26).with_champion()
    other.monitored(6, "FAIL")
    assert other.look().action == "wait"


@pytest.mark.requirement("D35")
def test_a_spent_budget_waits_and_says_so(make_story):
    story = make_story(budget={"retrains": 2, "periods": 8}, cooldown_periods=0).with_champion()
    for week in (4, 5):
        story.monitored(week, "FAIL")
        story.answer("rejected")
    story.monitored(6, "FAIL")
    assert "2 retrains in the last 8 periods, trigger.budget allows 2" in story.look().reasons
    story.monitored(12, "FAIL")
    assert story.look().action == "retrain"


def test_the_fleet_has_a_budget_of_a_day(story):
    story.with_champion().monitored(5, "FAIL")
    story.answer("rejected")
    story.monitored(9, "FAIL")
    spent = fleet_use(story.ledger, {FLEET_LIMIT: "1"})
    assert spent == Fleet(1, 1)
    decision = decide(read_state(story.ledger, story.spec, in_flight=False, fleet=spent))
    assert "1 retrains of all models in the last day, the fleet's budget is 1" in decision.reasons
    tomorrow = datetime.now(UTC) + timedelta(hours=25)
    assert fleet_use(story.ledger, {FLEET_LIMIT: "1"}, tomorrow).started == 0
    assert fleet_use(story.ledger, {}) == Fleet()
    with pytest.raises(PolicyRefused, match="write a whole number"):
        fleet_use(story.ledger, {FLEET_LIMIT: "many"})


@pytest.mark.dagster_fact("K11", "K6")
@pytest.mark.parametrize("end", ["retrain_failed", "died"])
def test_a_failing_trainer_is_asked_at_most_as_often_as_declared(story, end):
    story.with_champion().monitored(5, "FAIL")
    asked = [decision for _ in range(8) if (decision := story.answer(end)).action == "retrain"]
    assert [decision.attempt for decision in asked] == [1, 2]
    assert len({run_key("small", decision) for decision in asked}) == 2
    assert any("2 attempts on this period failed" in reason for reason in story.look().reasons)
    # other evidence, but the cool-down of 2 holds for crashes too
    story.monitored(6, "FAIL")
    assert any(reason.startswith("cool-down: 1 periods") for reason in story.look().reasons)
    story.monitored(7, "FAIL")
    assert story.look().attempt == 1


@pytest.mark.fault("P15")
@pytest.mark.parametrize("end", ["rejected", "superseded", "released"])
def test_evidence_that_was_answered_asks_no_more(make_story, end):
    story = make_story(cooldown_periods=0).with_champion()
    story.monitored(5, "FAIL")
    asked = [decision for _ in range(5) if (decision := story.answer(end)).action == "retrain"]
    assert len(asked) == 1
    # monitored again, with another finding: still the same period's data
    story.monitored(5, "INCONCLUSIVE", "FAIL")
    assert story.look().action == "wait"


@pytest.mark.fault("P15", "P16")
def test_two_ticks_on_the_same_facts_ask_for_the_same_run(story):
    story.with_champion().monitored(5, "FAIL")
    first, second = story.look(), story.look()
    assert first == second
    assert run_key("small", first) == run_key("small", second)
    story.start(first)
    assert story.look(in_flight=True).action == "wait"


@pytest.mark.fault("P16")
def test_a_lost_cursor_and_a_backfill_of_old_periods_change_nothing(story):
    story.with_champion().monitored(5, "FAIL")
    story.answer("rejected")
    before = story.look()
    assert before.action == "wait"
    for week in range(5):  # old periods monitored again, behind the newest one
        story.monitored(week, "FAIL")
    assert story.look() == before


@pytest.mark.fault("P17")
def test_a_backlog_of_periods_becomes_one_retrain_on_the_newest(story):
    story.with_champion()
    for week in (5, 6, 7):
        story.monitored(week, "FAIL")
    asked = [decision for _ in range(5) if (decision := story.answer("released")).action == "retrain"]
    assert [decision.as_of for decision in asked] == [story.end(7)]


@pytest.mark.fault("I16")
def test_a_retrain_of_a_person_cools_down_and_leaves_the_evidence(make_story):
    story = make_story(cooldown_periods=1).with_champion()
    story.monitored(5, "FAIL")
    asked = story.look()
    manual = replace(asked, kind="manual", trigger_id="manual-x")
    story.finish(story.start(manual), manual, "rejected")
    assert any(reason.startswith("cool-down: 0 periods") for reason in story.look().reasons)
    story.monitored(6, "FAIL")
    assert story.look().attempt == 1
    # a person asked for data beyond what was monitored: older evidence waits
    story.finish(story.start(replace(manual, as_of=story.end(9))), manual, "rejected")
    assert any(reason.startswith("cool-down: -3 periods") for reason in story.look().reasons)


verdicts = st.sampled_from(["PASS", "FAIL", "INCONCLUSIVE"])
outcomes = st.sampled_from(["released", "rejected", "superseded", "retrain_failed", "died"])
weeks = st.lists(
    st.tuples(verdicts, verdicts, st.integers(0, 120), st.lists(outcomes, min_size=1, max_size=4), st.integers(1, 3)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    history=weeks,
    cooldown=st.integers(0, 4),
    attempts=st.integers(1, 3),
    max_age=st.integers(1, 8),
    model=st.booleans(),
)
@pytest.mark.requirement("D16")
def test_in_any_history_attempts_cool_down_and_new_labels_bound_the_trigger(
    history, cooldown, attempts, max_age, model
):
    spec = declared(cooldown_periods=cooldown, max_attempts=attempts, max_age_periods=max_age)
    calendar = spec.data.time.calendar()
    champion, champion_as_of = ("v0", START) if model else (None, None)
    made: list[Attempt] = []
    now = START
    for week, (performance, drift, labels, ends, gap) in enumerate(history):
        now += timedelta(weeks=gap)
        evidence = Evidence(
            seq=week,
            period="p",
            as_of=now,
            champion=champion,
            performance=Verdict(performance),
            performance_words="",
            drift=Verdict(drift),
            drift_words="",
            labelled_periods=week,
            new_labels=labels,
        )
        for end in ends * 2:
            seen = tuple(
                Attempt(**{**vars(one), "periods_ago": calendar.periods_since(one.as_of, now)})
                for one in reversed(made)
            )
            age = None if champion_as_of is None else calendar.periods_since(champion_as_of, now)
            decision = decide(
                TriggerState(
                    model="small",
                    trigger=spec.trigger,
                    min_periods=3,
                    champion=champion,
                    champion_as_of=champion_as_of,
                    champion_age_periods=age,
                    evidence=evidence,
                    attempts=seen,
                )
            )
            assert decision.reasons
            if decision.action == "wait":
                continue
            assert decision.as_of == now
            assert decision.kind == "first_model" or labels >= spec.trigger.min_new_labels
            assert (decision.mode == "first") == (champion is None)
            made.append(
                Attempt(
                    run_id=str(len(made)),
                    trigger_id=decision.trigger_id,
                    kind=decision.kind,
                    attempt=decision.attempt,
                    as_of=now,
                    outcome=end,
                    periods_ago=0,
                )
            )
            if end == "released":
                champion, champion_as_of = f"v{len(made)}", now
    by_moment = Counter(one.as_of for one in made)
    assert all(count <= attempts for count in by_moment.values())
    moments = sorted(by_moment)
    assert all(calendar.periods_since(earlier, later) >= cooldown for earlier, later in pairwise(moments))
    for moment in moments:  # nothing is asked after an answer, and attempts count up from 1
        of_moment = [one for one in made if one.as_of == moment]
        assert [one.attempt for one in of_moment] == list(range(1, len(of_moment) + 1))
        assert all(one.outcome not in ANSWERED for one in of_moment[:-1])


def told(story):
    """Let ten weeks pass, every retrain rejected; return what was decided each week."""
    decisions = []
    for week in range(3, 13):
        story.monitored(week, "FAIL")
        decision = story.look()
        decisions.append((decision.action, decision.kind, decision.trigger_id, decision.attempt))
        if decision.action == "retrain":
            story.answer("rejected")
            decisions.append(story.look().action)  # the same evidence, a tick later
    return decisions


@pytest.mark.fault("P18")
@pytest.mark.parametrize("jumps", [(0, 1, -1), (0, -1, -1, -1), (365, -365)], ids=["±1 day", "ever earlier", "a year"])
def test_a_clock_that_jumps_changes_no_decision_and_asks_for_nothing_twice(make_story, monkeypatch, jumps):
    from retrain_pipeline.ledger import writing

    calm = told(make_story().with_champion())
    moment, steps = [datetime.now(UTC)], cycle(jumps)

    class Jumping(datetime):
        @classmethod
        def now(cls, tz=None):
            moment[0] += timedelta(days=next(steps), milliseconds=-1)
            return moment[0]

    monkeypatch.setattr(writing, "datetime", Jumping)
    story = make_story().with_champion()
    assert told(story) == calm
    entries = story.ledger.entries()
    assert [entry.at_utc for entry in entries] != sorted(entry.at_utc for entry in entries)
    assert story.ledger.verify().verdict is Verdict.PASS


def test_measured_hours_at_a_declared_price_are_the_cost(make_story):
    small = judged((0.3, 0.3), (0.33, 0.3), (0.33, 0.3))["staleness"]
    story = make_story(retrain_cost=0.02, cost_per_hour=36.0).with_champion()
    course = {"staleness": {**small, "version": story.champion}}
    story.monitored(5, **course)
    assert read_state(story.ledger, story.spec, in_flight=False).cost == 0.02  # nothing was measured yet
    assert story.look().action == "retrain"
    note_candidate(story.ledger, "small", "v9", "run-9", "test", fit_seconds=100.0)
    assert read_state(story.ledger, story.spec, in_flight=False).cost == pytest.approx(1.0)
    assert story.look().action == "wait"
