"""Deployments change by compare-and-swap, together with the entry that says why."""

import os
import signal
import time

import pytest

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.errors import EntryRefused, LedgerDamaged, LedgerUnavailable, StaleEpoch
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.names import NameRefused
from retrain_pipeline.verdicts import Verdict

WRITERS = 8


def release(version, **more):
    return NewEntry("daemon", "released", subject=version, **more)


def test_a_change_moves_the_epoch_and_says_what_it_made(ledger):
    assert ledger.deployment("bike") is None
    first = ledger.change_deployment("bike", 0, {"champion": "v1"}, release("v1", payload={"why": "first"}))
    second = ledger.change_deployment("bike", 1, {"champion": "v2"}, release("v2"))
    row = ledger.deployment("bike")
    assert (row.epoch, row.state, row.changed_by_seq) == (2, {"champion": "v2"}, second.seq)
    assert row.state_digest == digest_of({"champion": "v2"})
    assert (first.model, first.epoch, second.epoch) == ("bike", 1, 2)
    assert first.payload == {
        "why": "first",
        "deployment": {"epoch": 1, "state": {"champion": "v1"}, "state_sha256": digest_of({"champion": "v1"})},
    }
    ledger.change_deployment("ant", 0, {}, release("v1"))
    assert [row.model for row in ledger.deployments()] == ["ant", "bike"]
    assert ledger.verify().verdict is Verdict.PASS


@pytest.mark.fault("P12", "P13")
@pytest.mark.parametrize("expected", [0, 2, 7])
def test_a_change_decided_on_another_epoch_changes_nothing(ledger, expected):
    ledger.change_deployment("bike", 0, {"champion": "v1"}, release("v1"))
    before = ledger.deployment("bike"), ledger.head()
    with pytest.raises(StaleEpoch, match="bike") as stale:
        ledger.change_deployment("bike", expected, {"champion": "v2"}, release("v2"))
    assert (stale.value.model, stale.value.expected, stale.value.found) == ("bike", expected, 1)
    assert (ledger.deployment("bike"), ledger.head()) == before


@pytest.mark.fault("P14", "P26")
def test_a_repeated_change_with_its_key_is_the_first_one(ledger):
    first = ledger.change_deployment("bike", 0, {"champion": "v1"}, release("v1", key="release-v1"))
    ledger.change_deployment("bike", 1, {"champion": "v2"}, release("v2"))
    again = ledger.change_deployment("bike", 0, {"champion": "v1"}, release("v1", key="release-v1"))
    assert again == first
    assert ledger.deployment("bike").state == {"champion": "v2"}
    assert ledger.head().seq == 2


def test_a_change_that_contradicts_itself_is_refused(ledger):
    with pytest.raises(EntryRefused, match="loan"):
        ledger.change_deployment("bike", 0, {}, NewEntry("a", "released", "loan"))
    with pytest.raises(EntryRefused, match="-1"):
        ledger.change_deployment("bike", -1, {}, release("v1"))
    with pytest.raises(EntryRefused, match=r"NaN|nan"):
        ledger.change_deployment("bike", 0, {"share": float("nan")}, release("v1"))
    with pytest.raises(NameRefused):
        ledger.change_deployment("Bike", 0, {}, release("v1"))
    assert ledger.head().seq == 0


def race(ledger, barrier, queue, number):
    barrier.wait()
    try:
        queue.put(
            ("won", ledger.change_deployment("bike", 0, {"champion": f"v{number}"}, release(f"v{number}")).subject)
        )
    except StaleEpoch as stale:
        queue.put(("stale", stale.found))


@pytest.mark.fault("P12", "P13")
@pytest.mark.parametrize("used_before_the_fork", [False, True])
def test_of_eight_racing_processes_exactly_one_changes_the_deployment(ledger, fork, queue, used_before_the_fork):
    import multiprocessing

    if used_before_the_fork:
        ledger.append(NewEntry("parent", "alerted"))
    barrier = multiprocessing.get_context("fork").Barrier(WRITERS)
    children = [fork(race, ledger, barrier, queue, number) for number in range(WRITERS)]
    answers = [queue.get() for _ in children]
    for child in children:
        child.join()
    winners = [subject for answer, subject in answers if answer == "won"]
    assert len(winners) == 1
    assert sorted(answers)[: WRITERS - 1] == [("stale", 1)] * (WRITERS - 1)
    assert ledger.deployment("bike").state == {"champion": winners[0]}
    assert ledger.deployment("bike").epoch == 1
    assert len(ledger.entries(action="released")) == 1
    assert ledger.verify().verdict is Verdict.PASS


def append_many(ledger, number):
    for n in range(15):
        ledger.append(NewEntry(f"writer-{number}", "monitored", "bike", payload={"n": n}))


def test_appends_of_many_processes_make_one_chain(ledger, fork):
    children = [fork(append_many, ledger, number) for number in range(4)]
    for child in children:
        child.join()
    found = ledger.verify()
    assert (found.verdict, found.entries) == (Verdict.PASS, 60)
    for number in range(4):
        mine = [entry.payload["n"] for entry in ledger.entries() if entry.actor == f"writer-{number}"]
        assert mine == list(range(15))


def sleep_then_change(ledger, queue):
    epoch = ledger.deployment("bike").epoch
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        ledger.change_deployment("bike", epoch, {"champion": "late"}, release("late"))
    except StaleEpoch as stale:
        queue.put((stale.expected, stale.found))


@pytest.mark.fault("P3", "P22")
def test_a_process_that_was_stopped_and_resumed_is_too_late(ledger, fork, queue):
    ledger.change_deployment("bike", 0, {"champion": "v1"}, release("v1"))
    child = fork(sleep_then_change, ledger, queue)
    assert os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1])
    ledger.change_deployment("bike", 1, {"champion": "v2"}, release("v2"))
    os.kill(child.pid, signal.SIGCONT)
    assert queue.get() == (1, 2)
    assert ledger.deployment("bike").state == {"champion": "v2"}


@pytest.mark.fault("P24")
def test_lost_and_edited_deployment_rows_are_restored_from_their_entries(ledger, tamperer):
    for number, model in enumerate(["ant", "bike", "cat"]):
        ledger.change_deployment(model, 0, {"champion": f"v{number}", "loss": 1e20}, release(f"v{number}"))
    before = ledger.deployments()
    assert ledger.restore_deployments("admin") == []
    tamperer.do(
        "DELETE FROM retrain_deployment WHERE model = 'ant'",
        "UPDATE retrain_deployment SET state = '{}' WHERE model = 'bike'",
        "INSERT INTO retrain_deployment VALUES ('dog', 1, '{}', :digest, 1)",
        digest=digest_of({}),
    )
    with pytest.raises(LedgerDamaged, match="restore_deployments"):
        ledger.deployments()
    assert ledger.restore_deployments("admin") == ["ant", "bike", "dog"]
    assert ledger.deployments() == before
    assert ledger.verify().verdict is Verdict.PASS
    assert ledger.entries(newest_first=True, limit=1)[0].payload == {"models": ["ant", "bike", "dog"]}


def test_nothing_is_restored_from_a_broken_chain(ledger, tamperer):
    ledger.change_deployment("bike", 0, {"champion": "v1"}, release("v1"))
    ledger.change_deployment("bike", 1, {"champion": "v2"}, release("v2"))
    tamperer.do("UPDATE retrain_entry SET actor = 'eve' WHERE seq = 1")
    with pytest.raises(LedgerDamaged, match="entry 1 was edited"):
        ledger.restore_deployments("admin")
    tamperer.do("DELETE FROM retrain_entry")
    with pytest.raises(LedgerDamaged, match="its end is missing"):
        ledger.restore_deployments("admin")


def test_a_ledger_object_opened_elsewhere_sees_the_change_at_once(ledger, ledger_url):
    other = Ledger(ledger_url)
    assert other.deployment("bike") is None
    started = time.monotonic()
    ledger.change_deployment("bike", 0, {"champion": "v1"}, release("v1"))
    assert other.deployment("bike").state == {"champion": "v1"}
    assert time.monotonic() - started < 5
    other.close()


@pytest.mark.fault("G3")
def test_what_is_asked_just_before_a_change_can_read_the_ledger_and_stop_the_change(ledger):
    def lapsed():
        assert [entry.action for entry in ledger.entries()] == ["approved"]
        raise ValueError("it lapsed")

    ledger.append(NewEntry("person:alice", "approved", "bike"))
    with pytest.raises(ValueError, match="it lapsed"):
        ledger.change_deployment("bike", 0, {"champion": "v1"}, NewEntry("daemon", "released"), just_before=lapsed)
    assert ledger.deployment("bike") is None
    assert ledger.head().seq == 1
    ledger.change_deployment("bike", 0, {"champion": "v1"}, NewEntry("daemon", "released"), just_before=lambda: None)
    assert ledger.verify().verdict is Verdict.PASS


@pytest.mark.fault("G3")
def test_nobody_writes_between_what_is_asked_just_before_and_the_change(ledger, ledger_url):
    other, blocked = Ledger(ledger_url, patience_seconds=0.1), []

    def revoke():
        with pytest.raises(LedgerUnavailable):
            other.append(NewEntry("person:alice", "key_retired", subject="k"))
        blocked.append(True)

    ledger.append(NewEntry("person:alice", "approved", "bike"))
    other.head()
    ledger.change_deployment("bike", 0, {"champion": "v1"}, NewEntry("daemon", "released"), just_before=revoke)
    assert blocked
    other.append(NewEntry("person:alice", "key_retired", subject="k"))
    assert [entry.action for entry in ledger.entries()] == ["approved", "released", "key_retired"]
    other.close()


def test_what_is_asked_just_before_is_not_asked_of_a_stale_change_nor_of_a_repeated_one(ledger):
    asked = []
    for _ in range(2):
        ledger.change_deployment("bike", 0, {}, release("v1", key="once"), just_before=lambda: asked.append("first"))
    with pytest.raises(StaleEpoch):
        ledger.change_deployment("bike", 0, {}, release("v2"), just_before=lambda: asked.append("stale"))
    assert asked == ["first"]
