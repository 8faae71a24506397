"""The pictures of the portal: losses as lines, assets, versions, decisions and the way to release as boxes."""

from itertools import pairwise
from typing import TYPE_CHECKING

from retrain_pipeline.records.portal.book import Shelf
from retrain_pipeline.records.portal.lines import DOTS
from retrain_pipeline.records.portal.past import Past
from retrain_pipeline.records.portal.svg import Box, Dot, diagram, sparkline

if TYPE_CHECKING:
    from markupsafe import Markup

_UP = "../../"
"""From a model's own page to the site's folder."""
_NEWEST = 14


def latency_line(past: Past) -> "Markup":
    """Return the time of an answer by period."""
    rows = {str(one.payload.get("period")): one.payload.get("latency_ms_p95") for one in past.of_action["monitored"]}
    return sparkline(
        "Latency of an answer by period, 95th percentile, ms", [Dot(one, rows[one]) for one in sorted(rows)]
    )


def asset_picture(shelf: Shelf) -> "Markup":
    """Return the model's assets as Dagster has them, with those of others that they are made from."""
    own = {one["key"]: one for one in shelf.graph}
    others = sorted({dep for one in shelf.graph for dep in one["deps"]} - set(own))
    boxes = [Box(key, key, "of another", kind="other") for key in others]
    boxes += [Box(key, key.rpartition("/")[2], ", ".join(one["kinds"]), kind=one["side"]) for key, one in own.items()]
    return diagram("Assets", boxes, [(dep, one["key"]) for one in shelf.graph for dep in one["deps"]])


def version_picture(shelf: Shelf) -> "Markup":
    """Return the newest versions and who was fitted to replace whom."""
    newest = shelf.past.versions[-_NEWEST:]
    boxes = []
    for one in newest:
        kind = "champion" if one.name == shelf.past.champion else DOTS.get(one.verdict, "open")
        boxes.append(
            Box(one.name, one.name, f"{one.facts.get('candidate')}, {one.verdict}", _href(shelf, one.name), kind)
        )
    edges = [(str(one.facts.get("parent")), one.name) for one in newest if one.facts.get("parent")]
    return diagram("Versions", boxes, edges)


def decision_picture(shelf: Shelf) -> "Markup":
    """Return the decisions, an arrow from each to the one that took its place."""
    lines = shelf.book.decisions
    kinds = {"accepted": "pass", "superseded": "other", "rejected": "fail", "deprecated": "other"}
    boxes = [Box(one.id, one.id, one.title, _href(shelf, one.id), kinds.get(one.status, "open")) for one in lines]
    edges = [(one.supersedes, one.id) for one in lines if one.supersedes]
    edges += [(one.id, one.superseded_by) for one in lines if one.superseded_by]
    return diagram("Decisions", boxes, edges)


def policy_picture(shelf: Shelf, required: list[str]) -> "Markup":
    """Return the way from a candidate to champion, as the declaration has it."""
    rollout = shelf.past.declaration.get("rollout") or {}
    stages = ["candidate", "verdict"]
    boxes = [Box("candidate", "candidate", "a fitted version"), Box("verdict", "verdict", "the worst of all gates")]
    boxes += [Box(f"gate {one}", one, "PASS, or it stops here", kind="other") for one in required]
    edges = [("candidate", f"gate {one}") for one in required] + [(f"gate {one}", "verdict") for one in required]
    if rollout.get("approval") == "required":
        stages.append("approval")
        boxes.append(Box("approval", "approval", "by a person"))
    if rollout.get("shadow_periods"):
        stages.append("shadow")
        boxes.append(Box("shadow", "shadow", f"{rollout['shadow_periods']} periods, no users"))
    for share in rollout.get("canary_shares") or ():
        stages.append(f"canary {share:.0%}")
        boxes.append(Box(stages[-1], stages[-1], "of the entities"))
    stages.append("champion")
    boxes.append(Box("champion", "champion", "serves; watched", kind="champion"))
    edges += list(pairwise(stages[1:]))
    return diagram("The way to release", boxes, edges)


def _href(shelf: Shelf, name: str) -> str:
    page = shelf.book.page(name)
    return _UP + page if page else ""
