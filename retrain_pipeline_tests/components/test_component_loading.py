"""A file that is wrong says so in the asset graph, and hides no other model."""

import re
import shutil
import sys
from pathlib import Path

import dagster as dg
import pytest

import retrain_pipeline
from retrain_pipeline.components.loading import project_tree
from retrain_pipeline.components.retrained_model import declaration_key, refused_definitions

TAGGED = "post_processing:\n  assets:\n    - {target: '*', attributes: {tags: {team: credit}}}\n"


LOCATION = 'code_location_name = "retrain_pipeline"'


@pytest.mark.parametrize("location", [LOCATION, 'code_location_name = "credit"', ""])
def test_the_tree_of_the_project_is_the_one_that_dagster_finds(tmp_path, location):
    shutil.copytree(Path(retrain_pipeline.__file__).parent / "defs", tmp_path / "retrain_pipeline" / "defs")
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert LOCATION in project
    (tmp_path / "pyproject.toml").write_text(project.replace(LOCATION, location))
    package = tmp_path / "retrain_pipeline"
    ours, dagsters = project_tree(package), dg.ComponentTree.for_project(package)
    for name in ("defs_module", "project_root", "code_location_name"):
        assert getattr(ours, name) == getattr(dagsters, name), name


def test_a_load_warns_of_nothing(copy_of_project):
    done = copy_of_project(1).run(
        sys.executable, "-W", "default", "-c", "from retrain_pipeline.definitions import defs; defs()"
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.requirement("D4")
def test_a_refused_declaration_is_one_asset_that_tells_every_mistake_and_the_others_load(copy_of_project):
    project = copy_of_project(3)
    project.edit(
        "model_001",
        ("task: binary", "task: bogus"),
        ("window_periods: 12", "window_perods: 12"),
        ("margin: 0.02", "margin: -1"),
        ("purpose: {dtype: category", "purpose: {dtype: categorie"),
    )
    project.edit("model_002", more=TAGGED + "requirements: {env: [SOME_URL]}\n")
    loaded = project.load()
    assert [key for key in loaded["assets"] if key.startswith("model_001/")] == ["model_001/declaration"]
    told = loaded["descriptions"]["model_001/declaration"]
    for word in ("bogus", "window_perods", "margin", "categorie", "4 problems"):
        assert word in told, told
    assert len(re.findall(r"defs\.yaml:\d+:\d+", told)) == 4, told
    for good in ("model_000", "model_002"):
        assert len([key for key in loaded["assets"] if key.startswith(f"{good}/")]) == 16
    assert loaded["tags"]["model_002/raw"]["team"] == "credit"
    assert "team" not in loaded["tags"]["model_000/raw"]
    assert loaded["sensors"] == ["alerts", "model_000_retrain", "model_002_retrain"]
    assert loaded["asked"] == ["model_000", "model_002"]


WRONG = {
    "model_001": ("defs.yaml", lambda p: p.edit("model_001", more="\tseed: 1\n")),
    "model_002": ("defs.yaml", lambda p: p.edit("model_002", more="x: !!python/object/apply:os.mkdir [EXECUTED]\n")),
    "model_003": ("'model_004' is declared by", lambda p: p.edit("model_003", ("name: model_003", "name: model_004"))),
    "model_004": ("task", lambda p: p.edit("model_004", ("task: binary", "task: bogus"))),  # a twin, and wrong besides
    "model_005": ("owner", lambda p: p.edit("model_005", more="owner: ada\n")),
    "model_006": (
        "RetrainedModl",
        lambda p: p.edit("model_006", ("components.RetrainedModel\n", "components.RetrainedModl\n")),
    ),
    "model_007": ("post_processing", lambda p: p.edit("model_007", more="post_processing: 7\n")),
    "model_008": ("second document", lambda p: p.edit("model_008", more="---\ntype: a.RetrainedModel\n")),
    "model_009": ("defs.yaml", lambda p: p.file("model_009").write_text("")),
    "model_010": ("my_model", lambda p: p.edit("model_010", ("name: model_010", "name: my-model"))),
    "model_011": ("defs.yaml", lambda p: p.file("model_011").write_bytes(b"type: \xff\xfe RetrainedModel\n")),
    "model_012": ("nope", lambda p: p.edit("model_012", more="template_vars_module: .nope\n")),
    "model_013": ("13-45", lambda p: p.edit("model_013", ("seed: 7", "seed: 2024-13-45"))),
}


@pytest.mark.requirement("D4")
@pytest.mark.fault("S4")
def test_files_that_break_the_load_are_told_one_by_one_and_the_fleet_covers_the_good_ones(copy_of_project):
    project = copy_of_project(15)
    project.edit("model_000", more=TAGGED)
    models = project.defs / "models"
    for folder in ("team_a", "team_b"):  # the same folder name twice, both refused
        shutil.copytree(models / "model_000", models / folder / "same")
        file = models / folder / "same" / "defs.yaml"
        file.write_text(
            file.read_text().replace("name: model_000", f"name: same_{folder}").replace("seed: 7", "seed: x")
        )
    for _, spoil in WRONG.values():
        spoil(project)
    loaded = project.load()
    refused = [key for key in loaded["assets"] if key.endswith("/declaration")]
    assert refused == [*(f"{m}/declaration" for m in WRONG), "team_a/same/declaration", "team_b/same/declaration"]
    for model, (word, _) in WRONG.items():
        assert word in loaded["descriptions"][f"{model}/declaration"], loaded["descriptions"][f"{model}/declaration"]
    assert "'model_004' is declared by" in loaded["descriptions"]["model_004/declaration"]
    assert not list(project.folder.rglob("EXECUTED"))
    assert len(loaded["assets"]) == len(refused) + 2 * 16 + 1  # the portal
    assert loaded["tags"]["model_000/raw"]["team"] == "credit"
    assert loaded["schedules"] == ["audits", "data_every_week", "drills", "portal_every_day"]
    assert loaded["asked"] == ["model_000", "model_014"]
    assert loaded["sensors"] == ["alerts", "model_000_retrain", "model_014_retrain"]


OWN = "import dagster as dg\n\n\n@dg.asset\ndef {name}(): ...\n"
FOLDER = "type: dagster.DefsFolderComponent\nattributes: {}\n"
SEEN_BY_PYTHON = """
import dagster as dg
from retrain_pipeline.components import RetrainedModel

@dg.definitions
def seen(context: dg.ComponentLoadContext):
    names = [model.declaration.spec.name for model in context.component_tree.get_all_components(of_type=RetrainedModel)]
    return dg.Definitions(assets=[dg.AssetSpec(f"seen_{name}") for name in names])
"""


def test_python_definitions_load_beside_a_folder_that_is_broken(copy_of_project):
    project = copy_of_project(2)
    (project.defs / "team.py").write_text(OWN.format(name="of_a_team"))
    (project.defs / "seen.py").write_text(SEEN_BY_PYTHON)
    (project.defs / "teams" / "risk").mkdir(parents=True)
    (project.defs / "teams" / "risk" / "reports.py").write_text(OWN.format(name="of_risk"))
    (project.defs / "models" / "defs.yaml").write_text(FOLDER)  # stands above the models: owns no file by itself
    (project.defs / "models" / "beside.py").write_text(OWN.format(name="beside_models"))
    (project.defs / "models" / "model_000" / "more.py").write_text(
        "raise ImportError('the folder of a model is its own')"
    )
    project.edit("model_001", more="\tseed: 1\n")
    loaded = project.load()
    of_models = {asset for asset in loaded["assets"] if "/" in asset}
    assert set(loaded["assets"]) - of_models == {"of_a_team", "seen_model_000", "of_risk", "beside_models", "portal"}
    assert {asset.split("/")[0] for asset in of_models} == {"model_000", "model_001"}
    assert [asset for asset in of_models if asset.startswith("model_001/")] == ["model_001/declaration"]
    assert loaded["schedules"] == ["audits", "data_every_week", "drills", "portal_every_day"]
    assert loaded["sensors"] == ["alerts", "model_000_retrain"]


def test_a_project_without_the_fleets_file_has_no_schedules_whether_a_folder_is_broken_or_not(copy_of_project):
    project = copy_of_project(2)
    (project.defs / "fleet.py").unlink()
    assert project.load()["schedules"] == []
    project.edit("model_001", more="\tseed: 1\n")
    assert project.load()["schedules"] == []


def test_an_error_that_is_no_declarations_fault_is_not_hidden(copy_of_project):
    project = copy_of_project(1)
    (project.defs / "team.py").write_text("raise ValueError('the fault is here')\n")
    done = project.run(sys.executable, "-c", "from retrain_pipeline.definitions import defs; defs()")
    assert done.returncode != 0
    assert "the fault is here" in done.stderr


def test_materializing_a_refused_declaration_fails_with_its_words():
    definitions = refused_definitions(Path("defs/models/a b"), "defs.yaml:3:4  wrong")
    job = definitions.resolve_implicit_global_asset_job_def()
    run = job.execute_in_process(
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert not run.success
    assert "defs.yaml:3:4  wrong" in str(run.failure_data_for_node("a_b__declaration"))


@pytest.mark.parametrize(
    ("folder", "key"),
    [
        ("/p/defs/models/bike", "bike/declaration"),
        ("/p/defs/models/team/bike", "team/bike/declaration"),
        ("/p/defs/bike", "bike/declaration"),
        ("/p/defs/models", "models/declaration"),
        ("/defs/p/defs/models/é b", "__b/declaration"),
        ("/elsewhere/bike", "bike/declaration"),
    ],
)
def test_the_asset_of_a_refused_folder_is_named_by_its_place(folder, key):
    assert declaration_key(Path(folder)).to_user_string() == key


LANE = """\
type: retrain_pipeline.components.Lane
attributes: {of: model_000, name: NAME, why: "Does another recipe do better here?", trigger: {TRIGGER}}
"""


@pytest.mark.requirement("D41", "D4")
def test_lanes_load_beside_their_model_and_a_refused_one_hides_nothing(copy_of_project):
    project = copy_of_project(1)
    for name, trigger in (("good", "cooldown_periods: 1"), ("bad", "cooldwn_periods: 1")):
        folder = project.defs / "models" / f"model_000__{name}"
        folder.mkdir()
        (folder / "defs.yaml").write_text(LANE.replace("NAME", name).replace("TRIGGER", trigger))
    loaded = project.load()
    models = {asset.split("/")[0] for asset in loaded["assets"]}
    assert models == {"model_000", "model_000__good", "model_000__bad", "portal"}
    assert [asset for asset in loaded["assets"] if asset.startswith("model_000__bad/")] == [
        "model_000__bad/declaration"
    ]
    assert "nearest: 'cooldown_periods'" in loaded["descriptions"]["model_000__bad/declaration"]
    assert loaded["tags"]["model_000__good/release"]["retrain/lane_of"] == "model_000"
    assert loaded["sensors"] == ["alerts", "model_000__good_retrain", "model_000_retrain"]
    assert loaded["asked"] == ["model_000"]  # a lane waits for the periods of its model
