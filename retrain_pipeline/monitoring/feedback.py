"""Feedback: labels as they become known, beside the predictions that they answer.

A label's maturity is a matter of time, not of its value: where the positive answers come first and silence means
"negative" only later, what has come early is a biased sample (I25). So nothing here looks at a period's labels as such;
readers take rows whose event is at least the declared delay old, and the share of predictions that have their label is
reported for every period.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.tables import Lake, PartitionWrite
from retrain_pipeline.periods import as_utc
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

MATURITY_PERIODS = 8
"""Maturity is told for so many newest periods, and for those whose labels came now."""
# A read holds one batch; what is kept of a row is 24 bytes.
_BATCH_ROWS = 500_000
_MAX_ROWS = 5_000_000
TIMES = ("_event_time", "_known_time")


@dataclass(frozen=True)
class FeedbackReport:
    """What a period brought. `maturity`: per predicted period, the share of predictions whose label is known by now."""

    model: str
    period: str
    labels: int
    rows: int
    unanswered: int
    """Labels without a prediction: their rows were never scored."""
    write: PartitionWrite
    maturity: dict[str, float] = field(default_factory=dict)


def update_feedback(stores: Stores, spec: ModelSpec, period: str) -> FeedbackReport:
    """Join the labels that became known in a period to their predictions, and put the losses in the lake.

    Writes ``feedback[period]``: the key, `label`, `prediction`, `score`, `loss` (`learning.losses.row_losses` of the
    declared metric), `model_version`, `arm`, `predicted_period`, `_event_time` and `_known_time` (of the label). Doing
    it again after predictions were back-filled heals the partition; doing it again otherwise changes nothing.

    Raises
    ------
    LabelsRefused, LossNotComputable
        When labels do not fit the task, or the metric needs what the predictions do not have.
    """
    lake, calendar = stores.lake, spec.data.time.calendar()
    _, end = calendar.bounds(period)
    labels = lake.read(spec.name, "labels", periods=[period], known_by=end)
    joined, answered = _joined(lake, spec, labels, end)
    write = lake.replace_partition(spec.name, "feedback", period, joined)
    touched = set() if joined.empty else set(joined["predicted_period"])
    maturity = _maturity(lake, spec, end, touched)
    return FeedbackReport(spec.name, period, len(labels), len(joined), len(labels) - answered, write, maturity)


def mature_feedback(
    lake: Lake, spec: ModelSpec, as_of: datetime, *, since: datetime | None = None, version: str | None = None
) -> "pd.DataFrame":
    """Return feedback as it was known at `as_of`: per prediction the newest label, in order of event time.

    Parameters
    ----------
    as_of
        Labels known by then, of events before then.
    since
        Only events from then on.
    version
        Only predictions of this model version.

    Returns
    -------
    DataFrame
        The columns of the feedback table; no columns when there is none yet. A label that was corrected counts as it
        was last known by `as_of`.
    """
    as_of = as_utc(as_of)
    periods = _periods_until(lake, spec, as_of, since)
    frame = lake.read(spec.name, "feedback", periods=periods, known_by=as_of)
    if frame.empty:
        return frame
    keep = frame["_event_time"] < as_of
    if since is not None:
        keep &= frame["_event_time"] >= since
    if version is not None:
        keep &= frame["model_version"] == version
    return _newest(frame[keep], spec)


def champion_losses(
    lake: Lake, spec: ModelSpec, version: str, since: datetime, as_of: datetime
) -> "tuple[NDArray[np.float64], NDArray[np.datetime64]]":
    """Return losses and event times of a version's mature feedback since its release, in no order.

    As `mature_feedback` with the watermark of `mature_until`, in 24 bytes a row: partitions are read from the newest
    back, a few at a time, up to `_MAX_ROWS` rows. Of several labels of a row the newest counts.
    """
    import numpy as np

    from retrain_pipeline.lake.digests import row_digests

    until = mature_until(spec, as_of)
    identity = list(dict.fromkeys([*spec.data.key, "_event_time", "arm"]))
    columns = [*identity, "_known_time", "model_version", "loss"]
    parts: list[tuple[Any, Any, Any]] = []
    for periods in _batches(lake, spec, as_of, since)[0]:
        frame = lake.read(spec.name, "feedback", periods=periods, known_by=as_of, columns=columns)
        event = frame["_event_time"]
        frame = frame[(frame["model_version"] == version) & (event >= since) & (event < until)]
        newest_first = np.argsort(-frame["_known_time"].astype("int64").to_numpy(), kind="stable")
        moments = frame["_event_time"].dt.tz_localize(None).to_numpy()
        values = (row_digests(frame, identity), frame["loss"].to_numpy(), moments)
        parts.append((values[0][newest_first], values[1][newest_first], values[2][newest_first]))
    if not parts:
        return np.empty(0), np.empty(0, dtype="datetime64[us]")
    rows, losses, times = (np.concatenate(side) for side in zip(*parts, strict=True))
    _, first = np.unique(rows, return_index=True)
    return np.asarray(losses[first], dtype=np.float64), times[first].astype("datetime64[us]")


def feedback_batches(
    lake: Lake, spec: ModelSpec, as_of: datetime, since: datetime, rows: int | None = None
) -> list[list[str]]:
    """Return the feedback partitions that hold labels of events from a moment on, in groups of about `rows` rows.

    The newest first, up to `_MAX_ROWS` rows in all.
    """
    return _batches(lake, spec, as_of, since, rows or _BATCH_ROWS)[0]


def _batches(
    lake: Lake, spec: ModelSpec, as_of: datetime, since: datetime, batch_rows: int | None = None
) -> tuple[list[list[str]], datetime]:
    """Return partitions with rows in groups of about `_BATCH_ROWS`, the newest first, up to `_MAX_ROWS` in all.

    And the moment from which on they hold every label of an event: a label is never known before its event.
    """
    partitions = lake.partitions(spec.name, "feedback")
    calendar = spec.data.time.calendar()
    batches: list[list[str]] = []
    size = total = 0
    for period in reversed(_periods_until(lake, spec, as_of, since)):
        rows = partitions[period].rows
        if not rows:
            continue
        if total and total + rows > _MAX_ROWS:
            return batches, calendar.bounds(period)[1]
        if not batches or size + rows > (batch_rows or _BATCH_ROWS):
            batches.append([])
            size = 0
        batches[-1].append(period)
        size, total = size + rows, total + rows
    return batches, since


def mature_until(spec: ModelSpec, as_of: datetime) -> datetime:
    """Return the moment before which labels have had their declared delay: the watermark of maturity."""
    return as_of - timedelta(hours=spec.data.label.delay_hours)


def _periods_until(lake: Lake, spec: ModelSpec, as_of: datetime, since: datetime | None) -> list[str]:
    """Return feedback partitions that can hold such labels: a label is never known before its event."""
    calendar = spec.data.time.calendar()
    bounds = {period: calendar.bounds(period) for period in lake.periods(spec.name, "feedback")}
    return [p for p, (_, end) in bounds.items() if end <= as_of and (since is None or end > since)]


def _newest(frame: "pd.DataFrame", spec: ModelSpec) -> "pd.DataFrame":
    identity = [*spec.data.key, "_event_time", "model_version", "arm"]
    ordered = frame.sort_values(["_known_time", "_period"], kind="stable")
    last = ordered.drop_duplicates(list(dict.fromkeys(identity)), keep="last")
    return last.sort_values(["_event_time", *spec.data.key], kind="stable").reset_index(drop=True)


def _joined(lake: Lake, spec: ModelSpec, labels: "pd.DataFrame", end: datetime) -> "tuple[pd.DataFrame, int]":
    """Return the rows of the feedback table, and how many labels have a prediction."""
    from retrain_pipeline.learning.labels import encode_labels
    from retrain_pipeline.learning.losses import row_losses

    if labels.empty:
        return _no_rows(), 0
    calendar = spec.data.time.calendar()
    hours = labels["_event_time"].dt.floor("h").unique()
    periods = sorted({calendar.key(moment) for moment in hours if moment >= calendar.origin})
    predictions = lake.read(spec.name, "predictions", periods=periods, known_by=end)
    if predictions.empty:
        return _no_rows(), 0
    identity = [*spec.data.key, "_event_time"]
    told = predictions.rename(columns={"_period": "predicted_period"}).drop(columns=["_known_time", "latency_ms"])
    known = labels[[*identity, "label", "_known_time"]].sort_values("_known_time", kind="stable")
    known = known.drop_duplicates(identity, keep="last")
    joined = known.merge(told, on=identity, how="inner")
    if joined.empty:
        return _no_rows(), 0
    task, metric = spec.data.label.task, spec.problem.success.metric
    joined["loss"] = row_losses(metric, task, encode_labels(joined["label"], task), joined)
    names = ["label", "prediction", "score", "loss", "model_version", "arm", "predicted_period", "_known_time"]
    return joined[[*identity, *names]], len(joined.drop_duplicates(identity))


def _no_rows() -> "pd.DataFrame":
    import pandas as pd

    times: dict[str, Any] = {name: pd.Series([], dtype="datetime64[us, UTC]") for name in TIMES}
    return pd.DataFrame(times)


def _maturity(lake: Lake, spec: ModelSpec, end: datetime, touched: set[str]) -> dict[str, float]:
    """Return the labelled share of the newest predicted periods and of those touched now."""
    import numpy as np
    import pandas as pd

    from retrain_pipeline.lake.digests import row_digests

    calendar = spec.data.time.calendar()
    predicted = {
        period: partition.rows
        for period, partition in lake.partitions(spec.name, "predictions").items()
        if partition.rows and calendar.bounds(period)[1] <= end
    }
    wanted = sorted(set(list(predicted)[-MATURITY_PERIODS:]) | (touched & set(predicted)))
    if not wanted:
        return {}
    identity = list(dict.fromkeys([*spec.data.key, "_event_time", "model_version", "arm"]))
    rows: list[Any] = [np.empty(0, dtype=np.uint64)]
    codes: list[Any] = [np.empty(0, dtype=np.int64)]
    batches, covered = _batches(lake, spec, end, calendar.bounds(wanted[0])[0])
    for periods in batches:
        known = lake.read(spec.name, "feedback", periods=periods, known_by=end, columns=[*identity, "predicted_period"])
        rows.append(row_digests(known, identity))
        codes.append(pd.Categorical(known["predicted_period"], categories=wanted).codes)
    # A corrected label is known once.
    _, first = np.unique(np.concatenate(rows), return_index=True)
    answered = np.concatenate(codes)[first]
    counts = np.bincount(answered[answered >= 0], minlength=len(wanted))
    return {
        period: float(min(count / predicted[period], 1.0))
        for period, count in zip(wanted, counts.tolist(), strict=True)
        if calendar.bounds(period)[0] >= covered
    }
