"""A postmortem: what went wrong with a champion that had to go back, from the ledger; and why, from people."""

from typing import ClassVar

from retrain_pipeline.records.record import Record, person
from retrain_pipeline.strict import Strict


class Moment(Strict):
    """One entry of the timeline."""

    seq: int
    at: str
    by: str
    action: str
    words: str


class Postmortem(Record):
    """One rollback. The subject is the version that went; a record that people have completed is a newer one."""

    KIND: ClassVar[str] = "postmortem"

    rolled_back_seq: int
    at: str
    by: str
    because: str
    back_to: str
    released_at: str | None
    detected_by: str
    """What noticed it first: a guard by name, or a person."""
    detected_at: str | None
    """When the first sign was on record; that of the rollback where a person gave the first."""
    seconds_to_restore: float | None
    """From the first sign to the rollback, by the clock of the entries."""
    broken: tuple[str, ...]
    """Guards that it broke, with what they found."""
    passed_before: tuple[str, ...]
    """Gates that it had passed, and that did not see it."""
    rows_exposed: int
    """Rows that it served."""
    periods_exposed: tuple[str, ...]
    timeline: tuple[Moment, ...]
    by_person: str = person("")
    causes: tuple[str, ...] = person(())
    actions: tuple[str, ...] = person(())

    @property
    def complete(self) -> bool:
        """Whether somebody has said why it happened and what is done."""
        return bool(self.by_person and self.causes and self.actions)
