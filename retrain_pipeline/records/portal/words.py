"""Text that others wrote, on its way to a page: as text, with what cannot be seen made visible, and nobody's data."""

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markupsafe import Markup

MOST_WORDS = 120
"""Of a story."""

# Control characters but for line ends and tabs; zero-width, line separators, and those that turn the direction.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
_MAIL = re.compile(r"([\w+-])[\w.+-]*@[\w-]+(?:\.[\w-]+)+")
_CARD = re.compile(r"(?<![\w.])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{5})(?![\w.])")
_SUSPECT = re.compile(rf"{_INVISIBLE.pattern}|@|\\d{{13}}|\\d{{4}}[ -]\\d{{4}}")
"""Whatever the three above find has one of these: most text has none, and is looked through once."""
_TAGS = {
    "p", "ul", "ol", "li", "strong", "em", "code", "pre", "blockquote", "a", "hr", "br", "table", "thead", "tbody",
    "tr", "th", "td", "s",
}  # fmt: skip
_LINK = re.compile(r"(?:https?://|[\w.#][\w./#-]*$)")


class Plain(str):
    """Text that is shown as it is: a contact that its owner declared."""

    __slots__ = ()


def shown(text: str) -> str:
    """Return a text in which characters without a shape are named and mail addresses and card numbers are withheld.

    Examples
    --------
    >>> shown("ab\\u202ecd, ada@example.org paid with 4111 1111 1111 1111")
    'ab⟨U+202E⟩cd, a…@… paid with ⟨card number⟩'
    """
    if isinstance(text, Plain) or _SUSPECT.search(text) is None:
        return text
    named = _INVISIBLE.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)
    return _CARD.sub(_withheld, _MAIL.sub(r"\1…@…", named))


def _withheld(found: re.Match[str]) -> str:
    digits = [int(one) for one in found[0] if one.isdigit()]
    doubled = [one if at % 2 == 0 else sum(divmod(2 * one, 10)) for at, one in enumerate(reversed(digits))]
    return "⟨card number⟩" if sum(doubled) % 10 == 0 else found[0]


def finalized(value: Any) -> Any:
    """Return a value as a page shows it; what is markup of ours stays so."""
    if hasattr(value, "__html__"):
        return value
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return shown(str(value))


def number(value: Any) -> str:
    """Return a number with four significant digits, a dash where there is none."""
    if value is None or isinstance(value, str | bool):
        return "—" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def several(count: int, what: str, more: str = "") -> str:
    """Return how many there are of something; `more` is its plural where that has no plain s.

    Examples
    --------
    >>> several(1, "model"), several(1200, "version")
    ('1 model', '1,200 versions')
    """
    return f"{count:,} {what if count == 1 else more or f'{what}s'}"


def day(moment: Any) -> str:
    """Return the date of an ISO time."""
    return str(moment)[:10] if moment else "—"


def minute(moment: Any) -> str:
    """Return date, hour and minute of an ISO time."""
    return str(moment)[:16].replace("T", " ") if moment else "—"


def markdown(text: str) -> "Markup":
    """Return people's Markdown as HTML: no raw HTML, images or headings, links to http(s) and into the site."""
    import nh3
    from markupsafe import Markup

    html = nh3.clean(
        _parser().render(shown(text)), tags=_TAGS, attributes={"a": {"href"}}, url_schemes={"http", "https"}
    )
    return Markup(html)  # noqa: S704 # nosec B704 - rendered without raw HTML and cleaned in the line above


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "heading", "lheading"])
    parser.validateLink = lambda url: _LINK.match(url) is not None  # type: ignore[method-assign]
    return parser


def story_of(sentences: list[tuple[int, str]], most: int = MOST_WORDS) -> str:
    """Return sentences as one text of so many words at most: those of the highest number are left out first.

    Examples
    --------
    >>> story_of([(1, "It serves."), (9, "Weather was fine."), (2, "It was judged.")], most=5)
    'It serves. It was judged.'
    """
    kept = list(sentences)
    while len(kept) > 1 and sum(len(words.split()) for _, words in kept) > most:
        kept.remove(max(kept, key=lambda one: one[0]))
    words = " ".join(words for _, words in kept).split()
    return " ".join(words if len(words) <= most else [*words[: most - 1], "…"])
