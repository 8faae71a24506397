"""The identity of what a model does: a digest of its answers to fixed questions."""

import hashlib
import io
from typing import TYPE_CHECKING, Any

from retrain_pipeline.learning.prediction import aligned, used_columns

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PROBE_ROWS = 256
ROUNDING = 9
"""Decimals that count."""
TOLERANCE = 1e-6
"""How far answers may lie apart, relative to their size, on another platform or library version."""


def probe_set(features: "pd.DataFrame") -> "pd.DataFrame":
    """Return at most 256 rows, evenly spread over the given ones: the same for the same rows in the same order."""
    import numpy as np

    if not len(features):
        return features
    at = np.unique(np.linspace(0, len(features) - 1, PROBE_ROWS).round().astype(int))
    return features.iloc[at].reset_index(drop=True)


def probe_answers(pipeline: Any, probe: "pd.DataFrame") -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Return the answers, shape (rows, outputs): predictions, or probabilities, or the place of the predicted class."""
    import numpy as np
    from sklearn.base import is_classifier

    given = aligned(probe, *used_columns(pipeline))
    if not is_classifier(pipeline):
        answers = np.asarray(pipeline.predict(given), dtype=np.float64)
    elif hasattr(pipeline, "predict_proba"):
        answers = np.asarray(pipeline.predict_proba(given), dtype=np.float64)
    else:
        answers = np.searchsorted(pipeline.classes_, pipeline.predict(given)).astype(np.float64)
    return answers.reshape(len(probe), -1)


def prediction_fingerprint(pipeline: Any, probe: "pd.DataFrame") -> str:
    """Return the SHA-256 of a pipeline's answers to a probe set, rounded to 9 decimals, and of its classes.

    Equal on one platform; elsewhere compare `probe_answers` within `TOLERANCE`.
    """
    import numpy as np

    answers = np.round(probe_answers(pipeline, probe), ROUNDING) + 0.0  # -0.0 + 0.0 is 0.0
    total = hashlib.sha256(repr((answers.shape, [str(one) for one in getattr(pipeline, "classes_", [])])).encode())
    total.update(answers.astype("<f8").tobytes())
    return total.hexdigest()


def probe_bytes(pipeline: Any, probe: "pd.DataFrame") -> bytes:
    """Return the probe set with the pipeline's answers (columns ``_answer_<n>``) as parquet bytes."""
    answers = probe_answers(pipeline, probe)
    told = probe.assign(**{f"_answer_{at}": answers[:, at] for at in range(answers.shape[1])})
    buffer = io.BytesIO()
    told.to_parquet(buffer, index=False)
    return buffer.getvalue()


def read_probe(data: bytes) -> tuple["pd.DataFrame", "np.ndarray[Any, np.dtype[np.float64]]"]:
    """Return the probe set and the recorded answers that `probe_bytes` wrote."""
    import pandas as pd

    told = pd.read_parquet(io.BytesIO(data))
    names = [name for name in told.columns if name.startswith("_answer_")]
    return told.drop(columns=names), told[names].to_numpy(dtype="float64")


def largest_difference(pipeline: Any, probe: "pd.DataFrame", recorded: "np.ndarray[Any, Any]") -> float:
    """Return the largest |answer − recorded| / max(1, |recorded|); infinity when there are more or fewer of them."""
    import numpy as np

    answers = probe_answers(pipeline, probe)
    if answers.shape != recorded.shape:
        return float("inf")
    return float(np.max(np.abs(answers - recorded) / np.maximum(1.0, np.abs(recorded)), initial=0.0))
