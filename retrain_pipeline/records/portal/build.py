"""A static site of everything on record: from the stores alone, the same bytes from the same stores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_pipeline.names import check_name
from retrain_pipeline.records.history import UnknownVersion
from retrain_pipeline.records.portal.book import FACETS, Book, Shelf
from retrain_pipeline.records.portal.facts import Facts
from retrain_pipeline.records.portal.making import Maker
from retrain_pipeline.records.portal.model_pages import model_pages, state_of
from retrain_pipeline.records.portal.past import Past
from retrain_pipeline.records.portal.releases import releases
from retrain_pipeline.records.portal.searching import SearchPart, search_list, search_parts
from retrain_pipeline.records.portal.site import Page, PortalRefused, Site, Written
from retrain_pipeline.records.portal.terms import GATES, METRICS, TERMS
from retrain_pipeline.records.portal.thing_pages import thing_pages

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

FOLDER = "portal"
"""Name of the portal's folder beside the stores, where no other is given."""
Graph = Mapping[str, Sequence[Mapping[str, Any]]]
"""The assets of each model as plain data: `key`, `deps` (keys), `kinds`, `side` and `words`."""


@dataclass(frozen=True)
class Built:
    """A portal that was built: its first page, and what had to be done."""

    index: Path
    models: int
    versions: int
    pages: int
    made: int
    """Pages that were not as they should be, and were written."""
    removed: int
    until_seq: int | None
    """The last entry that counts, where not all do."""


def build_portal(
    stores: "Stores", out: Path, *, models: Sequence[str] = (), as_of: str | None = None, graph: Graph | None = None
) -> Built:
    """Build the portal, or bring the one that is there up to date.

    Parameters
    ----------
    models
        Default: all that the ledger knows.
    as_of
        An ISO time or the number of an entry: the site shows what was on record then and nothing later.
    graph
        The asset graph, by model; without it the lineage pages have no assets.

    Raises
    ------
    PortalRefused
        When the folder holds something else, or `as_of` is neither a time nor a number.
    UnknownVersion
        When the ledger knows nothing of a model.
    """
    until, then = moment(stores, as_of)
    site = Site(out)
    facts = Facts(stores.artifacts, site.facts)
    shelves = [_shelf(stores, facts, name, until, graph or {}) for name in sorted(models or _known(stores, until))]
    for shelf in shelves:
        if not shelf.past.entries:
            words = f"nothing up to entry {until}" if until is not None else "nothing"
            raise UnknownVersion(f"{shelf.name}: the ledger knows {words} of this model; `status` lists those it knows")
    make, pages, parts = Maker(then), list[Page](), list[SearchPart]()
    for shelf in shelves:
        found = releases(shelf.past)
        pages += model_pages(make, shelf, found)
        pages += thing_pages(make, shelf, found)
        parts += search_parts(shelf, found)
    pages += [one.page for one in parts]
    pages += _site_pages(make, shelves, parts)
    pages += make.static()
    written: Written = site.write(pages, facts.used)
    return Built(
        site.folder / "index.html",
        len(shelves),
        sum(len(shelf.past.versions) for shelf in shelves),
        written.pages,
        written.made,
        written.removed,
        until,
    )


def moment(stores: "Stores", as_of: str | None) -> tuple[int | None, str | None]:
    """Return the last entry that counts and the moment in words; None and None for all that is on record.

    Raises
    ------
    PortalRefused
        When it is neither an ISO time with a zone (or a date, in UTC) nor the number of an entry.
    """
    if as_of is None:
        return None, None
    if as_of.isdecimal():
        return int(as_of), f"entry {int(as_of)} of the ledger"
    try:
        when = datetime.fromisoformat(as_of)
    except ValueError as error:
        words = f"as of {as_of!r:.40}: expected a date, an ISO time (2025-03-03T12:00+00:00) or an entry's number"
        raise PortalRefused(words) from error
    when = (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    seq, after = 0, 0
    # Order is that of the chain: an entry counts when it and all before it are of then. Clocks may jump.
    while entries := stores.ledger.entries(after_seq=after, limit=5000):
        for entry in entries:
            if datetime.fromisoformat(entry.at_utc) > when:
                return seq, f"{when:%Y-%m-%d %H:%M} UTC"
            seq = after = entry.seq
    return seq, f"{when:%Y-%m-%d %H:%M} UTC"


def _known(stores: "Stores", until: int | None) -> list[str]:
    """Return the models that the ledger knows, up to an entry."""
    found, after = set[str](), 0
    if until is None:
        from retrain_pipeline.records.status import status

        return [one.model for one in status(stores)]
    while entries := stores.ledger.entries(after_seq=after, limit=5000):
        found |= {one.model for one in entries if one.model and one.seq <= until}
        after = entries[-1].seq
        if after >= until:
            break
    return sorted(found)


def _shelf(stores: "Stores", facts: Facts, name: str, until: int | None, graph: Graph) -> Shelf:
    past = Past(stores, facts, check_name(name, "model"), until)
    assets = [dict(one) for one in sorted(graph.get(name, ()), key=lambda one: str(one["key"]))]
    return Shelf(past, Book(past), assets)


def _site_pages(make: Maker, shelves: list[Shelf], parts: list[SearchPart]) -> list[Page]:
    cards = [_card(shelf) for shelf in shelves]
    values: dict[str, dict[str, list[list[str]]]] = {name: {} for name in FACETS}
    for card in cards:
        for name in FACETS:
            for value in card["said"][name]:
                values[name].setdefault(value, []).append([card["name"], card["path"]])
    topics = {name: dict(sorted(found_in.items())) for name, found_in in values.items()}
    head = {"model": None, "tab": ""}
    totals = {
        "models": len(cards),
        "versions": sum(one["state"]["versions"] for one in cards),
        "decisions": sum(len(shelf.book.decisions) for shelf in shelves),
        "documents": sum(one.documents for one in parts),
    }
    glossary = {"Gates": GATES, "Metrics": METRICS, "Terms": TERMS}
    return [
        make.page("index.html", "index.html.j2", {**head, "title": "Models", "cards": cards, "totals": totals}),
        make.page("topics.html", "topics.html.j2", {**head, "title": "Topics", "topics": topics, "names": FACETS}),
        make.page("glossary.html", "glossary.html.j2", {**head, "title": "Glossary", "parts": glossary}),
        search_list(parts),
    ]


def _card(shelf: Shelf) -> dict[str, Any]:
    facets = shelf.book.facets()
    return {
        "name": shelf.name,
        "path": shelf.front(),
        "state": state_of(shelf.past),
        "statement": (shelf.past.declaration.get("problem") or {}).get("statement"),
        "line": shelf.lines[0],
        "said": facets,
        "facets": {FACETS[name].lower(): values for name, values in facets.items()},
    }
