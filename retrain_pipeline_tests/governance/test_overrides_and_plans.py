"""Where no approval is: an override, loud and reviewed; a change plan, whose limits count from an anchor."""

from datetime import UTC, datetime, timedelta

import pytest

from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.release.approvals import grant
from retrain_pipeline.release.change_plan import FILE, Anchor, anchor_of, check_limits, read_plan
from retrain_pipeline.release.dissent import dissent
from retrain_pipeline.release.errors import ApprovalRefused, ReleaseRefused
from retrain_pipeline.release.overrides import banner, review, unreviewed
from retrain_pipeline.release.permits import plan_subject
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.governance.asking import make_planned
from retrain_pipeline_tests.release.test_release import forge

PLAN = """\
id: year-one
valid_from: 2020-01-01
valid_until: 2099-12-31
allowed: {triggers: [scheduled, drift], candidates: [tree]}
cumulative_limits: {max_autopromotions: 2, max_total_delta: 0.5, max_days_without_human: 30}
"""


def override(asking, who="carol", hours=1.0):
    return grant(
        asking.ledger, asking.override_subject(), actor="person:login", key=asking.keys[who],
        because="prices are wrong and support is on fire", expires_hours=hours,
    )  # fmt: skip


@pytest.mark.fault("G14")
@pytest.mark.requirement("A35", "A37")
def test_an_override_releases_and_is_loud_until_a_second_person_reviews_it(asking):
    granted = override(asking)
    assert asking.release().released
    assert asking.ledger.latest("toy", "released").payload["permit"]["kind"] == "override"
    (line,) = banner(asking.ledger)
    assert "person:carol" in line
    assert "support is on fire" in line
    arguments = {"because": "the price list was broken, all is well"}
    with pytest.raises(NotAllowed, match="person:carol made it"):
        review(asking.ledger, "toy", None, actor="person:login", key=asking.keys["carol"], **arguments)
    with pytest.raises(NotAllowed, match="dave has no role"):
        review(asking.ledger, "toy", None, actor="person:login", key=asking.keys["dave"], **arguments)
    with pytest.raises(ApprovalRefused, match="is signed"):
        review(asking.ledger, "toy", None, actor="person:bob", key=None, **arguments)
    assert len(asking.ledger.entries(action="refused")) == 2
    done = review(asking.ledger, "toy", None, actor="person:login", key=asking.keys["bob"], **arguments)
    assert done.payload["of_seq"] == granted.seq
    assert banner(asking.ledger) == []
    with pytest.raises(ApprovalRefused, match="no override"):
        review(asking.ledger, "toy", None, actor="person:login", key=asking.keys["bob"], **arguments)


@pytest.mark.fault("G14")
def test_an_override_needs_its_role_and_ends_and_shows_red_all_the_same(asking):
    with pytest.raises(NotAllowed, match="alice has no role that may override"):
        override(asking, "alice")
    with pytest.raises(ApprovalRefused, match="at most 72"):
        override(asking, hours=73)
    override(asking)
    later = datetime.now(UTC) + timedelta(hours=2)
    assert "lapsed" in banner(asking.ledger, later)[0]
    from retrain_pipeline.release.standing import standing

    with pytest.raises(ApprovalRefused, match="it holds from"):
        standing(asking.ledger, asking.override_subject(), later)


@pytest.mark.fault("G14")
@pytest.mark.requirement("D6")
def test_an_override_does_not_make_a_verdict_another(asking):
    override(asking)
    digest = asking.override_subject().evidence
    document = read_evidence(asking.world.stores.artifacts, digest).document()
    results = [one | {"verdict": "FAIL"} if at == 0 else one for at, one in enumerate(document["results"])]
    forged = forge(asking.world, asking.version, results=results, verdict="FAIL")
    with pytest.raises(ReleaseRefused, match="the verdict is FAIL"):
        asking.world.release(asking.version, forged)


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """The second version was released by a person, the third judged against it, and the plan lies in the folder."""
    (tmp_path / "policy").mkdir()
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    made = make_planned(tmp_path)
    made.third = versions(made.world)[2]
    (made.world.declaration.folder / FILE).write_text(PLAN)
    yield made
    made.world.stores.close()


def approve_plan(asking, who="alice"):
    declaration = asking.world.declaration
    subject = plan_subject(declaration, read_plan(declaration.folder))
    return grant(
        asking.ledger, subject, actor="person:login", key=asking.keys[who],
        because="data may change by itself for a year", expires_hours=24 * 90,
    )  # fmt: skip


def write_plan(asking, old, new):
    assert old in PLAN
    (asking.world.declaration.folder / FILE).write_text(PLAN.replace(old, new))
    approve_plan(asking)


@pytest.mark.fault("G25")
@pytest.mark.requirement("A32")
def test_inside_a_signed_plan_no_person_is_needed_and_the_release_says_how_far_it_went(planned):
    approve_plan(planned)
    assert planned.release(planned.third).released
    permit = planned.ledger.latest("toy", "released").payload["permit"]
    assert (permit["kind"], permit["plan"], permit["step"]) == ("plan", "year-one", 1)
    assert permit["anchor"] == planned.version
    ours, theirs = (read_manifest(planned.world.stores, "toy", one) for one in (planned.third, planned.version))
    assert ours.version != theirs.version
    assert -0.5 < permit["excess_loss"] < 0.5
    assert permit["excess_loss"] != 0
    assert anchor_of(planned.ledger, "toy").automatic == 1


@pytest.mark.fault("G25")
def test_a_plan_that_nobody_signed_or_that_was_edited_since_covers_nothing(planned):
    with pytest.raises(ApprovalRefused, match="there is no plan approved entry"):
        planned.release(planned.third)
    approve_plan(planned)
    (planned.world.declaration.folder / FILE).write_text(PLAN.replace("0.5", "5.0"))
    with pytest.raises(ApprovalRefused, match="of another subject digest"):
        planned.release(planned.third)


@pytest.mark.fault("G25")
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_autopromotions: 2", "max_autopromotions: 0", "0 automatic releases since .*, at most 0"),
        ("max_total_delta: 0.5", "max_total_delta: 0.0", "mean loss .* at most"),
        ("max_days_without_human: 30", "max_days_without_human: 0.00000001", "days since a person let"),
        ("triggers: [scheduled, drift]", "triggers: [drift]", "a scheduled retrain is not one of drift"),
        ("candidates: [tree]", "candidates: [forest]", "candidate tree is not one of forest"),
        ("valid_until: 2099-12-31", "valid_until: 2020-12-31", "valid from 2020-01-01 to 2020-12-31"),
    ],
)
def test_outside_the_plan_a_person_decides(planned, old, new, words):
    write_plan(planned, old, new)
    if "max_total_delta" in old:
        from retrain_pipeline.release import change_plan

        plan, anchor = read_plan(planned.world.declaration.folder), anchor_of(planned.ledger, "toy")
        manifest = read_manifest(planned.world.stores, "toy", planned.third)
        excess = change_plan._excess(planned.world.stores, planned.world.declaration, anchor, manifest)
        if excess <= 0:  # turned round, the same step is a worse one
            anchor = Anchor(planned.third, anchor.at, 0)
            manifest = read_manifest(planned.world.stores, "toy", planned.version)
        with pytest.raises(ApprovalRefused, match=words):
            change_plan.check_covered(planned.world.stores, planned.world.declaration, plan, anchor, manifest)
        return
    with pytest.raises(ApprovalRefused, match=f"outside the change plan: .*{words}"):
        planned.release(planned.third)
    planned.approve("bob", planned.subject(planned.third))
    assert planned.release(planned.third).released


@pytest.mark.fault("G14", "G25")
def test_while_an_override_waits_for_its_review_the_plan_covers_nothing(planned):
    approve_plan(planned)
    override(planned)
    assert unreviewed(planned.ledger, "toy")
    with pytest.raises(ApprovalRefused, match="waits for its review"):
        planned.release(planned.third)


@pytest.mark.fault("G25")
@pytest.mark.requirement("A35")
def test_a_version_that_somebody_objects_to_is_outside_the_plan(planned):
    approve_plan(planned)
    dissent(planned.ledger, "toy", planned.third, because="the north shop gets worse", actor="person:dave")
    with pytest.raises(ApprovalRefused, match="person:dave objected"):
        planned.release(planned.third)


@pytest.mark.fault("G25")
def test_limits_count_from_the_last_version_that_a_person_let_through(planned):
    plan, now = read_plan(planned.world.declaration.folder), datetime.now(UTC)
    check_limits(plan, Anchor("v1", now - timedelta(days=29), 1), now)
    for anchor, words in (
        (Anchor("v1", now, 2), "2 automatic releases since v1, at most 2"),
        (Anchor("v1", now - timedelta(days=31), 0), "31.0 days since a person let v1 through"),
    ):
        with pytest.raises(ApprovalRefused, match=words):
            check_limits(plan, anchor, now)


@pytest.mark.fault("G25")
def test_a_version_that_was_rolled_back_is_no_anchor(planned):
    assert anchor_of(planned.ledger, "toy").version == planned.version
    planned.approve("bob", planned.subject(planned.third))
    assert planned.release(planned.third).released
    assert anchor_of(planned.ledger, "toy").version == planned.third
    rollback(planned.world.stores, "toy", because="the new one is bad", actor="dagster")
    anchor = anchor_of(planned.ledger, "toy")
    assert (anchor.version, anchor.automatic) == (planned.version, 0)


def test_without_a_version_that_a_person_saw_there_is_no_anchor(asking):
    with pytest.raises(ApprovalRefused, match="a person approves the first version"):
        anchor_of(asking.ledger, "toy")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("id: year-one", "id: Year One", "id"),
        ("triggers: [scheduled, drift]", "triggers: []", "allowed.triggers"),
        ("max_total_delta: 0.5", "max_total_delta: .nan", "max_total_delta"),
        ("valid_until: 2099", "valid_until: 1999", "before valid_from"),
    ],
)
def test_a_plan_with_a_mistake_covers_nothing(asking, old, new, words):
    (asking.world.declaration.folder / FILE).write_text(PLAN.replace(old, new))
    with pytest.raises(ApprovalRefused, match=words):
        read_plan(asking.world.declaration.folder)
