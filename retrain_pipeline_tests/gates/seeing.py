"""A judgement whose version loads and whose material is made by hand: what gates and pictures are asked is recorded."""

import numpy as np
import pandas as pd

from retrain_pipeline.gates import beyond, looking, material, plots
from retrain_pipeline.gates.compatibility import Seen
from retrain_pipeline.gates.judge import judge
from retrain_pipeline.gates.material import Material, Side
from retrain_pipeline.learning import versions
from retrain_pipeline.learning.frames import Frames
from retrain_pipeline_tests.gates.handmade import results


def judged(trial, version="v2", mode="superiority"):
    return judge(trial.stores, trial.declaration, version, mode=mode, run_id="run-8", actor="somebody")


HOURS = pd.Series(pd.date_range("2024-02-05", periods=300, freq="h", tz="UTC"))
OWN = np.random.default_rng(1).gamma(2, 0.5, 300)
THEIRS = np.random.default_rng(2).gamma(2, 0.6, 300)
TRUTH = np.tile([0, 1], 150)


def told(score=0.25, prediction=1.0):
    return pd.DataFrame({"prediction": np.full(300, prediction), "score": np.full(300, score)})


def side(name, losses, predictions):
    return Side(name, ("a",), None, predictions, losses)


class Seeing:
    """A judgement whose version loads, whose material is made by hand, and whose gates and pictures are recorded."""

    def __init__(self, trial, monkeypatch):
        self.trial, self.drawn, self.asked = trial, [], []
        self.task, self.champion, self.dummy = "regression", side("champion", THEIRS, told(0.75)), None
        self.anchor, self.anchor_side = None, None
        self.candidate, self.times = side("candidate", OWN, told()), HOURS
        self.found, self.seen_until = list(results()), None
        monkeypatch.setattr(versions, "load_version", lambda *asked: self.heard("load_version", asked) or "a model")
        monkeypatch.setattr(material, "read_material", lambda *asked: self.heard("read_material", asked) or self.made)
        monkeypatch.setattr(looking, "look_beside", lambda *asked: self.heard("look", asked) or tuple(self.found))
        monkeypatch.setattr(beyond, "look_beyond", lambda *asked: self.heard("look_beyond", asked) or ())
        for kind in ("calibration", "residual", "difference"):
            monkeypatch.setattr(plots, f"{kind}_plot", lambda *drawn, kind=kind: self.draw(kind, drawn))

    def heard(self, what, asked):
        self.asked.append((what, asked))

    def draw(self, kind, drawn):
        self.drawn.append((kind, drawn))
        return f"picture of {kind}".encode()

    @property
    def made(self):
        frames = Frames(pd.DataFrame(), np.empty(0), pd.DataFrame(), pd.DataFrame(), TRUTH, pd.DataFrame(), self.task)
        digests = np.arange(300, dtype=np.uint64)
        seen = None if self.seen_until is None else Seen("champion", None, self.seen_until)
        manifest = self.trial.manifest
        return Material(
            spec=self.trial.spec, manifest=manifest, frozen=manifest.frozen, frames=frames, candidate=self.candidate,
            fidelity="same", champion=self.champion, anchor=self.anchor_side, anchor_version=self.anchor,
            champion_validated=None, earlier=None, baselines={"dummy": self.dummy}, digests=digests,
            event_time=self.times, candidate_seen=Seen("candidate", None, HOURS[0]), champion_seen=seen,
            slices=pd.DataFrame(), model_bytes=1,
        )  # fmt: skip

    def judge(self, mode="superiority"):
        return judged(self.trial, mode=mode)
