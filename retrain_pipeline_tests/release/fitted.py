"""Versions that really load and answer, in stores that are in memory: what a release reads, in milliseconds."""

import functools
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import numpy as np
import pandas as pd

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.learning.fingerprint import prediction_fingerprint, probe_bytes
from retrain_pipeline.learning.manifest import Columns, Probe
from retrain_pipeline.learning.persistence import dump_model
from retrain_pipeline.learning.team_code import code_digest
from retrain_pipeline.learning.training_set import freeze_training_set
from retrain_pipeline.learning.versions import register
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.release.state import current
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline.stores import Stores
from retrain_pipeline_tests.gates.handmade import AS_OF, manifest
from retrain_pipeline_tests.gates.world import START, write_folder
from retrain_pipeline_tests.release.handmade import PLAIN, Proof
from retrain_pipeline_tests.release.in_memory import HandLake, HandLedger


def rows(start="2024-02-12", n=4, **columns):
    """Return feature rows of a period, an hour apart: `a` counts from 0."""
    at = pd.date_range(start, periods=n, freq="h", tz="UTC").as_unit("us")
    given = {"id": [f"{start}/{one}" for one in range(n)], "a": np.arange(n, dtype="float64")}
    return pd.DataFrame({**given, "_event_time": at, "_known_time": at, **columns})


class Lake(HandLake):
    """A lake into which a test puts what models said and what came true."""

    def add(self, table, week, frame, model="toy"):
        held = self.tables.get((model, table), {}).get(week)
        self.replace_partition(model, table, week, frame if held is None else pd.concat([held, frame]))

    def said(self, week, version, prediction, n=30, table="predictions", model="toy", arm="champion", **columns):
        told = rows(week, n).drop(columns="a").assign(prediction=prediction, score=np.nan, model_version=version)
        self.add(table, week, told.assign(arm=arm, **columns), model)

    def true(self, week, label=0.0, n=30, model="toy", into=None, **columns):
        self.add("labels", into or week, rows(week, n).drop(columns="a").assign(label=label, **columns), model)


@functools.cache
def line(slope):
    """Return the bytes of a fitted line through 0, of its probe, and its fingerprint; above 100 it knows shops, too."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = pd.DataFrame({"a": np.arange(-20.0, 21.0), "shop": "north"})
    steps = [("numbers", SimpleImputer(), ["a"]), ("levels", OneHotEncoder(handle_unknown="ignore"), ["shop"])]
    prepare = ColumnTransformer(steps[: 1 + (slope > 100)])
    fitted = Pipeline([("prepare", prepare), ("model", LinearRegression())]).fit(frame, slope * frame["a"])
    return dump_model(fitted), probe_bytes(fitted, frame), prediction_fingerprint(fitted, frame)


class Fitted(Proof):
    """A version of n is a line of slope n: the champion v1, and v2. All stores are in memory."""

    @staticmethod
    def opened(home):
        artifacts = Artifacts(f"memory://fitted/{uuid4().hex}")
        return Stores(Lake(), artifacts, HandLedger())

    @functools.cached_property
    def champion(self):
        return Proof.champion.model_copy(update={"manifest": self.registered("v1")})

    def made(self, version):
        number = int(version.removeprefix("v"))
        model, probe, fingerprint = line(number)
        put = self.stores.artifacts.put
        return manifest(
            self.stores.artifacts, version, feature_code_digest=code_digest(self.declaration.folder), seed=number,
            model_artifact=put(model), probe=Probe(artifact=put(probe), rows=50), prediction_fingerprint=fingerprint,
            columns=Columns(numeric=("a",), categorical=(), dropped={}), **self.learned(),
        )  # fmt: skip

    def registered(self, version):
        """Register a version and return the digest of its manifest."""
        register(self.stores, self.made(version), actor="test")
        return str(self.ledger.latest("toy", "candidate_registered", version).payload["manifest"])

    def read(self):
        """Read the declaration again."""
        self.declaration = read_declaration(self.declaration.folder)
        self.spec = self.declaration.spec

    def newest(self):
        """Return the newest entry as it was written, without what the ledger adds of the deployment."""
        made, payload = super().newest()
        return NewEntry(made.actor, made.action, made.model, made.subject, payload, made.run_id, made.epoch, made.key)

    def learned(self):
        """Return what of the manifest tells of the rows that a version learned from."""
        return {}


@functools.cache
def seven_weeks():
    """Return the tables of the lake of those that learned, made once."""
    lake = Lake()
    for at in range(7):
        week = f"{START + timedelta(weeks=at):%Y-%m-%d}"
        told = rows(week, 20)
        lake.replace_partition("toy", "raw", week, told.assign(shop="north"))
        lake.replace_partition("toy", "features", week, told)
        lake.true(week, 1.4 * told["a"], 20)
    return lake.tables


@functools.cache
def frozen():
    """Return what can be learned from the seven weeks by the time of the versions, and the bytes that it names."""
    stores = Learned.opened(None)
    with TemporaryDirectory() as folder:
        spec = write_folder(Path(folder)).spec
    made = freeze_training_set(stores, spec, datetime.fromisoformat(AS_OF))
    named = (made.row_digests_artifact, made.evaluation_row_digests_artifact)
    return made, [stores.artifacts.get(one) for one in named]


class Learned(Fitted):
    """The same with rows of seven weeks from which they learned, whose label is 1.4 times `a`."""

    @staticmethod
    def opened(home):
        stores = Fitted.opened(home)
        stores.lake.tables = {table: dict(held) for table, held in seven_weeks().items()}
        return stores

    def learned(self):
        made, named = frozen()
        for data in named:
            self.stores.artifacts.put(data)
        return {"training_set": made.to_json()}


class Line(Fitted):
    """Champions v1, v2 and so on, one after the other; v1 is of epoch 1."""

    def __init__(self, folder, count=3, rollout=PLAIN):
        super().__init__(folder, rollout)
        self.states = {"v1": self.champion}
        for number in range(2, count + 1):
            self.crown(f"v{number}")

    def crown(self, version):
        """Release a version after the present champion; return its deployment."""
        before = current(self.ledger, "toy")[1]
        state = before.model_copy(update={
            "champion": version, "manifest": self.registered(version), "previous": before.champion,
            "previous_manifest": before.manifest, "challenger": None,
        })  # fmt: skip
        self.states[version] = state
        return self.deploy(state)

    def lose(self, *versions):
        """Take the bytes of versions away."""
        for version in versions:
            self.stores.artifacts.remove(self.made(version).model_artifact)
