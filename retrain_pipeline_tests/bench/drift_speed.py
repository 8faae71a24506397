"""The drift check of a large table, out of memory, beside Evidently on the same rows and DuckDB's bare scan.

Peers run in processes of their own, in turn with ours. DuckDB is not a dependency: set RETRAIN_BENCH_PYTHON to the
interpreter of an environment that has it; without one its arm is left out and the page says so. The table takes 2.6 GB
of the temporary folder.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from retrain_pipeline_tests.bench.tables import markdown_table, median, write_page

ROWS, COLUMNS, CATEGORIES = 5_000_000, 30, 5
REFERENCE_ROWS, PERIODS = 200_000, 26
EVIDENTLY_ROWS = 50_000
HISTORIES = (26, 260, 2600)

OURS = """
import polars as pl
from retrain_pipeline.monitoring.drift import drift
from retrain_pipeline.monitoring.profile import profile_lazy
from retrain_pipeline.monitoring.summaries import Profile, with_edges
value = json.load(open(folder + "/reference.json"))
whole = Profile.from_json(value["whole"])
periods = [with_edges(one, whole.edges) for one in value["periods"]]
found = profile_lazy(pl.scan_parquet(table), whole.edges)
print(drift(whole, found.columns, 200.0, periods=periods).words, file=sys.stderr)
rows = found.rows
"""
EVIDENTLY = """
import os
os.environ["DO_NOT_TRACK"] = "1"
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
sides = [pd.read_parquet(folder + "/" + name) for name in ("sample.parquet", "reference.parquet")]
sides = [side.head(ROWS) for side in sides]
numbers = [name for name in sides[0] if name.startswith("x")]
rest = [name for name in sides[0] if not name.startswith("x")]
definition = DataDefinition(numerical_columns=numbers, categorical_columns=rest)
started = time.perf_counter()  # its import and the reading are not counted against it
Report([DataDriftPreset()]).run(*(Dataset.from_pandas(side, data_definition=definition) for side in sides)).dict()
rows = len(sides[0])
"""
DUCKDB = """
import duckdb
names = [row[0] for row in duckdb.sql(f"describe select * from read_parquet('{table}')").fetchall()]
summed = {name: f", sum({name})" if name.startswith("x") else "" for name in names}
wanted = ", ".join(f"count({name}), min({name}), max({name}){summed[name]}" for name in names)
started = time.perf_counter()
duckdb.sql("set threads to 2")
# a condition that is true of all rows, or the answer comes from the file's statistics without a scan
duckdb.sql(f"select {wanted} from read_parquet('{table}') where x0 > -1e300").fetchall()
rows = duckdb.sql(f"select count(*) from read_parquet('{table}')").fetchall()[0][0]
"""
SHELL = """
import json, sys, time
folder, table = sys.argv[1:3]
started = time.perf_counter()
{code}
seconds = time.perf_counter() - started
# of this program alone: ru_maxrss begins at what the process that started it held
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([seconds, rows, int(peak.split()[1]) / 1024]))
"""


def make(folder: Path) -> None:
    """Write the table twice as large as needed in parts, its reference with the periods, and a sample."""
    import pandas as pd

    from retrain_pipeline.monitoring.profile import profile
    from retrain_pipeline.monitoring.summaries import without_edges

    rng = np.random.default_rng(1)
    parts, size = 20, 2 * ROWS // 20
    for part in track(range(parts), description="data"):
        _frame(rng, size).to_parquet(folder / f"part{part:02d}.parquet", index=False, row_group_size=131_072)
    reference = _frame(rng, REFERENCE_ROWS)
    reference.head(EVIDENTLY_ROWS).to_parquet(folder / "reference.parquet", index=False)
    _frame(rng, EVIDENTLY_ROWS).to_parquet(folder / "sample.parquet", index=False)
    whole = profile(reference)
    cut = np.arange(REFERENCE_ROWS) * PERIODS // REFERENCE_ROWS
    periods = [without_edges(profile(pd.DataFrame(part), whole.edges)) for _, part in reference.groupby(cut)]
    (folder / "reference.json").write_text(json.dumps({"whole": whole.to_json(), "periods": periods}))


def _frame(rng: np.random.Generator, rows: int):  # type: ignore[no-untyped-def]
    import pandas as pd

    columns = {f"x{i}": rng.normal(size=rows) for i in range(COLUMNS - CATEGORIES)}
    levels = np.array([f"level{i:02d}" for i in range(40)], dtype=object)
    columns |= {f"c{i}": levels[rng.integers(0, 8 * (i + 1), rows)] for i in range(CATEGORIES)}
    return pd.DataFrame(columns)


def measured(code: str, folder: Path, table: str, python: str = sys.executable) -> tuple[float, int, float]:
    """Run an arm in a process of its own; return seconds, rows and peak MB."""
    done = subprocess.run(
        [python, "-W", "ignore", "-c", SHELL.format(code=code), str(folder), table],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, rows, mb = json.loads(done.stdout.strip().splitlines()[-1])
    return seconds, rows, mb


def incremental(folder: Path) -> list[list[str]]:
    """Seconds, and those of the processor, of a check of one stored period, over histories of other lengths."""
    from retrain_pipeline.monitoring.drift import drift
    from retrain_pipeline.monitoring.summaries import Profile, with_edges

    value = json.loads((folder / "reference.json").read_text())
    rows = []
    for history in HISTORIES:
        whole = Profile.from_json(value["whole"])
        known = value["periods"]
        summaries = [json.dumps(known[i % len(known)]) for i in range(history)]
        seconds, processor = [], []
        for _ in range(7):
            started, worked = time.perf_counter(), time.process_time()
            # what is read: the champion's own periods and the new one, whatever else was stored
            periods = [with_edges(json.loads(one), whole.edges) for one in summaries[-PERIODS:]]
            drift(whole, periods[-1].columns, 200.0, periods=periods)
            seconds.append(time.perf_counter() - started)
            processor.append(time.process_time() - worked)
        rows.append([f"{history:,}", str(PERIODS), f"{median(seconds):.3f}", f"{median(processor):.3f}"])
    return rows


@dataclass(frozen=True)
class Measured:
    """Runs as `measured` gives them: `ours` of a quarter, half and all of the table; `pairs` of ours and DuckDB's."""

    pairs: list[tuple[tuple[float, int, float], tuple[float, int, float] | None]]
    sizes: list[tuple[float, int, float]]
    evidently: tuple[float, int, float]
    stored: list[list[str]]


def measure(runs: int) -> Measured:
    """Run all arms in turn."""
    duck = os.environ.get("RETRAIN_BENCH_PYTHON")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        quarter, half, whole = (f"{name}/part{which}.parquet" for which in ("0[0-4]", "0*", "*"))
        evidently = measured(EVIDENTLY.replace("ROWS", str(EVIDENTLY_ROWS)), folder, half)
        pairs = []
        for _ in track(range(runs), description="ours and DuckDB"):
            pairs.append((measured(OURS, folder, half), measured(DUCKDB, folder, half, duck) if duck else None))
        ends = [measured(OURS, folder, table) for table in (quarter, whole)]
        return Measured(pairs, [ends[0], _middle([a for a, _ in pairs]), ends[1]], evidently, incremental(folder))


def main(runs: int = 3) -> None:
    """Measure and write the page."""
    found = measure(runs)
    peaks = " / ".join(f"{mb:.0f}" for _, _, mb in found.sizes)
    arms = [_arm(f"ours, {one[1]:,} rows", one) for one in found.sizes]
    arms.append(_arm(f"Evidently, {found.evidently[1]:,} rows", found.evidently))
    said = "DuckDB's bare scan was not measured: RETRAIN_BENCH_PYTHON names no interpreter that has it."
    if scans := [b for _, b in found.pairs if b]:
        arms.append(_arm(f"DuckDB, count, min, max and sum of {ROWS:,} rows", _middle(scans)))
        ratio = median([a[0] / b[0] for a, b in found.pairs if b])
        said = f"Against DuckDB's bare scan: {ratio:.1f} × its time (median of {runs} pairs; target: at most 3)."
    speedup = ROWS / found.sizes[1][0] / (found.evidently[1] / found.evidently[0])
    write_page(
        "drift_speed",
        "The drift check: rows a second, memory",
        [
            f"{COLUMNS} columns ({CATEGORIES} of text) in parquet, read lazily; each arm in a fresh process, and ours "
            "with its imports, the scan, the null from 26 reference periods and the verdict.",
            f"Load of the machine when this page was written: {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores.",
            markdown_table(["arm", "seconds", "rows a second", "peak MB"], arms),
            f"Against Evidently: {speedup:.0f} × its rows a second (target: at least 50).",
            said,
            f"Peak memory as rows double twice: {peaks} MB (target: below 1,000, and flat).",
            "One new period whose summary is stored, by how many periods were ever stored (target: below 0.2 s):",
            markdown_table(["stored periods", "read", "seconds", "of the processor"], found.stored),
        ],
    )


def _middle(runs: list[tuple[float, int, float]]) -> tuple[float, int, float]:
    return median([one[0] for one in runs]), runs[0][1], max(one[2] for one in runs)


def _arm(name: str, one: tuple[float, int, float]) -> list[str]:
    seconds, rows, mb = one
    return [name, f"{seconds:.1f}", f"{rows / seconds:,.0f}", f"{mb:.0f}"]


if __name__ == "__main__":
    main()
