"""Real data through real Dagster runs."""

import os
import shutil
from pathlib import Path

import dagster as dg
import pytest

from retrain_pipeline.assets.model import project_definitions
from retrain_pipeline.assets.playback import Player
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.cli.play import quiet_dagster
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline_tests.e2e.process_models import ingest

pytest.register_assert_rewrite("retrain_pipeline_tests.e2e.real_data")  # its assertions tell what they compared

CHECKOUT = Path(__file__).parents[2]
MODELS = Path(__file__).parent / "models"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets beside the checkout."""
    folder = Path(os.environ.get("RETRAIN_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: the real data sets are not part of the repository")
    return folder


@pytest.fixture
def make_real(tmp_path, monkeypatch, shared_data):
    """Return a function that gives a declaration, a player and the stores of a model under `models/`."""
    quiet_dagster()
    opened = []

    def make(name: str):
        monkeypatch.setenv("RETRAIN_ROOT", str(shared_data))
        home = tmp_path / "dagster"
        home.mkdir()
        shutil.copyfile(CHECKOUT / "dagster.yaml", home / "dagster.yaml")
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        declaration = read_declaration(MODELS / name)
        resource = StoresResource(home=str(tmp_path / "state"))
        instance = dg.DagsterInstance.get()
        opened.append(instance)
        return declaration, Player(project_definitions([declaration], resource), instance, declaration), resource.open()

    yield make
    for instance in opened:
        instance.dispose()


@pytest.fixture(scope="session")
def ingested(tmp_path_factory) -> Path:
    """A project as shipped, with three small models that are due for their first training."""
    folder = tmp_path_factory.mktemp("ingested")
    ingest(folder)
    return folder
