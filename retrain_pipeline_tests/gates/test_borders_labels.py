"""Labels to the letter: agreement, loss of labels turned round and level by their definitions, and what is said."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.labels import LabelRows, labels, leakage
from retrain_pipeline.learning.concord import auc_influence, excess_agreement, rank_agreement
from retrain_pipeline.learning.paired import block_mean_band, block_mean_interval
from retrain_pipeline.verdicts import Verdict

TRAIN = pd.date_range("2024-01-01", periods=24 * 28, freq="h", tz="UTC")
EVALUATION = pd.date_range("2024-02-26", periods=24 * 14, freq="h", tz="UTC")
PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def result(verdict, words, **numbers):
    return GateResult(gate="labels", verdict=verdict, n=336, words=words, **numbers)


def rows(task, truth, told, training, before, **changed):
    given = LabelRows(
        task, truth, EVALUATION, training, TRAIN, told, before, relabelled_losses=None, validated_loss=None,
        alpha=0.02, block_hours=12.0, seed=5,
    )  # fmt: skip
    return replace(given, **changed)


def interval(values):
    return block_mean_interval(values, EVALUATION, block_hours=12.0, alpha=0.02, seed=5)


def level_words(now, before):
    """The mean and the band by definition: that of as many blocks (28) of the training rows, at one in a hundred."""
    low, high = block_mean_band(before, TRAIN, blocks=28, block_hours=12.0, alpha=0.01, seed=5)
    return f"{now.mean():.4g}, by training rows [{low:.4g}, {high:.4g}]"


RNG = np.random.default_rng(2)
SIGNAL = RNG.normal(size=336)
NUMBERS = SIGNAL + RNG.normal(size=336)
NUMBERS -= NUMBERS.mean()
BEFORE = RNG.normal(size=672)
BEFORE -= BEFORE.mean()
CHANCES = RNG.random(672)
CHANCE = 1 / (1 + np.exp(-SIGNAL))
HITS = (RNG.random(336) < CHANCE).astype(int)
TRAINED = (RNG.random(672) < CHANCES).astype(int)
CLASSES = np.where(SIGNAL > 0.4, "a", np.where(SIGNAL > -0.4, "b", "c"))
GUESSES = np.where(NUMBERS > 0.4, "a", np.where(NUMBERS > -0.4, "b", "c"))

HONEST = {
    "binary": (rows("binary", HITS, CHANCE, TRAINED, CHANCES), auc_influence, 0.5, "AUC"),
    "regression": (rows("regression", NUMBERS, SIGNAL, BEFORE, BEFORE), rank_agreement, 0.0, "rank correlation"),
    "multiclass": (
        rows("multiclass", CLASSES, GUESSES, CLASSES, CLASSES), excess_agreement, 0.0, "accuracy above chance"
    ),
}  # fmt: skip


def level_of(given):
    if given.task == "multiclass":
        return "no level of class names to compare"
    return f"label mean {level_words(given.evaluation, given.training)}"


@pytest.mark.parametrize("task", HONEST)
def test_honest_labels_are_told_by_how_well_the_champion_agrees_with_them(task):
    given, measure, chance, name = HONEST[task]
    found = interval(measure(given.evaluation, given.champion_evaluation))
    words = (
        f"the champion's {name} on these labels: {found.mean:.3f} [{found.low:.3f}, {found.high:.3f}], "
        f"chance {chance:g}; {level_of(given)}"
    )
    assert labels(given) == result(
        PASS, words, statistic=chance - found.high, threshold=0.0, interval=(found.low, found.high)
    )


def turned(**known):
    """Labels turned round, of a regression: the champion orders them the wrong way."""
    return rows("regression", -NUMBERS, SIGNAL, BEFORE, BEFORE, **known)


LOSSES = np.square(NUMBERS - SIGNAL)


@pytest.mark.parametrize("known", [
    {}, {"relabelled_losses": LOSSES}, {"validated_loss": 1.0},
    {"relabelled_losses": np.where(LOSSES > 4, np.nan, LOSSES), "validated_loss": 0.0},
])  # fmt: skip
def test_worse_than_chance_is_inverted_where_nothing_is_known_to_say_otherwise(known):
    given = turned(**known)
    found = interval(rank_agreement(-NUMBERS, SIGNAL))
    words = (
        f"labels look inverted or recoded: the champion's rank correlation on these labels: {found.mean:.3f} "
        f"[{found.low:.3f}, {found.high:.3f}], chance 0; the champion's validated loss is not known to say otherwise; "
        f"{level_of(given)}"
    )
    assert labels(given) == result(FAIL, words, interval=(found.low, found.high))


@pytest.mark.parametrize("explained", [True, False])
def test_labels_that_explain_all_once_they_are_turned_round_were_turned(explained):
    loss = interval(LOSSES)
    known = loss.low + (1e-9 if explained else -1e-9)
    given = turned(relabelled_losses=LOSSES, validated_loss=known)
    found = interval(rank_agreement(-NUMBERS, SIGNAL))
    agreed = f"the champion's rank correlation on these labels: {found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
    again = (
        f"with the labels turned round its loss is {loss.mean:.4g} [{loss.low:.3f}, {loss.high:.3f}], "
        f"validated at most {known:.4g}"
    )
    if explained:
        wanted = result(FAIL, f"labels look inverted or recoded: {agreed}, chance 0; {again}; {level_of(given)}",
                        interval=(found.low, found.high))  # fmt: skip
    else:
        wanted = result(PASS, f"{agreed}, chance 0; {again}: the world turned, not the labels; {level_of(given)}",
                        interval=(found.low, found.high))  # fmt: skip
    assert labels(given) == wanted


def test_a_loss_as_high_as_when_it_was_validated_explains_all():
    given = turned(relabelled_losses=np.full(336, 2.0), validated_loss=2.0)
    assert labels(given).verdict is FAIL


def test_agreement_that_is_exactly_that_of_chance_is_no_inversion():
    truth = np.tile(["a", "b"], 168)
    found = labels(rows("multiclass", truth, np.full(336, "c"), truth, truth))
    assert (found.verdict, found.interval, found.statistic) == (PASS, (0.0, 0.0), 0.0)


def test_what_the_champion_cannot_tell_is_said_and_so_are_too_few_blocks():
    same = labels(rows("binary", np.zeros(336), CHANCE, CHANCES, CHANCES))
    assert same.verdict is INCONCLUSIVE
    assert same.n == 336
    assert same.words.startswith(
        "the champion's AUC cannot be told: labels or scores of one value, or none; label mean"
    )
    few = rows("regression", NUMBERS[:84], SIGNAL[:84], BEFORE, BEFORE, evaluation_time=EVALUATION[:84])
    found = labels(few)
    assert (found.verdict, found.n, found.interval, found.statistic) == (INCONCLUSIVE, 84, None, None)
    assert ", chance 0; too few blocks to tell; label mean " in found.words


def test_before_the_first_release_there_is_nobody_to_ask():
    words = "no champion yet: nothing that knew the labels before can say whether they were turned round"
    assert labels(rows("regression", NUMBERS, None, BEFORE, None)) == result(PASS, words)


# --- the level


def level(task, truth, training, told, before):
    """Return what is said of the level."""
    found = labels(rows(task, truth, told, training, before))
    name = "AUC" if task == "binary" else "rank correlation"
    assert found.words.startswith(f"the champion's {name}")
    return found, found.words.partition("; ")[2]


def test_without_the_champions_word_on_training_rows_a_level_is_not_compared():
    found, words = level("regression", NUMBERS, BEFORE, SIGNAL, None)
    assert (found.verdict, words) == (INCONCLUSIVE, "no champion scores of the training rows to compare levels with")
    assert found.n == 336


FLAT = np.tile([1.0, -1.0], 336)
"""Training labels of mean 0 and standard deviation 1."""


@pytest.mark.parametrize(
    ("mean", "wrong"), [(1.9, False), (2.0, False), (2.1, True), (-1.9, False), (-2.0, False), (-2.1, True)]
)
def test_a_mean_two_deviations_away_is_as_far_as_drift_goes(mean, wrong):
    truth = np.tile([mean + 0.5, mean - 0.5], 168)
    found, words = level("regression", truth, FLAT, FLAT[:336], FLAT)
    said = f"label mean {level_words(truth, FLAT)}; champion's scores {level_words(FLAT[:336], FLAT)}"
    if wrong:
        assert (found.verdict, words) == (FAIL, f"labels look recoded or rescaled: {said}")
        assert (found.n, found.statistic, found.interval) == (336, None, None)
    else:
        assert (found.verdict, words) == (PASS, f"{said}: as drift does, not as a mistake would")


@pytest.mark.parametrize(("spread", "wrong"), [(3.0, False), (3.1, True), (1.0, False), (0.34, False), (0.33, True)])
def test_a_spread_three_times_as_large_or_small_is_of_another_unit(spread, wrong):
    truth = np.tile([0.5 + spread, 0.5 - spread], 168)
    found, words = level("regression", truth, FLAT, FLAT[:336], FLAT)
    assert found.verdict is (FAIL if wrong else PASS)
    assert words.startswith("labels look recoded or rescaled: " if wrong else "label mean ")
    still, _ = level("regression", np.tile([spread, -spread], 168), FLAT, FLAT[:336], FLAT)
    assert still.verdict is PASS, "of a mean that did not move nothing is said"
    small, _ = level("regression", truth / 100, FLAT / 100, FLAT[:336] / 100, FLAT / 100)
    assert small.verdict is found.verdict, "whatever the unit"


def test_a_third_of_the_spread_is_as_small_as_it_may_be():
    found, _ = level("regression", np.tile([1.5, -0.5], 168), FLAT * 3, FLAT[:336], FLAT)
    assert found.verdict is PASS


@pytest.mark.parametrize(("ones", "wrong"), [(5, True), (4, False), (3, False)])
def test_a_rate_nearer_to_its_mirror_image_than_to_itself_was_recoded(ones, wrong):
    """Training labels of rate 1/4; a rate of 4/8 lies midway to 3/4."""
    training = np.tile([1, 0, 0, 0], 168)
    truth = np.tile([1] * ones + [0] * (8 - ones), 42)
    scores = np.tile([0.5, 0.125], 336)
    found, words = level("binary", truth, training, scores[:336], scores)
    assert words.startswith("labels look recoded" if wrong else f"label mean {ones / 8:.4g}, by training rows [0.25, ")
    assert ("labels look recoded or rescaled" in words) is wrong
    assert words.endswith("as drift does, not as a mistake would") is not wrong
    back, said = level("binary", 1 - truth, 1 - training, 1 - scores[:336], 1 - scores)
    assert ("labels look recoded or rescaled" in said) is wrong
    assert (found.verdict is FAIL, back.verdict is FAIL) == (wrong, wrong)


def test_labels_that_moved_with_the_champions_scores_are_drift():
    found, words = level("regression", FLAT[:336] + 9, FLAT, FLAT[:336] + 5, FLAT)
    assert found.verdict is PASS
    assert words.endswith(
        f"champion's scores {level_words(FLAT[:336] + 5, FLAT)}: as drift does, not as a mistake would"
    )


@pytest.mark.parametrize(("mean", "moved"), [(0.75, True), (1.0, False), (1.25, True)])
def test_a_mean_on_the_border_of_the_band_has_not_moved(mean, moved):
    """Where training labels are one value, the band is that value."""
    truth = np.tile([mean + 0.5, mean - 0.5], 168)
    found, words = level("regression", truth, np.ones(672), FLAT[:336], FLAT)
    said = f"label mean {mean:.4g}, by training rows [1, 1]"
    assert words == (
        f"labels look recoded or rescaled: {said}; champion's scores 0, by training rows [0, 0]" if moved else said
    )
    assert found.verdict is (FAIL if moved else PASS)


def test_labels_of_any_dtype_are_numbers():
    """A lake gives back objects where a column held a null once."""
    plain = rows("regression", NUMBERS, SIGNAL, BEFORE, BEFORE)
    objects = {name: getattr(plain, name).astype(object) for name in ("evaluation", "training", "champion_training")}
    assert labels(replace(plain, **objects)) == labels(plain)


# --- leakage


def test_features_that_know_the_label_are_named_the_first_five():
    features = pd.DataFrame(np.zeros((7, 3)), columns=["x", "y", "z"])

    def leaked(verdict, words, **numbers):
        return GateResult(gate="leakage", verdict=verdict, words=words, **numbers)

    none = leaked(
        PASS, "none of 3 features gives the label away by itself", statistic=0.0, threshold=0.0, n=7
    )  # fmt: skip
    assert leakage([], features) == none
    assert leakage(None, features) == leaked(INCONCLUSIVE, "the single-feature probe did not run")
    named = ", ".join(f"f{n} (0.99{n})" for n in range(5))
    words = f"features that know the label: {named}; remove them or show that they are known in time"
    found = leakage([(f"f{n}", 0.99 + n / 1000) for n in range(6)], features)
    assert found == leaked(FAIL, words, statistic=6.0, threshold=0.0, n=7)
