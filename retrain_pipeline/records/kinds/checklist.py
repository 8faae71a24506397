"""What people around a model expect of each other, and what they say is done."""

from typing import ClassVar

from retrain_pipeline.gates.evidence import Digest
from retrain_pipeline.records.record import Record, person
from retrain_pipeline.spec.checklist import Checklist


class ChecklistRecord(Record):
    """The checklist that stood in the model's folder: its subject is the model."""

    KIND: ClassVar[str] = "checklist"

    text: str
    """Digest of the file's bytes."""
    said: Checklist = person()


class Ticked(Record):
    """An item that its owner says is done: the subject is the item."""

    KIND: ClassVar[str] = "checklist_tick"

    item: Digest
    """Digest of the item as it was worded: a tick of other words is none."""
    checklist: Digest
    """Digest of the file's bytes."""
    by: str = person()
    words: str = person(min_length=10, max_length=2000)
