"""(m) How long a portal takes to build, and to take in one more version, by how many versions are on record."""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import track

from retrain_pipeline.records.portal.build import Built, build_portal
from retrain_pipeline.stores import open_stores
from retrain_pipeline_tests.bench.tables import markdown_table, median, write_page
from retrain_pipeline_tests.records.portal.written import Written

SIZES = (100, 1000)
RUNS = 3


def timed(work: Callable[[], Built]) -> tuple[float, float, Built]:
    """Return seconds on the clock, seconds of this process's CPU, and what came."""
    clock, cpu = time.perf_counter(), time.process_time()
    built = work()
    return time.perf_counter() - clock, time.process_time() - cpu, built


def measured(versions: int) -> list[Any]:
    """Write so many versions, build, build again, and add one after the other; return a row of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stores = open_stores(folder / "home")
        model = Written(stores, "bikes")
        first = model.decide(1, "A tree", "## Why\nBecause trees find corners.\n")
        model.decide(2, "A deeper tree", "## Why\nDepth counts.\n", supersedes=first)
        for number in track(range(versions), description=f"portal, {versions} versions"):
            model.monitor(number, 2.0 + number % 7 / 10)
            model.version(verdict="FAIL" if number % 4 == 3 else "PASS")
        site = folder / "site"
        whole = timed(lambda: build_portal(stores, site))
        same = timed(lambda: build_portal(stores, site))
        added = []
        for number in range(RUNS):
            model.monitor(versions + number, 2.0)
            model.version()
            added.append(timed(lambda: build_portal(stores, site)))
        size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) / 2**20
        stores.close()
    clock, cpu = (median([one[at] for one in added]) for at in (0, 1))
    seconds = (whole[0], whole[1], same[0], same[1], clock, cpu)
    return [f"{versions:,}", whole[2].pages, f"{size:.0f}", *(f"{one:.1f}" for one in seconds), added[0][2].made]


def main(sizes: tuple[int, ...] = SIZES) -> None:
    """Measure and write the table."""
    load = os.getloadavg()[0]
    rows = [measured(size) for size in sizes]
    header = [
        "versions", "pages", "MB", "all, s", "of CPU", "nothing new, s", "of CPU", "one more version, s", "of CPU",
        "pages written for it",
    ]  # fmt: skip
    words = (
        "Stores of SQLite and a folder of artifacts, filled through the project's own writers: per version a monitored "
        "period, a retrain, a manifest, a judgement and, for three of four, a release. Building in one process; one "
        f"more version: median of {RUNS}. CPU: seconds that this process computed; the rest it waited, also for others "
        f"on the machine, whose load average was {load:.1f} at the start."
    )
    target = "Asked: 1,000 versions in under 60 s, an added one in under 2 s."
    write_page("portal", "Building the portal", [words, markdown_table(header, rows), target])


if __name__ == "__main__":
    main(tuple(int(one) for one in sys.argv[1:]) or SIZES)
