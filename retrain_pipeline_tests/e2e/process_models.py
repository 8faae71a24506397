"""Small models for tests with real processes: their code waits, or eats memory, while a file says so."""

import shutil
from pathlib import Path

import pytest

from retrain_pipeline.assets.model import project_definitions
from retrain_pipeline.assets.playback import Player
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.cli.play import quiet_dagster
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline_tests.assets.conftest import DEFS, FEATURES, WEEKS, toy_rows
from retrain_pipeline_tests.e2e.shipped import Shipped

WEEKS_INGESTED = 5

_WAITING = '''\
import os
import time
from pathlib import Path

import pandas as pd


def build(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns and a product; wait while somebody says so."""
    order = Path(os.environ["RETRAIN_HOME"]) / "orders" / "hold"
    if order.exists():
        told = order.with_suffix(".reached")
        told.with_suffix(".tmp").write_text(f"{os.getpid()} {Path(__file__).parent.name}")
        told.with_suffix(".tmp").replace(told)
    while order.exists():
        time.sleep(0.05)
    return rows[["a", "b", "kind"]].assign(ab=rows["a"] * rows["b"])
'''

GREEDY_MODULE = '''\
"""An estimator whose fit takes all the memory that it gets."""

import numpy as np
from sklearn.linear_model import LogisticRegression


class Greedy(LogisticRegression):
    """Takes ten megabytes after ten megabytes, to keep."""

    def fit(self, x, y):
        kept = []
        while len(kept) < 200:
            kept.append(np.ones(10_000_000, dtype="int8"))
        raise AssertionError("nothing stopped a fit at 2 GB, of a budget of 0.7 GB")
'''

_ONCE = DEFS.replace("max_attempts: 2", "max_attempts: 1")
assert _ONCE != DEFS
_GREEDY = _ONCE.replace("name: toy\n", "name: greedy\n").replace(
    "    candidates:\n      logistic: {estimator: sklearn.linear_model.LogisticRegression}\n",
    "    budget: {peak_rss_mb: 700}\n    candidates:\n      greedy: {estimator: greedy_estimators.Greedy}\n",
)
assert "greedy_estimators" in _GREEDY

MODELS = {
    "toy": (_ONCE, _WAITING),
    "twin": (_ONCE.replace("name: toy\n", "name: twin\n"), _WAITING),
    "greedy": (_GREEDY, FEATURES),
}
MODULES = {"greedy_estimators.py": GREEDY_MODULE}


def ingest(folder: Path) -> None:
    """Write the project and play the data side of each model in this process: so much that a first model is due."""
    shipped = Shipped(folder)
    shipped.write(MODELS, MODULES)
    (folder / "data").mkdir()
    toy_rows(WEEKS_INGESTED).to_csv(folder / "data" / "toy.csv", index=False)
    quiet_dagster()
    declared = [read_declaration(shipped.models / name) for name in MODELS]
    definitions = project_definitions(declared, StoresResource(home=str(shipped.state)))
    first, last = (f"{WEEKS[week]:%Y-%m-%d}" for week in (0, WEEKS_INGESTED - 1))
    with pytest.MonkeyPatch.context() as monkeypatch, shipped.instance() as instance:
        for name in ("RETRAIN_ROOT", "RETRAIN_HOME"):
            monkeypatch.setenv(name, shipped.environment[name])
        for one in declared:
            assert Player(definitions, instance, one).backfill(first, last).success, one.spec.name


def copied(ingested: Path, folder: Path, *models: str) -> Shipped:
    """Return a copy of the ingested project that has only some of its models."""
    shutil.copytree(ingested, folder, dirs_exist_ok=True)
    shipped = Shipped(folder)
    for other in MODELS.keys() - set(models):
        shutil.rmtree(shipped.models / other)
    return shipped
