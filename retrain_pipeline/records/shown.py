"""The newest records that people want to read first, as Markdown."""

from typing import TYPE_CHECKING

from retrain_pipeline.records.record import records
from retrain_pipeline.records.render import render

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

SHOWN = ("release_note", "impact_brief", "postmortem")


def newest_shown(stores: "Stores", model: str) -> dict[str, str]:
    """Return the newest release note, brief and postmortem of a model as Markdown, by kind, of those there are."""
    newest = {one.kind: one.document for one in records(stores, model) if one.kind in SHOWN}
    return {kind: render(f"{kind}.md.j2", document) for kind, document in sorted(newest.items())}
