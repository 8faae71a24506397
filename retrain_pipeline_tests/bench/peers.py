"""Triggers in use elsewhere, as policies of a replay: drift detectors over row errors, and tests over inputs."""

import os
from collections.abc import Callable, Iterator

import numpy as np

from retrain_pipeline.replay.matrix import LossMatrix
from retrain_pipeline.triggers.course import Course, Opinion, Policy

REFERENCE_ROWS = 5_000


class Detector:
    """One of river's detectors, fed with the champion's row errors as they become known; new for each champion."""

    def __init__(self, name: str, make: Callable[[], object], matrix: LossMatrix, binary: bool) -> None:
        self.name, self._make, self._matrix, self._binary = name, make, matrix, binary
        self._model, self._fed, self._detector = -1, 0, None

    def look(self, course: Course) -> Opinion:
        if course.first != self._model:
            self._model, self._fed, self._detector = course.first, 0, self._make()
        fired = False
        for k in range(course.first + self._fed, course.first + len(course.champion)):
            for error in self._matrix.of(course.first, k):
                self._detector.update(bool(error) if self._binary else float(error))
                fired = fired or bool(self._detector.drift_detected)
        self._fed = len(course.champion)
        return Opinion(fired, ())


class InputTest:
    """A test of the newest batch's inputs against the rows that the champion learned from."""

    def __init__(
        self, name: str, fires: "Callable[[np.ndarray, np.ndarray], bool]", matrix: LossMatrix, window: int | None
    ):
        self.name, self._fires, self._window = name, fires, window
        self._history = matrix.history
        self._columns = np.column_stack(
            [
                column.to_numpy(float)
                if column.dtype != object
                else column.astype("category").cat.codes.to_numpy(float)
                for _, column in matrix.history.features.items()
            ]
        )

    def look(self, course: Course) -> Opinion:
        starts = self._history.starts
        newest = course.first + len(course.champion) + course.lag - 1  # inputs are there before their labels
        begin = 0 if self._window is None else max(0, course.first - self._window)
        reference = self._columns[starts[begin] : starts[course.first]]
        if len(reference) > REFERENCE_ROWS:
            rows = np.random.default_rng(0).choice(len(reference), REFERENCE_ROWS, replace=False)
            reference = reference[np.sort(rows)]
        return Opinion(self._fires(reference, self._columns[starts[newest] : starts[newest + 1]]), ())


class Constant:
    """Always or never."""

    def __init__(self, name: str, answer: bool) -> None:
        self.name, self._answer = name, answer

    def look(self, course: Course) -> Opinion:
        return Opinion(self._answer, ())


def _ks_values(reference: np.ndarray, batch: np.ndarray) -> Iterator[float]:
    from scipy.stats import ks_2samp

    for column in range(reference.shape[1]):
        a, b = reference[:, column], batch[:, column]
        yield float(ks_2samp(a[~np.isnan(a)], b[~np.isnan(b)], method="asymp").pvalue)


def ks_any(reference: np.ndarray, batch: np.ndarray) -> bool:
    """Any column at 5 %."""
    return any(p < 0.05 for p in _ks_values(reference, batch))


def ks_bonferroni(reference: np.ndarray, batch: np.ndarray) -> bool:
    """Any column at 5 % over all columns."""
    return any(p < 0.05 / reference.shape[1] for p in _ks_values(reference, batch))


def psi_02(reference: np.ndarray, batch: np.ndarray) -> bool:
    """Any column with a population stability index above 0.2, in ten bins of the reference."""
    for column in range(reference.shape[1]):
        a, b = reference[:, column], batch[:, column]
        edges = np.unique(np.nanquantile(a, np.linspace(0, 1, 11)))[1:-1]
        p, q = (np.bincount(np.searchsorted(edges, side[~np.isnan(side)]), minlength=len(edges) + 1) for side in (a, b))
        p, q = (np.maximum(side / max(side.sum(), 1), 1e-4) for side in (p, q))
        if float(((q - p) * np.log(q / p)).sum()) > 0.2:
            return True
    return False


def half_the_columns(reference: np.ndarray, batch: np.ndarray) -> bool:
    """Half of the columns at 5 %: the rule of Evidently's default preset, with its test for fewer than 1,000 rows."""
    values = list(_ks_values(reference, batch))
    return sum(p < 0.05 for p in values) >= 0.5 * len(values)


class Mmd:
    """Maximum mean discrepancy above the 95 % quantile of what the reference's own batches give."""

    def __init__(self, batch_rows: int) -> None:
        self._rows, self._limits = min(batch_rows, 200), {}

    def __call__(self, reference: np.ndarray, batch: np.ndarray) -> bool:
        mean, spread = np.nanmean(reference, axis=0), np.nanstd(reference, axis=0) + 1e-12
        a, b = (np.nan_to_num((side - mean) / spread) for side in (reference, batch))
        key = (len(reference), float(reference[0, 0]), float(np.nansum(reference[:50])))
        rng = np.random.default_rng(1)
        pool = a[rng.choice(len(a), min(len(a), 500), replace=False)]
        width = float(np.median(np.sum((pool[:100, None] - pool[None, :100]) ** 2, axis=2))) or 1.0
        if key not in self._limits:
            null = []
            for _ in range(60):
                begin = int(rng.integers(0, max(len(a) - self._rows, 1)))
                null.append(_mmd(pool, a[begin : begin + self._rows], width))
            self._limits[key] = float(np.quantile(null, 0.95))
        return _mmd(pool, b[: self._rows], width) > self._limits[key]


def _mmd(a: np.ndarray, b: np.ndarray, width: float) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        squares = (x**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2 * x @ y.T
        return float(np.exp(-np.maximum(squares, 0.0) / width).mean())

    return kernel(a, a) + kernel(b, b) - 2 * kernel(a, b)


def peers(matrix: LossMatrix, window: int | None) -> dict[str, Callable[[float], Policy]]:
    """Return every peer, as a function of a retrain's cost (which none of them looks at)."""
    from river import drift

    binary = matrix.history.task != "regression"
    detectors = {"ADWIN": drift.ADWIN, "PageHinkley": drift.PageHinkley}
    if os.environ.get("RETRAIN_BENCH_ALL"):  # a millisecond a row: half an hour for all sets
        detectors["KSWIN"] = lambda: drift.KSWIN(seed=0)
    if binary:
        detectors |= {
            "DDM": drift.binary.DDM,
            "EDDM": drift.binary.EDDM,
            "HDDM_A": drift.binary.HDDMA,
            "HDDM_W": drift.binary.HDDMW,
        }
    inputs = {
        "KS any p<0.05": ks_any,
        "KS Bonferroni": ks_bonferroni,
        "PSI > 0.2": psi_02,
        "half the columns (Evidently's rule)": half_the_columns,
        "MMD, dynamic quantile": Mmd(int(np.diff(matrix.history.starts).mean())),
    }
    found: dict[str, Callable[[float], Policy]] = {}
    for name, make in detectors.items():
        found[name] = lambda _, name=name, make=make: Detector(name, make, matrix, binary)
    for name, fires in inputs.items():
        found[name] = lambda _, name=name, fires=fires: InputTest(name, fires, matrix, window)
    found["always"] = lambda _: Constant("always", True)
    return found
