"""Models as bytes: skops, with a list of types that were read and reviewed. Nothing here, or anywhere, unpickles."""

import warnings
import zipfile
from functools import lru_cache
from typing import Any

from retrain_pipeline.learning.errors import ModelDamaged, UntrustedModel

TRUSTED: tuple[str, ...] = (
    # A description of memory layout, rebuilt by skops from an empty array (np.load without pickle): holds no code.
    "numpy.dtype",
    # Fitted decision trees: arrays of nodes and values. Their __setstate__ copies arrays after checking dtype and
    # shape; that the nodes point inside the tree is checked by `learning.soundness` after loading.
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    # Plain attribute holders of a calibrated classifier and of the solvers that a fitted network keeps.
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    # LightGBM: the estimators keep attributes; the Booster keeps its trees in LightGBM's own text format, from which
    # its parser makes numbers and no Python object. `learning.soundness` checks where the trees point. (The parser is
    # C++, and its memory safety is LightGBM's; the bytes are only ever those whose digest the ledger names.)
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
)
"""Types beyond those that skops trusts by itself. Reviewed by hand, frozen, and never extended by what a file names.

Not here, though scikit-learn has them: neighbour trees (KDTree, BallTree), whose indexes nothing checks. Neighbours
work with ``algorithm: brute``.
"""

_SMALL = 2**23
"""Bytes of a model that is kept in memory after loading; a larger one is loaded each time."""


def dump_model(pipeline: Any) -> bytes:
    """Return a fitted pipeline as skops bytes.

    The bytes differ from run to run (skops names members by memory address); what a model *does* is named by its
    prediction fingerprint.

    Raises
    ------
    UntrustedModel
        When the pipeline holds types that could not be loaded again: better now than at the release.
    ModelDamaged
        When it has trees of a kind that cannot be checked at loading.
    """
    import skops.io

    from retrain_pipeline.learning.soundness import check_trees

    check_trees(pipeline)
    data: bytes = skops.io.dumps(pipeline, compression=zipfile.ZIP_DEFLATED)
    _check_types(data)
    return data


def load_model(data: bytes) -> Any:
    """Return the pipeline of skops bytes.

    Raises
    ------
    UntrustedModel
        When the bytes name a type outside the reviewed list (S2).
    ModelDamaged
        When the bytes are no skops file, for example a pickle (S1), or its trees point outside themselves.
    """
    return _loaded(data) if len(data) <= _SMALL else _loaded.__wrapped__(data)


@lru_cache(maxsize=8)
def _loaded(data: bytes) -> Any:
    """Load once what a period asks for a dozen times: the bytes say all, and to predict changes no estimator."""
    import skops.io
    from sklearn.exceptions import InconsistentVersionWarning

    from retrain_pipeline.learning.soundness import check_trees

    _check_types(data)
    try:
        with warnings.catch_warnings():
            # Versions are compared by `learning.versions`, with more to say than a warning.
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            pipeline = skops.io.loads(data, trusted=list(TRUSTED))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OSError, ImportError) as error:
        raise ModelDamaged(f"the model bytes do not load: {type(error).__name__}: {error}") from error
    check_trees(pipeline)
    return pipeline


def _check_types(data: bytes) -> None:
    import skops.io

    try:
        named = skops.io.get_untrusted_types(data=data)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OSError, zipfile.BadZipFile) as error:
        raise ModelDamaged(f"the bytes are no skops model: {type(error).__name__}: {error}") from error
    types = sorted(set(named) - set(TRUSTED))
    if types:
        raise UntrustedModel(types, "review them and extend learning.persistence.TRUSTED, or use another estimator")
