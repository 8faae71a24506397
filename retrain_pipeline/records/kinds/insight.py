"""What was measured of a version after its release."""

from typing import ClassVar

from retrain_pipeline.insight.measure import Measured
from retrain_pipeline.records.record import Record


class InsightRecord(Record):
    """Measurements of the version that is the subject; `plots` are PNG artifacts by name."""

    KIND: ClassVar[str] = "insight"

    measured: Measured
    plots: dict[str, str]
