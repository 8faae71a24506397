"""Check 10: what was to be looked at again by a date was looked at."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from retrain_pipeline.records.truth.finding import Finding, right, wrong

if TYPE_CHECKING:
    from retrain_pipeline.records.truth.context import Context


def reviews_due(context: "Context") -> Iterator[Finding]:
    """Look at the review date of every accepted decision."""
    today = context.as_of.date()
    for decision in context.decisions:
        front = decision.front
        if front.status != "accepted":
            continue
        thing, place = f"decision {front.id}", f"decisions/{decision.file}"
        if front.review_by >= today:
            yield right(thing, place)
        else:
            words = f"its review was due by {front.review_by}, it is {today}"
            yield wrong(
                thing, place, words, f"look at it again: retrain review {context.model}, then set a new review_by"
            )
