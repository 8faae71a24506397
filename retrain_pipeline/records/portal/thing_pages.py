"""A page for each version, each evidence and each record."""

from collections.abc import Iterator
from typing import Any

from retrain_pipeline.records.card import NOT_MEASURED
from retrain_pipeline.records.history import told
from retrain_pipeline.records.portal.book import DECISION, Shelf, head, title_of
from retrain_pipeline.records.portal.changes import STREAMS, changes
from retrain_pipeline.records.portal.facts import Facts
from retrain_pipeline.records.portal.links import evidence_page, record_page, version_page
from retrain_pipeline.records.portal.making import Maker
from retrain_pipeline.records.portal.past import Kept, Version
from retrain_pipeline.records.portal.releases import Release
from retrain_pipeline.records.portal.site import Page
from retrain_pipeline.records.portal.tree import EVIDENCE

_CHAIN = 12
"""Ancestors that a version's page names; each of theirs names theirs."""
_NAMED = 60


def thing_pages(make: Maker, shelf: Shelf, found: list[Release]) -> Iterator[Page]:
    """Yield the pages of a model's versions, evidence and records."""
    released = {one.name: one for one in found}
    children: dict[str, list[str]] = {}
    for version in shelf.past.versions:
        children.setdefault(str(version.facts.get("parent")), []).append(version.name)
    for version in shelf.past.versions:
        yield _version(make, shelf, version, released.get(version.name), children.get(version.name, []))
        digests = [str(one.payload["evidence"]) for one in version.entries if one.action == "judged"]
        for digest in dict.fromkeys(digests):
            yield _evidence(make, shelf, version, digest)
    for kept in {one.digest: one for one in shelf.past.records}.values():
        yield _record(make, shelf, kept)


def _version(make: Maker, shelf: Shelf, version: Version, released: Release | None, children: list[str]) -> Page:
    past, book = shelf.past, shelf.book
    here = version_page(shelf.name, version.name)
    parent = past.version.get(str(version.facts.get("parent")))
    streams = changes(past, parent, version)
    chain = _chain(shelf, version)
    champion = version.judged.get("champion")
    run = past.run.get(version.entry.run_id or "")
    files = sorted((version.judged.get("decisions") or {}).items())
    spec = version.facts.get("spec")
    context = {
        **head(shelf, "versions", f"{shelf.name} {version.name}"),
        "version": version.name,
        "serves": past.serves(version.name),
        "verdict": version.verdict,
        "story": released.story if released else None,
        "ended": released.ended if released else None,
        "run": {"kind": run.kind, "reasons": run.reasons, "ended": run.ended, "words": run.words} if run else None,
        "facts": version.facts,
        "loss": version.told_loss,
        "evidence": version.evidence,
        "evidence_page": evidence_page(shelf.name, version.evidence) if version.evidence else None,
        "champion": [champion, book.page(champion)] if champion else None,
        "chain": chain,
        "children": [[one, book.page(one)] for one in children[:_NAMED]],
        "changes": {name: [change.__dict__ for change in streams[name]] for name in STREAMS} if parent else {},
        "problem": past.facts.declaration(str(spec)).get("problem", {}) if spec else {},
        "decisions": [[name, book.page(digest), digest] for name, digest in files],
        "choices": [[one.title, one.kind, book.page(one.id)] for one in book.decisions if one.status == "accepted"],
        "named_by": [one.__dict__ for one in book.naming[here][:_NAMED]],
        "entries": [
            [one.seq, one.at_utc, one.action.replace("_", " "), told(one)[:1000], one.actor] for one in version.entries
        ],
        "not_measured": [list(one) for one in NOT_MEASURED],
        "manifest": str(version.entry.payload["manifest"]),
    }
    facts, evidence = past.facts, version.evidence
    return make.page(here, "version.html.j2", context, lambda: _judgement(facts, evidence))


def _judgement(facts: Facts, evidence: str | None) -> dict[str, Any]:
    """Read the evidence whole: the result of each gate with its place in it."""
    document = facts.document(evidence) if evidence else {}
    results = [{**one, "place": f"/results/{at}"} for at, one in enumerate(document.get("results") or ())]
    return {"results": results, "account": document.get("budget") or {}, "unreadable": document.get("unreadable")}


def _chain(shelf: Shelf, version: Version) -> list[list[Any]]:
    """Return the versions that this one was made to replace, nearest first, as many as a page has."""
    found: list[list[Any]] = []
    seen, name = {version.name}, version.facts.get("parent")
    while name and name not in seen and len(found) < _CHAIN:
        seen.add(name)
        one = shelf.past.version.get(name)
        found.append([name, shelf.book.page(name), (one.facts.get("candidate") if one else None)])
        name = one.facts.get("parent") if one else None
    return found


def _evidence(make: Maker, shelf: Shelf, version: Version, digest: str) -> Page:
    context = {
        **head(shelf, "versions", f"Evidence of {version.name}"),
        "digest": digest,
        "version": [version.name, shelf.book.page(version.name)],
        "links": shelf.book.links(
            [version.name, str(version.judged.get("champion")), str(version.entry.payload["manifest"])]
        ),
    }
    facts = shelf.past.facts
    page = evidence_page(shelf.name, digest)
    return make.page(page, "evidence.html.j2", context, lambda: {"document": facts.document(digest)})


def _record(make: Maker, shelf: Shelf, kept: Kept) -> Page:
    here = record_page(shelf.name, kept.kind, kept.digest)
    same = shelf.book.same[kept.kind, kept.subject]
    names = [*kept.facts.get("names", ()), kept.subject]
    links = {name: page for name, page in shelf.book.links(names).items() if page != here}
    told_in = shelf.book.page(kept.facts.get("head", {}).get("evidence"))
    if told_in is not None:
        links[EVIDENCE] = told_in
    line = shelf.book.line_of.get(kept.digest)
    context = {
        **head(shelf, "decisions" if kept.kind == DECISION else "records", title_of(kept)),
        "kind": kept.kind,
        "subject": [kept.subject, shelf.book.page(kept.subject)],
        "digest": kept.digest,
        "seq": kept.entry.seq,
        "at": kept.entry.at_utc,
        "actor": kept.entry.actor,
        "links": links,
        "whose": kept.facts.get("whose", {}),
        "others": [[one.entry.at_utc, record_page(shelf.name, one.kind, one.digest), one.digest] for one in same],
        "named_by": [one.__dict__ for one in shelf.book.naming[here][:_NAMED]],
        "judged_under": _judged_under(shelf, kept),
        "chain": _superseded(shelf, line.id) if line else [],
    }
    facts = shelf.past.facts

    def more() -> dict[str, Any]:
        document = facts.document(kept.digest)
        return {"document": document, "prose": facts.sections(document)}

    template = "decision.html.j2" if kept.kind == DECISION else "record.html.j2"
    return make.page(here, template, context, more)


def _judged_under(shelf: Shelf, kept: Kept) -> list[list[Any]]:
    """Return the first and the newest version that was judged with a decision's file in place."""
    if kept.kind != DECISION:
        return []
    mine = {name for name, page in shelf.book.links(_values(kept)).items() if page}
    found = [one.name for one in shelf.past.versions if mine & set((one.judged.get("decisions") or {}).values())]
    return [[one, shelf.book.page(one)] for one in dict.fromkeys([*found[:1], *found[-1:]])]


def _values(kept: Kept) -> list[str]:
    return [str(value) for value in kept.facts.get("head", {}).values() if isinstance(value, str) and len(value) == 64]


def _superseded(shelf: Shelf, start: str) -> list[list[Any]]:
    """Return the decisions that this one took the place of, nearest first."""
    by_id = {one.id: one for one in shelf.book.decisions}
    found: list[list[Any]] = []
    name = by_id[start].supersedes
    while name and name in by_id and len(found) < len(by_id):
        found.append([name, shelf.book.page(name), by_id[name].title])
        name = by_id[name].supersedes
    return found
