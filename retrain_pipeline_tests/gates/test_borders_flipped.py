"""The sign-flip test and the second validator's own losses, to the letter."""

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates import second
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.second import flipped
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.small import write_folder_once

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
LEAST = 1 / 5000
"""The smallest probability that 4,999 flips can show."""


def asking(metric="mae", task="regression", **gates):
    spec = write_folder_once(task)
    success = spec.problem.success.model_copy(update={"metric": metric})
    return spec.model_copy(
        update={
            "problem": spec.problem.model_copy(update={"success": success}),
            "gates": spec.gates.model_copy(update=gates),
            "data": spec.data.model_copy(update={"label": spec.data.label.model_copy(update={"task": task})}),
        }
    )


def hours(count, start="2024-01-01", freq="6h"):
    return pd.Series(pd.date_range(start, periods=count, freq=freq, tz="UTC"))


def flip(own, theirs, moments=None, mode="superiority", metric="mae", **gates):
    moments = hours(len(own)) if moments is None else moments
    return flipped(np.asarray(own), np.asarray(theirs), moments, spec=asking(metric, **gates), mode=mode)


RNG = np.random.default_rng(8)
NOISE = RNG.normal(0, 1, 120)


@pytest.mark.parametrize(
    ("shift", "better", "verdict"), [(-2.0, LEAST, PASS), (2.0, 1.0, FAIL), (0.0, None, INCONCLUSIVE)]
)
def test_a_difference_beyond_all_flips_passes_or_fails(shift, better, verdict):
    own, theirs = 5 + 0.1 * NOISE + shift, np.full(120, 5.0)
    if not shift:
        own = 5 + NOISE - NOISE.mean()
    found = flip(own, theirs)
    told = found.statistic if better is None else better
    # every flip counts for one side or, as a tie, for both: 30 blocks of noise have no tie
    worse = 5001 / 5000 - told
    chances = f"p = {told:.3g} that it is not, {worse:.3g} that it is"
    words = f"on 120 other rows in 30 blocks, better: by flipped signs {chances}; asked at most 0.05"
    assert found == GateResult(
        gate="second", verdict=verdict, statistic=told, threshold=0.05, n=120, words=words
    )  # fmt: skip
    assert flip(own, theirs) == found, "the same rows give the same answer"


@pytest.mark.parametrize("blocks", [6, 7, 9])
def test_few_blocks_show_what_their_flips_can_show(blocks):
    """Of blocks that all say the same, one in 2 to the number of blocks has no sign flipped; ties count for both."""
    chance, rows = 2.0**-blocks, 4 * blocks
    sigma = (chance * (1 - chance) / 4999) ** 0.5
    for jitter in (0.0, 1e-3):
        own = np.full(rows, 0.3) + jitter * NOISE[:rows]
        found = flip(own, np.ones(rows))
        assert found.statistic == pytest.approx(chance, abs=5 * sigma)
        turned = flip(-own, -np.ones(rows))
        worse = float(turned.words.split("that it is not, ")[1].split(" ")[0])
        assert (turned.statistic, worse) == (1.0, pytest.approx(chance, abs=5 * sigma + 1e-4))


def test_equal_losses_are_ties_throughout():
    words = "p = 1 that it is not, 1 that it is"
    found = flip(np.ones(48), np.ones(48))
    assert (found.verdict, found.statistic, words in found.words) == (INCONCLUSIVE, 1.0, True)


def test_probabilities_are_those_of_all_flips_of_ten_blocks():
    own, theirs = np.repeat(NOISE[:10] - 0.4, 4), np.zeros(40)
    sums = np.array(np.meshgrid(*[[-1, 1]] * 10)).reshape(10, -1).T @ (4 * (NOISE[:10] - 0.4))
    low = (sums <= own.sum() + 1e-9).mean()
    high = (sums >= own.sum() - 1e-9).mean()
    found = flip(own, theirs)
    assert found.statistic == pytest.approx(low, abs=5 * (low * (1 - low) / 4999) ** 0.5)
    worse = float(found.words.split("that it is not, ")[1].split(" ")[0])
    assert worse == pytest.approx(high, abs=5 * (high * (1 - high) / 4999) ** 0.5 + 1e-3)


def test_the_level_is_the_declared_one_and_reached_when_it_is_met():
    own = 5 + 0.1 * NOISE
    assert flip(own - 2, np.full(120, 5.0), alpha=LEAST).verdict is PASS
    assert flip(own + 2, np.full(120, 5.0), alpha=LEAST).verdict is FAIL
    assert flip(own - 2, np.full(120, 5.0), alpha=LEAST - 1e-8).verdict is INCONCLUSIVE
    assert flip(own + 2, np.full(120, 5.0), alpha=LEAST - 1e-8).verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("mode", "metric", "allowed", "asked"),
    [
        ("superiority", "mae", 1.0, "better"), ("first", "rmse", 1.0, "better"),
        ("non_inferiority", "mae", 1.1, "not worse than 1.1 times the champion"),
        ("non_inferiority", "rmse", 1.1**2, "not worse than 1.21 times the champion"),
        ("non_inferiority", "brier", 1.1, "not worse than 1.1 times the champion"),
    ],
)  # fmt: skip
def test_the_margin_moves_what_is_asked_only_of_a_refresh(mode, metric, allowed, asked):
    theirs = 5 + 0.1 * NOISE
    for nudge, verdict in ((-1e-3, PASS), (1e-3, FAIL)):
        found = flip(theirs * (allowed + nudge), theirs, mode=mode, metric=metric, margin=0.1)
        assert (found.verdict, f" blocks, {asked}: by" in found.words) == (verdict, True)


def test_blocks_are_counted_from_the_unix_epoch():
    moments = hours(24, "2024-01-01 21:00", "2h")
    assert "in 7 blocks, " in flip(np.zeros(24) - 1, np.ones(24), moments, block_hours=8).words
    assert "in 12 blocks, " in flip(np.zeros(24) - 1, np.ones(24), moments, block_hours=4.0).words
    assert "in 24 blocks, " in flip(np.zeros(24) - 1, np.ones(24), moments, block_hours=0.5).words
    naive = np.array(moments.dt.tz_localize(None).to_numpy(), dtype="datetime64[ms]")
    assert "in 7 blocks, " in flip(np.zeros(24) - 1, np.ones(24), naive, block_hours=8).words


def cannot(why):
    return GateResult(gate="second", verdict=INCONCLUSIVE, words=f"no second judgement: {why}")


def test_too_few_blocks_or_a_loss_that_is_no_number_say_nothing():
    assert flip(np.zeros(20), np.ones(20)) == cannot("5 blocks of 24 h hold kept-back rows, not 6")
    assert flip(np.zeros(21), np.ones(21)).statistic is not None
    for odd in (np.nan, np.inf):
        for own, theirs in ((np.full(40, odd), np.ones(40)), (np.ones(40), np.r_[np.ones(39), odd])):
            assert flip(own, theirs) == cannot("a loss is not a finite number")


# --- labels and losses of its own


def truth(labels, task):
    found = second._truth(pd.Series(labels, dtype=object), task)
    return found.dtype.kind, found.tolist()


def test_labels_are_spelt_as_the_task_asks():
    assert truth([1, 2.5], "regression") == ("f", [1.0, 2.5])
    yes, no = [1, 1.0, True, "1", "1.0", "true", "TRUE"], [0, 0.0, False, "0", "0.0", "false", 2, 0.5, "yes"]
    assert truth([*yes, *no], "binary") == ("i", [1] * len(yes) + [0] * len(no))
    assert truth([3.0, 3.5, 3, "3", "b", True], "multiclass") == ("U", ["3", "3.5", "3", "3", "b", "True"])


def losses(metric, task, answers, y, classes=None):
    found = second._losses(asking(metric, task), (classes, np.asarray(answers)), np.asarray(y))
    assert found.dtype == np.float64
    return found.tolist()


def test_numbers_lose_their_distance_or_its_square():
    assert losses("mae", "regression", [3, 1], [1.0, 4.0]) == [2.0, 3.0]
    assert losses("rmse", "regression", [3, 1], [1.0, 4.0]) == [4.0, 9.0]


HALF = [[0.5, 0.5], [0.6, 0.4], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("metric", "task", "classes", "answers", "y", "lost"),
    [
        ("brier", "binary", [0, 1], HALF, [1, 1, 0], [0.25, 0.36, 1.0]),
        ("log_loss", "binary", [0, 1], HALF, [1, 1, 0], [np.log(2), -np.log(0.4), -np.log(1e-15)]),
        ("error", "binary", [0, 1], HALF, [1, 1, 0], [0.0, 1.0, 1.0]),
        ("error", "binary", [0, 1], HALF, [0, 0, 1], [1.0, 0.0, 0.0]),
        ("error", "binary", [0], [[1.0], [1.0]], [1, 0], [1.0, 0.0]),
        ("brier", "binary", [0], [[1.0], [1.0]], [1, 0], [1.0, 0.0]),
        ("log_loss", "binary", [0], [[1.0], [1.0]], [1, 0], [-np.log(1e-15), 0.0]),
        ("error", "binary", [1.0], [[1.0], [1.0]], [1, 0], [0.0, 1.0]),
        ("brier", "multiclass", ["a", "b"], HALF, ["a", "b", "new"], [0.5, 0.72, 2.0]),
        ("log_loss", "multiclass", ["a", "b"], HALF, ["a", "b", "new"], [np.log(2), -np.log(0.4), -np.log(1e-15)]),
        ("error", "multiclass", ["a", "b"], HALF, ["a", "b", "b"], [0.0, 1.0, 0.0]),
        ("error", "multiclass", None, ["a", "b", "c"], ["a", "a", "c"], [0.0, 1.0, 0.0]),
        ("error", "binary", None, [1.0, 0.0, 1.0], [1, 1, 0], [0.0, 1.0, 1.0]),
        ("error", "binary", None, [1, 0, 1], [1, 1, 0], [0.0, 1.0, 1.0]),
        ("brier", "binary", [0, 1], np.empty((0, 2)), np.empty(0, dtype=int), []),
    ],
)
def test_classes_lose_by_the_declared_metric(metric, task, classes, answers, y, lost):
    assert losses(metric, task, answers, y, classes) == pytest.approx(lost)


@pytest.mark.parametrize("metric", ["brier", "log_loss"])
def test_a_metric_of_probabilities_needs_them(metric):
    with pytest.raises(ValueError, match=rf"^{metric} needs probabilities, and the model gives none$"):
        losses(metric, "binary", [1, 0], [1, 0])
