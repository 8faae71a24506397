"""A lake in a folder, and declarations to ingest with."""

import gzip
import os
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from retrain_pipeline.lake.declared import Data
from retrain_pipeline.lake.tables import Lake

START = datetime(2024, 1, 1, tzinfo=UTC)
PERIOD = "2024-01-01"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake in a folder."""
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder that declared paths are relative to."""
    folder = tmp_path / "project"
    (folder / "inbox").mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def declare() -> Callable[..., Data]:
    """Make a declaration: an inbox of CSV files with key, time, two columns and a label; changed as asked."""

    def make(**changes: Any) -> Data:
        declared: dict[str, Any] = {
            "source": {"kind": "csv", "path": "inbox", "settle_seconds": 0},
            "key": ["id"],
            "time": {"column": "at", "period": "day", "start": date(2024, 1, 1)},
            "label": {"column": "y", "task": "regression"},
            "columns": {
                "temp": {"dtype": "float", "unit": "celsius", "range": (-50, 60)},
                "city": {"dtype": "category", "values": ("Bonn", "Köln", "NA"), "nullable": True},
            },
        }
        return Data.model_validate({**declared, **changes})

    return make


def rows(count: int, day: int = 0, first: int = 0, **changes: Any) -> pd.DataFrame:
    """Rows of the declared columns, one every few minutes of a day."""
    minutes = [(1440 * index) // max(count, 1) for index in range(count)]
    frame = pd.DataFrame({
        "id": [str(first + index) for index in range(count)],
        "at": [(START + timedelta(days=day, minutes=m)).isoformat() for m in minutes],
        "temp": [round(-5 + 0.25 * index, 2) for index in range(count)],
        "city": ["Bonn", "Köln"] * (count // 2) + ["NA"] * (count % 2),
        "y": [float(index) for index in range(count)],
    })  # fmt: skip
    return frame.assign(**changes)


def deliver(folder: Path, name: str, frame: pd.DataFrame, age: float = 60) -> Path:
    """Put a CSV (or parquet) file into a folder, last written `age` seconds ago."""
    path = folder / name
    if name.endswith(".parquet"):
        frame.to_parquet(path, index=False)
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode(), mtime=0))
    else:
        frame.to_csv(path, index=False)
    return aged(path, age)


def deliver_text(folder: Path, name: str, text: str | bytes, age: float = 60) -> Path:
    """Put a file of exactly these bytes into a folder."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return aged(path, age)


def aged(path: Path, age: float) -> Path:
    """Let a file be last written `age` seconds ago."""
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path
