"""`retrain decide`, `decisions` and `review`: why a model is as it is, written down, listed and looked at again."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from retrain_pipeline.cli.common import Home, Model, console, refusals_told
from retrain_pipeline.cli.places import NotFound, declaration_named, open_state

if TYPE_CHECKING:
    from pathlib import Path

    from retrain_pipeline.spec.declaration import Declaration


def add_decisions(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(decide)
    app.command()(decisions)
    app.command()(review)


def decide(
    model: Model,
    because: Annotated[str | None, typer.Option(help="The reason. Default: you are asked.")] = None,
    title: Annotated[str, typer.Option(help="The decision in a line.")] = "",
    option: Annotated[str, typer.Option(help="The option that was chosen.")] = "",
    instead: Annotated[str, typer.Option(help="What else could have been done.")] = "Leave it as it is",
    good: Annotated[str, typer.Option(help="What is won by it: Good, because …")] = "",
    price: Annotated[str, typer.Option(help="What it costs: Bad, because …")] = "",
    edges: Annotated[str, typer.Option(help="Of a threshold: what lies at the border, and what happens then.")] = "",
    kind: Annotated[str, typer.Option(help="Default: guessed from what changed.")] = "",
    covers: Annotated[
        list[str] | None, typer.Option(help="A path that it answers for. Default: all that changed.")
    ] = None,
    accept: Annotated[list[str] | None, typer.Option(help="Who accepts it. Default: it is proposed.")] = None,
    supersedes: Annotated[str, typer.Option(help="Id of the decision whose place it takes.")] = "",
    home: Home = None,
) -> None:
    """Write down why: a decision file, prefilled with what changed since the champion and what is on record of it."""
    from retrain_pipeline.records.drafts import BLANK, Said, draft, write_draft

    with refusals_told():
        declaration = declaration_named(model)
        made = draft(open_state(home, declaration.lane), declaration)
        for change in made.changes:
            console.print(f"  {change}", markup=False, highlight=False)
        asked = because is None
        if asked and not _at_terminal():
            raise NotFound(f"{model}: there is no terminal to ask at; give the reason by --because")
        said = Said(
            because=because or _asked("because", BLANK),
            title=title or (_asked("title", "") if asked else ""),
            option=option or (_asked("chosen option", BLANK) if asked else ""),
            instead=instead,
            good=good or (_asked("good, because", BLANK) if asked else ""),
            price=price or (_asked("bad, because", BLANK) if asked else BLANK),
            edges=edges or BLANK,
            kind=kind,
            covers=tuple(covers or ()),
            makers=() if asked else tuple(accept or ()),
            supersedes=supersedes,
        )
        decision = write_draft(declaration.folder, made, said)
        path = declaration.folder / "decisions" / decision.file
        if asked:
            _edited(declaration, path, accept or [])
        told = read_status(path)
        console.print(f"{model}: decisions/{decision.file} is {told}", highlight=False)
        if told == "proposed":
            console.print("it counts once its status is accepted and decision-makers names who accepted it")


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def read_status(file: "Path") -> str:
    """Return the status of a decision file."""
    from retrain_pipeline.spec.decision import read_decision

    return str(read_decision(file).front.status)


def _asked(what: str, default: str) -> str:
    return str(typer.prompt(what, default=default, show_default=False))


def _edited(declaration: "Declaration", file: "Path", makers: list[str]) -> None:
    """Open the file in $EDITOR; then accept it, where that was asked for and its text is a reason."""
    import click

    from retrain_pipeline.records.drafts import check_text
    from retrain_pipeline.spec.decision import read_decision, read_decisions
    from retrain_pipeline.spec.yaml import yaml_flow

    click.edit(filename=str(file))
    if makers:
        decision = read_decision(file)
        check_text(decision, read_decisions(declaration.folder)[0])
        text = file.read_text(encoding="utf-8")
        text = text.replace("status: proposed", "status: accepted", 1)
        file.write_text(
            text.replace("decision-makers: []", f"decision-makers: {yaml_flow(makers)}", 1), encoding="utf-8"
        )


def decisions(
    model: Annotated[str | None, typer.Argument(help="The model's name.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind: architecture, optimizer, feature, …")] = None,
    version: Annotated[
        str | None, typer.Option(help="The decisions that a version stands on, back to the problem.")
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="List what an assumption's predicate may name.")] = False,
    home: Home = None,
) -> None:
    """List a model's decisions: status, date of review, whether what they rest on still holds, open reviews."""
    from retrain_pipeline.cli import show_decisions as show

    with refusals_told():
        if names:
            show.show_names(console)
            return
        if model is None:
            raise NotFound("give a model, or --names")
        declaration = declaration_named(model)
        stores = open_state(home, declaration.lane)
        if version is not None:
            show.show_chain(console, stores, declaration, version)
        elif show.show_decisions(console, stores, declaration, kind):
            raise typer.Exit(1)


def review(
    model: Model,
    outcome: Annotated[str, typer.Option(help="keep, change or retire.")],
    words: Annotated[str, typer.Option(help="What you found.")],
    subject: Annotated[str | None, typer.Argument(help="The decision. Default: the one with an open review.")] = None,
    by: Annotated[str | None, typer.Option(help="Who reviewed. Default: you.")] = None,
    dissent: Annotated[list[str] | None, typer.Option(help="A view that differs; it stays beside the outcome.")] = None,
    home: Home = None,
) -> None:
    """Close the review of a decision, as somebody who did not decide it."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.records.reviews import close_reviews

    with refusals_told():
        declaration = declaration_named(model)
        closed = close_reviews(
            open_state(home, declaration.lane),
            model,
            subject,
            outcome=outcome,
            words=words,
            actor=actor(),
            by=by,
            dissent=dissent or (),
        )
        console.print(f"{model} {closed[0].subject}: {outcome}, reviewed by {by or actor()}", highlight=False)
        if outcome == "change":
            console.print(f"write what takes its place: retrain decide {model} --supersedes {closed[0].subject}")
