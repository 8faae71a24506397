"""A review: somebody must look again, by a date; and what they found."""

from datetime import date as Day  # noqa: N812 - as in spec.decision
from typing import ClassVar, Literal

from retrain_pipeline.records.record import Record, person

Outcome = Literal["open", "upheld", "changed", "withdrawn"]
"""``upheld``: it stays as it is; ``changed``: something newer takes its place; ``withdrawn``: it holds no more."""


class Review(Record):
    """One state of a review. The first has no outcome yet; the one that closes it names the one that opened it."""

    KIND: ClassVar[str] = "review"

    opened_because: tuple[str, ...]
    """What asked for it: an assumption that failed, evidence that is gone, a date that passed."""
    due: Day
    closes: str | None = None
    """Digest of the record that opened it; None in that one."""
    closed: str | None = None
    """When it was closed, ISO 8601; None while it is open."""
    outcome: Outcome = person("open")
    reviewer: str | None = person(None)
    words: str = person("", max_length=4000)
    dissent: tuple[str, ...] = person(())
