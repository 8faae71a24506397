"""`retrain portal`: the records of all models as pages to read, in a folder."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from retrain_pipeline.cli.common import Home, console, refusals_told

portal_app = typer.Typer(no_args_is_help=True, help="The records of all models as pages that need no server.")


@portal_app.callback()
def portal() -> None:
    """The records of all models as pages that need no server."""


@portal_app.command()
def build(
    models: Annotated[list[str] | None, typer.Argument(help="Models. Default: all on record.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder that is empty, new, or a portal. Default: `portal` in the home.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Show what was on record then: a date or ISO time (UTC), or an entry's number.")
    ] = None,
    home: Home = None,
) -> None:
    """Build the site, or bring it up to date: only pages that changed are written."""
    from retrain_pipeline.assets.graph import graph_of
    from retrain_pipeline.cli.places import all_declarations, open_state, use_home
    from retrain_pipeline.records.portal.build import FOLDER, build_portal

    with refusals_told(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Dagster says of its own parameters when the graph is read
        folder = out or use_home(home) / FOLDER
        accepted, _ = all_declarations()
        stores = open_state(home)
        built = build_portal(stores, folder, models=models or (), as_of=as_of, graph=graph_of(accepted))
        told = f"{built.models} models, {built.versions} versions, {built.pages} pages"
        done = f"{built.made} written, {built.removed} removed"
        console.print(f"{told}: {done}", markup=False, highlight=False)
        console.print(str(built.index), markup=False, highlight=False, soft_wrap=True)
