"""Candidates whose answer is known, to the letter: what is wrong with the bad, and that one fooled gate is found."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates import known
from retrain_pipeline.gates.compatibility import Seen
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.known import wrong_about_candidates
from retrain_pipeline.spec.escalate import Escalate
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.handmade import AS_OF
from retrain_pipeline_tests.gates.ruled import Chances, Rule, constant, made, without

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
DECIDING = {
    "contract": "contract", "fingerprint": "fingerprint", "reproducible": "reproduced", "groups": "groups",
    "documentation": "documentation", "guard": "guard", "escalation": "flipped", "robustness": "robustness",
}  # fmt: skip
"""Each of these gates, and the function that decides it."""
EVERYTHING = {
    "groups": ("shop",), "refits": 1, "documentation": True, "guard": "required", "escalate": Escalate(),
    "group_margin": 0.25, "block_hours": 4.0,
}  # fmt: skip


def asking(material, **gates):
    """Return material whose declaration asks for other gates."""
    spec = material.spec.model_copy(update={"gates": material.spec.gates.model_copy(update=gates)})
    manifest = SimpleNamespace(model="toy", version="v2", as_of=AS_OF, spec_digest="5" * 64)
    return replace(material, spec=spec, manifest=manifest)


@pytest.fixture
def case():
    """Material that asks for every gate, and the champion."""
    material, champion = made(lambda rows: rows["b"].fillna(1.0) + 1.0, without("a", 1.5))
    return asking(material, **EVERYTHING), champion


@pytest.fixture
def watched(monkeypatch):
    """Every deciding function, with what it is asked and says written down by its gate."""
    heard = {gate: [] for gate in DECIDING}

    def watch(gate, real):
        def decide(*given, **named):
            said = real(*given, **named)
            heard[gate].append((given, named, said))
            return said

        return decide

    for gate, name in DECIDING.items():
        monkeypatch.setattr(known, name, watch(gate, getattr(known, name)))
    return heard


def said(heard, gate):
    return [one.words for _, _, one in heard[gate]]


def test_gates_that_work_are_right_about_every_candidate_that_is_known(case, watched):
    assert wrong_about_candidates(*case) == []
    verdicts = {gate: [one.verdict for _, _, one in found] for gate, found in watched.items()}
    assert verdicts == {
        "contract": [FAIL, PASS], "fingerprint": [FAIL, PASS], "reproducible": [FAIL, PASS], "groups": [FAIL, PASS],
        "documentation": [FAIL, FAIL, FAIL, PASS], "escalation": [FAIL, PASS], "robustness": [PASS, FAIL],
        "guard": [INCONCLUSIVE] * 5 + [FAIL, PASS],
    }  # fmt: skip


def test_the_bad_are_bad_for_one_reason_each(case, watched):
    wrong_about_candidates(*case)
    assert "known needs gone, which the features table no longer has [" in said(watched, "contract")[0]
    assert said(watched, "contract")[1] == "1 columns in, 1 regression answers out [known on present rows PASS]"
    assert said(watched, "fingerprint")[1] == "loaded again, same answers ()"
    assert said(watched, "reproducible")[0].endswith("it is another model: answers: others")
    none, empty, elsewhere, _ = said(watched, "documentation")
    for bare in (none, elsewhere):
        assert bare.startswith("features changed since the champion (")
    assert "code" in none
    assert "history_periods" in none
    assert "code" not in elsewhere.partition(")")[0]
    assert empty.startswith("decisions/0001.md: ")
    assert "says why" not in empty
    manifest, version, collection, baseline, verdict, failed, good = said(watched, "guard")
    refused = "the guard evidence of entry 1 is refused: "
    assert manifest.startswith(f"{refused}it is of another manifest: {'0' * 40}, and this is {'1' * 40};")
    assert version.startswith(f"{refused}it is of another version: known, and this is v2;")
    assert collection.startswith(f"{refused}it is of another collection: {'0' * 40}, and this is ")
    words = "its baseline lasts until 2024-02-20 00:00, and the rollout may begin at 2024-02-19 00:00"
    assert baseline == f"{refused}{words}"
    assert verdict.startswith(f"{refused}it is of another verdict: FAIL, and this is PASS;")
    assert failed == good == "entry 1, baseline 2024-02-05 to 2024-02-19: known"


def test_groups_that_lie_one_and_the_margin_apart_are_the_bad_ones(case, watched):
    wrong_about_candidates(*case)
    assert [(one.statistic, one.threshold, one.n) for *_, one in watched["groups"]] == [
        (1.25, 0.25, 120),
        (0, 0.25, 120),
    ]
    measures, values = watched["groups"][0][0][:2]
    assert (values["shop"] == "one").tolist() == (measures["loss"][0] > 1.5).tolist()
    assert measures["loss"][1].tolist() == [1.0] * 120


def test_the_second_validator_is_asked_about_blocks_of_ten_rows_that_all_say_the_same(case, watched):
    wrong_about_candidates(*case)
    (bad, _, worse), (good, _, better) = watched["escalation"]
    for (own, theirs, moments), times in ((bad, 3.0), (good, 1 / 3)):
        assert own.tolist() == (theirs * times).tolist()
        assert theirs.tolist() == (1 + 0.1 * np.sin(np.arange(120))).tolist()
        assert moments.tolist() == pd.date_range("2024-01-01", periods=120, freq="24min", tz="UTC").tolist()
    assert "on 120 other rows in 12 blocks, better: " in worse.words
    assert (worse.statistic, better.statistic) == (1.0, 0.0004)


@pytest.mark.parametrize("gate", DECIDING)
@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_gate_that_says_the_same_of_everybody_is_wrong(case, monkeypatch, gate, verdict):
    same = GateResult(gate=gate, verdict=verdict, words="x", statistic=0.0)
    monkeypatch.setattr(known, DECIDING[gate], lambda *_, **__: same)
    assert wrong_about_candidates(*case) == [gate]


def test_all_gates_that_are_wrong_are_named_in_order(case, monkeypatch):
    for gate in DECIDING:
        same = GateResult(gate=gate, verdict=PASS, words="x", statistic=0.0)
        monkeypatch.setattr(known, DECIDING[gate], lambda *_, same=same, **__: same)
    assert wrong_about_candidates(*case) == sorted(DECIDING)


@pytest.mark.parametrize(
    ("gate", "at"), [("documentation", at) for at in range(3)] + [("guard", at) for at in range(6)]
)
def test_a_gate_that_one_bad_candidate_fools_is_wrong(case, monkeypatch, gate, at):
    real, asked = getattr(known, DECIDING[gate]), []

    def fooled(*given):
        asked.append(given)
        told = real(*given)
        return told.model_copy(update={"verdict": PASS, "threshold": None}) if len(asked) == at + 1 else told

    monkeypatch.setattr(known, DECIDING[gate], fooled)
    assert wrong_about_candidates(*case) == [gate]


def test_gates_that_nobody_asks_for_are_not_tried(case, monkeypatch):
    material, champion = case
    for gate in ("groups", "documentation", "guard", "escalation", "reproducible"):
        monkeypatch.setattr(known, DECIDING[gate], None)
    fewer = asking(material, groups=(), documentation=False, guard="none", escalate=None, refits=0)
    assert wrong_about_candidates(fewer, champion) == []


# --- robustness


def heard(watched):
    """Return what the candidates of robustness are, what they took and what came out."""
    return [(given[0].candidate, given[1], named, said) for given, named, said in watched["robustness"]]


def test_the_reference_as_its_own_candidate_takes_its_first_input_and_goes_wild_without_it(case, watched):
    material, champion = case
    wrong_about_candidates(material, champion)
    (good, against, named, fine), (bad, _, _, wild) = heard(watched)
    assert (good.name, good.takes, good.pipeline, against) == ("known", ("b",), champion.pipeline, champion)
    assert (bad.name, bad.takes, named) == ("known", ("b",), {"factor": 3.0})
    assert (fine.verdict, fine.statistic) == (PASS, 1.0)
    assert wild.verdict is FAIL
    assert wild.statistic > 1e5
    assert wild.words.startswith("2 perturbations; the worst is b missing")


def test_a_wild_answer_is_far_above_the_largest():
    answers = known._Fragile(Rule(constant(-4.0))).predict(pd.DataFrame({"a": [np.nan, np.nan], "b": [1.0, np.nan]}))
    assert answers.tolist() == [-4.0 + 1e6 * 5.0] * 2
    calm = known._Fragile(Rule(constant(-4.0))).predict(pd.DataFrame({"a": [np.nan, 1.0], "b": [1.0, np.nan]}))
    assert calm.tolist() == [-4.0, -4.0]


@pytest.mark.parametrize("rule", [Rule(constant("yes")), Rule(constant(1)), Chances(constant(0.5))])
def test_a_model_of_classes_gives_no_answer_at_all_without_an_input(rule):
    fragile = known._Fragile(rule)
    ask = getattr(fragile, "predict_proba", fragile.predict)
    whole, missing = pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"a": [np.nan, np.nan]})
    real = getattr(rule, "predict_proba", rule.predict)
    assert np.array_equal(ask(whole), real(whole))
    with pytest.raises(ValueError, match=r"^no answer without this input$"):
        ask(missing)
    assert getattr(fragile, "classes_", None) == getattr(rule, "classes_", None)
    assert fragile.named_steps is rule.named_steps


def test_without_a_reference_that_answers_robustness_has_no_verdict_that_could_be_wrong(case, monkeypatch):
    material, champion = case
    monkeypatch.setattr(known, "robustness", lambda *_, **__: 1 / 0)
    seen = replace(material, champion_seen=Seen("champion", None, pd.Timestamp("2030-01-01", tz="UTC")))
    mute = (None, replace(champion, losses=None), replace(champion, takes=()))
    for rows, reference in [(material, one) for one in mute] + [(seen, champion)]:
        assert wrong_about_candidates(rows, reference) == []


def test_a_reference_that_falls_silent_without_its_first_input_is_not_tried_further(case, watched):
    material, champion = case
    silent = replace(champion, pipeline=Rule(without("b", np.nan)))
    assert wrong_about_candidates(material, silent) == []
    assert [one.statistic for *_, one in watched["robustness"]] == [None]
