"""Labels by delivery: one inverted file is a quarter of a month's labels and hides among them, but not by itself.

The labels that became known in a period are set beside what was answered, by whichever version served then. A row whose
label came again counts with the newest: once a delivery is corrected, it is no longer suspect.
"""

from datetime import datetime
from typing import TYPE_CHECKING

from retrain_pipeline.monitoring.champion import promised
from retrain_pipeline.monitoring.evidence import Scored, labels_moved, labels_turned
from retrain_pipeline.monitoring.feedback import feedback_batches
from retrain_pipeline.monitoring.performance import MIN_ROWS, LossEstimate
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores

if TYPE_CHECKING:
    import pandas as pd

DELIVERIES = 26
"""So many of the newest deliveries are looked at each time, so many looks at each: hence `SURE_SE`."""
SURE_SE = 4.0


def suspect_delivery(stores: Stores, spec: ModelSpec, end: datetime) -> str | None:
    """Return words on the oldest delivery whose labels look inverted, recoded or rescaled; None when none does."""
    since = spec.data.time.calendar().shift(end, -DELIVERIES)
    batches = feedback_batches(stores.lake, spec, end, since)
    if not batches or not _has_words_for(spec):
        return None
    identity = list(dict.fromkeys([*spec.data.key, "_event_time", "model_version", "arm"]))
    columns = [*identity, "label", "prediction", "score", "_known_time", "_period"]
    rows = stores.lake.read(spec.name, "feedback", periods=batches[0], known_by=end, columns=columns)
    rows = rows.sort_values(["_known_time", "_period"], kind="stable").drop_duplicates(identity, keep="last")
    for period in sorted(batches[0]):  # what is older has been found right
        arrived = rows[rows["_period"] == period]
        if len(arrived) < MIN_ROWS:
            continue
        version = str(arrived["model_version"].mode().iloc[0])
        validated = promised(stores.ledger, spec, version)
        if validated is None:
            continue
        mine = rows[rows["model_version"] == version]
        words = _judged(spec, validated, mine[mine["_period"] < period], mine[mine["_period"] == period])
        if words is not None:
            return f"{words}, in those that became known in {period}"
    return None


def _has_words_for(spec: ModelSpec) -> bool:
    """Can a loss be told from what feedback keeps? It has no probability of each of several classes."""
    return spec.data.label.task != "multiclass" or spec.problem.success.metric == "error"


def _judged(spec: ModelSpec, validated: LossEstimate, before: "pd.DataFrame", now: "pd.DataFrame") -> str | None:
    if len(now) < MIN_ROWS:
        return None
    task, metric = spec.data.label.task, spec.problem.success.metric
    arrived, hours = _scored(spec, now), spec.gates.block_hours
    turned = labels_turned(task, metric, arrived, validated, hours, sure=SURE_SE)
    if turned is None and len(before) >= MIN_ROWS:
        return labels_moved(task, _scored(spec, before), arrived)
    return turned


def _scored(spec: ModelSpec, rows: "pd.DataFrame") -> Scored:
    import numpy as np

    from retrain_pipeline.learning.labels import encode_labels
    from retrain_pipeline.learning.losses import row_losses

    rows = rows.sort_values("_event_time", kind="stable")
    answers, task = rows[["prediction", "score"]].reset_index(drop=True), spec.data.label.task
    truth = np.asarray(encode_labels(rows["label"], task))
    losses = row_losses(spec.problem.success.metric, task, truth, answers)
    moments = rows["_event_time"].dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    return Scored(answers[[]], answers, truth, losses, moments)
