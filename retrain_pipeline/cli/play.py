"""`retrain play`: a model's history through real Dagster runs, on the terminal."""

import logging
import os
import shutil
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from retrain_pipeline.cli.places import NotFound, open_state, shipped
from retrain_pipeline.lanes import Lane
from retrain_pipeline.spec.declaration import Declaration

if TYPE_CHECKING:
    import dagster as dg

    from retrain_pipeline.assets.playback import Played, Player
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores


def dagster_instance(home: Path) -> "dg.DagsterInstance":
    """Return the instance of DAGSTER_HOME, or of `<home>/dagster`, made from the shipped template when it is new."""
    import dagster as dg

    folder = Path(os.environ.setdefault("DAGSTER_HOME", str((home / "dagster").resolve())))
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dagster.yaml").exists():
        shutil.copyfile(shipped("dagster.yaml"), folder / "dagster.yaml")
    return dg.DagsterInstance.get()


def quiet_dagster() -> None:
    """Keep Dagster's own log lines and preview warnings out of a story told on the terminal."""
    import dagster as dg

    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    for category in (dg.BetaWarning, dg.PreviewWarning):
        warnings.simplefilter("ignore", category)


def make_player(declaration: Declaration, home: Path) -> "Player":
    """Return a player of one model over the state in `home`."""
    from retrain_pipeline.assets.model import project_definitions
    from retrain_pipeline.assets.playback import Player

    quiet_dagster()
    return Player(project_definitions([declaration]), dagster_instance(home), declaration)


def progress_bar(console: Console) -> Progress:
    """Return the progress bar of a played history."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


@dataclass(frozen=True)
class Reach:
    """How far a source reaches: its newest period, and whether rows of it may still come."""

    newest: str
    filling: bool


def reach(declaration: Declaration, stores: "Stores") -> Reach:
    """Return the period of the newest row in the source. It may be filling while that row is not fresh at its end.

    Raises
    ------
    NotFound
        When the source is empty.
    """
    if declaration.lane is not None:
        return _reach_of_lane(declaration.spec, declaration.lane, stores)
    from retrain_pipeline.assets.common import data_root
    from retrain_pipeline.lake.checks import fresh_hours
    from retrain_pipeline.lake.span import newest_event_time

    data = declaration.spec.data
    newest = newest_event_time(stores.lake, data, declaration.spec.name, root=data_root())
    if newest is None:
        raise NotFound(f"{declaration.spec.name}: the source has no rows")
    calendar = data.time.calendar()
    start, end = calendar.bounds(calendar.key(newest))
    return Reach(calendar.key(newest), end - newest > timedelta(hours=fresh_hours(data, start, end)))


def _reach_of_lane(spec: "ModelSpec", lane: Lane, stores: "Stores") -> Reach:
    """Return the newest period of the lane's model that was monitored: further a lane has nothing to read."""
    monitored = stores.ledger.latest(lane.of, "monitored")
    if monitored is None:
        raise NotFound(f"{spec.name}: {lane.of} has no monitored period yet: retrain play {lane.of}")
    return Reach(str(monitored.subject), filling=False)


def first_to_play(declaration: Declaration, stores: "Stores") -> datetime:
    """Return where the record of monitored periods ends, or the calendar's origin."""
    monitored = stores.ledger.latest(declaration.spec.name, "monitored")
    if monitored is None:
        return declaration.spec.data.time.calendar().origin
    return datetime.fromisoformat(monitored.payload["as_of"])


def periods_to_play(
    declaration: Declaration, stores: "Stores", first: str | None, last: str | None
) -> tuple[list[str], str | None]:
    """Return the periods from `first` (or where the record ends) to `last`, and the one that was left out.

    Without `last` the source tells: its newest period is left out while rows of it may still come.
    """
    calendar = declaration.spec.data.time.calendar()
    start = calendar.bounds(first)[0] if first else first_to_play(declaration, stores)
    if last:
        return calendar.keys_between(start, calendar.bounds(last)[1]), None
    reached = reach(declaration, stores)
    begin, end = calendar.bounds(reached.newest)
    if reached.filling and begin >= start:
        return calendar.keys_between(start, begin), reached.newest
    return calendar.keys_between(start, end), None


def told(played: "Played") -> str | None:
    """Return a line for a period in which something happened."""
    if not played.data_ok:
        return f"[red]{played.period}: the data side failed (run {played.data_run[:8]}): {escape(played.why)}[/red]"
    if played.retrain_run:
        how = "[green]released[/green]" if played.retrain_ok else "[yellow]not released[/yellow]"
        return f"{played.period}: retrain, {played.why}: {how}"
    return None


def play_history(console: Console, declaration: Declaration, home: Path, first: str | None, last: str | None) -> None:
    """Play periods and tell what happened in each; then the status."""
    from retrain_pipeline.cli.show import show_status

    stores = open_state(home, declaration.lane)
    periods, left_out = periods_to_play(declaration, stores, first, last)
    if left_out:
        words = "its newest row is far from its end, so more may come; to play it all the same: --to"
        console.print(f"{declaration.spec.name}: {left_out} is left out: {words} {left_out}")
    if not periods:
        why = "no period lies between these" if first else "every period of the source was played already"
        console.print(f"{declaration.spec.name}: {why}")
        return
    player = make_player(declaration, home)
    with progress_bar(console) as progress:
        task = progress.add_task(declaration.spec.name, total=len(periods))
        for period in periods:
            line = told(player.step(period))
            if line:
                progress.console.print(line)
            progress.update(task, advance=1, description=f"{declaration.spec.name} {period}")
    show_status(console, stores)
