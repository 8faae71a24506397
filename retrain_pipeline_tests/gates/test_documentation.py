"""The reason for what changed: decision files held against the declaration and the code of the champion."""

import pytest

from retrain_pipeline.gates.documentation import changed_sections, decision_digests, documentation
from retrain_pipeline.verdicts import Verdict

pytestmark = pytest.mark.requirement("D9", "D29")


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a decision file, and the model's folder."""
    (tmp_path / "decisions").mkdir()

    def one(name, kind="architecture", status="accepted", text=None):
        matter = f"---\nid: {name}\nstatus: {status}\nsubject: {{kind: {kind}}}\n---\n# Why\n\nBecause.\n"
        (tmp_path / "decisions" / f"{name}.md").write_text(text or matter)

    return one, tmp_path


def test_a_first_model_needs_one_accepted_decision(write):
    one, folder = write
    assert documentation(folder, None, []).verdict is Verdict.FAIL
    one("0001-a", status="proposed")
    assert documentation(folder, None, []).verdict is Verdict.FAIL
    one("0002-b")
    assert documentation(folder, None, []).verdict is Verdict.PASS


def test_a_change_needs_a_new_decision_of_its_kind(write):
    one, folder = write
    one("0001-threshold", "threshold")
    before = decision_digests(folder)
    assert documentation(folder, before, []).verdict is Verdict.PASS
    found = documentation(folder, before, ["gates"])
    assert found.verdict is Verdict.FAIL
    assert "gates changed" in found.words
    assert "threshold" in found.words
    one("0002-tree", "architecture")
    assert documentation(folder, before, ["gates"]).verdict is Verdict.FAIL
    one("0003-margin", "threshold", status="proposed")
    assert documentation(folder, before, ["gates"]).verdict is Verdict.FAIL
    one("0003-margin", "threshold")
    assert documentation(folder, before, ["gates"]).verdict is Verdict.PASS
    assert documentation(folder, before, ["gates", "features"]).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# A tree\n\nBecause.\n", "no front matter"),
        ("---\nid: x\n# never closed\n", "no front matter"),
        ("---\nid: x\n---\n", "without a status"),
        ("---\nstatus: accepted\n---\n", "subject.kind"),
        ("---\nstatus: accepted\nstatus: proposed\n---\n", "status"),
        ("---\n- accepted\n---\n", "status"),
    ],
)
def test_a_decision_that_does_not_read_stops_the_release_and_is_named(write, text, words):
    one, folder = write
    one("0001-good")
    one("0002-bad", text=text)
    found = documentation(folder, None, [])
    assert found.verdict is Verdict.FAIL
    assert "decisions/0002-bad.md" in found.words
    assert words in found.words


def test_what_changed_is_told_by_section():
    old = {"name": "toy", "report": {"every": 1}, "gates": {"alpha": 0.05}, "training": {"seed": 0}}
    new = {"name": "toy", "report": {"every": 2}, "gates": {"alpha": 0.05}, "training": {"seed": 1}}
    assert changed_sections(old, new, features_changed=False) == ["training"]
    assert changed_sections(old, old, features_changed=True) == ["features"]


def test_a_changed_declaration_without_a_decision_is_not_released_and_with_one_it_is(world):
    folder = world.declaration.folder
    path = folder / "defs.yaml"
    for file in (folder / "decisions").glob("*.md"):
        file.unlink()
    (folder / "decisions" / "0001-tree.md").write_text("---\nstatus: accepted\nsubject: {kind: architecture}\n---\n")
    path.write_text(path.read_text().replace("gates: {", "gates: {documentation: true, refits: 0, "))
    declared = world.again()
    from retrain_pipeline_tests.gates.world import versions

    champion = versions(world)[0]
    version = declared.build(8, parent=champion)
    found = declared.judge(version)[0].result("documentation")
    assert found.verdict is Verdict.FAIL
    assert "gates changed" in found.words
    (folder / "decisions" / "0002-gates.md").write_text("---\nstatus: accepted\nsubject: {kind: threshold}\n---\n")
    evidence, _ = declared.judge(version)
    assert evidence.result("documentation").verdict is Verdict.PASS, evidence.result("documentation").words
    assert set(evidence.decisions) == {"0001-tree.md", "0002-gates.md"}
