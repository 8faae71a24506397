"""`retrain replay`: policies over recorded history, as a table and a picture."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from retrain_pipeline.cli.places import declaration_named, open_state, use_home
from retrain_pipeline.cli.play import progress_bar
from retrain_pipeline.lake.declared import Task

if TYPE_CHECKING:
    from retrain_pipeline.replay.decisions import Redecided
    from retrain_pipeline.replay.report import Replay
    from retrain_pipeline.spec.model import ModelSpec

SHOWN = 5
_TREES = {"max_iter": 100, "early_stopping": False}


def replay_record(
    console: Console,
    model: str,
    policies: Sequence[str],
    costs: Sequence[float],
    home: Path | None,
    page: Path | None = None,
) -> None:
    """Replay a model's record and show what came; `page` gets it as Markdown, for the review of a change."""
    from retrain_pipeline.replay.decisions import redecide
    from retrain_pipeline.replay.proposal import write_proposal
    from retrain_pipeline.replay.report import POLICIES, replay_model
    from retrain_pipeline.triggers.cost import retrain_cost

    declaration = declaration_named(model)
    spec, stores = declaration.spec, open_state(home, declaration.lane)
    cache = use_home(home) / "replay"
    with progress_bar(console) as progress:
        task = progress.add_task(f"{model}: models fitted")
        found = replay_model(
            stores,
            spec,
            policies or POLICIES,
            costs or [retrain_cost(stores.ledger, spec)],
            cache,
            workers=os.cpu_count() or 1,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    show_replay(console, model, found, cache / f"{model}.png")
    live = redecide(stores.ledger, spec)
    show_decisions(console, spec, live)
    if page is not None:
        declared = spec.trigger.policy
        others = {name: redecide(stores.ledger, spec, name) for name in policies if name != declared}
        write_proposal(page, found, declared, {declared: live, **others})
        console.print(f"page: {page}", soft_wrap=True, highlight=False)


def replay_table(
    console: Console,
    file: Path,
    *,
    time: str,
    label: str,
    task: Task,
    rows_per_batch: int,
    drop: Sequence[str],
    delay: int,
    window: int | None,
    warm_up: int,
    policies: Sequence[str],
    costs: Sequence[float],
    home: Path | None,
) -> None:
    """Replay any table with a time and a label, with gradient-boosted trees, and show what came."""
    from retrain_pipeline.replay.history import from_table
    from retrain_pipeline.replay.matrix import Recipe
    from retrain_pipeline.replay.report import POLICIES, replay
    from retrain_pipeline.spec.model import Candidate

    history = from_table(
        file, time=time, label=label, task=task, rows_per_batch=rows_per_batch, drop=tuple(drop), delay=delay
    )
    kind = "Regressor" if task == "regression" else "Classifier"
    trees = Candidate(estimator=f"sklearn.ensemble.HistGradientBoosting{kind}", params=_TREES)
    cache = use_home(home) / "replay"
    with progress_bar(console) as progress:
        bar = progress.add_task(f"{file.name}: models fitted")
        found = replay(
            history,
            Recipe(trees, window),
            policies or POLICIES,
            costs or [0.02],
            warm_up,
            cache,
            workers=os.cpu_count() or 1,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    show_replay(console, history.name, found, cache / f"{history.name}.png")


def show_replay(console: Console, name: str, found: "Replay", picture: Path) -> None:
    """Show the table, and write the picture."""
    from retrain_pipeline.files import write_whole
    from retrain_pipeline.replay.picture import frontier_plot

    history, served = found.matrix.history, len(found.outcomes[0].episode.losses)
    begin = found.outcomes[0].episode.start
    when = f"{history.keys[begin]} to {history.keys[-1]}"
    rows = found.rows()
    table = Table(*rows[0], title=f"{name}: periods served: {served}, {when}")
    for row in rows:
        table.add_row(*row.values())
    console.print(table)
    console.print(
        "regret: mean loss plus cost a period above the best plan of hindsight, with a 95 % interval; gain over cron: "
        "share of all that choosing well can be worth, against a cron job with as many retrains",
        style="dim",
    )
    write_whole(picture, frontier_plot(found.frontier, found.outcomes, f"{name}: loss by number of retrains"))
    console.print(f"picture: {picture}", soft_wrap=True, highlight=False)


def show_decisions(console: Console, spec: "ModelSpec", found: "Sequence[Redecided]") -> None:
    """Show whether the declared policy decides today as it did, on what was on record at each look."""
    other = [one for one in found if not one.same]
    words = (
        f"{len(found)} decisions on record, taken again by {spec.trigger.policy}: {len(found) - len(other)} the same"
    )
    console.print(words, style="yellow" if other else "green")
    for one in other[:SHOWN]:
        again = one.again.kind if one.again.action == "retrain" else "wait"
        console.print(f"  {one.period}: then {one.taken or 'wait'}, now {again}: {one.again.reasons[-1]}", markup=False)
    if len(other) > SHOWN:
        console.print(f"  … and {len(other) - SHOWN} more")
