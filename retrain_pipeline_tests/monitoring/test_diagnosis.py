"""The diagnosis: right on each injected cause, careful where nothing is known."""

import pandas as pd
import pytest

from retrain_pipeline.monitoring.diagnosis import FAULTS, Cause, Evidence, diagnose
from retrain_pipeline.monitoring.explaining import recoded
from retrain_pipeline.monitoring.profile import profile
from retrain_pipeline.simulation.causes import INJECTED, world
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.bench.diagnosis import RIGHT, examined

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
RISEN = {"performance": FAIL, "drift": PASS, "loss": 0.3, "validated_up_to": 0.2}


@pytest.mark.requirement("D16", "D24", "D32")
@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("injected", INJECTED)
def test_an_injected_cause_is_named(injected, task):
    found = [examined(injected, task, seed) for seed in (100, 101, 102)]
    assert sum(one.cause is RIGHT[injected] for one in found) >= 2, [one.words for one in found]


@pytest.mark.fault("I7")
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_labels_turned_round_are_a_fault_and_no_reason_to_retrain(task):
    found = examined("labels_flipped", task, 200)
    assert found.cause in FAULTS
    assert "labels look inverted or recoded" in found.words
    assert examined("concept_shift", task, 200).cause not in FAULTS  # the world turned, not the labels


@pytest.mark.fault("I45")
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_five_per_cent_of_marked_and_flipped_labels_are_a_fault_that_names_the_mark(task):
    found = examined("labels_poisoned", task, 200)
    assert found.cause is Cause.LABEL_FAULT
    assert "a = 1.4142" in found.words


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({}, Cause.CONCEPT_SHIFT),
        ({"drift": FAIL, "explained_up_to": 0.31}, Cause.DATA_SHIFT),
        ({"drift": FAIL, "explained_up_to": 0.22}, Cause.CONCEPT_SHIFT),
        ({"drift": FAIL}, Cause.UNCLEAR),
        ({"drift": FAIL, "explained_up_to": 0.31, "retrains_without_gain": 3}, Cause.DATA_SHIFT),
        ({"retrains_without_gain": 3}, Cause.PLATEAU),
        ({"retrains_without_gain": 2}, Cause.CONCEPT_SHIFT),
        ({"repaired_loss": 0.19}, Cause.MISCALIBRATION),
        ({"missing_rise": ("x", 0.5)}, Cause.PIPELINE_FAULT),
        ({"recoded": ("x", 0.5), "repaired_loss": 0.19}, Cause.PIPELINE_FAULT),
        ({"labels_turned": "turned", "repaired_loss": 0.19}, Cause.LABEL_FAULT),
        ({"poisoned": "contradicted"}, Cause.LABEL_FAULT),
        ({"poisoned": "contradicted", "drift": FAIL, "explained_up_to": 0.31}, Cause.DATA_SHIFT),
        ({"poisoned": "marked", "marked": True, "drift": FAIL, "explained_up_to": 0.31}, Cause.LABEL_FAULT),
        ({"labels_expected": 400, "labels_known": 0}, Cause.LABEL_FAULT),
        ({"labels_expected": 400, "labels_known": 300}, Cause.CONCEPT_SHIFT),
        ({"labels_expected": 10, "labels_known": 0}, Cause.CONCEPT_SHIFT),
        ({"performance": PASS}, Cause.NONE),
        ({"performance": PASS, "drift": FAIL, "drifted": ("x",)}, Cause.DATA_SHIFT),
        ({"performance": PASS, "slope": (0.5, 0.05)}, Cause.MISCALIBRATION),
        ({"performance": PASS, "slope": (0.5, 0.4)}, Cause.NONE),
        ({"performance": INCONCLUSIVE}, Cause.UNCLEAR),
        ({"performance": INCONCLUSIVE, "drift": INCONCLUSIVE}, Cause.UNCLEAR),
    ],
)
def test_the_decision_over_the_evidence(changes, cause):
    found = diagnose(Evidence(**{**RISEN, **changes}))
    assert found.cause is cause, found.words
    assert found.reasons
    assert found.words.startswith(cause.value.replace("_", " "))


def test_worlds_are_equal_for_equal_seeds_and_only_now_is_changed():
    first, again, other = world("plateau", "binary", 1), world("plateau", "binary", 1), world("none", "binary", 1)
    assert first.now.equals(again.now)
    assert first.train.equals(other.train)
    assert first.before.equals(other.before)
    assert not first.now["label"].equals(other.now["label"])
    assert first.before["_event_time"].iloc[-1] < first.now["_event_time"].iloc[0]


def profiles(before, now):
    reference = profile(pd.DataFrame({"kind": before}))
    return reference.columns, profile(pd.DataFrame({"kind": now}), reference.edges).columns


def test_new_values_beside_the_known_ones_are_the_worlds_and_in_place_of_them_a_recoding():
    known = ["branch"] * 60 + ["web"] * 40
    assert recoded(*profiles(known, ["branch"] * 40 + ["web"] * 30 + ["partner"] * 30)) == {}
    assert recoded(*profiles(known, ["BRANCH"] * 60 + ["WEB"] * 40)) == {"kind": 1.0}
    assert recoded(*profiles(known, ["branch"] * 60 + ["www"] * 40)) == {"kind": 0.4}
    assert recoded(*profiles(known, known)) == {}
