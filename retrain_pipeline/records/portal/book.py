"""Who is named where: the links of the portal in both directions, and the decisions as the records tell them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from retrain_pipeline.records.portal.lines import loss_lines
from retrain_pipeline.records.portal.links import evidence_page, page_of, record_page, version_page
from retrain_pipeline.records.portal.past import Kept, Past

DECISION = "decision"
FACETS = {
    "problem_domain": "Problem domain",
    "data_sources": "Data source",
    "model_type": "Model type",
    "evaluation_criteria": "Evaluation criterion",
}


@dataclass(frozen=True)
class DecisionLine:
    """A decision by the newest record of it, and the digests of every record of it."""

    id: str
    title: str
    status: str
    kind: str
    date: str
    review_by: str
    supersedes: str | None
    superseded_by: str | None
    facets: dict[str, list[str]]
    kept: Kept
    digests: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """A page that names another: what it is, where it is, and what it is called."""

    what: str
    path: str
    text: str


class Book:
    """What each name leads to, and who names each page."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self._known: dict[str, str] = {}
        self.decisions = _decisions(past)
        self.line_of = {digest: line for line in self.decisions for digest in line.digests}
        """The decision that a record is of, by the record's digest."""
        self.same: dict[tuple[str, str], list[Kept]] = defaultdict(list)
        """The records of a kind about a subject, oldest first."""
        self.naming: dict[str, list[Reference]] = defaultdict(list)
        self._know_versions(past)
        self._know_records(past)
        for kept in past.records:
            self.same[kept.kind, kept.subject].append(kept)
            here = record_page(past.model, kept.kind, kept.digest)
            for name in sorted({kept.subject, *kept.facts.get("names", ())}):
                page = self._known.get(name)
                if page is not None and page != here:
                    self.naming[page].append(Reference(kept.kind, here, title_of(kept)))

    def _know_versions(self, past: Past) -> None:
        model = past.model
        for version in past.versions:
            page = version_page(model, version.name)
            self._known[version.name] = page
            self._known[str(version.entry.payload["manifest"])] = page
            for name in ("model_artifact", "training_set"):
                if version.facts.get(name):
                    self._known.setdefault(str(version.facts[name]), page)
            for one in version.entries:
                if one.action == "judged":
                    digest = str(one.payload["evidence"])
                    self._known[digest] = evidence_page(model, digest)
        for run in past.runs:
            if run.version:
                self._known.setdefault(run.run_id, version_page(model, run.version))

    def _know_records(self, past: Past) -> None:
        model = past.model
        for kept in past.records:
            self._known[kept.digest] = record_page(model, kept.kind, kept.digest)
        for line in self.decisions:
            page = record_page(model, DECISION, line.kept.digest)
            self._known[line.id] = page
            self._known.update(dict.fromkeys(_file_digests(line.kept), page))

    def links(self, names: Iterable[str]) -> dict[str, str]:
        """Return the names that have a page, with it."""
        return {name: self._known[name] for name in names if name in self._known}

    def page(self, name: str | None) -> str | None:
        """Return the page of a name, if it has one."""
        return self._known.get(name) if name else None

    def facets(self) -> dict[str, list[str]]:
        """Return the model's facets: those of its decisions, and for what none says, what its declaration says."""
        found = {name: sorted({one for line in self.decisions for one in line.facets[name]}) for name in FACETS}
        declared, newest = self._past.declaration, self._past.versions[-1:] or []
        found["data_sources"] = found["data_sources"] or list(declared.get("sources") or [])
        metric = declared.get("metric")
        found["evaluation_criteria"] = found["evaluation_criteria"] or ([metric] if metric else [])
        types = [str(one.facts.get("estimator")).rpartition(".")[2] for one in newest if one.facts.get("estimator")]
        found["model_type"] = found["model_type"] or types
        return {name: values or ["not stated"] for name, values in found.items()}


def title_of(kept: Kept) -> str:
    """Return what a record is called."""
    title = kept.facts.get("title") or kept.facts.get("head", {}).get("title")
    return str(title) if title else f"{kept.kind.replace('_', ' ')} of {kept.subject}"


def _decisions(past: Past) -> list[DecisionLine]:
    newest: dict[str, Kept] = {}
    digests: dict[str, list[str]] = defaultdict(list)
    for kept in past.records:
        if kept.kind == DECISION:
            name = str(said(kept, "id") or kept.subject)
            newest[name] = kept
            digests[name].append(kept.digest)
    lines = [_line(name, kept, tuple(digests[name])) for name, kept in newest.items()]
    return sorted(lines, key=lambda one: (one.date, one.id))


def said(kept: Kept, name: str) -> Any:
    """Return a field of a decision, from its front matter where it has one."""
    front = kept.facts.get("front") or {}
    return front.get(name, kept.facts.get(name, kept.facts.get("head", {}).get(name)))


def _line(name: str, kept: Kept, digests: tuple[str, ...]) -> DecisionLine:
    subject = said(kept, "subject")
    kind = subject.get("kind") if isinstance(subject, dict) else said(kept, "kind")
    return DecisionLine(
        name,
        str(said(kept, "title") or name),
        str(said(kept, "status") or "unknown"),
        str(kind or "unknown"),
        str(said(kept, "date") or ""),
        str(said(kept, "review_by") or ""),
        said(kept, "supersedes"),
        said(kept, "superseded_by"),
        {facet: _list(said(kept, facet)) for facet in FACETS},
        kept,
        digests,
    )


def _list(value: Any) -> list[str]:
    """Return a facet's values; a text lists them with commas."""
    parts = value.split(",") if isinstance(value, str) else value or []
    return [str(one).strip() for one in parts if str(one).strip()]


def _file_digests(kept: Kept) -> list[str]:
    """Return the digest under which a decision's file is named in evidence."""
    digest = kept.facts.get("head", {}).get("text")
    return [str(digest)] if digest else []


@dataclass
class Shelf:
    """A model's past and book, made once a build."""

    past: Past
    book: Book
    graph: list[dict[str, Any]] = field(default_factory=list)
    """The model's assets as plain data: `key`, `deps`, `words`, `kinds`."""

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        """The losses as lines."""
        return loss_lines(self.past)

    @property
    def name(self) -> str:
        """The model."""
        return self.past.model

    def front(self) -> str:
        """Return the path of the model's front page."""
        return page_of(self.past.model)


def head(shelf: Shelf, tab: str, title: str) -> dict[str, Any]:
    """Return what every page of a model says: which model, which tab, and its title."""
    return {"model": shelf.name, "tab": tab, "title": title}
