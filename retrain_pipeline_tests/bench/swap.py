"""How long the way back takes: the swap of the deployment, a whole rollback, and from a breach to the model before it.

On SQLite and on PostgreSQL, in a ledger that grows. PostgreSQL's part needs its programs (`initdb`, `pg_ctl`).
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrain_pipeline.ledger.entries import DEPLOYMENT, NewEntry
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.ledger.writing import payload_of, record
from retrain_pipeline.monitoring.feedback import update_feedback
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.release.rollout import roll
from retrain_pipeline.release.serving import score_period
from retrain_pipeline.release.state import current
from retrain_pipeline_tests.bench.tables import markdown_table, write_page
from retrain_pipeline_tests.conftest import postgres_binaries, running_postgres
from retrain_pipeline_tests.gates.world import World, versions
from retrain_pipeline_tests.release.staging import GOOD, declare, live, prepared, week
from retrain_pipeline_tests.release.test_rollout import signalled

ENTRIES = (None, 1_000, 20_000)
"""Entries of the ledger; None: as the world has them."""
SWAPS, ROLLBACKS, BREACHES = 200, 50, 20
MODELS = 20
SWAP_SECONDS, RESTORE_SECONDS = 0.05, 1.0
"""What is promised."""
GUARDED = "{guardrails: {latency_ms_p95: {at_most: 20}}, watch_periods: 4}"


@dataclass(frozen=True)
class Times:
    """Seconds of one thing, done many times."""

    taken: np.ndarray
    """Seconds on the clock and seconds of this process's CPU, shape (times, 2)."""
    allowed: float

    @property
    def cells(self) -> list[str]:
        """CPU, median, 95 %, longest, and whether all of them kept the promise."""
        clock, cpu = self.taken.T
        found = np.median(cpu), *np.quantile(clock, [0.5, 0.95, 1.0])
        late = int((clock > self.allowed).sum())
        return [str(len(clock)), *(f"{1000 * one:.1f}" for one in found), f"{late} over {1000 * self.allowed:g} ms"]


def timed(done: Callable[[int], object], times: int, allowed: float) -> Times:
    """Do it so often, and take the time of each."""
    taken = []
    for at in range(times):
        started = _clocks()
        done(at)
        taken.append(_clocks() - started)
    return Times(np.asarray(taken), allowed)


def _clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def released_world(folder: Path, ledger_url: str | None) -> World:
    """Return a world whose second version serves everybody, with a guardrail that breaks in week 8."""
    world = prepared(GOOD).copy(folder, ledger_url)
    declare(world.declaration.folder, rollout=GUARDED)
    world = world.again()
    second = versions(world)[1]
    world.judge(second, run_id="run-7")
    assert world.release(second, newest_evidence(world.stores, "toy", second), run_id="run-7").released
    for number, latency in ((6, 4.0), (7, 5.0), (8, 50.0)):
        signalled(world, number, latency)
    live(world, 7)
    score_period(world.stores, world.declaration, week(8))
    update_feedback(world.stores, world.declaration.spec, week(8))
    return world


def fill(ledger: Ledger, entries: int) -> None:
    """Bring a ledger to so many entries, of many models, as the loop writes them; a few hundred a transaction."""
    missing = entries - ledger.head().seq
    for first in range(0, missing, 500):
        batch = [_looked(ledger.head().seq + at) for at in range(min(500, missing - first))]

        def work(conn, batch=batch):  # type: ignore[no-untyped-def]
            for new in batch:
                record(conn, new, str(new.key), payload_of(new, None), None)

        ledger._connections.write(work)


def _looked(at: int) -> NewEntry:
    model = "toy" if at % MODELS == 0 else f"model_{at % MODELS:02d}"
    payload = {"period": f"p{at}", "results": {f"gate_{one}": "PASS" for one in range(12)}, "words": "no worse; " * 40}
    return NewEntry("rollout", "rollout_looked", model, f"v{at}", payload, epoch=1, key=f"looked:{at}")


def swaps(ledger: Ledger, states: list[dict], folder: Path) -> tuple[Times, Times]:
    """Swap the deployment there and back: the compare-and-swap of a rollback with its entry, in one transaction.

    Before each swap 4 KiB are flushed to the same disk: what any transaction waits for. These times are the second.
    """
    row = ledger.deployment("swapped")
    epoch = 0 if row is None else row.epoch

    def swap(at: int) -> None:
        new = NewEntry("bench", "rolled_back", "swapped", states[at % 2]["champion"], {"because": f"swap {epoch + at}"})
        ledger.change_deployment("swapped", epoch + at, states[at % 2], new)

    taken, flushed = [], []
    with (folder / "flushed").open("wb") as file:
        for at in range(SWAPS):
            started = _clocks()
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())
            flushed.append(_clocks() - started)
            started = _clocks()
            swap(at)
            taken.append(_clocks() - started)
    return Times(np.asarray(taken), SWAP_SECONDS), Times(np.asarray(flushed), SWAP_SECONDS)


def rollbacks(world: World) -> Times:
    """Roll back to the one and to the other: each is loaded and asked before it serves."""
    both = versions(world)[:2]

    def back(at: int) -> None:
        rollback(world.stores, "toy", to=both[at % 2], because=f"there and back: {at}", actor="bench")

    return timed(back, ROLLBACKS, RESTORE_SECONDS)


def breaches(world: World, released: dict) -> Times:
    """Let the step of the rollout find a broken guardrail, until the model before it is on record again."""
    first, second = versions(world)[:2]
    rollback(world.stores, "toy", to=first, because="so that the second can be released", actor="bench")
    taken = []
    for at in range(BREACHES):
        new = NewEntry("bench", "released", "toy", second, {"version": second, "because": f"breach {at}"})
        world.stores.ledger.change_deployment("toy", current(world.stores.ledger, "toy")[0], released, new)
        started = _clocks()
        report = roll(world.stores, world.declaration, week(8))
        _, found = current(world.stores.ledger, "toy")
        taken.append(_clocks() - started)
        assert report.move == "rolled_back", report.words
        assert found is not None
        assert found.champion == first
    return Times(np.asarray(taken), RESTORE_SECONDS)


def rows(kind: str, ledger_url: str | None) -> Iterator[list[str]]:
    """Yield the lines of the table for one database."""
    with tempfile.TemporaryDirectory(prefix="swap-") as folder:
        world = released_world(Path(folder), ledger_url)
        ledger = world.stores.ledger
        entries = ledger.entries(model="toy", action="released")
        states = [entry.payload[DEPLOYMENT]["state"] for entry in entries[:2]]
        for wanted in ENTRIES:
            if wanted is not None:
                fill(ledger, wanted)
            at = f"{ledger.head().seq:,}"
            yield [kind, at, "breach to restored, in one step", *breaches(world, states[1]).cells]
            yield [kind, at, "rollback, whole", *rollbacks(world).cells]
            swapped, flushed = swaps(ledger, states, Path(folder))
            yield [kind, at, "swap", *swapped.cells]
            yield [kind, at, "4 KiB flushed to this disk, between the swaps", *flushed.cells]
        world.stores.close()


@contextmanager
def databases() -> Iterator[dict[str, str | None]]:
    """Yield the databases there are: a file, and a PostgreSQL of our own."""
    binaries = postgres_binaries()
    if binaries is None:
        print("PostgreSQL is not installed: its half of the table is left out", file=sys.stderr)
        yield {"SQLite": None}
        return
    with running_postgres(binaries) as server:
        server.execute("CREATE DATABASE swap")
        yield {"SQLite": None, "PostgreSQL": server.url("swap")}


def main() -> None:
    """Measure on every database and write the page."""
    header = [
        "ledger",
        "entries before",
        "what",
        "times",
        "CPU, median, ms",
        "median, ms",
        "95 %, ms",
        "longest, ms",
        "promise",
    ]
    busy = os.getloadavg()[0]
    with databases() as found:
        table = []
        for kind, url in found.items():
            for row in rows(kind, url):
                print(*row, sep=" | ", file=sys.stderr, flush=True)
                table.append(row)
    words = (
        "A *swap* is the transaction of a rollback: the epoch is compared, the record is changed, the entry is chained "
        "and flushed to the disk. *Rollback, whole*: the reigns are read, the target is loaded and asked, swapped, and "
        "asserted by digest. *Breach to restored*: the step of the rollout (`release.rollout.roll`) of a period in "
        "which a guardrail broke, until the model before it is read back from the ledger; guardrails, the comparison "
        f"of a week of losses, and the rollback are in it. Of the entries one in {MODELS} is the model's own; its "
        f"reigns, each of which is hashed again when it is read, grow to {len(ENTRIES) * (ROLLBACKS + 2 * BREACHES)}. "
        f"Promised: {1000 * SWAP_SECONDS:g} ms a swap, {RESTORE_SECONDS:g} s until the restored record. "
        "No transaction is faster than a flush of the disk, which is timed between the swaps. "
        f"*CPU* is the median of this process's. Load of the machine when it began and ended: {busy:.1f}, "
        f"{os.getloadavg()[0]:.1f}."
    )
    print(write_page("swap", "Going back: how long it takes", [words, markdown_table(header, table)]).read_text())


if __name__ == "__main__":
    main()
