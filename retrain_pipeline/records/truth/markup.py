"""Check 16: what is shown holds no markup that a person wrote, executes nothing of theirs, and shows no secret."""

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from retrain_pipeline.records.truth.finding import Finding, right, wrong
from retrain_pipeline.records.truth.links import OUTSIDE, hrefs
from retrain_pipeline.records.truth.pages import Page, read_page
from retrain_pipeline.redaction import redacted

if TYPE_CHECKING:
    from retrain_pipeline.records.truth.context import Context

_MARKUP = re.compile(r"[<>&]")
_ESCAPE = "render it as text: records.render escapes what people wrote"


def output_escaped(context: "Context") -> Iterator[Finding]:
    """Look at every card as Markdown, and at every page of a portal."""
    for version, card in context.cards.items():
        thing, place = f"card of {version}", f"ledger entry {card.entry.seq}"
        text = card.markdown
        yield from _told(thing, place, [*markdown_problems(text), *secret_problems(text)])
    if context.portal is not None:
        typed = sorted({text for text in _typed(context) if _MARKUP.search(text)})
        for file in sorted(context.portal.rglob("*.htm*")):
            html = file.read_text(encoding="utf-8")
            problems = [*page_problems(read_page(html)), *unescaped(html, typed), *secret_problems(html)]
            yield from _told("page", file.relative_to(context.portal).as_posix(), problems)


def markdown_problems(text: str) -> list[str]:
    """Return what a Markdown text would put into a page beside text: HTML, foreign images, links that execute."""
    from markdown_it import MarkdownIt

    problems, waiting = list[str](), MarkdownIt("commonmark").enable("table").parse(text)
    while waiting:
        token = waiting.pop(0)
        waiting[:0] = token.children or []
        if token.type in ("html_block", "html_inline"):
            problems.append(f"markup: {token.content.strip()!r:.120}")
        if token.type == "image" and urlsplit(str(token.attrs.get("src", ""))).scheme:
            problems.append(f"an image from elsewhere: {token.attrs['src']!r:.120}")
    return problems + [f"a link that is none: {href!r:.120}" for href in hrefs(text) if not _harmless(href)]


def page_problems(page: Page) -> list[str]:
    """Return what a page could execute or load from elsewhere, and what its content policy lets through."""
    problems = [f"a handler: {one}" for one in page.handlers]
    problems += [f"a tag that has no business here: {one}" for one in page.forbidden]
    problems += [f"a link that executes: {href!r:.120}" for href in page.links if not _harmless(href)]
    problems += [f"a form that sends elsewhere: {href!r:.120}" for href in page.sends if not _inside(href)]
    problems += [f"loaded from elsewhere: {href!r:.120}" for href in page.loads if not _own(href)]
    if not page.policy:
        return [*problems, "no content policy ahead of what it loads"]
    return problems + policy_problems(page.policy, page.scripts)


def policy_problems(policy: str, scripts: list[str]) -> list[str]:
    """Return what is too open in a content policy, and which inline scripts it does not name by their hash."""
    rules = {one.split()[0].lower(): one.split()[1:] for one in policy.split(";") if one.split()}
    problems = [] if rules.get("default-src") == ["'none'"] else ["the policy does not begin from default-src 'none'"]
    for name, allowed in sorted(rules.items()):
        open_ = [one for one in allowed if not re.fullmatch(r"'(none|self|sha256-[A-Za-z0-9+/=]+)'|data:", one)]
        if name == "style-src":
            open_ = [one for one in open_ if one != "'unsafe-inline'"]
        if "data:" in allowed and name != "img-src":
            open_.append("data:")
        problems += [f"the policy lets {name} {one:.60}" for one in open_]
    allowed = rules.get("script-src", [])
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        if f"'sha256-{digest}'" not in allowed:
            problems.append(f"a script that the policy does not name: {script.strip()!r:.80}")
    return problems


def unescaped(html: str, typed: list[str]) -> list[str]:
    """Return the texts of people that stand in a page as they were typed, markup and all."""
    return [f"text of people as markup: {text!r:.120}" for text in typed if text in html]


def secret_problems(text: str) -> list[str]:
    """Return the lines that hold what looks like a secret, with it left out."""
    lines = ((number, line, redacted(line)) for number, line in enumerate(text.splitlines(), 1))
    return [f"a secret in line {number}: {shown.strip()!r:.160}" for number, line, shown in lines if shown != line]


def _typed(context: "Context") -> Iterator[str]:
    """Yield the texts that people wrote: lines of decisions, words of the declaration and of records."""
    spec = context.declaration.spec
    yield from _texts(spec.model_dump(mode="json"))
    for decision in context.decisions:
        yield from (line.strip() for line in decision.body.splitlines() if len(line.strip()) > 3)
        yield from _texts(decision.front.model_dump(mode="json"))
    for one in context.recorded:
        if not isinstance(one, tuple):
            yield from _texts(one.document)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and len(value) > 3:
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _told(thing: str, place: str, problems: list[str]) -> Iterator[Finding]:
    yield from (wrong(thing, place, words, _ESCAPE) for words in problems)
    if not problems:
        yield right(thing, place)


def _harmless(href: str) -> bool:
    scheme = urlsplit(href.strip()).scheme.lower()
    return scheme in ("", *OUTSIDE)


def _inside(href: str) -> bool:
    parts = urlsplit(href.strip())
    return not parts.scheme and not parts.netloc


def _own(href: str) -> bool:
    return _inside(href) or href.startswith(("data:image/", "data:,"))
