"""A documented model: a git repository, owners, a decision that is a reason, a released version, and its records."""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from retrain_pipeline.records.agreed import register
from retrain_pipeline.records.hypotheses import begin
from retrain_pipeline.records.record import enter
from retrain_pipeline.records.render import render
from retrain_pipeline.records.settle import settle
from retrain_pipeline.records.truth.context import Context
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline.stores import open_stores
from retrain_pipeline.triggers.retrain import Retrain, note_candidate, start_retrain
from retrain_pipeline_tests.gates.world import START, World, deliver, toys, write_folder

OWNERS = """\
owners:
  team:toys: {contact: toys@example.org, members: [ann@example.org]}
  ann@example.org: {contact: ann@example.org}
"""
DECISION = """\
---
id: toy-0001
schema: 1
status: accepted
date: 2024-01-02
decision-makers: ["team:toys"]
subject: {kind: architecture}
review_by: 2024-12-31
---
# A tree, at every retrain

## Context and Problem Statement
The post is paid by weight, and what a toy weighs has a corner in its size that a straight line does not follow.

## Considered Options
* A decision tree of at least eight rows a leaf
* A straight line

## Decision Outcome
Chosen option: A decision tree of at least eight rows a leaf, because the weight grows on both sides of a size that few
toys have, which one split finds, while a line would charge small toys too much.

### Consequences
* Good, because one split tells the whole story to whoever pays.
* Bad, because its answers jump at the border of a leaf.
"""


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, as nobody in particular."""
    who = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.org"}
    who |= {"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.org", "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, env={**os.environ, **who}
    )
    return done.stdout.decode().strip()


def commit(folder: Path, words: str) -> str:
    """Commit everything in a folder and return the commit."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", words)
    return git(folder, "rev-parse", "HEAD")


@functools.cache
def template() -> World:
    """Return the world, made once, to be copied."""
    folder = Path(tempfile.mkdtemp(prefix="documented-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    declaration = write_folder(folder / "toy")
    for file in (folder / "toy" / "decisions").iterdir():
        file.unlink()
    (folder / "toy" / "decisions" / "0001-tree.md").write_text(DECISION)
    (folder / "toy" / ".gitignore").write_text("__pycache__/\n")
    git(folder, "init", "-q", "-b", "main", str(folder / "toy"))
    commit(folder / "toy", "Declare the model")
    world = World(open_stores(folder / "home"), declaration, folder / "home")
    deliver(world.stores, declaration, toys(8, "regression"))
    begun(world, 6)
    version = world.build(6)
    note_candidate(world.stores.ledger, "toy", version, "run-6", "test")
    world.judged_release(version, "first", "run-6")
    document(world)
    return world


def begun(world: World, week: int, mode: str = "first") -> None:
    """Register what is agreed and start the retrain of a week, as the assets would."""
    spec, as_of = world.declaration.spec, START + timedelta(weeks=week)
    register(world.stores, spec, "test")
    asked = {"trigger_id": f"week-{week}", "kind": "scheduled", "attempt": 1, "mode": mode, "policy": "manual"}
    retrain = Retrain(model=spec.name, run_id=f"run-{week}", as_of=as_of, **asked)
    start_retrain(world.stores.ledger, retrain, "test")
    begin(world.stores, world.declaration, retrain, "test")


def document(world: World) -> None:
    """Enter every record that is missing."""
    settle(world.stores, world.declaration, "test")


def context_of(world: World, **more) -> Context:
    """Return the context of a world, its declaration read again."""
    return Context(world.stores, read_declaration(world.declaration.folder), **more)


def edited(world: World, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Enter the newest card once more, its document changed by a function and rendered as it then is."""
    context = context_of(world)
    [version] = context.versions
    card = context.cards[version]
    document = change(dict(card.document))
    markdown = world.stores.artifacts.put(render("card.md.j2", document).encode())
    digest = world.stores.artifacts.put_json(document)
    enter(
        world.stores,
        card.record.model_copy(update={"card_json": digest, "card_markdown": markdown}),
        actor="test",
    )
