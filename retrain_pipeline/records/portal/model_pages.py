"""The pages that each model has one of: front page, lists, decisions, gates, lineage, changelog, timeline, moments."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.records.history import told
from retrain_pipeline.records.portal.book import FACETS, Shelf, head, title_of
from retrain_pipeline.records.portal.links import chunk_page, page_of, record_page
from retrain_pipeline.records.portal.making import Maker
from retrain_pipeline.records.portal.moments import moments
from retrain_pipeline.records.portal.past import Kept, Past, Run, Version
from retrain_pipeline.records.portal.pictures import (
    asset_picture,
    decision_picture,
    latency_line,
    policy_picture,
    version_picture,
)
from retrain_pipeline.records.portal.releases import Release, changelog, release_lines
from retrain_pipeline.records.portal.site import Page
from retrain_pipeline.records.portal.terms import GATES, QUIET, stream_of

T = TypeVar("T")
PART = 200
"""Rows of a long list on one page: a part that is full is never made again."""
_STORIES = 12


def model_pages(make: Maker, shelf: Shelf, found: list[Release]) -> Iterator[Page]:
    """Yield the pages of a model."""
    yield _front(make, shelf, found)
    yield from _list(make, shelf, "versions", [version_line(shelf, one) for one in shelf.past.versions])
    kept = {one.subject: one for one in shelf.past.records if one.kind == "experiment"}
    runs = [_run_line(shelf, one, kept.get(one.run_id)) for one in shelf.past.runs]
    yield from _list(make, shelf, "experiments", runs)
    yield from _list(make, shelf, "changelog", [changelog(shelf.past, one) for one in found])
    yield from _list(make, shelf, "timeline", _events(shelf.past), {"latency": latency_line(shelf.past)})
    yield from _list(make, shelf, "records", [_record_line(shelf, kept) for kept in shelf.past.records])
    yield _decisions(make, shelf)
    yield _gates(make, shelf)
    yield _lineage(make, shelf)
    yield from moments(make, shelf, found)


def state_of(past: Past) -> dict[str, Any]:
    """Return who serves and how the model is."""
    deployment, monitored = past.deployment, past.of_action["monitored"][-1:]
    champion = past.version.get(past.champion or "")
    on = deployment.challenger if deployment else None
    last = monitored[0].payload if monitored else {}
    judged = past.of_action["judged"][-1:]
    return {
        "champion": past.champion,
        "since": past.standing[-1].deployment.released_at if past.standing else None,
        "previous": deployment.previous if deployment else None,
        "trial": f"{on.version}, {on.stage}" + (f" at {on.share:.0%}" if on.share else "") if on else None,
        "loss": champion.told_loss if champion else {"metric": None, "value": None, "n": None},
        "monitoring": last.get("verdict"),
        "monitored": last.get("period"),
        "monitored_words": told(monitored[0]) if monitored else "",
        "judged": judged[0].payload.get("verdict") if judged else None,
        "versions": len(past.versions),
        "runs": len(past.runs),
        "releases": sum(one.entry.action == "released" for one in past.reigns),
        "rollbacks": len(past.of_action["rolled_back"]),
        "last": past.entries[-1].at_utc if past.entries else None,
        "lane_of": next((one.payload.get("of") for one in past.of_action["lane_opened"]), None),
    }


def version_line(shelf: Shelf, version: Version) -> dict[str, Any]:
    """Return a version as a row."""
    return {
        "name": version.name,
        "path": shelf.book.page(version.name),
        "as_of": version.facts.get("as_of"),
        "candidate": version.facts.get("candidate"),
        "rows": version.facts.get("rows"),
        "loss": version.loss,
        "metric": version.told_loss["metric"],
        "verdict": version.verdict,
        "serves": shelf.past.serves(version.name),
        "facets": {"verdict": [version.verdict], "candidate": [str(version.facts.get("candidate"))]},
    }


def _front(make: Maker, shelf: Shelf, found: list[Release]) -> Page:
    past = shelf.past
    context = {
        **head(shelf, "index", shelf.name),
        "state": state_of(past),
        "declared": past.declaration,
        "facets": shelf.book.facets(),
        "facet_names": FACETS,
        "lines": shelf.lines,
        "releases": release_lines(shelf, found[-_STORIES:]),
        "all_releases": len(found),
        "links": shelf.book.links([past.champion or "", (past.deployment.previous if past.deployment else "") or ""]),
        "decisions": [[one.id, one.title, shelf.book.page(one.id)] for one in shelf.book.decisions],
        "reviews": _open_reviews(shelf),
        "counts": dict(Counter(kept.kind for kept in past.records)),
    }
    return make.page(shelf.front(), "model.html.j2", context)


def _open_reviews(shelf: Shelf) -> list[dict[str, Any]]:
    """Return the reviews that nobody has closed: a later record about the same subject that names it closes one."""
    reviews = [kept for kept in shelf.past.records if kept.kind == "review"]
    closed = {name for kept in reviews for name in kept.facts.get("names", ())}
    return [
        {"title": title_of(kept), "path": shelf.book.page(kept.digest), "due": kept.facts.get("due")}
        for kept in reviews
        if kept.digest not in closed and kept.facts.get("outcome") == "open"
    ]


def parts_of(rows: Sequence[T], size: int = PART) -> list[list[T]]:
    """Return rows in parts of one size, from the oldest; at least one part, the last may be short."""
    return [list(rows[at : at + size]) for at in range(0, len(rows), size)] or [[]]


def _list(
    make: Maker, shelf: Shelf, name: str, rows: list[dict[str, Any]], more: dict[str, Any] | None = None
) -> Iterator[Page]:
    """Yield a long list as pages, each newest first; the last part has the name of the list."""
    parts = parts_of(rows)
    for number, part in enumerate(parts):
        newest = number == len(parts) - 1
        context = {
            **head(shelf, name, f"{name.capitalize()} of {shelf.name}"),
            "rows": part[::-1],
            "older": chunk_page(shelf.name, name, number - 1, len(parts)) if number else None,
            "newer": None if newest else chunk_page(shelf.name, name, number + 1, len(parts)),
            "total": len(rows) if newest else None,
            "more": (more or {}) if newest else {},
        }
        yield make.page(chunk_page(shelf.name, name, number, len(parts)), f"{name}.html.j2", context)


def _run_line(shelf: Shelf, run: Run, kept: Kept | None) -> dict[str, Any]:
    told_of_it = kept.facts if kept else {}
    version = shelf.past.version.get(run.version or "")
    verdict = version.verdict if version else "NEVER JUDGED"
    return {
        "run": run.run_id,
        "at": run.at_utc,
        "as_of": run.as_of,
        "kind": run.kind,
        "reasons": run.reasons,
        "version": run.version,
        "path": shelf.book.page(run.version),
        "record": shelf.book.page(kept.digest) if kept else None,
        "verdict": verdict,
        "ended": run.ended,
        "words": told_of_it.get("why_failed") or run.words,
        "lesson": told_of_it.get("lesson"),
        "facets": {
            "verdict": [verdict],
            "ended": [run.ended.replace("_", " ")],
            "asked by": [run.kind.replace("_", " ")],
        },
    }


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _record_line(shelf: Shelf, kept: Kept) -> dict[str, Any]:
    people = any(kept.facts.get("whose", {}).values())
    return {
        "kind": kept.kind,
        "subject": kept.subject,
        "title": title_of(kept),
        "path": record_page(shelf.name, kept.kind, kept.digest),
        "about": shelf.book.page(kept.subject),
        "at": kept.entry.at_utc,
        "actor": kept.entry.actor,
        "people": people,
        "facets": {
            "kind": [kept.kind.replace("_", " ")],
            "filled in by": ["people, too" if people else "machine alone"],
        },
    }


def _events(past: Past) -> list[dict[str, Any]]:
    """Return what happened to data, model and infrastructure, in one order; monitoring where its verdict turned."""
    rows, verdict = [], None
    for entry in past.entries:
        if entry.action in QUIET:
            continue
        words = told(entry)
        if entry.action == "monitored":
            if entry.payload.get("verdict") == verdict:
                continue
            verdict = entry.payload.get("verdict")
            words = f"monitoring turned {verdict}: {words}" if words != "monitored" else f"monitoring turned {verdict}"
        rows.append(_event(entry, words))
    return rows


def _event(entry: Entry, words: str) -> dict[str, Any]:
    stream = stream_of(entry.action)
    return {
        "seq": entry.seq,
        "at": entry.at_utc,
        "as_of": entry.payload.get("as_of"),
        "stream": stream,
        "action": entry.action.replace("_", " "),
        "subject": entry.subject if entry.subject and len(entry.subject) < 40 else None,
        "words": words if len(words) <= 600 else f"{words[:599]}…",
        "actor": entry.actor,
        "facets": {"stream": [stream]},
    }


def _decisions(make: Maker, shelf: Shelf) -> Page:
    lines = [
        {
            "id": one.id,
            "title": one.title,
            "status": one.status,
            "kind": one.kind,
            "date": one.date,
            "review_by": one.review_by,
            "supersedes": one.supersedes,
            "superseded_by": one.superseded_by,
            "path": shelf.book.page(one.id),
            "facets": {
                "kind": [one.kind],
                "status": [one.status],
                **{FACETS[name].lower(): values for name, values in one.facets.items() if values},
            },
        }
        for one in shelf.book.decisions
    ]
    files = shelf.past.versions[-1].judged.get("decisions") if shelf.past.versions else {}
    context = {
        **head(shelf, "decisions", f"Decisions of {shelf.name}"),
        "rows": lines[::-1],
        "graph": decision_picture(shelf),
        "links": shelf.book.links([*(one.supersedes or "" for one in shelf.book.decisions)]),
        "files": sorted((files or {}).items()),
    }
    return make.page(page_of(shelf.name, "decisions"), "decisions.html.j2", context)


def _gates(make: Maker, shelf: Shelf) -> Page:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    stopped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for version in shelf.past.versions:
        for gate, verdict, words in version.judged.get("gates") or ():
            counts[gate][verdict] += 1
            if verdict != "PASS":
                line = {"version": version.name, "path": shelf.book.page(version.name), "words": words}
                stopped[gate] = [*stopped[gate][-2:], {**line, "verdict": verdict}]
    judged = [one.judged["required"] for one in shelf.past.versions if one.judged.get("required")]
    required: list[str] = judged[-1] if judged else []
    names = list(dict.fromkeys([*required, *counts]))
    rows = [
        {
            "gate": gate,
            "words": GATES.get(gate, ""),
            "required": gate in required,
            "counts": {name: counts[gate][name] for name in ("PASS", "FAIL", "INCONCLUSIVE")},
            "stopped": stopped[gate][::-1],
        }
        for gate in names
    ]
    declared = shelf.past.declaration
    context = {
        **head(shelf, "gates", f"Gates of {shelf.name}"),
        "rows": rows,
        "way": policy_picture(shelf, list(required)),
        "declared": {**(declared.get("gates") or {}), "success": (declared.get("problem") or {}).get("success")},
    }
    return make.page(page_of(shelf.name, "gates"), "gates.html.j2", context)


def _lineage(make: Maker, shelf: Shelf) -> Page:
    edges = sorted((dep, one["key"]) for one in shelf.graph for dep in one["deps"])
    context = {
        **head(shelf, "lineage", f"Lineage of {shelf.name}"),
        "assets": shelf.graph,
        "edges": edges,
        "graph": asset_picture(shelf),
        "versions": version_picture(shelf),
    }
    return make.page(page_of(shelf.name, "lineage"), "lineage.html.j2", context)
