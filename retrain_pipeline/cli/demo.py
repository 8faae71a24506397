"""`make demo`: a simulated lending world goes through the loop, and the terminal tells what happens."""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from retrain_pipeline.cli.places import NotFound, declaration_named
from retrain_pipeline.cli.play import make_player, progress_bar
from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.simulation.lending import LendingWorld

if TYPE_CHECKING:
    from retrain_pipeline.assets.playback import Played, Player
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

MODEL = "lending"
HISTORY_WEEKS = 13
"""Weeks of history that are there when the model is first set up: one back-fill."""
WORLD = LendingWorld(weeks=30, drift_week=16, poison_week=28)
MARK = ".made-by-retrain-demo"
BECAUSE = "Demo: partner channel reports odd scores, go back while it is looked into"


@dataclass(frozen=True)
class Comparison:
    """Mean loss after the drift, on the same rows: as served, and as the first model would have done."""

    with_loop: float
    without_loop: float
    rows: int


def prepare(home: Path) -> None:
    """Empty the demo's folder, and refuse one that the demo did not make."""
    if home.exists() and any(home.iterdir()):
        if not (home / MARK).exists():
            raise NotFound(f"{home} is not empty and was not made by the demo; give another --home")
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / MARK).touch()


def world_folder(declaration: "Declaration") -> Path:
    """Return where the model's declaration looks for the world's deliveries."""
    from retrain_pipeline.assets.common import data_root

    path = getattr(declaration.spec.data.source, "path", None)
    if path is None:
        raise NotFound(f"{MODEL}: the demo delivers files, and its declaration reads none")
    return data_root() / Path(path).parent


def deliver(world: LendingWorld, folder: Path, week: int) -> None:
    """Deliver a week's files as if an hour ago: an inbox takes only files that are settled."""
    settled = time.time() - 3600
    for file in world.write(folder, weeks=[week]):
        os.utime(file, (settled, settled))


def happened(stores: "Stores", played: "Played", world: LendingWorld, seen: int) -> tuple[list[str], int]:
    """Return what a period brought, in words, from the ledger's entries after `seen`."""
    lines = []
    entries = stores.ledger.entries(model=MODEL, after_seq=seen)
    for entry in entries:
        words = _sentence(entry, played.period, world)
        if words:
            lines.append(f"[dim]{played.period}[/dim]  {words}")
    return lines, entries[-1].seq if entries else seen


def _sentence(entry: Entry, period: str, world: LendingWorld) -> str | None:
    payload = entry.payload
    if entry.action == "retrain_started":
        return _asked(payload, period, world)
    if entry.action == "data_doubted" and world.week_of(period) == world.poison_week:
        return f"[yellow]retraining halts[/yellow]: {payload['words'].partition(': ')[2]}"
    if entry.action == "released":
        return f"[green]released[/green] {entry.subject}, validated Brier {payload['validated_loss']['mean']:.3f}"
    if entry.action == "rejected":
        return f"[red]rejected[/red] {entry.subject}: {_gates(payload)}"
    if entry.action == "monitored":
        return _drift(payload, period, world)
    if entry.action in ("retrain_failed", "contract_failed"):
        return f"[red]{entry.action.replace('_', ' ')}[/red]: {payload.get('reason') or payload.get('failed')}"
    return None


def _asked(payload: dict[str, Any], period: str, world: LendingWorld) -> str:
    """Return who asked for a retrain, and what a policy saw."""
    kind = payload["kind"]
    if kind == "manual":
        return "somebody retrains by hand all the same"
    if kind == "first_model":
        return "asks for a retrain: first model"
    saw = next((reason.partition(": ")[2] for reason in payload["reasons"] if reason.startswith("policy ")), kind)
    return f"[yellow]asks for a retrain[/yellow] ({lag(world, period)}): {saw.partition(';')[0]}"


def _gates(payload: dict[str, Any]) -> str:
    """Return the gates that stopped a candidate; what the labels gate saw in full, since it is the poisoned batch's."""
    told = [f"{verdict} {', '.join(payload[verdict])}" for verdict in ("failed", "inconclusive") if payload[verdict]]
    labels = next((part for part in payload["words"].split("; ") if "labels look" in part), None)
    return "; ".join([*told, *([labels] if labels else [])])


def _drift(payload: dict[str, Any], period: str, world: LendingWorld) -> str | None:
    """Return a line for the week after the change in which drifted inputs are first seen."""
    columns = payload["drift"]["columns"]
    week = world.week_of(period)
    if not columns or world.drift_week is None or week != world.drift_week:
        return None
    return f"[yellow]inputs drifted[/yellow]: {', '.join(columns)} ({lag(world, period)}; its labels come in 30 days)"


def lag(world: LendingWorld, period: str) -> str:
    """Return how long ago the world changed, as the operator cannot know but the demo does."""
    week = world.week_of(period)
    told = []
    if world.drift_week is not None and week >= world.drift_week:
        weeks = week - world.drift_week + 1
        told.append(f"{weeks} week{'s' if weeks > 1 else ''} after the world changed")
    if world.poison_week is not None and 0 <= week - world.poison_week < world.correction_weeks:
        told.append("the outcomes of this week were delivered inverted")
    return "; ".join(told) or "nothing had changed"


def compare(stores: "Stores", declaration: "Declaration", world: LendingWorld) -> Comparison:
    """Return the loop's error against the first model's, on every row scored after the drift whose outcome is known."""
    import numpy as np
    import pandas as pd

    from retrain_pipeline.learning.prediction import predict
    from retrain_pipeline.learning.versions import load_version

    spec = declaration.spec
    first = load_version(stores, MODEL, stores.ledger.entries(model=MODEL, action="released")[0].subject or "")
    truth = pd.concat([world.truth(week) for week in range(world.drift_week or 0, world.weeks)])
    rows = stores.lake.read(MODEL, "predictions").merge(truth[["application_id", "defaulted"]], on="application_id")
    features = stores.lake.read(MODEL, "features", periods=sorted(rows["_period"].unique()))
    features = rows[["application_id"]].merge(features, on="application_id", validate="one_to_one")
    alone = predict(first.pipeline, spec.data.label.task, features).frame["score"].to_numpy()
    outcome = rows["defaulted"].to_numpy()
    return Comparison(
        with_loop=float(np.mean((rows["score"].to_numpy() - outcome) ** 2)),
        without_loop=float(np.mean((alone - outcome) ** 2)),
        rows=len(rows),
    )


def tell_world(console: Console, world: LendingWorld) -> None:
    """Say what the demo knows and the loop does not."""
    drift = world.monday(world.drift_week or 0)
    poison = world.monday(world.poison_week or 0)
    console.print(
        Panel(
            f"A lender decides on {world.applications_per_week} applications a week; whether a loan defaults is known "
            f"30 days later.\nIn the week of [bold]{drift:%Y-%m-%d}[/bold] applicants change, and why they default."
            f"\nIn the week of [bold]{poison:%Y-%m-%d}[/bold] the upstream system delivers outcomes inverted.\n"
            "The loop is told neither. Each week is a real Dagster run; retrains are asked for by the sensor.",
            title="A simulated world",
        )
    )


def tell_end(console: Console, stores: "Stores", home: Path, comparison: Comparison, seconds: float) -> None:
    """Print the table and what to open next."""
    table = Table(title="Brier score after the world changed (lower is better)", title_justify="left")
    for column in ("", "Brier", "rows"):
        table.add_column(column, justify="left" if not column else "right")
    saved = 1 - comparison.with_loop / comparison.without_loop
    table.add_row("with the loop", f"[green]{comparison.with_loop:.4f}[/green]", f"{comparison.rows:,}")
    table.add_row("the first model, never retrained", f"{comparison.without_loop:.4f}", f"{comparison.rows:,}")
    table.add_row("saved", f"[bold]{saved:.1%}[/bold]", "")
    console.print(table)
    check = stores.ledger.verify()
    console.print(f"Ledger: {check.entries} entries, chain {check.verdict.value}. The demo took {seconds:.0f} s.")
    deployed = stores.ledger.deployment(MODEL)
    champion = deployed.state["champion"] if deployed else "VERSION"
    console.print(
        Panel(
            "make ui                                            the same in Dagster: http://127.0.0.1:3000\n"
            f".venv/bin/retrain history {MODEL} --home {home}\n"
            f".venv/bin/retrain explain {MODEL} {champion} --home {home}",
            title="What to open next",
        )
    )


def play_world(console: Console, player: "Player", stores: "Stores", world: LendingWorld, folder: Path) -> None:
    """Deliver and play week after week, telling what happens."""
    seen = 0
    with progress_bar(console) as progress:
        task = progress.add_task("the history so far, in one run", total=world.weeks)
        for week in range(HISTORY_WEEKS):
            deliver(world, folder, week)
        player.backfill(f"{world.monday(0):%Y-%m-%d}", f"{world.monday(HISTORY_WEEKS - 1):%Y-%m-%d}")
        progress.update(task, advance=HISTORY_WEEKS)
        for week in range(HISTORY_WEEKS, world.weeks):
            deliver(world, folder, week)
            played = player.step(f"{world.monday(week):%Y-%m-%d}")
            lines, seen = happened(stores, played, world, seen)
            if week == world.poison_week:
                player.retrain_by_hand()
                more, seen = happened(stores, played, world, seen)
                lines += more
            for line in lines:
                progress.console.print(line, highlight=False)
            progress.update(task, advance=1, description=f"week of {played.period}")


def run_demo(console: Console, home: Path) -> None:
    """Play the whole story in a fresh folder."""
    from retrain_pipeline.assets.resources import StoresResource
    from retrain_pipeline.records.settle import settle
    from retrain_pipeline.release.rollback import rollback

    started = time.monotonic()
    declaration = declaration_named(MODEL)
    folder = world_folder(declaration)
    for made in (home, folder):
        prepare(made)
    os.environ["DAGSTER_HOME"] = str((home / "dagster").resolve())
    tell_world(console, WORLD)
    stores = StoresResource(home=str(home)).open()
    player = make_player(declaration, home)
    play_world(console, player, stores, WORLD, folder)
    before = time.monotonic()
    deployment = rollback(stores, MODEL, because=BECAUSE, actor="person:demo")
    took = (time.monotonic() - before) * 1000
    console.print(f"[yellow]rolled back[/yellow] to {deployment.champion} in {took:.0f} ms: {BECAUSE}")
    settle(stores, declaration, "person:demo")
    tell_end(console, stores, home, compare(stores, declaration, WORLD), time.monotonic() - started)
