"""A retrain that is killed at any of its writes leaves the old champion or the new one, and can be run again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def program(name: str, folder: Path, *arguments: str) -> dict:
    """Run a program in a fresh interpreter, which may fork: delta-rs does not survive a fork once it was used."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", f"retrain_pipeline_tests.e2e.{name}", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return json.loads((folder / "report.json").read_text())


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.fault("P1", "P2", "P20")
@pytest.mark.requirement("D39")
@pytest.mark.parametrize("case", ["first", "second"])
def test_a_retrain_killed_at_any_write_leaves_a_whole_champion_and_converges_when_run_again(tmp_path, case):
    report = program("killing", tmp_path, str(tmp_path), case)
    print(case, len(report["doors"]), "doors", len(report["deaths"]), "reruns", report["seconds"], "s")
    # The enumeration saw every kind of write in every step that does it; fewer would mean that a door was missed.
    seen = {(door["step"], door["what"].split(":")[0]) for door in report["doors"]}
    assert {step for step, kind in seen if kind == "file"} == set(report["steps"]) - {"release"}
    assert {step for step, kind in seen if kind == "ledger"} == set(report["steps"]) - {"model_card"}
    commits = [door for door in report["doors"] if door["what"] == "ledger: committed"]
    assert len(commits) >= 6  # started, frozen, registered, profiled, judged, released
    torn = [door for door in report["doors"] if door["what"] == "file: half written"]
    assert len(torn) >= 15
    assert len(report["deaths"]) >= len(commits) + len(torn) - 2


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.fault("P3", "P22")
@pytest.mark.dagster_fact("K3")
def test_an_orphan_that_wakes_up_before_its_commit_is_refused_though_the_same_champion_serves(tmp_path):
    """Released and rolled back meanwhile: the orphan was judged against this very champion, but at another epoch."""
    report = program("orphan", tmp_path, str(tmp_path), "second")
    (judged_against, champion), epoch, digest = report["before"]
    assert champion == judged_against
    assert report["after"] == [champion, epoch, digest]
    assert report["exit"] == 3
    assert f"epoch {epoch}" in report["refusal"]
    assert champion in report["refusal"]
    [(run_id, payload)] = report["superseded"]
    assert run_id == "dying"
    assert (payload["judged_epoch"], payload["found_epoch"], payload["champion"]) == (1, 3, champion)
    assert report["released"] == ["founder", "other"]
    assert report["verdict"] == "PASS"


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.fault("P1", "P2")
@pytest.mark.requirement("A7", "A31")
def test_records_that_died_at_any_write_are_whole_when_they_are_settled_again(tmp_path):
    report = program("killing_records", tmp_path, str(tmp_path))
    kinds = {kind for kind, _ in report["records"]}
    assert kinds >= {"experiment", "release_note", "change", "impact_brief", "postmortem", "model_card", "data_sheet"}
    committed = sum(door["what"] == "ledger: committed" for door in report["doors"])
    assert committed >= len(report["records"])
    assert report["deaths"] > committed
    assert report["temporaries"] > committed
    print(len(report["doors"]), "doors", report["deaths"], "settled again")
