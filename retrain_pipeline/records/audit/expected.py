"""What people expect of a model and of each other: risks, checklist, and a reason and a test for every change."""

from datetime import date
from typing import TYPE_CHECKING

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.records.audit.found import Found
from retrain_pipeline.records.checklist import standings
from retrain_pipeline.records.kinds.audit import Finding
from retrain_pipeline.records.kinds.change import ChangeRecord
from retrain_pipeline.records.record import newest_records
from retrain_pipeline.records.risks import outdated, unchecked
from retrain_pipeline.spec.checklist import FILE as CHECKLIST
from retrain_pipeline.spec.checklist import ChecklistRefused, read_checklist
from retrain_pipeline.spec.risks import FILE as RISKS
from retrain_pipeline.spec.risks import RisksRefused, read_risks
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    from retrain_pipeline.spec.decision import Decision
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores


def risks_found(stores: "Stores", declaration: "Declaration", decisions: "list[Decision]", today: date) -> Found:
    """Look whether the risk assessment stands: read, dated, reviewed, its monitors holding."""
    empty = f"there is no {RISKS}: what could go wrong was not written down"
    try:
        said = read_risks(declaration.folder)
    except RisksRefused as error:
        return _unread("risks", RISKS, error, empty)
    if said is None:
        return Found("risks", 0, (), empty)
    told = [("assessment", words) for words in outdated(declaration.spec, said, decisions, today)]
    told += [(f"risk {risk.id}", words) for risk, words in unchecked(stores, declaration, said)]
    found = (Finding(check="risks", what=what, place=RISKS, words=words[:500]) for what, words in told)
    return Found("risks", 1 + len(said.risks), tuple(found), empty)


def checklist_found(stores: "Stores", declaration: "Declaration", today: date) -> Found:
    """Look for items of the checklist that are late."""
    empty = f"there is no {CHECKLIST}: who does what by when was not written down"
    try:
        said = read_checklist(declaration.folder)
    except ChecklistRefused as error:
        return _unread("checklist", CHECKLIST, error, empty)
    if said is None:
        return Found("checklist", 0, (), empty)
    late = (
        Finding(
            check="checklist",
            what=f"{one.item.id} of {one.item.owner} ({one.item.role})",
            place=CHECKLIST,
            words=one.words[:500],
        )
        for one in standings(stores, declaration, said, today)
        if one.verdict is Verdict.FAIL
    )
    return Found("checklist", len(said.items), tuple(late), empty)


def changes_found(stores: "Stores", model: str) -> GateResult:
    """Look whether each change of the champion has a reason and a test."""
    row = stores.ledger.deployment(model)
    known = newest_records(stores, model, ChangeRecord.KIND, str(row.state["champion"]), 1) if row else []
    changes = known[0].read(ChangeRecord).changes if known else ()
    verdict = worst(one.verdict for one in changes)
    told = [f"{one.part}: {one.words}" for one in changes if one.verdict is not Verdict.PASS]
    words = "; ".join(told) or (f"all {len(changes)} of {known[0].subject}" if known else "no release is on record")
    if known and not changes:
        words, verdict = f"{known[0].subject} is as the version before it was", Verdict.PASS
    return GateResult(gate="changes", verdict=verdict, words=words[:2000], n=len(changes))


def _unread(check: str, file: str, error: Exception, empty: str) -> Found:
    return Found(check, 0, (Finding(check=check, what=file, place=file, words=str(error)[:500]),), empty)
