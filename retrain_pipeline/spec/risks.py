"""`risks.yaml` in a model's folder: what could go wrong, what that would do to whom, and what is done about it."""

from datetime import date as Day  # noqa: N812 - as in decisions
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from retrain_pipeline.canonical import canonical_json
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.spec.decision import Id, Line
from retrain_pipeline.spec.errors import YamlRefused
from retrain_pipeline.spec.predicate import PredicateRefused, parse_predicate
from retrain_pipeline.spec.yaml import read_yaml_file
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
        if text is not None:
            try:
                parse_predicate(text)
            except PredicateRefused as error:
                raise ValueError(str(error)) from error
        return text


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
        names = [one.id for one in self.risks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"risks: id {', '.join(twice)} is given twice")
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
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        return RiskAssessment.model_validate_json(canonical_json(read_yaml_file(file).value), strict=True)
    except YamlRefused as error:
        raise RisksRefused(f"{FILE}: {error}") from error
    except ValidationError as error:
        told = [f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in error.errors()]
        raise RisksRefused(f"{FILE}: {'; '.join(told)}; docs/audit.md shows one") from error
