"""The chain: what is appended stays, in order, once, and is found again."""

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from retrain_pipeline.canonical import digest_of, sha256
from retrain_pipeline.ledger.entries import FIRST_PREV, NewEntry, check_entry, read_json, write_json
from retrain_pipeline.ledger.errors import EntryRefused, KeyReused, LedgerTooNew, LedgerUrlRefused
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.names import NameRefused
from retrain_pipeline.verdicts import Verdict


def new(action="monitored", model="bike", **more):
    return NewEntry("daemon", action, model, **more)


def test_an_empty_ledger_passes_nothing(ledger):
    assert ledger.head() == (0, FIRST_PREV)
    assert ledger.entries() == []
    assert ledger.latest("bike", "released") is None
    assert ledger.latest_by_model("released") == {}
    assert ledger.verify().verdict is Verdict.INCONCLUSIVE


@pytest.mark.requirement("D39")
def test_each_entry_continues_the_one_before(ledger):
    entries = [ledger.append(new(payload={"psi": 0.1 * n})) for n in range(3)]
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert [entry.prev_sha256 for entry in entries] == [FIRST_PREV, entries[0].sha256, entries[1].sha256]
    assert ledger.head() == (3, entries[2].sha256)
    found = ledger.verify()
    assert (found.verdict, found.entries, found.head_seq, found.problems) == (Verdict.PASS, 3, 3, [])
    assert found.head_sha256 == entries[2].sha256


def test_the_digest_is_that_of_the_canonical_json_with_the_payload_by_digest(ledger):
    entry = ledger.append(
        new("judged", subject="v1", payload={"b": [1, 2.5, None], "a": "é"}, run_id="r", epoch=4, key="k")
    )
    body = {
        "seq": 1, "prev_sha256": FIRST_PREV, "at_utc": entry.at_utc, "mono_ns": str(entry.mono_ns), "actor": "daemon",
        "action": "judged", "model": "bike", "subject": "v1", "run_id": "r", "epoch": 4, "key": "k",
        "payload_sha256": sha256('{"a":"é","b":[1,2.5,null]}'.encode()),
    }  # fmt: skip
    assert entry.sha256 == digest_of(body)


def test_what_was_appended_is_read_back_equal(ledger):
    entry = ledger.append(
        NewEntry("ci@team", "judged", "bike", "v1", {"x": 1.5, "t": (1, 2), "loss": 1e20}, "run-1", 3, "k")
    )
    assert ledger.entries() == [entry]
    assert entry.payload == {"x": 1.5, "t": [1, 2], "loss": 1e20}
    assert entry.at_utc.endswith("+00:00")
    assert ledger.verify().verdict is Verdict.PASS


@pytest.mark.fault("P15", "P26")
def test_the_same_key_returns_the_first_entry_and_writes_nothing(ledger):
    first = ledger.append(new("retrain_requested", key="data-1", payload={"attempt": 1}))
    again = ledger.append(new("retrain_requested", key="data-1", payload={"attempt": 2}))
    assert again == first
    assert ledger.head().seq == 1


def test_a_key_of_another_kind_of_entry_is_refused(ledger):
    ledger.append(new("judged", key="k"))
    with pytest.raises(KeyReused, match="entry 1"):
        ledger.append(new("released", key="k"))
    with pytest.raises(KeyReused):
        ledger.append(new("judged", model="other", key="k"))
    with pytest.raises(KeyReused):
        ledger.change_deployment("bike", 0, {}, new("judged", key="k"))
    assert ledger.head().seq == 1
    assert ledger.deployments() == []


def test_entries_without_a_key_are_never_taken_for_each_other(ledger):
    assert [ledger.append(new()).seq for _ in range(2)] == [1, 2]


def test_entries_are_found_by_what_they_are_about(ledger):
    ledger.append(new("judged", "bike", subject="v1", run_id="r1"))
    ledger.append(new("released", "bike", subject="v1", run_id="r1"))
    ledger.append(new("judged", "loan", subject="v1", run_id="r2"))
    ledger.append(new("judged", "bike", subject="v2", run_id="r3"))
    ledger.append(NewEntry("admin", "alerted"))

    def seqs(**question):
        return [entry.seq for entry in ledger.entries(**question)]

    assert seqs() == [1, 2, 3, 4, 5]
    assert seqs(model="bike") == [1, 2, 4]
    assert seqs(model="bike", action="judged") == [1, 4]
    assert seqs(action=["released", "alerted"]) == [2, 5]
    assert seqs(action=[]) == []
    assert seqs(subject="v1") == [1, 2, 3]
    assert seqs(run_id="r1") == [1, 2]
    assert seqs(after_seq=3) == [4, 5]
    assert seqs(limit=2, newest_first=True) == [5, 4]
    assert ledger.latest("bike", "judged").seq == 4
    assert ledger.latest("bike", "judged", "v1").seq == 1
    assert {model: entry.seq for model, entry in ledger.latest_by_model("judged").items()} == {"bike": 4, "loan": 3}
    assert list(ledger.latest_by_model("judged")) == ["bike", "loan"]


def test_questions_are_answered_from_an_index(ledger, tamperer):
    for n in range(300):
        ledger.append(new(("judged", "released")[n % 2], f"m{n % 50}", run_id=f"r{n}", subject=f"s{n}"))
    plan = "EXPLAIN QUERY PLAN" if "ledger.db" in ledger.place else "EXPLAIN"
    from sqlalchemy import text

    with tamperer._engine.connect() as conn:
        if plan == "EXPLAIN":
            conn.execute(text("ANALYZE retrain_entry"))
            conn.execute(text("SET enable_seqscan = off"))
        for where in (
            "model = 'm1' AND action = 'judged'",
            "action = 'judged' AND model = 'm1'",
            "run_id = 'r7'",
            "subject = 's7'",
        ):
            rows = conn.execute(text(f"{plan} SELECT * FROM retrain_entry WHERE {where} ORDER BY seq DESC LIMIT 1"))
            words = " ".join(str(row) for row in rows)
            assert "retrain_entry_" in words, words
            assert "TEMP B-TREE" not in words


@pytest.mark.fault("S11")
@pytest.mark.parametrize(
    "bad",
    [
        {"actor": ""},
        {"actor": "eve\n2026 admin released"},
        {"action": "judged\x1b[31m"},
        {"subject": "x" * 501},
        {"run_id": "\x00"},
        {"key": ""},
        {"actor": 7},
        {"epoch": -1},
        {"payload": {"x": float("nan")}},
        {"payload": {"x": 2**60}},
        {"payload": {1: 2}},
        {"payload": {"\ud800": 1}},
        {"payload": {"deployment": {"epoch": 1}}},
        {"payload": {"x": "y" * (1 << 20)}},
    ],
)
def test_what_could_forge_or_break_the_log_is_refused(tmp_path, bad):
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}")
    with pytest.raises(EntryRefused):
        ledger.append(NewEntry(**{"actor": "a", "action": "judged", **bad}))
    assert not (tmp_path / "l.db").exists()


def test_a_model_must_have_a_name_of_the_grammar():
    with pytest.raises(NameRefused):
        check_entry(NewEntry("a", "judged", model="../x"))


def test_state_must_be_an_object():
    with pytest.raises(EntryRefused, match="list"):
        write_json([1], "state")


def test_json_of_big_numbers_has_the_same_canonical_text_again():
    text = write_json({"a": 1e20, "b": -(2**53) + 1, "c": 1e300, "d": 9007199254740992.0}, "x")
    assert write_json(read_json(text), "x") == text


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://x/y", "ledger.db", "postgresql+psycopg2://x"]
)
def test_a_url_of_no_ledger_is_refused(url):
    with pytest.raises(LedgerUrlRefused):
        Ledger(url)


def test_an_unreadable_postgres_url_is_refused_without_its_password():
    with pytest.raises(LedgerUrlRefused) as refused:
        Ledger("postgresql+psycopg://u:secret@host:notaport/db").head()
    assert "secret" not in str(refused.value)


def test_a_path_with_url_characters_is_taken_literally(tmp_path):
    path = tmp_path / "a?b#c%20d é" / "led ger.db"
    ledger = Ledger(f"sqlite:///{path}")
    ledger.append(new())
    assert path.exists()
    assert Ledger(f"sqlite:///{path}").head().seq == 1


@pytest.mark.fault("I46")
def test_a_ledger_of_a_newer_version_is_left_alone(ledger, ledger_url, tamperer):
    ledger.append(new())
    tamperer.do("UPDATE retrain_head SET schema_version = 99")
    with pytest.raises(LedgerTooNew, match="99"):
        Ledger(ledger_url).append(new())
    tamperer.do("UPDATE retrain_head SET schema_version = 2")
    assert Ledger(ledger_url).head().seq == 1


@pytest.mark.fault("S17")
def test_the_local_ledger_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        ledger = Ledger(f"sqlite:///{tmp_path / 'a' / 'b' / 'ledger.db'}")
        ledger.append(new())
        seen = {}

        def work(conn):
            conn.exec_driver_sql("UPDATE retrain_head SET seq = seq")
            seen.update({file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "a" / "b").iterdir()})

        ledger._connections.write(work)
    finally:
        os.umask(before)
    assert seen == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b")] == [0o700, 0o700]


def test_the_sqlite_ledger_is_durable_and_logged_ahead(tmp_path):
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}")

    def pragmas(conn):
        return [conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]

    assert ledger._connections.read(pragmas) == ["wal", 2]


def test_a_writer_holds_the_lock_of_sqlite_before_it_reads(tmp_path):
    """Else two writers read the same head, and the later one has to fail and begin anew."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}")

    def work(conn):
        other = sqlite3.connect(tmp_path / "l.db", timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()

    ledger._connections.write(work)


def test_one_ledger_serves_many_threads_from_the_first_use_on(ledger_url):
    ledger = Ledger(ledger_url)
    barrier = threading.Barrier(6)

    def work(n):
        barrier.wait()
        return [ledger.append(new(model=f"m{n}", key=f"{n}-{i}")).seq for i in range(5)]

    with ThreadPoolExecutor(6) as pool:
        seqs = [seq for part in pool.map(work, range(6)) for seq in part]
    assert sorted(seqs) == list(range(1, 31))
    assert ledger.verify().verdict is Verdict.PASS
    ledger.close()


def test_a_closed_ledger_opens_again(ledger):
    ledger.append(new())
    ledger.close()
    ledger.close()
    assert ledger.append(new()).seq == 2


def test_a_ledger_shows_where_it_is_and_no_password(ledger, ledger_url):
    assert "ledger.db" in repr(ledger) or "postgresql 127.0.0.1:" in repr(ledger)
    if "@" in ledger_url:
        assert ledger_url.split("@")[0].split(":")[-1] not in repr(ledger)


@pytest.mark.requirement("D39")
def test_verification_streams(ledger, monkeypatch):
    import tracemalloc

    from retrain_pipeline.ledger import verify

    for n in range(60):
        ledger.append(new(payload={"n": n, "x": "y" * 200_000}))
    monkeypatch.setattr(verify, "_ROWS_AT_ONCE", 2)
    tracemalloc.start()
    assert ledger.verify().entries == 60
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000  # the payloads are 12 MB
