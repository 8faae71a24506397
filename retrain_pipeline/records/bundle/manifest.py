"""What a bundle says of itself: `bundle.json`, whose digest is the bundle's identity."""

from typing import Any, Literal

from pydantic import Field, model_validator

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import Digest
from retrain_pipeline.strict import Strict

FILE, SIGNATURE, ENTRIES = "bundle.json", "signature.json", "ledger/entries.jsonl"
SIGNS = "retrain bundle/1"
"""The purpose of a bundle's signature."""
Role = Literal["readme", "entries", "artifact", "card", "dashboard", "environment", "features", "decision"]


class BundleRefused(PermanentError):
    """A version that cannot be bundled, or a file that is no bundle; the words name the place and what is wrong."""


class Item(Strict):
    """One file of a bundle."""

    path: str = Field(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$", max_length=300)
    role: Role
    sha256: Digest
    bytes: int = Field(ge=0)


class Absent(Strict):
    """Something that a reader would look for and that is not in the bundle, with the reason."""

    what: str
    why: str


class Bundle(Strict):
    """The inventory of a bundle, and what it is of. `bundle_id` is the SHA-256 of all else in canonical JSON."""

    schema_: Literal["bundle/1"] = Field("bundle/1", alias="schema", serialization_alias="schema")
    bundle_id: Digest
    model: str
    version: str
    role: str
    """Whom the version served when the bundle was made, in words."""
    until_seq: int
    """The newest entry of the model in the ledger then."""
    until: str
    """When that entry was made."""
    written_by: str
    image: str | None
    """The container image that the version was trained in; None outside of one."""
    lock: Digest
    """Of the lock file (or list of packages) from which the environment is made again."""
    absent: tuple[Absent, ...]
    inventory: tuple[Item, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _sound(self) -> "Bundle":
        if self.bundle_id != identity(self.model_dump(mode="json", by_alias=True)):
            raise ValueError("bundle_id is not the digest of what it stands for")
        paths = [one.path.casefold() for one in self.inventory]
        if len(set(paths)) != len(paths):
            raise ValueError("two files of the inventory share a name, but for capitals")
        for one in self.inventory:
            if {".", ".."} & set(one.path.split("/")) or one.path in (FILE, SIGNATURE):
                raise ValueError(f"{one.path!r:.80} is no path that a bundle may have")
            if one.role == "artifact" and one.path != f"artifacts/{one.sha256}":
                raise ValueError(f"{one.path!r:.80} is not named by its digest")
        return self


def identity(document: dict[str, Any]) -> str:
    """Return the id of a bundle from its document, with or without the id in it."""
    return digest_of({name: value for name, value in document.items() if name != "bundle_id"})
