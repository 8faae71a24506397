"""Check 1: records, decisions, manifests, evidence and cards are of their schemas, and as they were written."""

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from retrain_pipeline.canonical import NotCanonical, digest_of
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.records.kinds.card_document import CardDocument
from retrain_pipeline.records.record import Record, Recorded, RecordRefused
from retrain_pipeline.records.truth.finding import Finding, right, unknown, wrong
from retrain_pipeline.spec.checklist import FILE as CHECKLIST
from retrain_pipeline.spec.risks import FILE as RISKS

if TYPE_CHECKING:
    from retrain_pipeline.records.truth.context import Context

_ANEW = "restore it from a backup, or bring the records up to date: retrain docs update"


def schema_valid(context: "Context") -> Iterator[Finding]:
    """Look at every record and decision file, and at manifest and evidence of every documented version."""
    known = kinds()
    for one in context.recorded:
        if isinstance(one, Recorded):
            yield record_valid(one, known)
        else:
            entry, words = one
            place = f"ledger entry {entry.seq}"
            yield wrong(f"record of {entry.subject}", place, words, "restore the artifacts from a backup")
    for decision in context.decisions:
        yield right(f"decision {decision.front.id}", f"decisions/{decision.file}")
    for refusal in context.refused_decisions:
        words = str(refusal)
        place = words.partition(":")[0]
        yield wrong(
            "decision", place, words.removeprefix(f"{place}: "), "mend its front matter: retrain decide shows one"
        )
    for thing, file, said in (("risks", RISKS, context.risks), ("checklist", CHECKLIST, context.checklist)):
        if isinstance(said, PermanentError):
            yield wrong(thing, file, str(said).removeprefix(f"{file}: "), "mend the file")
        elif said is not None:
            yield right(thing, file)
    for version in context.versions:
        yield from _version(context, version)
    for version, card in context.cards.items():
        yield _card(version, f"ledger entry {card.entry.seq}", card.document)


def kinds() -> dict[str, type[Record]]:
    """Return the kinds of records that this release knows, by name."""
    found = pkgutil.iter_modules([str(place) for place in _kinds_folder()])
    for module in sorted(found, key=lambda one: one.name):
        importlib.import_module(f"retrain_pipeline.records.kinds.{module.name}")
    classes, known = [Record], dict[str, type[Record]]()
    while classes:
        for one in classes.pop().__subclasses__():
            classes.append(one)
            if one.__module__.startswith("retrain_pipeline.") and "KIND" in vars(one):
                known[one.KIND] = one
    return known


def record_valid(one: Recorded, known: dict[str, type[Record]]) -> Finding:
    """Hold a record against the schema of its kind, its own digest, and the entry that names it."""
    thing, place = f"{one.kind} of {one.subject}", f"ledger entry {one.entry.seq}, record {one.digest[:12]}"
    kind = known.get(one.kind)
    if kind is None:
        words = f"this release knows no kind {one.kind!r:.80}"
        return unknown(thing, place, words, "verify with the release that wrote it, or a later one")
    try:
        read = one.read(kind)
        written = digest_of(read.document())
    except (RecordRefused, NotCanonical) as error:
        return wrong(thing, place, str(error), _ANEW)
    said = (one.entry.payload.get("schema"), one.entry.model, one.entry.subject)
    if said != (read.schema_, read.model, read.subject):
        return wrong(thing, place, "its entry names another schema, model or subject", _ANEW)
    if written != one.digest:
        return wrong(thing, place, "its document is not spelled as the schema spells it", _ANEW)
    if _moment(one.entry.at_utc) is None:
        return wrong(
            thing, place, f"its entry has no time in UTC: {one.entry.at_utc!r:.60}", "run retrain ledger verify"
        )
    return right(thing, place)


def _version(context: "Context", version: str) -> Iterator[Finding]:
    stores, model = context.stores, context.model
    try:
        read_manifest(stores, model, version)
        yield right(f"manifest of {version}", "ledger")
    except PermanentError as error:
        yield wrong(f"manifest of {version}", "ledger", str(error), "restore the artifacts from a backup, or retrain")
    for entry in context.entries:
        if entry.action == "judged" and entry.subject == version:
            thing, place = f"evidence on {version}", f"ledger entry {entry.seq}"
            try:
                read_evidence(stores.artifacts, str(entry.payload.get("evidence")))
                yield right(thing, place)
            except PermanentError as error:
                yield wrong(thing, place, str(error), "restore the artifacts from a backup, or judge it again")


def _card(version: str, place: str, document: dict[str, Any]) -> Finding:
    try:
        CardDocument.model_validate(document, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        words = f"at /{'/'.join(map(str, first['loc']))}: {first['msg']}"
        return wrong(f"card of {version}", place, words, _ANEW)
    return right(f"card of {version}", place)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.utcoffset() == timedelta(0) else None


def _kinds_folder() -> list[str]:
    try:
        package = importlib.import_module("retrain_pipeline.records.kinds")
    except ModuleNotFoundError:
        return []
    return list(package.__path__)
