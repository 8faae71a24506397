"""`retrain gates`: past judgements under today's gates, as a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from retrain_pipeline.cli.common import Home, console, refusals_told
from retrain_pipeline.cli.places import all_declarations, declaration_named, open_state
from retrain_pipeline.cli.show import day, verdict_text

if TYPE_CHECKING:
    from retrain_pipeline.gates.replay import Replayed
    from retrain_pipeline.stores import Stores


gates_app = typer.Typer(no_args_is_help=True, help="What candidates must prove.")


@gates_app.callback()
def gates() -> None:
    """What candidates must prove."""


@gates_app.command(name="replay")
def replay_gates(
    model: Annotated[str | None, typer.Argument(help="The model's name. Default: all.")] = None,
    fail_on_flip: Annotated[bool, typer.Option("--fail-on-flip", help="Exit with 1 if any verdict flips.")] = False,
    home: Home = None,
) -> None:
    """Run today's gates and thresholds over every past judgement, and show which verdicts would flip."""
    with refusals_told():
        if show_gate_replay(console, open_state(home), model) and fail_on_flip:
            raise typer.Exit(1)


def show_gate_replay(console: Console, stores: "Stores", model: str | None) -> int:
    """Print what today's gates say of every past judgement, of one model or of all; return how many would flip."""
    from retrain_pipeline.gates.replay import replay_judgements

    specs = [declaration_named(model).spec] if model else [one.spec for one in all_declarations()[0]]
    flips = 0
    for spec in specs:
        found = replay_judgements(stores, spec)
        flips += sum(one.flips for one in found)
        _show(console, spec.name, found)
    return flips


def _show(console: Console, model: str, found: "Sequence[Replayed]") -> None:
    flips = sum(one.flips for one in found)
    if not found:
        console.print(f"{model}: nothing was ever judged.", markup=False)
        return
    table = Table(title=f"{model}: judgements under today's gates", title_justify="left")
    for column in ("#", "judged", "version", "then", "now", "gates that answer otherwise", "how"):
        table.add_column(column, overflow="fold")
    for one in found:
        changed = "\n".join(f"{c.gate}: {c.then or '—'} → {c.now or '—'} ({c.words})" for c in one.changed)
        now = f"[bold]{verdict_text(one.now.value)}[/bold]" if one.flips else verdict_text(one.now.value)
        cells = (str(one.seq), day(one.at_utc), one.version, verdict_text(one.then.value), now)
        table.add_row(*cells, escape(changed) or "none", escape(one.how))
    console.print(table)
    console.print(f"{model}: {flips} of {len(found)} judgements would flip", markup=False, highlight=False)
