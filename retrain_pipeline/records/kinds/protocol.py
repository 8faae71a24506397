"""The evaluation protocol: by what models will be judged, agreed before any is."""

from typing import Any, ClassVar

from pydantic import Field

from retrain_pipeline.records.record import Record, person


class Protocol(Record):
    """One version of a model's protocol. Two runs are comparable when the `content` that judged them is the same."""

    KIND: ClassVar[str] = "protocol"

    version: int = Field(ge=1)
    digest: str
    """SHA-256 of the content: which protocol it is, whoever agreed to it."""
    content: dict[str, Any]
    """Success criterion, source, key, time and label of the data, evaluation periods, and gates, as declared."""
    features: dict[str, Any]
    """The feature steps when it was registered; they may differ between comparable runs."""
    before: str | None
    """Digest of the content of the version before."""
    changed: tuple[str, ...]
    """Places in the content that differ from the version before."""
    agreed_by: tuple[str, ...] = person(())
