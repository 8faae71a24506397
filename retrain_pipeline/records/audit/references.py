"""Does everything that the record names by digest still exist, and is it what it was?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.artifacts import ArtifactMissing
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.learning.kept_code import kept_files
from retrain_pipeline.learning.versions import REGISTERED, read_manifest
from retrain_pipeline.records.kinds.audit import Audit
from retrain_pipeline.records.record import RECORDED
from retrain_pipeline.records.retirement import removed_digests
from retrain_pipeline.records.truth.looked import LOOKED, serving

if TYPE_CHECKING:
    from retrain_pipeline.lake.tables import Snapshot
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.spec.decision import Decision
    from retrain_pipeline.stores import Stores

ADDRESSES = frozenset(
    {
        "artifact", "card", "card_json", "card_markdown", "closes", "data_sheet", "decision", "evidence", "evidently",
        "experiment", "json", "leaderboard", "look", "manifest", "markdown", "model_artifact", "plot", "policy",
        "previous", "previous_manifest", "profile", "quality", "record", "report", "sample", "spec",
        "summary", "text", "tombstone", "watch",
    }
)  # fmt: skip
"""Keys under which an entry or a record names an artifact. Other digests name content: of rows, code, declarations."""
_ROWS = "rows"


@dataclass(frozen=True)
class Reference:
    """One artifact that is named, and where."""

    digest: str
    place: str


@dataclass(frozen=True)
class Dead:
    """A reference to what is not there, or is not what it was."""

    what: str
    place: str
    words: str


@dataclass(frozen=True)
class Looked:
    """How many different things were looked for, those that are dead, and those that a tombstone stands for."""

    n: int
    dead: tuple[Dead, ...]
    buried: tuple[str, ...]


def look_up(stores: "Stores", model: str, decisions: "list[Decision]") -> Looked:
    """Read again, by digest, all that a model's entries, records, evidence, manifests and decisions name.

    Tables of the lake are looked up at the versions that training sets were frozen at; the rows of those of
    champion, predecessor and the version on trial are read and hashed again.
    """
    removed, seen = removed_digests(stores, model), dict[str, str]()
    dead, buried = list[Dead](), list[str]()
    for one in (*references(stores, model), *_of_decisions(decisions)):
        if one.digest in seen:
            continue
        seen[one.digest] = one.place
        try:
            stores.artifacts.get(one.digest)
        except ArtifactMissing:
            if one.digest in removed:
                buried.append(removed[one.digest])
            else:
                dead.append(Dead(one.digest, one.place, "no such artifact"))
        except PermanentError as error:
            dead.append(Dead(one.digest, one.place, type(error).__name__))
    tables = list(_tables(stores, model))
    return Looked(len(seen) + len(tables), (*dead, *(one for one in tables if one.words)), tuple(sorted(buried)))


def references(stores: "Stores", model: str) -> Iterator[Reference]:
    """Yield every artifact that a model's entries name, audits left out."""
    for entry in stores.ledger.entries(model=model):
        if not is_audit(entry):
            yield from references_of(stores, entry)


def references_of(stores: "Stores", entry: "Entry") -> Iterator[Reference]:
    """Yield every artifact that an entry names, itself or through the manifest, evidence or record that it names.

    What a manifest or evidence that cannot be read names is not known.
    """
    place, version = f"entry {entry.seq} ({entry.action})", str(entry.subject)
    yield from (Reference(digest, place) for digest in named(entry.payload))
    if entry.action == "training_set_frozen":
        yield Reference(version, place)
    if entry.action == REGISTERED:
        model = str(entry.model)
        yield from _within(lambda version: read_manifest(stores, model, version).artifacts, version)
        yield from _within(lambda version: _code(stores, read_manifest(stores, model, version)), version)
    if entry.action == "judged":
        digest = str(entry.payload["evidence"])
        yield from _within(lambda digest: read_evidence(stores.artifacts, digest).artifacts, digest)
    if entry.action == RECORDED:
        digest = str(entry.payload["record"])
        yield from _within(lambda digest: [*named(stores.artifacts.get_json(digest))], digest)


def is_audit(entry: "Entry") -> bool:
    """Return whether an entry is an audit's own, or a look's at documents: an audit does not look at either."""
    return entry.action == LOOKED or (entry.action == RECORDED and entry.payload.get("kind") == Audit.KIND)


def named(value: Any, key: str = "") -> Iterator[str]:
    """Yield the digests that stand under a key of `ADDRESSES`, those of pictures, and that of the rows of a judgement.

    Examples
    --------
    >>> payload = {"evidence": "a" * 64, "fingerprint": "b" * 64, "rows": {"digest": "c" * 64}}
    >>> [digest[0] for digest in named(payload)]
    ['a', 'c']
    """
    if isinstance(value, dict):
        for name, one in value.items():
            place = "rows/digest" if (key, name) == (_ROWS, "digest") else "plot" if key == "plots" else str(name)
            yield from named(one, place)
    elif isinstance(value, list):
        for one in value:
            yield from named(one, key)
    elif isinstance(value, str) and is_digest(value) and (key in ADDRESSES or key == "rows/digest"):
        yield value


def is_digest(text: str) -> bool:
    """Return whether a text is 64 lower-case hex digits."""
    return len(text) == 64 and not set(text) - set("0123456789abcdef")


def _within(read: Any, name: str) -> Iterator[Reference]:
    try:
        found = read(name)
    except PermanentError:
        return  # that it cannot be read is told where it is named
    yield from (Reference(digest, f"{name[:21]}") for digest in found)


def _code(stores: "Stores", manifest: "VersionManifest") -> list[str]:
    """Return the addresses of a version's feature code: none of a version from before code was kept."""
    digest = manifest.feature_code_digest
    return [digest, *kept_files(stores.artifacts, digest).values()] if stores.artifacts.exists(digest) else []


def _of_decisions(decisions: "list[Decision]") -> Iterator[Reference]:
    for one in decisions:
        for evidence in one.front.evidence:
            if is_digest(evidence.id):
                yield Reference(evidence.id, f"decisions/{one.file}")


def _tables(stores: "Stores", model: str) -> Iterator[Dead]:
    """Yield what was looked for in the lake; `words` is empty where it is there."""
    answering = serving(stores, model)
    known: dict[tuple[str, str, int], set[str] | str] = {}
    for entry in stores.ledger.entries(model=model, action=REGISTERED):
        version = str(entry.subject)
        try:
            frozen = read_manifest(stores, model, version).frozen
        except PermanentError:
            continue  # told where the manifest is named
        for one in (frozen.features, frozen.labels):
            what = f"{one.model}/{one.table} version {one.version}"
            yield Dead(what, f"training set of {version}", _lost(stores, one, known, whole=version in answering))


def _lost(stores: "Stores", one: "Snapshot", known: dict[tuple[str, str, int], set[str] | str], *, whole: bool) -> str:
    place = (one.model, one.table, one.version)
    if place not in known:
        try:
            known[place] = set(stores.lake.partitions(*place))
        except PermanentError as error:
            known[place] = str(error)
    found = known[place]
    if isinstance(found, str):
        return found
    if missing := sorted(set(one.periods) - found):
        return f"{len(missing)} of its periods are not there: {', '.join(missing[:3])}"
    return _unlike(stores, one) if whole else ""


def _unlike(stores: "Stores", one: "Snapshot") -> str:
    """Return why the rows of a snapshot are not those that were frozen; nothing where they are."""
    import pyarrow as pa

    try:
        stores.lake.read_snapshot(one)
    except (PermanentError, OSError, pa.ArrowException) as error:
        return f"{type(error).__name__}: {error}"
    return ""
