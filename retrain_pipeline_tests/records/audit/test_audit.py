"""The audit finds what is overdue, dead, outdated, kept too long and private; and what is well is not a finding."""

import os
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.records.audit.fields import Filled, filled, overall, record_kinds
from retrain_pipeline.records.audit.look import audit, look
from retrain_pipeline.records.audit.page import page
from retrain_pipeline.records.audit.private import found_in
from retrain_pipeline.records.audit.references import is_digest, named, references
from retrain_pipeline.records.decisions import register_decisions
from retrain_pipeline.records.history import UnknownVersion
from retrain_pipeline.records.kinds.audit import Audit
from retrain_pipeline.records.kinds.review import Review
from retrain_pipeline.records.kinds.tombstone import Tombstone
from retrain_pipeline.records.record import Record, Recorded, enter, records
from retrain_pipeline.records.reviews import OPENED, close_reviews, open_reviews
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.records.audit.conftest import TODAY


def checked(world, check: str):
    """Return the result of a check and its findings."""
    found = look(world.stores, world.declaration, today=TODAY)
    return found.result(check), [one for one in found.findings if one.check == check]


@pytest.mark.requirement("A36")
def test_a_decision_is_overdue_until_a_review_of_it_is_closed(world, decide):
    decide("tree-1", review_by="2026-06-01")
    assert checked(world, "reviews")[0].verdict is Verdict.PASS
    decide("tree-1", review_by="2026-05-31")
    result, [finding] = checked(world, "reviews")
    assert (result.verdict, finding.what, finding.place) == (Verdict.FAIL, "tree-1", "due 2026-05-31")
    opened = Review.make(model="toy", subject="tree-1", opened_because=("overdue",), due=TODAY)
    entry = enter(world.stores, opened, actor="test")
    closed = {"closes": entry.payload["record"], "closed": "2026-06-01T09:00:00+00:00", "outcome": "upheld"}
    enter(
        world.stores, Review.make(**{**opened.document(), **closed, "opened_because": ("o",), "due": TODAY}), actor="t"
    )
    assert checked(world, "reviews")[0].verdict is Verdict.PASS


@pytest.mark.requirement("A36")
def test_a_review_that_nobody_closed_in_time_is_found(world, decide):
    decide("tree-1")
    review = Review.make(model="toy", subject="tree-1", opened_because=("its assumption failed",), due=date(2026, 5, 1))
    enter(world.stores, review, actor="test")
    result, [finding] = checked(world, "reviews")
    assert result.verdict is Verdict.FAIL
    assert "its assumption failed" in finding.words


@pytest.mark.requirement("A36", "D43")
def test_an_audit_asks_for_the_review_of_what_is_overdue_once(world, decide):
    decide("tree-1", review_by="2026-05-01")
    decide("tree-2", review_by="2026-12-01")
    register_decisions(world.stores, world.declaration, "test")
    for day in (TODAY, TODAY + timedelta(days=1)):
        audit(world.stores, world.declaration, today=day, actor="dagster")
    [(recorded, review)] = open_reviews(world.stores, "toy")
    assert (recorded.subject, review.due) == ("tree-1", date(2026, 5, 31))
    assert "to be reviewed by 2026-05-01" in review.opened_because[0]
    assert [one.subject for one in world.stores.ledger.entries(model="toy", action=OPENED)] == ["tree-1"]
    now = datetime(2026, 6, 2, tzinfo=UTC)
    said = {"outcome": "keep", "words": "the corner is where it was before", "actor": "person:zoe", "now": now}
    close_reviews(world.stores, "toy", "tree-1", **said)
    audit(world.stores, world.declaration, today=now.date(), actor="dagster")
    assert list(open_reviews(world.stores, "toy")) == []


def test_a_review_whose_bytes_are_gone_is_told_by_the_audit_and_does_not_stop_it(world, decide):
    decide("tree-1", review_by="2026-05-01")
    register_decisions(world.stores, world.declaration, "test")
    audit(world.stores, world.declaration, today=TODAY, actor="dagster")
    now = datetime(2026, 6, 2, tzinfo=UTC)
    said = {"outcome": "keep", "words": "the corner is where it was before", "actor": "person:zoe", "now": now}
    [closed] = close_reviews(world.stores, "toy", "tree-1", **said)
    os.unlink(world.stores.artifacts.path(closed.payload["record"]))
    found = audit(world.stores, world.declaration, today=now.date(), actor="dagster")
    assert found.result("references").verdict is Verdict.FAIL
    assert closed.payload["record"] in [one.what for one in found.findings]


def test_a_decision_that_cannot_be_read_is_not_passed_over(world):
    (world.declaration.folder / "decisions" / "0001.md").write_text("# No front matter\n")
    assert checked(world, "reviews")[0].verdict is Verdict.FAIL


def test_nothing_to_look_at_is_no_pass(world):
    result, findings = checked(world, "reviews")
    assert (result.verdict, findings) == (Verdict.INCONCLUSIVE, [])
    assert checked(world, "retention")[0].verdict is Verdict.INCONCLUSIVE
    other = replace(world.declaration, spec=world.declaration.spec.model_copy(update={"name": "other"}))
    with pytest.raises(UnknownVersion, match="knows nothing"):
        look(world.stores, other, today=TODAY)


@pytest.mark.requirement("A36")
@pytest.mark.parametrize("what", ["model_artifact", "manifest", "evidence", "rows"])
def test_a_reference_to_bytes_that_are_gone_is_dead(world, what):
    assert checked(world, "references")[0].verdict is Verdict.PASS
    version = versions(world)[1]
    registered = world.stores.ledger.latest("toy", "candidate_registered", version)
    judged = world.stores.ledger.latest("toy", "judged", version)
    digest = {**registered.payload, **judged.payload, "rows": judged.payload["rows"]["digest"]}[what]
    os.unlink(world.stores.artifacts.path(digest))
    result, findings = checked(world, "references")
    assert result.verdict is Verdict.FAIL
    assert digest in [finding.what for finding in findings]


def test_a_reference_to_other_bytes_is_dead(world):
    digest = newest_evidence(world.stores, "toy", versions(world)[2])
    with open(world.stores.artifacts.path(digest), "ab") as file:
        file.write(b" ")
    _, [finding, *_] = checked(world, "references")
    assert (finding.what, finding.words) == (digest, "ArtifactDamaged")


def test_a_table_version_that_is_gone_is_dead(world):
    shutil.rmtree(world.home / "lake" / "toy" / "labels")
    result, findings = checked(world, "references")
    assert result.verdict is Verdict.FAIL
    assert {finding.what.split(" ")[0] for finding in findings} == {"toy/labels"}


def test_rows_of_the_champion_that_are_others_are_dead(world):
    [file] = (world.home / "lake" / "toy" / "features" / "_period=2024-01-08").rglob("*.parquet")
    pq.write_table(pq.read_table(file, partitioning=None).to_pandas().assign(a=0.0).pipe(pa.Table.from_pandas), file)
    result, findings = checked(world, "references")
    assert result.verdict is Verdict.FAIL
    assert any("toy/features" in finding.what for finding in findings)


def test_no_address_goes_unlooked(world):
    """Every digest of an entry under which something is stored is among the references."""
    looked = {one.digest for one in references(world.stores, "toy")}

    def digests(value):
        if isinstance(value, dict | list):
            for one in value.values() if isinstance(value, dict) else value:
                yield from digests(one)
        elif isinstance(value, str) and is_digest(value):
            yield value

    stored = {
        digest
        for entry in world.stores.ledger.entries()
        for digest in digests({**entry.payload, "subject": entry.subject})
        if world.stores.artifacts.exists(digest)
    }
    assert stored
    assert stored <= looked


def test_pictures_that_a_record_names_are_looked_up():
    assert list(named({"plots": {"importances": "a" * 64}, "other": {"importances": "b" * 64}})) == ["a" * 64]


@pytest.mark.requirement("A36")
def test_a_superseded_decision_that_is_cited_still_is_found(world, decide):
    decide("tree-1", status="superseded", more="superseded_by: tree-2\n")
    decide("tree-2", more="supersedes: tree-1\n", text="It takes the place of tree-1.")
    assert checked(world, "citations")[0].verdict is Verdict.PASS
    decide("window-1", text="See tree-1 for the window, and not tree-12.")
    result, [finding] = checked(world, "citations")
    assert (result.verdict, finding.what, finding.place) == (Verdict.FAIL, "tree-1", "decisions/window-1.md")
    assert "tree-2" in finding.words


class Note(Record):
    KIND = "note"
    decision: str = ""
    nested: dict[str, str] = {}


def test_a_record_of_what_serves_may_not_cite_it_but_an_older_one_may(world, decide):
    decide("tree-1", status="superseded")
    first, second, _ = versions(world)
    enter(world.stores, Note.make(model="toy", subject=second, decision="tree-1"), actor="test")
    assert checked(world, "citations")[0].verdict is Verdict.PASS
    enter(world.stores, Note.make(model="toy", subject=first, decision="tree-1"), actor="test")
    assert checked(world, "citations")[0].verdict is Verdict.FAIL


@pytest.mark.requirement("A11")
def test_the_share_of_the_machine_is_counted_by_kind_and_overall():
    document = {
        **{"schema": "tombstone/1", "model": "toy", "subject": "v1", "as_of": "2024-02-12", "manifest": "0" * 64},
        **{"evidence": None, "model_artifact": "1" * 64, "size_bytes": 0, "served": "nobody", "why": "it is old now"},
    }
    one = Recorded(None, "tombstone", "v1", "2" * 64, document)
    counted = filled([one, one], {"tombstone": Tombstone})
    assert counted == {"tombstone": Filled(machine=10, person=2)}
    assert overall(counted).share == pytest.approx(10 / 12)
    assert overall({}).share is None


def test_all_kinds_are_known():
    assert {"audit", "review", "tombstone"} <= set(record_kinds())


@pytest.mark.requirement("A11")
def test_too_much_by_hand_fails(world):
    assert checked(world, "machine_filled")[0].verdict is Verdict.INCONCLUSIVE
    review = Review.make(
        model="toy", subject="tree-1", opened_because=("x",), due=TODAY, words="so it is", dissent=("no",)
    )
    enter(world.stores, review, actor="test")
    result, _ = checked(world, "machine_filled")
    assert result.verdict is Verdict.FAIL
    assert result.statistic == pytest.approx(3 / 5)


CARD = "4111 1111 1111 1111"


@pytest.mark.fault("I47")
def test_personal_data_in_texts_is_found_and_told_redacted(world, decide):
    decide("tree-1", text=f"Ask jane.roe@example.org, who paid with {CARD}.")
    world.stores.ledger.append(NewEntry("test", "halted", "toy", payload={"because": "told by kim@example.net"}))
    result, findings = checked(world, "personal_data")
    assert result.verdict is Verdict.FAIL
    assert {finding.what for finding in findings} == {"e-mail j…@…", "payment card 4… (16 digits)", "e-mail k…@…"}
    told = page(look(world.stores, world.declaration, today=TODAY))
    for secret in ("jane", "kim", "example.org", "4111"):
        assert secret not in told


@pytest.mark.fault("I47")
def test_personal_data_in_a_text_column_is_found_once(world):
    rows = world.stores.lake.read("toy", "raw", periods=["2024-02-19"])
    rows.loc[rows.index[:3], "shop"] = "lee@example.org"
    world.stores.lake.replace_partition("toy", "raw", "2024-02-19", rows.drop(columns=["_period"], errors="ignore"))
    _, findings = checked(world, "personal_data")
    assert [(one.what, one.place) for one in findings] == [("e-mail l…@…", "raw 2024-02-19, column shop")]


def test_who_is_declared_may_be_named_and_numbers_are_no_cards(world):
    assert list(found_in("by ann@example.org", "note", ["Ann@example.org"])) == []
    for text in ("4111 1111 1111 1112", "0.4111111111111111", "v4111111111111111", "20240101000000", "a @ b.c"):
        assert list(found_in(text, "note")) == [], text
    assert checked(world, "personal_data")[0].verdict is Verdict.PASS


def test_an_audit_is_a_record_and_the_same_day_gives_the_same(world, decide):
    decide("tree-1", text="*bold* <script>alert(1)</script> ask jane@example.org", review_by="2026-01-01")
    found = audit(world.stores, world.declaration, today=TODAY, actor="test")
    again = audit(world.stores, world.declaration, today=TODAY, actor="test")
    assert found == again
    [recorded] = records(world.stores, "toy", Audit.KIND)
    assert recorded.read(Audit) == found
    assert [one.gate for one in found.checks] == [
        "reviews", "references", "risks", "checklist", "changes", "citations", "retention", "machine_filled",
        "personal_data",
    ]  # fmt: skip
    assert found.counts["entries candidate_registered"] == 3
    told = page(found)
    assert "<script" not in told
    assert "| reviews | FAIL | 1 | 1 |" in told
    world.stores.ledger.append(NewEntry("test", "halted", "toy", payload={"because": "something new"}))
    audit(world.stores, world.declaration, today=TODAY, actor="test")
    assert len(list(records(world.stores, "toy", Audit.KIND))) == 2
