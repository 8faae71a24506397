"""A lane's declaration: what differs, laid over its model's; a mistake in it is told as any other."""

import dagster as dg
import pytest
from jsonschema import ValidationError, validate

from retrain_pipeline.assets.model import fleet_definitions, model_definitions
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.components.lane import LaneAttributes
from retrain_pipeline.lanes import Lane, LaneRefused, is_loaded
from retrain_pipeline.spec.declaration import DeclarationRefused, read_all, read_declaration
from retrain_pipeline.spec.rollout import Rollout
from retrain_pipeline.spec.template import FolderTaken, scaffold_lane
from retrain_pipeline.spec.yaml import read_yaml_file

MODEL = """\
type: retrain_pipeline.components.RetrainedModel
attributes:
  name: toy
  owners: ["team:toys"]
  problem:
    statement: A small world in which a drift is planted, for tests.
    business_metric: {name: errors, direction: down}
    success: {metric: error, at_most: 0.45}
  data:
    source: {kind: csv, path: toy.csv}
    key: [id]
    time: {column: at, period: week, start: 2024-01-01}
    label: {column: y, task: binary, delay_hours: 24}
    columns:
      a: {dtype: float, range: [-10, 10]}
      kind: {dtype: category, values: [1.10, "y"]}
  training:
    window_periods: 8
    candidates:
      logistic: {estimator: sklearn.linear_model.LogisticRegression}
  gates: {margin: 0.1, slices: [kind]}
  rollout: {shadow_periods: 1, canary_shares: [0.1], approval: required}
  signals: {error_rate: {missing: {policy: halt}}}
"""
LANE = """\
type: retrain_pipeline.components.Lane
attributes:
  of: toy
  name: wide
  why: Does a weaker penalty catch the drift earlier?
  training:
    candidates:
      weak: {estimator: sklearn.linear_model.LogisticRegression, params: {C: 0.5}}
  gates: {margin: 0.02}
"""
BUILD = "def build(rows):\n    return rows\n"


@pytest.fixture
def models(tmp_path):
    """A folder of models with `toy` in it."""
    (tmp_path / "toy" / "decisions").mkdir(parents=True)
    (tmp_path / "toy" / "decisions" / "0001-why.md").write_text("# Why\nBecause.\n")
    (tmp_path / "toy" / "features.py").write_text(BUILD)
    (tmp_path / "toy" / "defs.yaml").write_text(MODEL)
    return tmp_path


@pytest.fixture
def lane(models):
    """Return a function that writes a lane's file, with exchanges of text, and returns its folder."""

    def write(*exchanges: tuple[str, str], more: str = "", folder: str = "toy__wide"):
        text = LANE
        for old, new in exchanges:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (models / folder).mkdir()
        (models / folder / "defs.yaml").write_text(text + more)
        return models / folder

    return write


@pytest.mark.requirement("D41")
def test_a_lane_is_its_model_but_for_what_it_declares(models, lane):
    folder = lane()
    model, declared = read_declaration(models / "toy"), read_declaration(folder)
    assert declared.lane == Lane("toy__wide", "toy", "Does a weaker penalty catch the drift earlier?")
    spec, theirs = declared.spec, model.spec
    assert spec.name == "toy__wide"
    assert list(spec.training.candidates) == ["weak"]  # a key that is given takes the place of the model's
    assert spec.training.window_periods == 8  # one that is not given stays
    assert (spec.gates.margin, spec.gates.slices) == (0.02, ("kind",))
    assert (spec.data, spec.problem, spec.owners) == (theirs.data, theirs.problem, theirs.owners)
    assert spec.data.columns["kind"].values[0] == "1.10"  # what the model's file spells, not what a number says
    # nobody is served: nothing is rolled out by stages, nobody approves, nothing is measured of a service
    assert (spec.rollout, spec.signals) == (Rollout(), {})
    assert (declared.folder, declared.file) == (model.folder, folder / "defs.yaml")
    assert model == read_all(models)[0][0]
    assert [one.spec.name for one in read_all(models)[0]] == ["toy", "toy__wide"]


@pytest.mark.requirement("D41")
def test_a_lane_with_features_of_its_own_leaves_the_models_folder_as_it_is(models, lane):
    folder = lane(more="  features: features.build\n")
    with pytest.raises(DeclarationRefused, match=r"there is no features\.py in toy__wide/"):
        read_declaration(folder)
    (folder / "features.py").write_text(BUILD)
    assert read_declaration(folder).folder == folder


MISTAKES = {
    "a section that is not a lane's": ((), "  data: {}\n", r"defs\.yaml:10:9  data  not a lane's to .*another"),
    "a rollout": ((), "  rollout: {shadow_periods: 2}\n", r"defs\.yaml:10:12  rollout  not a lane's .* serves nobody"),
    "an unknown section": ((), "  triger: {}\n", r"defs\.yaml:10:3  triger  no such key; .*nearest: 'trigger'"),
    "an unknown key": ((("margin:", "margn:"),), "", r"defs\.yaml:9:11  gates\.margn  no such .*: 'margin'"),
    "a wrong value": ((("margin: 0.02", "margin: -1"),), "", r"defs\.yaml:9:19  gates\.margin  found -1; expected"),
    "no such model": ((("of: toy", "of: tyo"),), "", r"defs\.yaml:3:7  of  found 'tyo'; .*nearest: 'toy'"),
    "no reason": ((("Does a weaker penalty catch the drift earlier?", "why not"),), "", r"defs\.yaml:5:8  why  found"),
    "no name": ((("  name: wide\n", ""),), "", r"name  missing: expected what it is called"),
    "a name that is none": ((("name: wide", "name: Wide!"),), "", r"defs\.yaml:4:9  name  found 'Wide!'; lane name"),
    "a clash with the model": (
        (("candidates:\n      weak: {estimator: sklearn.linear_model.LogisticRegression, params: {C: 0.5}}",
          "window_periods: 2"),), "", r"training\.min_periods  no window reaches it",
    ),
}  # fmt: skip


@pytest.mark.requirement("D41", "D4")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_lane_is_told_with_file_place_and_mend(lane, mistake):
    exchanges, more, words = MISTAKES[mistake]
    with pytest.raises(DeclarationRefused, match=words) as refused:
        read_declaration(lane(*exchanges, more=more))
    assert len(refused.value.problems) == 1, str(refused.value)


@pytest.mark.requirement("D41", "D4")
def test_a_lane_of_a_refused_model_says_so_and_a_lane_of_a_lane_is_none(models, lane):
    folder = lane()
    with pytest.raises(DeclarationRefused, match=r"found 'toy__wide'; .*: toy"):
        read_declaration(lane(("of: toy", "of: toy__wide"), folder="other"))
    (models / "toy" / "defs.yaml").write_text(MODEL.replace("task: binary", "task: bogus"))
    with pytest.raises(DeclarationRefused, match=r"of  found 'toy'; its model is refused itself: mend toy/defs\.yaml"):
        read_declaration(folder)


@pytest.mark.requirement("D41")
def test_two_lanes_of_one_name_are_both_refused(models, lane):
    lane()
    lane(folder="another")
    accepted, refused = read_all(models)
    assert [one.spec.name for one in accepted] == ["toy"]
    assert sorted(one.file.parent.name for one in refused) == ["another", "toy__wide"]


@pytest.mark.requirement("D41")
def test_a_scaffolded_lane_is_accepted_and_the_schema_takes_what_we_take(models, lane):
    scaffold_lane(models / "toy__new", "toy", "new")
    assert read_declaration(models / "toy__new").lane.name == "toy__new"
    with pytest.raises(FolderTaken):
        scaffold_lane(models / "toy__new", "toy", "new")
    schema = LaneAttributes.model_json_schema()
    attributes = read_yaml_file(lane() / "defs.yaml").at(("attributes",))
    validate(attributes, schema)
    for wrong in ({"data": {}}, {"gates": {"margn": 1}}, {"training": {"candidates": {}}}):
        with pytest.raises(ValidationError):
            validate(attributes | wrong, schema)


@pytest.mark.requirement("D41")
def test_a_lane_has_its_models_graph_in_a_group_of_its_own_but_for_what_it_reads_of_the_model(models, lane):
    model, declared = read_declaration(models / "toy"), read_declaration(lane())
    resources = dg.Definitions(resources={"stores": StoresResource()})
    both = (dg.Definitions.merge(model_definitions(one), resources) for one in (model, declared))
    graphs = [definitions.resolve_asset_graph() for definitions in both]
    assets = [{key.path[1] for key in graph.materializable_asset_keys} for graph in graphs]
    assert assets[0] - assets[1] == {"raw", "approval"}
    assert assets[1] <= assets[0]
    nodes = {node.key.to_user_string(): node for node in graphs[1].asset_nodes if node.is_materializable}
    assert {node.group_name for node in nodes.values()} == {"toy__wide"}
    assert {node.tags["retrain/lane_of"] for node in nodes.values()} == {"toy"}
    parents = {key: {one.to_user_string() for one in node.parent_keys} for key, node in nodes.items()}
    assert parents["toy__wide/features"] == {"toy/raw"}
    assert parents["toy__wide/feedback"] == {"toy__wide/predictions", "toy/feedback"}
    # fits of experiments wait for each other, and no model waits for them
    pools = [
        graph.get(dg.AssetKey([name, "candidate"])).pools
        for graph, name in zip(graphs, ("toy", "toy__wide"), strict=True)
    ]
    assert pools == [{"training"}, {"lanes"}]
    # no asset of the model comes from a lane
    assert not any(key.path[0] == "toy__wide" for node in graphs[0].asset_nodes for key in node.parent_keys)


@pytest.mark.requirement("D41")
def test_a_code_location_may_have_lanes_alone_or_none(models, lane):
    here = read_declaration(lane())
    words = {"": (True, True), "without": (True, False), "only": (False, True)}
    for word, loaded in words.items():
        assert tuple(is_loaded(one, {"RETRAIN_LANES": word}) for one in (None, here.lane)) == loaded
    with pytest.raises(LaneRefused, match="RETRAIN_LANES"):
        is_loaded(None, {"RETRAIN_LANES": "yes"})
    # the alerts of the project are entered where the models are
    assert not fleet_definitions([here]).sensors
    assert [one.name for one in fleet_definitions([here, read_declaration(models / "toy")]).sensors] == ["alerts"]
