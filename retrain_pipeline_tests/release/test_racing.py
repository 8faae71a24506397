"""Eight processes on one deployment, some killed and some stopped for a while: what they were told could have come of
doing one thing after the other, and the ledger holds each acknowledged change exactly once.

`RETRAIN_RACES` is the number of races, each of another seed (default 1).
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from retrain_pipeline.ledger.entries import DEPLOYMENT, Entry
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.release.state import current
from retrain_pipeline_tests.release.lab import ASKING, FIRST_WEEK, MODEL, RACE, Lab, template
from retrain_pipeline_tests.release.linearizable import Operation, order
from retrain_pipeline_tests.release.racer import VERSIONS
from retrain_pipeline_tests.release.test_state_machine import empty

RACES = int(os.environ.get("RETRAIN_RACES", "1"))
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Register:
    """What there is to race for. Keys of changes are remembered: the same change again is told that it was made."""

    epoch: int
    stack: tuple[str, ...]
    reigned: frozenset[str]
    trial: tuple[str, str, str] | None = None
    """Version, evidence, stage."""
    champion_by: str | None = None
    done: frozenset[tuple[Any, ...]] = frozenset()

    @property
    def champion(self) -> str:
        return self.stack[-1]

    def changed(self, *key: Any, **more: Any) -> "Register":
        return replace(self, epoch=self.epoch + 1, done=self.done | {key}, **more)

    def back_to(self, version: str) -> "Register":
        stack = self.stack
        if version in stack:
            while stack[-1] != version:
                stack = stack[:-1]
        else:
            stack = (*stack, version)
        return self.changed("back", self.epoch, stack=stack, trial=None, champion_by=None)


def step(now: Register, asked: tuple[Any, ...]) -> list[tuple[Register, Any]]:
    """Return what may come of an operation, one after the other."""
    return {"read": _read, "stage": _stage, "move": _move, "back": _back, "back at": _back_at}[asked[0]](
        now, *asked[1:]
    )


def _read(now: Register) -> list[tuple[Register, Any]]:
    on = now.trial
    return [(now, [now.epoch, now.champion, [on[0], on[2]] if on else None])]


def _stage(now: Register, epoch: int, version: str, digest: str) -> list[tuple[Register, Any]]:
    # Another judgement was entered between its look at the error budget and its own entry: it is to be judged anew.
    may: list[tuple[Register, Any]] = [(now, "unproved")]
    if digest == now.champion_by or (now.trial is not None and now.trial[1] == digest):
        may.append((now, "already"))
    if ("stage", epoch, digest) in now.done:
        may.append((now, "done"))
    if epoch == now.epoch:
        return [*may, (now.changed("stage", epoch, digest, trial=(version, digest, "shadow")), "done")]
    return [*may, (now, "stale")]


def _move(now: Register, epoch: int, digest: str, move: str) -> list[tuple[Register, Any]]:
    if ("move", epoch, digest) in now.done:
        return [(now, "done")]
    if epoch != now.epoch:
        return [(now, "stale")]
    version, evidence, _ = now.trial or ("", "", "")
    more: dict[str, Any] = {"trial": None}
    if move == "advance":
        more = {"trial": (version, evidence, "canary")}
    elif move == "promote":
        more |= {"stack": (*now.stack, version), "reigned": now.reigned | {version}, "champion_by": evidence}
    return [(now.changed("move", epoch, digest, **more), "done")]


def _back(now: Register, to: str, _: str) -> list[tuple[Register, Any]]:
    if to not in now.reigned:
        return []
    return [(now if to == now.champion else now.back_to(to), to)]


def _back_at(now: Register, epoch: int, _: str) -> list[tuple[Register, Any]]:
    if epoch != now.epoch:
        return [(now, "stale")]
    if len(now.stack) < 2:
        return [(now, "refused")]
    return [(now.back_to(now.stack[-2]), now.stack[-2])]


def read_history(logs: Path) -> list[Operation]:
    """Return what all processes asked and were told."""
    history = []
    for log in sorted(logs.glob("*.log")):
        lines = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        for at, line in enumerate(lines):
            if "asked" in line:
                told = lines[at + 1] if at + 1 < len(lines) else {"at": None, "answer": None}
                history.append(Operation(int(log.stem), tuple(line["asked"]), line["at"], told["at"], told["answer"]))
    return history


def raced(lab: Lab, job: str, rollout: str, url: str, logs: Path, seed: int) -> dict[str, int]:
    """Let the processes run while some are killed and some are stopped for a while; return how many were."""
    logs.mkdir()
    rng, counts, stopped = random.Random(seed), {"killed": 0, "stopped": 0}, dict[int, float]()
    arguments = [lab.template.folder, url, rollout, job, logs, seed]
    nursery = subprocess.Popen(
        [sys.executable, "-m", "retrain_pipeline_tests.release.racer", *map(str, arguments)],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RETRAIN_POLICY": str(lab.template.policy)},
    )  # fmt: skip
    try:
        while nursery.poll() is None:
            time.sleep(rng.uniform(0.02, 0.15))
            for pid in [pid for pid, until in stopped.items() if until <= time.monotonic()]:
                del stopped[pid]
                send(pid, signal.SIGCONT)
            pids = [int(file.read_text() or 0) for file in sorted(logs.glob("*.pid"))]
            if not pids or not (pid := rng.choice(pids)):
                continue
            if rng.random() < 0.12 and counts["killed"] < 6:
                counts["killed"] += send(pid, signal.SIGKILL)
            elif rng.random() < 0.5 and pid not in stopped and len(stopped) < 3:
                counts["stopped"] += send(pid, signal.SIGSTOP)
                stopped[pid] = time.monotonic() + rng.uniform(0.05, 1.0)
    finally:
        for pid in stopped:
            send(pid, signal.SIGCONT)
        if nursery.poll() is None:
            for file in logs.glob("*.pid"):
                send(int(file.read_text()), signal.SIGKILL)
            nursery.kill()
        _, words = nursery.communicate()
    assert nursery.returncode == 0, words
    return counts


def send(pid: int, what: int) -> bool:
    """Send a signal to one of ours; return whether it was still there."""
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def lab_at(monkeypatch):
    """Return a laboratory with a champion and five more versions on record."""
    made: list[Lab] = []
    monkeypatch.setenv("RETRAIN_POLICY", str(template().policy))

    def make(url: str, rollout: str) -> Lab:
        lab = template().lab(url, rollout)
        made.append(lab)
        lab.tell_week(FIRST_WEEK)
        for version in VERSIONS:
            lab.register(version, FIRST_WEEK)
        return lab

    yield make
    for lab in made:
        lab.ledger.close()


def changes_of(lab: Lab) -> list[Entry]:
    return [one for one in lab.ledger.entries(model=MODEL) if DEPLOYMENT in one.payload]


def acknowledged(changes: list[Entry], one: Operation) -> list[Entry]:
    """Return the entries of the change that an operation asked for."""
    kind, *what = one.asked
    if kind == "stage":
        return [
            c for c in changes if c.action == "staged" and c.payload["evidence"] == what[2] and "look" not in c.payload
        ]
    if kind == "move":
        return [c for c in changes if c.payload.get("look") == what[1]]
    return [c for c in changes if c.payload.get("because") == what[1]]


@pytest.mark.requirement("D39", "A32")
@pytest.mark.fault("P1", "P12", "P13", "P22", "P26")
def test_what_racing_processes_are_told_is_linearizable_and_in_the_ledger_once(ledger_url, lab_at, tmp_path):
    for race in range(RACES):
        url = ledger_url if ledger_url.startswith("postgresql") else f"sqlite:///{tmp_path / f'{race}.db'}"
        empty(url)
        lab = lab_at(url, RACE)
        first = lab.judge("v1", "PASS")
        lab.release("v1", first)
        counts = raced(lab, "race", RACE, url, tmp_path / f"logs{race}", race)
        history = read_history(tmp_path / f"logs{race}")
        assert not [one for one in history if str(one.answer).startswith("refused: ")]
        epoch, now = current(lab.ledger, MODEL)
        on = now.challenger
        last = [epoch, now.champion, [on.version, on.stage] if on else None]
        end = time.monotonic()
        history.append(Operation(-1, ("read",), end, end + 1, last))
        start = Register(1, ("v1",), frozenset({"v1"}), champion_by=first)
        found = order(history, start, step)
        assert found is not None, history
        assert lab.ledger.verify().verdict == "PASS"
        changes = changes_of(lab)
        assert [one.epoch for one in changes] == list(range(1, epoch + 1))
        for one in history:
            if one.asked[0] != "read":
                entries = acknowledged(changes, one)
                assert len(entries) <= 1
                assert entries or one.answer != "done", one
        lost = sum(one.ended is None for one in history)
        told = f"{len(history)} operations, {epoch} epochs, {lost} without an answer, {counts}"
        print(f"race {race}: {told}, stale: {sum(one.answer == 'stale' for one in history)}")
        assert counts["killed"], told
        assert counts["stopped"], told
        assert epoch > 5, told


@pytest.mark.requirement("A32", "D44")
@pytest.mark.fault("P12", "P26")
def test_an_approval_that_many_processes_use_at_once_lets_one_release_through(ledger_url, lab_at, tmp_path):
    lab = lab_at(ledger_url, ASKING)
    for version in VERSIONS[:2]:
        digest = lab.judge(version, "PASS")
        lab.say("alice", "release", version, digest, 1)
        if version == VERSIONS[0]:
            assert lab.release(version, digest).released
    raced(lab, "approved", ASKING, ledger_url, tmp_path / "logs", 5)
    digest = newest_evidence(lab.stores, MODEL, VERSIONS[1])
    history = read_history(tmp_path / "logs")
    assert len(history) >= 8
    # Between its look at the epoch and its look at the approval another one may have used it.
    assert {one.answer for one in history if one.ended} <= {"done", "already", "stale", "used"}
    assert not lab.ledger.entries(action="awaiting_approval"), "nobody was ever waited for"
    used = [one.payload["permit"]["nonce"] for one in changes_of(lab) if "permit" in one.payload]
    said = [one.payload["statement"]["nonce"] for one in lab.ledger.entries(action="approved")]
    assert used == said
    assert current(lab.ledger, MODEL)[1].challenger.evidence == digest
    assert lab.ledger.verify().verdict == "PASS"
