"""Which feature comes from which source column."""

from typing import ClassVar

from retrain_pipeline.insight.lineage import ColumnLineage
from retrain_pipeline.records.record import Record


class LineageRecord(Record):
    """Columns by feature, as observed; the subject is the digest of the feature code."""

    KIND: ClassVar[str] = "lineage"

    lineage: ColumnLineage
