"""The checker of histories: it accepts what one register could have done, and no more."""

import itertools
import random

import pytest

from retrain_pipeline_tests.release.linearizable import Operation, order


def register(state, asked):
    """A register with compare-and-swap: ("read",) → value; ("cas", old, new) → whether it was done."""
    if asked[0] == "read":
        return [(state, state)]
    _, old, new = asked
    return [(new, True)] if state == old else [(state, False)]


def op(process, asked, began, ended=None, answer=None):
    return Operation(process, asked, began, ended, answer)


@pytest.mark.parametrize(
    ("words", "history"),
    [
        ("a read that saw a change before it was asked for", [
            op(1, ("read",), 0, 1, 1), op(2, ("cas", 0, 1), 2, 3, True)]),
        ("a read that saw what had been replaced when it began", [
            op(1, ("cas", 0, 1), 0, 1, True), op(2, ("read",), 2, 3, 0)]),
        ("two changes of the same value, both done", [
            op(1, ("cas", 0, 1), 0, 5, True), op(2, ("cas", 0, 2), 0, 5, True)]),
        ("a change that was lost", [
            op(1, ("cas", 0, 1), 0, 1, True), op(2, ("cas", 0, 2), 2, 3, True)]),
        ("a refusal for which there was no reason", [
            op(1, ("cas", 0, 1), 0, 1, False)]),
        ("two readers who saw two changes in two orders", [
            op(1, ("cas", 0, 1), 0, 9, True), op(2, ("cas", 1, 0), 0, 9, True),
            op(3, ("read",), 1, 2, 1), op(3, ("read",), 3, 4, 0), op(4, ("read",), 5, 6, 1)]),
        ("a change of which nothing was heard, seen and then unseen", [
            op(1, ("cas", 0, 1), 0), op(2, ("read",), 1, 2, 1), op(2, ("read",), 3, 4, 0)]),
        ("a change of which nothing was heard, seen before it began", [
            op(2, ("read",), 1, 2, 1), op(1, ("cas", 0, 1), 3)]),
    ],
)  # fmt: skip
def test_what_no_register_does_is_rejected(words, history):
    assert order(history, 0, register) is None, words


@pytest.mark.parametrize(
    "history",
    [
        [],
        [op(1, ("cas", 0, 1), 0, 9, True), op(2, ("read",), 1, 2, 0), op(2, ("read",), 3, 4, 1)],
        [op(1, ("cas", 0, 1), 0, 5, True), op(2, ("cas", 0, 2), 0, 5, False)],
        [op(1, ("cas", 0, 1), 0), op(2, ("read",), 1, 2, 0)],
        [op(1, ("cas", 0, 1), 0), op(2, ("read",), 1, 2, 0), op(2, ("read",), 7, 8, 1)],
        [op(1, ("read",), 0, 9, 1), op(2, ("cas", 0, 1), 3, 4, True)],
    ],
)
def test_what_a_register_may_do_is_explained(history):
    found = order(history, 0, register)
    assert found is not None
    assert [one for one in history if one.ended is not None and one not in found] == []


def by_trying_all_orders(history) -> bool:
    """The definition, word for word."""
    lost = [one for one in history if one.ended is None]
    for count in range(len(lost) + 1):
        for done in itertools.combinations(lost, count):
            ops = [one for one in history if one.ended is not None] + list(done)
            for line in itertools.permutations(ops):
                if any(b.ended is not None and b.ended < a.began for a, b in itertools.combinations(line, 2)):
                    continue
                state, right = 0, True
                for one in line:
                    [(state, answer)] = register(state, one.asked)
                    right = right and (one.ended is None or answer == one.answer)
                if right:
                    return True
    return False


def test_it_agrees_with_the_definition_on_histories_of_any_kind():
    rng, found = random.Random(11), set()
    for _ in range(300):
        history = []
        for process in range(rng.randint(1, 5)):
            asked = rng.choice([("read",), ("cas", rng.randint(0, 1), rng.randint(0, 2))])
            began = rng.randint(0, 6)
            answer = rng.randint(0, 2) if asked[0] == "read" else rng.random() < 0.7
            ended = None if rng.random() < 0.2 else began + rng.randint(1, 5)
            history.append(Operation(process, asked, began, ended, answer if ended is not None else None))
        expected = by_trying_all_orders(history)
        assert (order(history, 0, register) is not None) == expected, history
        found.add(expected)
    assert found == {True, False}
