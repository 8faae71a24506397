"""What was believed of a model at a moment: who served and why, what was promised, seen, decided and open then."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, cast

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.ledger.past import PastLedger
from retrain_pipeline.records.account import Account, Line, Place, seen_in
from retrain_pipeline.records.history import UnknownVersion, explain
from retrain_pipeline.records.reviews import open_reviews
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger
    from retrain_pipeline.stores import Stores


class MomentRefused(PermanentError):
    """A text that is no moment."""


def moment(text: str) -> datetime:
    """Return a moment in UTC; a day alone is its end, so that what came on it is known.

    Raises
    ------
    MomentRefused
        When it is no ISO 8601 date or time.

    Examples
    --------
    >>> moment("2026-03-03").isoformat(), moment("2026-03-03T12:00+02:00").isoformat()
    ('2026-03-03T23:59:59.999999+00:00', '2026-03-03T10:00:00+00:00')
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise MomentRefused(f"{text!r:.60} is no moment: write 2026-03-03 or 2026-03-03T12:00:00+00:00") from error
    if len(text) == len("2026-03-03"):
        found = datetime.combine(found.date(), time.max)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def as_of(stores: "Stores", model: str, until: datetime) -> "Stores":
    """Return stores whose ledger is that of a moment, to read; bytes never change, so they are those of now.

    Raises
    ------
    UnknownVersion
        When the ledger knew nothing of the model then.
    """
    whole = stores.ledger.entries(model=model)
    known = [one.seq for one in whole if datetime.fromisoformat(one.at_utc) <= until]
    if not known:
        first = f"; its first entry is of {whole[0].at_utc}" if whole else ""
        raise UnknownVersion(f"{model}: the ledger knew nothing of this model by {until.isoformat()}{first}")
    return replace(stores, ledger=cast("Ledger", PastLedger(whole, known[-1])))


def believed(stores: "Stores", model: str, until: datetime) -> Account:
    """Return what was believed of a model at a moment.

    Raises
    ------
    UnknownVersion
        When the ledger knew nothing of the model then.
    """
    then = as_of(stores, model, until)
    sections = {
        "who served": _served(then, model),
        "what was seen last": _seen(then, model),
        "what was not so": _doubts(then, model),
        "what held": _held(then, model),
    }
    return Account(model, until.isoformat(), {name: tuple(lines) for name, lines in sections.items()})


def _served(then: "Stores", model: str) -> Iterator[Line]:
    row = then.ledger.deployment(model)
    if row is None:
        yield Line("nobody: no version was released yet")
        return
    version = str(row.state["champion"])
    story = explain(then, model, version)
    yield Line(f"{version}: {story.serves}", (Place(row.changed_by_seq),))
    yield Line(f"it was made because of: {story.why}", (Place(digest=story.manifest),))
    places = (Place(digest=story.evidence),) if story.evidence else ()
    yield Line(f"judged {story.verdict or 'never'}: {story.judged}", places)
    if story.found is not None and (loss := story.found.validated_loss) is not None:
        promised = f"promised {loss.metric} {loss.value:.6g} on {loss.n} rows"
        yield Line(promised, (Place(digest=story.evidence, pointer="/validated_loss/value"),))
    trial = row.state.get("challenger")
    if trial:
        yield Line(
            f"{trial['version']} was on trial ({trial['stage']} {trial['share']:.0%})", (Place(row.changed_by_seq),)
        )


def _seen(then: "Stores", model: str) -> Iterator[Line]:
    for action in ("monitored", "judged", "retrain_scored", "drilled", "drill_failed"):
        entry = then.ledger.latest(model, action)
        if entry is not None:
            what = f"{action.replace('_', ' ')} {entry.subject or ''}".rstrip()
            yield Line(f"{what}, {entry.at_utc[:19]}: {seen_in(entry)}", (Place(entry.seq),))


def _doubts(then: "Stores", model: str) -> Iterator[Line]:
    monitored = then.ledger.latest(model, "monitored")
    for part in ("drift", "prediction_drift", "performance", "diagnosis"):
        found = (monitored.payload.get(part) or {}) if monitored else {}
        if monitored is not None and found.get("words") and found.get("verdict", Verdict.FAIL) != Verdict.PASS:
            yield Line(f"{part.replace('_', ' ')}: {found['words']}", (Place(monitored.seq),))
    for recorded, review in open_reviews(then, model):
        because = "; ".join(review.opened_because)
        yield Line(
            f"review of {review.subject} open until {review.due}: {because}",
            (Place(recorded.entry.seq, recorded.digest),),
        )


def _held(then: "Stores", model: str) -> Iterator[Line]:
    from retrain_pipeline.records.decisions import registered

    found = registered(then, model)
    for name, one in sorted(found.items()):
        if one.record.front.status == "accepted":
            who = ", ".join(one.record.front.decision_makers)
            place = Place(one.newest.entry.seq, one.newest.digest)
            yield Line(f"{name}: {one.record.title} ({who}, review by {one.record.front.review_by})", (place,))
    if not found:
        yield Line("no decision was on record")
