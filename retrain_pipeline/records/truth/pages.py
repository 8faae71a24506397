"""What an HTML page loads, links to and may execute, read without executing anything."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID_TEXT = ("script", "style")
_LOADS = {"src", "srcset", "poster", "data", "background"}
_FORBIDDEN_TAGS = frozenset({"base", "embed", "frame", "frameset", "iframe", "object", "portal", "applet"})


@dataclass
class Page:
    """One page: its links and anchors, what it loads, and what could execute."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    policy: str | None = None
    """The content policy of its head, as it came before anything that it could forbid."""
    handlers: list[str] = field(default_factory=list)
    """Attributes that are code: ``onclick`` and the like."""
    sends: list[str] = field(default_factory=list)
    """Where forms go."""
    forbidden: list[str] = field(default_factory=list)
    """Tags that have no business here."""
    scripts: list[str] = field(default_factory=list)
    """Text of inline scripts that a browser would execute."""
    text: list[str] = field(default_factory=list)


def read_page(html: str) -> Page:
    """Return what a page has."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.page


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._inside: str | None = None
        self._executes = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name.lower(): value or "" for name, value in attrs}
        page = self.page
        page.handlers += [f"{tag} {name}" for name in given if name.startswith("on")]
        page.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag in _FORBIDDEN_TAGS:
            page.forbidden.append(tag)
        if tag == "meta":
            self._meta(given)
        if tag == "link":
            page.loads.append(given.get("href", ""))
        elif "href" in given or "xlink:href" in given:
            page.links.append(given.get("href", given.get("xlink:href", "")))
        page.sends += [given[name] for name in ("action", "formaction") if name in given]
        page.loads += [given[name] for name in sorted(_LOADS & given.keys())]
        if tag in _VOID_TEXT:
            self._inside = tag
            kind = given.get("type", "").lower()
            self._executes = tag == "script" and "src" not in given and kind not in ("application/json", "text/plain")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is None:
            self.page.text.append(data)
        elif self._executes and data.strip():
            self.page.scripts.append(data)

    def _meta(self, given: dict[str, str]) -> None:
        kind = given.get("http-equiv", "").lower()
        if kind == "refresh":
            self.page.forbidden.append("meta refresh")
        elif kind == "content-security-policy" and self.page.policy is None:
            early = not (self.page.loads or self.page.scripts)
            self.page.policy = given.get("content", "") if early else ""
