"""A copy of the prepared world for each test."""

from collections.abc import Iterator

import pytest

from retrain_pipeline_tests.gates.world import World, template


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    """A regression world: a champion at epoch 1 and two versions judged against it."""
    made = template().copy(tmp_path)
    yield made
    made.stores.close()
