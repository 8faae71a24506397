"""One feature that gives the label away is found; honest ones are not accused."""

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.learning import leaks
from retrain_pipeline.learning.errors import LabelsRefused, TooFewToProbe
from retrain_pipeline.learning.features import load_features, update_features
from retrain_pipeline.learning.labels import encode_labels, join_labels
from retrain_pipeline.learning.leaks import knows_the_label
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.learning.small_world import labels_of, raw_day

RNG = np.random.default_rng(5)
NOISE = RNG.normal(size=400)
BINARY = pd.Series((NOISE + RNG.normal(size=400) > 0).astype(int))
GROWING = pd.Series(np.exp(NOISE) * np.linspace(1, 50, 400))
CLASSES = pd.Series(RNG.choice(["a", "b", "c"], 400))

GUILTY = {
    "a copy": ("binary", BINARY, BINARY.astype(float)),
    "turned round": ("binary", BINARY, -BINARY * 3.0 + 1),
    "by words": ("binary", BINARY, BINARY.map({0: "no", 1: "yes"})),
    "by parity": ("binary", BINARY, (2 * RNG.integers(0, 5, 400) + BINARY).astype(float)),
    "by missingness": ("binary", BINARY, pd.Series(NOISE).where(BINARY == 1)),
    "a number for a class": ("multiclass", CLASSES, CLASSES.map({"a": 2.0, "b": 0.0, "c": 1.0})),
    "a copy of a class": ("multiclass", CLASSES, CLASSES),
    "a copy with trend": ("regression", GROWING, GROWING),
    "its logarithm": ("regression", GROWING, np.log(GROWING)),
    "with little noise": ("regression", GROWING, GROWING + 0.01 * NOISE),
}


@pytest.mark.fault("I28")
@pytest.mark.requirement("D38")
@pytest.mark.parametrize("name", GUILTY)
def test_a_feature_that_encodes_the_label_is_found(name):
    task, labels, leak = GUILTY[name]
    features = pd.DataFrame({"honest": NOISE, "leak": leak})
    assert [found for found, _ in knows_the_label(features, labels, task)] == ["leak"]


@pytest.mark.fault("I28")
@pytest.mark.parametrize(("task", "labels"), [("binary", BINARY), ("multiclass", CLASSES), ("regression", GROWING)])
def test_honest_features_are_not_accused(task, labels):
    features = pd.DataFrame(
        {
            "strong": NOISE,
            "row": np.arange(400.0),
            "id": [f"row-{at}" for at in range(400)],
            "level": RNG.choice(["u", "v"], 400),
            "nearly empty": pd.Series(NOISE).where(np.arange(400) < 3),
            "empty": np.nan,
        }
    )
    assert knows_the_label(features, labels, task) == []


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ("binary", BINARY.head(199)),
        ("binary", pd.Series([0] * 300)),
        ("binary", pd.Series([0] * 291 + [1] * 9)),
        ("regression", pd.Series([2.5] * 300)),
    ],
)
def test_too_little_to_tell_is_no_pass(task, labels):
    with pytest.raises(TooFewToProbe):
        knows_the_label(pd.DataFrame({"x": NOISE[: len(labels)]}), labels, task)


LEAKY = """
def build(rows):
    return rows[["income"]].assign(fee=rows["age"] * 1.0)
"""


@pytest.mark.fault("I28")
def test_a_leak_known_from_earlier_labels_stops_the_period(world):
    there = world(features=LEAKY)
    days = [raw_day(number) for number in range(5)]
    for raw in days:
        # `age` becomes what nobody could know: the outcome itself.
        there.put_raw(raw.assign(age=raw["paid"] * 10 + 20))
    there.put_features([f"2024-01-0{number}" for number in range(1, 5)])
    there.put_labels(pd.concat([labels_of(raw) for raw in days[:4]]))
    code = load_features(there.declaration.folder, there.spec.features)
    report = update_features(there.stores.lake, code, there.spec, "2024-01-05")
    leak = next(check for check in report.checks if check.name == "label_leak")
    assert leak.verdict is Verdict.FAIL
    assert leak.words.startswith("fee (1.0000)")
    assert report.write is None
    assert "2024-01-05" not in there.stores.lake.periods("loans", "features")


@pytest.mark.fault("I28")
def test_a_leak_that_came_with_new_code_is_found_at_once(lived):
    # Nothing that is stored leaks; the new function does, and most of its rows have no label yet.
    there = lived(features='def build(rows):\n    return rows[["age"]].assign(fee=rows["income"])\n')
    for number in range(12):
        raw = raw_day(number)
        there.put_raw(raw.assign(income=raw["paid"] * 1.0))
    code = load_features(there.declaration.folder, there.spec.features)
    report = update_features(there.stores.lake, code, there.spec, "2024-01-12")
    leak = next(check for check in report.checks if check.name == "label_leak")
    assert (leak.verdict, leak.numbers["columns"]) == (Verdict.FAIL, "fee (1.0000)")


def test_without_the_rows_of_the_labels_nothing_is_said(world):
    there = world()
    there.put_raw(raw_day(4))
    there.put_labels(labels_of(raw_day(1)))
    code = load_features(there.declaration.folder, there.spec.features)
    report = update_features(there.stores.lake, code, there.spec, "2024-01-05")
    leak = next(check for check in report.checks if check.name == "label_leak")
    assert (leak.verdict, leak.words) == (Verdict.INCONCLUSIVE, "raw has none of the labelled rows")
    assert report.write is not None


@pytest.mark.parametrize("rows_before", [leaks._ROWS_BEFORE, 0])
def test_with_enough_labels_honest_features_pass(world, monkeypatch, rows_before):
    # However few rows of raw are made anew, every labelled one is among them.
    monkeypatch.setattr(leaks, "_ROWS_BEFORE", rows_before)
    there = world()
    days = [raw_day(number) for number in range(5)]
    for raw in days:
        there.put_raw(raw)
    there.put_features([f"2024-01-0{number}" for number in range(1, 5)])
    there.put_labels(pd.concat([labels_of(raw) for raw in days[:4]]))
    code = load_features(there.declaration.folder, there.spec.features)
    report = update_features(there.stores.lake, code, there.spec, "2024-01-05")
    leak = next(check for check in report.checks if check.name == "label_leak")
    assert (leak.verdict, leak.numbers["rows"]) == (Verdict.PASS, 240)


def test_a_restated_label_counts_as_last_known():
    raw = raw_day(0, rows=3)
    first = labels_of(raw)
    later = labels_of(raw.assign(paid=1 - raw["paid"]), delay_hours=72)
    joined = join_labels(raw, pd.concat([later, first]), ["id"])
    assert joined["label"].tolist() == (1 - raw["paid"]).tolist()


def test_labels_are_spelled_by_task():
    assert encode_labels(pd.Series(["true", "False"]), "binary").tolist() == [1, 0]
    assert encode_labels(pd.Series([1.0, 0.0]), "binary").tolist() == [1, 0]
    assert encode_labels(pd.Series([1, 2]), "multiclass").tolist() == ["1", "2"]
    assert encode_labels(pd.Series([1, 2]), "regression").tolist() == [1.0, 2.0]


@pytest.mark.requirement("D25")
@pytest.mark.parametrize(
    ("task", "labels", "words"),
    [
        ("binary", ["yes", "no"], r"found \['no', 'yes'\]"),
        ("binary", [0, 2], r"found \['2'\]"),
        ("binary", [0.0, np.nan], "1 labels are missing"),
        ("regression", [1.0, np.inf], "infinite"),
        ("regression", ["a", "b"], "a regression label is a number"),
    ],
)
def test_labels_that_do_not_fit_the_task_are_refused(task, labels, words):
    with pytest.raises(LabelsRefused, match=words):
        encode_labels(pd.Series(labels), task)
