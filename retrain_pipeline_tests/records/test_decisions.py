"""Decisions on record: entered once, frozen once accepted, one graph without contradictions."""

import pytest

from retrain_pipeline.alerts import raise_alerts
from retrain_pipeline.canonical import sha256
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.records.decay import same_rounded
from retrain_pipeline.records.decisions import (
    chain,
    check_decisions,
    graph_problems,
    registered,
    stale_citations,
)
from retrain_pipeline.records.effects import Observed, score
from retrain_pipeline.records.kinds.decision import DecisionCheck, DecisionRecord, EffectScore
from retrain_pipeline.records.kinds.review import Review
from retrain_pipeline.records.record import records
from retrain_pipeline.records.reviews import ReviewRefused, close_reviews, open_reviews
from retrain_pipeline.records.settle import settle
from retrain_pipeline.spec.decision import Effect
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.spec.written import BECAUSE, write_decision

OTHER = "the post weighs in steps, so that small errors cost nothing, and a rounded answer is as good as an exact one"


@pytest.fixture
def folder(world):
    """The model's folder with one whole decision."""
    folder = world.declaration.folder
    for file in (folder / "decisions").glob("*.md"):
        file.unlink()
    write_decision(folder, "0001-tree.md")
    return folder


def settled(world):
    settle(world.stores, world.declaration, "test")
    return check_decisions(world.stores, world.declaration)


def of_kind(world, kind):
    return [one.read(kind) for one in records(world.stores, world.model, kind.KIND)]


@pytest.mark.requirement("A1", "A37")
def test_a_decision_is_entered_once_with_its_bytes(world, folder):
    found = settled(world)
    assert found.verdict is Verdict.PASS
    (record,) = of_kind(world, DecisionRecord)
    data = (folder / "decisions" / "0001-tree.md").read_bytes()
    assert world.stores.artifacts.get(record.text) == data
    assert (record.subject, record.text, record.front.status) == ("toy-0001", sha256(data), "accepted")
    head = world.stores.ledger.head()
    settled(world)
    assert world.stores.ledger.head() == head


def test_no_decisions_are_no_pass(world, folder):
    (folder / "decisions" / "0001-tree.md").unlink()
    assert settled(world).verdict is Verdict.INCONCLUSIVE


@pytest.mark.requirement("A37")
@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"because": OTHER}, "its text was changed after it was accepted"),
        ({"kind": "data"}, "its subject changed after it was accepted"),
        ({"more": "review_by: 2029-01-01\n"}, "its review_by changed after it was accepted"),
        ({"status": "proposed"}, "only proposed again"),
        ({"status": "proposed", "because": OTHER}, "its text was changed after it was accepted"),
    ],
)
def test_an_accepted_decision_that_is_edited_is_named_and_not_entered(world, folder, parts, words):
    settled(world)
    write_decision(folder, "0001-tree.md", **parts)
    found = settled(world)
    assert found.verdict is Verdict.FAIL
    assert words in found.words
    assert "0001-tree.md" in found.words
    assert len(of_kind(world, DecisionRecord)) == 1
    write_decision(folder, "0001-tree.md")
    assert settled(world).verdict is Verdict.PASS


def test_a_proposed_decision_may_change_and_each_state_is_kept(world, folder):
    write_decision(folder, "0002.md", name="toy-0002", status="proposed", because=OTHER)
    settled(world)
    write_decision(folder, "0002.md", name="toy-0002", status="proposed", because=f"{OTHER}, always")
    settled(world)
    write_decision(folder, "0002.md", name="toy-0002", because=f"{OTHER}, always")
    assert settled(world).verdict is Verdict.PASS
    before = [one for one in of_kind(world, DecisionRecord) if one.subject == "toy-0002"]
    assert [one.front.status for one in before] == ["proposed", "proposed", "accepted"]
    # back and forth between two states is not lost, though the files are the same
    write_decision(folder, "0002.md", name="toy-0002", status="deprecated", because=f"{OTHER}, always")
    settled(world)
    write_decision(folder, "0002.md", name="toy-0002", because=f"{OTHER}, always")
    settled(world)
    assert registered(world.stores, "toy")["toy-0002"].record.front.status == "accepted"


@pytest.mark.requirement("A37")
def test_a_decision_on_record_whose_file_is_gone_is_named(world, folder):
    write_decision(folder, "0002.md", name="toy-0002", because=OTHER)
    settled(world)
    (folder / "decisions" / "0002.md").unlink()
    found = settled(world)
    assert found.verdict is Verdict.FAIL
    assert "toy-0002 is on record and its file is gone" in found.words


def superseding(folder, first="", second="", **parts):
    one = write_decision(
        folder, "0001-tree.md", status="superseded", more=first or "superseded_by: toy-0002\n", because=BECAUSE
    )
    two = write_decision(
        folder, "0002.md", name="toy-0002", because=OTHER, more=second or "supersedes: toy-0001\n", **parts
    )
    return [one, two]


@pytest.mark.requirement("A37")
def test_a_change_of_mind_is_a_new_decision_that_supersedes(world, folder):
    settled(world)
    assert graph_problems(superseding(folder)) == []
    assert settled(world).verdict is Verdict.PASS
    assert [one.front.status for one in of_kind(world, DecisionRecord)] == ["accepted", "superseded", "accepted"]


@pytest.mark.fault("G13")
@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("superseded_by: toy-0002\n", "consulted: []\n", "does not say supersedes: toy-0001"),
        ("consulted: []\n", "supersedes: toy-0001\n", "does not say superseded_by: toy-0002"),
        ("consulted: []\n", "consulted: []\n", "superseded_by does not say by which"),
        ("superseded_by: toy-0009\n", "supersedes: toy-0001\n", "superseded_by toy-0009, and there is no such"),
        ("superseded_by: toy-0002\n", "supersedes: toy-0007\n", "supersedes toy-0007, and there is no such"),
        (
            "superseded_by: toy-0002\nsupersedes: toy-0002\n",
            "supersedes: toy-0001\n",
            "in a circle: toy-0001 -> toy-0002",
        ),
        ("superseded_by: toy-0002\n", "supersedes: toy-0001\nevidence: [{id: toy-0001, pointer: /}]\n", "cite that"),
    ],
)
def test_a_graph_that_contradicts_itself_is_named(tmp_path, first, second, words):
    found = graph_problems(superseding(tmp_path, first, second))
    assert any(words in one for one in found), found


@pytest.mark.fault("G13")
def test_a_superseded_status_two_heirs_and_a_stale_citation_are_named(tmp_path):
    decisions = superseding(tmp_path)
    third = write_decision(tmp_path, "0003.md", name="toy-0003", because=f"{OTHER} x", more="supersedes: toy-0001\n")
    assert any("superseded by toy-0002 already" in one for one in graph_problems([*decisions, third]))
    still = write_decision(tmp_path, "0001-tree.md", more="superseded_by: toy-0002\n")
    assert any("but its status is accepted" in one for one in graph_problems([still, decisions[1]]))
    assert stale_citations(["toy-0002"], decisions) == []
    assert stale_citations(["toy-0001"], decisions) == ["toy-0001 is superseded by toy-0002: cite that"]
    assert stale_citations([decisions[0].digest], decisions) != []


def test_a_file_that_does_not_read_is_named_and_is_not_gone(world, folder):
    settled(world)
    (folder / "decisions" / "0001-tree.md").write_text("---\nid: x\n")
    found = settled(world)
    assert found.verdict is Verdict.FAIL
    assert "no front matter" in found.words
    assert "gone" not in found.words


@pytest.mark.requirement("A8")
def test_from_a_version_the_reasons_lead_back_to_the_problem(world):
    first, second, _ = versions(world)
    steps = chain(world.stores, "toy", second)
    assert [one.version for one in steps] == [second, first]
    assert steps[-1].decisions == ("0001-tree.md",)
    assert steps[-1].statement.startswith("How much a toy weighs")
    with pytest.raises(PermanentError):
        chain(world.stores, "toy", "20240101-00000000")


def resting(*predicates):
    lines = "".join(f"  - {{text: t, predicate: '{one}'}}\n" for one in predicates)
    return f'decision-makers: ["person:tim"]\nassumptions:\n{lines}'


@pytest.mark.requirement("A30", "A36")
def test_what_a_decision_rests_on_is_looked_at_at_each_retrain_and_a_failure_opens_a_review(world, folder):
    more = resting(
        "features.used contains a", "data.rows <= 1100", "monitored.null_share.a < 0.1", "spec.gates.alfa < 1",
        "newest.gates.quality.verdict != FAIL", "labels.delay_days <= 3", "champion.params.min_samples_leaf == 8",
    )  # fmt: skip
    write_decision(folder, "0001-tree.md", more=more)
    settled(world)
    (check,) = of_kind(world, DecisionCheck)
    assert [one.verdict.value for one in check.checked] == [
        "PASS", "PASS", "INCONCLUSIVE", "INCONCLUSIVE", "PASS", "PASS", "PASS",
    ]  # fmt: skip
    assert check.verdict is Verdict.INCONCLUSIVE
    assert check.version == versions(world)[2]
    assert check.checked[1].seen == 1008
    assert "never monitored" in check.checked[2].words
    assert "nearest: 'alpha'" in check.checked[3].words
    assert of_kind(world, Review) == []
    from retrain_pipeline_tests.gates.world import deliver, toys

    deliver(world.stores, world.declaration, toys(4, "regression", first=8))
    file = folder / "defs.yaml"
    file.write_text(file.read_text().replace("window_periods: 8", "window_periods: 12"))
    later = world.again()
    version = later.build(12, parent=versions(world)[0])
    settled(later)
    checks = of_kind(world, DecisionCheck)
    assert [one.version for one in checks] == [check.version, version]
    assert checks[1].checked[1].verdict is Verdict.FAIL
    assert checks[1].checked[4].verdict is Verdict.INCONCLUSIVE  # not judged yet, which is no pass
    (opened,) = of_kind(world, Review)
    assert opened.subject == "toy-0001"
    assert "data.rows is 1680" in opened.opened_because[0]
    head = world.stores.ledger.head()
    settled(later)
    assert world.stores.ledger.head() == head
    alerts, _, _ = raise_alerts(world.stores.ledger, [], 0)
    assert [one.words for one in alerts if one.kind == "review_opened" and "toy-0001" in one.words]


@pytest.mark.requirement("A30")
@pytest.mark.fault("G10")
def test_evidence_that_says_something_else_or_is_gone_opens_a_review(world, folder):
    digest = world.stores.ledger.latest("toy", "judged").payload["evidence"]
    loss = world.stores.artifacts.get_json(digest)["validated_loss"]["value"]
    refs = {
        "good": f"{{id: {digest}, pointer: /validated_loss/value, value: {loss:.3f}}}",
        "moved": f"{{id: {versions(world)[2]}, pointer: /validated_loss/value, value: {loss + 0.002:.3f}}}",
        "nowhere": f"{{id: {digest}, pointer: /validated_loss/valu}}",
        "gone": f"{{id: {'0' * 64}, pointer: /verdict, value: PASS}}",
        "text": f"{{id: {digest}, pointer: /mode, value: non_inferiority}}",
    }
    write_decision(folder, "0001-tree.md", more=f"evidence: [{', '.join(refs.values())}]\n")
    settled(world)
    (check,) = of_kind(world, DecisionCheck)
    assert [one.verdict.value for one in check.checked] == ["PASS", "FAIL", "FAIL", "FAIL", "PASS"]
    (opened,) = of_kind(world, Review)
    assert len(opened.opened_because) == 3
    assert "dead" in opened.opened_because[1]


@pytest.mark.parametrize(
    ("said", "seen", "same"),
    [
        (0.14, 0.1399, True),
        (0.14, 0.1351, True),
        (0.14, 0.1349, False),
        (12.0, 12.4, True),
        (12.0, 12.6, False),
        (1e-05, 1.2e-05, True),
        (1e-05, 2e-05, False),
        (1200.0, 1200, True),
        (-0.5, -0.52, True),
        (-0.5, 0.5, False),
        ("a", "a", True),
        ("a", "b", False),
        (True, True, True),
        (True, 1, False),
        (1.0, "1", False),
        (0.0, False, False),
    ],
)
def test_a_value_is_the_same_as_far_as_it_was_rounded(said, seen, same):
    assert same_rounded(said, seen) is same


@pytest.mark.requirement("A35", "A36")
def test_a_review_is_closed_by_people_who_did_not_decide_and_dissent_stays(world, folder, monkeypatch, tmp_path):
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path))
    write_decision(folder, "0001-tree.md", more=resting("data.rows >= 9999999"))
    settled(world)
    assert len(list(open_reviews(world.stores, "toy"))) == 1
    found = {"outcome": "keep", "words": "the rows were never what made it right", "actor": "person:ann"}
    for wrong, error in (
        ({"outcome": "fine"}, ReviewRefused),
        ({"words": "fine fine fine fine fine fine"}, ReviewRefused),
        ({"actor": "person:tim"}, NotAllowed),
        ({"by": "Tim"}, NotAllowed),
        ({"actor": "person:tim", "by": "person:ann"}, NotAllowed),
        ({"actor": "sensor:x"}, NotAllowed),
    ):
        with pytest.raises(error):
            close_reviews(world.stores, "toy", None, **{**found, **wrong})
    with pytest.raises(ReviewRefused, match="no decision 'toy-0009'"):
        close_reviews(world.stores, "toy", "toy-0009", **found)
    close_reviews(world.stores, "toy", None, **found, dissent=["I would rather have more rows"])
    assert list(open_reviews(world.stores, "toy")) == []
    closed = of_kind(world, Review)[-1]
    assert (closed.outcome, closed.reviewer) == ("upheld", "person:ann")
    assert closed.dissent == ("I would rather have more rows",)
    assert closed.closes
    settled(world)
    assert list(open_reviews(world.stores, "toy")) == []  # what was looked at is not opened again while it stays so
    with pytest.raises(ReviewRefused, match="say which decision"):
        close_reviews(world.stores, "toy", None, **found)
    # one that nobody asked for is on record as well
    close_reviews(world.stores, "toy", "toy-0001", **{**found, "outcome": "retire"})
    assert of_kind(world, Review)[-1].outcome == "withdrawn"


@pytest.mark.requirement("A25")
@pytest.mark.parametrize(
    ("direction", "predicted", "value", "interval", "verdict"),
    [
        ("down", (-3.0, -1.0), -2.0, (-2.5, -1.5), "PASS"),
        ("down", (-3.0, -1.0), -2.0, (-4.5, 0.5), "INCONCLUSIVE"),
        ("down", (-3.0, -1.0), -0.5, (-1.2, 0.2), "INCONCLUSIVE"),
        ("down", (-3.0, -1.0), -0.8, (-1.2, -0.4), "INCONCLUSIVE"),
        ("down", (-3.0, -1.0), 0.5, (0.0, 1.0), "FAIL"),
        ("down", (-3.0, -1.0), -5.0, (-6.0, -4.0), "FAIL"),
        ("down", (-3.0, -1.0), -0.5, (-0.8, -0.2), "FAIL"),
        ("up", (1.0, 3.0), 2.0, (1.5, 2.5), "PASS"),
        ("up", (1.0, 3.0), -2.0, (-2.5, -1.5), "FAIL"),
        ("same", (-1.0, 1.0), 0.1, (-0.5, 0.7), "PASS"),
        ("same", (-1.0, 1.0), 0.1, (-1.5, 1.7), "INCONCLUSIVE"),
        ("same", (-1.0, 1.0), 2.0, (1.5, 2.5), "FAIL"),
        ("up", (1.0, 3.0), 2.0, None, "PASS"),
        ("up", (1.0, 3.0), 4.0, None, "FAIL"),
        ("up", (-1.0, 3.0), 0.0, None, "FAIL"),
        ("up", (1.0, 3.0), None, None, "INCONCLUSIVE"),
    ],
)
def test_a_prediction_is_scored_with_three_answers(direction, predicted, value, interval, verdict):
    effect = Effect(metric="mae", direction=direction, range=predicted)
    assert score(effect, Observed(value, interval, "")) is Verdict(verdict)


@pytest.mark.requirement("A25", "C33")
def test_effects_are_scored_on_the_first_release_with_the_decision(world, folder):
    effects = "anticipated_effects:\n  - {metric: mae, direction: down, range: [-5, 0]}\n"
    effects += "  - {metric: rows, direction: up, range: [100, 200]}\n  - {metric: auc, direction: up, range: [0, 1]}\n"
    write_decision(folder, "0002-rows.md", name="toy-0002", kind="data", because=OTHER, more=effects)
    settled(world)
    assert of_kind(world, EffectScore) == []  # the champion was judged before there was such a decision
    first, second, _ = versions(world)
    digest = world.judged_release(second)
    settled(world)
    found = {one.metric: one for one in of_kind(world, EffectScore)}
    assert {(one.version, one.before, one.evidence) for one in found.values()} == {(second, first, digest)}
    low, high = found["mae"].interval
    assert found["mae"].observed == pytest.approx((low + high) / 2)
    quality = world.stores.artifacts.get_json(digest)["results"]
    assert [low, high] == next(one["interval"] for one in quality if one["gate"] == "quality")
    assert found["rows"].observed == 168
    assert found["rows"].verdict is Verdict.PASS
    assert found["auc"].verdict is Verdict.INCONCLUSIVE
    assert "no metric that is compared" in found["auc"].words
    assert found["mae"].together_with == ("toy-0001",)
    head = world.stores.ledger.head()
    settled(world)
    assert world.stores.ledger.head() == head
