"""What calls for a second validator and what its answer means, to the letter."""

from dataclasses import replace

import pytest

from retrain_pipeline.canonical import sha256
from retrain_pipeline.gates.escalation import (
    CALLS,
    answer,
    escalate,
    near,
    stopped,
    unanswered,
    unwatched,
)
from retrain_pipeline.gates.evidence import Escalation, GateResult
from retrain_pipeline.gates.second import second_look
from retrain_pipeline.spec.escalate import Escalate
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.small import EARLY, Small

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def of(gate, verdict=PASS, words=None, **more):
    return GateResult(gate=gate, verdict=verdict, words=words or f"{gate} as found", **more)


# --- what calls, by the results and the record


def quality(statistic=-0.5, threshold=0.0, interval=(-2.0, 0.0), verdict=PASS):
    return of("quality", verdict, statistic=statistic, threshold=threshold, interval=interval)


@pytest.mark.parametrize(
    ("found", "distance", "limit", "verdict"),
    [
        (quality(), 0.25, 0.25, PASS), (quality(), 0.25, 0.26, FAIL), (quality(0.5, verdict=FAIL), 0.25, 0.25, PASS),
        (quality(3.0, 1.0, (2.0, 4.0), FAIL), 1.0, 1.5, FAIL), (quality(interval=(-1.0, -1.0)), 1e9, 9.0, PASS),
        (quality(0.0, 0.0, (0.0, 0.0)), 0.0, 0.1, FAIL), (quality(0.0, 0.0, (0.0, 0.0)), 0.0, 0.0, PASS),
        (quality(-1.5, 0.0, (-2.0, 0.5)), 0.6, 0.25, PASS), (quality(-0.125, 0.0, (-0.25, 0.25)), 0.25, 0.25, PASS),
    ],
)  # fmt: skip
def test_near_is_told_in_widths_of_the_interval(found, distance, limit, verdict):
    words = f"quality is {distance:.2g} interval widths from its threshold, near is {limit:g}"
    told = near([of("size", statistic=0.0), found], limit)
    assert told == of("near", verdict, words, statistic=-distance, threshold=-limit)


@pytest.mark.parametrize(
    "found",
    [
        [], [of("labels", statistic=1.0, threshold=2.0, interval=(0.0, 1.0))], [quality(interval=None)],
        [quality(interval=(None, 1.0))], [quality(interval=(1.0, None))], [quality(threshold=None)],
        [of("quality", INCONCLUSIVE, interval=(0.0, 1.0), threshold=1.0)],
    ],
)  # fmt: skip
def test_what_has_no_distance_is_inconclusive(found):
    words = "quality has no statistic to tell how near its threshold is"
    assert near(found, 0.25) == of("near", INCONCLUSIVE, words)


def test_gates_without_an_answer_are_counted_and_named():
    found = [of("labels", INCONCLUSIVE), of("quality"), of("slices", INCONCLUSIVE), of("size", FAIL)]
    words = "gates that could not tell: labels, slices"
    assert unanswered(found) == of("open", FAIL, words, statistic=2.0, threshold=0.0)
    words = "gates that could not tell: none"
    assert unanswered(found[1:2]) == of("open", PASS, words, statistic=0.0, threshold=0.0)


@pytest.mark.parametrize(("in_a_row", "verdict"), [(0, PASS), (2, PASS), (3, FAIL), (4, FAIL)])
def test_a_second_look_is_due_after_so_many_releases(in_a_row, verdict):
    words = f"{in_a_row} releases in a row without a second look, a second look is due after 3"
    assert unwatched(in_a_row, 3) == of("in_a_row", verdict, words, statistic=float(in_a_row), threshold=2.0)


def test_what_fails_stops():
    assert stopped([of("labels", FAIL), of("quality"), of("slices", INCONCLUSIVE), of("size", FAIL)]) == [
        "labels", "size",
    ]  # fmt: skip


# --- what its answer means


def asked(second=None, *looked):
    looked = looked or (of("near", FAIL, "too near"), of("far"), of("signs", INCONCLUSIVE, "no signs"))
    return Escalation(looked=looked, rows=None, second=second)


def test_without_a_call_the_answer_is_a_pass_and_without_an_escalation_there_is_none():
    words = "nothing calls for a second validator (near, far)"
    assert answer(asked(None, of("near"), of("far")), []) == of("escalation", PASS, words)
    words = "could not look: there is nothing to judge"
    assert answer(None, []) == of("escalation", INCONCLUSIVE, words)


def test_what_is_stopped_already_is_not_asked():
    words = "not asked, since labels, size stops it already, though: too near; no signs"
    found = [of("quality"), of("labels", FAIL), of("size", FAIL)]
    assert answer(asked(), found) == of("escalation", INCONCLUSIVE, words)
    assert len(answer(asked(None, of("near", FAIL, "x" * 3000)), found).words) == 2000


BEGIN = "the second validator"


@pytest.mark.parametrize(
    ("first", "second", "statistic", "verdict", "words"),
    [
        (PASS, PASS, 0.01, PASS, f"{BEGIN} agrees: quality is PASS, and it says PASS"),
        (PASS, FAIL, 0.99, FAIL, f"{BEGIN} disagrees: quality is PASS, and it says FAIL"),
        (PASS, INCONCLUSIVE, 0.3, INCONCLUSIVE, f"{BEGIN} does not confirm the PASS of quality"),
        (INCONCLUSIVE, INCONCLUSIVE, 0.3, PASS, f"{BEGIN} agrees: quality is INCONCLUSIVE, and it says INCONCLUSIVE"),
        (INCONCLUSIVE, PASS, 0.01, PASS, f"{BEGIN} agrees: quality is INCONCLUSIVE, and it says PASS"),
        (None, FAIL, 0.99, FAIL, f"{BEGIN} disagrees: quality is INCONCLUSIVE, and it says FAIL"),
        (PASS, INCONCLUSIVE, None, INCONCLUSIVE, "a second validator was called for and could not look"),
    ],
)
def test_what_two_answers_come_to(first, second, statistic, verdict, words):
    found = [of("labels", FAIL), *([of("quality", first)] if first else [])]
    told = answer(asked(of("second", second, "by signs", statistic=statistic, n=70)), found)
    assert told == of("escalation", verdict, f"{words} (by signs); called for: too near; no signs", n=70)
    long = of("second", PASS, "x" * 3000, statistic=0.1)
    assert len(answer(asked(long), found).words) == 2000


# --- asking it


@pytest.fixture
def small(tmp_path):
    made = Small(tmp_path, escalate=Escalate(near=0.25, far=9.0, in_a_row=2))
    yield made
    made.stores.close()


CALM = [quality(-5.0, 0.0, (-6.0, -4.0)), of("labels")]


def test_all_that_may_call_is_looked_at_and_the_second_is_asked_only_where_it_decides(small):
    small.version("v3", learned=EARLY, leaf=8)
    material, kept = small.material(champion="v3"), []

    def ask(results, in_a_row=1, **declared):
        small.declare(escalate=small.spec.gates.escalate.model_copy(update=declared))
        made = replace(material, spec=small.spec)
        keep = lambda data: kept.append(data) or sha256(data)  # noqa: E731
        return escalate(small.stores, made, "non_inferiority", results, "v3", in_a_row, keep)

    quiet = ask(CALM)
    assert (tuple(one.gate for one in quiet.looked), quiet.called, quiet.second) == (CALLS, (), None)
    assert quiet.looked[:3] == (near(CALM, 0.25), unanswered(CALM), unwatched(1, 2))
    assert quiet.looked[3].threshold == 9.0
    halted = ask([*CALM, of("size", FAIL)], 2)
    assert (halted.called, halted.second, halted.rows, kept) == (("in_a_row",), None, None, [])
    for results, in_a_row, declared, called in (
        (CALM, 2, {}, ("in_a_row",)), ([*CALM, of("size", INCONCLUSIVE)], 0, {}, ("open",)),
        (CALM, 0, {"far": 0.01}, ("far",)), (CALM, 0, {"near": 3.0, "far": 9.0}, ("near",)),
    ):  # fmt: skip
        found = ask(results, in_a_row, **declared)
        assert found.called == called
        spec, manifest = small.spec, small.manifest
        assert (found.rows, found.second) == second_look(
            small.stores, spec, manifest, "v3", "non_inferiority", sha256
        )  # fmt: skip
        assert 0.001 < found.second.statistic < 0.9, "against the champion, not the dummy"
        assert sha256(kept.pop()) == found.rows.digest


def test_a_model_that_does_not_escalate_is_not_looked_at(small):
    material = replace(small.material(), spec=small.declare(escalate=None))
    with pytest.raises(ValueError, match=r"^toy: gates\.escalate is not declared$"):
        escalate(small.stores, material, "superiority", CALM, "v1", 0, sha256)
