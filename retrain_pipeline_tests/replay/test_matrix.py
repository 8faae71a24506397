"""The loss matrix: what is in it, that it comes from the past only, and that it goes on where it stopped."""

from dataclasses import replace

import numpy as np
import pytest

from retrain_pipeline.learning.errors import EstimatorRefused
from retrain_pipeline.replay.errors import HistoryRefused
from retrain_pipeline.replay.matrix import MIN_FIRST, Recipe, fit_at, loss_matrix, losses_from
from retrain_pipeline.spec.model import Candidate
from retrain_pipeline_tests.replay.conftest import LOGISTIC


def test_a_cell_is_the_mean_loss_of_the_model_fitted_before(history, recipe, tmp_path):
    matrix = loss_matrix(history, recipe, tmp_path / "cache")
    s, t = 5, 9
    losses = losses_from(history, fit_at(history, recipe, s), s)
    begin, end = history.starts[t] - history.starts[s], history.starts[t + 1] - history.starts[s]
    assert matrix.mean[s, t] == pytest.approx(losses[begin:end].mean())
    assert matrix.of(s, t) == pytest.approx(losses[begin:end])
    assert np.isnan(matrix.mean[s, :s]).all()
    assert np.isnan(matrix.mean[:MIN_FIRST]).all()
    # the change at batch 7: models from before it are wrong after it, models from after are right again
    assert matrix.mean[6, 8] > 0.6
    assert matrix.mean[10, 12] < 0.25


@pytest.mark.fault("I29")
def test_what_comes_later_changes_no_earlier_model(history, recipe, tmp_path):
    whole = loss_matrix(history, recipe, tmp_path / "whole")
    other = history.features.copy()
    other.loc[history.starts[9] :, "a"] = 0.0
    y = history.y.copy()
    y[history.starts[9] :] = 1 - y[history.starts[9] :]
    changed = loss_matrix(replace(history, features=other, y=y), recipe, tmp_path / "changed")
    assert np.array_equal(whole.mean[:9, :9], changed.mean[:9, :9], equal_nan=True)
    assert not np.array_equal(whole.mean[5, 9:], changed.mean[5, 9:])


def test_an_interrupted_matrix_goes_on_and_is_the_same(history, recipe, tmp_path):
    seen: list[tuple[int, int]] = []
    whole = loss_matrix(history, recipe, tmp_path / "cache", progress=lambda done, total: seen.append((done, total)))
    assert (seen[0], seen[-1]) == ((0, 12), (12, 12))
    folder = tmp_path / "cache" / recipe.digest(history)
    for s in (4, 7):
        (folder / f"{s:05d}.npy").unlink()
    kept = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    seen.clear()
    again = loss_matrix(history, recipe, tmp_path / "cache", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(10, 12), (11, 12), (12, 12)]
    assert np.array_equal(whole.mean, again.mean, equal_nan=True)
    assert kept.items() <= {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}.items()


def test_two_processes_give_the_same_matrix(history, recipe, tmp_path):
    alone = loss_matrix(history, recipe, tmp_path / "alone")
    shared = loss_matrix(history, recipe, tmp_path / "shared", workers=2)
    assert np.array_equal(alone.mean, shared.mean, equal_nan=True)


def test_another_recipe_or_other_rows_are_another_matrix(history, recipe):
    other = history.features.copy()
    other.loc[0, "a"] += 1e-9
    digests = {
        recipe.digest(history),
        replace(recipe, window=None).digest(history),
        replace(recipe, seed=1).digest(history),
        Recipe(LOGISTIC.model_copy(update={"params": {"C": 2.0}}), window=3).digest(history),
        recipe.digest(replace(history, features=other)),
    }
    assert len(digests) == 5
    assert recipe.digest(replace(history, known=(0,) * 15)) in digests


def test_a_recipe_that_does_not_exist_is_refused(history, tmp_path):
    wrong = Recipe(Candidate(estimator="sklearn.linear_model.LogisticRegresion"))
    with pytest.raises(EstimatorRefused, match="LogisticRegression"):
        loss_matrix(history, wrong, tmp_path / "cache")


def test_a_model_that_cannot_be_fitted_is_told_with_its_batch(history, recipe, tmp_path):
    y = history.y.copy()
    y[: history.starts[3]] = 1
    for workers in (1, 2):
        with pytest.raises(HistoryRefused, match=r"before batch 2024-01-0.*could not be fitted"):
            loss_matrix(replace(history, y=y), recipe, tmp_path / "cache", workers=workers)
