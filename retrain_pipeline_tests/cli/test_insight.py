"""`retrain insight`, `why-changed` and `lineage`."""

import pytest

from retrain_pipeline.cli import places
from retrain_pipeline_tests.gates.world import versions


@pytest.fixture
def here(world, monkeypatch):
    """The world's model is the only one that the command line knows."""
    monkeypatch.setattr(places, "all_declarations", lambda *_: ([world.declaration], []))
    return world


@pytest.mark.requirement("D32", "A20", "A26")
def test_insight_measures_and_shows(retrain, here):
    champion = versions(here)[0]
    nothing = retrain("insight", "toy", "--home", here.home)
    assert nothing.exit_code == 1
    assert f"retrain insight toy {champion} --measure" in " ".join(nothing.stderr.split())
    measured = retrain("insight", "toy", "--measure", "--home", here.home)
    assert measured.exit_code == 0, measured.output
    shown = retrain("insight", "toy", champion, "--home", here.home)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout == measured.stdout
    for word in ("importances", "ablation", "sensitivity", "paths", "groups", "min_samples_leaf = 16", "worst"):
        assert word in shown.stdout


@pytest.mark.requirement("D30")
def test_why_changed_shows_a_bar_for_each_cause(retrain, here):
    first, second, _ = versions(here)
    result = retrain("why-changed", "toy", first, second, "--seeds", 1, "--home", here.home)
    assert result.exit_code == 0, result.output
    (data,) = [line for line in result.stdout.splitlines() if line.strip().startswith("data")]
    assert "█" in data
    (code,) = [line for line in result.stdout.splitlines() if line.strip().startswith("code")]
    assert "█" not in code
    unknown = retrain("why-changed", "toy", first, "20200101-00000000", "--home", here.home)
    assert unknown.exit_code == 1


@pytest.mark.requirement("C12", "B36")
def test_lineage_shows_what_depends_on_a_column(retrain, here):
    result = retrain("lineage", "toy", "--column", "shop", "--home", here.home)
    assert result.exit_code == 0, result.output
    assert all(version in result.stdout for version in versions(here))
    assert "serves" in result.stdout
    wrong = retrain("lineage", "toy", "--column", "colour", "--home", here.home)
    assert wrong.exit_code == 1
    assert "has no column 'colour'" in " ".join(wrong.stderr.split())
