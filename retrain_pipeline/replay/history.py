"""A history to replay: labelled rows in time order, cut into batches, and when the labels of each batch were known."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retrain_pipeline.canonical import digest_of, sha256
from retrain_pipeline.lake.declared import Task
from retrain_pipeline.learning.losses import scale_of
from retrain_pipeline.replay.errors import HistoryRefused
from retrain_pipeline.spec.model import Metric, ModelSpec
from retrain_pipeline.stores import Stores

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

MIN_BATCHES = 4
# Labels of a batch count as known once nearly all are: a few stragglers hold nothing up.
_KNOWN_SHARE = 0.95


@dataclass(frozen=True)
class History:
    """Labelled rows in time order.

    Attributes
    ----------
    features
        Shape (n, columns); numbers, and text for categories.
    y
        Shape (n,), as `learning.labels.encode_labels` spells labels.
    starts
        Shape (batches + 1,): batch b is rows ``starts[b]:starts[b + 1]``.
    known
        Shape (batches + 1,): at the start of batch t the labels of the first ``known[t]`` batches are known.
    scale
        What a loss of 1 means: losses are divided by it. 1 for classification; for a regression the mean absolute
        label, or its mean square for squared errors, so that a cost is a share of the label's size.
    """

    name: str
    task: Task
    metric: Metric
    features: "pd.DataFrame"
    y: "NDArray[np.generic]"
    starts: tuple[int, ...]
    keys: tuple[str, ...]
    known: tuple[int, ...]
    scale: float

    @property
    def batches(self) -> int:
        """How many batches there are."""
        return len(self.starts) - 1

    @property
    def digest(self) -> str:
        """SHA-256 of the rows, labels and batches (not of when labels were known: no fitted model depends on it)."""
        import numpy as np
        import pandas as pd

        rows = pd.util.hash_pandas_object(self.features, index=False).to_numpy()
        labels = pd.util.hash_array(np.asarray(self.y))
        return digest_of(
            {
                "rows": sha256(rows.astype("<u8").tobytes()),
                "labels": sha256(labels.astype("<u8").tobytes()),
                "columns": list(self.features.columns),
                "starts": list(self.starts),
                "task": self.task,
                "metric": self.metric,
            }
        )


def delayed(batches: int, delay: int) -> tuple[int, ...]:
    """Return `History.known` for labels that come a fixed number of batches late (0: with the end of their batch)."""
    return tuple(max(t - delay, 0) for t in range(batches + 1))


def from_table(
    path: Path,
    *,
    time: str,
    label: str,
    task: Task,
    rows_per_batch: int,
    drop: tuple[str, ...] = (),
    delay: int = 0,
) -> History:
    """Return the history of a CSV or parquet file; rows without a label are left out, a last part of a batch too.

    Parameters
    ----------
    time
        Column by which rows are ordered; hour, weekday and month of it become features where they vary.
    drop
        Columns that are no features.
    delay
        Batches by which labels come late.

    Raises
    ------
    HistoryRefused
        When the file is no table, a column is not there or holds no times, or there are fewer than 4 batches.
    LabelsRefused
        When the label does not fit the task.
    """
    import pandas as pd

    from retrain_pipeline.learning.labels import encode_labels

    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except ValueError as error:
        raise HistoryRefused(f"{path.name}: it is no CSV or parquet table: {str(error)[:200]}") from error
    for column in (time, label, *drop):
        if column not in frame.columns:
            have = ", ".join(map(str, frame.columns))
            raise HistoryRefused(f"{path.name}: there is no column {column!r}; there are: {have}")
    try:
        moments = pd.to_datetime(frame[time], utc=True, format="ISO8601" if frame[time].dtype == object else None)
    except (ValueError, TypeError) as error:
        raise HistoryRefused(f"{path.name}: column {time!r} holds no ISO 8601 times: {str(error)[:200]}") from error
    frame = frame.assign(**{time: moments})[frame[label].notna()].sort_values(time, kind="stable")
    batches = len(frame) // rows_per_batch
    if batches < MIN_BATCHES:
        raise HistoryRefused(f"{path.name}: {len(frame)} labelled rows are {batches} batches; {MIN_BATCHES} are needed")
    frame = frame.head(batches * rows_per_batch).reset_index(drop=True)
    y = encode_labels(frame[label], task)
    features = frame.drop(columns=[time, label, *drop]).assign(**_clock(frame[time]))
    metric: Metric = "mae" if task == "regression" else "error"
    starts = tuple(range(0, len(frame) + 1, rows_per_batch))
    keys = tuple(str(moment)[:16] for moment in frame[time].iloc[list(starts[:-1])])
    known = delayed(batches, delay)
    return History(path.stem, task, metric, features, y, starts, keys, known, scale_of(metric, y))


def _clock(moments: "pd.Series[pd.Timestamp]") -> "dict[str, pd.Series[int]]":
    parts = {"_hour": moments.dt.hour, "_weekday": moments.dt.dayofweek, "_month": moments.dt.month}
    return {name.removeprefix("_") + "_of_row": part for name, part in parts.items() if part.nunique() > 1}


def from_model(stores: Stores, spec: ModelSpec) -> History:
    """Return the history of a model: its features and labels as they lie in the lake, a batch a period.

    The labels of a period are known from the boundary on by which 95 % of them were, as the record has it.

    Raises
    ------
    HistoryRefused
        When fewer than 4 periods have features and labels.
    """
    import numpy as np

    from retrain_pipeline.learning.labels import encode_labels, join_labels

    calendar = spec.data.time.calendar()
    periods = stores.lake.periods(spec.name, "features")
    features = stores.lake.read(spec.name, "features", periods=periods)
    labels = stores.lake.read(spec.name, "labels")
    if features.empty or labels.empty:
        raise HistoryRefused(f"{spec.name}: there are no labelled periods yet; run the data side first (retrain play)")
    rows = join_labels(features, labels, spec.data.key)
    owner = rows["_event_time"].map(calendar.key)
    keys = tuple(sorted(owner.unique()))
    if len(keys) < MIN_BATCHES:
        raise HistoryRefused(f"{spec.name}: {len(keys)} labelled periods; {MIN_BATCHES} are needed for a replay")
    counts = owner.value_counts().reindex(keys)
    starts = (0, *(int(one) for one in counts.cumsum()))
    y = encode_labels(rows["label"], spec.data.label.task)
    metric = spec.problem.success.metric
    names = [name for name in rows.columns if not name.startswith("_") and name not in (*spec.data.key, "label")]
    times = _known_times(rows, labels, spec, owner, keys)
    ends = [calendar.bounds(key)[0] for key in keys] + [calendar.bounds(keys[-1])[1]]
    known = tuple(int(np.searchsorted(times, np.datetime64(end.replace(tzinfo=None)), side="right")) for end in ends)
    # a batch is known once it has ended, whatever the record says of its labels
    known = tuple(min(count, t) for t, count in enumerate(known))
    return History(spec.name, spec.data.label.task, metric, rows[names], y, starts, keys, known, scale_of(metric, y))


def _known_times(
    rows: "pd.DataFrame", labels: "pd.DataFrame", spec: ModelSpec, owner: "pd.Series[str]", keys: tuple[str, ...]
) -> "NDArray[np.datetime64]":
    """Return when the labels of each batch and of all before it were known, shape (batches,), sorted."""
    import numpy as np

    identity = [*spec.data.key, "_event_time"]
    first = labels.sort_values("_known_time", kind="stable").drop_duplicates(identity, keep="first")
    when = rows[identity].merge(first[[*identity, "_known_time"]], on=identity, how="left")["_known_time"]
    late = when.groupby(owner.to_numpy()).quantile(_KNOWN_SHARE, interpolation="higher").reindex(keys)
    moments = late.dt.tz_convert(None) if late.dt.tz is not None else late
    return np.maximum.accumulate(moments.to_numpy().astype("datetime64[us]"))
