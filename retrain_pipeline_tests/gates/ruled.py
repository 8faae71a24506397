"""Models that answer by a rule, and the material of a judgement of two of them: nothing is fitted, read or stored."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from retrain_pipeline.gates.compatibility import Seen
from retrain_pipeline.gates.material import Material, Side
from retrain_pipeline.learning.frames import Frames
from retrain_pipeline_tests.gates.small import write_folder_once

HOURS = pd.Series(pd.date_range("2024-02-05", periods=1400, freq="h", tz="UTC"))


class Rule:
    """A model that says of rows what a function says, and remembers what it was asked."""

    def __init__(self, say, numbers=("a", "b"), texts=("shop",)):
        levels = SimpleNamespace(categories_=[["north", "south"] for _ in texts])
        parts = [("numbers", None, list(numbers)), ("levels", None, list(texts))]
        self.named_steps = {
            "prepare": SimpleNamespace(transformers_=parts, named_transformers_={"levels": levels})
        }  # fmt: skip
        self.say, self.asked = say, []

    def predict(self, rows):
        self.asked.append(rows)
        return self.say(rows)


def side(name, say, takes=("b", "shop", "a"), losses=True):
    return Side(name, takes, Rule(say), None, np.ones(1) if losses else None)


def made(own, theirs, rows=20, seen=None, takes=("b", "shop", "a"), truth=0.0):
    """Return the material of a candidate and a champion that answer so, and the champion."""
    rng = np.random.default_rng(3)
    x = pd.DataFrame({"a": np.arange(rows, dtype=float), "b": rng.normal(0, 5, rows), "shop": ["north"] * rows})
    x["a"] = x["a"].astype("int64")
    y, keys = np.full(rows, truth), pd.DataFrame({"_event_time": HOURS[:rows]})
    train = pd.DataFrame({"a": [0, 10, 20, 30], "b": [4.0, 4.0, 4.0, 4.0], "shop": ["south"] * 4})
    spec, champion = write_folder_once("regression"), side("champion", theirs)
    frozen = SimpleNamespace(evaluation_row_digests_artifact="0000000bff")
    material = Material(
        spec=spec, manifest=None, frozen=frozen, frames=Frames(train, np.zeros(4), None, x, y, keys, "regression"),
        candidate=side("candidate", own, takes), fidelity="same", champion=champion, anchor=None, anchor_version=None,
        champion_validated=None, earlier=None, baselines={}, digests=np.arange(rows, dtype=np.uint64),
        event_time=HOURS[:rows], candidate_seen=None, slices=None, model_bytes=1,
        champion_seen=None if seen is None else Seen("champion", None, HOURS[seen]),
    )  # fmt: skip
    return material, champion


def constant(answer):
    return lambda rows: np.full(len(rows), answer)


def without(name, answer, otherwise=1.0):
    """Answer otherwise where an input is missing."""
    return lambda rows: np.where(rows[name].isna(), answer, otherwise)


class Chances(Rule):
    """A rule whose answers are the probability of the second of two classes."""

    def __init__(self, say, classes=(0, 1)):
        super().__init__(say)
        self.classes_ = classes

    def predict_proba(self, rows):
        chances = self.predict(rows)
        return np.column_stack([1 - chances, chances])


def asked_by(spec, metric):
    """Return what is declared, with another metric."""
    success = spec.problem.success.model_copy(update={"metric": metric})
    return spec.model_copy(update={"problem": spec.problem.model_copy(update={"success": success})})
