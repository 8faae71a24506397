"""What search looks through: the text of each document, in parts that a browser reads once somebody searches.

A site of files has no server to ask and may not read its own files but as scripts. So each part is a script of one
line that hands over its documents, and a list names the parts. Parts fill up from the oldest document: one that is full
is never made again, and a browser reads the newest first.
"""

import json
from dataclasses import dataclass
from typing import Any

from retrain_pipeline.canonical import sha256
from retrain_pipeline.records.portal.book import Shelf, title_of
from retrain_pipeline.records.portal.links import page_of, record_page
from retrain_pipeline.records.portal.past import Version
from retrain_pipeline.records.portal.releases import Release
from retrain_pipeline.records.portal.site import Page
from retrain_pipeline.records.portal.words import shown

PART = 250
"""Documents of a part: some hundred kilobytes."""
_MOST_TEXT = 4000
_TOLD = ("rolled_back", "withdrawn", "rejected", "approved", "refused")
Document = dict[str, str]


@dataclass(frozen=True)
class SearchPart:
    """Documents of a model in one file, and the newest entry of the ledger that is about one of them."""

    page: Page
    documents: int
    newest_seq: int


def search_parts(shelf: Shelf, found: list[Release]) -> list[SearchPart]:
    """Return the documents of a model in parts, oldest first."""
    documents = sorted(_documents(shelf, found), key=lambda one: one[0])
    parts = []
    for at in range(0, len(documents), PART):
        some = documents[at : at + PART]
        path = page_of(shelf.name, f"search-{at // PART + 1}").replace(".html", ".js")
        page = _script(path, f"self.PORTAL.push(...{_json([one for _, one in some])})")
        parts.append(SearchPart(page, len(some), some[-1][0]))
    return parts


def search_list(parts: list[SearchPart]) -> Page:
    """Return the list of all parts, that of the newest documents first."""
    paths = [one.page.path for one in sorted(parts, key=lambda one: -one.newest_seq)]
    return _script("search.js", f"self.PORTAL = []; self.PORTAL_PARTS = {_json(paths)}")


def _documents(shelf: Shelf, found: list[Release]) -> list[tuple[int, Document]]:
    """Return a document a page, as text, each with the entry that it begins with."""
    told = {one.name: f"{one.story} {one.ended}" for one in found}
    problem = shelf.past.declaration.get("problem") or {}
    documents = [(0, _document("model", shelf.name, shelf.front(), str(problem.get("statement") or ""), shelf.name))]
    for version in shelf.past.versions:
        path = shelf.book.page(version.name) or shelf.front()
        text = f"{told.get(version.name, '')} {_words(shelf, version)}"
        documents.append((version.entry.seq, _document("version", version.name, path, text, shelf.name)))
    for run in shelf.past.runs:
        if run.version is None:
            text = " ".join([*run.reasons, run.words])
            path = page_of(shelf.name, "experiments")
            documents.append((run.seq, _document("experiment", f"run {run.run_id[:8]}", path, text, shelf.name)))
    for kept in shelf.past.records:
        path, text = record_page(shelf.name, kept.kind, kept.digest), str(kept.facts.get("text") or "")
        kind = kept.kind.replace("_", " ")
        documents.append((kept.entry.seq, _document(kind, title_of(kept), path, text, shelf.name)))
    return documents


def _words(shelf: Shelf, version: Version) -> str:
    """Return verdict, what stopped it, what asked for it and what people said of a version."""
    run = shelf.past.run.get(version.entry.run_id or "")
    gates = version.judged.get("gates") or ()
    return " ".join(
        [
            version.verdict,
            str(version.facts.get("candidate") or ""),
            *(f"{gate} {verdict}: {said}" for gate, verdict, said in gates if verdict != "PASS"),
            *(run.reasons if run else ()),
            *(
                str(one.payload.get("because") or one.payload.get("words") or "")
                for one in version.entries
                if one.action in _TOLD
            ),
        ]
    )


def _document(kind: str, title: str, path: str, text: str, model: str) -> Document:
    cut = " ".join(shown(text).split())[:_MOST_TEXT]
    return {"k": kind, "t": shown(title), "u": path, "x": cut, "m": model}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, sort_keys=True).replace("<", "\\u003c")


def _script(path: str, line: str) -> Page:
    data = f"{line};\n".encode()
    return Page(path, sha256(data), lambda: data)
