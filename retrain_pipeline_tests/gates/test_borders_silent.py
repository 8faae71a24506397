"""Sides that are silent, anchors, earlier rows, labels and leaks: what each gate says of them, to the letter."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates import looking, operation
from retrain_pipeline.gates.calibration import not_calibrated, residual_bias
from retrain_pipeline.gates.groups import groups
from retrain_pipeline.gates.labels import leakage
from retrain_pipeline.gates.looking import look
from retrain_pipeline.gates.quality import success
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.looked import calibrated, read
from retrain_pipeline_tests.gates.ruled import Chances, asked_by, constant

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.fixture(autouse=True)
def few_calls(monkeypatch):
    """Measure the time of two predictions, not of a hundred."""
    monkeypatch.setattr(operation, "CALLS", 2)


# --- sides that are silent


def told(material, mode="superiority"):
    return {one.gate: one for one in look(material, mode, 0.01)}


def nothing(gate, words):
    return looking.GateResult(gate=gate, verdict=INCONCLUSIVE, words=words)


def silent(side, why):
    return replace(side, predictions=None, losses=None, why_not=why)


def test_a_candidate_that_gives_no_answer_is_told_by_every_gate_that_needs_one():
    material = read("regression")
    found = told(replace(material, candidate=silent(material.candidate, "out of memory")))
    for gate in ("quality", "success", "slices", "calibration", "self_test", "groups"):
        assert found[gate] == nothing(gate, "candidate: out of memory")
    present = "candidate on present rows: "
    assert found["contract"].words.startswith(f"{present}candidate cannot predict these rows: out of memory [")
    assert found["baseline"].verdict is INCONCLUSIVE
    long = told(replace(material, candidate=silent(material.candidate, "x" * 3000)))
    assert len(long["quality"].words) == 2000


def test_a_champion_that_gives_no_answer_is_told_where_it_is_the_reference():
    material = read("regression")
    mute = replace(material, champion=silent(material.champion, "it does not load"))
    found = told(mute)
    for gate in ("quality", "slices", "self_test", "groups"):
        assert found[gate] == nothing(gate, "champion: it does not load")
    both = replace(mute, candidate=silent(material.candidate, "out of memory"))
    assert told(both)["quality"].words == "candidate: out of memory; champion: it does not load"
    goal = material.spec.problem.success
    rows = material.unseen
    assert found["success"].words == success(
        material.candidate.losses[rows], None, material.event_time[rows], metric="mae", at_most=goal.at_most,
        margin=0.07, alpha=0.06, block_hours=30, seed=material.seed,
    ).words  # fmt: skip
    assert "cannot be told" in found["labels"].words
    truth = material.frames.eval_y[rows]
    own = truth - material.candidate.predictions["prediction"].to_numpy()[rows]
    assert found["calibration"] == residual_bias(
        own, None, material.event_time[rows], alpha=0.06, block_hours=30, seed=material.seed
    )  # fmt: skip


def test_before_the_first_release_a_baseline_that_is_missing_is_told():
    material = read("regression", False)
    found = told(replace(material, baselines={"dummy": None, "linear": None}), "first")
    for gate in ("quality", "slices", "self_test", "groups"):
        assert found[gate] == nothing(gate, "no dummy baseline to compare with")
    assert found["robustness"].words == "no reference to compare with on perturbed rows"


def test_without_rows_to_compare_groups_on_there_is_no_answer():
    material = read("regression")
    seen = replace(material.champion_seen, train_until=pd.Timestamp("2030-01-01", tz="UTC"))
    found = told(replace(material, champion_seen=seen))
    assert found["groups"] == nothing("groups", "no dummy baseline to compare with")
    assert found["self_test"].words == "no rows to test the gate on"


def test_beside_a_reference_that_is_never_wrong_losses_of_groups_are_what_they_are():
    material = read("regression")
    perfect = replace(material.champion, losses=np.zeros(240))
    rows = material.unseen
    wanted = groups(
        {"loss": (material.candidate.losses[rows], np.zeros(rows.sum()))}, material.slices[rows], ("shop",),
        margin=0.11, alpha=0.06, seed=material.seed,
    )  # fmt: skip
    assert looking._groups(replace(material, champion=perfect)) == wanted


# --- rows of the champion's schema


def test_a_column_that_the_release_adds_is_missing_in_earlier_rows():
    material = read("regression")
    fewer = material.earlier.drop(columns="b")
    found = told(replace(material, earlier=fewer))["contract"]
    assert (found.verdict, found.statistic) == (PASS, 0.0)


def test_a_column_that_the_release_drops_is_there_in_earlier_rows():
    material = read("regression")
    older = replace(material.champion, takes=("a", "b", "shop", "old"))
    words = told(replace(material, champion=older, earlier=material.earlier.assign(old=1.0)))["contract"].words
    assert words.startswith("champion on present rows: champion needs old, which the features table no longer has [")
    assert words.endswith("candidate on earlier rows PASS, champion on earlier rows PASS]")


def test_a_model_that_cannot_answer_earlier_rows_is_told_by_why():
    material = read("regression")
    texts = material.earlier.assign(a="text")
    words = told(replace(material, earlier=texts))["contract"].words
    why = "cannot predict these rows: feature 'a': the model learned numbers from it"
    assert words.startswith(f"candidate on earlier rows: candidate {why}")
    assert words.endswith("candidate on earlier rows FAIL, champion on earlier rows FAIL]")

    class Broken:
        def __init__(self, pipeline):
            self.named_steps = pipeline.named_steps

        def predict(self, rows):
            raise ZeroDivisionError("no rows")

    broken = replace(material.champion, pipeline=Broken(material.champion.pipeline))
    words = looking._contract(replace(material, champion=broken)).words
    assert words.startswith(
        "champion on earlier rows: champion cannot predict these rows: ZeroDivisionError: no rows ["
    )


def test_classes_are_those_of_training_and_earlier_those_of_both_models():
    material = read("multiclass")
    frames = replace(material.frames, train_y=np.array(["0", "1"] * 60))
    words = looking._contract(replace(material, frames=frames)).words
    assert "candidate: unknown classes 2" in words
    assert words.endswith("candidate on earlier rows PASS, champion on earlier rows PASS]")
    renamed = replace(material.champion, predictions=material.champion.predictions.assign(prediction="9"))
    words = looking._contract(replace(material, champion=renamed)).words
    assert words.startswith("champion on present rows: champion: unknown classes 9 [")


def test_names_of_classes_are_told_of_earlier_rows_too():
    material = read("multiclass")
    named = pd.DataFrame({"prediction": ["x"] * 240, "score": 0.9})
    sides = [replace(one, pipeline=Chances(constant(0.1), ("x", "y")), predictions=named)
             for one in (material.candidate, material.champion)]  # fmt: skip
    frames = replace(material.frames, train_y=np.array(["x", "y"] * 60))
    words = looking._contract(replace(material, candidate=sides[0], champion=sides[1], frames=frames)).words
    assert words.endswith("candidate on earlier rows PASS, champion on earlier rows PASS]")


def test_scores_that_are_none_are_asked_for_where_the_metric_is_made_of_them():
    material = read("binary")
    bare = material.candidate.predictions.assign(score=np.nan)
    scoreless = replace(material, candidate=replace(material.candidate, predictions=bare))
    words = "candidate on present rows: candidate: 240 scores are not probabilities ["
    assert looking._contract(scoreless).words.startswith(words)
    by_error = replace(scoreless, spec=asked_by(material.spec, "error"))
    assert looking._contract(by_error).words.startswith("3 columns in, 240 binary answers out [")
    assert looking._calibration(by_error) == not_calibrated(int(material.unseen.sum()))
    assert looking._calibration(scoreless) != not_calibrated(int(material.unseen.sum()))
    scored = replace(material, spec=asked_by(material.spec, "error"))
    assert looking._calibration(scored) == calibrated(material)


# --- labels and leaks


def test_of_a_champion_without_scores_the_answers_are_what_labels_are_held_to():
    material = read("binary")
    bare = material.champion.predictions.assign(score=np.nan)
    champion, spec = replace(material.champion, predictions=bare), asked_by(material.spec, "error")
    rows = looking._label_rows(replace(material, champion=champion, spec=spec))
    assert rows.champion_evaluation.tolist() == bare["prediction"].tolist()


def test_of_a_champion_that_says_nothing_the_answers_are_unknown():
    material = read("regression")
    rows = looking._label_rows(replace(material, champion=silent(material.champion, "gone")))
    assert np.isnan(rows.champion_evaluation).all()
    assert (len(rows.champion_evaluation), rows.champion_training, rows.relabelled_losses) == (240, None, None)


def test_only_features_that_the_candidate_takes_are_probed_and_the_newest_rows_of_them(monkeypatch):
    material = read("regression")
    leaky = replace(material.frames, eval_x=material.frames.eval_x.assign(a=material.frames.eval_y),
                    train_x=material.frames.train_x.assign(a=material.frames.train_y))  # fmt: skip
    made = replace(material, frames=leaky)
    assert looking._leakage(made).words.startswith("features that know the label: a (1.000);")
    blind = replace(made, candidate=replace(material.candidate, takes=("shop", "b")))
    assert looking._leakage(blind).verdict is PASS
    early = leaky.train_x.assign(a=np.random.default_rng(1).normal(size=120))
    later = replace(made, frames=replace(leaky, train_x=early))
    assert looking._leakage(later).verdict is PASS
    monkeypatch.setattr(looking, "_PROBED_ROWS", 240)
    assert looking._leakage(later).verdict is FAIL


def test_too_few_rows_to_probe_are_told():
    material = read("regression")
    frames = replace(material.frames, train_x=material.frames.train_x[:0], train_y=material.frames.train_y[:0],
                     eval_x=material.frames.eval_x[:199], eval_y=material.frames.eval_y[:199])  # fmt: skip
    found = looking._leakage(replace(material, frames=frames))
    words = "199 labelled rows: a leak is looked for from 200 on"
    assert found == leakage(None, frames.eval_x).model_copy(update={"words": words})
