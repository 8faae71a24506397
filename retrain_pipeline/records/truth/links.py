"""Check 14: links inside what is written lead somewhere: files, anchors, and decisions that are named."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from retrain_pipeline.records.truth.finding import Finding, right, wrong
from retrain_pipeline.records.truth.pages import Page, read_page

if TYPE_CHECKING:
    from retrain_pipeline.records.truth.context import Context

_SLUG = re.compile(r"[^\w\- ]")
OUTSIDE = ("http", "https", "mailto")
"""Schemes of links that lead out: they are not followed."""


def links_resolve(context: "Context") -> Iterator[Finding]:
    """Look at the links of decisions and cards, and at every page of a portal; links that lead out are not followed."""
    known = {decision.front.id for decision in context.decisions}
    for decision in context.decisions:
        place = f"decisions/{decision.file}"
        front = decision.front
        for field, other in (("supersedes", front.supersedes), ("superseded_by", front.superseded_by)):
            if other is not None and other not in known:
                yield wrong(f"{field} of decision {front.id}", place, f"there is no decision {other}", "mend the id")
        folder = context.folder / "decisions"
        yield from _markdown(f"decision {front.id}", place, decision.body, folder)
    for version, card in context.cards.items():
        yield from _markdown(f"card of {version}", f"ledger entry {card.entry.seq}", card.markdown, None)
    if context.portal is not None:
        yield from _portal(context.portal)


def hrefs(markdown: str) -> list[str]:
    """Return the targets of links and images of a Markdown text, in order."""
    from markdown_it import MarkdownIt

    found, waiting = list[str](), MarkdownIt("commonmark").enable("table").parse(markdown)
    while waiting:
        token = waiting.pop(0)
        waiting[:0] = token.children or []
        found += [str(token.attrs[name]) for name in ("href", "src") if name in token.attrs]
    return found


def _markdown(thing: str, place: str, text: str, folder: Path | None) -> Iterator[Finding]:
    anchors = {_slug(line.lstrip("#")) for line in text.splitlines() if line.startswith("#")}
    dead = [href for href in hrefs(text) if not _leads(href, anchors, folder)]
    if not dead:
        yield right(f"links of {thing}", place)
    for href in dead:
        yield wrong(f"link of {thing}", place, f"{href!r:.200} leads nowhere", "mend or remove it")


def _leads(href: str, anchors: set[str], folder: Path | None) -> bool:
    parts = urlsplit(href)
    if parts.scheme or parts.netloc:
        return parts.scheme in OUTSIDE
    if not parts.path:
        return unquote(parts.fragment) in anchors
    return folder is not None and (folder / unquote(parts.path)).exists()


def _slug(heading: str) -> str:
    return _SLUG.sub("", heading.strip().lower()).replace(" ", "-")


def _portal(folder: Path) -> Iterator[Finding]:
    files = {file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file()}
    pages = {name: read_page((folder / name).read_text(encoding="utf-8")) for name in sorted(files) if _is_page(name)}
    if not pages:
        yield wrong("portal", str(folder.name), "there is no page in it", "build it: retrain portal build")
    for name, page in pages.items():
        dead = [href for href in dict.fromkeys([*page.links, *page.loads]) if not _inside(href, name, files, pages)]
        if not dead:
            yield right("links of page", name)
        for href in dead:
            yield wrong("link of page", name, f"{href!r:.200} leads nowhere", "build the portal again")


def _inside(href: str, page: str, files: set[str], pages: dict[str, Page]) -> bool:
    parts = urlsplit(href)
    if parts.scheme or parts.netloc:
        return parts.scheme in (*OUTSIDE, "data")
    target = page
    if parts.path:
        target = _joined(PurePosixPath(page).parent, unquote(parts.path))
        if target not in files and f"{target}/index.html".removeprefix("./") in files:
            target = f"{target}/index.html"
        if target not in files:
            return False
    fragment = unquote(parts.fragment)
    return not fragment or target not in pages or fragment in pages[target].anchors


def _joined(folder: PurePosixPath, path: str) -> str:
    """Return a path from the top of the portal; one that leaves it is none of its files."""
    parts = list(folder.parts)
    for part in PurePosixPath(path).parts:
        if part == "..":
            if not parts:
                return "/outside"
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts) or "index.html"


def _is_page(name: str) -> bool:
    return name.endswith((".html", ".htm"))
