"""The training set of a moment: which frozen rows a candidate may learn from, and which it will be judged on."""

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.lake.declared import Task
from retrain_pipeline.lake.tables import Lake, Snapshot
from retrain_pipeline.learning.errors import NothingToLearn, RowsOverlap
from retrain_pipeline.learning.frames import Frames, assemble, assert_disjoint, identities
from retrain_pipeline.periods import as_utc
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores

if TYPE_CHECKING:
    import numpy as np

MIN_TRAINING_ROWS = 50
"""Below this a validation share of a fifth is ten rows: a search over them picks noise."""


@dataclass(frozen=True)
class TrainingSet:
    """A frozen, re-readable training set. `digest` names its content: the same rows have the same digest anywhere.

    Times are ISO 8601 in UTC. `train_until` is the newest training event, `evaluation_from` the start of the first
    evaluation period, `evaluation_until` the newest evaluation event. The two artifacts hold the sorted row digests of
    the training and of the evaluation rows as little-endian uint64.
    """

    model: str
    task: Task
    key: tuple[str, ...]
    as_of: str
    features: Snapshot
    labels: Snapshot
    periods: tuple[str, ...]
    train_rows: int
    evaluation_rows: int
    train_from: str
    train_until: str
    evaluation_from: str
    evaluation_until: str
    row_digests_artifact: str
    evaluation_row_digests_artifact: str
    digest: str
    label_stats: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain | {
            "key": list(self.key),
            "periods": list(self.periods),
            "features": self.features.to_json(),
            "labels": self.labels.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "TrainingSet":
        """Return the training set that `to_json` wrote."""
        return cls(
            **{
                **value,
                "key": tuple(value["key"]),
                "periods": tuple(value["periods"]),
                "features": Snapshot.from_json(value["features"]),
                "labels": Snapshot.from_json(value["labels"]),
            }
        )


def freeze_training_set(stores: Stores, spec: ModelSpec, as_of: datetime) -> TrainingSet:
    """Freeze what can be learned at `as_of` and return it.

    Rows count when their event lies before `as_of` and feature and label were known by then (I25). The window is the
    newest `training.window_periods` periods of event time that have labels and features; the newest
    `training.evaluation_periods` of those are for judging, the rest for training. The newest periods do not count yet
    while their labelled share is under half of what is usual.

    Raises
    ------
    NothingToLearn
        Too few labelled periods or rows, one class, a constant label. The reason starts with ``aborted:``.
    RowsOverlap
        When training and evaluation are not disjoint; that is a fault of this code.
    """
    as_of = as_utc(as_of)
    lake, calendar = stores.lake, spec.data.time.calendar()
    feature_version, label_version = lake.version(spec.name, "features"), lake.version(spec.name, "labels")
    window, partitions = _window(lake, spec, as_of, feature_version, label_version)
    features = lake.snapshot(spec.name, "features", periods=window, known_by=as_of, version=feature_version)
    labels = lake.snapshot(spec.name, "labels", periods=partitions, known_by=as_of, version=label_version)
    evaluation_from = calendar.bounds(window[-spec.training.evaluation_periods])[0]
    frames, share = _frames(lake, features, labels, spec.data.key, spec.data.label.task, evaluation_from, as_of)
    _check_learnable(spec, frames)
    assert_disjoint(frames)
    content = {
        "as_of": as_of.isoformat(),
        "features": features,
        "labels": labels,
        "periods": tuple(window),
        "evaluation_from": evaluation_from.isoformat(),
        "label_stats": _label_stats(frames, share),
    }
    return _frozen(stores, spec, content, frames)


def read_training_set(stores: Stores, ts: TrainingSet) -> Frames:
    """Return the frozen rows, re-hashed: what was judged is what is read.

    Raises
    ------
    SnapshotChanged
        When a table no longer holds what was frozen.
    RowsOverlap
        When the rows are not those whose digests were frozen.
    """
    cut, as_of = datetime.fromisoformat(ts.evaluation_from), datetime.fromisoformat(ts.as_of)
    frames, _ = _frames(stores.lake, ts.features, ts.labels, ts.key, ts.task, cut, as_of)
    for keys, artifact in (
        (frames.train_keys, ts.row_digests_artifact),
        (frames.eval_keys, ts.evaluation_row_digests_artifact),
    ):
        if _bytes(identities(keys)) != stores.artifacts.get(artifact):
            raise RowsOverlap(f"training set {ts.digest[:12]} of {ts.model!r}: its rows are not the frozen ones")
    assert_disjoint(frames)
    return frames


def read_row_digests(stores: Stores, artifact: str) -> "np.ndarray[Any, np.dtype[np.uint64]]":
    """Return sorted row digests (uint64) from an artifact of a training set."""
    import numpy as np

    return np.frombuffer(stores.artifacts.get(artifact), dtype="<u8").astype(np.uint64)


def _window(
    lake: Lake, spec: ModelSpec, as_of: datetime, feature_version: int | None, label_version: int | None
) -> tuple[list[str], list[str]]:
    """Return the periods of the window, oldest first, and the label partitions that their labels lie in."""
    calendar, training = spec.data.time.calendar(), spec.training
    # A label lies in the partition of the period in which it became known. Only partitions that ended by `as_of`
    # count: a later repeat of this moment must not find more than the first run did.
    complete = [p for p in lake.periods(spec.name, "labels", label_version) if calendar.bounds(p)[1] <= as_of]
    known = lake.read(
        spec.name,
        "labels",
        periods=complete,
        known_by=as_of,
        version=label_version,
        columns=["_event_time", "_known_time", "_period"],
    )
    if known.empty:
        raise NothingToLearn(spec.name, f"aborted: no label was known by {as_of.isoformat()}")
    known = known[known["_event_time"] < as_of]
    hours = known["_event_time"].dt.floor("h")
    names = {moment: calendar.key(moment) for moment in hours.unique()}
    known = known.assign(event_period=hours.map(names))
    rows = {name: one.rows for name, one in lake.partitions(spec.name, "features", feature_version).items()}
    labels = known["event_period"].value_counts()
    labelled = _mature({name: labels[name] / rows[name] for name in sorted(labels.index) if rows.get(name)})
    if len(labelled) < training.min_periods:
        raise NothingToLearn(
            spec.name,
            f"aborted: too few labelled periods: {len(labelled)} by {as_of.isoformat()}, "
            f"training.min_periods is {training.min_periods}",
        )
    window = labelled[-training.window_periods :]
    return window, sorted(set(known.loc[known["event_period"].isin(window), "_period"]))


def _mature(share: dict[str, float]) -> list[str]:
    """Return the labelled periods without the newest that have only begun to be labelled.

    One early label would otherwise make a period, and push a whole one out of the rows that judge. What "begun" means
    is relative: where only one row in ten is ever labelled, a tenth is a labelled period.
    """
    periods = list(share)
    while len(periods) > 1 and share[periods[-1]] < statistics.median(share[one] for one in periods[:-1]) / 2:
        periods.pop()
    return periods


def _frames(
    lake: Lake, features: Snapshot, labels: Snapshot, key: tuple[str, ...], task: Task, cut: datetime, as_of: datetime
) -> tuple[Frames, dict[str, float]]:
    """Return the rows of two snapshots, and per period the share of feature rows that have a label."""
    rows, marks = lake.read_snapshot(features), lake.read_snapshot(labels)
    rows, marks = rows[rows["_event_time"] < as_of], marks[marks["_event_time"] < as_of]
    frames = assemble(rows, marks, key, task, cut)
    labelled = rows.merge(marks[[*key, "_event_time"]].drop_duplicates(), on=[*key, "_event_time"], how="inner")
    counts = rows["_period"].value_counts()
    share = labelled["_period"].value_counts().reindex(counts.index, fill_value=0) / counts
    return frames, {str(period): round(float(value), 6) for period, value in share.sort_index().items()}


def _check_learnable(spec: ModelSpec, frames: Frames) -> None:
    import numpy as np

    rows = len(frames.train_y)
    if rows < MIN_TRAINING_ROWS:
        why = f"aborted: too few training rows: {rows}, at least {MIN_TRAINING_ROWS} are needed"
        if frames.dropped_for_overlap:
            why += (
                f"; {frames.dropped_for_overlap} rows were left out because their key is among the evaluation rows: "
                "data.key must name a row, not an entity"
            )
        raise NothingToLearn(spec.name, why)
    if not len(frames.eval_y):
        raise NothingToLearn(spec.name, "aborted: no evaluation rows")
    if len(np.unique(frames.train_y)) < 2:
        kind = "constant label" if frames.task == "regression" else "single class"
        raise NothingToLearn(spec.name, f"aborted: {kind}")


def _frozen(stores: Stores, spec: ModelSpec, content: dict[str, Any], frames: Frames) -> TrainingSet:
    """Store the row digests and return the training set; `content` is its snapshots, window, times and statistics."""
    train, evaluation = (stores.artifacts.put(_bytes(identities(k))) for k in (frames.train_keys, frames.eval_keys))
    # Content only: the number of a table version moves with every unrelated write, the rows do not.
    digest = digest_of(
        {
            "model": spec.name,
            "as_of": content["as_of"],
            "features": content["features"].digest,
            "labels": content["labels"].digest,
            "periods": list(content["periods"]),
            "evaluation_from": content["evaluation_from"],
            "train": train,
            "evaluation": evaluation,
        }
    )
    times = frames.train_keys["_event_time"]
    return TrainingSet(
        model=spec.name,
        task=frames.task,
        key=tuple(spec.data.key),
        train_rows=len(frames.train_y),
        evaluation_rows=len(frames.eval_y),
        train_from=times.min().isoformat(),
        train_until=times.max().isoformat(),
        evaluation_until=frames.eval_keys["_event_time"].max().isoformat(),
        row_digests_artifact=train,
        evaluation_row_digests_artifact=evaluation,
        digest=digest,
        **content,
    )


def _label_stats(frames: Frames, share: dict[str, float]) -> dict[str, Any]:
    """Return what influenced the labels: their distribution on both sides, the labelled share, rows left out."""

    def told(y: "np.ndarray[Any, Any]") -> dict[str, Any]:
        if frames.task == "regression":
            return {"mean": float(y.mean()), "sd": float(y.std()), "min": float(y.min()), "max": float(y.max())}
        return {"counts": {str(name): count for name, count in sorted(Counter(y.tolist()).items())}}

    return {
        "train": told(frames.train_y),
        "evaluation": told(frames.eval_y),
        "labelled_share": share,
        "dropped_for_overlap": frames.dropped_for_overlap,
    }


def _bytes(digests: "np.ndarray[Any, Any]") -> bytes:
    return digests.astype("<u8").tobytes()
