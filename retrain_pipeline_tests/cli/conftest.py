"""The command line as a person runs it, over real stores."""

import pytest
from typer.testing import CliRunner, Result

from retrain_pipeline.cli import app
from retrain_pipeline_tests.gates.world import World, template


@pytest.fixture
def retrain(monkeypatch):
    """Return a function that runs `retrain …` and gives its result; what it sets in the environment is undone."""
    for name in ("RETRAIN_HOME", "RETRAIN_LAKE_URL", "RETRAIN_ARTIFACTS_URL", "RETRAIN_LEDGER_URL", "RETRAIN_ROOT"):
        monkeypatch.setenv(name, "")  # so that monkeypatch knows the value to restore
        monkeypatch.delenv(name)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def world(tmp_path):
    """A champion at epoch 1, and two versions judged against it."""
    made = template().copy(tmp_path)
    yield made
    made.stores.close()


@pytest.fixture
def two_champions(world) -> tuple[World, str, str]:
    """A world in which a second version was released: the world, the first and the second."""
    from retrain_pipeline_tests.gates.world import versions

    first, second, _ = versions(world)
    digest = world.judge(second)[1]
    assert world.release(second, digest).released
    return world, first, second
