"""Rendering records: values go into templates as text, never as markup and never as template code."""

import re
from pathlib import Path
from typing import Any

from retrain_pipeline.redaction import redacted

_TEMPLATES = Path(__file__).parent / "templates"
_MARKUP = re.compile(r"([\\`*_\[\]{}#|~])")
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")


def render(template: str, document: dict[str, Any]) -> str:
    """Return a Markdown template filled in with a document.

    Values are escaped for HTML by the engine; those that people wrote go through the filter `md` too.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = escape_markdown
    return environment.get_template(template).render(document)


def escape_markdown(value: object) -> str:
    r"""Return a value as one line of Markdown that is text alone: no links, tables, code, HTML, secrets, line breaks.

    Examples
    --------
    >>> print(escape_markdown("[x](javascript:1) <b> | 5 * 3\n# y"))
    \[x\](javascript:1) &lt;b&gt; \| 5 \* 3 \# y
    """
    from markupsafe import Markup, escape

    line = _INVISIBLE.sub(" ", redacted(str(value)))
    return Markup(escape(_MARKUP.sub(r"\\\1", line)))  # noqa: S704 # nosec B704 - escaped in this very line
