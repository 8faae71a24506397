"""Drift while labels are late: a retrain is asked for once it can learn something of what changed, and once only."""

import pytest

DELAY = 5


def drifted(story, week: int) -> None:
    """Monitor a week that drifted; labels are known of what happened five weeks before its end."""
    story.monitored(week, "INCONCLUSIVE", "FAIL", labelled_through=story.end(week - DELAY).isoformat())


def asked(story, weeks: range, outcome: str = "released") -> list[int]:
    """Return the weeks in which a retrain was asked for; each ends with this outcome."""
    found = []
    for week in weeks:
        drifted(story, week)
        if story.answer(outcome).action == "retrain":
            found.append(week)
    return found


@pytest.mark.requirement("D3")
def test_drift_asks_when_labels_of_what_changed_are_known_and_then_waits_for_those_of_the_new_model(story):
    story.with_champion()
    drifted(story, 5)
    assert "no label of what changed is known yet: a retrain would learn nothing of it" in story.look().reasons[-1]
    # of week 5 labels are known at the end of week 10; the cool-down of 2 weeks would let it ask in 6, 8, 10, 12, …
    assert asked(story, range(6, 12)) == [10]
    assert "a retrain has learned of it: its labels will tell whether that was enough" in story.look().reasons[-1]


def test_a_retrain_that_crashed_has_learned_nothing(story):
    story.with_champion()
    drifted(story, 5)
    assert asked(story, range(6, 13), "retrain_failed") == [10, 12]


def test_a_retrain_before_the_labels_came_has_learned_nothing_of_what_changed(make_story):
    story = make_story(max_age_periods=6).with_champion()
    drifted(story, 5)
    assert asked(story, range(6, 12), "rejected") == [8, 10]  # by age, then by drift


def test_a_week_without_drift_begins_the_wait_anew(make_story):
    story = make_story(max_age_periods=50).with_champion()
    for week in (5, 6):
        drifted(story, week)
    story.monitored(7, "INCONCLUSIVE", "PASS", labelled_through=story.end(2).isoformat())
    assert asked(story, range(8, 14)) == [13]


def test_while_no_label_is_known_at_all_drift_does_not_ask(story):
    story.with_champion()
    story.monitored(5, "INCONCLUSIVE", "FAIL", labelled_through=None)
    assert story.look().action == "wait"


def test_an_entry_that_does_not_tell_how_far_its_labels_reach_counts_as_labelled(story):
    story.with_champion()
    story.monitored(5, "INCONCLUSIVE", "FAIL")
    assert story.look().kind == "drift"
