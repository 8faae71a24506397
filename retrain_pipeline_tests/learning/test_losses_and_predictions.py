"""Losses of rows, and the predictions that they are made of."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from retrain_pipeline.learning.candidates import build_pipeline
from retrain_pipeline.learning.errors import AnswersNotFinite, FeaturesMissing, LossNotComputable
from retrain_pipeline.learning.losses import mean_error, metric_value, row_losses
from retrain_pipeline.learning.prediction import predict, used_columns
from retrain_pipeline.spec.model import Candidate

finite = st.floats(-1e6, 1e6)


def told(**columns) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    return pd.DataFrame({"prediction": [0] * rows, "score": [math.nan] * rows} | columns)


@given(arrays(float, 5, elements=finite), arrays(float, 5, elements=finite))
def test_regression_losses_are_those_of_scikit_learn(y, predicted):
    frame = told(prediction=predicted)
    mae = metric_value("mae", row_losses("mae", "regression", y, frame))
    rmse = metric_value("rmse", row_losses("rmse", "regression", y, frame))
    assert mae == pytest.approx(metrics.mean_absolute_error(y, predicted))
    assert rmse == pytest.approx(metrics.root_mean_squared_error(y, predicted))


@given(arrays(np.int64, 6, elements=st.integers(0, 1)), arrays(float, 6, elements=st.floats(1e-9, 1 - 1e-9)))
def test_binary_losses_are_those_of_scikit_learn(y, score):
    frame = told(score=score, prediction=(score >= 0.5).astype(int))
    value = {name: metric_value(name, row_losses(name, "binary", y, frame)) for name in ("error", "brier", "log_loss")}
    assert value["error"] == pytest.approx(metrics.zero_one_loss(y, frame["prediction"]))
    assert value["brier"] == pytest.approx(metrics.brier_score_loss(y, score))
    assert value["log_loss"] == pytest.approx(metrics.log_loss(y, score, labels=[0, 1]), rel=1e-6)


@given(st.lists(st.sampled_from("abc"), min_size=4, max_size=4), st.integers(0, 2**31))
def test_multiclass_losses_are_those_of_scikit_learn(y, seed):
    chances = np.random.default_rng(seed).dirichlet([1, 1, 1], 4)
    columns = {f"p:{name}": chances[:, at] for at, name in enumerate("abc")}
    frame = told(prediction=np.array(list("abc"))[chances.argmax(axis=1)], score=chances.max(axis=1), **columns)
    value = {
        name: metric_value(name, row_losses(name, "multiclass", np.array(y), frame))
        for name in ("error", "brier", "log_loss")
    }
    assert value["log_loss"] == pytest.approx(metrics.log_loss(y, chances, labels=list("abc")))
    assert value["brier"] == pytest.approx(
        metrics.brier_score_loss(y, chances, labels=list("abc"), scale_by_half=False)
    )
    assert value["error"] == pytest.approx(metrics.zero_one_loss(y, frame["prediction"]))


def test_a_sure_mistake_costs_much_and_not_infinity():
    loss = row_losses("log_loss", "binary", np.array([1, 0]), told(score=[0.0, 0.0]))
    assert loss.tolist() == pytest.approx([34.54, 0.0], abs=0.01)
    never_seen = row_losses("log_loss", "multiclass", np.array(["z"]), told(**{"p:a": [1.0]}))
    assert never_seen.tolist() == pytest.approx([34.54], abs=0.01)
    assert row_losses("brier", "multiclass", np.array(["z"]), told(**{"p:a": [1.0]})).tolist() == [2.0]


def test_nothing_has_no_metric():
    assert math.isnan(metric_value("mae", np.array([])))


def test_losses_that_cannot_be_computed_are_refused():
    with pytest.raises(LossNotComputable, match="needs probabilities"):
        row_losses("brier", "binary", np.array([1]), told(prediction=[1]))
    with pytest.raises(LossNotComputable, match="p:<class>"):
        row_losses("log_loss", "multiclass", np.array(["a"]), told(prediction=["a"]))
    with pytest.raises(LossNotComputable, match="2 labels for 1 predictions"):
        row_losses("error", "binary", np.array([1, 0]), told(prediction=[1]))


X = pd.DataFrame(
    {
        "a": np.linspace(-1, 1, 60),
        "town": ["oslo", "voss", None] * 20,
        "b": [float(at % 5) if at % 6 else math.nan for at in range(60)],
    }
)


def fitted(task, estimator="sklearn.tree.DecisionTreeClassifier", params=None):
    y = {
        "regression": X["a"].to_numpy() * 10,
        "binary": (X["a"] > 0).to_numpy().astype(int),
        "multiclass": np.where(X["a"] > 0.5, "up", np.where(X["a"] < -0.5, "down", "flat")),
    }[task]
    return build_pipeline(
        Candidate(estimator=estimator), {"max_depth": 2} if params is None else params, X, task, 0
    ).fit(X, y)


def test_predictions_of_each_task():
    line = predict(fitted("regression", "sklearn.tree.DecisionTreeRegressor"), "regression", X).frame
    assert line.dtypes.astype(str).to_dict() == {"prediction": "float64", "score": "float64"}
    assert line["score"].isna().all()
    two = predict(fitted("binary"), "binary", X).frame
    assert two["prediction"].dtype == np.int64
    assert ((two["score"] >= 0.5) == (two["prediction"] == 1)).all()
    many = predict(fitted("multiclass"), "multiclass", X).frame
    assert list(many.columns) == ["prediction", "score", "p:down", "p:flat", "p:up"]
    assert many[["p:down", "p:flat", "p:up"]].max(axis=1).equals(many["score"].rename(None))
    assert set(many["prediction"]) == {"up", "flat", "down"}


def test_a_classifier_without_probabilities_has_no_score():
    flat = fitted("binary", "sklearn.linear_model.RidgeClassifier", {"alpha": 1.0})
    answers = predict(flat, "binary", X).frame
    assert answers["score"].isna().all()
    assert set(answers["prediction"]) == {0, 1}
    words = predict(fitted("multiclass", "sklearn.linear_model.RidgeClassifier", {"alpha": 1.0}), "multiclass", X).frame
    assert set(words["prediction"]) <= {"up", "flat", "down"}


@pytest.mark.fault("I27")
@pytest.mark.requirement("D19")
def test_unseen_categories_and_missing_values_are_answered_and_counted():
    pipeline = fitted("binary")
    rows = X.assign(town=["narvik", "tromso", None, "oslo"] * 15, b=math.nan)
    answers = predict(pipeline, "binary", rows)
    assert answers.unseen == {"town": 30}
    assert answers.missing == {"town": 15, "b": 60}
    assert answers.frame["score"].between(0, 1).all()
    assert predict(pipeline, "binary", X.dropna()).missing == {}


@pytest.mark.fault("I27")
def test_all_unseen_categories_fall_into_one_bucket():
    line = fitted("binary", "sklearn.linear_model.LogisticRegression", {})
    rows = X.head(3).assign(a=0.1, b=1.0, town=["narvik", "tromso", "lom"])
    assert predict(line, "binary", rows).frame["score"].nunique() == 1


@pytest.mark.fault("I3", "I4")
def test_order_and_extra_columns_do_not_matter_and_the_index_stays():
    pipeline = fitted("binary")
    rows = X[["town", "b", "a"]].assign(extra=1).set_axis([f"r{at}" for at in range(60)], axis=0)
    answers = predict(pipeline, "binary", rows).frame
    assert list(answers.index) == list(rows.index)
    assert answers["score"].tolist() == predict(pipeline, "binary", X).frame["score"].tolist()
    assert used_columns(pipeline) == (["a", "b"], ["town"])


@pytest.mark.requirement("D25")
def test_a_missing_feature_is_named_with_its_nearest():
    with pytest.raises(FeaturesMissing, match=r"\['town'\] are not in the frame; is it 'town_' now"):
        predict(fitted("binary"), "binary", X.rename(columns={"town": "town_"}))


def test_text_where_numbers_were_learned_is_refused():
    with pytest.raises(FeaturesMissing, match=r"'a': the model learned numbers.*1,234"):
        predict(fitted("binary"), "binary", X.assign(a="1,234"))


def test_no_rows_have_no_predictions():
    for task in ("regression", "binary", "multiclass"):
        estimator = (
            "sklearn.tree.DecisionTreeRegressor" if task == "regression" else "sklearn.tree.DecisionTreeClassifier"
        )
        empty = predict(fitted(task, estimator), task, X.iloc[:0])
        assert (len(empty.frame), list(empty.frame.columns)[:2]) == (0, ["prediction", "score"])


@pytest.mark.fault("P27")
def test_an_answer_that_is_no_number_is_refused():
    with pytest.raises(AnswersNotFinite, match="60 of 60 rows"):
        predict(
            fitted("binary", "retrain_pipeline_tests.learning.odd_estimators.NotANumber", {"strategy": "prior"}),
            "binary", X,
        )  # fmt: skip


def test_a_model_that_saw_one_class_only_answers_its_probability():
    for only in (0, 1):
        pipeline = build_pipeline(Candidate(estimator="sklearn.dummy.DummyClassifier"), {}, X, "binary", 0)
        answers = predict(pipeline.fit(X, np.full(60, only)), "binary", X).frame
        assert set(answers["score"]) == {float(only)}
        assert set(answers["prediction"]) == {only}


def test_the_error_of_a_mean_allows_for_neighbouring_rows_that_are_alike():
    rng = np.random.default_rng(3)
    plain, alike = rng.normal(size=1400), np.repeat(rng.normal(size=140), 10)
    assert mean_error(plain) == pytest.approx(1400**-0.5, rel=0.4)
    assert mean_error(alike) == pytest.approx(140**-0.5, rel=0.4)
    assert mean_error(np.array([1.0, 3.0])) == pytest.approx(1.0)
    assert mean_error(np.array([1.0])) == float("inf")
