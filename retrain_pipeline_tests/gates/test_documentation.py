"""The reason for what changed: decision files held against the declaration and the code of the champion."""

import random

import pytest

from retrain_pipeline.gates.coverage import changed_fields
from retrain_pipeline.gates.documentation import decision_digests, documentation
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.spec.written import decision_text

pytestmark = pytest.mark.requirement("D9", "D29")


WORDS = [
    "lemons",
    "harbours",
    "slates",
    "engines",
    "rivers",
    "candles",
    "orchards",
    "violins",
    "bridges",
    "meadows",
    "anchors",
    "barrels",
    "copper",
    "drums",
    "embers",
    "feathers",
    "gardens",
    "hammers",
    "islands",
    "jackets",
    "kettles",
    "lanterns",
    "marbles",
    "needles",
    "otters",
    "pillows",
    "quarries",
    "ribbons",
    "saddles",
]


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a decision file, and the model's folder."""
    (tmp_path / "decisions").mkdir()

    def one(name, kind="architecture", status="accepted", text=None, **parts):
        because = " ".join(random.Random(name).sample(WORDS, 14))
        parts = {"because": because} | parts
        written = text or decision_text(name, kind, status, **parts)
        (tmp_path / "decisions" / f"{name}.md").write_text(written)

    return one, tmp_path


def test_a_first_model_needs_one_accepted_decision(write):
    one, folder = write
    assert documentation(folder, None, []).verdict is Verdict.FAIL
    one("0001-a", status="proposed")
    assert documentation(folder, None, []).verdict is Verdict.FAIL
    one("0002-b")
    found = documentation(folder, None, [])
    assert found.verdict is Verdict.PASS
    # a decision on the architecture answers for the training; of what nobody spoke is told, and stops nothing
    silent = "data, features, gates, problem, rollout, signals, trigger"
    assert f"nothing is said of {silent}" in found.words, found.words
    one("0003-c", "threshold", covers=("gates.escalate.share",))
    assert f"nothing is said of {silent.replace(', gates', '')}" in documentation(folder, None, []).words
    every = [f"{section}.x" for section in silent.split(", ")]
    one("0004-d", "threshold", covers=every)
    assert documentation(folder, None, []).words == "3 accepted decisions"


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


def test_what_changed_is_told_by_field():
    old = {"name": "toy", "report": {"every": 1}, "gates": {"alpha": 0.05}, "training": {"seed": 0, "budget": {"s": 1}}}
    new = {"name": "toy", "report": {"every": 2}, "gates": {"alpha": 0.05}, "training": {"seed": 1, "budget": {"s": 1}}}
    assert changed_fields(old, new, features_changed=False) == ["training.seed"]
    assert changed_fields(old, old, features_changed=True) == ["features.code"]
    assert changed_fields(old, old, features_changed=False) == []


@pytest.mark.requirement("A2")
@pytest.mark.parametrize(
    ("before", "now", "paths"),
    [
        ({"c": {"ridge": {"alpha": 1}}}, {"c": {}}, ["training.c.ridge.alpha"]),
        ({"c": {}}, {"c": {"ridge": {"alpha": 1}}}, ["training.c.ridge.alpha"]),
        ({"w": [1, 2]}, {"w": [2, 1]}, ["training.w"]),
        ({"w": None}, {}, ["training.w"]),
        ({"w": 1}, {"w": {"x": 1}}, ["training.w.x"]),
    ],
)
def test_what_came_and_what_went_has_a_path(before, now, paths):
    assert changed_fields({"training": before}, {"training": now}, features_changed=False) == paths


@pytest.mark.requirement("A2")
def test_a_field_is_covered_by_a_decision_that_lists_it_or_one_above_it(write):
    one, folder = write
    changed = ["training.candidates.tree.params.depth", "training.seed"]
    one("0001-depth", covers=("training.candidates.tree.params",))
    found = documentation(folder, {}, changed, "toy")
    assert found.verdict is Verdict.FAIL
    assert "training changed since the champion (training.seed)" in found.words
    assert "depth" not in found.words
    assert "retrain decide toy" in found.words
    one("0002-seed", "data", covers=("training.seed",))
    assert documentation(folder, {}, changed).verdict is Verdict.PASS
    # the beginning of a word is no path above it, and a list means that nothing else is covered
    one("0002-seed", "architecture", covers=("training.see",))
    assert documentation(folder, {}, changed).verdict is Verdict.FAIL


@pytest.mark.fault("G1")
@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"because": "TODO"}, "TODO"),
        ({"because": "it is better"}, "distinct words"),
        ({"body": "# Why\n\nBecause.\n"}, "section 'Decision Outcome' is missing"),
    ],
)
def test_a_decision_that_gives_no_reason_does_not_count(write, parts, words):
    one, folder = write
    one("0001-a", **parts)
    for before, changed in ((None, []), ({}, ["training.seed"])):
        found = documentation(folder, before, changed)
        assert found.verdict is Verdict.FAIL
        assert words in found.words
    one("0001-a", status="proposed", **parts)
    one("0002-b")
    assert documentation(folder, None, []).verdict is Verdict.PASS


@pytest.mark.fault("G1")
def test_a_reason_that_is_copied_from_an_earlier_decision_stops_the_release(write):
    one, folder = write
    same = "labels of the last season say little about the next one, so we keep the window short and learn again often"
    one("0001-a", because=same)
    before = decision_digests(folder)
    one("0002-b", because=same + " now")
    found = documentation(folder, before, ["training.seed"])
    assert found.verdict is Verdict.FAIL
    assert "0001-a.md" in found.words
    one("0002-b", because=same, more="unchanged_because: the season is the same\n")
    assert documentation(folder, before, ["training.seed"]).verdict is Verdict.PASS


def test_a_changed_declaration_without_a_decision_is_not_released_and_with_one_it_is(world):
    folder = world.declaration.folder
    path = folder / "defs.yaml"
    for file in (folder / "decisions").glob("*.md"):
        file.unlink()
    (folder / "decisions" / "0001-tree.md").write_text(decision_text())
    path.write_text(path.read_text().replace("gates: {", "gates: {documentation: true, refits: 0, "))
    declared = world.again()
    from retrain_pipeline_tests.gates.world import versions

    champion = versions(world)[0]
    version = declared.build(8, parent=champion)
    found = declared.judge(version)[0].result("documentation")
    assert found.verdict is Verdict.FAIL
    assert "gates changed" in found.words
    assert "gates.documentation, gates.refits" in found.words
    because = "a release that nobody can explain later costs more than the hour that it takes to write down why it came"
    (folder / "decisions" / "0002-gates.md").write_text(decision_text("toy-0002", "threshold", because=because))
    evidence, _ = declared.judge(version)
    assert evidence.result("documentation").verdict is Verdict.PASS, evidence.result("documentation").words
    assert set(evidence.decisions) == {"0001-tree.md", "0002-gates.md"}
