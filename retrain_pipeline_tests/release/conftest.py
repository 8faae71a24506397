"""A copy of the prepared world for each test."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline_tests.gates.world import World, template, versions
from retrain_pipeline_tests.release.staging import GOOD, declare, prepared

ROOT = Path(__file__).parents[2]


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    """A regression world: a champion at epoch 1 and two versions judged against it."""
    made = template().copy(tmp_path)
    yield made
    made.stores.close()


@pytest.fixture
def python():
    """Start a fresh interpreter on code and arguments; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def world_with(tmp_path):
    """Return a copy of the prepared world whose second version was judged by the declaration given."""
    made: list[World] = []

    def make(*, leaf: str = GOOD, staged: bool = True, **declared) -> World:
        world = prepared(leaf).copy(tmp_path)
        made.append(world)
        if declared:
            declare(world.declaration.folder, leaf=leaf, **declared)
            world = world.again()
            world.judge(versions(world)[1], run_id="run-7")
        if staged:
            second = versions(world)[1]
            world.release(second, newest_evidence(world.stores, "toy", second), run_id="run-7")
        return world

    yield make
    for world in made:
        world.stores.close()
