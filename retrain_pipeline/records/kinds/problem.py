"""The problem: why a model exists and what success is, on record before the first run."""

from typing import ClassVar, Literal

from retrain_pipeline.records.record import Record, person


class Problem(Record):
    """What a declaration says of its problem. The subject is the model; words that change are a newer record."""

    KIND: ClassVar[str] = "problem"

    statement: str
    business_metric: str
    direction: Literal["up", "down"]
    success_metric: str
    success_at_most: float
    owners: tuple[str, ...]
    agreed_by: tuple[str, ...] = person(())
    """Who says that this is the problem; the ledger's entry says who typed it."""
