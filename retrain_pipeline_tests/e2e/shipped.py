"""The shipped configuration, started for real: `dagster.yaml`, `workspace.yaml`, the Makefile's command, definitions.

A project folder holds a copy of the package with small models of its own under `defs/models`, and copies of the
shipped files, in which only waits are shortened. What is started gets a session of its own, a log file, and an end
by process id, whatever happens.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from retrain_pipeline_tests.assets.conftest import write_model
from retrain_pipeline_tests.e2e.on_record import Record

CHECKOUT = Path(__file__).parents[2]
PATIENCE_SECONDS = 400
"""A deadline for a machine that is many times slower; on a quiet one all comes within seconds, or a minute."""
# Only waits: what they guard is as shipped, and a setting that is gone is an error here.
SHORTER = {
    "poll_interval_seconds": ("30", "1"),
    "free_slots_after_run_end_seconds": ("60", "1"),
}
SHORTER_IN_CODE = {"triggers.py": ("ALERT_SECONDS = 30", "ALERT_SECONDS = 5")}
MODEL_SIDE = ("training_set", "candidate", "evaluation", "release", "insight", "model_card", "records")
T = TypeVar("T")

LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on UnauthorizedError { message } ... on RunConfigValidationInvalid { errors { message } } } }"""
TERMINATE = "mutation($run: String!) { terminateRun(runId: $run) { __typename } }"


@dataclass
class Shipped(Record):
    """One project folder with its state, and the processes that were started over it."""

    port: int = field(default_factory=lambda: free_port())
    started: list[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]] = field(default_factory=list)
    """Each with a watcher that kills its session when told to, and when this process is killed."""

    # --- the folder ---

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def models(self) -> Path:
        return self.project / "retrain_pipeline" / "defs" / "models"

    @property
    def environment(self) -> dict[str, str]:
        """What a shell would have: the project first on the path."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER", "RETRAIN"))}
        return kept | {
            "PYTHONPATH": str(self.project),
            "PYTHONUNBUFFERED": "1",
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "RETRAIN_HOME": str(self.state),
            "RETRAIN_ROOT": str(self.folder / "data"),
            "OMP_NUM_THREADS": "1",
        }

    def write(self, models: dict[str, tuple[str, str]], modules: dict[str, str]) -> None:
        """Write the project: the package with these models (declaration, features), and modules beside it."""
        shipped = CHECKOUT / "retrain_pipeline"
        left_out = shutil.ignore_patterns("__pycache__", "models")
        shutil.copytree(shipped, self.project / "retrain_pipeline", ignore=left_out)
        for name, (waits, less) in SHORTER_IN_CODE.items():
            file = self.project / "retrain_pipeline" / "assets" / name
            assert file.read_text().count(f"{waits}\n") == 1, f"{name}: no line {waits!r}"
            file.write_text(file.read_text().replace(waits, less))
        for name in ("pyproject.toml", "workspace.yaml"):
            shutil.copyfile(CHECKOUT / name, self.project / name)
        for name, (defs, features) in models.items():
            write_model(self.models / name, defs, features)
        for name, text in modules.items():
            (self.project / name).write_text(text)
        (self.folder / "dagster").mkdir()
        (self.folder / "dagster" / "dagster.yaml").write_text(shipped_dagster_yaml())

    # --- processes ---

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a command of this interpreter in the project folder; its log is `<name>.log`."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=self.project,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        words = 'cat >/dev/null; kill -s KILL -- "-$0"'
        watcher = subprocess.Popen(
            ["/bin/sh", "-c", words, str(process.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.started.append((process, watcher))
        return process

    def start_as_make_does(self) -> None:
        """Start what `make serve` starts, on a port of our own."""
        [command] = set(re.findall(r"\$\(BIN\)/(dagster dev [^\n]*)", (CHECKOUT / "Makefile").read_text()))
        words = command.split()
        words[words.index("-p") + 1] = str(self.port)
        self.start("dev", "-m", *words)
        self.await_server()

    def start_webserver(self, *more: str) -> None:
        options = ("-h", "127.0.0.1", "-p", str(self.port), "-w", "workspace.yaml", *more)
        self.start("webserver", "-m", "dagster_webserver", *options)
        self.await_server()

    def start_daemon(self) -> None:
        self.start("daemon", "-m", "dagster._daemon", "run", "-w", "workspace.yaml")

    def await_server(self) -> None:
        def answers() -> bool:
            try:
                found = self.graphql("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
            except OSError:
                return False
            return bool(found["repositoriesOrError"].get("nodes"))

        self.until(answers, "the webserver answers and has loaded the code location")

    def processes(self) -> list[psutil.Process]:
        """Return what runs over this folder: nothing else has its state in the environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("RETRAIN_HOME") == str(self.state):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return [one for one in found if one.pid != os.getpid() and one.is_running()]

    def code_servers(self) -> list[psutil.Process]:
        return [one for one in self.processes() if {"api", "grpc"} <= set(_command(one))]

    def stop(self) -> None:
        """End everything: the sessions that were started, then whatever else has this folder in its environment."""
        for _, watcher in self.started:
            watcher.communicate()  # closes its pipe, so it kills the session
        for process, _ in self.started:
            process.wait()
        self.started.clear()
        while left := self.processes():
            for one in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            psutil.wait_procs(left, timeout=5)

    def logs(self) -> str:
        """Return the ends of the logs of what was started, and what the runs said last."""
        parts = [f"--- {path.name}\n{path.read_text(errors='replace')[-6000:]}" for path in self.folder.glob("*.log")]
        for run in self.runs():
            told = [entry.message for entry in self.events(run.run_id)][-12:]
            parts.append(f"--- run {run.run_id} {run.status.value}\n" + "\n".join(told)[-3000:])
        entries = [f"{one.seq} {one.action} {one.payload}"[:300] for one in self.entries()]
        parts.append("\n".join(["--- ledger", *entries]))
        return "\n".join(parts)

    def until(self, found: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
        """Wait for something true and return it; what never comes is an error with all logs."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if answer := found():
                return answer
            time.sleep(0.1)
        raise AssertionError(f"after {seconds:.0f} s it was still not so that {what}\n{self.logs()}")

    def ended(self, run_id: str) -> str:
        """Wait for the end of a run and return its status."""
        self.until(lambda: self.status(run_id) in ("SUCCESS", "FAILURE", "CANCELED"), f"run {run_id} ended")
        return self.status(run_id)

    # --- over HTTP ---

    def post(self, path: str, body: Any) -> tuple[int, str]:
        """Post JSON to the webserver, and return status and answer."""
        url, headers = f"http://127.0.0.1:{self.port}{path}", {"Content-Type": "application/json"}
        asked = urllib.request.Request(url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        status, answer = self.post("/graphql", {"query": query, "variables": variables})
        assert status == 200, answer
        return dict(json.loads(answer)["data"])

    def asked(self, model: str, assets: Sequence[str], tags: dict[str, str] | None = None) -> dict[str, Any]:
        """Return the variables of a launch, as the UI's Materialize button sends them."""
        selector = {
            "repositoryLocationName": "retrain_pipeline",
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": [model, asset]} for asset in assets],
        }
        told = {"tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]}
        return {"params": {"selector": selector, "runConfigData": {}, "executionMetadata": told}}

    def launch(self, model: str, *assets: str, tags: dict[str, str] | None = None) -> str:
        """Materialize assets from the UI, and return the run's id."""
        answer = self.graphql(LAUNCH, **self.asked(model, assets or MODEL_SIDE, tags))["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    # --- orders to the team's code, which obeys a file ---

    def order(self, word: str) -> Path:
        """Give an order; the file `<word>.reached` says who came to it."""
        path = self.state / "orders" / word
        path.parent.mkdir(exist_ok=True)
        reached(path).unlink(missing_ok=True)
        path.touch()
        return path

    def worker_at(self, order: Path) -> tuple[psutil.Process, str]:
        """Wait for a run's worker to come to an order; return it and the model that it works for."""
        told = self.until(lambda: reached(order).exists() and reached(order).read_text(), f"a worker came to {order}")
        pid, model = told.split()
        return psutil.Process(int(pid)), model


def reached(order: Path) -> Path:
    return order.with_suffix(".reached")


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shipped_dagster_yaml() -> str:
    """Return the shipped `dagster.yaml` with shorter waits."""
    text = (CHECKOUT / "dagster.yaml").read_text()
    for name, (shipped, shorter) in SHORTER.items():
        line = f"{name}: {shipped}\n"
        assert text.count(line) == 1, f"dagster.yaml: no line {line!r}"
        text = text.replace(line, f"{name}: {shorter}\n")
    line = "  class: QueuedRunCoordinator\n"
    assert text.count(line) == 1, f"dagster.yaml: no line {line!r}"
    return text.replace(line, f"{line}  config:\n    dequeue_interval_seconds: 1\n")  # of Dagster's 5
