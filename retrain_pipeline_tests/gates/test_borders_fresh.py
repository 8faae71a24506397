"""What a model costs to serve is measured by another process: what it is given and must say, and how it is judged."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from retrain_pipeline.gates import fresh, operation
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.fresh import Footprint, footprint, main, measure
from retrain_pipeline.learning.budget import peak_rss_mb
from retrain_pipeline.learning.candidates import build_pipeline
from retrain_pipeline.learning.persistence import dump_model
from retrain_pipeline.spec.model import Candidate
from retrain_pipeline.verdicts import Verdict

SAID = {"latency_ms_p95": 1.5, "peak_rss_mb": 200.0, "load_seconds": 0.25}
ROWS = pd.DataFrame({"a": range(150), "b": 1.0})


@pytest.fixture
def interpreter(tmp_path, monkeypatch):
    """Return a function that puts a shell script in the interpreter's place: it notes what it was given."""

    def stand_in(ends: str) -> Path:
        script = tmp_path / "python"
        noted = tmp_path / "noted"
        noted.mkdir()
        script.write_text(
            f"""#!/bin/sh
for one in "$@"; do echo "$one"; done > {noted}/arguments
echo "$PWD" > {noted}/folder
echo "$OMP_NUM_THREADS,$PATH,$HOME" > {noted}/environment
/bin/cp "$5" {noted}/model
/bin/cp "$6" {noted}/rows
{ends}
"""
        )
        script.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(script))
        return noted

    return stand_in


def test_a_process_is_given_the_model_a_hundred_rows_and_nothing_of_ours(interpreter):
    noted = interpreter(f"echo '{json.dumps(SAID)}'; echo a warning >&2")
    assert measure(b"bytes", ROWS, "binary") == Footprint(**SAID)
    isolated, told, code, root, model, rows, task = (noted / "arguments").read_text().splitlines()
    assert (isolated, told, task) == ("-I", "-c", "binary")
    assert "main(*sys.argv[2:])" in code
    assert Path(root) == Path(fresh.__file__).parents[2]
    folder = Path((noted / "folder").read_text().strip())
    assert Path(model).parent == Path(rows).parent == folder
    assert not folder.exists()
    assert folder.name.startswith("footprint-")
    assert (noted / "environment").read_text() == "1,,\n"
    assert (noted / "model").read_bytes() == b"bytes"
    pd.testing.assert_frame_equal(pd.read_parquet(noted / "rows"), ROWS.head(100))


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ("echo one >&2; echo ' two  three ' >&2; exit 3", " two  three"),
        ("printf 'caf\\351' >&2", "caf\ufffd"),
        (f"echo {'x' * 400} >&2", "x" * 300),
        ("echo '{}'", ""),
    ],
)
def test_a_process_that_measured_nothing_is_told_by_its_last_line(interpreter, ends, said):
    interpreter(ends)
    with pytest.raises(OSError, match="gave no measurement") as refused:
        measure(b"bytes", ROWS, "binary")
    assert str(refused.value) == f"the process gave no measurement: {said}"


def test_a_process_that_does_not_end_is_ended(interpreter, monkeypatch):
    interpreter("exec /bin/sleep 60")
    monkeypatch.setattr(fresh, "TIMEOUT_SECONDS", 0.3)
    with pytest.raises(OSError, match=r"^the process did not end in 0\.3 s$"):
        measure(b"bytes", ROWS, "binary")


def test_what_is_measured_is_this_process_and_this_model(tmp_path, capsys, monkeypatch):
    model, rows = tmp_path / "model", tmp_path / "rows.parquet"
    line = Candidate(estimator="sklearn.linear_model.LogisticRegression")
    model.write_bytes(dump_model(build_pipeline(line, {}, ROWS, "binary", 7).fit(ROWS, ROWS["a"] > 70)))
    ROWS.head(3).to_parquet(rows)
    asked = []
    monkeypatch.setattr(operation, "p95_ms", lambda ask, given: [asked.append(ask(given.head(1))), 7.5][1])
    main(str(model), str(rows), "binary")
    found = Footprint.model_validate_json(capsys.readouterr().out)
    assert found.latency_ms_p95 == 7.5
    assert found.peak_rss_mb == pytest.approx(peak_rss_mb(), rel=0.2)
    assert 0 < found.load_seconds < 60
    assert asked[0].frame["score"].tolist() == pytest.approx([0.0], abs=0.1)


@pytest.mark.parametrize(("peak", "verdict"), [(300.0, Verdict.PASS), (300.1, Verdict.FAIL)])
def test_a_peak_up_to_the_limit_passes(peak, verdict):
    found = Footprint(latency_ms_p95=1.234, peak_rss_mb=peak, load_seconds=0.567)
    assert footprint(found, max_rss_mb=300.0) == GateResult(
        gate="footprint",
        verdict=verdict,
        statistic=peak,
        threshold=300.0,
        words="a fresh process peaks at 300 MB, limit 300 MB; it loads the model in 0.57 s and predicts a row in "
        "1.23 ms (p95)",
    )


def test_without_a_measurement_nothing_passes_and_it_is_told_why():
    found = footprint(None, max_rss_mb=300.0, why_not="x" * 3000)
    words = ("nothing was measured: " + "x" * 3000)[:2000]
    assert found == GateResult(gate="footprint", verdict=Verdict.INCONCLUSIVE, words=words)
    assert footprint(None, max_rss_mb=1.0).words == "nothing was measured: "
