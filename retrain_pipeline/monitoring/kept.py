"""The summary of a period that is kept: all that later checks need of its rows, in a few kilobytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.learning.frames import slice_values
from retrain_pipeline.monitoring.errors import SummaryMissing
from retrain_pipeline.monitoring.joint import JointTable, joint_table
from retrain_pipeline.monitoring.reference import Reference, spoken
from retrain_pipeline.monitoring.summaries import CategoryProfile, Profile
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

MONITORED = "monitored"


@dataclass(frozen=True)
class PeriodSummary:
    """A period in the cells of a champion's reference: features, what it answered, and labels that became known."""

    period: str
    champion: str
    features: Profile
    predictions: Profile | None
    joint: JointTable | None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, no NaN among them."""
        return {
            "schema": "summary/1",
            "period": self.period,
            "champion": self.champion,
            "features": self.features.to_json(),
            "predictions": self.predictions.to_json() if self.predictions else None,
            "joint": self.joint.to_json() if self.joint else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "PeriodSummary":
        """Return the summary that `to_json` wrote."""
        answers, joint = value["predictions"], value["joint"]
        return cls(
            str(value["period"]),
            str(value["champion"]),
            Profile.from_json(value["features"]),
            Profile.from_json(answers) if answers else None,
            JointTable.from_json(joint) if joint else None,
        )


def read_summary(stores: Stores, model: str, period: str) -> PeriodSummary:
    """Return what the newest monitoring of a period kept of it.

    Raises
    ------
    SummaryMissing
        When the period was not monitored, or before there was a champion to compare with.
    """
    entry = stores.ledger.latest(model, MONITORED, period)
    digest = entry.payload.get("summary") if entry else None
    if digest is None:
        raise SummaryMissing(f"{model} {period} has no summary: monitor the period once the model has a champion")
    return PeriodSummary.from_json(stores.artifacts.get_json(digest))


def read_joint(
    stores: Stores, spec: ModelSpec, period: str, end: "datetime", version: str, reference: Reference
) -> JointTable | None:
    """Return the joint table of a version's labels that became known in a period; None when there are none."""
    stored = stores.lake.partitions(spec.name, "feedback").get(period)
    if stored is None or not stored.rows or reference.predictions is None:
        return None
    frame = stores.lake.read(spec.name, "feedback", periods=[period], known_by=end)
    frame = frame[frame["model_version"] == version]
    identity = [*spec.data.key, "_event_time"]
    frame = frame.drop_duplicates(identity, keep="last").reset_index(drop=True)
    if frame.empty:
        return None
    answers, cells = spoken(frame, spec)["prediction"], reference.predictions.columns["prediction"]
    if isinstance(cells, CategoryProfile):  # classes stand for bins
        answers = answers.astype(str).map({level: number for number, level in enumerate(cells.edges)})
        answers = answers.fillna(len(cells.edges))
        cuts = tuple(number + 0.5 for number in range(len(cells.edges)))
    else:
        cuts = cells.edges[1:-1]
    slices = slice_values(stores, spec, frame[identity], end) if spec.gates.slices else None
    return joint_table(_told(frame, answers), cuts, classes=reference.classes, slices=slices)


def _told(frame: "pd.DataFrame", answers: "pd.Series[Any]") -> "pd.DataFrame":
    return frame[["label", "loss"]].assign(prediction=answers)
