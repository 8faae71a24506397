"""Triggers in use elsewhere, as policies of a replay: drift detectors over row errors, and tests over inputs."""

import json
import os
import subprocess
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np

from retrain_pipeline.canonical import digest_of, sha256
from retrain_pipeline.replay.episode import play_policy
from retrain_pipeline.replay.history import History
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


def kswin() -> object:
    """Return river's KSWIN with the same decisions, its p-values looked up: else a row takes a millisecond."""
    from river.drift import kswin as module

    module.stats = SimpleNamespace(ks_2samp=ks_of_equals)
    return module.KSWIN(seed=0)


def ks_of_equals(a: list[float], b: list[float], method: str) -> tuple[float, float]:
    """Return what `scipy.stats.ks_2samp` says of two samples of one small size: its exact p-value has one per step.

    >>> from scipy.stats import ks_2samp
    >>> a, b = [0.0, 1.0, 1.0, 3.0], [1.0, 2.0, 4.0, 4.0]
    >>> ks_of_equals(a, b, "auto") == tuple(ks_2samp(a, b))
    True
    """
    left, right = sorted(a), sorted(b)
    steps = max(abs(bisect_right(left, x) - bisect_right(right, x)) for x in (*left, *right))
    return steps / len(left), _exact_p(steps, len(left))


@cache
def _exact_p(steps: int, size: int) -> float:
    from scipy.stats import ks_2samp

    values = np.arange(float(size))  # those moved by half a step less lie that many steps apart
    return float(ks_2samp(values, values + max(steps, 1) - 0.5, method="exact").pvalue) if steps else 1.0


def columns_of(history: History) -> np.ndarray:
    """Return the features as numbers, categories by their code."""
    return np.column_stack(
        [
            column.to_numpy(float) if column.dtype != object else column.astype("category").cat.codes.to_numpy(float)
            for _, column in history.features.items()
        ]
    )


class InputTest:
    """A test of the newest batch's inputs against the rows that the champion learned from."""

    def __init__(
        self, name: str, fires: "Callable[[np.ndarray, np.ndarray], bool]", matrix: LossMatrix, window: int | None
    ):
        self.name, self._fires, self._window = name, fires, window
        self._history = matrix.history
        self._columns = columns_of(matrix.history)

    def look(self, course: Course) -> Opinion:
        starts = self._history.starts
        newest = course.first + len(course.champion) + course.lag - 1  # inputs are there before their labels
        begin = 0 if self._window is None else max(0, course.first - self._window)
        reference = self._columns[starts[begin] : starts[course.first]]
        if len(reference) > REFERENCE_ROWS:
            rows = np.random.default_rng(0).choice(len(reference), REFERENCE_ROWS, replace=False)
            reference = reference[np.sort(rows)]
        return Opinion(self._fires(reference, self._columns[starts[newest] : starts[newest + 1]]), ())


class NannyML:
    """NannyML in an environment of its own: any column's alert on the newest batch, against the rows learned from."""

    def __init__(self, interpreter: str, matrix: LossMatrix, window: int | None) -> None:
        self.name, self._window, self._starts = "NannyML, any column", window, matrix.history.starts
        self._folder = TemporaryDirectory()
        file = Path(self._folder.name) / "columns.npy"
        np.save(file, columns_of(matrix.history))
        script = Path(__file__).with_name("nannyml_peer.py")
        self._peer = subprocess.Popen(
            [interpreter, script, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def look(self, course: Course) -> Opinion:
        newest = course.first + len(course.champion) + course.lag - 1
        begin = 0 if self._window is None else max(0, course.first - self._window)
        rows = self._starts[begin], self._starts[course.first], self._starts[newest], self._starts[newest + 1]
        assert self._peer.stdin is not None
        assert self._peer.stdout is not None
        print(max(rows[0], rows[1] - REFERENCE_ROWS), *rows[1:], file=self._peer.stdin)
        return Opinion(bool(int(self._peer.stdout.readline())), ())


class Recorded:
    """A peer's retrains in an earlier run: peers look at nothing of ours, so they are asked once."""

    def __init__(self, name: str, retrains: list[int]) -> None:
        self.name, self._retrains = name, frozenset(retrains)

    def look(self, course: Course) -> Opinion:
        return Opinion(course.first + len(course.champion) + course.lag in self._retrains, ())


def asked_once(
    name: str, make: Callable[[float], Policy], matrix: LossMatrix, window: int | None, warm_up: int, cache: Path
) -> tuple[Recorded, float]:
    """Return a peer's retrains as a policy, and the seconds that its looks took; from the cache where they are."""
    versions = {one: version(one) for one in ("river", "evidently", "scipy", "scikit-learn")}
    asked = {"peer": name, "set": matrix.history.digest, "known": list(matrix.history.known), "window": window}
    source = sha256(Path(__file__).read_bytes())
    file = cache / "peers" / f"{digest_of({**asked, 'warm_up': warm_up, 'source': source, **versions})}.json"
    if not file.exists():
        episode = play_policy(matrix, make(0.0), warm_up)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"peer": name, "retrains": episode.retrains, "seconds": episode.seconds}))
    found = json.loads(file.read_text())
    return Recorded(name, found["retrains"]), float(found["seconds"])


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


class Evidently:
    """The verdict of Evidently's drift preset at its defaults: half of the columns drifted, each by its own test.

    `DriftedColumnsCount` is the metric of `DataDriftPreset` that says so; the preset's pages are left out.
    """

    def __init__(self, categorical: list[int]) -> None:
        self._categorical = categorical

    def __call__(self, reference: np.ndarray, batch: np.ndarray) -> bool:
        import pandas as pd
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import DriftedColumnsCount

        told = ~(np.isnan(reference).all(axis=0) | np.isnan(batch).all(axis=0))
        names = {index: f"x{index}" for index in np.flatnonzero(told)}
        definition = DataDefinition(
            numerical_columns=[name for index, name in names.items() if index not in self._categorical],
            categorical_columns=[name for index, name in names.items() if index in self._categorical],
        )
        now, then = (
            Dataset.from_pandas(pd.DataFrame(side[:, told], columns=list(names.values())), data_definition=definition)
            for side in (batch, reference)
        )
        metric = DriftedColumnsCount()
        value = Report([metric]).run(now, then).dict()["metrics"][0]["value"]
        return bool(value["share"] >= metric.drift_share)


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
    detectors = {"ADWIN": drift.ADWIN, "PageHinkley": drift.PageHinkley, "KSWIN": kswin}
    if binary:
        detectors |= {
            "DDM": drift.binary.DDM,
            "EDDM": drift.binary.EDDM,
            "HDDM_A": drift.binary.HDDMA,
            "HDDM_W": drift.binary.HDDMW,
        }
    categorical = np.flatnonzero(matrix.history.features.dtypes.eq(object)).tolist()
    inputs = {
        "KS any p<0.05": ks_any,
        "KS Bonferroni": ks_bonferroni,
        "PSI > 0.2": psi_02,
        "Evidently's preset": Evidently(categorical),
        "MMD, dynamic quantile": Mmd(int(np.diff(matrix.history.starts).mean())),
    }
    found: dict[str, Callable[[float], Policy]] = {}
    for name, make in detectors.items():
        found[name] = lambda _, name=name, make=make: Detector(name, make, matrix, binary)
    for name, fires in inputs.items():
        found[name] = lambda _, name=name, fires=fires: InputTest(name, fires, matrix, window)
    if nannyml := os.environ.get("RETRAIN_BENCH_NANNYML_PYTHON"):
        found["NannyML, any column"] = lambda _: NannyML(nannyml, matrix, window)
    found["always"] = lambda _: Constant("always", True)
    return found
