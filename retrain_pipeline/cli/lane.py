"""`retrain lane`: an experiment beside a model is begun, compared, taken over by a person, ended."""

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from retrain_pipeline.cli.common import Because, Home, Model, console, refusals_told
from retrain_pipeline.cli.places import NotFound, declaration_named, open_state

if TYPE_CHECKING:
    from retrain_pipeline.lanes import Lane
    from retrain_pipeline.spec.declaration import Declaration

lane_app = typer.Typer(no_args_is_help=True, help="Experiments beside a model that cannot write what is the model's.")
LaneName = Annotated[str, typer.Argument(help="The lane's full name, MODEL__NAME.")]


def _lane(name: str) -> "tuple[Declaration, Lane]":
    declaration = declaration_named(name)
    if declaration.lane is None:
        raise NotFound(f"{name} is a model, no lane; begin one beside it: retrain lane new {name} NAME")
    return declaration, declaration.lane


@lane_app.command()
def new(model: Model, name: Annotated[str, typer.Argument(help="What the lane is called.")]) -> None:
    """Write the folder of a lane beside a model's; say in it what is tried, and what differs."""
    from retrain_pipeline.lanes import lane_name
    from retrain_pipeline.spec.template import scaffold_lane

    with refusals_told():
        folder = declaration_named(model).file.parent.parent / lane_name(model, name)
        scaffold_lane(folder, model, name)
        console.print(f"{folder}: say in defs.yaml what differs, then: retrain check", markup=False, highlight=False)


@lane_app.command()
def compare(lane: LaneName, home: Home = None) -> None:
    """Compare a lane with its model on the rows that both answered, by bounds that hold at every look."""
    from retrain_pipeline.records.side_by_side import HEADER, side_by_side

    with refusals_told():
        declaration, whose = _lane(lane)
        metric = declaration.spec.problem.success.metric
        table = Table(title=f"{lane} beside {whose.of}: mean {metric} row loss, lower is better", title_justify="left")
        for column in HEADER:
            table.add_column(column, overflow="fold")
        for one in side_by_side(open_state(home, whose), declaration.spec, whose):
            table.add_row(*map(escape, one.cells()))
        console.print(table)


@lane_app.command()
def adopt(lane: LaneName) -> None:
    """Print what a person would change in the model's folder to take the lane over; nothing is changed."""
    with refusals_told():
        declaration, whose = _lane(lane)
        model = declaration_named(whose.of)
        changed = [*_yaml_diff(declaration, model), *_code_diff(declaration, model)]
        for line in changed or [f"{lane} differs from {whose.of} in nothing"]:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if changed:
            words = f"The change is yours to make and to have reviewed: {whose.of} then retrains through its own gates."
            console.print(words, markup=False, highlight=False)


@lane_app.command()
def end(lane: LaneName, because: Because, home: Home = None) -> None:
    """End a lane: nothing is asked for in it any more, and its record stays with how it compared."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.lanes import ENDED
    from retrain_pipeline.ledger.entries import NewEntry
    from retrain_pipeline.records.side_by_side import side_by_side

    with refusals_told():
        declaration, whose = _lane(lane)
        stores = open_state(home, whose)
        found = [one.to_json() for one in side_by_side(stores, declaration.spec, whose)]
        payload = {"because": " ".join(because.split())[:1000], "of": whose.of, "compared": found}
        stores.ledger.append(NewEntry(actor(), ENDED, lane, payload=payload, key=f"{ENDED}:{lane}"))
        console.print(f"{lane} has ended. Its record stays; its assets go with its folder:", markup=False)
        console.print(f"  git rm -r {declaration.file.parent}", markup=False, highlight=False, soft_wrap=True)


def _yaml_diff(lane: "Declaration", model: "Declaration") -> list[str]:
    """Return the model's declared values as a diff to those of the lane, a key a line."""
    from retrain_pipeline.spec.lanes import SECTIONS

    theirs, ours = (
        _lines({name: value for name, value in one.spec.model_dump(mode="json").items() if name in SECTIONS})
        for one in (model, lane)
    )
    file = str(model.file)
    return list(difflib.unified_diff(theirs, ours, file, f"{file}, as in {lane.spec.name}", lineterm="", n=0))


def _lines(sections: dict[str, object]) -> list[str]:
    from retrain_pipeline.spec.yaml import yaml_flow

    return [
        f"{section}.{key}: {yaml_flow(value)}" if isinstance(values, dict) else f"{section}: {yaml_flow(values)}"
        for section, values in sections.items()
        for key, value in (values.items() if isinstance(values, dict) else [("", None)])
    ]


def _code_diff(lane: "Declaration", model: "Declaration") -> list[str]:
    """Return how the Python files of the lane's folder differ from those of the model's."""
    if lane.folder == model.folder:
        return []
    found: list[str] = []
    for file in sorted({path.relative_to(lane.folder) for path in lane.folder.rglob("*.py")}):
        ours, theirs = lane.folder / file, model.folder / file
        found += difflib.unified_diff(_text(theirs), _text(ours), str(theirs), str(ours), lineterm="")
    return found


def _text(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
