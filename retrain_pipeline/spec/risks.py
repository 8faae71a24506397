"""`risks.yaml` in a model's folder: what could go wrong, what that would do to whom, and what is done about it."""

from datetime import date as Day  # noqa: N812 - as in decisions
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.spec.decision import Id, Line
from retrain_pipeline.spec.written import read_written, reads, twice
from retrain_pipeline.strict import Strict

FILE = "risks.yaml"
Level = Literal["low", "medium", "high"]


class RisksRefused(PermanentError):
    """A risks file that cannot be read as one; the words name the place and what is wrong."""


class Risk(Strict):
    """One thing that could go wrong."""

    id: Id
    risk: Line
    impact: Line
    """What it would do, and to whom."""
    likelihood: Level
    severity: Level
    mitigation: Line
    owner: Line
    monitor: Line | None = None
    """A predicate over the model's facts that holds as long as the mitigation does; none: nobody watches it."""

    @field_validator("monitor")
    @classmethod
    def _reads(cls, text: str | None) -> str | None:
        return reads(text)


class RiskAssessment(Strict):
    """Risks, impacts and mitigations as people saw them on a day."""

    schema_: Literal[1] = Field(alias="schema", serialization_alias="schema")
    assessed: Day
    by: tuple[Line, ...] = Field(min_length=1)
    review_by: Day
    sensitive: dict[str, Line] = Field(default_factory=dict)
    """Columns of the source that are sensitive, each with the reason."""
    regulation: tuple[Line, ...] = ()
    """Laws and rules that bind the model."""
    risks: tuple[Risk, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "RiskAssessment":
        if doubled := twice([one.id for one in self.risks]):
            raise ValueError(f"risks: id {', '.join(doubled)} is given twice")
        if self.review_by <= self.assessed:
            raise ValueError(f"review_by {self.review_by} is not after assessed {self.assessed}")
        return self


def read_risks(folder: Path) -> RiskAssessment | None:
    """Return what the risks file of a model's folder says; None when there is none.

    Raises
    ------
    RisksRefused
        With every place in the file that is wrong.
    """
    return read_written(folder / FILE, RiskAssessment, RisksRefused)
