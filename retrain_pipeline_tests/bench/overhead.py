"""(b) A data-side tick and a retrain through Dagster against the same functions in plain Python; (c) what they log.

Each measurement is a process of its own, so that peak memory is its own; plain and Dagster take turns.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from retrain_pipeline.learning.budget import peak_rss_mb
from retrain_pipeline_tests.bench.tables import markdown_table, median, write_page

COLUMNS = 30
HISTORY = 5
SIZES = ((10_000, 3), (1_000_000, 1))
"""Rows of the measured period (and of the history before it), and how many pairs of runs."""
START = "2024-01-01"
DEFS = """\
type: retrain_pipeline.components.RetrainedModel
attributes:
  name: wide
  problem:
    statement: A wide table of numbers, to measure what the shell around the work costs.
    business_metric: {{name: seconds, direction: down}}
    success: {{metric: brier, at_most: 0.3}}
  data:
    source: {{kind: parquet, path: rows.parquet}}
    key: [id]
    time: {{column: at, period: week, start: 2024-01-01}}
    label: {{column: y, task: binary, delay_hours: 0}}
    columns:
{columns}
  training:
    window_periods: {history}
    min_periods: 3
    evaluation_periods: 2
    candidates:
      logistic: {{estimator: sklearn.linear_model.LogisticRegression}}
  gates: {{margin: 0.2, latency_ms_p95: 500}}
  report: {{max_rows: 1000, every: 1}}
"""
FEATURES = '''\
"""Features: the columns as they are."""

import pandas as pd


def build(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the declared columns."""
    return rows.drop(columns=["id", "at"])
'''


def write_world(folder: Path, rows: int) -> None:
    """Write a history of periods with `rows` in all, one more period of `rows`, and the model's folder."""
    import numpy as np
    import pandas as pd

    frames = []
    for week in range(HISTORY + 1):
        n = rows if week == HISTORY else rows // HISTORY
        rng = np.random.default_rng([1, week])
        x = rng.normal(size=(n, COLUMNS))
        y = (x[:, 0] + x[:, 1] + rng.normal(size=n) > 0).astype("int64")
        at = (
            pd.Timestamp(START, tz="UTC")
            + pd.Timedelta(days=7 * week)
            + pd.to_timedelta(np.linspace(0, 7 * 24 * 3600 - 60, n).astype("int64"), unit="s")
        )
        frame = pd.DataFrame(x, columns=[f"x{i:02d}" for i in range(COLUMNS)])
        frames.append(frame.assign(id=np.arange(n) + week * 10_000_000, at=at.astype("datetime64[us, UTC]"), y=y))
    pd.concat(frames, ignore_index=True).to_parquet(folder / "rows.parquet")
    model = folder / "wide"
    (model / "decisions").mkdir(parents=True)
    columns = "\n".join(f"      x{i:02d}: {{dtype: float}}" for i in range(COLUMNS))
    (model / "defs.yaml").write_text(DEFS.format(columns=columns, history=HISTORY))
    (model / "features.py").write_text(FEATURES)
    (model / "decisions" / "0001-why.md").write_text("# Why\nTo measure.\n")


def plain_tick(stores, declaration, period: str, root: Path) -> None:
    """Do what the data side does for one period, without Dagster."""
    from retrain_pipeline.lake.ingest import ingest_labels, ingest_period
    from retrain_pipeline.learning.features import load_features, update_features
    from retrain_pipeline.monitoring.feedback import update_feedback
    from retrain_pipeline.monitoring.monitor import monitor_period
    from retrain_pipeline.release.serving import score_period

    spec = declaration.spec
    ingest_period(stores.lake, spec.data, spec.name, period, root=root)
    update_features(stores.lake, load_features(declaration.folder, spec.features), spec, period)
    score_period(stores, declaration, period)
    ingest_labels(stores.lake, spec.data, spec.name, period, root=root)
    update_feedback(stores, spec, period)
    monitor_period(stores, spec, period)


def plain_retrain(stores, declaration, as_of, run_id: str) -> None:
    """Do what the model side does, without Dagster."""
    from retrain_pipeline.gates.judge import judge
    from retrain_pipeline.learning.build import build_candidate
    from retrain_pipeline.learning.frozen import record_training_set
    from retrain_pipeline.learning.manifest import TriggerRef
    from retrain_pipeline.learning.training_set import freeze_training_set
    from retrain_pipeline.monitoring.reference import store_reference
    from retrain_pipeline.records.card import write_card
    from retrain_pipeline.records.insights import record_insight
    from retrain_pipeline.records.reconciled import count_experiments
    from retrain_pipeline.records.settle import settle
    from retrain_pipeline.records.truth.context import Context
    from retrain_pipeline.records.truth.looked import looked_at, note_look, serving
    from retrain_pipeline.records.truth.verify import verify
    from retrain_pipeline.release.release import release

    spec = declaration.spec
    frozen = freeze_training_set(stores, spec, as_of)
    record_training_set(stores, frozen, run_id=run_id, actor="bench")
    manifest = build_candidate(
        stores,
        declaration,
        frozen,
        trigger=TriggerRef(kind="manual", id="bench"),
        parent=None,
        run_id=run_id,
        actor="bench",
    )
    store_reference(stores, spec, manifest.version)
    _, digest = judge(stores, declaration, manifest.version, mode="first", run_id=run_id, actor="bench")
    release(stores, declaration, manifest.version, evidence_digest=digest, run_id=run_id, actor="bench")
    record_insight(stores, declaration, manifest.version, actor="bench")
    write_card(stores, declaration, manifest.version)
    settle(stores, declaration, "bench")
    count_experiments(stores, spec.name, ())
    context = Context(stores, declaration, only=serving(stores, spec.name), looked=looked_at(stores, spec.name))
    note_look(context, verify(context), actor="bench", run_id=run_id)


def measure(kind: str, part: str, folder: Path) -> None:
    """In a child process: play the history and time a retrain, or time the tick that follows it; print JSON."""
    from retrain_pipeline.assets.model import project_definitions
    from retrain_pipeline.assets.playback import Player
    from retrain_pipeline.assets.resources import StoresResource
    from retrain_pipeline.cli.play import dagster_instance, quiet_dagster
    from retrain_pipeline.spec.declaration import read_declaration

    declaration = read_declaration(folder / "wide")
    calendar = declaration.spec.data.time.calendar()
    *history, newest = calendar.keys_between(calendar.origin, calendar.shift(calendar.origin, HISTORY + 1))
    if kind == "plain":
        stores = StoresResource().open()
        if part == "retrain":
            for period in history:
                plain_tick(stores, declaration, period, folder)
            seconds = timed(lambda: plain_retrain(stores, declaration, calendar.bounds(newest)[0], "bench"))
        else:
            seconds = timed(lambda: plain_tick(stores, declaration, newest, folder))
    else:
        quiet_dagster()
        instance = dagster_instance(folder / "state")
        player = Player(project_definitions([declaration]), instance, declaration)
        if part == "retrain":
            for period in history:
                assert player.data(period).success
            asked = player.ask()
            assert not isinstance(asked, str), asked
            seconds = timed(lambda: succeeded(player.retrain(asked)))
        else:
            seconds = timed(lambda: succeeded(player.data(newest)))
    print(json.dumps({"seconds": seconds, "peak_mb": peak_rss_mb() * 1e6 / 2**20}))


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def succeeded(run: Any) -> None:
    """Refuse a run that failed."""
    assert run.success


def logged(folder: Path) -> tuple[int, int]:
    """Return rows and bytes of all event logs of an instance."""
    rows = size = 0
    for file in (folder / "state" / "dagster").rglob("*.db"):
        with sqlite3.connect(file) as connection:
            tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
            # the index holds asset events a second time; a run's own file holds all of its events
            if "event_logs" in tables and file.name != "index.db":
                count, total = connection.execute(
                    "select count(*), coalesce(sum(length(event)), 0) from event_logs"
                ).fetchone()
                rows, size = rows + count, size + total
    return rows, size


def children(kind: str, rows: int) -> dict[str, float]:
    """Measure a retrain and the tick after it, each in a process of its own, over one folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | {
            "RETRAIN_HOME": str(folder / "state"),
            "RETRAIN_ROOT": name,
            "DAGSTER_HOME": str(folder / "state" / "dagster"),
        }
        subprocess.run([sys.executable, "-m", __spec__.name, "world", name, str(rows)], check=True)
        found: dict[str, float] = {}
        before = (0, 0)
        for part in ("retrain", "tick"):
            before = logged(folder)
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-m", __spec__.name, kind, part, name],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(done.stderr[-3000:])
            result = json.loads(done.stdout.strip().splitlines()[-1])
            found |= {part: result["seconds"], f"{part}_mb": result["peak_mb"]}
        after = logged(folder)
        return found | {"event_rows": after[0] - before[0], "event_bytes": after[1] - before[1]}


def main() -> None:
    """Measure in turn and write both tables."""
    rows, log_rows = [], []
    for size, runs in SIZES:
        pairs = []
        for run in range(runs):
            print(f"overhead, {size:,} rows, pair {run + 1} of {runs}", file=sys.stderr)
            pairs.append((children("plain", size), children("dagster", size)))
        for what in ("tick", "retrain"):
            plain, shell = median([p[what] for p, _ in pairs]), median([d[what] for _, d in pairs])
            limit = 1.3 * plain + 1.5
            rows.append(
                [
                    f"{size:,}",
                    what,
                    f"{plain:.2f}",
                    f"{shell:.2f}",
                    f"{limit:.2f}",
                    "met" if shell <= limit else "missed",
                    f"{max(p[f'{what}_mb'] for p, _ in pairs):.0f}",
                    f"{max(d[f'{what}_mb'] for _, d in pairs):.0f}",
                ]
            )
        log_rows.append([f"{size:,}", pairs[0][1]["event_rows"], f"{pairs[0][1]['event_bytes'] / 1024:.0f}"])
    header = ["rows", "what", "plain Python, s", "Dagster, s", "limit, s", "", "plain peak MB", "Dagster peak MB"]
    write_page(
        "overhead",
        "What the Dagster shell costs",
        [
            f"{COLUMNS} float columns. A tick is raw, features, predictions, feedback and monitoring (with the "
            "Evidently report) of one period of so many rows; a retrain is training set, candidate, evaluation, "
            "release, measurements after it, card, records and their truth checks over so many rows. Plain Python "
            "calls the same functions. Limit: 1.3 × plain + 1.5 s. "
            "Each is measured in a process of its own, so a tick pays the imports and peak memory is its own (a "
            "retrain's process has played the history first); the limit for a tick over a million rows is 1,536 MB.",
            markdown_table(header, rows),
        ],
    )
    write_page(
        "event_log",
        "What a tick leaves in Dagster's event log",
        [markdown_table(["rows in the period", "events", "KiB"], log_rows)],
    )


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    elif sys.argv[1] == "world":
        write_world(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        measure(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
