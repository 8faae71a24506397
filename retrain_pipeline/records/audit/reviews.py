"""What should have been looked at again by now, and what is cited that has been superseded."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from retrain_pipeline.records.kinds.review import Review
from retrain_pipeline.records.record import Recorded
from retrain_pipeline.records.reviews import REVIEW_WITHIN, open_review

if TYPE_CHECKING:
    from retrain_pipeline.spec.decision import Decision
    from retrain_pipeline.stores import Stores


@dataclass(frozen=True)
class Overdue:
    """A review that nobody has closed in time."""

    subject: str
    due: date
    words: str


def overdue(
    decisions: "Sequence[Decision]", closed: Sequence[Review], opened: Iterable[tuple[Recorded, Review]], today: date
) -> Iterator[Overdue]:
    """Yield the accepted decisions whose date of review has passed, and the reviews that are open past theirs.

    A decision is reviewed when a review of it was closed on or after that date.

    Parameters
    ----------
    opened
        The reviews that nobody has closed.
    """
    for one in decisions:
        due = one.front.review_by
        days = [review.closed[:10] for review in closed if review.subject == one.front.id and review.closed]
        if one.front.status == "accepted" and due < today and not any(day >= due.isoformat() for day in days):
            yield Overdue(one.front.id, due, f"decisions/{one.file}: to be reviewed by {due}")
    for recorded, review in opened:
        if review.due < today:
            because = "; ".join(review.opened_because)[:200]
            yield Overdue(review.subject, review.due, f"review open since entry {recorded.entry.seq}: {because}")


def ask_for_reviews(
    stores: "Stores", model: str, decisions: "Sequence[Decision]", reviews: Sequence[Review], today: date, actor: str
) -> None:
    """Open a review of each accepted decision whose date has passed and that has none open; done again it does none.

    Parameters
    ----------
    reviews
        Those on record that can be read: what cannot is for the audit to tell, and must not stop it.
    """
    closed = [one for one in reviews if one.closed is not None]
    asked = Counter(one.subject for one in reviews if one.closed is None)
    asked.subtract(one.subject for one in closed)
    for one in overdue(decisions, closed, (), today):
        if asked[one.subject] <= 0:
            open_review(stores, model, one.subject, (one.words,), one.due + REVIEW_WITHIN, actor)


@dataclass(frozen=True)
class Cited:
    """A superseded decision, and who cites it still."""

    decision: str
    place: str


def superseded_ids(decisions: "Sequence[Decision]") -> dict[str, str | None]:
    """Return the decisions that hold no more, each with the one that took its place, where that is known."""
    ended = {one.front.id: one.front.superseded_by for one in decisions if one.front.status == "superseded"}
    ended |= {one.front.id: one.front.superseded_by for one in decisions if one.front.superseded_by}
    newer = {one.front.supersedes: one.front.id for one in decisions if one.front.status == "accepted"}
    return ended | {old: new for old, new in newer.items() if old}


def cited(decisions: "Sequence[Decision]", recorded: Sequence[Recorded], serving: str | None) -> Iterator[Cited]:
    """Yield where a superseded decision is cited by what holds now.

    That is another accepted decision (its successor may: it says what it supersedes), and a record about the model
    itself or the version that serves. Records of earlier versions cite what held then, and are right to.
    """
    ended = superseded_ids(decisions)
    for old, new in sorted(ended.items()):
        word = re.compile(rf"(?<![\w.-]){re.escape(old)}(?![\w-])")
        for one in decisions:
            front = one.front
            if front.status != "accepted" or front.id in (old, new) or front.id in ended:
                continue
            if word.search(one.body) or old in {evidence.id for evidence in front.evidence}:
                yield Cited(old, f"decisions/{one.file}")
        for record in recorded:
            if record.subject in (record.entry.model, serving) and _names(record.document, old):
                yield Cited(old, f"record {record.kind} of {record.subject}")


def _names(value: object, text: str) -> bool:
    if isinstance(value, dict):
        return any(_names(one, text) for one in value.values())
    if isinstance(value, list):
        return any(_names(one, text) for one in value)
    return value == text
