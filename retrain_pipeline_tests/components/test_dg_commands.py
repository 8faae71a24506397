"""Dagster's own `dg` on a copy of the project: scaffold, list, check."""

import json

import pytest

COMPONENT = "retrain_pipeline.components.RetrainedModel"
LANE = "retrain_pipeline.components.Lane"


@pytest.mark.slow
@pytest.mark.requirement("D4", "D41")
def test_a_scaffolded_model_passes_the_checks_and_is_listed_at_once(copy_of_project):
    project = copy_of_project(1)
    made = project.run("dg", "scaffold", "defs", COMPONENT, "models/my-model")
    assert made.returncode == 0, made.stderr
    assert "name: my_model" in project.file("my-model").read_text()
    beside = project.run("dg", "scaffold", "defs", LANE, "models/my-model__try")
    assert beside.returncode == 0, beside.stderr
    checked = project.run("dg", "check", "defs")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "All component YAML validated successfully" in checked.stdout + checked.stderr
    assert "All definitions loaded successfully" in checked.stdout + checked.stderr
    listed = project.run("dg", "list", "defs", "--json")
    assert listed.returncode == 0, listed.stderr
    found = json.loads(listed.stdout)
    keys = {asset["asset_key"] for asset in found["assets"]}
    assert {"my_model/raw", "my_model/release", "model_000/release", "my_model__try/release"} <= keys
    assert {sensor["name"] for sensor in found["sensors"]} >= {"my_model_retrain", "my_model__try_retrain", "alerts"}


@pytest.mark.slow
def test_the_components_are_listed_with_their_summaries(copy_of_project):
    listed = copy_of_project(1).run("dg", "list", "components", "--package", "retrain_pipeline", "--json")
    assert listed.returncode == 0, listed.stderr
    summaries = {component["key"]: component["summary"] for component in json.loads(listed.stdout)["items"]}
    assert set(summaries) == {COMPONENT, LANE}
    assert "kept fresh" in summaries[COMPONENT]
    assert "beside a model" in summaries[LANE]


@pytest.mark.slow
def test_check_yaml_knows_the_types_and_allows_features_as_text(copy_of_project):
    project = copy_of_project(2)
    assert "features: features.build\n" in project.file("model_000").read_text()
    project.edit("model_001", ("task: binary", "task: bogus"), ("window_periods: 12", "window_perods: 12"))
    # Of files of the same type `dg check yaml` looks at the last alone (Dagster 1.13.27), so each is named.
    good, bad = (
        project.run("dg", "check", "yaml", str(project.file(name).parent)) for name in ("model_000", "model_001")
    )
    assert good.returncode == 0, good.stdout + good.stderr
    told = bad.stdout + bad.stderr
    assert bad.returncode != 0, told
    assert "model_001" in told
    assert "bogus" in told
    assert "window_perods" in told
    assert "model_000" not in told
