"""Decisions on the terminal."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from retrain_pipeline.cli.show import verdict_text

if TYPE_CHECKING:
    from retrain_pipeline.records.kinds.decision import DecisionCheck
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores


def show_names(console: Console) -> None:
    """Print what a predicate may name."""
    from retrain_pipeline.spec.predicate import OPERATORS, SOURCES

    table = Table()
    table.add_column("name", overflow="fold")
    table.add_column("what it is", overflow="fold")
    for name, words in SOURCES.items():
        table.add_row(escape(name), escape(words))
    console.print(table)
    console.print(f"operators: {' '.join(OPERATORS)}", highlight=False)


def show_decisions(console: Console, stores: "Stores", declaration: "Declaration", kind: str | None) -> bool:
    """Print a line a decision, what does not hold, open reviews and contradictions; return whether there are any."""
    from retrain_pipeline.records.decisions import check_decisions
    from retrain_pipeline.records.reviews import open_reviews
    from retrain_pipeline.spec.decision import read_decisions
    from retrain_pipeline.verdicts import Verdict

    model = declaration.spec.name
    checks, effects = _checks(stores, model), _effects(stores, model)
    table = Table(title=f"Decisions of {model}", title_justify="left")
    for column in ("id", "decision", "kind", "status", "review by", "rests on", "predicted"):
        table.add_column(column, overflow="fold")
    for one in read_decisions(declaration.folder)[0]:
        if kind is None or one.front.subject.kind == kind:
            check = checks.get(one.front.id)
            table.add_row(
                escape(one.front.id),
                escape(one.title),
                one.front.subject.kind,
                one.front.status,
                one.front.review_by.isoformat(),
                verdict_text(check.verdict.value if check else None),
                ", ".join(verdict_text(verdict) for verdict in effects.get(one.front.id, [])) or "—",
            )
    console.print(table)
    for name, check in checks.items():
        for part in check.checked:
            if part.verdict is not Verdict.PASS:
                console.print(f"  {name} {part.verdict}: {part.words}", markup=False, highlight=False)
    for _, waiting in open_reviews(stores, model):
        words = f"  open review of {waiting.subject}, due {waiting.due}: {'; '.join(waiting.opened_because)}"
        console.print(words, markup=False, highlight=False)
    found = check_decisions(stores, declaration)
    for problem in found.problems:
        console.print(f"  {problem}", markup=False, highlight=False, style="red")
    return found.verdict is Verdict.FAIL


def _checks(stores: "Stores", model: str) -> "dict[str, DecisionCheck]":
    from retrain_pipeline.records.kinds.decision import DecisionCheck
    from retrain_pipeline.records.record import records

    return {one.subject: one.read(DecisionCheck) for one in records(stores, model, DecisionCheck.KIND)}


def _effects(stores: "Stores", model: str) -> dict[str, list[str]]:
    from retrain_pipeline.records.kinds.decision import EffectScore
    from retrain_pipeline.records.record import records

    found: dict[str, list[str]] = {}
    for one in records(stores, model, EffectScore.KIND):
        found.setdefault(one.subject, []).append(one.read(EffectScore).verdict.value)
    return found


def show_chain(console: Console, stores: "Stores", declaration: "Declaration", version: str) -> None:
    """Print the line of champions that a version stands on, each with the decisions that came with it."""
    from retrain_pipeline.records.decisions import chain

    steps = chain(stores, declaration.spec.name, version)
    for step in steps:
        came = ", ".join(step.decisions) or "no new decision"
        console.print(f"{step.version}  {came}", markup=False, highlight=False)
    console.print(f"problem: {steps[-1].statement}", markup=False, highlight=False, soft_wrap=True)


def refused_beside(declaration: "Declaration") -> list[str]:
    """Return what is wrong with the files that people write beside a declaration: decisions, risks, checklist."""
    from retrain_pipeline.errors import PermanentError
    from retrain_pipeline.spec.checklist import read_checklist
    from retrain_pipeline.spec.decision import read_decisions
    from retrain_pipeline.spec.risks import read_risks

    folder = declaration.folder
    found = [f"{folder}/{one}" for one in read_decisions(folder)[1]]
    for read in (read_risks, read_checklist):
        try:
            read(folder)
        except PermanentError as refusal:
            found.append(f"{folder}/{refusal}")
    return found
