"""Who stands for what is owned: `OWNERS.yaml` of the project, beside its roles.

`roles.yaml` says who may do what; this file says whom to ask: each team and person that a declaration or decision
names, and until when.
"""

from datetime import date
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from retrain_pipeline.canonical import canonical_json
from retrain_pipeline.governance.errors import OwnersRefused
from retrain_pipeline.ledger.keyring import policy_folder
from retrain_pipeline.spec.errors import YamlRefused
from retrain_pipeline.spec.yaml import read_yaml_file
from retrain_pipeline.strict import Strict

FILE = "OWNERS.yaml"


class Owner(Strict):
    """A team or person, as declarations name them (``team:mobility``, ``ann@example.org``)."""

    contact: str = Field(min_length=1, max_length=200)
    """Where they are reached: a channel, an address, a page."""
    members: tuple[str, ...] = ()
    """Other owners of the file; a team is there while one of its members is."""
    until: date | None = None
    """The last day (UTC) on which they stand for anything."""


class Owners(Strict):
    """What `OWNERS.yaml` says."""

    owners: dict[str, Owner]

    @model_validator(mode="after")
    def _members_are_owners(self) -> "Owners":
        problems = [
            f"owners.{name}.members: {member!r:.80} is not one of owners"
            for name, owner in self.owners.items()
            for member in owner.members
            if member not in self.owners
        ]
        problems += [
            f"owners.{name}.members: {member!r:.80} has members itself: name the people"
            for name, owner in self.owners.items()
            for member in owner.members
            if member in self.owners and self.owners[member].members
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def absent(self, identity: str, on: date) -> str | None:
        """Return why nobody stands for an identity on a day, None when somebody does."""
        owner = self.owners.get(identity)
        if owner is None:
            return f"{FILE} knows no {identity!r:.120}"
        if owner.until is not None and on > owner.until:
            return f"{identity} is there until {owner.until} only"
        ended = [name for name in owner.members if self.absent(name, on)]
        if owner.members and len(ended) == len(owner.members):
            return f"of {identity}'s members nobody is there any more ({', '.join(ended)})"
        return None


def read_owners(file: Path) -> Owners | None:
    """Return what an owners file says; None when there is no file.

    Raises
    ------
    OwnersRefused
        With the path in the file and what is wrong.
    """
    if not file.exists():
        return None
    try:
        return Owners.model_validate_json(canonical_json(read_yaml_file(file).value), strict=True)
    except YamlRefused as error:
        raise OwnersRefused(f"{file.name}: {error}") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise OwnersRefused(f"{file.name} is refused: {'; '.join(lines)}") from error
    except OSError as error:
        raise OwnersRefused(f"{file.name}: {error.strerror}; mend its permissions") from error


def project_owners() -> Owners | None:
    """Return the owners of the project: `OWNERS.yaml` in the folder of RETRAIN_POLICY."""
    return read_owners(policy_folder() / FILE)
