"""Risk assessments on record, and whether the newest still stands: dated, reviewed, owned, and its monitors holding."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from retrain_pipeline.records.facts import Facts
from retrain_pipeline.records.kinds.risks import RiskRecord
from retrain_pipeline.records.record import newest_records
from retrain_pipeline.records.written import register_written
from retrain_pipeline.spec.risks import FILE, Risk, RiskAssessment, RisksRefused, read_risks
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retrain_pipeline.spec.decision import Decision
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

OUTDATED_BY = ("architecture", "data", "feature", "collection", "rollout")
"""Kinds of decisions after which risks are assessed again."""


def register_risks(stores: "Stores", declaration: "Declaration", actor: str) -> None:
    """Enter the assessment of the model's folder when it is new or changed: a step of `settle`.

    A file that does not read is not entered; the audit names it.
    """
    try:
        said = read_risks(declaration.folder)
    except RisksRefused:
        return
    if said is not None:
        row = stores.ledger.deployment(declaration.spec.name)
        champion = row.state["champion"] if row else None
        register_written(stores, declaration, FILE, RiskRecord, actor, said=said, champion=champion)


def sensitive_columns(stores: "Stores", model: str) -> dict[str, str]:
    """Return the columns of the source that the newest assessment on record calls sensitive, with the reasons."""
    newest = newest_records(stores, model, RiskRecord.KIND, model, 1)
    return dict(newest[0].read(RiskRecord).said.sensitive) if newest else {}


def outdated(spec: "ModelSpec", said: RiskAssessment, decisions: "Sequence[Decision]", today: date) -> Iterator[str]:
    """Yield why an assessment is not that of the model as it is today."""
    columns = {*spec.data.columns, spec.data.label.column, spec.data.time.column, *spec.data.key}
    for name in sorted(set(said.sensitive) - columns):
        yield f"sensitive: there is no column {name!r:.80}"
    if said.review_by < today:
        yield f"its review was due by {said.review_by}"
    for one in decisions:
        if one.accepted and one.front.subject.kind in OUTDATED_BY and one.front.date > said.assessed:
            yield f"of {said.assessed}, before decision {one.front.id} of {one.front.date}: assess again"


def unchecked(stores: "Stores", declaration: "Declaration", said: RiskAssessment) -> Iterator[tuple[Risk, str]]:
    """Yield each risk whose monitor does not hold, or cannot be asked, with the reason."""
    facts = Facts(stores, declaration)
    for risk in said.risks:
        if risk.monitor is not None:
            verdict, words = facts.hold(risk.monitor)
            if verdict is not Verdict.PASS:
                yield risk, f"{risk.monitor} {words}"
