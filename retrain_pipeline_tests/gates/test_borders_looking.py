"""Which gate looks at what, to the letter: each result is that of its gate on what the material says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates import looking, operation
from retrain_pipeline.gates.compatibility import disjoint
from retrain_pipeline.gates.groups import groups
from retrain_pipeline.gates.known import wrong_about_candidates
from retrain_pipeline.gates.labels import LabelRows, labels, leakage
from retrain_pipeline.gates.looking import look
from retrain_pipeline.gates.material import losses_of
from retrain_pipeline.gates.operation import fingerprint, size
from retrain_pipeline.gates.quality import baseline, quality, slices, success
from retrain_pipeline.gates.required import GATES
from retrain_pipeline.gates.robustness import robustness
from retrain_pipeline.gates.self_test import self_test
from retrain_pipeline.learning.concord import relabelled
from retrain_pipeline.learning.leaks import knows_the_label
from retrain_pipeline.learning.prediction import predict
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.looked import calibrated, pair, read

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
TASKS = ("regression", "binary", "multiclass")


@pytest.fixture(autouse=True)
def few_calls(monkeypatch):
    """Measure the time of two predictions, not of a hundred."""
    monkeypatch.setattr(operation, "CALLS", 2)


def labelled(material):
    """What the gate `labels` is told."""
    frames, champion, gates = material.frames, material.champion, material.spec.gates
    told = (None, None, None)
    if champion is not None:
        column = "score" if frames.task == "binary" else "prediction"
        trained = predict(champion.pipeline, frames.task, frames.train_x).frame
        turned = relabelled(frames.task, frames.eval_y, champion.predictions["prediction"].to_numpy())
        losses = losses_of(material.spec, frames, champion.predictions, turned)
        told = (champion.predictions[column].to_numpy(), trained[column].to_numpy(), losses)
    return LabelRows(
        frames.task, frames.eval_y, frames.eval_keys["_event_time"], frames.train_y, frames.train_keys["_event_time"],
        *told, material.champion_validated, gates.alpha, gates.block_hours, material.seed,
    )  # fmt: skip


def measured_groups(material, bar):
    judged, sides = pair(material, bar), (material.candidate, bar)
    scale = judged.reference.mean()
    measures = {"loss": (judged.candidate / scale, judged.reference / scale)}
    if material.frames.task == "binary":
        rates = [one.predictions["prediction"].to_numpy(dtype=float)[material.unseen] for one in sides]
        measures["positive rate"] = tuple(rates)
    gates, values = material.spec.gates, material.slices[material.unseen]
    return groups(measures, values, ("shop",), margin=gates.group_margin, alpha=gates.alpha, seed=material.seed)


def by_hand(material, mode, spent):
    """Return what each gate says of what the material says, by name, but contract and latency."""
    gates, rows, frames = material.spec.gates, material.unseen, material.frames
    champion, dummy, linear = material.champion, material.baselines["dummy"], material.baselines["linear"]
    reference, bar = champion or dummy, champion or linear
    main = pair(material, reference, spent)
    at = material.event_time[rows]
    theirs = champion.losses[rows] if champion else None
    bounds = {"alpha": gates.alpha, "block_hours": gates.block_hours, "seed": material.seed, "margin": gates.margin}
    goal = material.spec.problem.success
    x = pd.concat([frames.train_x, frames.eval_x], ignore_index=True)
    y = pd.Series(np.concatenate([frames.train_y, frames.eval_y]))
    shuffled = np.random.default_rng(material.seed).permutation(len(frames.eval_y))
    dealt = losses_of(material.spec, frames, material.candidate.predictions.iloc[shuffled].reset_index(drop=True))
    seen = (material.candidate_seen, material.champion_seen)
    found = [
        disjoint(material.digests, material.event_time, *seen, min_rows=gates.min_rows), quality(main, mode),
        baseline(pair(material, dummy), pair(material, linear)), labels(labelled(material)), calibrated(material),
        success(material.candidate.losses[rows], theirs, at, metric=goal.metric, at_most=goal.at_most, **bounds),
        slices(pair(material, bar), material.slices[rows], gates.slices, slice_margin=gates.slice_margin),
        leakage(knows_the_label(x[["a", "b", "shop"]], y, frames.task), x[["a", "b", "shop"]]),
        size(material.model_bytes, max_size_mb=gates.max_size_mb), measured_groups(material, bar),
        fingerprint(material.manifest.prediction_fingerprint, material.fidelity),
        robustness(material, bar, factor=gates.robustness),
        self_test(main, dealt[rows], mode, gates, wrong_about_candidates(material, bar)),
    ]  # fmt: skip
    return {one.gate: one for one in found}


@pytest.mark.parametrize(
    ("task", "champion", "mode"),
    [(task, True, "non_inferiority") for task in TASKS]
    + [("regression", False, "first"), ("binary", False, "first"), ("regression", True, "superiority")],
)
def test_each_gate_is_asked_about_what_the_material_says(task, champion, mode):
    material = read(task, champion)
    found = look(material, mode, 0.01)
    assert tuple(one.gate for one in found) == (*GATES, "groups")
    assert {one.gate: one for one in found if one.gate not in ("contract", "latency")} == by_hand(material, mode, 0.01)
    latency = next(one for one in found if one.gate == "latency")
    assert (latency.threshold, latency.verdict) == (500.0, PASS)
    told = f"3 columns in, 240 {task} answers out [candidate on present rows PASS"
    more = ", champion on present rows PASS, candidate on earlier rows PASS, champion on earlier rows PASS"
    assert found[0].words == f"{told}{more if champion else ''}]"


def test_without_a_level_of_its_own_quality_has_the_declared_one_and_without_groups_there_is_no_such_gate():
    material = read("regression")
    gates = material.spec.gates.model_copy(update={"groups": ()})
    found = look(replace(material, spec=material.spec.model_copy(update={"gates": gates})), "superiority")
    assert tuple(one.gate for one in found) == GATES
    assert found[2] == quality(pair(material, material.champion), "superiority")


def test_a_gap_in_the_rate_of_positives_is_told_as_one():
    material = read("binary")
    rated = material.candidate.predictions.assign(prediction=(material.slices["shop"] == "north").astype(int))
    made = replace(material, candidate=replace(material.candidate, predictions=rated))
    found = looking._groups(made)
    assert found == measured_groups(made, made.champion)
    assert "the gap in positive rate by shop grew by" in found.words


@pytest.mark.parametrize("task", TASKS)
def test_labels_are_held_to_what_the_champion_says_of_its_training_rows(task):
    found, wanted = looking._label_rows(read(task)), labelled(read(task))
    assert found.champion_training.tolist() == wanted.champion_training.tolist()
    assert found.champion_evaluation.tolist() == wanted.champion_evaluation.tolist()
    assert found.relabelled_losses.tolist() == wanted.relabelled_losses.tolist()
    assert (found.validated_loss, found.alpha, found.block_hours, found.seed) == (0.9, 0.06, 30, read(task).seed)


def test_known_candidates_are_judged_in_the_mode_of_the_judgement():
    material = read("regression")
    gates = material.spec.gates.model_copy(update={"margin": 5.0})
    made = replace(material, spec=material.spec.model_copy(update={"gates": gates}))
    found = {mode: look(made, mode, 0.05)[13] for mode in ("superiority", "non_inferiority")}
    assert found["superiority"].verdict is PASS
    words = "the quality gate passes a known-bad candidate (three times the reference's loss"
    assert found["non_inferiority"].words.startswith(words)


def test_a_level_that_is_missed_is_held_to_the_champion_within_the_margin():
    material = read("regression")
    problem = material.spec.problem
    success_at = problem.success.model_copy(update={"at_most": 0.1})
    spec = material.spec.model_copy(update={"problem": problem.model_copy(update={"success": success_at})})
    rows, gates = material.unseen, spec.gates
    for theirs in (material.champion.losses, material.candidate.losses * 0.96):
        found = looking._success(replace(material, spec=spec, champion=replace(material.champion, losses=theirs)))
        wanted = success(
            material.candidate.losses[rows], theirs[rows], material.event_time[rows], metric="mae", at_most=0.1,
            margin=gates.margin, alpha=gates.alpha, block_hours=gates.block_hours, seed=material.seed,
        )  # fmt: skip
        assert found == wanted
        assert "champion" in found.words


@pytest.mark.parametrize("task", TASKS)
def test_what_is_timed_is_the_candidates_answer_to_one_row(task):
    material = read(task)
    answer = looking._predict_one(material)(material.frames.eval_x.iloc[[7]]).frame
    pd.testing.assert_frame_equal(answer, material.candidate.predictions.iloc[[7]])


@pytest.mark.parametrize("champion", [True, False])
def test_the_self_test_is_given_dealt_predictions_and_what_others_say_of_known_candidates(champion, monkeypatch):
    """What it says of them is told in words that name neither: so what it is given is looked at."""
    material, heard = read("regression", champion), []
    monkeypatch.setattr(looking, "wrong_about_candidates", lambda *given: heard.append(given) or ["labels"])
    monkeypatch.setattr(looking, "self_test", lambda *given: given)
    bar = material.champion or material.baselines["linear"]
    main = pair(material, bar)
    judged, shuffled, *rest = looking._self_test(material, bar, main, "first")
    dealt = np.random.default_rng(material.seed).permutation(240)
    told = material.candidate.predictions["prediction"].to_numpy()[dealt]
    assert shuffled.tolist() == np.abs(told - material.frames.eval_y)[material.unseen].tolist()
    assert (judged is main, rest) == (True, ["first", material.spec.gates, ["labels"]])
    [(asked, answering)] = heard
    assert (asked is material, answering is bar) == (True, True)
