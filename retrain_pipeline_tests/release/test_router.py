"""Who answers whom: deterministic, sticky, in the declared shares, and the same for a batch and for one request."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_pipeline.release.router import CANARY, CHAMPION, CONTROL, HOLDBACK, Routing, Share, place

PEOPLE = [(f"customer-{number}",) for number in range(20_000)]


def arms(routing: Routing) -> dict[tuple[str], str]:
    return {one: routing.route(one).arm for one in PEOPLE}


@pytest.mark.requirement("C25", "D28")
def test_shares_are_the_declared_ones_and_the_control_is_as_large_as_the_canary():
    routing = Routing("v1", Share("v2", 0.1, "a"), Share("v0", 0.05, "b"))
    found = list(arms(routing).values())
    assert routing.shares == pytest.approx({HOLDBACK: 0.05, CANARY: 0.095, CONTROL: 0.095, CHAMPION: 0.76})
    for arm, share in routing.shares.items():
        within = 4 * math.sqrt(share * (1 - share) / len(found))
        assert found.count(arm) / len(found) == pytest.approx(share, abs=within), arm


def test_a_larger_share_takes_entities_in_and_lets_none_go():
    small = arms(Routing("v1", Share("v2", 0.05, "a")))
    large = arms(Routing("v1", Share("v2", 0.25, "a")))
    assert all(large[one] == CANARY for one, arm in small.items() if arm == CANARY)


@pytest.mark.fault("G18")
def test_another_rollout_draws_other_entities():
    """Who was in the last canary says nothing about who is in this one."""
    first = {one for one, arm in arms(Routing("v1", Share("v2", 0.1, "a"))).items() if arm == CANARY}
    second = {one for one, arm in arms(Routing("v2", Share("v3", 0.1, "b"))).items() if arm == CANARY}
    assert len(first & second) / len(first) == pytest.approx(0.1, abs=0.03)


def test_the_holdback_stays_whatever_is_rolled_out():
    held = Share("v0", 0.02, "h")
    before = {one for one, arm in arms(Routing("v1", None, held)).items() if arm == HOLDBACK}
    after = {one for one, arm in arms(Routing("v2", Share("v3", 0.5, "x"), held)).items() if arm == HOLDBACK}
    assert before == after


def test_above_a_half_the_control_is_what_is_left():
    assert Routing("v1", Share("v2", 0.75, "a")).shares == {CANARY: 0.75, CONTROL: 0.25}


def test_one_model_answers_everybody_with_certainty():
    routing = Routing("v1")
    assert routing.one_model
    assert routing.route(["x"]).propensity == 1


@given(st.text(min_size=1), st.lists(st.text(), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_a_place_is_in_the_unit_interval_and_always_the_same(salt, entity):
    assert 0 <= place(salt, entity) < 1
    assert place(salt, entity) == place(salt, list(entity))


def test_values_keep_their_borders():
    assert place("s", ["ab", "c"]) != place("s", ["a", "bc"])
    assert place("s", ["a", None]) != place("s", [None, "a"])


def test_a_number_is_one_entity_however_it_is_spelled():
    assert place("s", [5]) == place("s", [5.0]) == place("s", ["5"])
    assert place("s", [None]) == place("s", [float("nan")])
