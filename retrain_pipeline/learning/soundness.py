"""Do a loaded model's trees stay inside themselves? Their code follows indexes without looking."""

from typing import TYPE_CHECKING, Any

from retrain_pipeline.learning.errors import ModelDamaged

if TYPE_CHECKING:
    import numpy as np


def check_trees(model: Any) -> None:
    """Raise ModelDamaged when a decision tree in a loaded model points outside its nodes or features, or in a circle.

    scikit-learn checks the type and shape of loaded nodes, not what they point at: a forged child or feature index
    would read foreign memory in `predict`.
    """
    seen: set[int] = set()
    pending: list[tuple[Any, int]] = [(model, 0)]
    while pending:
        value, features = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        kind = f"{type(value).__module__}.{type(value).__name__}"
        if kind == "sklearn.tree._tree.Tree":
            _check_tree(value, features)
        elif kind == "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor":
            _check_predictor(value, features)
        elif kind == "lightgbm.basic.Booster":
            _check_booster(value.model_to_string(num_iteration=-1))
        else:
            pending.extend(_inside(value, features))


def _inside(value: Any, features: int) -> list[tuple[Any, int]]:
    import numpy as np

    if isinstance(value, list | tuple):
        return [(one, features) for one in value]
    if isinstance(value, dict):
        return [(one, features) for one in value.values()]
    if isinstance(value, np.ndarray):
        return [(one, features) for one in value.ravel()] if value.dtype == object else []
    if type(value).__module__.startswith(("sklearn.", "lightgbm.")) and hasattr(value, "__dict__"):
        return [(one, _width(value, features)) for one in vars(value).values()]
    return []


def _width(estimator: Any, features: int) -> int:
    """Return how many columns the trees inside an estimator may ask for; 0 when that is not known yet.

    An ensemble checks the width of its input itself and hands it to its trees unchecked, so the narrowest claim counts.
    What a pipeline is given is not what its last step is given.
    """
    if type(estimator).__name__ == "Pipeline":
        return 0
    own = int(getattr(estimator, "n_features_in_", 0) or 0)
    return min(own, features) if own and features else own or features


def _check_tree(tree: Any, features: int) -> None:
    # Before any array of it is looked at: scikit-learn makes them as long as the tree says that it is.
    if not 0 < tree.node_count <= tree.capacity:
        raise ModelDamaged(f"a tree says it has {tree.node_count} nodes and holds {tree.capacity}")
    nodes = tree.__getstate__()["nodes"]
    inner = nodes["left_child"] != -1
    _check_links(nodes["left_child"], nodes["right_child"], inner)
    _check_feature(nodes["feature"], inner, min(int(tree.n_features), features))


def _check_predictor(predictor: Any, features: int) -> None:
    nodes = predictor.nodes
    inner = nodes["is_leaf"] == 0
    _check_links(nodes["left"].astype("int64"), nodes["right"].astype("int64"), inner)
    _check_feature(nodes["feature_idx"], inner, features)
    sets = min(len(predictor.binned_left_cat_bitsets), len(predictor.raw_left_cat_bitsets))
    split = inner & (nodes["is_categorical"] != 0)
    if (nodes["bitset_idx"][split] >= sets).any():
        raise ModelDamaged("a tree's category split points outside its sets")


def _check_booster(text: str) -> None:
    head, *trees = text.split("\nTree=")
    features = int(_fields(head)["max_feature_idx"]) + 1
    for tree in trees:
        _check_boosted_tree(_fields(tree), features)


def _check_boosted_tree(fields: dict[str, str], features: int) -> None:
    import numpy as np

    if fields["num_cat"] != "0" or fields.get("is_linear", "0") != "0":
        raise ModelDamaged(
            "a LightGBM tree splits on categories or has linear leaves, and nothing here checks those: categories come "
            "one-hot, and linear_tree is not supported"
        )
    leaves = int(fields["num_leaves"])
    if leaves < 2:
        return
    names = ("left_child", "right_child", "split_feature")
    left, right, feature = (np.array(fields[name].split(), dtype=int) for name in names)
    if not len(left) == len(right) == len(feature) == leaves - 1:
        raise ModelDamaged(f"a LightGBM tree of {leaves} leaves has {len(left)} splits")
    for child in (left, right):
        inner = child >= 0  # leaves are counted from -1 downwards
        if (~child[~inner] >= leaves).any() or (child[inner] >= leaves - 1).any():
            raise ModelDamaged("a LightGBM tree's node points outside the tree")
        if (child[inner] <= np.arange(leaves - 1)[inner]).any():
            raise ModelDamaged("a LightGBM tree's node points back")
    _check_feature(feature, np.ones(leaves - 1, dtype=bool), features)


def _fields(block: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in block.splitlines())
    return {name: value for name, sign, value in pairs if sign}


def _check_links(left: "np.ndarray[Any, Any]", right: "np.ndarray[Any, Any]", inner: "np.ndarray[Any, Any]") -> None:
    import numpy as np

    at = np.arange(len(inner))[inner]
    for child in (left[inner], right[inner]):
        # A child comes after its parent in both kinds of tree: so no path is longer than the tree.
        if (child <= at).any() or (child >= len(inner)).any():
            raise ModelDamaged("a tree's node points outside the tree, or back")


def _check_feature(feature: "np.ndarray[Any, Any]", inner: "np.ndarray[Any, Any]", features: int) -> None:
    if (feature[inner] < 0).any() or (feature[inner] >= features).any():
        raise ModelDamaged(f"a tree's node asks for a feature beyond the {features} there are")
