"""The training window: a shorter one is taken after a change, beyond noise, and refitted as it was chosen."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.learning.budget import Purse
from retrain_pipeline.learning.build import build_candidate
from retrain_pipeline.learning.fitting import fit_candidates, refit
from retrain_pipeline.learning.frames import Frames
from retrain_pipeline.learning.reproduce import reproduce
from retrain_pipeline.learning.training_set import freeze_training_set, read_training_set
from retrain_pipeline.learning.versions import load_version
from retrain_pipeline.learning.windows import choose_window
from retrain_pipeline_tests.learning.small_world import day, declared, labels_of, raw_day

DAYS = 60
REGRESSION_TREE = {"estimator": "sklearn.tree.DecisionTreeRegressor", "params": {"min_samples_leaf": 20}}


def frames(changed_on: int | None = None, seed: int = 0) -> Frames:
    """Return hourly rows of sixty days, the last two of which judge; on a day the effect of `a` may turn round."""
    rng = np.random.default_rng(seed)
    rows = DAYS * 24
    x = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows)})
    times = pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC", unit="us")
    slope = np.where(np.arange(rows) < 24 * (changed_on or 0), -1.0, 1.0)
    y = slope * x["a"].to_numpy() + rng.normal(0, 0.3, rows)
    keys = pd.DataFrame({"id": range(rows), "_event_time": times})
    cut = rows - 48
    parts = [part for at in (slice(cut), slice(cut, None)) for part in (x.iloc[at], y[at], keys.iloc[at])]
    train, judged = (
        [one.reset_index(drop=True) if hasattr(one, "iloc") else one for one in side] for side in (parts[:3], parts[3:])
    )
    return Frames(*train, *judged, "regression")


def spec(choices=(6, 20), **changes):
    candidates = changes.pop("candidates", {"tree": REGRESSION_TREE})
    return declared("regression", window_periods=DAYS, window_choices=choices, candidates=candidates, **changes)


def samples(result) -> int:
    return int(result.best.pipeline.named_steps["estimator"].tree_.n_node_samples[0])


@pytest.mark.requirement("D51")
def test_after_a_change_the_shorter_window_is_taken_and_refitted_up_to_now():
    result = fit_candidates(spec(), frames(changed_on=40))
    window = result.best.window
    assert window.periods == 6
    assert window.train_rows == samples(result) == 4 * 24
    assert window.train_from == "2024-02-24T00:00:00+00:00"
    whole = fit_candidates(spec(()), frames(changed_on=40))
    assert result.best.validation_loss < whole.best.validation_loss
    assert whole.best.window is None
    assert samples(whole) == (DAYS - 2) * 24
    # The shorter one of the two was compared with the one that had won before it.
    assert [(one.periods, one.against, one.taken) for one in result.windows] == [(20, 60, True), (6, 20, True)]


@pytest.mark.requirement("D16")
def test_without_a_change_the_longest_window_is_kept_and_the_comparisons_are_on_record():
    for seed in range(5):
        result = fit_candidates(spec(), frames(seed=seed))
        assert result.best.window is None
        assert samples(result) == (DAYS - 2) * 24
        assert [(one.periods, one.against, one.taken) for one in result.windows] == [(20, 60, False), (6, 60, False)]
        assert all(one.low <= one.difference <= one.high for one in result.windows)


def test_a_window_that_is_lower_within_noise_is_not_taken():
    moments = pd.date_range("2024-01-01", periods=480, freq="h", tz="UTC")
    taken = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        losses = {26: rng.normal(size=480), 4: rng.normal(size=480)}
        taken += choose_window(losses, moments, block_hours=24, seed=seed)[0] == 4
    assert taken <= 4  # 1 in a hundred is stated


def test_too_few_blocks_choose_nothing():
    moments = pd.date_range("2024-01-01", periods=72, freq="h", tz="UTC")
    window, (step,) = choose_window({26: np.ones(72), 4: np.zeros(72)}, moments, block_hours=24, seed=0)
    assert (window, step.blocks, step.taken) == (26, 3, False)


def test_each_candidate_is_tried_on_each_window_with_its_best_setting():
    grid = {"estimator": REGRESSION_TREE["estimator"], "search": {"max_depth": [1, 5]}}
    ridge = {"estimator": "sklearn.linear_model.Ridge"}
    result = fit_candidates(spec(candidates={"tree": grid, "ridge": ridge}), frames(changed_on=40))
    tried = [(one.candidate, one.params, one.window) for one in result.trials]
    assert tried[:3] == [("tree", {"max_depth": 1}, None), ("ridge", {}, None), ("tree", {"max_depth": 5}, None)]
    best = min((one for one in result.trials[:3] if one.candidate == "tree"), key=lambda one: one.loss).params
    assert sorted(tried[3:], key=str) == sorted(
        [(name, params, window) for window in (20, 6) for name, params in (("tree", best), ("ridge", {}))], key=str
    )
    assert (result.best.name, result.best.window.periods) == ("ridge", 6)


def test_the_budget_bounds_the_windows_too(monkeypatch):
    class Poor(Purse):
        looks = 0

        def spent(self):
            self.looks += 1
            return None if self.looks == 1 else "nothing is left"

    monkeypatch.setattr("retrain_pipeline.learning.search.Purse", Poor)
    result = fit_candidates(spec(), frames(changed_on=40))
    assert not result.complete
    assert result.best.window is None
    assert [one.status for one in result.trials] == ["ok", "skipped", "skipped"]


def test_windows_that_hold_all_there_is_are_not_tried():
    result = fit_candidates(spec((59, 60)), frames())
    assert [one.window for one in result.trials] == [None]
    assert result.windows == ()


def test_half_of_the_window_is_tried_where_nothing_is_declared():
    assert [one.window for one in fit_candidates(spec(None), frames()).trials] == [None, DAYS // 2]
    assert declared(window_periods=5, window_choices=None, min_periods=3).training.shorter_windows == ()


def test_a_window_without_rows_enough_or_a_class_is_a_failed_trial():
    (trial,) = [one for one in fit_candidates(spec((3,)), frames()).trials if one.window]
    assert (trial.status, trial.loss) == ("failed", None)
    assert "33 rows, at least 50" in trial.reason  # a day, and the nine hours until validation begins
    data = frames()
    late = dataclasses.replace(data, train_y=np.arange(len(data.train_y)) % 400 < 3, task="binary")
    late = dataclasses.replace(late, train_y=late.train_y.astype(np.int64))
    tree = {"estimator": "sklearn.tree.DecisionTreeClassifier"}
    binary = declared("binary", window_periods=DAYS, window_choices=(6,), candidates={"tree": tree})
    (trial,) = [one for one in fit_candidates(binary, late).trials if one.window]
    assert "lacks a class" in trial.reason


@pytest.mark.requirement("A6", "D1")
def test_a_version_says_its_window_and_is_reproduced_with_it(world):
    there = world(
        declared(
            "regression",
            window_choices=(4,),
            candidates={"ridge": {"estimator": "sklearn.linear_model.Ridge"}},
            gates={"block_hours": 2},
        )
    )
    raws = [raw_day(number, task="regression") for number in range(12)]
    for number, raw in enumerate(raws):
        raw["paid"] = raw["paid"] * (1 if number >= 5 else -1)
        there.put_raw(raw)
    there.put_features([f"2024-01-{number + 1:02}" for number in range(12)])
    there.put_labels(pd.concat([labels_of(raw) for raw in raws]))
    frozen = freeze_training_set(there.stores, there.spec, day(12))
    trigger = {"kind": "manual", "id": "test"}
    manifest = build_candidate(there.stores, there.declaration, frozen, trigger=trigger, run_id="run-1", actor="tester")
    assert (manifest.window.periods, manifest.window.train_rows, frozen.train_rows) == (4, 120, 360)
    assert manifest.window.train_from == day(6).isoformat()
    assert reproduce(there.stores, there.declaration, manifest.version).same
    board = there.stores.artifacts.get_json(manifest.leaderboard)
    assert board["window"] == manifest.window.model_dump(mode="json")
    assert [one["window"] for one in board["trials"]] == [None, 4]
    assert [(one["periods"], one["taken"]) for one in board["windows"]] == [(4, True)]
    loaded = load_version(there.stores, "loans", manifest.version)
    assert loaded.manifest == manifest
    # Fitted on the whole frozen set it is another model: the window is needed to make this one again.
    frames = read_training_set(there.stores, frozen)
    whole = refit(there.spec, there.spec.training.candidates["ridge"], {}, frames, manifest.seed)
    assert not np.allclose(whole.predict(frames.eval_x), loaded.predict(frames.eval_x).frame["prediction"])
