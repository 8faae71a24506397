"""Processes that race on one deployment: a nursery that imports everything once, and forks them.

``python -m retrain_pipeline_tests.release.racer LAB URL ROLLOUT JOB LOGS SEED``: eight processes run, and for one that
is killed another begins, until as many as `PROCESSES + SUCCESSORS` have begun. Each writes what it asks and what it is
told, each with the monotonic time (one clock for all processes of a machine), to a file of its own.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from retrain_pipeline.ledger.errors import StaleEpoch
from retrain_pipeline.release.errors import ReleaseRefused, RollbackRefused
from retrain_pipeline.release.lineage import reigns
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.release.rollout import _entered
from retrain_pipeline.release.stages import apply
from retrain_pipeline.release.state import current
from retrain_pipeline_tests.gates.world import START
from retrain_pipeline_tests.release.lab import MODEL, Lab, Template, found_to_be

PROCESSES, SUCCESSORS, OPERATIONS = 8, 4, 5
VERSIONS = tuple(f"v{number}" for number in range(1, 7))
SEEN = ("good", "good", "good", "worse")


class Racer:
    """One process: what it does, and what it writes of that."""

    def __init__(self, lab: Lab, log: Path, seed: int, number: int) -> None:
        self.lab, self.number = lab, number
        self.rng = random.Random(f"{seed}:{number}")
        self.log = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def say(self, asked: list[Any], act: Callable[[], Any]) -> None:
        """Do something; write before it and after it."""
        self.write({"asked": asked, "at": time.monotonic()})
        answer = act()
        self.write({"answer": answer, "at": time.monotonic()})

    def write(self, line: dict[str, Any]) -> None:
        os.write(self.log, json.dumps(line).encode() + b"\n")

    def race(self) -> None:
        for number in range(OPERATIONS):
            self.say(["read"], self.read)
            self.rng.choices([self.stage, self.look, self.back, self.machine_back], [5, 6, 1, 1])[0](number)
        self.say(["read"], self.read)

    def read(self) -> list[Any]:
        epoch, now = current(self.lab.ledger, MODEL)
        on = now.challenger
        return [epoch, now.champion, [on.version, on.stage] if on else None]

    def stage(self, _: int) -> None:
        """Judge some version against the champion of now, and put it on trial."""
        _, now = current(self.lab.ledger, MODEL)
        version = self.rng.choice([one for one in VERSIONS if one != now.champion])
        digest = self.lab.judge(version, "PASS")
        entry = next(
            one for one in self.lab.ledger.entries(model=MODEL, action="judged") if one.payload["evidence"] == digest
        )

        def act() -> str:
            try:
                return "done" if self.lab.release(version, digest).released else "already"
            except ReleaseRefused as refusal:
                known = {"was judged at epoch": "stale", "the record gives another error budget": "unproved"}
                return next((told for words, told in known.items() if words in str(refusal)), f"refused: {refusal}")

        if entry.epoch:
            self.say(["stage", entry.epoch, version, digest], act)

    def look(self, _: int) -> None:
        """Look at who is on trial, and do what follows."""
        epoch, now = current(self.lab.ledger, MODEL)
        if now.challenger is None:
            return
        end = START + timedelta(weeks=50 + epoch)
        stores, declaration = self.lab.stores, self.lab.declaration
        with found_to_be(self.rng.choice(SEEN)):
            period = f"{end - timedelta(weeks=1):%Y-%m-%d}"
            digest = _entered(stores, declaration, period, end, epoch, now, now.challenger, Path(), None, "racer")
        from retrain_pipeline.release.look import next_step, read_look

        move = next_step(read_look(stores.artifacts, digest)).move

        def act() -> str:
            try:
                apply(stores, declaration, digest, now, None, "racer")
            except StaleEpoch:
                return "stale"
            return "done"

        self.say(["move", epoch, digest, move], act)

    def back(self, number: int) -> None:
        """A person goes back to a champion by name, whatever happens meanwhile."""
        to = self.rng.choice([one.version for one in reigns(self.lab.ledger, MODEL)])
        because = f"it is odd ({self.number}, {number})"
        self.say(["back", to, because], lambda: self._back(to=to, because=because))

    def machine_back(self, number: int) -> None:
        """A guardrail takes back the champion that it saw."""
        epoch, _ = current(self.lab.ledger, MODEL)
        because = f"a guardrail broke ({self.number}, {number})"
        self.say(["back at", epoch, because], lambda: self._back(at_epoch=epoch, because=because))

    def _back(self, **how: Any) -> str:
        try:
            return rollback(self.lab.stores, MODEL, actor="racer", **how).champion
        except StaleEpoch:
            return "stale"
        except RollbackRefused as refusal:
            return "refused" if "no champion before it" in str(refusal) else f"refused: {refusal}"


class Approved(Racer):
    """One of several that release one version by one approval at the same time, again and again."""

    def race(self) -> None:
        version = VERSIONS[1]
        digest = newest_evidence(self.lab.stores, MODEL, version)
        for _ in range(3):
            self.write({"asked": ["release", version], "at": time.monotonic()})
            try:
                outcome = self.lab.release(version, digest)
                answer = "done" if outcome.released else "already"
            except ReleaseRefused as refusal:
                known = {"was judged at epoch": "stale", "used it already": "used"}
                answer = next((told for words, told in known.items() if words in str(refusal)), f"refused: {refusal}")
            self.write({"answer": answer, "at": time.monotonic()})


JOBS = {"race": Racer, "approved": Approved}


def main(folder: str, url: str, rollout: str, job: str, logs: str, seed: str) -> None:
    """Fork the processes, and successors of those that are killed, until all are done."""
    lab = Template(Path(folder), (), {}).lab(url, rollout)
    running: dict[int, int] = {}
    begun = 0

    def begin() -> None:
        nonlocal begun
        number, begun = begun, begun + 1
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                JOBS[job](lab, Path(logs) / f"{number}.log", int(seed), number).race()
                code = 0
            finally:
                os._exit(code)
        running[pid] = number
        (Path(logs) / f"{number}.pid").write_text(str(pid))

    import deltalake  # noqa: F401  imported before the fork, used after it
    import sklearn.tree  # noqa: F401

    for _ in range(PROCESSES):
        begin()
    failed = []
    while running:
        pid, status = os.wait()
        number = running.pop(pid)
        (Path(logs) / f"{number}.pid").unlink()
        if os.WIFSIGNALED(status) and begun < PROCESSES + SUCCESSORS:
            begin()
        failed += [number] if os.WIFEXITED(status) and os.WEXITSTATUS(status) else []
    sys.exit(f"processes {failed} failed" if failed else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
