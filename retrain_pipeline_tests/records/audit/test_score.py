"""The ML Test Score is derived from executed checks: where the evidence is taken away, the item falls."""

import json
from datetime import timedelta

import pytest
from pydantic import ValidationError

from retrain_pipeline.gates.evidence import GateResult, read_evidence, store_evidence
from retrain_pipeline.learning.environment import CodeRevision
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.records.audit.examined import AUDITED, Examined
from retrain_pipeline.records.audit.score import ITEMS, Item, as_markdown, test_score
from retrain_pipeline.records.test_runs import TestReportRefused, enter_tests
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.release.state import Deployment
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import START, World, template, versions

RICH = "20240219-00000000"
COMMIT = "a" * 40
PERSONAL = GateResult(gate="personal_data", verdict=Verdict.PASS, words="none of 9", statistic=0.0, threshold=0.0, n=9)
REPORT = b"""<testsuites><testsuite>
<testcase classname="tests.spec.test_features" name="test_a"/><testcase classname="tests.e2e.test_loop" name="test_b"/>
<testcase classname="tests.spec.test_other" name="test_c"><skipped/></testcase></testsuite></testsuites>"""


def examined(world: World, hidden=(), personal=PERSONAL) -> Examined:
    entries = [one for one in world.stores.ledger.entries(model="toy") if one.action not in hidden]
    return Examined(world.stores, world.declaration.spec, entries, (), personal)


def append(world: World, action: str, subject: str | None = None, run: str | None = None, **payload):
    return world.stores.ledger.append(NewEntry("test", action, "toy", subject, payload, run))


def gate(name: str) -> GateResult:
    return GateResult(gate=name, verdict=Verdict.PASS, words=f"{name} held")


def make_rich(world: World) -> None:
    """Enter all that a well-kept model has, around a copy of the champion that was made of a clean commit."""
    stores, first = world.stores, versions(world)[0]
    made = read_manifest(stores, "toy", first)
    trials = [{"candidate": made.candidate, "params": {"max_depth": depth}} for depth in (2, 3)]
    manifest = made.model_copy(
        update={
            "version": RICH,
            "code": CodeRevision(commit=COMMIT, dirty=False, diff_digest=None),
            "leaderboard": stores.artifacts.put_json({"trials": trials}),
        }
    )
    digest = stores.artifacts.put(json.dumps(manifest.to_json(), sort_keys=True).encode())
    append(world, "candidate_registered", RICH, "run-rich", manifest=digest)
    old = read_evidence(stores.artifacts, newest_evidence(stores, "toy", first))
    further = [gate(name) for name in ("groups", "footprint", "documentation")]
    found = old.model_copy(update={"version": RICH, "manifest": digest, "results": (*old.results, *further)})
    evidence = store_evidence(stores.artifacts, found)
    append(world, "retrain_started", None, "run-rich", as_of=START.isoformat())
    append(world, "judged", RICH, "run-rich", evidence=evidence, verdict="PASS", gates={})
    row = stores.ledger.deployment("toy")
    state = Deployment.from_state(row.state).model_copy(
        update={"champion": RICH, "evidence": evidence, "manifest": digest, "feature_code": "f" * 64}
    )
    entry = NewEntry("test", "released", "toy", RICH, {"version": RICH}, "run-rich")
    stores.ledger.change_deployment("toy", row.epoch, state.to_state(), entry)
    append(world, "approved", RICH, because="it is well made")
    append(world, "rollout_looked", RICH, look="0" * 64, stage="canary", share=0.05)
    append(world, "drilled", RICH, verdict="PASS", words="it served again after 90 ms")
    for at in range(5):
        quality = old.result("quality").model_copy(update={"interval": (-0.1 * at, -0.1 * at)})
        results = tuple(quality if one.gate == "quality" else one for one in old.results)
        other = store_evidence(stores.artifacts, old.model_copy(update={"version": f"v{at}", "results": results}))
        judged = append(world, "judged", f"v{at}", evidence=other, verdict="PASS", gates={})
        scored = {"judged": judged.seq + 1, "version": f"v{at}", "against": "v", "verdict": "PASS", "saved": 0.1 * at}
        append(world, "retrain_scored", f"v{at}", **scored, words="it saved something")
    good = {"verdict": "PASS", "words": "as before"}
    as_of = (START + timedelta(weeks=7)).isoformat()
    append(world, "monitored", "2024-02-12", period="2024-02-12", as_of=as_of, drift=good, performance=good)
    failed = append(world, "contract_failed", "raw/2024-02-12", asset="raw", period="2024-02-12", failed={})
    append(world, "alerted", "raw/2024-02-12", of_seq=failed.seq, kind="contract_failed", words="raw failed")
    insight = {"measured": {"ablation": [{"name": "a", "high": 0.2}], "paths": [{"which": "median"}]}}
    append(world, "recorded", RICH, kind="insight", schema="insight/1", record=stores.artifacts.put_json(insight))
    enter_tests(stores, "toy", REPORT, CodeRevision(commit=COMMIT, dirty=False, diff_digest=None), actor="test")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """The world as it was made, and one with all that a well-kept model has."""
    plain = template().copy(tmp_path_factory.mktemp("plain"))
    rich = template().copy(tmp_path_factory.mktemp("rich"))
    make_rich(rich)
    yield {"plain": plain, "rich": rich}
    for world in (plain, rich):
        world.stores.close()


def full(world: World):
    return [one for one in test_score(examined(world)).items if one.score == 1]


def asked(world: World, name: str, hidden: set[str]):
    """Return the answer of one item without the entries of some actions."""
    ask = next(ask for items in ITEMS.values() for one, ask in items if one == name)
    return ask(examined(world, hidden, None if AUDITED in hidden else PERSONAL))


def test_every_item_can_be_earned(worlds):
    assert [len(asked) for asked in ITEMS.values()] == [7, 7, 7, 7]
    earned = {one.id for world in worlds.values() for one in full(world)}
    assert earned == {name for asked in ITEMS.values() for name, _ in asked}


def test_taking_the_evidence_away_lowers_the_item(worlds):
    for world in worlds.values():
        items = full(world)
        assert items
        for item in items:
            for link in item.links:
                without = asked(world, item.id, {link.action})
                # other evidence may take its place (M1: an approval, or decisions that cover the change)
                assert without.score < 1 or link.action not in {one.action for one in without.links}, (item.id, link)
                further = {link.action, *(one.action for one in without.links)}
                assert asked(world, item.id, further).score < 1, (item.id, further)


def test_every_link_is_an_entry_that_is_there(worlds):
    for world in worlds.values():
        entries = {one.seq: one for one in world.stores.ledger.entries(model="toy")}
        for item in test_score(examined(world)).items:
            for link in item.links:
                assert entries[link.seq].at_utc == link.at_utc
                assert link.action in (entries[link.seq].action, AUDITED)


def test_the_score_is_the_least_of_the_sections(worlds):
    score = test_score(examined(worlds["rich"]))
    assert score.sections == {"data": 7, "model": 7, "infrastructure": 6, "monitoring": 7}
    assert score.score == 6
    assert score.document()["schema"] == "ml_test_score/1"
    assert "**6 of 7**" in as_markdown(score)


def test_without_a_champion_nothing_is_claimed(worlds):
    hidden = {"released", "candidate_registered", "judged", "recorded", "drilled", "monitored", "retrain_scored"}
    score = test_score(examined(worlds["rich"], hidden | {"alerted"}, None))
    assert score.score == 0
    assert sum(one.score for one in score.items) == 0
    assert all(one.words for one in score.items)


@pytest.mark.parametrize(
    ("action", "payload", "item"),
    [
        ("drill_failed", {"verdict": "FAIL", "words": "it did not come back"}, "I7"),
        (
            "monitored",
            {
                "period": "p",
                "as_of": (START + timedelta(weeks=200)).isoformat(),
                "drift": {"verdict": "FAIL", "words": "it moved"},
                "performance": {"verdict": "FAIL", "words": "it rose"},
            },
            ("Mo2", "Mo4", "Mo7"),
        ),
    ],
)
def test_a_newer_check_that_fails_takes_the_item_away(tmp_path, action, payload, item):
    world = template().copy(tmp_path)
    make_rich(world)
    append(world, action, "x", **payload)
    score = test_score(examined(world))
    for name in (item,) if isinstance(item, str) else item:
        assert score.item(name).score == 0
    world.stores.close()


def test_personal_data_and_tests_of_other_code_count_less(worlds, tmp_path):
    found = GateResult(gate="personal_data", verdict=Verdict.FAIL, words="1 of 9", n=9)
    assert test_score(examined(worlds["rich"], personal=found)).item("D5").score == 0
    world = template().copy(tmp_path)
    make_rich(world)
    enter_tests(world.stores, "toy", REPORT, CodeRevision(commit="b" * 40, dirty=False, diff_digest=None), actor="t")
    assert test_score(examined(world)).item("I3").score == 0.5
    broken = REPORT.replace(b'name="test_b"/>', b'name="test_b"><failure/></testcase>')
    enter_tests(world.stores, "toy", broken, CodeRevision(commit=COMMIT, dirty=False, diff_digest=None), actor="t")
    score = test_score(examined(world))
    assert (score.item("I3").score, score.item("D7").score) == (0, 1)
    world.stores.close()


def test_a_full_score_without_a_link_is_refused():
    with pytest.raises(ValidationError, match="without a link"):
        Item(id="D1", section="data", title="x", score=1.0, words="trust me", links=())
    with pytest.raises(ValidationError, match="there are"):
        Item(id="D1", section="data", title="x", score=0.7, words="trust me", links=())


@pytest.mark.parametrize("report", [b"<a>", b"<!DOCTYPE x [<!ENTITY a 'b'>]><a>&a;</a>", b"<testsuites/>"])
def test_a_report_that_is_none_is_refused(worlds, report):
    with pytest.raises(TestReportRefused):
        enter_tests(
            worlds["plain"].stores, "toy", report, CodeRevision(commit=None, dirty=None, diff_digest=None), actor="t"
        )
