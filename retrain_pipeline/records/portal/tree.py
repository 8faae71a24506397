"""A JSON document as HTML, whatever its shape: lists, tables, links to what it names, and an anchor for every place."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from retrain_pipeline.records.portal.words import finalized, markdown

_PROSE = 160
"""Text longer than this, or of several lines, is people's prose: Markdown."""
_CELL = 40
"""Text longer than this wraps in a cell of a table."""
_WIDTH = 100
"""Letters that a row of a table has room for, beside the names of what it stands in."""
_DEEPEST = 24
BY_PEOPLE = Markup('<span class="by">by people</span>')
"""The mark of a field that people filled in: words in a frame, so that it needs no colour, on paper neither."""
EVIDENCE = "evidence.json"
"""What a pointer into evidence begins with; the key of `links` that says which evidence."""


def anchor_of(pointer: str) -> str:
    """Return a JSON pointer as an anchor: the ``#`` of a link is followed by it, percent-encoded."""
    return quote(pointer, safe="/-_.~")


def tree(
    value: Any, links: Mapping[str, str], root: str, *, anchors: bool = False, people: Collection[str] = ()
) -> Markup:
    """Return a JSON value as HTML. Texts that are keys of `links` lead to their pages.

    With `anchors` each place has its JSON pointer as id, and all text is as it stands; else long text is Markdown.
    Fields whose pointers are in `people` are marked as filled in by them.
    """
    return Markup(_Tree(links, root, anchors, people).html(value, "", 0))  # noqa: S704 # nosec B704 - escaped below


@dataclass(frozen=True)
class _Tree:
    """What is the same for every place of a document."""

    links: Mapping[str, str]
    root: str
    anchors: bool
    people: Collection[str]

    def html(self, value: Any, place: str, depth: int) -> str:
        """Return the value at a place."""
        if depth > _DEEPEST:
            return escape("…")
        if isinstance(value, dict) and value:
            rows = "".join(self._row(str(name), one, _below(place, name), depth) for name, one in value.items())
            return f"<dl>{rows}</dl>"
        if isinstance(value, list) and value:
            columns = _columns(value)
            if columns and not self.anchors:
                return self._table(value, columns)
            items = "".join(
                f"<li{self._id(_below(place, at))}>{self.html(one, _below(place, at), depth + 1)}</li>"
                for at, one in enumerate(value)
            )
            return f'<ol start="0">{items}</ol>' if self.anchors else f"<ul>{items}</ul>"
        return self._leaf(value)

    def _row(self, name: str, value: Any, place: str, depth: int) -> str:
        mark = f" {BY_PEOPLE}" if place in self.people else ""
        words = escape(finalized(name.replace("_", " ")))
        return f"<div{self._id(place)}><dt>{words}{mark}</dt><dd>{self.html(value, place, depth + 1)}</dd></div>"

    def _leaf(self, value: Any) -> str:
        if value in ({}, [], "", None):
            return '<span class="none">none</span>'
        if isinstance(value, str) and value in self.links:
            return f'<a href="{escape(self.root + self.links[value])}">{escape(finalized(value))}</a>'
        if isinstance(value, str) and value.startswith(f"{EVIDENCE}#/") and EVIDENCE in self.links:
            place = anchor_of(value.removeprefix(f"{EVIDENCE}#"))
            return f'<a href="{escape(f"{self.root}{self.links[EVIDENCE]}#{place}")}">{escape(finalized(value))}</a>'
        if not self.anchors and isinstance(value, str) and (len(value) > _PROSE or "\n" in value):
            return f'<div class="prose">{markdown(value)}</div>'
        return str(escape(finalized(value)))

    def _table(self, rows: list[dict[str, Any]], names: list[str]) -> str:
        head = "".join(f'<th scope="col">{escape(finalized(name.replace("_", " ")))}</th>' for name in names)
        body = "".join(
            "<tr>" + "".join(f"<td>{self._leaf(one.get(name))}</td>" for name in names) + "</tr>" for one in rows
        )
        return (
            f'<div class="scroll" tabindex="0" role="region" aria-label="Table"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def _id(self, place: str) -> str:
        return f' id="{escape(anchor_of(place))}"' if self.anchors else ""


def _columns(rows: list[Any]) -> list[str]:
    """Return the names that become columns, where a list is a table: objects alike and flat."""
    if not all(isinstance(one, dict) and one for one in rows):
        return []
    names = list(dict.fromkeys(name for one in rows for name in one))
    flat = all(not isinstance(value, dict | list) for one in rows for value in one.values())
    longest = [max(len(name), *(len(str(one.get(name))) for one in rows)) for name in names]
    # what is wider leaves columns too narrow to be read, words broken over lines; a few of prose share what there is
    wide = sum(min(one, _CELL) for one in longest) > _WIDTH
    return names if flat and len(names) <= 8 and (not wide or len(names) <= 5) else []


def _below(place: str, name: object) -> str:
    return f"{place}/{str(name).replace('~', '~0').replace('/', '~1')}"
