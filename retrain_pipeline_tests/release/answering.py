"""Models that answer in milliseconds, over a lake in memory: Delta Lake does not work where mutants are tried."""

import atexit
import functools
import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd

from retrain_pipeline.lake.digests import frame_digest
from retrain_pipeline.lake.partitions import Partition
from retrain_pipeline.lake.tables import Snapshot
from retrain_pipeline.learning.candidates import build_pipeline
from retrain_pipeline.learning.fingerprint import prediction_fingerprint, probe_bytes, probe_set
from retrain_pipeline.learning.manifest import Probe
from retrain_pipeline.learning.persistence import dump_model
from retrain_pipeline.learning.training_set import freeze_training_set, read_training_set
from retrain_pipeline.learning.versions import register
from retrain_pipeline.spec.model import Candidate
from retrain_pipeline.stores import open_stores
from retrain_pipeline_tests.gates.handmade import manifest
from retrain_pipeline_tests.gates.world import START, toys, write_folder

AS_OF = START + timedelta(weeks=6)
CONSTANT = "sklearn.dummy.DummyRegressor"


class KeptLake:
    """Tables in memory, of one version, asked as `Lake` is."""

    def __init__(self):
        self.tables = {}

    def copy(self):
        """Return the same tables, to be written apart."""
        made = KeptLake()
        made.tables = {name: dict(parts) for name, parts in self.tables.items()}
        return made

    def put(self, model, table, period, rows):
        """Make the rows the content of a partition."""
        self.tables.setdefault((model, table), {})[period] = rows.assign(_period=period)

    def version(self, model, table):
        return 1

    def periods(self, model, table, version=None):
        return sorted(self.tables.get((model, table), {}))

    def partitions(self, model, table, version=None):
        kept = self.tables.get((model, table), {})
        return {period: Partition(len(kept[period]), frame_digest(kept[period])) for period in sorted(kept)}

    def read(self, model, table, *, periods=None, known_by=None, version=None, columns=None):
        """Return rows by event time."""
        kept = self.tables.get((model, table), {})
        if not kept:
            return pd.DataFrame()
        rows = pd.concat(list(kept.values())).sort_values("_event_time", kind="stable")
        if periods is not None:
            rows = rows[rows["_period"].isin(list(periods))]
        if known_by is not None:
            rows = rows[rows["_known_time"] <= known_by]
        return rows[list(columns) if columns is not None else rows.columns].reset_index(drop=True)

    def snapshot(self, model, table, *, periods, known_by=None, version=None):
        rows, known = self.read(model, table, periods=periods, known_by=known_by), known_by and known_by.isoformat()
        return Snapshot(model, table, 1, "as asked", tuple(sorted(periods)), known, len(rows), frame_digest(rows))

    def read_snapshot(self, snapshot):
        known_by = snapshot.known_by and pd.Timestamp(snapshot.known_by)
        rows = self.read(snapshot.model, snapshot.table, periods=snapshot.periods, known_by=known_by)
        assert frame_digest(rows) == snapshot.digest
        return rows


def _weeks(numbers):
    return [f"{START + timedelta(weeks=number):%Y-%m-%d}" for number in numbers]


@functools.cache
def _learned(task):
    """Return the lake, the frozen training set, its rows and its row digests; made once a process."""
    lake = KeptLake()
    for week, period in enumerate(_weeks(range(8))):
        rows = toys(1, task, first=week).head(104)
        marks = rows[["id", "y", "_event_time", "_known_time"]].rename(columns={"y": "label"})
        for table, content in {"raw": rows, "features": rows.drop(columns="y"), "labels": marks}.items():
            if table != "labels" or week < 6:
                lake.put("toy", table, period, content)
    with tempfile.TemporaryDirectory() as folder:
        stores = replace(open_stores(folder), lake=lake)
        frozen = freeze_training_set(stores, write_folder(Path(folder) / "toy", task).spec, AS_OF)
        digests = (frozen.row_digests_artifact, frozen.evaluation_row_digests_artifact)
        return lake, frozen, read_training_set(stores, frozen), [stores.artifacts.get(one) for one in digests]


@functools.cache
def _fitted(task, estimator, params):
    """Return a pipeline fitted on the training rows, its bytes, its probe and its fingerprint; made once a process."""
    _, _, frames, _ = _learned(task)
    candidate = Candidate(estimator=estimator, params=dict(params))
    made = build_pipeline(candidate, {}, frames.train_x, task, seed=7).fit(frames.train_x, frames.train_y)
    probe = probe_set(frames.train_x)
    return made, dump_model(made), probe_bytes(made, probe), prediction_fingerprint(made, probe)


@functools.cache
def _home(task, models):
    """Return a folder of stores in which these models are on record; made once a process, to be copied."""
    folder = Path(tempfile.mkdtemp(prefix="answering-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    stores = open_stores(folder)
    for data in _learned(task)[3]:
        stores.artifacts.put(data)
    for version, estimator, params in models:
        _register(stores, task, version, estimator, params)
    stores.close()
    return folder


def _register(stores, task, version, estimator, params, changed=()):
    _, data, probe, fingerprint = _fitted(task, estimator, params)
    put = stores.artifacts.put
    document = manifest(
        stores.artifacts, version, task=task, training_set=_learned(task)[1].to_json(), model_artifact=put(data),
        prediction_fingerprint=fingerprint, probe=Probe(artifact=put(probe), rows=256),
        search_complete=False,  # several versions of the same inputs may answer otherwise
        **dict(changed),
    )  # fmt: skip
    register(stores, document, actor="test")


def constant(version, value):
    """Return a model that always says the same."""
    return version, CONSTANT, (("strategy", "constant"), ("constant", value))


class Answering:
    """A model's folder, its stores, six weeks of labelled rows to learn from and two weeks to answer.

    `models` are on record, fitted on the training rows: version, estimator and its parameters.
    """

    def __init__(self, folder, task="regression", more="", models=(), success=None):
        self.declaration = write_folder(folder / "toy", task, more, success)
        self.spec = self.declaration.spec
        lake, self.frozen, self.frames, _ = _learned(task)
        shutil.copytree(_home(task, models), folder / "home")
        self.stores = replace(open_stores(folder / "home"), lake=lake.copy())
        self.pipelines = {version: _fitted(task, estimator, params)[0] for version, estimator, params in models}

    def features(self, *weeks):
        """Return the features of weeks."""
        return self.stores.lake.read("toy", "features", periods=_weeks(weeks))

    def add(self, model, **changed):
        """Put another model on record, with fields of its manifest changed."""
        _register(self.stores, self.frames.task, *model, changed.items())
