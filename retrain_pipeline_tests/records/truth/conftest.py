"""A documented model for each test, and its project's owners."""

from collections.abc import Iterator

import pytest

from retrain_pipeline_tests.gates.world import World
from retrain_pipeline_tests.records.truth.documented import OWNERS, template


@pytest.fixture
def policy(tmp_path, monkeypatch):
    """The folder of the project's policy, with owners."""
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "OWNERS.yaml").write_text(OWNERS)
    monkeypatch.setenv("RETRAIN_POLICY", str(folder))
    return folder


@pytest.fixture
def documented(tmp_path, policy) -> Iterator[World]:
    """A world in which everything that is written is true."""
    made = template().copy(tmp_path)
    yield made
    made.stores.close()
