"""`retrain replay` and `retrain replay-table`: a table and a picture, or one paragraph that says what is wrong."""

import pytest

from retrain_pipeline.cli import places
from retrain_pipeline_tests.assets.conftest import make_project, played_folder, released
from retrain_pipeline_tests.replay.conftest import rows

__all__ = ["make_project", "played_folder", "released"]
TABLE = ("--time", "at", "--label", "y", "--task", "binary", "--rows-per-batch", "60", "--warm-up", "3")


@pytest.mark.requirement("D51")
def test_a_table_is_replayed_with_the_policies_that_are_named(retrain, tmp_path):
    rows().to_csv(tmp_path / "toy.csv", index=False)
    arguments = (*TABLE, "--policy", "adaptive", "--policy", "periodic:4", "--cost", "0.05", "--cost", "0.2")
    result = retrain("replay-table", tmp_path / "toy.csv", *arguments, "--home", tmp_path / "state")
    assert result.exit_code == 0, (result.output, result.exception)
    told = [line.split("│")[1:3] for line in result.stdout.splitlines() if "│" in line]
    assert [(cost.strip(), policy.strip()) for cost, policy in told] == [
        ("0.05", "adaptive"), ("0.05", "periodic:4"), ("0.2", "adaptive"), ("0.2", "periodic:4"),
    ]  # fmt: skip
    assert (tmp_path / "state" / "replay" / "toy.png").read_bytes().startswith(b"\x89PNG")


def test_a_wrong_policy_or_column_is_told_before_anything_is_fitted(retrain, tmp_path):
    rows().to_csv(tmp_path / "toy.csv", index=False)
    home = ("--home", tmp_path / "state")
    policy = retrain("replay-table", tmp_path / "toy.csv", *TABLE, "--policy", "adaptve", *home)
    column = retrain("replay-table", tmp_path / "toy.csv", *TABLE, "--drop", "c", *home)
    detector = retrain("replay-table", tmp_path / "toy.csv", *TABLE, "--policy", "detector", *home)
    no_time = retrain("replay-table", tmp_path / "toy.csv", "--time", "kind", *TABLE[2:], *home)
    refused = ((policy, "adaptve"), (column, "no column 'c'"), (detector, "detector"), (no_time, "holds no ISO 8601"))
    for result, word in refused:
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit), result.exception
        assert word in result.stderr
    assert not list((tmp_path / "state").rglob("*.npy"))


@pytest.mark.requirement("D3", "D51")
def test_a_models_record_is_replayed_as_its_champion_is_fitted(retrain, released, monkeypatch):
    monkeypatch.setattr(places, "DEFS", released.folder / "models")
    result = retrain("replay", "toy", "--home", released.folder / "state")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "decisions on record, taken again by adaptive: 6 the same" in " ".join(result.stdout.split())
    assert "periods served: 1, 2024-02-05" in result.stdout, result.stdout
    assert "cumulative_excess:0.2" in result.stdout


@pytest.mark.requirement("D51")
def test_a_change_of_policy_comes_with_a_page_of_its_replay(retrain, released, monkeypatch, tmp_path):
    monkeypatch.setattr(places, "DEFS", released.folder / "models")
    page = tmp_path / "proposal.md"
    named = ("--policy", "adaptive", "--policy", "never")
    result = retrain("replay", "toy", *named, "--page", page, "--home", released.folder / "state")
    assert result.exit_code == 0, (result.output, result.exception)
    told = page.read_text()
    assert "Declared today: `adaptive`" in told
    assert "## `adaptive` on the record\n\n6 decisions, 0 would be others." in told
    assert "## `never` on the record\n\n6 decisions, 0 would be others." in told  # the first model is no policy's
    assert "| 0.02 | never | 0 |" in told
    assert page.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
