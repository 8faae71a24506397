"""Check 15: whoever a declaration, decision or risk names stands in OWNERS.yaml, and is still there."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from retrain_pipeline.governance.errors import OwnersRefused
from retrain_pipeline.governance.owners import FILE, Owners
from retrain_pipeline.records.truth.finding import Finding, right, unknown, wrong
from retrain_pipeline.spec.checklist import FILE as CHECKLIST
from retrain_pipeline.spec.checklist import Checklist
from retrain_pipeline.spec.risks import FILE as RISKS
from retrain_pipeline.spec.risks import RiskAssessment

if TYPE_CHECKING:
    from retrain_pipeline.records.truth.context import Context


def owners_active(context: "Context") -> Iterator[Finding]:
    """Look for the declared owners today, and for those who took a decision on the day that they took it."""
    try:
        owners = context.owners
    except OwnersRefused as error:
        yield wrong(FILE, FILE, str(error), "mend the file")
        return
    today, where = context.as_of.date(), "defs.yaml owners"
    if not context.declaration.spec.owners:
        yield wrong(context.model, where, "nobody owns it", "declare owners, and name them in " + FILE)
    for identity in context.declaration.spec.owners:
        yield _look(owners, f"owner {identity}", where, identity, today)
    said = context.risks
    for risk in said.risks if isinstance(said, RiskAssessment) else ():
        yield _look(owners, f"owner {risk.owner}", f"{RISKS} {risk.id}", risk.owner, today)
    expected = context.checklist
    for item in expected.items if isinstance(expected, Checklist) else ():
        yield _look(owners, f"owner {item.owner}", f"{CHECKLIST} {item.id}", item.owner, today)
    for decision in context.decisions:
        for identity in decision.front.decision_makers:
            thing, place = f"decision-maker {identity}", f"decisions/{decision.file}"
            yield _look(owners, thing, place, identity, decision.front.date)


def _look(owners: Owners | None, thing: str, place: str, identity: str, on: date) -> Finding:
    if owners is None:
        words = f"there is no {FILE}: whether somebody stands for it cannot be told"
        return unknown(thing, place, words, f"write {FILE} beside roles.yaml (docs/verification.md shows one)")
    absent = owners.absent(identity, on)
    if absent is not None:
        return wrong(thing, place, absent, f"name somebody who is there, or add them to {FILE}")
    return right(thing, place)
