"""What the candidate costs to serve, measured in a process of its own: nothing that judging loaded is counted."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.strict import Strict
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

    from retrain_pipeline.lake.declared import Task

TIMEOUT_SECONDS = 120
_ROOT = Path(__file__).parents[2]
# -I: neither the working folder nor PYTHON* variables decide what is imported; the code that judges measures.
_MAIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); from retrain_pipeline.gates.fresh import main; main(*sys.argv[2:])"
)


class Footprint(Strict):
    """What a fresh process measured. `peak_rss_mb` in MB of 10**6 bytes, the interpreter and its libraries included."""

    latency_ms_p95: float
    peak_rss_mb: float
    load_seconds: float


def measure(model: bytes, features: "pd.DataFrame", task: "Task") -> Footprint:
    """Load a model in a fresh interpreter, predict single rows, and return what that took.

    Raises
    ------
    OSError
        When no process can be started, it does not end in two minutes, or it gives no measurement.
    """
    with tempfile.TemporaryDirectory(prefix="footprint-") as folder:
        bytes_file, rows_file = Path(folder, "model"), Path(folder, "rows.parquet")
        bytes_file.write_bytes(model)
        features.head(100).to_parquet(rows_file)
        command = [sys.executable, "-I", "-c", _MAIN, str(_ROOT), str(bytes_file), str(rows_file), task]
        environment = {"OMP_NUM_THREADS": "1", "PATH": ""}
        try:
            done = subprocess.run(  # noqa: S603 (our own interpreter and code; no shell)
                command, env=environment, cwd=folder, capture_output=True, timeout=TIMEOUT_SECONDS, check=False
            )
            return Footprint.model_validate_json(done.stdout)
        except subprocess.TimeoutExpired as error:
            raise OSError(f"the process did not end in {TIMEOUT_SECONDS} s") from error
        except ValidationError as error:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise OSError(f"the process gave no measurement: {' '.join(said[-1:])[:300]}") from error


def main(model: str, rows: str, task: "Task") -> None:
    """Measure in this process, and print the JSON of a `Footprint`."""
    import time

    import pandas as pd

    from retrain_pipeline.gates.operation import p95_ms
    from retrain_pipeline.learning.budget import peak_rss_mb
    from retrain_pipeline.learning.persistence import load_model
    from retrain_pipeline.learning.prediction import predict

    started = time.perf_counter()
    pipeline = load_model(Path(model).read_bytes())
    loaded = time.perf_counter() - started
    p95 = p95_ms(lambda row: predict(pipeline, task, row), pd.read_parquet(rows))
    print(json.dumps({"latency_ms_p95": p95, "peak_rss_mb": peak_rss_mb(), "load_seconds": loaded}))


def footprint(found: Footprint | None, *, max_rss_mb: float, why_not: str = "") -> GateResult:
    """Judge the peak memory of a process that only loads the model and predicts single rows."""
    if found is None:
        words = f"nothing was measured: {why_not}"
        return GateResult(gate="footprint", verdict=Verdict.INCONCLUSIVE, words=words[:2000])
    return GateResult(
        gate="footprint",
        verdict=Verdict.PASS if found.peak_rss_mb <= max_rss_mb else Verdict.FAIL,
        statistic=found.peak_rss_mb,
        threshold=max_rss_mb,
        words=f"a fresh process peaks at {found.peak_rss_mb:.0f} MB, limit {max_rss_mb:g} MB; it loads the model in "
        f"{found.load_seconds:.2f} s and predicts a row in {found.latency_ms_p95:.2f} ms (p95)",
    )
