"""Kill -9, locks, restarts, full disks: the ledger is what was committed, and says so when it cannot."""

import os
import random
import resource
import select
import shutil
import signal
import socket
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

import pytest

from retrain_pipeline.ledger import connections, writing
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.errors import LedgerDamaged, LedgerUnavailable, LedgerUnusable
from retrain_pipeline.ledger.failures import explain
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.verdicts import Verdict


def entry(action="monitored", **more):
    return NewEntry("daemon", action, "bike", **more)


def write_until_killed(ledger, acknowledged):
    epoch = ledger.deployment("bike").epoch
    while True:
        ledger.append(entry())
        epoch = ledger.change_deployment("bike", epoch, {"champion": f"v{epoch}"}, entry("released")).epoch
        os.write(acknowledged, b".")


def assert_consistent(ledger):
    found = ledger.verify()
    assert (found.verdict, found.problems) == (Verdict.PASS, [])
    releases = ledger.entries(model="bike", action="released")
    assert [release.epoch for release in releases] == list(range(1, len(releases) + 1))
    assert ledger.deployment("bike").epoch == len(releases)
    return len(releases)


@pytest.mark.fault("P1", "P8", "P21")
def test_kill_nine_at_any_moment_loses_nothing_that_was_acknowledged(ledger, fork):
    chance = random.Random(7)
    ledger.change_deployment("bike", 0, {"champion": "v0"}, entry("released"))
    for _ in range(8):
        before = ledger.deployment("bike").epoch
        reader, writer = os.pipe()
        child = fork(write_until_killed, ledger, writer)
        os.close(writer)
        acknowledged = len(os.read(reader, 1))
        time.sleep(chance.uniform(0, 0.03))
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        while more := os.read(reader, 4096):
            acknowledged += len(more)
        os.close(reader)
        assert_consistent(ledger)
        assert before + acknowledged <= ledger.deployment("bike").epoch <= before + acknowledged + 1


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def change_and_die(ledger, when):
    real = {"record": writing.record, "put_deployment": writing.put_deployment}
    if when == "before the deployment row":
        writing.put_deployment = lambda *_: die()
    if when == "before the commit":
        writing.record = lambda *arguments: (real["record"](*arguments), die())
    ledger.change_deployment("bike", 1, {"champion": "v2"}, entry("released", key="v2"))
    die()  # after the commit, before the caller hears of it


@pytest.mark.fault("P1", "P21", "P26")
@pytest.mark.parametrize("when", ["before the deployment row", "before the commit", "after the commit"])
def test_entry_and_deployment_are_written_both_or_neither_and_once(ledger, fork, when):
    ledger.change_deployment("bike", 0, {"champion": "v1"}, entry("released"))
    child = fork(change_and_die, ledger, when)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert assert_consistent(ledger) == (2 if when == "after the commit" else 1)
    ledger.change_deployment("bike", 1, {"champion": "v2"}, entry("released", key="v2"))
    assert assert_consistent(ledger) == 2


class Lock:
    """Holds the ledger's write lock from another connection."""

    def __init__(self, ledger_url):
        from sqlalchemy import create_engine

        self.connection = create_engine(ledger_url).connect()
        if ledger_url.startswith("sqlite"):
            self.connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            self.connection.exec_driver_sql("SELECT * FROM retrain_head FOR UPDATE")

    def release(self):
        self.connection.rollback()
        self.connection.close()


@pytest.fixture
def short_waits(monkeypatch):
    """Let the databases give up a lock after 0.1 s, so that our own patience is what is tested."""
    monkeypatch.setattr(connections, "_BUSY_SECONDS", 0.1)
    monkeypatch.setattr(connections, "_POSTGRES_WRITE", ("SET LOCAL lock_timeout = '100ms'",))


@pytest.mark.fault("P23")
def test_a_locked_ledger_is_waited_for(ledger_url, short_waits):
    ledger = Ledger(ledger_url)
    ledger.append(entry())
    lock = Lock(ledger_url)
    timer = threading.Timer(0.5, lock.release)
    timer.start()
    started = time.monotonic()
    assert ledger.append(entry()).seq == 2
    assert time.monotonic() - started >= 0.4
    timer.join()
    ledger.close()


@pytest.mark.fault("P23")
def test_a_ledger_that_stays_locked_is_a_transient_error_in_bounded_time_and_can_be_read(ledger_url, short_waits):
    ledger = Ledger(ledger_url, patience_seconds=0.4)
    ledger.append(entry())
    lock = Lock(ledger_url)
    started = time.monotonic()
    with pytest.raises(LedgerUnavailable, match="lock"):
        ledger.append(entry())
    assert time.monotonic() - started < 5
    assert len(ledger.entries()) == 1  # readers do not wait for writers
    lock.release()
    assert ledger.append(entry()).seq == 2
    ledger.close()


def stop_inside_a_transaction(ledger):
    real = writing.record
    writing.record = lambda *arguments: (real(*arguments), os.kill(os.getpid(), signal.SIGSTOP))
    ledger.append(entry("released"))


@pytest.mark.fault("P22")
def test_a_writer_frozen_inside_a_transaction_is_put_out_by_postgres(postgres_url, fork, monkeypatch):
    monkeypatch.setattr(
        connections, "_POSTGRES_WRITE",
        ("SET LOCAL lock_timeout = '100ms'", "SET LOCAL idle_in_transaction_session_timeout = '300ms'"),
    )  # fmt: skip
    ledger = Ledger(postgres_url)
    ledger.append(entry())
    child = fork(stop_inside_a_transaction, ledger)
    assert os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1])
    assert ledger.append(entry()).seq == 2
    assert [found.action for found in ledger.entries()] == ["monitored", "monitored"]
    assert ledger.verify().verdict is Verdict.PASS
    ledger.close()


@pytest.mark.fault("P23")
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_postgres_that_restarts_or_crashes_midway_is_waited_for_and_nothing_is_doubled(postgres, postgres_url, mode):
    ledger = Ledger(postgres_url)
    ledger.append(entry())
    written, stop = [], threading.Event()

    def write():
        while not stop.is_set():
            written.append(ledger.append(entry(payload={"n": len(written)})))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(2):
            time.sleep(0.2)
            before = len(written)
            postgres.stop(mode)
            time.sleep(0.2)
            postgres.start()
            deadline = time.monotonic() + 20
            while len(written) < before + 3 and time.monotonic() < deadline:
                time.sleep(0.01)
    finally:
        stop.set()
        thread.join()
    assert [found.payload["n"] for found in ledger.entries(after_seq=1)] == list(range(len(written)))
    assert [one.sha256 for one in written] == [found.sha256 for found in ledger.entries(after_seq=1)]
    assert ledger.verify().verdict is Verdict.PASS
    ledger.close()


class CuttingProxy(threading.Thread):
    """Passes bytes to PostgreSQL and back; when armed it lets one COMMIT through and hangs up before the answer."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.target, self.armed = port, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self.target)) as server:
            while True:
                source = select.select([client, server], [], [])[0][0]
                data = source.recv(65536)
                if not data:
                    return
                (server if source is client else client).sendall(data)
                if self.armed and source is client and b"COMMIT" in data:
                    self.armed = False
                    assert b"COMMIT" in server.recv(65536)  # it is done
                    return


@pytest.mark.fault("P23", "P26")
def test_an_answer_lost_after_the_commit_does_not_double_the_entry(postgres, postgres_url):
    proxy = CuttingProxy(postgres.port)
    proxy.start()
    ledger = Ledger(postgres_url.replace(f":{postgres.port}/", f":{proxy.port}/"))
    ledger.append(entry())
    proxy.armed = True
    assert ledger.append(entry()).seq == 2
    assert not proxy.armed
    proxy.armed = True
    assert ledger.change_deployment("bike", 0, {}, entry("released")).seq == 3
    assert not proxy.armed
    assert ledger.head().seq == 3
    assert assert_consistent(ledger) == 1
    ledger.close()
    proxy.listener.close()


@pytest.mark.fault("P23")
def test_a_postgres_that_is_down_is_a_transient_error_and_a_refused_login_is_not(postgres_url):
    with pytest.raises(LedgerUnavailable, match=r"127\.0\.0\.1:1/db"):
        Ledger("postgresql+psycopg://u:secret@127.0.0.1:1/db", patience_seconds=0.3).head()
    wrong = postgres_url.replace("retrain:", "retrain:not")
    started = time.monotonic()
    with pytest.raises(LedgerUnusable, match="authentication failed") as refused:
        Ledger(wrong).head()
    assert time.monotonic() - started < 5
    assert "not" + postgres_url.split("@")[0].split(":")[-1] not in str(refused.value)
    with pytest.raises(LedgerUnusable, match="does not exist"):
        Ledger(postgres_url + "x").head()


@pytest.mark.fault("P23")
def test_a_postgres_user_without_rights_is_told_so(postgres, postgres_url, ledger_user):
    Ledger(postgres_url).append(entry())
    with pytest.raises(LedgerUnusable, match="permission denied"):
        Ledger(postgres_url.replace("//retrain:", f"//{ledger_user}:")).append(entry())


@pytest.fixture
def ledger_user(postgres):
    """A PostgreSQL user who may connect and no more."""
    postgres.execute(f"CREATE USER reader PASSWORD '{postgres.password}'")
    yield "reader"
    postgres.execute("DROP USER reader")


def fill(ledger, queue):
    # The file may grow by some pages, then the kernel refuses (EFBIG), as a full disk or quota would.
    size = sum(file.stat().st_size for file in Path(ledger.place).parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 60_000, size + 60_000))
    written = 0
    try:
        while True:
            ledger.append(entry(payload={"x": "y" * 5000}))
            written += 1
    except LedgerUnusable as error:
        queue.put((written, str(error)))


@pytest.mark.fault("P8")
def test_a_file_at_its_size_limit_is_a_clean_error_and_the_ledger_stays_whole(tmp_path, fork, queue):
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.change_deployment("bike", 0, {}, entry("released"))
    fork(fill, ledger, queue).join()
    written, words = queue.get()
    assert written > 0
    assert "ledger.db" in words
    assert "free space" in words
    assert assert_consistent(ledger) == 1
    assert ledger.append(entry()).seq == written + 2


@pytest.mark.fault("P8")
def test_a_full_disk_is_a_clean_error_and_the_ledger_goes_on_when_there_is_space(small_disk):
    ledger = Ledger(f"sqlite:///{small_disk / 'ledger.db'}")
    ledger.change_deployment("bike", 0, {}, entry("released"))
    (small_disk / "filler").write_bytes(b"x" * 100_000)
    written = 0

    def write_on():
        nonlocal written
        while True:
            ledger.append(entry(payload={"x": "y" * 5000}))
            written += 1

    with pytest.raises(LedgerUnusable, match=r"full|disk"):
        write_on()
    (small_disk / "filler").unlink()
    assert ledger.verify().entries == written + 1
    assert ledger.append(entry()).seq == written + 2
    assert assert_consistent(ledger) == 1


@pytest.fixture
def others_folder():
    """A folder that every user can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def try_as_nobody(ledger, queue):
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    try:
        ledger.append(entry())
    except LedgerUnusable as error:
        queue.put(str(error))


@pytest.mark.fault("P10")
def test_a_ledger_that_may_not_be_written_is_a_clean_error(others_folder, fork, queue):
    path = others_folder / "ledger.db"
    Ledger(f"sqlite:///{path}").append(entry())
    path.chmod(0o444)
    others_folder.chmod(0o555)
    fork(try_as_nobody, Ledger(f"sqlite:///{path}"), queue).join()
    assert str(path) in queue.get()
    fork(try_as_nobody, Ledger(f"sqlite:///{others_folder / 'new' / 'ledger.db'}"), queue).join()
    assert "Permission denied" in queue.get()
    others_folder.chmod(0o755)
    assert not (others_folder / "new").exists()


@pytest.mark.fault("P23")
def test_a_ledger_deleted_under_us_is_an_error_and_not_a_fresh_one(tmp_path):
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.append(entry())
    (tmp_path / "ledger.db").unlink()
    with pytest.raises(LedgerUnusable, match="unable to open"):
        ledger.append(entry())
    assert not (tmp_path / "ledger.db").exists()


@pytest.mark.fault("P23")
@pytest.mark.parametrize("damage", ["no database", "a torn page"])
def test_a_corrupt_file_is_damage_and_is_not_overwritten(tmp_path, damage):
    path = tmp_path / "ledger.db"
    ledger = Ledger(f"sqlite:///{path}")
    for _ in range(50):
        ledger.append(entry(payload={"x": "y" * 500}))
    data = path.read_bytes()
    broken = b"not a database" * 1000 if damage == "no database" else data[:4096] + os.urandom(len(data) - 4096)
    path.write_bytes(broken)
    with pytest.raises(LedgerDamaged, match="restore the ledger from a backup"):
        Ledger(f"sqlite:///{path}").verify()
    with pytest.raises(LedgerDamaged):
        ledger.append(entry())
    assert path.read_bytes() == broken


@pytest.mark.fault("P23")
@pytest.mark.parametrize(
    ("state", "kind"),
    [
        *[
            (state, LedgerUnavailable)
            for state in ("08006", "40001", "40P01", "53300", "55P03", "57P01", "57P03", "25P03")
        ],
        *[(state, LedgerUnusable) for state in ("53100", "42501", "25006", "28P01", "3D000")],
        *[(state, LedgerDamaged) for state in ("23505", "42P01", "42703", "XX001")],
    ],
)
def test_a_postgres_error_is_waited_out_mended_or_distrusted(state, kind):
    from psycopg import errors
    from sqlalchemy.exc import DBAPIError

    orig = errors.lookup(state)("words of the server")
    assert type(explain(DBAPIError(None, None, orig), "here")) is kind


def test_a_connection_that_broke_is_waited_out_whatever_the_words():
    from psycopg import OperationalError
    from sqlalchemy.exc import DBAPIError

    orig = OperationalError("the server does not exist any more")
    assert type(explain(DBAPIError(None, None, orig, connection_invalidated=True), "here")) is LedgerUnavailable
    assert type(explain(DBAPIError(None, None, orig), "here")) is LedgerUnusable


def test_the_driver_is_what_the_failure_table_was_made_for():
    assert sqlite3.SQLITE_BUSY == 5
    assert sqlite3.SQLITE_LOCKED == 6
    assert sqlite3.SQLITE_PROTOCOL == 15
    assert (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_NOTADB) == (
        1,
        11,
        19,
        26,
    )
