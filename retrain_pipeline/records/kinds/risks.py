"""What could go wrong with a model, as people assessed it: its subject is the model."""

from typing import ClassVar

from retrain_pipeline.records.record import Record, person
from retrain_pipeline.spec.risks import RiskAssessment


class RiskRecord(Record):
    """The assessment that stood in the model's folder, and for which version it was first on record."""

    KIND: ClassVar[str] = "risk_assessment"

    text: str
    """Digest of the file's bytes."""
    champion: str | None
    said: RiskAssessment = person()
