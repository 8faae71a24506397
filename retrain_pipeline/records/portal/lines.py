"""The losses of a model as lines: by period and by version."""

from bisect import bisect_left
from typing import Any

from retrain_pipeline.records.portal.past import Past
from retrain_pipeline.records.portal.svg import Dot, sparkline
from retrain_pipeline.records.portal.words import number

DOTS = {"PASS": "pass", "FAIL": "fail"}


def loss_lines(past: Past) -> list[dict[str, Any]]:
    """Return the loss by period as it was monitored, and of each version as it was judged."""
    periods: dict[str, float | None] = {}
    for entry in past.of_action["monitored"]:
        periods[str(entry.payload.get("period"))] = (entry.payload.get("performance") or {}).get("mean")
    names = sorted(periods)
    by_period = [Dot(name, periods[name]) for name in names]
    versions = [Dot(one.name, one.loss, DOTS.get(one.verdict, "open")) for one in past.versions]
    # a release stands at the period that its data ended with: the newest that starts before its as-of
    places = [bisect_left(names, reign.deployment.effective_as_of[:10]) - 1 for reign in past.reigns]
    marks = [names[at] for at in places if at >= 0]
    return [
        {
            "title": "Mean row loss by period",
            "picture": sparkline("Mean row loss by period", by_period, marks),
            "words": "as it was known when the period was monitored; an upright line is a change of champion",
            "last": _last(by_period),
        },
        {
            "title": "Validated loss by version",
            "picture": sparkline("Validated loss by version", versions),
            "words": "on rows that the version had not seen; round: it passed, square: it failed, bar: no verdict",
            "last": _last(versions),
        },
    ]


def _last(dots: list[Dot]) -> str | None:
    return next((number(one.value) for one in reversed(dots) if one.value is not None), None)
