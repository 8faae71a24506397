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
            _check_tree(value)
        elif kind == "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor":
            _check_predictor(value, features)
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
    if type(value).__module__.startswith("sklearn.") and hasattr(value, "__dict__"):
        # Boosted trees index the columns of their own input, which may be the binned copy of it.
        own = int(getattr(value, "n_features_in_", features) or 0)
        return [(one, own) for one in vars(value).values()]
    return []


def _check_tree(tree: Any) -> None:
    # Before any array of it is looked at: scikit-learn makes them as long as the tree says that it is.
    if not 0 < tree.node_count <= tree.capacity:
        raise ModelDamaged(f"a tree says it has {tree.node_count} nodes and holds {tree.capacity}")
    nodes = tree.__getstate__()["nodes"]
    inner = nodes["left_child"] != -1
    _check_links(nodes["left_child"], nodes["right_child"], inner)
    _check_feature(nodes["feature"], inner, int(tree.n_features))


def _check_predictor(predictor: Any, features: int) -> None:
    nodes = predictor.nodes
    inner = nodes["is_leaf"] == 0
    _check_links(nodes["left"].astype("int64"), nodes["right"].astype("int64"), inner)
    _check_feature(nodes["feature_idx"], inner, features)
    sets = min(len(predictor.binned_left_cat_bitsets), len(predictor.raw_left_cat_bitsets))
    split = inner & (nodes["is_categorical"] != 0)
    if (nodes["bitset_idx"][split] >= sets).any():
        raise ModelDamaged("a tree's category split points outside its sets")


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
