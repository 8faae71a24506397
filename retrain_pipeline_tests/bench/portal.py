"""(m) How long a portal takes to build, and to take in one more version, by how many versions are on record."""

import multiprocessing
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.progress import track

from retrain_pipeline.records.portal.build import Built, build_portal
from retrain_pipeline.records.record import enter
from retrain_pipeline.stores import open_stores
from retrain_pipeline_tests.bench.tables import markdown_table, median, write_page
from retrain_pipeline_tests.records.portal.browsing import chromium, started
from retrain_pipeline_tests.records.portal.written import Tried, Written

SIZES = (100, 1000, 10_000)
RUNS = 3
_ALL_READ = re.compile(r"\d+ found(, the first 50 are shown)?")


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
            add(model, number, "FAIL" if number % 4 == 3 else "PASS")
        site = folder / "site"
        whole = timed(lambda: build_portal(stores, site))
        same = timed(lambda: build_portal(stores, site))
        added = []
        for number in range(RUNS):
            add(model, versions + number, "PASS")
            added.append(timed(lambda: build_portal(stores, site)))
        size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) / 2**20
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found = searched(site, f"measured {versions // 2}")
        stores.close()
    clock, cpu = (median([one[at] for one in added]) for at in (0, 1))
    seconds = (whole[0], whole[1], same[0], same[1], clock, cpu)
    row = [f"{versions:,}", f"{whole[2].pages:,}", f"{size:.0f}", *(f"{one:.1f}" for one in seconds)]
    return [*row, added[0][2].made, f"{peak_mb:.0f}", *found]


def add(model: Written, number: int, verdict: str) -> None:
    """Write a monitored period, a version with all that makes one, and its experiment record."""
    model.monitor(number, 2.0 + number % 7 / 10)
    version = model.version(verdict=verdict)
    run = f"run-{model.name}-{number:05d}"
    record = Tried.make(
        model=model.name, subject=run, run_id=run, why_failed=None if verdict == "PASS" else "quality was not shown",
        lesson=f"measured {number}", version=version, links={},
    )  # fmt: skip
    enter(model.stores, record, actor="bench")


def searched(site: Path, words: str) -> list[str]:
    """Return megabytes of what is searched, and seconds from a word typed to the first answer and to the last part."""
    parts = sum(file.stat().st_size for file in site.glob("m/*/search-*.js")) / 2**20
    paths = chromium()
    if paths is None:
        return [f"{parts:.1f}", "no browser", ""]
    with started(paths) as browser:
        browser.get((site / "index.html").as_uri())
        field = browser.find_element("id", "q")
        count = browser.find_element("css selector", "[data-search-count]")
        began, first = time.perf_counter(), 0.0
        field.send_keys(words)
        while not _ALL_READ.fullmatch(told := count.text) and time.perf_counter() - began < 120:
            first = first or (time.perf_counter() - began if "found" in told else 0.0)
        last = time.perf_counter() - began
        if not browser.find_elements("css selector", "[data-search-results] a"):
            raise AssertionError(f"{words!r} is on record, and search says {told!r}")
    return [f"{parts:.1f}", f"{first or last:.1f}", f"{last:.1f}"]


def main(sizes: tuple[int, ...] = SIZES) -> None:
    """Measure and write the table."""
    load = os.getloadavg()[0]
    rows = []
    for size in sizes:  # each in a process of its own, whose peak of memory is then its own
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            rows.append(pool.submit(measured, size).result())
    header = [
        "versions", "pages", "MB", "all, s", "of CPU", "nothing new, s", "of CPU", "one more version, s", "of CPU",
        "pages written for it", "peak, MB", "searched, MB", "first answer, s", "all read, s",
    ]  # fmt: skip
    words = (
        "Stores of SQLite and a folder of artifacts, filled through the project's own writers: per version a monitored "
        "period, a retrain, a manifest, a judgement, an experiment record and, for three of four, a release. Building "
        f"in one process; one more version: median of {RUNS}. CPU: seconds that this process computed; the rest it "
        f"waited, also for others on the machine, whose load average was {load:.1f} at the start. Peak: of the "
        "process's memory, its stores written and all built. Searching: in Chromium, from words typed to the first "
        "answer and until all is searched."
    )
    target = "Asked: 1,000 versions in under 60 s, an added one in under 2 s."
    write_page("portal", "Building the portal", [words, markdown_table(header, rows), target])


if __name__ == "__main__":
    main(tuple(int(one) for one in sys.argv[1:]) or SIZES)
