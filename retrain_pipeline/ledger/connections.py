"""Transactions on SQLite or PostgreSQL: one writer at a time, bounded patience, safe across fork and threads."""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from retrain_pipeline.errors import TransientError
from retrain_pipeline.files import private_folder, sync_folder
from retrain_pipeline.ledger.errors import LedgerUnusable, LedgerUrlRefused

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

T = TypeVar("T")

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql+psycopg://", "postgresql://")
# SQLite's own wait is short, so that the patience of the retry loop above it is what counts.
_BUSY_SECONDS = 2.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 1.0
# A writer that is stopped (SIGSTOP, a frozen machine) inside a transaction holds up everybody; the server ends it.
_POSTGRES_WRITE = "SET LOCAL lock_timeout = '2s'", "SET LOCAL idle_in_transaction_session_timeout = '20s'"
_POSTGRES_READ = ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",)


class Connections:
    """The way to one database. Nothing is opened before the first transaction.

    Engines are kept by process id: a child after a fork opens its own and never touches its parent's sockets. SQLite
    connections are opened for each transaction (no handle is ever carried over a fork), PostgreSQL ones are pooled.
    """

    def __init__(
        self,
        url: str,
        patience_seconds: float,
        is_ready: Callable[["Connection"], bool],
        create: Callable[["Connection"], None],
    ) -> None:
        self._url = url
        self._patience_seconds = patience_seconds
        self._is_ready, self._create = is_ready, create
        self._engines: dict[int, Engine] = {}
        self.file: Path | None = None
        if url.startswith(_SQLITE):
            path = url.removeprefix(_SQLITE)
            if not path or path.startswith(":memory:"):
                raise LedgerUrlRefused("a ledger in memory forgets: give sqlite:///<path of a file>")
            self.file = Path(path).absolute()
        elif not url.startswith(_POSTGRES):
            raise LedgerUrlRefused(
                f"ledger URL {url.split(':')[0]!r:.40}…: use sqlite:///<path> or postgresql+psycopg://…"
            )

    @property
    def place(self) -> str:
        """Where the ledger is, without secrets."""
        if self.file is not None:
            return str(self.file)
        url = self._postgres_url()
        host = url.host or url.query.get("host", "localhost")
        return f"postgresql {host}:{url.port or url.query.get('port', 5432)}/{url.database}"

    def write(self, work: Callable[["Connection"], T]) -> T:
        """Run `work` in a transaction that holds the only write lock of SQLite; commit it, or leave no trace."""
        return self._patiently(lambda: self._transact(self._engine(), work, True))

    def read(self, work: Callable[["Connection"], T]) -> T:
        """Run `work` on one snapshot of the database."""
        return self._patiently(lambda: self._transact(self._engine(), work, False))

    def close(self) -> None:
        """Close this process's connections; the next transaction opens new ones."""
        engine = self._engines.pop(os.getpid(), None)
        if engine is not None:
            engine.dispose()

    def _patiently(self, attempt: Callable[[], T]) -> T:
        from sqlalchemy.exc import DBAPIError

        from retrain_pipeline.ledger.failures import explain

        deadline = time.monotonic() + self._patience_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return attempt()
            except DBAPIError as error:
                failure = explain(error, self.place)
                if not isinstance(failure, TransientError) or time.monotonic() + pause > deadline:
                    raise failure from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _transact(self, engine: "Engine", work: Callable[["Connection"], T], writes: bool) -> T:
        if self.file is not None:
            opening: tuple[str, ...] = ("BEGIN IMMEDIATE" if writes else "BEGIN",)
        else:
            opening = _POSTGRES_WRITE if writes else _POSTGRES_READ
        with engine.connect() as conn, conn.begin():
            for statement in opening:
                conn.exec_driver_sql(statement)
            return work(conn)

    def _engine(self) -> "Engine":
        engine = self._engines.get(os.getpid())
        if engine is None:
            fresh = self._open_sqlite(self.file) if self.file is not None else self._open_postgres()
            if not self._transact(fresh, self._is_ready, False):
                self._transact(fresh, self._create, True)
            engine = self._engines.setdefault(os.getpid(), fresh)
            if engine is not fresh:
                fresh.dispose()
        return engine

    def _open_sqlite(self, file: Path) -> "Engine":
        from sqlalchemy import NullPool, create_engine

        try:
            if not file.exists():
                private_folder(file.parent)
                os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
                sync_folder(file.parent)
        except OSError as error:
            raise LedgerUnusable(
                f"{file}: {error.strerror}; check the folder's permissions and the free space"
            ) from error

        def connect() -> sqlite3.Connection:
            # mode=rw: a file that was deleted under us is an error, not a fresh empty ledger.
            # isolation_level None: transactions begin where we say, not where the driver guesses.
            connection = sqlite3.connect(
                file.as_uri() + "?mode=rw",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            except sqlite3.Error:
                connection.close()
                raise
            return connection

        return create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)

    def _open_postgres(self) -> "Engine":
        from sqlalchemy import create_engine

        url = self._postgres_url()
        arguments = {} if "connect_timeout" in url.query else {"connect_timeout": 5}
        # No limit of our own on connections: the server has one, and its refusal is waited out.
        return create_engine(url, connect_args=arguments, hide_parameters=True, max_overflow=-1)

    def _postgres_url(self) -> "URL":
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            return make_url(self._url).set(drivername="postgresql+psycopg")
        except (ArgumentError, ValueError) as error:
            raise LedgerUrlRefused(
                "ledger URL: expected postgresql+psycopg://user:password@host:port/database"
            ) from error
