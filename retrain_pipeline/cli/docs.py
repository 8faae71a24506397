"""`retrain docs`: the records of a model brought up to date, and what they look like."""

from pathlib import Path
from typing import Annotated

import typer

from retrain_pipeline.cli.common import Home, Model, console, refusals_told
from retrain_pipeline.cli.places import declaration_named, open_state
from retrain_pipeline.cli.verifying import add_verification

docs_app = typer.Typer(no_args_is_help=True, help="The documentation that the stores write, and whether it is true.")
add_verification(docs_app)


@docs_app.command()
def update(model: Model, home: Home = None) -> None:
    """Enter every record of a model that is missing: experiments, notes, briefs, sheets, reports of incidents."""
    from collections import Counter

    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.records.record import records
    from retrain_pipeline.records.settle import settle

    with refusals_told():
        declaration = declaration_named(model)
        stores = open_state(home, declaration.lane)
        before = Counter(one.kind for one in records(stores, model))
        settle(stores, declaration, actor())
        after = Counter(one.kind for one in records(stores, model))
        for kind, count in sorted(after.items()):
            new = f" ({count - before[kind]} new)" if count > before[kind] else ""
            console.print(f"{kind}: {count}{new}", highlight=False)
        if not after:
            console.print(f"{model}: nothing happened yet, so there is nothing on record")


@docs_app.command()
def schemas(folder: Annotated[Path, typer.Argument(help="Where the files go.")]) -> None:
    """Write the JSON schema of every kind of record."""
    from retrain_pipeline.records.schemas import write_schemas

    with refusals_told():
        written = write_schemas(folder)
        console.print(f"{len(written)} schemas in {folder}")


@docs_app.command()
def show(
    model: Model,
    kind: Annotated[str, typer.Argument(help="release_note, postmortem, impact_brief, experiment, …")],
    subject: Annotated[str | None, typer.Argument(help="Version or run. Default: the newest record.")] = None,
    home: Home = None,
) -> None:
    """Print the newest record of a kind as JSON."""
    import json

    from retrain_pipeline.cli.places import NotFound
    from retrain_pipeline.records.record import records

    with refusals_told():
        found = list(records(open_state(home), model, kind, subject=subject))
        if not found:
            raise NotFound(f"{model}: no record of kind {kind!r:.40}; `retrain docs update {model}` says what there is")
        typer.echo(json.dumps(found[-1].document, indent=2, sort_keys=True))
