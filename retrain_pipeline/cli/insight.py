"""`retrain insight`, `retrain why-changed` and `retrain lineage`: measurements on the terminal."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from retrain_pipeline.cli.common import Home, Model, console, refusals_told
from retrain_pipeline.cli.places import declaration_named, open_state

if TYPE_CHECKING:
    from rich.console import Console

    from retrain_pipeline.insight.split import Split
    from retrain_pipeline.records.kinds.insight import InsightRecord
    from retrain_pipeline.records.upstream import Downstream

_BAR = 24


def add_insight(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(name="insight")(insight)
    app.command(name="why-changed")(why_changed)
    app.command(name="lineage")(lineage)


def insight(
    model: Model,
    version: Annotated[str | None, typer.Argument(help="The version. Default: the champion.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure it now, with all refits, and record it.")] = False,
    home: Home = None,
) -> None:
    """Show what was measured of a version: importances, decision paths, ablation, groups, causes of the change."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.insight.recipe import NotMeasured
    from retrain_pipeline.records.insights import insight_of, record_insight

    with refusals_told():
        declaration = declaration_named(model)
        stores = open_state(home, declaration.lane)
        if version is None:
            row = stores.ledger.deployment(model)
            if row is None:
                raise NotMeasured(f"model {model!r} has no champion: name a version (retrain history {model})")
            version = str(row.state["champion"])
        if measure:
            record: InsightRecord | None = record_insight(stores, declaration, version, actor=actor(), refits=True)
        else:
            record = insight_of(stores, model, version)
        if record is None:
            raise NotMeasured(
                f"version {version} was not measured: retrain insight {model} {version} --measure does it now"
            )
        show_insight(console, record)
        for name, digest in sorted(record.plots.items()):
            console.print(f"{name}: {stores.artifacts.path(digest)}", markup=False, highlight=False)


def why_changed(
    model: Model,
    old: Annotated[str, typer.Argument(help="The earlier version.")],
    new: Annotated[str, typer.Argument(help="The later version.")],
    seeds: Annotated[int, typer.Option(min=1, max=20, help="How often it is done, each time with other seeds.")] = 3,
    seconds: Annotated[float, typer.Option(min=1, help="No refit begins after this many.")] = 600,
    home: Home = None,
) -> None:
    """Split the change of the metric between two versions into data, code, configuration, seed and judging rows."""
    from retrain_pipeline.insight.recipe import Purse
    from retrain_pipeline.insight.split import split_change

    with refusals_told():
        declaration = declaration_named(model)
        stores = open_state(home, declaration.lane)
        show_split(console, split_change(stores, model, old, new, seeds=seeds, purse=Purse(seconds)))


def lineage(
    model: Model,
    column: Annotated[str | None, typer.Option(help="A column of the source. Default: all.")] = None,
    home: Home = None,
) -> None:
    """Show which features come from a source column, and which versions and decisions depend on it."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.records.upstream import downstream_of

    with refusals_told():
        declaration = declaration_named(model)
        stores = open_state(home, declaration.lane)
        show_lineage(console, downstream_of(stores, declaration, column, actor=actor()))


def show_insight(console: "Console", record: "InsightRecord") -> None:
    """Print the tables of a version's measurements."""
    from retrain_pipeline.records.insight_tables import HEADS, lines_of

    measured = record.measured
    console.print(
        f"[bold]{record.model} {record.subject}[/]: mean {measured.metric} row loss {measured.mean_loss:.4g} "
        f"on {measured.rows} evaluation rows"
    )
    for name, lines in lines_of(measured).items():
        if lines:
            _print(console, name.replace("_", " "), HEADS[name], lines)


def show_split(console: "Console", split: "Split") -> None:
    """Print the parts of a change, with a bar each."""
    console.print(
        f"{split.metric} {split.old_value:.4g} ({split.old}) to {split.new_value:.4g} ({split.new}): "
        f"[bold]{split.total:+.4g}[/], from {split.refits} refits with {split.seeds} seeds"
    )
    longest = max(abs(one.moved) for one in split.parts) or 1.0
    table = Table(box=None)
    for name in ("cause", "part", "", "over the seeds", "words"):
        table.add_column(name, overflow="fold")
    for one in split.parts:
        colour = "yellow" if one.verdict != "PASS" else "red" if one.moved > 0 else "green"
        bar = "█" * round(_BAR * abs(one.moved) / longest)
        span = "" if one.low is None or one.high is None else f"{one.low:+.4g} to {one.high:+.4g}"
        table.add_row(one.cause, f"{one.moved:+.4g}", f"[{colour}]{bar}[/]", span, escape(one.words))
    console.print(table)


def show_lineage(console: "Console", found: "Downstream") -> None:
    """Print what depends on source columns."""
    from retrain_pipeline.records.upstream import lines

    for title, head, rows in lines(found):
        if rows:
            _print(console, title, head, rows)


def _print(console: "Console", title: str, head: tuple[str, ...], lines: "list[tuple[str, ...]]") -> None:
    table = Table(title=title, title_justify="left")
    for name in head:
        table.add_column(name, overflow="fold")
    for line in lines:
        table.add_row(*(escape(cell) for cell in line))
    console.print(table)
