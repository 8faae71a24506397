"""Fitting again, to the letter: the same seed gives the same model, other seeds as good ones, and what stops a fit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates.compatibility import Seen
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.refits import reproduced, reproducible, seed_losses, seed_noise, seed_noise_of
from retrain_pipeline.learning.fitting import refit
from retrain_pipeline.learning.prediction import predict
from retrain_pipeline.learning.reproduce import Reproduction
from retrain_pipeline.learning.windows import FitWindow
from retrain_pipeline.spec.model import Candidate
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.small import Small

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.fixture
def small(tmp_path):
    made = Small(tmp_path)
    yield made
    made.stores.close()


# --- with its own seed


def told(verdict, words, n=1):
    return GateResult(gate="reproducible", verdict=verdict, n=n, words=words)


def test_a_version_that_is_fitted_again_is_the_same_or_the_difference_is_told(small):
    words = "fitted again from its manifest, it gives the same answers"
    assert reproducible(small.stores, small.declaration, "v2") == told(PASS, words)
    small.version("v3", params={"min_samples_leaf": 9})
    found = reproducible(small.stores, small.declaration, "v3")
    assert (found.verdict, found.n) == (FAIL, 1)
    assert found.words.startswith("fitted again from its manifest, it is another model: ")
    assert "; answers: they differ by " in found.words


def test_differences_are_told_in_one_line_and_lost_data_is_no_difference_of_the_model():
    begin = "fitted again from its manifest, it is another model: "
    assert reproduced(Reproduction(False, ["code: a", "answers: b"])) == told(FAIL, f"{begin}code: a; answers: b")
    lost = Reproduction(False, ["code: a", "data: gone"])
    assert reproduced(lost) == told(INCONCLUSIVE, f"{begin}code: a; data: gone")
    assert reproduced(Reproduction(False, ["x" * 3000])).words == f"{begin}{'x' * 3000}"[:2000]
    assert reproduced(Reproduction(True, ["code: a"])).verdict is PASS


def test_a_version_that_cannot_be_fitted_again_is_inconclusive_and_says_why(small):
    small.version("v3", params={"min_samples_leaf": -1})
    for version, why in (("v3", "InvalidParameterError: "), ("v9", "model 'toy' has no version 'v9' in the ledger")):
        found = reproducible(small.stores, small.declaration, version)
        assert found == told(INCONCLUSIVE, found.words, None)
        assert found.words.startswith(f"it could not be fitted again: {why}")
    assert len(reproducible(small.stores, small.declaration, "v" * 3000).words) == 2000


# --- with other seeds


RANDOM = {"splitter": "random", "min_samples_leaf": 6}


def refitted(material, params, seed, window=None):
    """Return the mean loss of the setting on the rows that judge."""
    setting = Candidate(estimator=material.manifest.estimator, params=params)
    pipeline = refit(material.spec, setting, {}, material.frames, seed, window)
    said = predict(pipeline, material.frames.task, material.frames.eval_x).frame["prediction"]
    return float(np.abs(said - material.frames.eval_y)[material.unseen].mean())


@pytest.fixture
def lucky(small):
    """A candidate whose fit turns on its seed, against a champion that has seen rows that judge."""
    small.version("v3", params=RANDOM)
    small.version("v0", learned=200, leaf=30)
    made = small.material("v2", champion="v0")
    manifest = small.material("v3").manifest
    assert 100 < made.unseen.sum() < 200
    return replace(made, manifest=manifest)


def test_a_seed_is_judged_by_its_mean_loss_on_the_rows_that_the_champion_has_not_seen(lucky):
    found = seed_losses(lucky, [7, 8, 9])
    assert found == [pytest.approx(refitted(lucky, RANDOM, seed)) for seed in (7, 8, 9)]
    assert len(set(found)) == 3
    assert all(type(one) is float for one in found)


def test_another_seed_learns_from_the_window_of_the_first(lucky):
    window = FitWindow(periods=2, train_from=str(lucky.frames.train_keys["_event_time"].iloc[60]), train_rows=60)
    short = replace(lucky, manifest=lucky.manifest.model_copy(update={"window": window}))
    assert seed_losses(short, [8]) == [pytest.approx(refitted(lucky, RANDOM, 8, window))]
    assert seed_losses(short, [8]) != seed_losses(lucky, [8])


def test_classes_are_judged_by_the_share_that_is_named_wrongly(tmp_path):
    small = Small(tmp_path, "multiclass")
    material = small.material()
    assert seed_losses(material, [7]) == [float(material.candidate.losses.mean())]


def judged(others, own=0.8, mode="superiority", metric="mae"):
    return seed_noise(own, others, 1.0, metric=metric, margin=0.1, mode=mode)


@pytest.mark.parametrize(
    ("mode", "others", "verdict", "missed"),
    [
        ("superiority", [0.85, 0.9], PASS, 0), ("first", [0.85, 0.9999], PASS, 0),
        ("superiority", [0.85, 1.0], INCONCLUSIVE, 1), ("superiority", [1.2, 1.1], FAIL, 2),
        ("superiority", [0.9, 1.1, 1.2], INCONCLUSIVE, 2), ("superiority", [1.1], INCONCLUSIVE, 1),
        ("non_inferiority", [1.0, 1.1], PASS, 0), ("non_inferiority", [1.05, 1.11], INCONCLUSIVE, 1),
        ("non_inferiority", [1.12, 1.11], FAIL, 2),
    ],
)  # fmt: skip
def test_the_worst_seed_must_be_better_too_or_not_worse_beyond_the_margin(mode, others, verdict, missed):
    found, allowed = judged(others, mode=mode), 1.1 if mode == "non_inferiority" else 1.0
    worst, n = max(others), len(others) + 1
    words = f"mean row loss of {n} seeds: 0.8 to {worst:.4g}, own 0.8; {missed} of them miss {allowed:.4g} ({mode})"
    assert found == GateResult(
        gate="seed_noise", verdict=verdict, statistic=worst - allowed, threshold=0.0, n=n, words=words,
        interval=(0.8 - allowed, worst - allowed),
    )  # fmt: skip


def test_of_squared_errors_the_margin_is_that_of_the_root():
    assert judged([1.2], mode="non_inferiority", metric="rmse").statistic == pytest.approx(1.2 - 1.1**2)


def test_the_declared_metric_says_what_the_margin_is_of(lucky):
    problem = lucky.spec.problem
    success = problem.success.model_copy(update={"metric": "rmse"})
    spec = lucky.spec.model_copy(update={"problem": problem.model_copy(update={"success": success})})
    found = seed_noise_of(replace(lucky, spec=spec), lucky.champion, "non_inferiority", 1)
    allowed = float(lucky.champion.losses[lucky.unseen].mean()) * 1.08**2
    assert f" miss {allowed:.4g} (non_inferiority)" in found.words


def test_other_seeds_follow_the_first_and_begin_again_behind_the_last(lucky):
    last = replace(lucky, manifest=lucky.manifest.model_copy(update={"seed": 2**32 - 2}))
    reference, rows = last.champion, last.unseen
    found = seed_noise_of(last, reference, "non_inferiority", 3)
    own, theirs = float(last.candidate.losses[rows].mean()), float(reference.losses[rows].mean())
    others = [refitted(lucky, RANDOM, seed) for seed in (2**32 - 1, 0, 1)]
    wanted = seed_noise(own, others, theirs, metric="mae", margin=0.08, mode="non_inferiority")
    assert found.words == wanted.words
    assert (found.statistic, found.n) == (pytest.approx(wanted.statistic), 4)


def test_without_losses_of_both_on_some_row_there_is_nothing_to_hold_seeds_to(lucky):
    champion, seen = lucky.champion, Seen("champion", None, pd.Timestamp("2030-01-01", tz="UTC"))
    words = "no losses of candidate and reference on the same rows to hold other seeds to"
    mute = replace(lucky.candidate, losses=None)
    for material, reference in (
        (replace(lucky, candidate=mute), champion), (lucky, None), (lucky, replace(champion, losses=None)),
        (replace(lucky, champion_seen=seen), champion),
    ):  # fmt: skip
        found = seed_noise_of(material, reference, "superiority", 2)
        assert found == GateResult(gate="seed_noise", verdict=INCONCLUSIVE, words=words)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"params": {"min_samples_leaf": -1}}, "InvalidParameterError: "),
        ({"estimator": "sklearn.tree.Nothing"}, ""),
        ({"estimator": f"sklearn.tree.{'N' * 3000}"}, ""),
    ],
)
def test_a_seed_that_cannot_be_fitted_is_inconclusive_and_says_why(lucky, changed, why):
    broken = replace(lucky, manifest=lucky.manifest.model_copy(update=changed))
    found = seed_noise_of(broken, lucky.champion, "superiority", 1)
    assert found == GateResult(gate="seed_noise", verdict=INCONCLUSIVE, words=found.words)
    assert found.words.startswith(f"another seed could not be fitted: {why}")
    assert len(found.words) <= 2000
