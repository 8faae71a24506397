"""A champion of week 6, a version of week 7 judged against it, and weeks that pass: what a rollout is made of."""

import functools
from datetime import timedelta
from pathlib import Path

from retrain_pipeline.monitoring.feedback import update_feedback
from retrain_pipeline.release.rollout import roll
from retrain_pipeline.release.serving import score_period
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline.stores import open_stores
from retrain_pipeline_tests.gates.world import START, World, deliver, toys, write_folder

WEEKS = 13
STAGES = "{shadow_periods: 2, canary_shares: [0.25], canary_periods: 1, margin: 0.2}"
GOOD, BAD = "min_samples_leaf: 8", "min_samples_leaf: 100"


def week(number: int) -> str:
    return f"{START + timedelta(weeks=number):%Y-%m-%d}"


def declare(folder: Path, *, rollout: str = STAGES, leaf: str = GOOD, more: str = ""):
    """Write a folder whose gates let almost anything through, so that the rollout has something to stop."""
    write_folder(folder)
    text = (folder / "defs.yaml").read_text()
    text = text.replace("margin: 0.08, slices: [shop]", "margin: 1.5, slice_margin: 9").replace(GOOD, leaf)
    (folder / "defs.yaml").write_text(f"{text.rstrip()}\n  rollout: {rollout}\n{more}")
    return read_declaration(folder)


@functools.cache
def prepared(leaf: str) -> World:
    """Return a world, made once, to be copied: a champion of week 6, and a version of week 7 judged against it."""
    import atexit
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="rollout-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    declaration = declare(folder / "toy")
    world = World(open_stores(folder / "home"), declaration, folder / "home")
    deliver(world.stores, declaration, toys(WEEKS, "regression"))
    first = world.build(6)
    world.judged_release(first, "first", "run-6")
    declare(folder / "toy", leaf=leaf)
    world = world.again()
    world.judge(world.build(7, parent=first), run_id="run-7")
    return world


def live(world: World, number: int, root: Path = Path()):
    """Let a week pass: it is scored, its labels come, and the rollout is looked at."""
    score_period(world.stores, world.declaration, week(number))
    update_feedback(world.stores, world.declaration.spec, week(number))
    return roll(world.stores, world.declaration, week(number), root=root)


def moves(world: World, first: int = 7, last: int = WEEKS, root: Path = Path()) -> list[str]:
    found = []
    for number in range(first, last):
        found.append(live(world, number, root).move)
        if found[-1] in ("promote", "withdraw", "rolled_back"):
            break
    return found


def served(world: World, number: int):
    return world.stores.lake.read("toy", "predictions", periods=[week(number)])
