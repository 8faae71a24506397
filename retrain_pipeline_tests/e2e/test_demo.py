"""The demo as a person runs it: a process of its own, in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.verdicts import Verdict


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.requirement("D3", "D37")
def test_the_demo_tells_its_story_and_leaves_it_on_record(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RETRAIN_", "DAGSTER_"))}
    home = tmp_path / "data" / "demo"
    done = subprocess.run(
        [Path(sys.executable).with_name("retrain"), "demo", "--home", home],
        env=environment | {"RETRAIN_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = " ".join(done.stdout.split())
    for words in (
        "inputs drifted: channel, credit_utilisation (1 week after",
        "a model fitted anew would have saved",
        "retraining halts: labels look recoded",
        "somebody retrains by hand all the same",
        "rolled back to",
    ):
        assert words in told
    stores = StoresResource(home=str(home)).open()
    try:
        entries = stores.ledger.entries(model="lending")
        assert stores.ledger.verify().verdict is Verdict.PASS
    finally:
        stores.close()
    ends = [entry for entry in entries if entry.action in ("released", "rejected", "rolled_back")]
    assert [entry.action for entry in ends] == ["released", "released", "rejected", "rolled_back"]
    first, _, poisoned, back = ends
    assert "labels" in poisoned.payload["failed"]
    assert back.subject == first.subject
    rows = [line.split("│")[1:3] for line in done.stdout.splitlines() if line.count("│") == 4]
    brier = {name.strip(): value for name, value in rows}
    better, alone = (float(brier[name]) for name in ("with the loop", "the first model, never retrained"))
    assert better < alone
