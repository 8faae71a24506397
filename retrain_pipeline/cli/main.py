"""The commands. Each opens the stores, calls one function of the rooms below, and shows what came."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrain_pipeline.cli.approvals import add_approvals
from retrain_pipeline.cli.audit import add_audit
from retrain_pipeline.cli.bundle import bundle_app
from retrain_pipeline.cli.common import Because, Home, Model, console, refusals_told
from retrain_pipeline.cli.decide import add_decisions
from retrain_pipeline.cli.docs import docs_app
from retrain_pipeline.cli.gates import gates_app
from retrain_pipeline.cli.insight import add_insight
from retrain_pipeline.cli.keys import keys_app
from retrain_pipeline.cli.lane import lane_app
from retrain_pipeline.cli.ledger import ledger_app
from retrain_pipeline.cli.log import add_log
from retrain_pipeline.cli.places import DEFS, all_declarations, declaration_named, files_of_others, open_state, use_home
from retrain_pipeline.cli.portal import portal_app
from retrain_pipeline.cli.records import add_records
from retrain_pipeline.lake.declared import Task

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

# Frames of a few thousand rows: threads cost more than they give, and many small processes share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep tabular models fresh, with the reasons on record.",
)
app.add_typer(ledger_app, name="ledger")
app.add_typer(gates_app, name="gates")
app.add_typer(keys_app, name="keys")
app.add_typer(lane_app, name="lane")
app.add_typer(docs_app, name="docs")
app.add_typer(portal_app, name="portal")
app.add_typer(bundle_app, name="bundle")
add_approvals(app)
add_decisions(app)
add_records(app)
add_insight(app)
add_audit(app)
add_log(app)


@app.command()
def status(home: Home = None) -> None:
    """Show every model: who serves, how old, the last verdict."""
    from retrain_pipeline.cli.show import show_status

    with refusals_told():
        show_status(console, open_state(home))


@app.command()
def history(model: Model, home: Home = None) -> None:
    """Show what happened to a model, newest last: retrains with their reasons, verdicts, releases, rollbacks."""
    from retrain_pipeline.cli.show import show_history

    with refusals_told():
        show_history(console, open_state(home), model)


@app.command(name="report-card")
def report_card(
    model: Model,
    home: Home = None,
    *,
    by_release: Annotated[bool, typer.Option("--by-release", help="Each release 30, 60 and 90 days on.")] = False,
) -> None:
    """Say of each policy's retrains how many were worth their cost, scored later beside the model they replaced."""
    from retrain_pipeline.cli.show import show_horizons, show_report_card

    with refusals_told():
        show = show_horizons if by_release else show_report_card
        declaration = declaration_named(model)
        show(console, open_state(home, declaration.lane), declaration.spec)


@app.command()
def monitor(
    model: Model,
    period: Annotated[str | None, typer.Option(help="The period. Default: the newest that was monitored.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print canonical JSON.")] = False,
    home: Home = None,
) -> None:
    """Show what monitoring found of a period: verdict, reasons, loss, columns, and what the trigger says now."""
    from retrain_pipeline.cli.monitor import show_monitor

    with refusals_told():
        declaration = declaration_named(model)
        show_monitor(console, open_state(home, declaration.lane), declaration.spec, period, as_json)


@app.command()
def rollback(
    model: Model,
    because: Annotated[str, typer.Option(help="The reason, for the record.")],
    to: Annotated[str | None, typer.Option(help="The version to go back to. Default: the champion before.")] = None,
    home: Home = None,
) -> None:
    """Make an earlier champion serve again: one transaction, at once, whatever else is running."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.release.rollback import rollback as roll_back

    with refusals_told():
        stores = open_state(home)
        before = stores.ledger.deployment(model)
        deployment = roll_back(stores, model, to=to, because=because, actor=actor())
        after = stores.ledger.deployment(model)
        moved = before is not None and after is not None and before.epoch != after.epoch
        what = "now serves" if moved else "already serves; nothing was changed"
        console.print(f"{model}: [bold]{deployment.champion}[/bold] {what}")
        if moved:
            _settle(stores, model)


def _settle(stores: "Stores", model: str) -> None:
    """Write cards anew and prefill the postmortem. Users are served already: what stops this is told, and no more."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.errors import RetrainError
    from retrain_pipeline.records.settle import settle

    try:
        settle(stores, declaration_named(model), actor())
    except (RetrainError, OSError) as error:
        console.print(f"no postmortem yet: {error}", markup=False, style="yellow")
        return
    console.print(f"now say why: retrain postmortem {model} --by NAME --cause … --action …", soft_wrap=True)


@app.command()
def drill(model: Model, home: Home = None) -> None:
    """Rehearse the way back in a copy: a real rollback, its answers compared and its time measured."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.release.drills import drill as hold_drill
    from retrain_pipeline.verdicts import Verdict

    with refusals_told():
        declaration = declaration_named(model)
        report = hold_drill(open_state(home, declaration.lane), declaration.spec, actor=actor())
        console.print(f"{model}: [bold]{report.verdict.value}[/bold] {report.words}")
        if report.verdict is Verdict.FAIL:
            raise typer.Exit(1)


@app.command()
def halt(model: Model, because: Because, home: Home = None) -> None:
    """Stop the sensor from asking for retrains of a model, until `retrain resume`; serving goes on."""
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.triggers.halts import halt as halt_retraining

    with refusals_told():
        declaration_named(model)
        halt_retraining(open_state(home).ledger, model, because, actor())
        console.print(f"{model}: no retrain will be asked for until: retrain resume {model} --because …")


@app.command()
def resume(model: Model, because: Because, home: Home = None) -> None:
    """Let the sensor ask for retrains again, and promotions go on where validators did not agree.

    What the newest monitoring doubts is overruled, once.
    """
    from retrain_pipeline.cli.show import actor
    from retrain_pipeline.triggers.halts import resume as resume_retraining

    with refusals_told():
        declaration_named(model)
        resume_retraining(open_state(home).ledger, model, because, actor())
        console.print(f"{model}: retrains may be asked for again")


@app.command()
def check(folder: Annotated[Path, typer.Argument(help="Where model folders are.")] = DEFS) -> None:
    """Read every declaration, decision, risk assessment and checklist strictly and tell every mistake; exit with 1 if
    there is one.
    """
    from retrain_pipeline.cli.show_decisions import refused_beside

    with refusals_told():
        accepted, refused = all_declarations(folder)
        beside = [words for one in accepted for words in refused_beside(one)]
    for file, kinds in files_of_others(folder).items():
        words = f"{file}: {', '.join(kinds)}: another component, passed over; dg check yaml knows it"
        console.print(words, markup=False, highlight=False)
    for words in [*map(str, refused), *beside]:
        console.print(words, markup=False, highlight=False, style="red", soft_wrap=True)
    console.print(f"{len(accepted)} declaration(s) accepted, {len(refused)} refused")
    if refused or beside:
        raise typer.Exit(1)


@app.command(name="suggest-columns")
def suggest(path: Annotated[Path, typer.Argument(help="A CSV or parquet file.")]) -> None:
    """Look at a file and print a `columns:` block to start from."""
    from retrain_pipeline.spec.columns import suggest_columns

    with refusals_told():
        typer.echo(suggest_columns(path))


@app.command()
def play(
    model: Model,
    first: Annotated[
        str | None, typer.Option("--from", help="First period. Default: where the model's history left off.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last period. Default: the newest in the source.")] = None,
    home: Home = None,
) -> None:
    """Play a model's history through Dagster, period after period, as if each were happening now."""
    from retrain_pipeline.cli.play import play_history

    with refusals_told():
        play_history(console, declaration_named(model), use_home(home), first, last)


Policies = Annotated[
    list[str] | None,
    typer.Option("--policy", help="adaptive, never, periodic:N, error_threshold:X, cumulative_excess:X."),
]
Costs = Annotated[
    list[float] | None,
    typer.Option("--cost", help="Cost of a retrain in one period's mean loss (regression: share of label)."),
]


@app.command()
def replay(
    model: Model,
    policy: Policies = None,
    cost: Costs = None,
    page: Annotated[Path | None, typer.Option(help="Markdown file to write, for the review of a change.")] = None,
    home: Home = None,
) -> None:
    """Ask what trigger policies would have done over a model's record, labels arriving when they did."""
    from retrain_pipeline.cli.replay import replay_record

    with refusals_told():
        replay_record(console, model, policy or (), cost or (), home, page)


@app.command(name="replay-table")
def replay_of_table(
    file: Annotated[Path, typer.Argument(help="A CSV or parquet file.")],
    time: Annotated[str, typer.Option(help="Column by which rows are ordered.")],
    label: Annotated[str, typer.Option(help="Column to predict.")],
    task: Annotated[Task, typer.Option(help="What the label is.")],
    rows_per_batch: Annotated[int, typer.Option(min=1, help="Rows served between two looks.")],
    drop: Annotated[list[str] | None, typer.Option(help="Column that is no feature.")] = None,
    delay: Annotated[int, typer.Option(min=0, help="Batches by which labels come late.")] = 0,
    window: Annotated[
        int | None, typer.Option(min=2, help="Batches a model learns from. Default: all history.")
    ] = None,
    warm_up: Annotated[int, typer.Option(min=2, help="Batches that the first model knows.")] = 8,
    policy: Policies = None,
    cost: Costs = None,
    home: Home = None,
) -> None:
    """Ask the same of any table with a time and a label, with gradient-boosted trees."""
    from retrain_pipeline.cli.replay import replay_table

    with refusals_told():
        replay_table(
            console,
            file,
            time=time,
            label=label,
            task=task,
            rows_per_batch=rows_per_batch,
            drop=drop or (),
            delay=delay,
            window=window,
            warm_up=warm_up,
            policies=policy or (),
            costs=cost or (),
            home=home,
        )


@app.command()
def demo(
    home: Annotated[Path, typer.Option(help="Where the demo's state goes; what is there is replaced.")] = Path(
        "data/demo"
    ),
) -> None:
    """Play a simulated lending world: release, drift, retrain, a poisoned batch refused, a rollback."""
    from retrain_pipeline.cli.demo import run_demo

    with refusals_told():
        run_demo(console, use_home(home))
