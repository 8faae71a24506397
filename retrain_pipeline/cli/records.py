"""`retrain protocol`, `deviation`, `postmortem`, `data-sheet` and `checklist`: what people add to the record."""

from typing import Annotated

import typer

from retrain_pipeline.cli.common import Home, Model, console, refusals_told
from retrain_pipeline.cli.places import declaration_named, open_state

protocol_app = typer.Typer(no_args_is_help=True, help="By what models are judged, agreed before any is.")
By = Annotated[str, typer.Option(help="Who says so.")]


def add_records(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(protocol_app, name="protocol")
    app.command()(deviation)
    app.command()(postmortem)
    app.command(name="data-sheet")(data_sheet)
    app.command()(checklist)


@protocol_app.command(name="register")
def register_protocol(model: Model, by: By, home: Home = None) -> None:
    """Agree to the problem and the evaluation protocol that are declared now, before a model is made by them."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.records.agreed import register

    with refusals_told():
        declaration = declaration_named(model)
        protocol = register(open_state(home, declaration.lane), declaration.spec, actor(), agreed_by=by)
        moved = f"; changed: {', '.join(protocol.changed)}" if protocol.changed else ""
        console.print(f"{model}: protocol {protocol.version} ({protocol.digest[:12]}){moved}", highlight=False)
        console.print(f"agreed by {', '.join(protocol.agreed_by)}", markup=False, highlight=False)


@protocol_app.command(name="show")
def show_protocols(model: Model, home: Home = None) -> None:
    """Show every version of a model's protocol: since when, who agreed, and what changed."""
    from retrain_pipeline.records.agreed import protocols

    with refusals_told():
        for one, protocol in protocols(open_state(home), model):
            agreed = ", ".join(protocol.agreed_by) or "nobody but the machine"
            changed = f"; changed: {', '.join(protocol.changed)}" if protocol.changed else ""
            words = f"{protocol.version} {protocol.digest[:12]} since {one.entry.at_utc}: {agreed}{changed}"
            console.print(words, markup=False, highlight=False)


def deviation(
    model: Model,
    what: Annotated[str, typer.Option(help="What is otherwise than agreed.")],
    why: Annotated[str, typer.Option(help="Why.")],
    expected: Annotated[str, typer.Option(help="What you expect to come of it.")],
    by: By,
    run: Annotated[str | None, typer.Option(help="Explain what a machine found of this run.")] = None,
    home: Home = None,
) -> None:
    """Enter where something is done otherwise than was agreed, or explain what a machine found."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.records.incidents import deviate

    with refusals_told():
        stores = open_state(home, declaration_named(model).lane)
        record = deviate(stores, model, what=what, why=why, expected=expected, by=by, actor=actor(), run_id=run)
        console.print(f"{model}: deviation of {record.subject} is on record", markup=False, highlight=False)


def postmortem(
    model: Model,
    by: By,
    cause: Annotated[list[str], typer.Option(help="Why it happened; may be given again.")],
    action: Annotated[list[str], typer.Option(help="What is done about it; may be given again.")],
    home: Home = None,
) -> None:
    """Say why the newest rollback was needed and what is done about it; the facts are there already."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.records.incidents import complete_postmortem, write_postmortems

    with refusals_told():
        declaration = declaration_named(model)
        stores = open_state(home, declaration.lane)
        write_postmortems(stores, declaration, actor())
        done = complete_postmortem(stores, model, by=by, causes=tuple(cause), actions=tuple(action), actor=actor())
        console.print(f"{model}: the postmortem of {done.subject} is complete", markup=False, highlight=False)


def data_sheet(
    model: Model,
    question: Annotated[str, typer.Argument(help="consent, sensitive, not_for, licence or retention.")],
    words: Annotated[str, typer.Option(help="What is so.")],
    owner: Annotated[str, typer.Option(help="Who says so.")],
    home: Home = None,
) -> None:
    """Say of the data what no machine can know, with your name and today's date."""
    from datetime import UTC, datetime

    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.records.data_sheets import say

    with refusals_told():
        stores = open_state(home, declaration_named(model).lane)
        today = datetime.now(UTC).date().isoformat()
        say(stores, model, question, words, owner=owner, date=today, actor=actor())
        console.print(f"{model}: {question} is on record", markup=False, highlight=False)


def checklist(
    model: Model,
    done: Annotated[str | None, typer.Option(help="An item that is done; needs --by and --words.")] = None,
    by: Annotated[str, typer.Option(help="Its owner, or a member of the team that owns it.")] = "",
    words: Annotated[str, typer.Option(help="What was done, for the record.")] = "",
    home: Home = None,
) -> None:
    """Show who expects what by when; or say that an item is done. Exit with 1 when one is late."""
    from datetime import UTC, datetime

    from rich.table import Table

    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.governance.owners import project_owners
    from retrain_pipeline.records.checklist import standings, tick
    from retrain_pipeline.spec.checklist import FILE, ChecklistRefused, read_checklist
    from retrain_pipeline.verdicts import Verdict

    with refusals_told():
        declaration = declaration_named(model)
        stores, said = open_state(home, declaration.lane), read_checklist(declaration.folder)
        if said is None:
            raise ChecklistRefused(f"{model}: there is no {FILE} in its folder; docs/audit.md shows one")
        if done is not None:
            tick(stores, declaration, done, by=by, words=words, owners=project_owners(), actor=actor())
        found = standings(stores, declaration, said, datetime.now(UTC).date())
        table = Table("item", "owner", "role", "due", "", "")
        marks = {Verdict.PASS: "done", Verdict.FAIL: "late", Verdict.INCONCLUSIVE: "open"}
        for one in found:
            item, told = one.item, f"{one.item.expects}\n{one.words}".replace("[", r"\[")
            table.add_row(item.id, item.owner, item.role, str(item.due), marks[one.verdict], told)
        console.print(table)
        if any(one.verdict is Verdict.FAIL for one in found):
            raise typer.Exit(1)
