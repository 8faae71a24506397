"""A JSON document as HTML, whatever its shape: lists, tables, links to what it names, and an anchor for every place."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from retrain_pipeline.records.portal.words import finalized, markdown

if TYPE_CHECKING:
    from markupsafe import Markup

_PROSE = 160
"""Text longer than this, or of several lines, is people's prose: Markdown."""
_CELL = 40
"""Text longer than this wraps in a cell of a table."""
_DEEPEST = 24
EVIDENCE = "evidence.json"
"""What a pointer into evidence begins with; the key of `links` that says which evidence."""


def anchor_of(pointer: str) -> str:
    """Return a JSON pointer as an anchor: the ``#`` of a link is followed by it, percent-encoded."""
    return quote(pointer, safe="/-_.~")


def tree(value: Any, links: Mapping[str, str], root: str, *, anchors: bool = False) -> "Markup":
    """Return a JSON value as HTML. Texts that are keys of `links` lead to their pages.

    With `anchors` each place has its JSON pointer as id, and all text is as it stands; else long text is Markdown.
    """
    from markupsafe import Markup

    return Markup(_html(value, links, root, "" if anchors else None, 0))  # noqa: S704 # nosec B704 - escaped below


def _html(value: Any, links: Mapping[str, str], root: str, place: str | None, depth: int) -> str:
    from markupsafe import escape

    if depth > _DEEPEST:
        return escape("…")
    if isinstance(value, dict) and value:
        rows = "".join(
            f"<div{_id(place, name)}><dt>{escape(finalized(str(name).replace('_', ' ')))}</dt>"
            f"<dd>{_html(one, links, root, _below(place, name), depth + 1)}</dd></div>"
            for name, one in value.items()
        )
        return f"<dl>{rows}</dl>"
    if isinstance(value, list) and value:
        columns = _columns(value)
        if columns and place is None:
            return _table(value, columns, links, root, depth)
        items = "".join(
            f"<li{_id(place, at)}>{_html(one, links, root, _below(place, at), depth + 1)}</li>"
            for at, one in enumerate(value)
        )
        return f'<ol start="0">{items}</ol>' if place is not None else f"<ul>{items}</ul>"
    return _leaf(value, links, root, prose=place is None)


def _leaf(value: Any, links: Mapping[str, str], root: str, *, prose: bool = True) -> str:
    from markupsafe import escape

    if value in ({}, [], "", None):
        return '<span class="none">none</span>'
    if isinstance(value, str) and value in links:
        return f'<a href="{escape(root + links[value])}">{escape(finalized(value))}</a>'
    if isinstance(value, str) and value.startswith(f"{EVIDENCE}#/") and EVIDENCE in links:
        place = anchor_of(value.removeprefix(f"{EVIDENCE}#"))
        return f'<a href="{escape(f"{root}{links[EVIDENCE]}#{place}")}">{escape(finalized(value))}</a>'
    if prose and isinstance(value, str) and (len(value) > _PROSE or "\n" in value):
        return f'<div class="prose">{markdown(value)}</div>'
    return str(escape(finalized(value)))


def _columns(rows: list[Any]) -> list[str]:
    """Return the names that become columns, where a list is a table: objects alike and flat."""
    if not all(isinstance(one, dict) and one for one in rows):
        return []
    names = list(dict.fromkeys(name for one in rows for name in one))
    flat = all(not isinstance(value, dict | list) for one in rows for value in one.values())
    # beside so many columns, several of prose leave none of them wide enough to be read
    prose = sum(any(len(str(one.get(name))) > _CELL for one in rows) for name in names)
    return names if flat and len(names) <= 8 and (prose <= 2 or len(names) <= 5) else []


def _table(rows: list[dict[str, Any]], names: list[str], links: Mapping[str, str], root: str, depth: int) -> str:
    from markupsafe import escape

    head = "".join(f'<th scope="col">{escape(finalized(name.replace("_", " ")))}</th>' for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_leaf(one.get(name), links, root)}</td>" for name in names) + "</tr>" for one in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Table"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _below(place: str | None, name: object) -> str | None:
    if place is None:
        return None
    return f"{place}/{str(name).replace('~', '~0').replace('/', '~1')}"


def _id(place: str | None, name: object) -> str:
    from markupsafe import escape

    below = _below(place, name)
    return "" if below is None else f' id="{escape(anchor_of(below))}"'
