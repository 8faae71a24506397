"""`retrain explain` and `retrain log`: a version or a moment accounted for, and the log of state transitions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrain_pipeline.cli.common import Home, Model, console, refusals_told
from retrain_pipeline.cli.places import NotFound, open_state

if TYPE_CHECKING:
    from retrain_pipeline.records.account import Account

AsOf = Annotated[str | None, typer.Option("--as-of", help="As it was known then: a day, or a time (ISO 8601).")]


def add_log(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(explain)
    app.command()(log)


def explain(
    model: Model,
    version: Annotated[str | None, typer.Argument(help="The version. Default: what was believed at --as-of.")] = None,
    as_of: AsOf = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print canonical JSON.")] = False,
    home: Home = None,
) -> None:
    """Say what changed with a version, why, who decided, on what evidence, how it came out; or what was believed."""
    from retrain_pipeline.canonical import canonical_json
    from retrain_pipeline.cli.show import show_explanation
    from retrain_pipeline.records.account import account
    from retrain_pipeline.records.belief import as_of as stores_as_of
    from retrain_pipeline.records.belief import believed, moment

    with refusals_told():
        stores = open_state(home)
        if version is None and as_of is None:
            raise NotFound(f"{model}: give a version, or a moment (--as-of) of which to say what was believed")
        if version is None and as_of is not None:
            found = believed(stores, model, moment(as_of))
        else:
            stores = stores if as_of is None else stores_as_of(stores, model, moment(as_of))
            found = account(stores, model, version or "")
            if not as_json:
                show_explanation(console, stores, model, version or "")
        if as_json:
            typer.echo(canonical_json(found.to_json()).decode())
        else:
            show_account(found)


def show_account(found: "Account") -> None:
    """Print an account: a heading a question, a line a fact with its place."""
    from retrain_pipeline.records.log import spelt

    for name, lines in found.sections.items():
        console.print(f"\n[bold]{name}[/bold]")
        for one in lines:
            places = "; ".join(place.words() for place in one.places)
            console.print(f"  {spelt(one.words)}", markup=False, highlight=False, soft_wrap=True, end="")
            console.print(f"  [dim]\\[{places}][/dim]" if places else "", highlight=False, soft_wrap=True)


def log(
    model: Model,
    grep: Annotated[str, typer.Option(help="Words that an entry must hold, all of them.")] = "",
    as_of: AsOf = None,
    export: Annotated[Path | None, typer.Option(help="Write it to a file that ends in .csv or .jsonl.")] = None,
    home: Home = None,
) -> None:
    """Show every change of a model's state, searchable, as of any moment; or export it."""
    from rich.markup import escape
    from rich.table import Table

    from retrain_pipeline.records.belief import moment
    from retrain_pipeline.records.log import COLUMNS, exported, row, spelt
    from retrain_pipeline.records.log import log as entries_of

    with refusals_told():
        until = moment(as_of) if as_of is not None else None
        found = entries_of(open_state(home), model, grep=grep, until=until)
        if export is not None:
            export.write_bytes(exported(found, export.suffix.removeprefix(".")))
            console.print(f"{len(found)} entries are in {export}", highlight=False, soft_wrap=True)
            return
        table = Table(title=f"Log of {model}", title_justify="left")
        shown = [name for name in COLUMNS if name not in ("run_id", "sha256")]
        for name in shown:
            table.add_column(name, overflow="fold")
        for entry in found:
            values = row(entry)
            table.add_row(
                *(escape(spelt(str(values[name])[: 19 if name.endswith("_utc") else None])) for name in shown)
            )
        console.print(table)
