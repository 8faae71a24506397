"""A copy of the prepared world for each test."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrain_pipeline_tests.gates.world import World, template

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
