"""Moments of a write that a death can fall into, and processes that die there.

A *door* is a moment of a write: a temporary file that is empty, half written, not synced, not renamed, renamed; a
ledger transaction that begins, wrote a row, is about to be committed, is committed. Product code is not touched: a
child process wraps `os` as `retrain_pipeline.files` sees it, and SQLAlchemy's events.
"""

import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect

from retrain_pipeline import files


@dataclass(frozen=True)
class Door:
    """The `number`-th moment of a write; for `what` in this step it is the `nth`.

    Only step, what and nth are the same in another walk: digests of measured times differ, so one walk has to make a
    folder for them where another has it already.
    """

    number: int
    step: str
    what: str
    nth: int

    @property
    def place(self) -> tuple[str, str, int]:
        return self.step, self.what, self.nth


class Doors:
    """Counts the doors of this process and calls `at` at each."""

    def __init__(self, at: Callable[[Door], None]) -> None:
        self.at, self.step, self.passed = at, "", Counter[tuple[str, str]]()

    def reach(self, what: str) -> None:
        self.passed[self.step, what] += 1
        self.at(Door(self.passed.total(), self.step, what, self.passed[self.step, what]))

    def install(self) -> None:
        """Wrap the doors of this process for good: only for a child that ends soon."""
        files.os = _Os(self)  # type: ignore[assignment]
        commit = DefaultDialect.do_commit

        def do_commit(dialect: DefaultDialect, connection: Any) -> None:
            writes = connection.total_changes > 0  # each transaction has a connection of its own
            if writes:
                self.reach("ledger: before commit")
            commit(dialect, connection)
            if writes:
                self.reach("ledger: committed")

        DefaultDialect.do_commit = do_commit  # type: ignore[method-assign, assignment]

        @event.listens_for(Engine, "before_cursor_execute")
        def before(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if statement.startswith("BEGIN IMMEDIATE"):
                self.reach("ledger: before begin")

        @event.listens_for(Engine, "after_cursor_execute")
        def after(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if statement.lstrip().startswith(("CREATE", "INSERT", "UPDATE")):
                self.reach(f"ledger: after {' '.join(statement.split()[:3])}")

    def run(self, steps: Mapping[str, Callable[[], None]]) -> None:
        """Go through steps by name, their doors with them."""
        self.install()
        for self.step, work in steps.items():
            work()


class _Os:
    """`os`, with doors at each call that puts something on the disk."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fdopen(self, descriptor: int, mode: str) -> "_Torn":
        self._doors.reach("file: empty temporary")
        return _Torn(self._doors, os.fdopen(descriptor, mode))

    def fsync(self, descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        kind = "file" if name.startswith(files.TEMPORARY_PREFIX) else "folder" if len(name) == 2 else "root"
        self._doors.reach(f"{kind}: before fsync")
        os.fsync(descriptor)
        self._doors.reach(f"{kind}: after fsync")

    def replace(self, old: str, new: Path) -> None:
        self._doors.reach("file: before rename")
        os.replace(old, new)
        self._doors.reach("file: renamed")


class _Torn:
    """A file with a door in the middle of each write."""

    def __init__(self, doors: Doors, file: Any) -> None:
        self._doors, self._file = doors, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_Torn":
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        half = len(data) // 2
        self._file.write(data[:half])
        self._file.flush()
        self._doors.reach("file: half written")
        self._file.write(data[half:])


def twins(doors: list[Door], copy: Callable[[Door], None]) -> Callable[[Door], None]:
    """Return what notes each door and forks a twin there, which copies what lies on the disk and is killed."""

    def twin(door: Door) -> None:
        doors.append(door)

        def copy_and_die() -> None:
            # In the twin: closing a copied database file here would drop the locks that the walker holds.
            copy(door)
            die()

        killed(fork(copy_and_die))

    return twin


def die(_door: Door | None = None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fork(work: Callable[[], object]) -> int:
    """Run `work` in a child and return its process id; the child exits with 0, or 1 with a traceback."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:
        if code:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int) -> int:
    return os.waitpid(pid, 0)[1]


def must(work: Callable[[], object]) -> None:
    """Run `work` in a child that must succeed."""
    status = wait(fork(work))
    assert status == 0, f"{work}: wait status {status}"


def killed(pid: int) -> None:
    status = wait(pid)
    assert os.WIFSIGNALED(status), status
    assert os.WTERMSIG(status) == signal.SIGKILL, status


def in_turn(works: list[Callable[[], object]], workers: int = 2) -> None:
    """Run all in children, some at a time; each must succeed."""
    running: set[int] = set()
    failed = 0
    for work in works:
        if len(running) >= workers:
            pid, status = os.wait()
            running.discard(pid)
            failed += status != 0
        running.add(fork(work))
    failed += sum(wait(pid) != 0 for pid in running)
    assert not failed, f"{failed} of {len(works)} failed, see above"
