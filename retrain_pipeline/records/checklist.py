"""Checklists on record: who expects what by when, what is done, and what is late."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.governance.owners import Owners
from retrain_pipeline.records.facts import Facts
from retrain_pipeline.records.kinds.checklist import ChecklistRecord, Ticked
from retrain_pipeline.records.record import Recorded, enter, newest_records
from retrain_pipeline.records.written import register_written
from retrain_pipeline.spec.checklist import FILE, Checklist, ChecklistRefused, Expected, read_checklist
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores


@dataclass(frozen=True)
class Standing:
    """Where an item stands. PASS: done. FAIL: late. INCONCLUSIVE: open, and not due yet."""

    item: Expected
    verdict: Verdict
    words: str


def register_checklist(stores: "Stores", declaration: "Declaration", actor: str) -> None:
    """Enter the checklist of the model's folder when it is new or changed: a step of `settle`.

    A file that does not read is not entered; the audit names it.
    """
    try:
        said = read_checklist(declaration.folder)
    except ChecklistRefused:
        return
    if said is not None:
        register_written(stores, declaration, FILE, ChecklistRecord, actor, said=said)


def tick(
    stores: "Stores", declaration: "Declaration", item: str, *, by: str, words: str, owners: Owners | None, actor: str
) -> "Entry":
    """Enter that an item is done.

    Parameters
    ----------
    by
        Who says so: the item's owner, or a member of the team that owns it.
    owners
        Who belongs to which team; None where nobody wrote it down.

    Raises
    ------
    ChecklistRefused
        When there is no such item, a machine judges it, or it is somebody else's.
    """
    register_checklist(stores, declaration, actor)
    model, said = declaration.spec.name, read_checklist(declaration.folder)
    known = {one.id: one for one in said.items} if said else {}
    if item not in known:
        there = ", ".join(known) or "none"
        raise ChecklistRefused(f"{model}: {FILE} has no item {item!r:.80}; there are: {there}")
    asked = known[item]
    if asked.accept is not None:
        raise ChecklistRefused(f"{model} {item}: {asked.accept} says whether it is done, nobody else does")
    team = owners.owners.get(asked.owner) if owners else None
    if by not in (asked.owner, *(team.members if team else ())):
        raise ChecklistRefused(f"{model} {item}: it is for {asked.owner} to say, and {by!r:.80} is not one of them")
    text = newest_records(stores, model, ChecklistRecord.KIND, model, 1)[0].read(ChecklistRecord).text
    record = Ticked.make(model=model, subject=item, item=_wording(asked), checklist=text, by=by, words=words)
    return enter(stores, record, actor=actor)


def standings(stores: "Stores", declaration: "Declaration", said: Checklist, today: date) -> list[Standing]:
    """Return where every item stands on a day, in the order of the file."""
    facts = Facts(stores, declaration)
    return [_standing(stores, facts, declaration.spec.name, one, today) for one in said.items]


def _standing(stores: "Stores", facts: Facts, model: str, item: Expected, today: date) -> Standing:
    if item.accept is not None:
        verdict, seen = facts.hold(item.accept)
        done, words = verdict is Verdict.PASS, f"{item.accept} {seen}"
    else:
        ticked = _ticked(stores, model, item)
        done = ticked is not None
        words = f"done, says {ticked.document['by']}: {ticked.document['words']}" if ticked else "nobody ticked it"
    if done:
        return Standing(item, Verdict.PASS, words)
    late = today > item.due
    when = f"late, it was due on {item.due}" if late else f"open until {item.due}"
    return Standing(item, Verdict.FAIL if late else Verdict.INCONCLUSIVE, f"{when}: {words}")


def _ticked(stores: "Stores", model: str, item: Expected) -> Recorded | None:
    """Return the newest tick of an item as it is worded now."""
    newest = newest_records(stores, model, Ticked.KIND, item.id, 1)
    return newest[0] if newest and newest[0].document["item"] == _wording(item) else None


def _wording(item: Expected) -> str:
    """Return the digest of what is expected of whom; a new date is the same expectation."""
    return digest_of(item.model_dump(mode="json", exclude={"due"}))
