"""`retrain decide`, `decisions` and `review`, as a person runs them."""

import pytest
from typer.testing import CliRunner

from retrain_pipeline.cli import app, decide, places
from retrain_pipeline.records.settle import settle
from retrain_pipeline.spec.decision import read_decisions
from retrain_pipeline.spec.rationale_text import text_problems
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.spec.written import BECAUSE, write_decision

REASON = (
    "the newest weeks differ from those before, and a shallower tree with larger leaves follows them at less noise, as "
    "the leaderboards of three retrains in a row have shown"
)


@pytest.fixture
def at(retrain, world, tmp_path, monkeypatch):
    """Run commands over the world, its first decision whole, its declaration changed since the champion."""
    folder = world.declaration.folder
    for file in (folder / "decisions").glob("*.md"):
        file.unlink()
    more = "assumptions:\n  - {text: a, predicate: features.used contains a}\n"
    write_decision(folder, "0001-tree.md", covers=("features",), more=more)
    monkeypatch.setattr(places, "DEFS", folder.parent)
    (tmp_path / "policy").mkdir()
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    for name in ("RETRAIN_LEDGER_KEY", "RETRAIN_PERSON_KEY", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")

    def run(*arguments, fails=False):
        result = retrain(*arguments, "--home", world.home)
        assert (result.exit_code != 0) is fails, (result.output, result.exception)
        return " ".join(result.output.split())

    return run


def change(world, old="min_samples_leaf: 8", new="min_samples_leaf: 12"):
    file = world.declaration.folder / "defs.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.requirement("A1", "A2", "C33")
def test_a_decision_is_prefilled_with_what_changed_and_accepted_with_a_reason(at, world):
    change(world)
    told = at(
        "decide", "toy", "--because", REASON, "--option", "larger leaves", "--price", "small groups are seen less",
        "--accept", "team:toys", "--title", "Larger leaves",
    )  # fmt: skip
    assert "training.candidates.tree.params.min_samples_leaf`: `8` → `12`" in told
    assert "is accepted" in told
    _, made = read_decisions(world.declaration.folder)[0]
    assert (made.file[:4], made.front.id, made.front.subject.kind) == ("0002", "toy-0002", "architecture")
    assert made.front.subject.covers == ("training.candidates.tree.params.min_samples_leaf",)
    assert text_problems(made) == []
    (ref,) = made.front.evidence
    assert world.stores.artifacts.get_json(ref.id)["validated_loss"]["value"] == pytest.approx(ref.value, rel=1e-3)
    # what is covered is not asked for again
    change(world, "evaluation_periods: 2", "evaluation_periods: 3")
    told = at("decide", "toy", "--because", REASON)
    assert "min_samples_leaf" not in told
    assert "0003-training-evaluation-periods.md is proposed" in told


@pytest.mark.fault("G1")
def test_a_decision_without_a_reason_is_not_accepted_and_nothing_is_written(at, world):
    change(world)
    for more, words in (
        (("--because", "better"), "distinct words"),
        (("--because", REASON), "a place to fill in"),
        (("--because", REASON, "--kind", "magic", "--option", "o", "--price", "p"), "subject.kind"),
        (("--because", f"{REASON} \u202e", "--option", "o", "--price", "p"), "RIGHT-TO-LEFT OVERRIDE"),
    ):
        assert words in at("decide", "toy", *more, "--accept", "team:toys", fails=True)
    assert len(list((world.declaration.folder / "decisions").glob("*.md"))) == 1
    assert "no terminal" in at("decide", "toy", fails=True)


@pytest.mark.requirement("A37")
@pytest.mark.fault("G13")
def test_a_change_of_mind_is_written_on_both_sides(at, world):
    settle(world.stores, world.declaration, "test")
    more = ("--option", "larger leaves", "--price", "small groups are seen less", "--accept", "ann")
    reason = ("--because", REASON, "--supersedes")
    assert "there is no such decision" in at("decide", "toy", *more, *reason, "toy-0009", fails=True)
    at("decide", "toy", *more, *reason, "toy-0001")
    settle(world.stores, world.declaration, "test")
    old, new = read_decisions(world.declaration.folder)[0]
    assert (old.front.status, old.front.superseded_by, new.front.supersedes) == ("superseded", "toy-0002", "toy-0001")
    at("decisions", "toy")
    third = "a third change of mind has to begin from what serves now, which the second one put in its place last month"
    again = ("--because", third, "--supersedes", "toy-0001")
    assert "but it is superseded" in at("decide", "toy", *more, *again, fails=True)


@pytest.mark.requirement("A1")
def test_at_a_terminal_it_asks_and_opens_the_editor(at, world, monkeypatch, tmp_path, retrain):
    change(world)
    editor = tmp_path / "editor.sh"
    editor.write_text(f'#!/bin/sh\nsed -i \'s/^\\* A tree$/* A bush/\' "$1"\nwc -l < "$1" > {tmp_path}/seen\n')
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr(decide, "_at_terminal", lambda: True)
    answers = [REASON, "Larger leaves", "A tree", "noise is averaged out", "small groups are seen less", ""]
    arguments = ["decide", "toy", "--accept", "person:ann", "--home", str(world.home)]
    told = CliRunner().invoke(app, arguments, input="\n".join(answers))
    assert told.exit_code == 0, told.output
    assert "is accepted" in told.output
    made = read_decisions(world.declaration.folder)[0][1]
    assert int((tmp_path / "seen").read_text()) > 20
    assert "A bush" in made.sections["Considered Options"]
    assert made.front.decision_makers == ("person:ann",)


@pytest.mark.fault("S7")
def test_what_is_said_is_text_and_never_a_template(at, world):
    change(world)
    hostile = "{{7*7}} {% for x in y %} <script>alert(1)</script> ---"
    at("decide", "toy", "--because", f"{REASON} {hostile}", "--title", hostile, "--option", hostile)
    made = read_decisions(world.declaration.folder)[0][1]
    assert made.title == hostile
    assert hostile in made.sections["Decision Outcome"]


@pytest.mark.requirement("A8", "A13", "A30")
def test_decisions_are_listed_with_what_they_rest_on_and_contradictions_fail(at, world):
    folder = world.declaration.folder
    settle(world.stores, world.declaration, "test")
    told = at("decisions", "toy")
    assert "toy-0001 │ A tree │ architecture │ accepted │ 2025-01-01 │ PASS" in told
    assert "A tree" not in at("decisions", "toy", "--kind", "optimizer")
    assert "problem: How much a toy weighs" in at("decisions", "toy", "--version", versions(world)[1])
    write_decision(folder, "0002-b.md", name="toy-0002", because=REASON, more="supersedes: toy-0001\n")
    assert "does not say superseded_by: toy-0002" in at("decisions", "toy", fails=True)


def test_the_names_of_predicates_are_listed(retrain):
    told = retrain("decisions", "--names")
    assert told.exit_code == 0
    assert "champion.validated_loss" in told.output
    assert retrain("decisions").exit_code == 1


@pytest.mark.requirement("A35", "A36")
def test_a_review_is_closed_by_somebody_else_with_a_dissent(at, world):
    folder = world.declaration.folder
    more = 'decision-makers: ["person:tim"]\nassumptions:\n  - {text: many rows, predicate: data.rows >= 1000000}\n'
    write_decision(folder, "0001-tree.md", because=f"{BECAUSE} too", more=more)
    settle(world.stores, world.declaration, "test")
    assert "open review of toy-0001" in at("decisions", "toy")
    found = ("--outcome", "keep", "--words", "the rows were never what made it right")
    assert "person:tim decided it" in at("review", "toy", *found, "--by", "Tim", fails=True)
    told = at("review", "toy", *found, "--by", "person:ann", "--dissent", "I would ask for more rows")
    assert "keep, reviewed by person:ann" in told
    assert "open review" not in at("decisions", "toy")
    assert "refused" in at("history", "toy")
