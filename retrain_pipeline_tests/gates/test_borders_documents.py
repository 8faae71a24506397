"""What evidence and decision files come to, to the letter: formats, policies, and what is said of a change."""

from retrain_pipeline.gates.coverage import changed_fields, covers, leaves, shown
from retrain_pipeline.gates.documentation import documentation
from retrain_pipeline.gates.evidence import Anchored, Escalation, GateResult, evidence_schema, policy_document
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import write_folder
from retrain_pipeline_tests.spec.written import write_decision

# --- evidence


def test_the_format_of_evidence_is_that_of_what_is_in_it():
    looked = Escalation(looked=(), rows=None, second=None)
    assert evidence_schema(None, None) == "evidence/2"
    assert evidence_schema(None, looked) == "evidence/3"
    assert evidence_schema("v1", None) == evidence_schema("v1", looked) == "evidence/4"
    beside = GateResult(gate="anchor", verdict=Verdict.FAIL, words="behind")
    found = Anchored(candidate=beside, champion=beside)
    assert evidence_schema("v1", None, found) == evidence_schema("v1", looked, found) == "evidence/5"


def test_a_policy_is_what_is_declared_of_gates_success_and_rollout(tmp_path):
    spec = write_folder(tmp_path).spec
    found = policy_document(spec)
    assert sorted(found) == ["gates", "rollout", "success"]
    assert found["success"] == {"metric": "mae", "at_most": 5}
    assert (found["gates"]["margin"], found["gates"]["slices"]) == (0.08, ["shop"])
    assert found["rollout"]["approval"] == spec.rollout.approval


# --- fields and the decisions that cover them


def test_a_path_is_the_names_from_the_root_and_an_empty_mapping_is_a_value():
    assert list(leaves({"b": {"y": 1, "x": {}}, "a": [2]})) == [("a", [2]), ("b.x", {}), ("b.y", 1)]
    assert list(leaves({7: {8: 9}})) == [("7.8", 9)]
    assert changed_fields({"data": {1: "x"}}, {"data": {1: "y"}}, features_changed=False) == ["data.1"]


def test_a_kind_answers_for_its_sections_and_for_nothing_that_is_none(tmp_path):
    told = write_decision(tmp_path, "0001-a.md", kind="data")
    assert [covers(told, path) for path in ("data.key", "signals", "gates.alpha", "report.every")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_eight_paths_are_told_and_the_rest_is_counted():
    assert shown(list("abcdefgh")) == "a, b, c, d, e, f, g, h"
    assert shown(list("abcdefghij")) == "a, b, c, d, e, f, g, h and 2 more"


# --- decision files


def judged(folder, before, changed=(), *model):
    found = documentation(folder, before, changed, *model)
    same = GateResult(
        gate="documentation", verdict=found.verdict, statistic=found.statistic, threshold=0.0, n=found.n,
        words=found.words,
    )  # fmt: skip
    assert found == same
    return found.verdict, found.statistic, found.n, found.words


def test_a_first_model_without_a_decision_is_told_what_to_do(tmp_path):
    words = "no decision says why the model is as it is: write one and accept it"
    assert judged(tmp_path, None) == (Verdict.FAIL, 1.0, 0, words)
    write_decision(tmp_path, "0001-a.md", status="proposed")
    assert judged(tmp_path, None) == (Verdict.FAIL, 1.0, 1, words)


def test_what_changed_and_what_is_new_is_said(tmp_path):
    old = write_decision(tmp_path, "0001-a.md")
    assert judged(tmp_path, {old.file: old.digest}) == (
        Verdict.PASS, 0.0, 1, "changed since the champion: nothing; new decisions: 0",
    )  # fmt: skip
    changed = ["training.seed", "training.budget"]
    assert judged(tmp_path, {}, changed) == (
        Verdict.PASS, 0.0, 1, "changed since the champion: training.budget, training.seed; new decisions: 1",
    )  # fmt: skip


def test_what_nobody_explains_is_told_by_section_with_the_kinds_that_would(tmp_path):
    def unexplained(section, kinds, model="MODEL"):
        return (
            f"{section}, and no new accepted decision of kind {kinds}, or whose subject.covers lists it, says why: "
            f"retrain decide {model}"
        )

    gates = unexplained("gates changed since the champion", "threshold")
    training = unexplained("training changed since the champion (training.budget, training.seed)",
                           "architecture or optimizer")  # fmt: skip
    changed = ["training.seed", "gates", "training.budget"]
    assert judged(tmp_path, {}, changed) == (Verdict.FAIL, 2.0, 0, f"{gates}; {training}")
    mine = unexplained("gates changed since the champion", "threshold", "toy")
    assert judged(tmp_path, {}, ["gates"], "toy") == (Verdict.FAIL, 1.0, 0, mine)


def test_long_words_of_a_change_are_cut_at_two_thousand(tmp_path):
    assert len(judged(tmp_path, {}, [f"gates.{'x' * 900}{n}" for n in range(4)])[3]) == 2000
