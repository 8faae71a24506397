"""A deviation: where a run, or a person, does it otherwise than was agreed, with the reason and what is expected."""

from typing import ClassVar

from retrain_pipeline.records.record import Record, person


class Deviation(Record):
    """The subject is the run, or the model where a person says it. One that a person explained is a newer record."""

    KIND: ClassVar[str] = "deviation"

    found_by: str
    """``machine``, or who said it."""
    agreed: str
    """What was on record before; empty where a person says what differs."""
    what: str
    """What is otherwise."""
    why: str = person("", max_length=4000)
    expected: str = person("", max_length=4000)
    by: str = person("")
