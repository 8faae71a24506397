"""Stores for tests: real files, a real SQLite, and a real PostgreSQL that lives as long as the session."""

import gc
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.stores import Stores, open_stores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first: in a parallel run the file that starts last decides when all is done.

    Of them those whose tests are given the most time: what a file takes is not known before, what it may take is.
    """
    allowed: dict[Path, float] = {}
    for item in items:
        if item.get_closest_marker("slow"):
            limit = item.get_closest_marker("timeout")
            allowed[item.path] = max(allowed.get(item.path, 0.0), limit.args[0] if limit else 0.0)
    items.sort(key=lambda item: (-allowed.get(item.path, -1.0), "e2e" not in item.path.parts))


def pytest_configure() -> None:
    """Let the garbage collector look less often: half a million objects stay, and it walks them all each time."""
    gc.set_threshold(20_000, 20, 50)


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server of our own: in a folder of its own, on a port of its own, for this machine only."""

    binaries: Path
    folder: Path
    port: int
    password: str

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://retrain:{self.password}@127.0.0.1:{self.port}/{database}"

    def initialise(self) -> None:
        """Make the cluster, with fsync on and a password asked."""
        secret = self.folder / "password"
        secret.write_text(self.password)
        self.own(secret)
        self.run("initdb", "-D", "data", "-U", "retrain", "-A", "scram-sha-256", "--pwfile=password", "-E", "UTF8",
                 "--locale=C")  # fmt: skip

    def start(self) -> None:
        """Start the server and wait for it."""
        options = (
            f"-c port={self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} "
            "-c fsync=on -c shared_buffers=32MB -c max_connections=60"
        )
        self.run("pg_ctl", "-D", "data", "-l", "log", "-w", "-t", "60", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: "fast" ends the sessions, "immediate" is a crash."""
        self.run("pg_ctl", "-D", "data", "-w", "-t", "60", "-m", mode, "stop")

    @contextmanager
    def end_of_session(self) -> Iterator[None]:
        """Stop the server also when this process is killed: a shell waits for the end of a pipe that we hold open."""
        words = 'cat; "$0" -D "$1/data" -m immediate stop; rm -rf "$1"'
        watcher = subprocess.Popen(
            ["/bin/sh", "-c", words, self.binaries / "pg_ctl", self.folder],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self.user(),
        )
        yield
        watcher.communicate()

    def execute(self, statement: str) -> None:
        """Run a statement outside a transaction."""
        import psycopg

        with psycopg.connect(self.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def own(self, path: Path) -> None:
        """Give a path to the user that runs the server; it refuses to run as root."""
        if os.geteuid() == 0:
            os.chown(path, pwd.getpwnam("postgres").pw_uid, pwd.getpwnam("postgres").pw_gid)

    def user(self) -> dict[str, Any]:
        """Return the arguments of a subprocess that may run the server."""
        return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs in the folder."""
        # The server inherits what it is started with: no pipe of ours may stay open in it.
        with (self.folder / f"{program}.out").open("w+") as out:
            done = subprocess.run(
                [self.binaries / program, *arguments],
                cwd=self.folder,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                check=False,
                **self.user(),
            )
            out.seek(0)
            assert done.returncode == 0, f"{program}: {out.read()}"


def postgres_binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None where it is not installed."""
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "pg_ctl").exists()), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_postgres(binaries: Path) -> Iterator[Postgres]:
    """Run a new PostgreSQL, and take it away again."""
    # A short path: the name of a Unix socket has 107 bytes.
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
        server = Postgres(binaries, Path(folder), _free_port(), secrets.token_hex(8))
        server.own(Path(folder))
        server.initialise()
        with server.end_of_session():
            server.start()
            yield server
            server.stop("immediate")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL; each worker of pytest-xdist starts its own."""
    binaries = postgres_binaries()
    if binaries is None:
        words = "PostgreSQL is not installed: no initdb in PATH or /usr/lib/postgresql/*/bin"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(words)
    with running_postgres(binaries) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    name = f"t{secrets.token_hex(8)}"
    postgres.execute(f"CREATE DATABASE {name}")
    yield postgres.url(name)
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a ledger that does not exist yet, once for each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """A ledger, once for each database."""
    ledger = Ledger(ledger_url)
    yield ledger
    ledger.close()


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """Artifacts in a folder."""
    return Artifacts(tmp_path / "artifacts")


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    """The three stores in a folder."""
    stores = open_stores(tmp_path / "home")
    yield stores
    stores.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 300 kB that can really be full; mounting needs root, others see the size limit of a process tested."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k,mode=700", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)
