"""Pages from templates: values go in as text, and a page is made again only when what it is made from changed."""

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import sha256
from retrain_pipeline.records.portal.links import page_of, version_page
from retrain_pipeline.records.portal.site import Page
from retrain_pipeline.records.portal.terms import anchor
from retrain_pipeline.records.portal.tree import BY_PEOPLE, anchor_of, tree
from retrain_pipeline.records.portal.words import day, finalized, markdown, minute, number, several, shown

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent
STATIC = ("portal.css", "portal.js")
_VERDICTS = {"PASS": "pass", "FAIL": "fail", "INCONCLUSIVE": "open"}
TABS = (
    ("index", "Overview"),
    ("versions", "Versions"),
    ("experiments", "Experiments"),
    ("decisions", "Decisions"),
    ("records", "Records"),
    ("gates", "Gates"),
    ("lineage", "Lineage"),
    ("changelog", "Changelog"),
    ("timeline", "Timeline"),
    ("moments", "As of"),
)
"""The pages that each model has."""


class Maker:
    """Makes pages from the templates.

    Parameters
    ----------
    then
        Of a site that shows an earlier moment: the moment in words. None: the site shows all that is on record.
    """

    def __init__(self, then: str | None) -> None:
        self._then = then

    def page(
        self,
        path: str,
        template: str,
        context: dict[str, Any],
        more: Callable[[], dict[str, Any]] | None = None,
    ) -> Page:
        """Return a page.

        Parameters
        ----------
        context
            What the page says, or by digest what `more` reads: the page is made again when it differs.
        more
            Reads what is known by digest; called only when the page is made.
        """
        root = "../" * path.count("/")
        said = json.dumps([self._code, self._then, template, context], sort_keys=True, default=str)

        def make() -> bytes:
            whole = {**context, **(more() if more else {}), "root": root, "path": path, "then": self._then}
            text = self._environment.get_template(template).render(whole)
            return text.encode("utf-8", "replace")

        return Page(path, sha256(said.encode("utf-8", "surrogatepass")), make)

    def static(self) -> list[Page]:
        """Return the style sheet and the script."""
        files = [(name, (_HERE / "static" / name).read_bytes()) for name in STATIC]
        return [Page(f"static/{name}", sha256(data), lambda data=data: data) for name, data in files]  # type: ignore[misc]

    @cached_property
    def _code(self) -> str:
        """Digest of all that makes pages: of another version of it no page is kept."""
        files = sorted([*_HERE.glob("*.py"), *(_HERE / "templates").iterdir()])
        return sha256(b"".join(sha256(file.read_bytes()).encode() for file in files))

    @cached_property
    def _environment(self) -> "Environment":
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            finalize=finalized,
        )
        environment.filters |= {
            "number": number,
            "day": day,
            "minute": minute,
            "markdown": markdown,
            "several": several,
        }
        environment.filters |= {"anchor": anchor, "place": anchor_of, "json": _json, "several": several}
        environment.globals |= {
            "tree": tree,
            "by_people": BY_PEOPLE,
            "people": lambda whose: {place for place, by_people in whose.items() if by_people},
            "page_of": page_of,
            "version_page": version_page,
            "tabs": TABS,
            "verdict_class": lambda verdict: _VERDICTS.get(str(verdict), "none"),
        }
        return environment


def _json(value: Any) -> str:
    """Return values as JSON whose texts are as pages show them: a script puts them on the page as they are."""
    return json.dumps(_shown(value), sort_keys=True, ensure_ascii=True)


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {shown(str(name)): _shown(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_shown(one) for one in value]
    return shown(value) if isinstance(value, str) else value
