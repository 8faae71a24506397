"""Policies over a matrix: what each knew when it decided, what hindsight would have done, and who was better."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from retrain_pipeline.replay.compare import compare, frontier, interval
from retrain_pipeline.replay.episode import course_at, first_start, play_policy
from retrain_pipeline.replay.errors import HistoryRefused
from retrain_pipeline.replay.history import History, delayed
from retrain_pipeline.replay.matrix import LossMatrix, loss_matrix
from retrain_pipeline.replay.oracle import best_at_cost, best_with_retrains
from retrain_pipeline.replay.picture import frontier_plot
from retrain_pipeline.triggers.course import Course, Opinion
from retrain_pipeline.triggers.policies import Adaptive, Never, Periodic


def made_up(mean: np.ndarray, delay: int = 0) -> LossMatrix:
    """Return a matrix of one row a batch with these mean losses."""
    import pandas as pd

    batches = len(mean)
    history = History(
        "made", "regression", "mae", pd.DataFrame({"x": range(batches)}), np.zeros(batches), tuple(range(batches + 1)),
        tuple(f"b{t}" for t in range(batches)), delayed(batches, delay), 1.0,
    )  # fmt: skip
    return LossMatrix(history, {s: mean[s, s:].astype(np.float32) for s in range(2, batches)})


def random_matrix(seed: int, batches: int = 9, delay: int = 0) -> LossMatrix:
    return made_up(np.random.default_rng(seed).random((batches, batches)), delay)


class Spy:
    """Says no, and remembers what it was shown."""

    name = "spy"

    def __init__(self) -> None:
        self.seen: list[Course] = []

    def look(self, course: Course) -> Opinion:
        self.seen.append(course)
        return Opinion(False, ("no",))


def cost_of(matrix: LossMatrix, start: int, plan: tuple[int, ...], cost: float) -> float:
    known, released, total = matrix.history.known, start, 0.0
    for t in range(start, matrix.history.batches):
        released = t if t in plan else released
        total += matrix.mean[known[released], t]
    return (total + cost * len(plan)) / (matrix.history.batches - start)


@pytest.mark.parametrize("delay", [0, 2])
@pytest.mark.parametrize("seed", range(4))
def test_hindsight_is_the_best_of_all_plans(seed, delay):
    matrix = random_matrix(seed, delay=delay)
    start = first_start(matrix, 2)
    later = range(start + 1, 9)
    plans = [plan for count in range(len(later) + 1) for plan in combinations(later, count)]
    for cost in (0.0, 0.1, 0.5):
        best = best_at_cost(matrix, start, cost)
        assert best.mean_cost == pytest.approx(min(cost_of(matrix, start, plan, cost) for plan in plans))
        assert best.mean_cost == pytest.approx(cost_of(matrix, start, best.retrains, cost))
    for count, least in enumerate(best_with_retrains(matrix, start)):
        same = [cost_of(matrix, start, plan, 0.0) for plan in plans if len(plan) == count]
        assert least == pytest.approx(min(same))


@pytest.mark.requirement("D16", "D51")
def test_a_policy_sees_known_labels_only():
    matrix = random_matrix(1, batches=12, delay=3)
    spy = Spy()
    play_policy(matrix, spy, warm_up=2)
    for course in spy.seen:
        assert course.lag == 3
        assert course.first == 2
    last = spy.seen[-1]
    assert last.champion == tuple(matrix.mean[2, 2:8])
    assert last.fresh == tuple(matrix.mean[k, k] for k in range(2, 8))
    # what comes after is not looked at: another future, the same courses
    other = random_matrix(1, batches=12, delay=3)
    for losses in other.rows.values():
        losses[-4:] = 9.0
    again = Spy()
    play_policy(other, again, warm_up=2)
    assert again.seen == spy.seen


def test_nothing_new_is_known_nothing_is_asked():
    spy = Spy()
    known = (0, 1, 2, 2, 2, 2, 3, 4)
    matrix = random_matrix(2, batches=7)
    play_policy(LossMatrix(replace(matrix.history, known=known), matrix.rows), spy, 2)
    assert [course.champion for course in spy.seen] == [(matrix.mean[2, 2],)]


def test_cron_jobs_and_never_do_what_they_say(history, recipe, tmp_path):
    matrix = loss_matrix(history, recipe, tmp_path / "cache")
    never, often = play_policy(matrix, Never(), 3), play_policy(matrix, Periodic(4), 3)
    assert never.retrains == ()
    assert never.mean_loss == pytest.approx(matrix.mean[3, 3:].mean())
    assert often.retrains == (7, 11)
    assert often.mean_cost(0.5) == pytest.approx(often.mean_loss + 0.5 * 2 / 11)


@pytest.mark.requirement("D3", "D16", "D51")
def test_adaptive_retrains_after_the_change_and_beats_a_cron_job(history, recipe, tmp_path):
    matrix = loss_matrix(history, recipe, tmp_path / "cache")
    reached = frontier(matrix, 3)
    (outcome,) = compare(matrix, [Adaptive], [0.2], 3, reached)
    assert outcome.episode.retrains, outcome.episode.decisions
    assert outcome.episode.retrains[0] in (9, 10), (
        "the change comes with batch 7; a model that learned from it exists at 9"
    )
    assert outcome.gain > 0.1
    assert outcome.regret_low <= outcome.regret <= outcome.regret_high
    # the last decision before the retrain and the retrain itself both say what was compared
    assert all("best cycle" in one.reasons[0] for one in outcome.episode.decisions)


def test_a_cron_job_gains_nothing_over_itself(history, recipe, tmp_path):
    matrix = loss_matrix(history, recipe, tmp_path / "cache")
    outcomes = compare(matrix, [lambda _: Periodic(2), lambda _: Never()], [0.02, 0.1], 3)
    assert [one.gain for one in outcomes] == pytest.approx([0.0] * 4)
    assert all(one.regret >= -1e-12 for one in outcomes)


def test_a_course_is_of_rows_that_the_champion_never_saw():
    matrix = random_matrix(5, batches=10, delay=2)
    course = course_at(matrix, released=5, t=8)
    assert (course.first, course.age, course.lag) == (3, 3, 2)
    assert course.champion == tuple(matrix.mean[3, 3:6])
    assert course.validated == matrix.mean[2, 2]


def test_a_history_with_nothing_left_to_serve_is_refused():
    with pytest.raises(HistoryRefused, match="leave none to serve"):
        play_policy(random_matrix(0), Never(), warm_up=40)


def test_an_interval_covers_the_mean_and_is_the_same_every_time():
    series = np.random.default_rng(0).normal(0.3, 1.0, 80)
    low, high = interval(series)
    assert low < series.mean() < high
    assert interval(series) == (low, high)
    assert 0.1 < high - low < 1.0


def test_the_picture_is_a_png_and_the_same_every_time():
    matrix = random_matrix(3, batches=12)
    reached = frontier(matrix, 2)
    outcomes = compare(matrix, [Adaptive], [0.05], 2, reached)
    first = frontier_plot(reached, outcomes, "a $title")
    assert first.startswith(b"\x89PNG")
    assert frontier_plot(reached, outcomes, "a $title") == first
