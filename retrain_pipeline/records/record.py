"""A record: one typed document about a model, stored by digest and entered in the ledger under what it is about.

Kinds are subclasses. Records are never changed: a later one about the same subject stands beside the earlier one, and
both can be read as of any moment.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from pydantic import Field, ValidationError

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.redaction import redacted_values
from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.stores import Stores

RECORDED = "recorded"
"""The action of the ledger's entry; its payload names kind, schema and digest."""
_NEAR = 20
"""Records of other kinds about a subject are seldom so many between two of one kind."""


class RecordRefused(PermanentError):
    """A stored record that is missing, damaged or not of its schema."""


class Record(Strict):
    """What all kinds have. A subclass names its `KIND` and `FORMAT`; `person` makes a field that people fill in."""

    KIND: ClassVar[str]
    FORMAT: ClassVar[int] = 1
    ONCE: ClassVar[bool] = False
    """One for each subject, the first: the record of a run. Otherwise a record with other contents is a newer one."""

    schema_: str = Field(alias="schema", serialization_alias="schema")
    model: str
    subject: str = Field(min_length=1)
    """What it is about: a version, a run, a decision's id, or the model itself by name."""

    @classmethod
    def make(cls, **fields: Any) -> Self:
        """Return a record of this kind and format."""
        return cls.model_validate({"schema": f"{cls.KIND}/{cls.FORMAT}", **fields})

    def document(self) -> dict[str, Any]:
        """Return the record as JSON values: what is stored."""
        return self.model_dump(mode="json", by_alias=True)


T = TypeVar("T", bound=Record)


def person(default: Any = ..., **more: Any) -> Any:
    """Return a pydantic field that a person fills in; all others are filled from the stores."""
    return Field(default, json_schema_extra={"by": "person"}, **more)


def is_persons(field: "FieldInfo") -> bool:
    """Return whether people fill in a field."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and extra.get("by") == "person"


@dataclass(frozen=True)
class Recorded:
    """A record as it stands in the ledger: who entered it, when, and its document by digest."""

    entry: "Entry"
    kind: str
    subject: str
    digest: str
    document: dict[str, Any]

    def read(self, kind: type[T]) -> T:
        """Return the typed record.

        Raises
        ------
        RecordRefused
            When the document is not of the kind's schema.
        """
        try:
            return kind.model_validate(self.document, strict=False)
        except ValidationError as error:
            first = error.errors()[0]
            place = "/".join(map(str, first["loc"]))
            raise RecordRefused(f"record {self.digest} is no {kind.KIND}: at {place or '/'}: {first['msg']}") from error


def enter(stores: "Stores", record: Record, *, actor: str, run_id: str | None = None) -> "Entry":
    """Store a record and enter it; the same record again is the entry that is there.

    What looks like a secret in it is left out, and said so: records are shown to many, and never deleted.
    """
    document = redacted_values(record.document())
    digest = stores.artifacts.put_json(document)
    which = "" if record.ONCE else f":{digest}"
    return stores.ledger.append(
        NewEntry(
            actor=actor,
            action=RECORDED,
            model=record.model,
            subject=record.subject,
            payload={"kind": record.KIND, "schema": record.schema_, "record": digest},
            run_id=run_id,
            key=f"{RECORDED}:{record.model}:{record.KIND}:{digest_of(record.subject)[:16]}{which}",
        )
    )


def records(
    stores: "Stores", model: str, kind: str | None = None, *, subject: str | None = None, until_seq: int | None = None
) -> Iterator[Recorded]:
    """Yield the records of a model, oldest first, of one kind or subject only, as the ledger was at an entry.

    Raises
    ------
    RecordRefused
        At one whose bytes are missing or damaged.
    """
    for entry in entered(stores, model, kind, subject=subject):
        if until_seq is not None and entry.seq > until_seq:
            return
        yield read_recorded(stores, entry)


def entered(
    stores: "Stores", model: str, kind: str | None = None, *, subject: str | None = None, after_seq: int = 0
) -> "list[Entry]":
    """Return the entries of records, oldest first: for questions that need none of the documents."""
    found = stores.ledger.entries(model=model, action=RECORDED, subject=subject, after_seq=after_seq)
    return [one for one in found if kind is None or one.payload["kind"] == kind]


def newest_records(stores: "Stores", model: str, kind: str, subject: str, n: int) -> list[Recorded]:
    """Return the newest records of a kind about a subject, the newest first, at most `n`, without reading others.

    Raises
    ------
    RecordRefused
        At one whose bytes are missing or damaged.
    """
    for limit in (_NEAR * n, None):
        entries = stores.ledger.entries(model=model, action=RECORDED, subject=subject, limit=limit, newest_first=True)
        found = [one for one in entries if one.payload["kind"] == kind][:n]
        if len(found) == n or limit is None or len(entries) < limit:
            break
    return [read_recorded(stores, one) for one in found]


def read_recorded(stores: "Stores", entry: "Entry") -> Recorded:
    """Return the record that an entry names.

    Raises
    ------
    RecordRefused
        When its bytes are missing or damaged.
    """
    digest = str(entry.payload["record"])
    try:
        document = stores.artifacts.get_json(digest)
    except PermanentError as error:
        raise RecordRefused(f"record {digest} of {entry.subject}, entry {entry.seq}, is unreadable: {error}") from error
    return Recorded(entry, str(entry.payload["kind"]), entry.subject or "", digest, document)
