"""An audit: what a look over a model's records found on a day."""

from datetime import date as Day  # noqa: N812 - as in spec.decision
from typing import Any, ClassVar

from pydantic import Field

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.records.record import Record
from retrain_pipeline.strict import Strict


class Finding(Strict):
    """One thing that a check found: what, where, and in words what is wrong with it."""

    check: str
    what: str
    place: str
    words: str


class Counted(Strict):
    """Filled fields of the records of a kind, by who filled them in."""

    machine: int = Field(ge=0)
    person: int = Field(ge=0)


class Audit(Record):
    """About the model as a whole. The same record on the same day gives the same audit."""

    KIND: ClassVar[str] = "audit"

    today: Day
    looked_until: int
    """The newest entry of the ledger that was looked at; audits themselves do not count."""
    checks: tuple[GateResult, ...]
    """A result per check. A statistic is how many were found, a threshold how many there may be, of `n` looked at."""
    findings: tuple[Finding, ...]
    filled: dict[str, Counted]
    """By kind of record."""
    counts: dict[str, int]
    test_score: dict[str, Any]
    """The ML Test Score, as `records.audit.score.TestScore` has it."""

    def result(self, check: str) -> GateResult:
        """Return the result of a check."""
        return next(one for one in self.checks if one.gate == check)

    @property
    def machine_share(self) -> float | None:
        """The share of filled fields that the machine filled in; None where no field is filled."""
        machine = sum(one.machine for one in self.filled.values())
        fields = machine + sum(one.person for one in self.filled.values())
        return machine / fields if fields else None
