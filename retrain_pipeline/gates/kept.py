"""Rows that are kept back from the gates, for a second validator that judges where they may be wrong.

Which rows these are depends on the entity and the model alone: an entity that is kept back is kept back at every
judgement, so no first judgement of the model has ever looked at it.
"""

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from retrain_pipeline.learning.frames import Frames
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores


def kept_back(entities: "pd.DataFrame", share: float, model: str) -> "NDArray[np.bool_]":
    """Return which rows are the second validator's: those of entities whose salted hash lies below the share.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"customer": ["a", "b", "c", "d", "a"]})
    >>> [bool(one) for one in kept_back(rows, 0.5, "lending")]
    [False, True, True, False, False]
    """
    import numpy as np

    from retrain_pipeline.lake.digests import row_digests

    known, place = np.unique(row_digests(entities), return_inverse=True)
    salt = f"second validator of {model}".encode()
    hashed = [hashlib.sha256(salt + int(one).to_bytes(8, "big")).digest()[:8] for one in known]
    below = np.array([int.from_bytes(one, "big") < share * 2**64 for one in hashed], dtype=bool)
    return below[place]


def second_rows(stores: "Stores", spec: "ModelSpec", keys: "pd.DataFrame", as_of: "datetime") -> "NDArray[np.bool_]":
    """Return which evaluation rows are kept back, none where nothing escalates.

    Parameters
    ----------
    keys
        Key columns and `_event_time`, as `Frames.eval_keys`. The entity is `rollout.route_by`, by default `data.key`.
    """
    import numpy as np

    from retrain_pipeline.learning.frames import raw_values

    escalate = spec.gates.escalate
    if escalate is None or not len(keys):
        return np.zeros(len(keys), dtype=bool)
    names = list(spec.rollout.route_by) or list(spec.data.key)
    inside = set(names) <= set(keys.columns)
    entities = keys[names] if inside else raw_values(stores, spec, keys, as_of, names)
    return kept_back(entities, escalate.share, spec.name)


def without(frames: "Frames", kept: "NDArray[np.bool_]") -> "Frames":
    """Return frames whose evaluation rows are those that are not kept back."""
    rest = ~kept
    return replace(
        frames,
        eval_x=frames.eval_x[rest].reset_index(drop=True),
        eval_y=frames.eval_y[rest],
        eval_keys=frames.eval_keys[rest].reset_index(drop=True),
    )
