"""Joint tables of labels and predictions: what calibration and the loss of slices are read from, without the rows.

Rows whose label has matured are counted per slice, per bin of the prediction and per class of the label; of numbers the
sums of prediction, label and loss are kept. The sums are whole numbers of `UNIT`, so that tables merge exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from retrain_pipeline.monitoring.errors import ProfilesDiffer

if TYPE_CHECKING:
    import pandas as pd

UNIT = 2.0**-20
"""What sums are counted in; a millionth, so that a loss of any size that matters is kept to more digits than it has."""
# Values beyond 2^46 count as so far.
_FARTHEST, _HALF = 2.0**66, 2.0**30
MAX_CLASSES = 50
ALL = ""
"""The slice of all rows."""
OTHER = "(other)"
_MEND = "count both in the bins of one reference"


@dataclass(frozen=True)
class Tally:
    """Rows of one slice, prediction bin and label class; sums of prediction, label and loss in `UNIT`."""

    rows: int = 0
    prediction: int = 0
    label: int = 0
    loss: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.rows + other.rows,
            self.prediction + other.prediction,
            self.label + other.label,
            self.loss + other.loss,
        )


Cell = tuple[str, int, str]
"""Slice (``column=value``, or `ALL`), number of the prediction's bin, class of the label (`""` of a number)."""


@dataclass(frozen=True)
class JointTable:
    """`cuts` between the bins of the prediction, each closed above; cells without rows are not kept."""

    cuts: tuple[float, ...]
    cells: dict[Cell, Tally]

    def merge(self, other: "JointTable") -> "JointTable":
        """Return the table of the rows of both."""
        if self.cuts != other.cuts:
            raise ProfilesDiffer(f"prediction bins {self.cuts[:3]}… and {other.cuts[:3]}… differ: {_MEND}")
        cells = dict(self.cells)
        for cell, tally in other.cells.items():
            cells[cell] = cells.get(cell, Tally()) + tally
        return JointTable(self.cuts, dict(sorted(cells.items())))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; sums as texts, since they pass 2^53."""
        cells = [
            [*cell, one.rows, str(one.prediction), str(one.label), str(one.loss)] for cell, one in self.cells.items()
        ]
        return {"schema": "joint/1", "cuts": list(self.cuts), "cells": cells}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "JointTable":
        """Return the table that `to_json` wrote."""
        cells = {(str(c[0]), int(c[1]), str(c[2])): Tally(int(c[3]), *map(int, c[4:])) for c in value["cells"]}
        return cls(tuple(float(cut) for cut in value["cuts"]), cells)


def joint_table(
    frame: "pd.DataFrame",
    cuts: Sequence[float],
    *,
    classes: Sequence[str] | None = None,
    slices: "pd.DataFrame | None" = None,
) -> JointTable:
    """Return the table of rows whose label is known.

    Parameters
    ----------
    frame
        Has `prediction` (a score, or the predicted number), `label` and `loss`; rows without all three are left out.
    cuts
        Between the bins of the prediction.
    classes
        Of the label, the first `MAX_CLASSES` by name; others are `OTHER`. None: the label is a number.
    slices
        Columns with the index of `frame` by whose values rows are counted too.
    """
    import numpy as np
    import pandas as pd

    sums = ["prediction", "loss"] if classes is not None else ["prediction", "label", "loss"]
    values = {name: frame[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in sums}
    known = np.all([np.isfinite(one) for one in values.values()], axis=0) & frame["label"].notna().to_numpy()
    table = pd.DataFrame({"bin": np.searchsorted(np.array(cuts, float), values["prediction"][known], side="left")})
    table["class"] = "" if classes is None else _named(frame["label"][known], classes)
    for name in sums:
        steps = np.clip(np.rint(values[name][known] / UNIT), -_FARTHEST, _FARTHEST)
        high = np.floor(steps / _HALF)
        # two halves, so that neither sum of whole numbers can pass 2^63
        table[f"{name}_high"], table[f"{name}_low"] = high.astype(np.int64), (steps - high * _HALF).astype(np.int64)
    cells = _cells(table.assign(slice=ALL), sums)
    for name, column in () if slices is None else slices.loc[frame.index[known]].items():
        cells |= _cells(table.assign(slice=[f"{name}={value}" for value in column.tolist()]), sums)
    return JointTable(tuple(float(cut) for cut in cuts), dict(sorted(cells.items())))


def class_name(label: Any) -> str:
    """Return the text of a class; 1.0 and 1 are one."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _named(labels: "pd.Series[Any]", classes: Sequence[str]) -> list[str]:
    known = set(classes[:MAX_CLASSES])
    return [text if (text := class_name(label)) in known else OTHER for label in labels.tolist()]


def _cells(table: "pd.DataFrame", sums: Sequence[str]) -> dict[Cell, Tally]:
    grouped = table.groupby(["slice", "bin", "class"])
    totals = grouped.sum().assign(rows=grouped.size()).reset_index()
    cells: dict[Cell, Tally] = {}
    for one in totals.to_dict("records"):
        whole = {name: int(one[f"{name}_high"]) * int(_HALF) + int(one[f"{name}_low"]) for name in sums}
        cells[(str(one["slice"]), int(one["bin"]), str(one["class"]))] = Tally(int(one["rows"]), **whole)
    return cells


@dataclass(frozen=True)
class SliceRate:
    """A slice: its rows, their share of all labelled rows, their mean loss."""

    rows: int
    share: float
    loss: float


def slice_rates(table: JointTable) -> dict[str, SliceRate]:
    """Return rows, share and mean loss per slice, by name; `ALL` is among them."""
    totals: dict[str, Tally] = {}
    for (group, _, _), tally in table.cells.items():
        totals[group] = totals.get(group, Tally()) + tally
    every = totals.get(ALL, Tally()).rows
    return {
        group: SliceRate(one.rows, one.rows / every, float(Fraction(one.loss, one.rows) * Fraction(UNIT)))
        for group, one in sorted(totals.items())
    }


@dataclass(frozen=True)
class CalibrationBin:
    """Rows of a bin of predictions, the mean prediction, and what came true of it (a rate or a mean)."""

    rows: int
    predicted: float
    observed: float


def calibration(table: JointTable, positive: str | None = None, group: str = ALL) -> dict[int, CalibrationBin]:
    """Return predicted and observed per bin of the prediction.

    Parameters
    ----------
    positive
        The class whose probability the prediction is; None: the label is a number, and its mean is what came true.
    """
    found: dict[int, tuple[Tally, int]] = {}
    for (name, number, label), tally in table.cells.items():
        if name == group:
            total, hits = found.get(number, (Tally(), 0))
            found[number] = (total + tally, hits + (tally.rows if label == positive else 0))
    bins = {}
    for number, (one, hits) in sorted(found.items()):
        observed = Fraction(one.label, one.rows) * Fraction(UNIT) if positive is None else Fraction(hits, one.rows)
        predicted = Fraction(one.prediction, one.rows) * Fraction(UNIT)
        bins[number] = CalibrationBin(one.rows, float(predicted), float(observed))
    return bins


def calibration_error(table: JointTable, positive: str | None = None, group: str = ALL) -> float | None:
    """Return the expected calibration error Σ n_b/n·|observed − predicted| (Naeini et al. 2015); None without rows."""
    bins = calibration(table, positive, group).values()
    rows = sum(one.rows for one in bins)
    return sum(one.rows * abs(one.observed - one.predicted) for one in bins) / rows if rows else None
