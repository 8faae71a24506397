"""Decision files: what reads, what is refused and in which words, and when a text is a reason."""

from pathlib import Path

import pytest

from retrain_pipeline.gates.coverage import changed_fields, uncovered
from retrain_pipeline.records.decisions import graph_problems
from retrain_pipeline.spec.decision import DecisionRefused, read_decision, read_decisions
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline.spec.lookalikes import lookalikes
from retrain_pipeline.spec.rationale_text import (
    accepted_problems,
    because_of,
    options_of,
    text_problems,
    text_verdict,
    unnamed_metric,
)
from retrain_pipeline.spec.template import scaffold
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.spec.written import BECAUSE, BODY, decision_text, write_decision

SHIPPED = [
    Path(__file__).parents[2] / "retrain_pipeline/defs/models/lending",
    Path(__file__).parents[1] / "e2e/models/bike_demand",
    Path(__file__).parents[1] / "e2e/models/electricity",
]


def test_a_whole_decision_reads_and_its_text_is_a_reason(tmp_path):
    decision = write_decision(tmp_path, "0001-tree.md")
    assert decision.title == "A tree"
    assert because_of(decision) == f"{BECAUSE}."
    assert options_of(decision) == ["A tree", "A straight line"]
    assert text_problems(decision) == []
    assert text_verdict(decision) is Verdict.PASS
    assert text_verdict(write_decision(tmp_path, "0002.md", status="proposed")) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("review_by: 2025", "reviewby: 2025", "nearest: 'review_by'"),
        ("review_by: 2025-01-01\n", "", "without a review_by"),
        ("schema: 1", "schema: 2", "schema: "),
        ("status: accepted", "status: done", "status: "),
        ("id: toy-0001", "id: Toy 1", "id: "),
        ("date: 2024-01-01", "date: soon", "date: "),
        ('decision-makers: ["team:toys"]\n', "", "names who accepted it"),
        ("review_by: 2025", "review_by: 2023", "before the decision's own date"),
        ("---\nid", "id", "no front matter"),
        ("review_by: 2025-01-01\n", "review_by: 2025-01-01\nsupersedes: toy-0001\n", "does not supersede itself"),
        ("### Edge Cases", "### Consequences", "there twice"),
    ],
)
def test_a_file_that_is_no_decision_is_refused_with_place_and_words(tmp_path, old, new, words):
    text = decision_text()
    assert old in text
    file = tmp_path / "0001.md"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(DecisionRefused) as caught:
        read_decision(file)
    assert words in str(caught.value)
    assert "decisions/0001.md" in str(caught.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("anticipated_effects: [{metric: mae, direction: up, range: [-2, -1]}]\n", "nothing of the direction up"),
        ("anticipated_effects: [{metric: mae, direction: same, range: [2, 1]}]\n", "above the upper end"),
        ("assumptions: [{text: a, predicate: champion.validatedloss < 1}]\n", "nearest: 'champion.validated_loss'"),
        ("assumptions: [{text: a, predicate: import os}]\n", "expected a name"),
        ("evidence: [{id: x}]\n", "without a evidence.0.pointer"),
    ],
)
def test_what_stands_in_the_front_matter_is_typed(tmp_path, more, words):
    with pytest.raises(DecisionRefused) as caught:
        write_decision(tmp_path, "0001.md", more=more)
    assert words in str(caught.value)


@pytest.mark.fault("I33")
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("tr\u200bee", "ZERO WIDTH SPACE"),
        ("tr\u202eee", "RIGHT-TO-LEFT OVERRIDE"),
        ("tre\u0065\u0301", "not NFC"),
        ("tr\u0435e", "mixes alphabets"),
        ("\ufefftree", "ZERO WIDTH NO-BREAK SPACE"),
        ("tree\x07", "nobody sees"),
    ],
)
@pytest.mark.parametrize("place", ["title", "because"])
def test_characters_that_deceive_are_refused_wherever_they_stand(tmp_path, bad, words, place):
    with pytest.raises(DecisionRefused) as caught:
        write_decision(tmp_path, "0001.md", **{place: f"{BECAUSE} {bad}"})
    assert words in str(caught.value)


@pytest.mark.fault("I33")
@pytest.mark.parametrize(("spelled", "words"), [(r"tr\u200bee", "ZERO WIDTH"), (r"tr\u0435e", "mixes alphabets")])
def test_characters_that_deceive_are_refused_where_yaml_spells_them_by_number(tmp_path, spelled, words):
    with pytest.raises(DecisionRefused) as caught:
        write_decision(tmp_path, "0001.md", more=f'model_type: "{spelled}"\n')
    assert words in str(caught.value)


def test_words_of_other_alphabets_are_words():
    assert list(lookalikes("Die Wahrscheinlichkeit μ, κόστος, цена, 価格: naïve")) == []


def test_line_ends_of_another_system_are_the_same_decision(tmp_path):
    unix = write_decision(tmp_path, "0001.md")
    file = tmp_path / "decisions" / "0001.md"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_decision(file).frozen_digest == unix.frozen_digest


def test_a_heading_inside_code_is_code(tmp_path):
    body = BODY.format(title="A tree", because=BECAUSE).replace("How heavy", "```\n## Decision Outcome\n```\nHow heavy")
    assert text_problems(write_decision(tmp_path, "0001.md", body=body)) == []


def test_of_two_files_with_one_id_the_second_is_refused(tmp_path):
    write_decision(tmp_path, "0001-a.md")
    write_decision(tmp_path, "0002-b.md")
    (tmp_path / "decisions" / "0003-c.md").write_text("nothing")
    found, refused = read_decisions(tmp_path)
    assert [one.file for one in found] == ["0001-a.md"]
    assert "id 'toy-0001' is that of 0001-a.md" in str(refused[0])
    assert "0003-c.md" in str(refused[1])


@pytest.mark.fault("G1", "S7")
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("* A straight line\n", "", "fewer than two"),
        ("* Bad, because a tree", "* Also, a tree", "no price"),
        ("How heavy is a toy, given its size, so that nobody pays too much postage?", "", "missing or empty"),
        ("How heavy is a toy", "TODO", "a place to fill in"),
        ("How heavy is a toy", "[More Information Needed]", "a place to fill in"),
        ("How heavy is a toy", "lorem ipsum", "a place to fill in"),
        ("How heavy is a toy", "How heavy is …", "a place to fill in"),
        ("How heavy is a toy, given its size, so that nobody pays too much postage?", "n/a", "n/a without a reason"),
        (BECAUSE, "trees trees trees are best and best", "distinct words"),
        ("Chosen option: a tree, because ", "We took the tree: ", "no 'Chosen option: …, because …'"),
        ("# A tree\n", "", "no title"),
    ],
)
def test_a_text_that_gives_no_reason_is_named(tmp_path, old, new, words):
    body = BODY.format(title="A tree", because=BECAUSE)
    assert old in body
    decision = write_decision(tmp_path, "0001.md", body=body.replace(old, new, 1))
    assert any(words in one for one in text_problems(decision)), text_problems(decision)
    assert text_verdict(decision) is Verdict.FAIL
    assert accepted_problems([decision]).keys() == {"0001.md"}


@pytest.mark.requirement("A28", "B7")
@pytest.mark.parametrize(("kind", "section"), [("optimizer", "How It Is Tuned"), ("threshold", "Edge Cases")])
def test_kinds_have_sections_of_their_own(tmp_path, kind, section):
    body = BODY.format(title="A tree", because=BECAUSE).replace(f"### {section}", "### Something")
    assert any(section in one for one in text_problems(write_decision(tmp_path, "0001.md", kind=kind, body=body)))
    assert text_problems(write_decision(tmp_path, "0001.md", kind="architecture", body=body)) == []


@pytest.mark.fault("G1")
def test_a_copied_because_is_named_unless_it_says_why(tmp_path):
    first = write_decision(tmp_path, "0001.md")
    second = write_decision(tmp_path, "0002.md", name="toy-0002", because=f"{BECAUSE}, too")
    assert list(accepted_problems([first, second])) == ["0002.md"]
    more = "unchanged_because: the corner is where it was\n"
    third = write_decision(tmp_path, "0003.md", name="toy-0003", more=more)
    assert list(accepted_problems([first, third])) == []


@pytest.mark.fault("G1")
def test_the_decision_of_a_new_model_reads_and_is_no_reason_yet(tmp_path):
    scaffold(tmp_path / "churn", "churn")
    ((made,), refused) = read_decisions(tmp_path / "churn")
    assert refused == []
    assert made.front.status == "proposed"
    assert any("a place to fill in" in words for words in text_problems(made))


@pytest.mark.requirement("A9", "A24")
@pytest.mark.parametrize("folder", SHIPPED, ids=lambda one: one.name)
def test_the_shipped_decisions_are_what_we_ask_of_others(folder):
    found, refused = read_decisions(folder)
    assert refused == []
    assert accepted_problems(found) == {}
    assert graph_problems(found) == []
    assert all(one.accepted for one in found)
    metric = read_declaration(folder).spec.problem.business_metric.name
    assert [words for one in found for words in unnamed_metric(one, metric)] == []
    assert unnamed_metric(found[0], "another") != []


@pytest.mark.requirement("A2", "A13", "B7")
@pytest.mark.parametrize("folder", SHIPPED, ids=lambda one: one.name)
def test_every_field_that_the_shipped_models_declare_has_a_decision(folder):
    declared = read_declaration(folder).spec.model_dump(mode="json")
    paths = changed_fields({}, declared, features_changed=True)
    assert len(paths) > 40
    found, _ = read_decisions(folder)
    assert uncovered(paths, found) == []
    assert {"architecture", "optimizer", "feature", "data", "threshold"} <= {one.front.subject.kind for one in found}
