"""Small histories with a planted change."""

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.replay.history import History, delayed, from_table
from retrain_pipeline.replay.matrix import Recipe
from retrain_pipeline.spec.model import Candidate
from retrain_pipeline_tests.assets.conftest import make_project, played_folder, released

ROWS = 60
LOGISTIC = Candidate(estimator="sklearn.linear_model.LogisticRegression")


def rows(batches: int = 14, change: int = 7, seed: int = 4) -> pd.DataFrame:
    """Return rows in which the sign of `a`'s effect turns at batch `change`."""
    rng = np.random.default_rng(seed)
    count = batches * ROWS
    a, b = rng.normal(size=count), rng.normal(size=count)
    sign = np.where(np.arange(count) >= change * ROWS, -1.0, 1.0)
    y = (sign * 2 * a + 0.5 * b + rng.normal(size=count) * 0.5 > 0).astype(int)
    at = pd.date_range("2024-01-01", periods=count, freq="h", tz="UTC")
    return pd.DataFrame({"at": at.astype(str), "a": a, "b": b, "kind": rng.choice(["x", "y"], count), "y": y})


@pytest.fixture
def table(tmp_path):
    """The rows as a file."""
    file = tmp_path / "toy.csv"
    rows().to_csv(file, index=False)
    return file


def history_of(file, delay: int = 0, **more) -> History:
    return from_table(
        file, **{"time": "at", "label": "y", "task": "binary", "rows_per_batch": ROWS, "delay": delay, **more}
    )


@pytest.fixture
def history(table) -> History:
    return history_of(table)


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(LOGISTIC, window=3)


__all__ = ["LOGISTIC", "ROWS", "delayed", "history_of", "make_project", "played_folder", "released", "rows"]
