"""The search: seeded, validated in time order, within its budget, and honest about what failed."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.learning.errors import AllCandidatesFailed, EstimatorRefused
from retrain_pipeline.learning.fitting import fit_candidates
from retrain_pipeline.learning.frames import Frames
from retrain_pipeline.learning.search import drawn_settings
from retrain_pipeline.learning.validation import validation_split
from retrain_pipeline.spec.model import Candidate
from retrain_pipeline_tests.learning.small_world import declared


def frames(task="binary", rows=240, seed=0) -> Frames:
    rng = np.random.default_rng(seed)
    x = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows), "c": rng.choice(["u", "v"], rows)})
    signal = x["a"] + (x["c"] == "u") + rng.normal(0, 0.3, rows)
    y = {
        "regression": signal.to_numpy(),
        "binary": (signal > 0.5).to_numpy().astype(np.int64),
        "multiclass": np.select([signal > 1, signal < 0], ["high", "low"], "mid"),
    }[task]
    times = pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC", unit="us")
    keys = pd.DataFrame({"id": range(rows), "_event_time": times})
    return Frames(x, y, keys, x.iloc[:0], y[:0], keys.iloc[:0], task)


def spec(task="binary", **candidates):
    changes = {name: candidates.pop(name) for name in ("budget", "max_trials", "seed") if name in candidates}
    return declared(task, candidates=candidates, **changes) if candidates else declared(task, **changes)


ODD = "retrain_pipeline_tests.learning.odd_estimators"
GRID = {"max_depth": [1, 3], "min_samples_leaf": [5, 20]}
TREE = {"estimator": "sklearn.tree.DecisionTreeClassifier", "search": GRID}
FAILING = {"estimator": f"{ODD}.Failing"}
NAN = {"estimator": f"{ODD}.NotANumber"}


@pytest.mark.parametrize("task", ["binary", "regression", "multiclass"])
def test_the_winner_beats_the_dummy_and_is_refitted_on_all_rows(task):
    result = fit_candidates(spec(task), frames(task))
    assert result.best.name == "tree"
    assert result.best.validation_loss == min(trial.loss for trial in result.trials)
    assert result.best.validation_loss < result.baselines["dummy"].validation_loss
    assert set(result.baselines) == {"dummy", "linear"}
    tree = result.best.pipeline.named_steps["estimator"].tree_
    assert tree.n_node_samples[0] == 240
    assert result.split.kind == "time"
    assert result.complete


@pytest.mark.fault("P28")
@pytest.mark.requirement("D1")
def test_the_same_seed_gives_the_same_search_and_the_same_model():
    forest = {"estimator": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 5},
              "search": {"max_depth": list(range(1, 40))}}  # fmt: skip
    one, two = (fit_candidates(spec(forest=forest, max_trials=3), frames()) for _ in range(2))
    assert [trial.params for trial in one.trials] == [trial.params for trial in two.trials]
    x = frames().train_x
    assert np.array_equal(one.best.pipeline.predict_proba(x), two.best.pipeline.predict_proba(x))
    other = fit_candidates(spec(forest=forest, max_trials=3, seed=1), frames())
    assert [trial.params for trial in other.trials] != [trial.params for trial in one.trials]


def test_settings_are_drawn_without_replacement_and_small_grids_are_tried_whole():
    candidate = Candidate(estimator="a.B", search={"x": list(range(10)), "y": [1, 2]})
    drawn = drawn_settings(candidate, 8, 3)
    assert len({tuple(sorted(one.items())) for one in drawn}) == 8
    assert len(drawn_settings(candidate, 100, 3)) == 20
    assert drawn_settings(Candidate(estimator="a.B"), 8, 0) == [{}]


def test_validation_rows_are_the_newest():
    data = frames()
    split = validation_split(data, 0.2)
    times = data.train_keys["_event_time"]
    assert len(split.validation) == 48
    assert times.iloc[split.fit].max() < times.iloc[split.validation].min()


def test_rows_of_one_moment_stay_on_one_side():
    data = frames()
    keys = data.train_keys.assign(_event_time=data.train_keys["_event_time"].dt.floor("D"))
    split = validation_split(Frames(data.train_x, data.train_y, keys, data.eval_x, data.eval_y, keys, "binary"), 0.2)
    shared = set(keys["_event_time"].iloc[split.fit]) & set(keys["_event_time"].iloc[split.validation])
    assert not shared
    at_once = keys.assign(_event_time=keys["_event_time"].iloc[0])
    split = validation_split(Frames(data.train_x, data.train_y, at_once, data.eval_x, data.eval_y, keys, "binary"), 0.2)
    assert (len(split.fit), len(split.validation)) == (192, 48)


@pytest.mark.fault("I24")
@pytest.mark.parametrize("at", [0, 100, 239])
def test_a_class_with_one_row_does_not_stop_the_search(at):
    data = frames("multiclass")
    y = data.train_y.astype("<U5")
    y[at] = "rare"
    result = fit_candidates(
        spec("multiclass"), Frames(data.train_x, y, data.train_keys, data.eval_x, y[:0], data.eval_keys, "multiclass")
    )
    assert math.isfinite(result.best.validation_loss)
    assert "rare" in result.best.pipeline.classes_
    assert result.split.kind == ("time" if at < 192 else "time within class")


@pytest.mark.fault("I24")
def test_a_class_that_comes_last_degrades_the_split_the_same_way_each_time():
    data = frames()
    y = np.zeros(240, dtype=np.int64)
    y[-3:] = 1
    late = Frames(data.train_x, y, data.train_keys, data.eval_x, y[:0], data.eval_keys, "binary")
    one, two = validation_split(late, 0.4), validation_split(late, 0.4)
    assert one.kind == "time within class"
    assert set(y[one.fit]) == {0, 1}
    assert np.array_equal(one.validation, two.validation)
    assert 239 in one.validation
    assert len(validation_split(late, 0.2).validation) == 47  # three rows have no fifth
    assert math.isfinite(fit_candidates(spec(), late).best.validation_loss)


def test_tiny_classes_leave_one_row_to_validate_on():
    data = frames(rows=4)
    y = np.array([0, 0, 1, 2]).astype(str)
    tiny = Frames(data.train_x, y, data.train_keys, data.eval_x, y[:0], data.eval_keys, "multiclass")
    split = validation_split(tiny, 0.25)
    assert split.validation.tolist() == [1]


@pytest.mark.fault("P27")
@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (FAILING, "RuntimeError: this estimator always fails"),
        (NAN, "answers for 48 of 48 rows are not finite"),
        (
            {"estimator": "sklearn.neural_network.MLPClassifier", "params": {"max_iter": 2}},
            "ConvergenceWarning: .*Maximum iterations",
        ),
        ({"estimator": f"{ODD}.Hungry"}, "out of memory"),
        ({"estimator": "sklearn.tree.DecisionTreeClassifier", "params": {"max_depth": -3}}, "InvalidParameterError"),
    ],
)
def test_a_failed_fit_is_recorded_and_loses(candidate, reason):
    result = fit_candidates(spec(odd=candidate, tree=TREE), frames())
    odd = next(trial for trial in result.trials if trial.candidate == "odd")
    assert (odd.status, odd.loss) == ("failed", None)
    assert pd.Series([odd.reason]).str.contains(reason).all(), odd.reason
    assert result.best.name == "tree"


@pytest.mark.fault("P27")
def test_when_all_candidates_fail_there_is_no_winner():
    with pytest.raises(AllCandidatesFailed, match="the champion stays") as caught:
        fit_candidates(spec(odd=FAILING, nan=NAN), frames())
    assert set(caught.value.reasons) == {"odd", "nan"}


@pytest.mark.fault("P27")
def test_a_winner_that_fails_on_all_rows_gives_way_to_the_next():
    # It fits 192 rows and fails on 240.
    late = {"estimator": f"{ODD}.FailsOnMany", "search": GRID}
    result = fit_candidates(spec(late=late, tree=TREE), frames())
    failed = next(trial for trial in result.trials if trial.candidate == "late" and trial.reason)
    assert result.best.name == "tree"
    assert failed.reason.startswith("refit on all training rows: RuntimeError")


@pytest.mark.fault("P27")
def test_a_refit_that_answers_nan_gives_way_too():
    late = {"estimator": f"{ODD}.NotANumberOnMany", "search": GRID}
    result = fit_candidates(spec(late=late, tree=TREE), frames())
    assert result.best.name == "tree"
    assert any("not finite" in trial.reason for trial in result.trials if trial.candidate == "late")


def test_a_wrong_declaration_is_an_error_and_no_failed_trial():
    with pytest.raises(EstimatorRefused, match="did you mean 'max_depth'"):
        fit_candidates(spec(tree={**TREE, "params": {"max_deph": 1}}), frames())


@pytest.mark.fault("P27")
def test_a_fit_that_alone_crosses_the_budget_is_no_candidate():
    slow = {"estimator": f"{ODD}.Slow", "params": {"seconds": 0.6}}
    result = fit_candidates(spec(tree=TREE, slow=slow, budget={"wall_seconds": 0.5}, max_trials=1), frames())
    trial = next(trial for trial in result.trials if trial.candidate == "slow")
    assert trial.status == "over budget"
    assert trial.loss is None
    assert trial.wall_seconds >= 0.6
    assert not result.complete
    assert result.best.name == "tree"


def test_memory_counts_at_its_peak_and_not_at_the_end():
    hungry = {"estimator": f"{ODD}.Swelling", "params": {"mb": 400}}
    from retrain_pipeline.learning.budget import rss_mb

    limit = rss_mb() + 200
    result = fit_candidates(spec(swell=hungry, tree=TREE, budget={"peak_rss_mb": limit}), frames())
    trial = next(trial for trial in result.trials if trial.candidate == "swell")
    assert trial.status == "over budget", trial
    assert "MB of" in trial.reason
    assert trial.peak_rss_mb > limit
    assert result.best.name == "tree"


def test_the_budget_ends_the_search_after_every_candidate_had_a_turn():
    slow = {
        "estimator": f"{ODD}.Slow",
        "search": {"seconds": [0.25, 0.3, 0.35]},
    }
    seen = []
    result = fit_candidates(
        spec(slow=slow, tree=TREE, budget={"wall_seconds": 0.6}), frames(), progress=lambda *told: seen.append(told)
    )
    status = [(trial.candidate, trial.status) for trial in result.trials]
    assert ("tree", "ok") in status
    assert ("slow", "ok") in status
    assert "skipped" in {one for _, one in status}
    assert not result.complete
    assert [(done, total) for done, total, _ in seen] == [(at + 1, 7) for at in range(7)]
    assert "training.budget.wall_seconds" in result.trials[-1].reason


def test_no_memory_left_at_the_start_skips_all():
    with pytest.raises(AllCandidatesFailed, match="peak_rss_mb"):
        fit_candidates(spec(tree=TREE, budget={"peak_rss_mb": 1}), frames())


def relabelled(data: Frames, y: np.ndarray) -> Frames:
    return dataclasses.replace(data, train_y=y)


@pytest.mark.fault("P27")
def test_nan_is_never_better_under_any_metric():
    problem = declared().problem.model_dump() | {"success": {"metric": "error", "at_most": 1.0}}
    with pytest.raises(AllCandidatesFailed):
        fit_candidates(declared(problem=problem, candidates={"nan": NAN}), frames())


def test_the_metric_decides_the_dummy():
    data = frames("regression")
    skewed = relabelled(data, np.exp(3 * data.train_y))
    problem = declared("regression").problem.model_dump() | {"success": {"metric": "rmse", "at_most": 1e9}}
    middle = fit_candidates(declared("regression"), skewed).baselines["dummy"].params["strategy"]
    mean = fit_candidates(declared("regression", problem=problem), skewed).baselines["dummy"].params["strategy"]
    assert (middle, mean) == ("median", "mean")


def test_a_baseline_that_cannot_be_fitted_is_missing_and_on_record():
    # The variance of such a column overflows: the linear model is given no number, boosted trees still are.
    data = frames("regression")
    huge = dataclasses.replace(data, train_x=data.train_x.assign(a=data.train_x["a"] * 1e200))
    boosting = {"estimator": "sklearn.ensemble.HistGradientBoostingRegressor", "params": {"max_iter": 5}}
    with np.errstate(all="ignore"):
        result = fit_candidates(spec("regression", tree=boosting), huge)
    assert result.best.name == "tree"
    assert "linear" not in result.baselines
    assert next(trial.status for trial in result.trials if trial.candidate == "linear") == "failed"
