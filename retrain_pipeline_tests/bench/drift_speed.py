"""The drift check of a large table, out of memory, beside Evidently on the same rows and DuckDB's bare scan.

Peers run in processes of their own, in turn with ours. DuckDB is not a dependency: set RETRAIN_BENCH_PYTHON to the
interpreter of an environment that has it; without one its arm is left out and the page says so.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
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
wanted = ", ".join(f"min({name}), max({name})" for name in names)
started = time.perf_counter()
duckdb.sql("set threads to 2")
# a condition that is true of all rows, or the answer comes from the file's statistics without a scan
duckdb.sql(f"select {wanted} from read_parquet('{table}') where x0 > -1e300").fetchall()
rows = duckdb.sql(f"select count(*) from read_parquet('{table}')").fetchall()[0][0]
"""
SHELL = """
import json, resource, sys, time
folder, table = sys.argv[1:3]
started = time.perf_counter()
{code}
seconds = time.perf_counter() - started
print(json.dumps([seconds, rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
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
    """Seconds of a check of one period whose summary is stored, over histories of other lengths."""
    from retrain_pipeline.monitoring.drift import drift
    from retrain_pipeline.monitoring.summaries import Profile, with_edges

    value = json.loads((folder / "reference.json").read_text())
    rows = []
    for history in HISTORIES:
        whole = Profile.from_json(value["whole"])
        known = value["periods"]
        summaries = [json.dumps(known[i % len(known)]) for i in range(history)]
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            # what is read: the champion's own periods and the new one, whatever else was stored
            periods = [with_edges(json.loads(one), whole.edges) for one in summaries[-PERIODS:]]
            drift(whole, periods[-1].columns, 200.0, periods=periods)
            seconds.append(time.perf_counter() - started)
        rows.append([f"{history:,}", str(PERIODS), f"{median(seconds):.3f}"])
    return rows


def main(runs: int = 3) -> None:
    """Measure in turn and write the page."""
    duck = os.environ.get("RETRAIN_BENCH_PYTHON")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        half, whole = f"{name}/part0*.parquet", f"{name}/part*.parquet"
        evidently = measured(EVIDENTLY.replace("ROWS", str(EVIDENTLY_ROWS)), folder, half)
        pairs = []
        for _ in track(range(runs), description="ours and DuckDB"):
            pairs.append((measured(OURS, folder, half), measured(DUCKDB, folder, half, duck) if duck else None))
        doubled = measured(OURS, folder, whole)
        stored = incremental(folder)
    seconds, peak = median([a[0] for a, _ in pairs]), max(a[2] for a, _ in pairs)
    speed, theirs = ROWS / seconds, evidently[1] / evidently[0]
    arms = [
        [f"ours, {ROWS:,} rows", f"{seconds:.1f}", f"{speed:,.0f}", f"{peak:.0f}"],
        [f"ours, {2 * ROWS:,} rows", f"{doubled[0]:.1f}", f"{2 * ROWS / doubled[0]:,.0f}", f"{doubled[2]:.0f}"],
        [f"Evidently, {evidently[1]:,} rows", f"{evidently[0]:.1f}", f"{theirs:,.0f}", f"{evidently[2]:.0f}"],
    ]
    said = ["DuckDB's bare scan was not measured: RETRAIN_BENCH_PYTHON names no interpreter that has it."]
    if duck:
        scan = median([b[0] for _, b in pairs if b])
        arms.append([f"DuckDB, min and max of {ROWS:,} rows", f"{scan:.1f}", f"{ROWS / scan:,.0f}", ""])
        ratio = median([a[0] / b[0] for a, b in pairs if b])
        said = [f"Against DuckDB's bare scan: {ratio:.1f} × its time (median of {runs} pairs; target: at most 3)."]
    write_page(
        "drift_speed",
        "The drift check: rows a second, memory",
        [
            f"{COLUMNS} columns ({CATEGORIES} of text) in parquet, read lazily; each arm in a fresh process, and ours "
            "with its imports, the scan, the null from 26 reference periods and the verdict.",
            markdown_table(["arm", "seconds", "rows a second", "peak MB"], arms),
            f"Against Evidently: {speed / theirs:.0f} × its rows a second (target: at least 50).",
            *said,
            f"Memory: {peak:.0f} MB, and {doubled[2]:.0f} MB when rows double (target: below 1,000, and flat).",
            "One new period whose summary is stored, by how many periods were ever stored (target: below 0.2 s):",
            markdown_table(["stored periods", "read", "seconds"], stored),
        ],
    )


if __name__ == "__main__":
    main()
