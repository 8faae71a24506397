"""The hypothesis of a run: what it is expected to show, on record before it can show anything."""

from typing import ClassVar

from retrain_pipeline.records.record import Record
from retrain_pipeline.strict import Strict


class Criterion(Strict):
    """A bound that a gate looks at."""

    gate: str
    metric: str
    op: str
    value: float


class Hypothesis(Record):
    """What a retrain is for. The subject is the run."""

    KIND: ClassVar[str] = "hypothesis"
    ONCE: ClassVar[bool] = True

    words: str
    success: tuple[Criterion, ...]
    """It came out as expected when all of these hold."""
    failure: str
    """When it did not."""
    protocol: str
    """Digest of the protocol's content."""
    protocol_version: int
    rationale: dict[str, tuple[str, ...]]
    """Ids of the accepted decisions that answer for each section of the declaration; empty where nobody wrote why."""
