"""A tombstone: what stands where a version was, after it was retired."""

from typing import ClassVar

from retrain_pipeline.gates.evidence import Digest
from retrain_pipeline.records.record import Record, person


class Tombstone(Record):
    """Of one version, once: what is kept of it, what may be gone, who decided it and why."""

    KIND: ClassVar[str] = "tombstone"
    ONCE: ClassVar[bool] = True

    as_of: str
    """End of the data that the version could know, ISO 8601."""
    manifest: Digest
    """Kept, as are the evidence and all records."""
    evidence: Digest | None
    """Of its newest judgement; None when it was never judged."""
    model_artifact: Digest
    """The bytes that may be gone."""
    size_bytes: int
    served: str
    """Whom it ever served, in words."""
    why: str = person(min_length=10, max_length=1000)
    decided_by: str = person(min_length=1, max_length=200)
