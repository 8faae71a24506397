"""A small world for judging: models are fitted in milliseconds, tables are frames in memory, the rest is real."""

import functools
import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.canonical import sha256
from retrain_pipeline.gates.material import read_material
from retrain_pipeline.lake.errors import TableMissing
from retrain_pipeline.lake.tables import Snapshot
from retrain_pipeline.learning.environment import environment
from retrain_pipeline.learning.fingerprint import prediction_fingerprint, probe_bytes, probe_set
from retrain_pipeline.learning.fitting import refit
from retrain_pipeline.learning.frames import assemble, identities
from retrain_pipeline.learning.manifest import Columns, Probe
from retrain_pipeline.learning.persistence import dump_model
from retrain_pipeline.learning.team_code import code_digest
from retrain_pipeline.learning.versions import load_version, register
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.spec.model import Candidate
from retrain_pipeline.stores import Stores
from retrain_pipeline_tests.gates.handmade import evidence, manifest, training_set
from retrain_pipeline_tests.gates.world import START, write_folder
from retrain_pipeline_tests.release.handmade import LOSS, Trial

ROWS, EARLY, LATE = 360, 100, 120
"""Rows, one in six hours; how many the champion, and how many the candidate learned from."""
KINDS = {"regression": ("Regressor", "Ridge"), "binary": ("Classifier", "LogisticRegression")}
KINDS["multiclass"] = KINDS["binary"]


@functools.cache
def toys(task):
    """Return rows whose label has a corner in `a` that no straight line follows."""
    rng = np.random.default_rng(11)
    at = pd.date_range(START, periods=ROWS, freq="6h", tz="UTC").as_unit("us")
    a, b = rng.normal(size=ROWS), rng.normal(size=ROWS)
    signal = 3 * np.abs(a) + b - 2.4 + rng.normal(0, 0.5, ROWS)
    y = {"regression": signal, "binary": (signal > 0).astype(float), "multiclass": np.digitize(signal, [-1, 1]) * 1.0}
    shop = np.where(rng.random(ROWS) < 0.5, "north", "south")
    ids = [f"t{row:03d}" for row in range(ROWS)]
    return pd.DataFrame({"id": ids, "a": a, "b": b, "shop": shop, "y": y[task], "_event_time": at, "_known_time": at})


class Tables:
    """What a judgement reads of the lake. A table that is taken out is missing, as there."""

    why = ""

    def __init__(self, rows):
        features = rows[["id", "a", "b", "shop", "_event_time", "_known_time"]].assign(_period="2024-01-01")
        labels = rows[["id", "_event_time", "_known_time"]].assign(label=rows["y"], _period="2024-01-01")
        self.frames = {"features": features, "labels": labels, "raw": rows.drop(columns="y")}

    def read_snapshot(self, snapshot):
        if snapshot.table not in self.frames:
            raise TableMissing(self.why or f"table {snapshot.table} is gone")
        return self.frames[snapshot.table].iloc[: snapshot.rows]

    def read(self, model, table, *, periods=None, known_by=None, version=None, columns=None):
        found = self.frames[table]
        return found[found["_known_time"] <= known_by][list(columns)]


@functools.cache
def fitted(task, learned, estimator, params, seed=7):
    """Return a pipeline fitted on the first rows of the toys, its bytes, its probe and its fingerprint."""
    frames, spec = frames_of(task, learned), write_folder_once(task)
    pipeline = refit(spec, Candidate(estimator=estimator, params=json.loads(params)), {}, frames, seed)
    probe = probe_set(frames.train_x)
    return pipeline, dump_model(pipeline), probe_bytes(pipeline, probe), prediction_fingerprint(pipeline, probe)


@functools.cache
def frames_of(task, learned):
    """Return the toys cut behind the rows that are learned from."""
    tables = Tables(toys(task)).frames
    cut = toys(task)["_event_time"].iloc[learned]
    return assemble(tables["features"], tables["labels"], ("id",), task, cut)


@functools.cache
def write_folder_once(task):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="toys-") as folder:
        return write_folder(Path(folder), task).spec


class Small:
    """A champion v1, fitted on fewer rows, at epoch 1, and a version v2 that nobody has judged, in its own stores."""

    def __init__(self, folder, task="regression", more="", champion=True, **gates):
        self.task = task
        self.declaration = write_folder(folder / "toy", task, more)
        self.declare(**{"refits": 0, **gates})
        folder.joinpath("home").mkdir()
        ledger = Ledger(f"sqlite:///{folder / 'home' / 'ledger.db'}")
        self.stores = Stores(Tables(toys(task)), Artifacts(folder / "home" / "artifacts"), ledger)
        self.artifacts, self.ledger = self.stores.artifacts, ledger
        self.before = self.version("v1", learned=EARLY, parent=None, leaf=30)
        self.manifest = self.version("v2", parent="v1", leaf=6)
        if champion:
            self.deploy("v1", self.released_on("v1"))

    @property
    def spec(self):
        """What is declared now."""
        return self.declaration.spec

    def declare(self, **gates):
        """Declare other gates from here on; return the declaration's values."""
        spec = self.declaration.spec
        spec = spec.model_copy(update={"gates": spec.gates.model_copy(update=gates)})
        self.declaration = replace(self.declaration, spec=spec)
        return spec

    def version(self, name, learned=LATE, leaf=6, **changed):
        """Fit a tree on the first rows and register it; what is given stands in its manifest."""
        kind, linear = KINDS[self.task]
        tree, given = f"sklearn.tree.DecisionTree{kind}", {"min_samples_leaf": leaf}
        _, model, probe, fingerprint = fitted(self.task, learned, tree, json.dumps(given))
        keep, frozen = self.artifacts.put, self.frozen(name, learned)
        baselines = {
            "dummy": fitted(self.task, learned, f"sklearn.dummy.Dummy{kind}", "{}")[1],
            "linear": fitted(self.task, learned, f"sklearn.linear_model.{linear}", "{}")[1],
        }
        stands = {
            "training_set": frozen.to_json(), "as_of": frozen.as_of, "task": self.task, "estimator": tree,
            "feature_code_digest": code_digest(self.declaration.folder), "params": given, "model_artifact": keep(model),
            "spec_digest": self.artifacts.put_json(self.spec.model_dump(mode="json")), "size_bytes": len(model),
            "columns": Columns(numeric=("a", "b"), categorical=("shop",), dropped={}), "environment": environment(1),
            "probe": Probe(artifact=keep(probe), rows=learned), "prediction_fingerprint": fingerprint,
            "baselines": {name: keep(data) for name, data in baselines.items()},
        }  # fmt: skip
        return register(self.stores, manifest(self.artifacts, name, **{**stands, **changed}), actor="test")

    def frozen(self, version, learned):
        """Return the training set that learns from the first rows and is judged on the others."""
        frames = frames_of(self.task, learned)
        times, late = frames.train_keys["_event_time"], frames.eval_keys["_event_time"]
        train, judge = (
            self.artifacts.put(identities(keys).astype("<u8").tobytes())
            for keys in (frames.train_keys, frames.eval_keys)
        )
        features, labels = (
            Snapshot("toy", table, 1, "true", ("2024-01-01",), None, ROWS, "1" * 64) for table in ("features", "labels")
        )
        return training_set(
            task=self.task, as_of=(late.max() + timedelta(hours=1)).isoformat(), features=features, labels=labels,
            train_rows=len(times), evaluation_rows=len(late), train_from=times.min().isoformat(),
            train_until=times.max().isoformat(), evaluation_from=late.min().isoformat(),
            evaluation_until=late.max().isoformat(), row_digests_artifact=train, evaluation_row_digests_artifact=judge,
            digest=sha256(version.encode()),
        )  # fmt: skip

    def registered(self, version):
        """Return the digest of a version's manifest."""
        return str(self.ledger.latest("toy", "candidate_registered", version).payload["manifest"])

    def released_on(self, version, **changed):
        """Store evidence that let a version take over; return its digest."""
        given = {
            "version": version, "manifest": self.registered(version), "champion": None, "champion_manifest": None,
            "epoch": 0, "mode": "first", "validated_loss": LOSS,
        }  # fmt: skip
        return self.artifacts.put_json(evidence(**{**given, **changed}).document())

    def deploy(self, version, evidence_digest):
        """Make a version champion."""
        row = self.ledger.deployment("toy")
        state = Trial.champion.model_copy(
            update={"champion": version, "manifest": self.registered(version), "evidence": evidence_digest}
        )
        entry = NewEntry("test", "released", "toy", version, {"evidence": evidence_digest})
        self.ledger.change_deployment("toy", row.epoch if row else 0, state.to_state(), entry)

    def material(self, version="v2", champion="v1", released_on=None):
        """Return what a judgement of a version is made of."""
        return read_material(self.stores, self.spec, load_version(self.stores, "toy", version), champion, released_on)
