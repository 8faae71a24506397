"""Who sees to what by when: written by people, on record, done by what a machine sees or an owner says, late or not."""

import re
from datetime import date

import pytest
from typer.testing import CliRunner

from retrain_pipeline.cli import main
from retrain_pipeline.governance.owners import Owner, Owners
from retrain_pipeline.records.audit.look import look
from retrain_pipeline.records.checklist import register_checklist, standings, tick
from retrain_pipeline.records.kinds.checklist import ChecklistRecord, Ticked
from retrain_pipeline.records.record import records
from retrain_pipeline.records.truth.context import Context
from retrain_pipeline.records.truth.verify import CHECKS, verify
from retrain_pipeline.spec.checklist import FILE, ChecklistRefused, read_checklist
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.records.audit.conftest import TODAY

CHECKLIST = """\
schema: 1
revised: 2026-02-01
by: ["team:toys"]
items:
  - id: small-loss
    expects: The champion's loss is small.
    owner: team:toys
    role: build
    due: 2026-12-01
    accept: champion.validated_loss <= 5
  - id: runbook
    expects: Who is on call has read the runbook.
    owner: team:post
    role: support
    due: 2026-12-01
  - id: signed
    expects: Somebody else has looked at all of it.
    owner: zoe@example.org
    role: sign_off
    due: 2026-12-01
"""
DONE = "we read it together on Monday"
OWNERS = Owners(owners={"team:post": Owner(contact="#post", members=("bob",)), "bob": Owner(contact="bob")})
LATE = date(2026, 12, 2)


@pytest.fixture
def expect(world):
    """Return a function that writes the checklist, with one thing in it changed."""

    def write(before: str = "", after: str = "") -> None:
        assert before in CHECKLIST
        (world.declaration.folder / FILE).write_text(CHECKLIST.replace(before, after, 1) if before else CHECKLIST)

    return write


def stand(world, today=TODAY):
    said = read_checklist(world.declaration.folder)
    return {one.item.id: one for one in standings(world.stores, world.declaration, said, today)}


def checked(world, today=TODAY):
    return {one.gate: one for one in look(world.stores, world.declaration, today=today).checks}["checklist"]


def done(world, item="runbook", by="bob", words=DONE):
    return tick(world.stores, world.declaration, item, by=by, words=words, owners=OWNERS, actor="test")


@pytest.mark.requirement("B1")
def test_a_checklist_is_on_record_once_and_again_when_it_changes(world, expect):
    register_checklist(world.stores, world.declaration, "test")
    assert list(records(world.stores, "toy", ChecklistRecord.KIND)) == []
    expect()
    for _ in range(2):
        register_checklist(world.stores, world.declaration, "test")
    expect("2026-12-01", "2026-12-24")
    register_checklist(world.stores, world.declaration, "test")
    first, second = (one.read(ChecklistRecord).said for one in records(world.stores, "toy", ChecklistRecord.KIND))
    assert [one.due.day for one in first.items] == [1, 1, 1]
    assert [one.due.day for one in second.items] == [24, 1, 1]
    assert [(one.owner, one.role) for one in first.items] == [
        ("team:toys", "build"), ("team:post", "support"), ("zoe@example.org", "sign_off"),
    ]  # fmt: skip


@pytest.mark.requirement("B1", "B8")
def test_an_item_is_done_open_or_late(world, expect):
    expect()
    assert [one.verdict for one in stand(world).values()] == [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE]
    assert checked(world).verdict is Verdict.PASS  # nothing is late
    done(world)
    assert stand(world)["runbook"].verdict is Verdict.PASS
    assert DONE in stand(world)["runbook"].words
    late = stand(world, LATE)
    assert [one.verdict for one in late.values()] == [Verdict.PASS, Verdict.PASS, Verdict.FAIL]
    result = checked(world, LATE)
    assert (result.verdict, result.statistic, result.n) == (Verdict.FAIL, 1.0, 3)
    assert "signed of zoe@example.org (sign_off)" in result.words
    expect("<= 5", "<= 0.001")
    assert "does not hold" in stand(world, LATE)["small-loss"].words
    assert stand(world, LATE)["small-loss"].verdict is Verdict.FAIL


@pytest.mark.requirement("B1", "B8")
def test_a_tick_is_its_owners_and_of_the_words_as_they_were(world, expect):
    with pytest.raises(ChecklistRefused, match="no item"):
        done(world)
    expect()
    for item, by, words in (
        ("runbook", "ann", "it is for team:post to say"),
        ("small-loss", "team:toys", "says whether it is done, nobody else does"),
        ("nothing", "bob", "there are: small-loss, runbook, signed"),
    ):
        with pytest.raises(ChecklistRefused, match=words):
            done(world, item, by)
    done(world)
    done(world, "signed", "zoe@example.org")
    expect("has read the runbook", "has rehearsed the runbook")
    assert stand(world)["runbook"].verdict is Verdict.INCONCLUSIVE
    assert stand(world)["signed"].verdict is Verdict.PASS
    expect("due: 2026-12-01\n  - id: signed", "due: 2026-12-24\n  - id: signed")
    assert stand(world)["runbook"].verdict is Verdict.PASS  # another day is the same expectation
    assert [one.read(Ticked).by for one in records(world.stores, "toy", Ticked.KIND)] == ["bob", "zoe@example.org"]


@pytest.mark.requirement("B1", "B8")
@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("role: support", "role: onlooker", r"items\.1\.role"),
        ("    owner: team:post\n", "", r"items\.1\.owner"),
        ("    due: 2026-12-01\n    accept", "    accept", r"items\.0\.due"),
        ("id: runbook", "id: small-loss", "given twice"),
        ("owner: zoe@example.org", "owner: team:toys", "would sign off what they build"),
        ("champion.validated_loss <= 5", "the loss is small", r"items\.0\.accept"),
    ],
)
def test_a_file_that_does_not_read_is_told_with_its_place_and_not_entered(world, expect, before, after, words):
    expect(before, after)
    register_checklist(world.stores, world.declaration, "test")
    assert list(records(world.stores, "toy", ChecklistRecord.KIND)) == []
    result = checked(world)
    assert result.verdict is Verdict.FAIL
    assert re.search(words, result.words)
    [schema] = [one for one in CHECKS if one.name == "schema"]
    [found] = verify(Context(world.stores, world.declaration), [schema]).answers
    assert (found.verdict, bool(re.search(words, str(found)))) == (Verdict.FAIL, True)


def test_none_at_all_is_no_pass(world):
    assert checked(world).verdict is Verdict.INCONCLUSIVE


@pytest.mark.requirement("B1", "B11")
def test_the_owner_of_an_item_must_be_somebody(world, expect, tmp_path, monkeypatch):
    expect()
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path))
    (tmp_path / "OWNERS.yaml").write_text("owners:\n  team:toys: {contact: x}\n  team:post: {contact: x}\n")
    [owners] = [one for one in CHECKS if one.name == "owners"]
    [found] = verify(Context(world.stores, world.declaration), [owners]).answers
    assert found.verdict is Verdict.FAIL
    assert "zoe@example.org" in str(found)
    assert "team:post" not in str([one for one in found.findings if one.verdict is Verdict.FAIL])


@pytest.mark.requirement("B1")
def test_the_command_shows_where_items_stand_and_takes_a_tick(world, expect, monkeypatch):
    from retrain_pipeline.cli import records as commands

    monkeypatch.setattr(commands, "declaration_named", lambda _: world.declaration)
    monkeypatch.setattr(commands, "open_state", lambda *_: world.stores)
    none = CliRunner().invoke(main.app, ["checklist", "toy"])
    assert (none.exit_code, "no checklist.yaml" in none.output) == (1, True)
    expect("owner: team:post", "owner: bob")
    expect("due: 2026-12-01\n  - id: signed", "due: 2099-12-01\n  - id: signed")
    said = CliRunner().invoke(main.app, ["checklist", "toy", "--done", "runbook", "--by", "team:post", "--words", DONE])
    assert re.search(r"runbook .*done", said.output)
    assert re.search(r"small-loss .*done", said.output)
