"""The commands `retrain docs verify` and `retrain docs diff`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from retrain_pipeline.cli.common import Home, console, refusals_told


def add_verification(app: typer.Typer) -> None:
    """Add both commands to a group."""
    app.command()(verify)
    app.command()(diff)


def verify(
    models: Annotated[list[str] | None, typer.Argument(help="Models. Default: all that are declared.")] = None,
    as_of: Annotated[
        datetime | None, typer.Option(help="UTC moment at which dates are compared. Default: the newest on record.")
    ] = None,
    portal: Annotated[
        Path | None, typer.Option(help="Folder of a portal that was built; its pages are read too.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="File for the answers as canonical JSON.")] = None,
    allow_inconclusive: Annotated[
        list[str] | None, typer.Option(help="A check that may be INCONCLUSIVE; give it again for another.")
    ] = None,
    defs: Annotated[Path | None, typer.Option(help="Where model folders are. Default: the project's.")] = None,
    home: Home = None,
    *,
    declared: Annotated[
        bool, typer.Option("--declared", help="Only what the files in the repository answer, without any store.")
    ] = False,
) -> None:
    """Ask the sixteen truth checks. Exit with 0 when all pass, 1 when one fails, 3 when one could not tell."""
    from retrain_pipeline.cli.verification import show_verification

    with refusals_told():
        code = show_verification(
            console,
            models or (),
            home,
            as_of=as_of,
            portal=portal,
            json_file=json,
            allowed=allow_inconclusive or (),
            folder=defs,
            declared=declared,
        )
    raise typer.Exit(code)


def diff(
    base: Annotated[str, typer.Argument(help="A git revision; with --model it may be a version.")],
    head: Annotated[str | None, typer.Argument(help="Another. Default: the work tree.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    defs: Annotated[Path | None, typer.Option(help="Where model folders are. Default: the project's.")] = None,
    home: Home = None,
) -> None:
    """Print what changes in the documents of models, as Markdown for a pull request."""
    from retrain_pipeline.cli.verification import docs_diff

    with refusals_told():
        typer.echo(docs_diff(base, head, model, defs, home), nl=False)
