"""Labels: which one counts for a row, and how a task spells them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.declared import Task
from retrain_pipeline.learning.errors import LabelsRefused

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_POSITIVE = frozenset({"1", "1.0", "true"})
_NEGATIVE = frozenset({"0", "0.0", "false"})


def join_labels(features: "pd.DataFrame", labels: "pd.DataFrame", key: Sequence[str]) -> "pd.DataFrame":
    """Return the rows of `features` that have a label, with it as `label`, in order of event time and key.

    A label that was restated counts as it was last known. Rows are joined on the key columns and `_event_time`.
    """
    identity = [*key, "_event_time"]
    newest = labels.sort_values("_known_time", kind="stable").drop_duplicates(identity, keep="last")
    joined = features.merge(newest[[*identity, "label"]], on=identity, how="inner", validate="one_to_one")
    return joined.sort_values(["_event_time", *key], kind="stable").reset_index(drop=True)


def encode_labels(labels: "pd.Series[Any]", task: Task) -> "np.ndarray[Any, Any]":
    """Return labels as the task spells them: float64; 0 and 1 as int64; or text for several classes.

    Raises
    ------
    LabelsRefused
        For missing labels, text or infinities in a regression, and binary labels other than 0/1 and false/true.

    Examples
    --------
    >>> import pandas as pd
    >>> encode_labels(pd.Series([True, False]), "binary")
    array([1, 0])
    >>> encode_labels(pd.Series([3.0, 1.0]), "multiclass").tolist()
    ['3', '1']
    """
    import numpy as np

    if labels.isna().any():
        raise LabelsRefused(
            f"{int(labels.isna().sum())} labels are missing: ingest quarantines them (rule label_missing)"
        )
    if task == "regression":
        return _numbers(labels)
    texts = labels.map(_text).astype(object)
    if task == "multiclass":
        return texts.to_numpy(dtype=str)
    lowered = texts.str.lower()
    strange = ~lowered.isin(_POSITIVE | _NEGATIVE)
    if strange.any():
        found = sorted(set(texts[strange].head(1000)))[:5]
        raise LabelsRefused(
            f"binary labels are 0 and 1 (or false and true), found {found}: recode them, or use multiclass"
        )
    return lowered.isin(_POSITIVE).to_numpy().astype(np.int64)


def _numbers(labels: "pd.Series[Any]") -> "np.ndarray[Any, Any]":
    import numpy as np

    try:
        values = labels.astype("float64").to_numpy()
    except (ValueError, TypeError) as error:
        raise LabelsRefused(f"a regression label is a number: {error}") from error
    if not np.isfinite(values).all():
        raise LabelsRefused("a regression label is infinite: ingest quarantines them (rule label_missing)")
    return values


def _text(value: Any) -> str:
    # A column of whole numbers becomes floats as soon as one is missing: class 3.0 is class 3.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
