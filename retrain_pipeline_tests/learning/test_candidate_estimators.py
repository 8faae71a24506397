"""Estimators by import path, their parameters, and the preprocessing in front of them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_pipeline.learning.candidates import (
    MAX_CATEGORIES,
    build_estimator,
    build_pipeline,
    plan_columns,
    resolve_estimator,
)
from retrain_pipeline.learning.errors import EstimatorRefused, FeaturesMissing
from retrain_pipeline.learning.prediction import predict
from retrain_pipeline.spec.model import Candidate

RNG = np.random.default_rng(1)
X = pd.DataFrame(
    {
        "b": RNG.normal(size=120),
        "a": np.where(np.arange(120) % 7 == 0, np.nan, RNG.normal(size=120)),
        "town": [None if at % 11 == 0 else "uvw"[at % 3] for at in range(120)],
    }
)
Y = (X["b"] > 0).to_numpy().astype(int)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "sklearn.ensemble.HistGradientBoostingRegresor",
            "did you mean sklearn.ensemble.HistGradientBoostingRegressor",
        ),
        ("sklearn.nothing.Ridge", "No module named 'sklearn.nothing'; install its package or correct the path"),
        ("no_such_package.Model", "No module named 'no_such_package'"),
        ("os.system", "no class with fit and predict"),
        ("collections.Counter", "no class with fit and predict"),
        ("sklearn.preprocessing.StandardScaler", "no class with fit and predict"),
    ],
)
def test_a_path_that_names_no_estimator_is_refused_with_the_nearest_name(path, words):
    with pytest.raises(EstimatorRefused, match=words):
        resolve_estimator(path)


@pytest.mark.parametrize(
    ("path", "params", "task", "words"),
    [
        ("sklearn.linear_model.Ridge", {}, "binary", "is no classifier, and the label's task is binary"),
        ("sklearn.linear_model.LogisticRegression", {}, "regression", "is no regressor"),
        ("sklearn.linear_model.Ridge", {"alhpa": 1}, "regression", "no parameter 'alhpa'; did you mean 'alpha'"),
        ("sklearn.cluster.KMeans", {}, "binary", "is no classifier"),
        ("sklearn.ensemble.VotingRegressor", {}, "regression", "estimators"),
    ],
)
def test_an_estimator_that_does_not_fit_is_refused(path, params, task, words):
    with pytest.raises(EstimatorRefused, match=words):
        build_estimator(Candidate(estimator=path), params, task, 0)


@pytest.mark.requirement("A18")
def test_seed_and_threads_are_set_where_the_estimator_has_them_and_the_team_did_not():
    forest = Candidate(estimator="sklearn.ensemble.RandomForestClassifier", params={"n_estimators": 3})
    found = build_estimator(forest, {"max_depth": 2}, "binary", 7, threads=2)
    assert (found.random_state, found.n_jobs, found.max_depth, found.n_estimators) == (7, 2, 2, 3)
    own = Candidate(estimator="sklearn.ensemble.RandomForestClassifier", params={"random_state": 1})
    assert build_estimator(own, {}, "binary", 7).random_state == 1
    boosted = Candidate(estimator="lightgbm.LGBMClassifier")
    assert build_estimator(boosted, {}, "binary", 7, threads=1).n_jobs == 1
    assert build_estimator(Candidate(estimator="sklearn.naive_bayes.GaussianNB"), {}, "binary", 7).get_params()


@pytest.mark.fault("I22")
def test_empty_and_constant_columns_are_dropped_by_a_recorded_rule():
    frame = X.assign(none=np.nan, nothing=None, one=1.0, word="w", **{"one or missing": X["a"].where(X["a"].isna(), 1)})
    plan = plan_columns(frame)
    assert plan.dropped == {"none": "all missing", "nothing": "all missing", "one": "constant", "word": "constant"}
    assert plan.used == ["a", "b", "one or missing", "town"]
    pipeline = build_pipeline(Candidate(estimator="sklearn.naive_bayes.GaussianNB"), {}, frame, "binary", 0)
    assert np.isfinite(pipeline.fit(frame, Y).predict_proba(frame)).all()


@pytest.mark.fault("I22")
def test_no_feature_left_is_said():
    with pytest.raises(FeaturesMissing, match="no feature is left"):
        plan_columns(pd.DataFrame({"one": [1.0, 1.0]}))


ESTIMATORS = [
    "sklearn.ensemble.HistGradientBoostingClassifier",
    "sklearn.ensemble.RandomForestClassifier",
    "sklearn.ensemble.GradientBoostingClassifier",
    "sklearn.linear_model.LogisticRegression",
    "sklearn.linear_model.SGDClassifier",
    "sklearn.neighbors.KNeighborsClassifier",
    "sklearn.svm.SVC",
    "sklearn.tree.DecisionTreeClassifier",
    "lightgbm.LGBMClassifier",
]
FAST = {
    "HistGradientBoostingClassifier": {"max_iter": 5},
    "RandomForestClassifier": {"n_estimators": 5},
    "GradientBoostingClassifier": {"n_estimators": 5},
    "LGBMClassifier": {"n_estimators": 5, "verbose": -1, "min_child_samples": 5},
}


@pytest.mark.requirement("D40")
@pytest.mark.parametrize("path", ESTIMATORS)
def test_any_estimator_takes_numbers_with_gaps_and_categories(path):
    candidate = Candidate(estimator=path, params=FAST.get(path.rpartition(".")[2], {}))
    pipeline = build_pipeline(candidate, {}, X, "binary", 0).fit(X, Y)
    told = predict(pipeline, "binary", X).frame
    assert (told["prediction"] == Y).mean() > 0.7


def test_numbers_are_scaled_only_for_estimators_that_cannot_take_gaps():
    tree = build_pipeline(Candidate(estimator="sklearn.tree.DecisionTreeClassifier"), {}, X, "binary", 0)
    line = build_pipeline(Candidate(estimator="sklearn.linear_model.LogisticRegression"), {}, X, "binary", 0)
    steps = [{name: one for name, one, _ in pipe.named_steps["prepare"].transformers} for pipe in (tree, line)]
    assert steps[0]["numbers"] == "passthrough"
    assert [name for name, _ in steps[1]["numbers"].steps] == ["impute", "scale"]


@pytest.mark.fault("I26")
def test_a_category_like_an_id_costs_bounded_columns():
    frame = pd.DataFrame({"id": [f"id-{at}" for at in range(5000)], "x": RNG.normal(size=5000)})
    y = (frame["x"] > 0).to_numpy().astype(int)
    pipeline = build_pipeline(Candidate(estimator="sklearn.tree.DecisionTreeClassifier"), {}, frame, "binary", 0)
    pipeline.fit(frame, y)
    assert pipeline.named_steps["prepare"].transform(frame).shape == (5000, MAX_CATEGORIES + 1)


@pytest.mark.fault("I4")
@given(st.permutations(list(X.columns)))
def test_the_order_of_columns_decides_nothing(columns):
    candidate = Candidate(estimator="sklearn.tree.DecisionTreeClassifier", params={"max_depth": 3})
    one = build_pipeline(candidate, {}, X, "binary", 0).fit(X, Y)
    other = build_pipeline(candidate, {}, X[columns], "binary", 0).fit(X[columns], Y)
    assert np.array_equal(one.predict_proba(X), other.predict_proba(X[columns]))
