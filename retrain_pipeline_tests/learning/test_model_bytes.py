"""Models as bytes: reviewed types only, never a pickle, and no tree that points outside itself."""

import io
import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.learning.candidates import build_pipeline
from retrain_pipeline.learning.errors import ModelDamaged, UntrustedModel
from retrain_pipeline.learning.persistence import TRUSTED, dump_model, load_model
from retrain_pipeline.learning.prediction import predict
from retrain_pipeline.learning.soundness import _check_booster, check_trees
from retrain_pipeline.spec.model import Candidate

RNG = np.random.default_rng(2)
X = pd.DataFrame({"a": RNG.normal(size=150), "b": RNG.normal(size=150), "town": RNG.choice(["u", "v", "w"], 150)})
X.loc[::9, "a"] = np.nan
X.loc[::7, "town"] = None
Y = {
    "binary": (X["b"] > 0).to_numpy().astype(np.int64),
    "regression": X["b"].to_numpy(),
    "multiclass": np.where(X["b"] > 0.5, "up", np.where(X["b"] < -0.5, "down", "flat")),
}
FEW = {"n_estimators": 4}
MODELS = {
    "sklearn.ensemble.HistGradientBoostingClassifier": {"max_iter": 4},
    "sklearn.ensemble.HistGradientBoostingRegressor": {"max_iter": 4},
    "sklearn.ensemble.RandomForestClassifier": FEW,
    "sklearn.ensemble.RandomForestRegressor": FEW,
    "sklearn.ensemble.ExtraTreesClassifier": FEW,
    "sklearn.ensemble.GradientBoostingClassifier": FEW,
    "sklearn.ensemble.GradientBoostingRegressor": FEW,
    "sklearn.ensemble.AdaBoostClassifier": FEW,
    "sklearn.tree.DecisionTreeRegressor": {},
    "sklearn.linear_model.LogisticRegression": {},
    "sklearn.linear_model.Ridge": {},
    "sklearn.linear_model.SGDClassifier": {"loss": "log_loss"},
    "sklearn.linear_model.HuberRegressor": {},
    "sklearn.naive_bayes.GaussianNB": {},
    "sklearn.neighbors.KNeighborsClassifier": {"algorithm": "brute"},
    "sklearn.neural_network.MLPRegressor": {"max_iter": 5},
    "sklearn.neural_network.MLPClassifier": {"max_iter": 5, "solver": "sgd"},
    "sklearn.svm.SVC": {},
    "sklearn.dummy.DummyClassifier": {"strategy": "prior"},
    "sklearn.dummy.DummyRegressor": {"strategy": "median"},
    "lightgbm.LGBMClassifier": {**FEW, "verbose": -1},
    "lightgbm.LGBMRegressor": {**FEW, "verbose": -1},
}


def fitted(path, params=None, task=None):
    task = task or ("regression" if path.endswith(("Regressor", "Ridge")) else "binary")
    pipeline = build_pipeline(Candidate(estimator=path, params=MODELS.get(path, {}) | (params or {})), {}, X, task, 0)
    return pipeline.fit(X, Y[task]), task


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("path", MODELS)
def test_a_model_comes_back_with_the_same_answers(path):
    pipeline, task = fitted(path)
    again = load_model(dump_model(pipeline))
    rows = X.assign(town=["new", None, "u"] * 50)
    pd.testing.assert_frame_equal(predict(again, task, rows).frame, predict(pipeline, task, rows).frame)


@pytest.mark.requirement("D40")
@pytest.mark.parametrize("path", ["lightgbm.LGBMClassifier", "sklearn.ensemble.HistGradientBoostingClassifier"])
def test_several_classes_come_back_as_words(path):
    pipeline, _ = fitted(path, task="multiclass")
    again = load_model(dump_model(pipeline))
    pd.testing.assert_frame_equal(predict(again, "multiclass", X).frame, predict(pipeline, "multiclass", X).frame)


class Boom:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was executed')",))


@pytest.mark.fault("S1")
@pytest.mark.parametrize("data", [pickle.dumps(Boom()), b"", b"no model", b"PK\x03\x04 torn"])
def test_what_is_no_skops_file_is_refused_and_nothing_runs(data):
    with pytest.raises(ModelDamaged, match="no skops model"):
        load_model(data)


@pytest.mark.fault("S1")
def test_a_pickle_inside_a_skops_file_is_not_executed():
    def forge(schema, members):
        for name in members:
            if name.endswith(".npy"):
                members[name] = pickle.dumps(Boom())

    with pytest.raises(ModelDamaged):
        load_model(forged(dump_model(fitted("sklearn.tree.DecisionTreeRegressor")[0]), forge))


def forged(data: bytes, change) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members.pop("schema.json"))
    change(schema, members)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {**members, "schema.json": json.dumps(schema).encode()}.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.fault("S2")
@pytest.mark.parametrize(
    ("module", "name"),
    [("builtins", "eval"), ("os", "system"), ("subprocess", "Popen"), ("retrain_pipeline_tests.learning.odd", "Model")],
)
def test_a_file_that_names_an_unreviewed_type_is_refused_by_name(module, name):
    def rename(schema, members):
        schema["__module__"], schema["__class__"] = module, name

    data = forged(dump_model(fitted("sklearn.linear_model.Ridge")[0]), rename)
    with pytest.raises(UntrustedModel) as caught:
        load_model(data)
    assert caught.value.types == [f"{module}.{name}"]


@pytest.mark.fault("S2")
@pytest.mark.parametrize("loader", ["FunctionNode", "MethodNode", "PartialNode", "OperatorFuncNode", "TypeNode"])
def test_a_reviewed_name_behind_another_loader_opens_no_door(loader):
    def swap(schema, members):
        schema["__module__"], schema["__class__"], schema["__loader__"] = "os", "system", loader

    data = forged(dump_model(fitted("sklearn.linear_model.Ridge")[0]), swap)
    with pytest.raises((UntrustedModel, ModelDamaged)):
        load_model(data)


@pytest.mark.fault("S2")
def test_an_unreviewed_estimator_is_refused_when_it_is_written():
    pipeline, _ = fitted("retrain_pipeline_tests.learning.odd_estimators.Slow", {"seconds": 0.0})
    with pytest.raises(UntrustedModel, match=r"odd_estimators\.Slow.*review them"):
        dump_model(pipeline)


@pytest.mark.fault("S2")
def test_the_reviewed_list_is_frozen_and_names_no_function():
    import importlib
    import inspect

    assert isinstance(TRUSTED, tuple)
    for path in TRUSTED:
        module, _, name = path.rpartition(".")
        assert inspect.isclass(getattr(importlib.import_module(module), name)), path


def tree_array(members: dict[str, bytes], field: str) -> str:
    for name, content in members.items():
        if name.endswith(".npy"):
            array = np.load(io.BytesIO(content), allow_pickle=False)
            if array.dtype.names and field in array.dtype.names:
                return name
    raise AssertionError(field)


FORGERIES = [
    ("sklearn.tree.DecisionTreeRegressor", "left_child", 10_000, "outside the tree"),
    ("sklearn.tree.DecisionTreeRegressor", "right_child", 0, "or back"),
    ("sklearn.tree.DecisionTreeRegressor", "feature", 10_000, "beyond the"),
    ("sklearn.tree.DecisionTreeRegressor", "feature", -5, "beyond the"),
    ("sklearn.ensemble.HistGradientBoostingRegressor", "left", 10_000, "outside the tree"),
    ("sklearn.ensemble.HistGradientBoostingRegressor", "right", 0, "or back"),
    ("sklearn.ensemble.HistGradientBoostingRegressor", "feature_idx", 10_000, "beyond the"),
    ("sklearn.ensemble.HistGradientBoostingRegressor", "is_categorical", 1, "outside its sets"),
]


@pytest.mark.fault("S2")
@pytest.mark.parametrize(("path", "field", "value", "words"), FORGERIES)
def test_a_tree_that_points_outside_itself_is_not_loaded(path, field, value, words):
    def forge(schema, members):
        name = tree_array(members, field)
        nodes = np.load(io.BytesIO(members[name]), allow_pickle=False)
        nodes[field][0] = value
        buffer = io.BytesIO()
        np.save(buffer, nodes, allow_pickle=False)
        members[name] = buffer.getvalue()

    with pytest.raises(ModelDamaged, match=words):
        load_model(forged(dump_model(fitted(path)[0]), forge))


def rewritten(data: bytes, key: str, content: str) -> bytes:
    """Return skops bytes with every scalar of a name replaced."""

    def forge(schema, members):
        pending = [schema]
        while pending:
            node = pending.pop()
            pending += node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
            if isinstance(node, dict) and isinstance(node.get(key), dict):
                node[key] = {**node[key], "content": content, "__id__": 1}

    return forged(data, forge)


@pytest.mark.fault("S2")
@pytest.mark.parametrize("count", ["0", "-5", "3"])
def test_a_tree_with_a_forged_number_of_nodes_is_not_loaded(count):
    data = dump_model(fitted("sklearn.tree.DecisionTreeRegressor")[0])
    with pytest.raises(ModelDamaged):
        load_model(rewritten(data, "node_count", count))


@pytest.mark.fault("S2")
def test_trees_of_a_forest_may_not_claim_more_columns_than_the_forest_checks():
    def forge(schema, members):
        name = tree_array(members, "feature")
        nodes = np.load(io.BytesIO(members[name]), allow_pickle=False)
        nodes["feature"][0] = 6  # the forest has six columns: 0 to 5
        buffer = io.BytesIO()
        np.save(buffer, nodes, allow_pickle=False)
        members[name] = buffer.getvalue()

    pipeline, _ = fitted("sklearn.ensemble.RandomForestRegressor")
    assert pipeline.named_steps["estimator"].n_features_in_ == 6
    for tree in pipeline.named_steps["estimator"].estimators_:
        tree.n_features_in_ = 99
    with pytest.raises(ModelDamaged, match="beyond the 6 there are"):
        load_model(forged(dump_model(pipeline), forge))


@pytest.mark.fault("S2")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("left_child=1 ", "left_child=999 "), "outside the tree"),
        (("right_child=", "right_child=-99 "), "splits|outside the tree|no skops|not load"),
        (("left_child=1 ", "left_child=0 "), "points back"),
        (("split_feature=", "split_feature=9"), "beyond the"),
    ],
)
def test_a_boosters_text_that_points_outside_itself_is_not_accepted(change, words):
    text = fitted("lightgbm.LGBMRegressor")[0].named_steps["estimator"].booster_.model_to_string()
    _check_booster(text)
    assert change[0] in text
    with pytest.raises(ModelDamaged, match=words):
        _check_booster(text.replace(*change))


@pytest.mark.fault("S2")
def test_trees_that_cannot_be_checked_are_refused_when_they_are_written():
    pipeline, _ = fitted("lightgbm.LGBMRegressor", {"linear_tree": True})
    with pytest.raises(ModelDamaged, match="linear_tree is not supported"):
        dump_model(pipeline)
    neighbours, _ = fitted("sklearn.neighbors.KNeighborsClassifier", {"algorithm": "kd_tree"})
    with pytest.raises(UntrustedModel, match="KDTree"):
        dump_model(neighbours)


@pytest.mark.parametrize("path", [path for path in MODELS if "ensemble" in path or "tree" in path])
def test_sound_trees_are_sound(path):
    check_trees(fitted(path)[0])
