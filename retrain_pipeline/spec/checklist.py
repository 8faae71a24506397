"""`checklist.yaml` in a model's folder: what is expected of whom, in which role, and by when."""

from datetime import date as Day  # noqa: N812 - as in decisions
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.spec.decision import Id, Line
from retrain_pipeline.spec.written import read_written, reads, twice
from retrain_pipeline.strict import Strict

FILE = "checklist.yaml"
Role = Literal["build", "review", "sign_off", "support"]


class ChecklistRefused(PermanentError):
    """A checklist that cannot be read as one, or a tick that it does not take; the words say why."""


class Expected(Strict):
    """One item: something that must be so by a day, and who sees to it."""

    id: Id
    expects: Line
    owner: Line
    role: Role
    due: Day
    accept: Line | None = None
    """A predicate over the model's facts by which a machine sees that it is so; none: its owner says so."""

    @field_validator("accept")
    @classmethod
    def _reads(cls, text: str | None) -> str | None:
        return reads(text)


class Checklist(Strict):
    """What the people around a model expect of each other."""

    schema_: Literal[1] = Field(alias="schema", serialization_alias="schema")
    revised: Day
    by: tuple[Line, ...] = Field(min_length=1)
    items: tuple[Expected, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Checklist":
        if doubled := twice([one.id for one in self.items]):
            raise ValueError(f"items: id {', '.join(doubled)} is given twice")
        builds, signs = ({one.owner for one in self.items if one.role == role} for role in ("build", "sign_off"))
        if both := sorted(builds & signs):
            raise ValueError(f"items: {', '.join(both)} would sign off what they build: name somebody else")
        return self


def read_checklist(folder: Path) -> Checklist | None:
    """Return what the checklist of a model's folder says; None when there is none.

    Raises
    ------
    ChecklistRefused
        With every place in the file that is wrong.
    """
    return read_written(folder / FILE, Checklist, ChecklistRefused)
