"""A valid model folder, and a way to get one wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from retrain_pipeline.spec.declaration import Declaration, DeclarationRefused, Problem, read_declaration

VALID = """\
type: retrain_pipeline.components.RetrainedModel
attributes:
  name: bike_demand
  owners: ["team:mobility", ada@example.org]
  problem:
    statement: Rentals per hour, so that bikes are moved before a station runs dry.
    business_metric: {name: lost_rentals, direction: down}
    success: {metric: mae, at_most: 60}
  data:
    source: {kind: csv, path: data/bike_demand/hour.csv}
    key: [instant]
    time: {column: timestamp, period: week, start: 2011-01-01}
    label: {column: cnt, task: regression, delay_hours: 24}
    columns:
      temp: {dtype: float, unit: celsius, range: [-10, 45]}
      season: {dtype: category, values: ["1", "2", "3", "4"]}
  features: features.build
  training:
    window_periods: 26
    candidates:
      ridge: {estimator: sklearn.linear_model.Ridge}
  gates: {alpha: 0.05, slices: [season]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a model folder and return it: the valid text, with some pieces of it exchanged."""

    def write(*exchanges: tuple[str, str], name: str = "bike_demand", text: str = VALID) -> Path:
        for old, new in exchanges:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        model = tmp_path / "models" / name
        (model / "decisions").mkdir(parents=True)
        (model / "decisions" / "0001-why.md").write_text("# Why\n")
        (model / "features.py").write_text("def build(rows):\n    return rows\n")
        (model / "defs.yaml").write_text(text, encoding="utf-8")
        return model

    return write


@pytest.fixture
def read(folder: Callable[..., Path]) -> Callable[..., Declaration]:
    """Read the valid declaration with some pieces exchanged."""
    return lambda *exchanges: read_declaration(folder(*exchanges))


@pytest.fixture
def problems(folder: Callable[..., Path]) -> Callable[..., list[Problem]]:
    """Return the problems of the valid declaration with some pieces exchanged."""

    def refused(*exchanges: tuple[str, str]) -> list[Problem]:
        with pytest.raises(DeclarationRefused) as caught:
            read_declaration(folder(*exchanges))
        return list(caught.value.problems)

    return refused
