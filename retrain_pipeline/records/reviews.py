"""Reviews of decisions: opened by what holds no more, closed by somebody who did not decide."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.governance.roles import is_person, note_refusal, project_roles, same_person
from retrain_pipeline.ledger.entries import Entry, NewEntry
from retrain_pipeline.records.decisions import registered
from retrain_pipeline.records.kinds.review import Outcome, Review
from retrain_pipeline.records.record import Recorded, enter, records

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

OPENED = "review_opened"
REVIEW_WITHIN = timedelta(days=30)
"""How long a review may take, from the day that called for it."""
MIN_WORDS = 5
OUTCOMES: dict[str, Outcome] = {"keep": "upheld", "change": "changed", "retire": "withdrawn"}
"""What a person says, and how it is recorded."""


class ReviewRefused(PermanentError):
    """A review that cannot be closed so; the words say what is missing."""


def open_review(stores: "Stores", model: str, subject: str, because: tuple[str, ...], due: date, actor: str) -> Entry:
    """Open a review of a decision, and enter that somebody should hear of it; done again it does nothing."""
    entry = enter(stores, Review.make(model=model, subject=subject, opened_because=because, due=due), actor=actor)
    digest = str(entry.payload["record"])
    words = f"review of {subject} by {due}: {'; '.join(because)}"
    payload = {"words": words[:2000], "record": digest}
    stores.ledger.append(NewEntry(actor, OPENED, model, subject, payload, key=f"{OPENED}:{model}:{digest}"))
    return entry


def open_reviews(stores: "Stores", model: str) -> Iterator[tuple[Recorded, Review]]:
    """Yield the reviews of a model that nobody has closed, oldest first."""
    found = [(one, one.read(Review)) for one in records(stores, model, Review.KIND)]
    closed = {review.closes for _, review in found}
    for one, review in found:
        if review.closes is None and one.digest not in closed:
            yield one, review


def close_reviews(
    stores: "Stores",
    model: str,
    subject: str | None,
    *,
    outcome: str,
    words: str,
    actor: str,
    by: str | None = None,
    dissent: Sequence[str] = (),
    now: datetime | None = None,
) -> list[Entry]:
    """Close the open reviews of a decision with what was found; where none is open, it was looked at by itself.

    Parameters
    ----------
    subject
        The decision's id. Default: that of the only one with an open review.
    outcome
        ``keep``, ``change`` or ``retire``.
    by
        Who reviewed, where it is not who types.
    dissent
        Views that differ from the outcome: they stay beside it.

    Raises
    ------
    ReviewRefused
        When there is no such decision, the outcome is none, or the words say too little.
    NotAllowed
        When the reviewer is one of those who decided, or no person; the attempt is an entry.
    """
    if outcome not in OUTCOMES:
        raise ReviewRefused(f"outcome {outcome!r:.40}: one of {', '.join(OUTCOMES)}")
    if len({one.casefold() for one in words.split()}) < MIN_WORDS:
        raise ReviewRefused(f"{model}: say what you found, in at least {MIN_WORDS} words (words)")
    subject = subject or _only(stores, model)
    decision = registered(stores, model).get(subject)
    if decision is None:
        known = ", ".join(sorted(registered(stores, model))) or "none; materialize the records of the model first"
        raise ReviewRefused(f"{model}: no decision {subject!r:.80} is on record; there are: {known}")
    reviewer = by or actor
    _not_own(stores, model, subject, (reviewer, actor), decision.record.front.decision_makers)
    moment = now or datetime.now(UTC)
    waiting = [one for one, review in open_reviews(stores, model) if review.subject == subject]
    if not waiting:
        because = (f"looked at by {reviewer} without being asked, before {decision.record.front.review_by}",)
        enter(stores, Review.make(model=model, subject=subject, opened_because=because, due=moment.date()), actor=actor)
        waiting = [one for one, review in open_reviews(stores, model) if review.subject == subject]
    return [
        enter(
            stores,
            Review.make(
                model=model,
                subject=subject,
                opened_because=one.read(Review).opened_because,
                due=one.read(Review).due,
                closes=one.digest,
                closed=moment.isoformat(timespec="seconds"),
                outcome=OUTCOMES[outcome],
                reviewer=reviewer,
                words=" ".join(words.split()),
                dissent=tuple(" ".join(view.split()) for view in dissent),
            ),
            actor=actor,
        )
        for one in waiting
    ]


def _only(stores: "Stores", model: str) -> str:
    waiting = sorted({review.subject for _, review in open_reviews(stores, model)})
    if len(waiting) != 1:
        raise ReviewRefused(f"{model}: say which decision; with an open review: {', '.join(waiting) or 'none'}")
    return waiting[0]


def _not_own(stores: "Stores", model: str, subject: str, people: Sequence[str], makers: Sequence[str]) -> None:
    roles = project_roles()
    for one in people:
        own = next((maker for maker in makers if same_person(roles, one, maker)), None)
        if own is None and is_person(one if ":" in one else f"person:{one}"):
            continue
        why = f"{own} decided it" if own else "reviews are people's"
        words = f"review of {subject} of {model} refused to {one}: {why}; ask somebody else"
        note_refusal(stores.ledger, people[-1], "review_decision", model, subject, words, roles)
        raise NotAllowed(words)
