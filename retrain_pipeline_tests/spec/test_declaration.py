"""Reading declarations: all that is wrong at once, each with place, finding, what is allowed and what is nearest."""

import re
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.names import NameRefused, check_name
from retrain_pipeline.spec.declaration import (
    COMPONENT,
    DeclarationRefused,
    declaration_of,
    other_components,
    read_all,
    read_declaration,
)
from retrain_pipeline.spec.yaml import read_yaml_file, yaml_text


def test_a_valid_declaration_is_read_with_its_defaults(read):
    spec = read().spec
    assert spec.data.time.start == date(2011, 1, 1)
    assert spec.data.columns["temp"].range == (-10, 45)
    assert (spec.features.build, spec.training.evaluation_periods, spec.format) == ("features.build", 2, 1)


def test_each_problem_is_one_line_with_place_finding_and_nearest_word(folder):
    model = folder(("task: regression", "task: regresion"), ("window_periods: 26", 'window_periods: "26"'))
    with pytest.raises(DeclarationRefused) as caught:
        read_declaration(model)
    assert str(caught.value) == (
        f"{model / 'defs.yaml'} is refused: 2 problems\n"
        "  defs.yaml:13:32  data.label.task  found 'regresion'; allowed: regression, binary, multiclass; "
        "nearest: 'regression'\n"
        "  defs.yaml:19:21  training.window_periods  found '26'; expected a whole number without quotes"
    )
    assert isinstance(caught.value, PermanentError)


CASES = [
    (("task: regression", "taks: regression"), "data.label.taks", 13, "no such key; allowed: column, task", "task"),
    (("name: bike_demand\n", "format: 1\n"), "name", 2, "missing: expected text", None),
    (("name: bike_demand", "name: Bike Demand"), "name", 3, "model name 'Bike Demand' is refused", None),
    (("kind: csv", "kind: cvs"), "data.source.kind", 10, "allowed: csv, delta, parquet, sql", "csv"),
    (("kind: csv, ", ""), "data.source.kind", 10, "missing; allowed: csv", None),
    (("kind: csv, ", "kind: csv, delimitre: ;, "), "data.source.delimitre", 10, "no such key; allowed: kind, path, del",
     "delimiter"),
    (("key: [instant]", "key: instant"), "data.key", 11, "expected a list, like [instant]", None),
    (("key: [instant]", "key: []"), "data.key", 11, "expected at least 1 item", None),
    (("start: 2011-01-01", "start: 2011-02-30"), "data.time.start", 12, "expected a date like", None),
    (("start: 2011-01-01", "start: 20110101"), "data.time.start", 12, "expected a date like", None),
    (("period: week, start: 2011-01-01", "period: month, start: 2011-01-08"), "data.time.start", 12,
     "monthly periods start on the first day", None),
    (("delay_hours: 24", "delay_hours: yes"), "data.label.delay_hours", 13, "expected a number", None),
    (("delay_hours: 24", "delay_hours: true"), "data.label.delay_hours", 13, "expected a number", None),
    (("delay_hours: 24", "delay_hours: -1"), "data.label.delay_hours", 13, "expected greater than or equal to 0", None),
    (("delay_hours: 24", "delay_hours: .nan"), "data.label.delay_hours", 13, "expected a number", None),
    (("delay_hours: 24", "delay_hours: 24, known_time: at"), "data.label", 13, "source and known_time", None),
    (("range: [-10, 45]", "range: [45, -10]"), "data.columns.temp", 15, "range is [lowest, highest]", None),
    (("range: [-10, 45]", "range: [45]"), "data.columns.temp.range[1]", 15, "missing: expected a number", None),
    (("range: [-10, 45]", "range: [1, 2, 3]"), "data.columns.temp.range", 15, "expected at most 2 items", None),
    (("dtype: float", "dtype: Float32"), "data.columns.temp.dtype", 15, "allowed: int, float, bool", "float"),
    (("range: [-10, 45]", "missing: [{a: 1}]"), "data.columns.temp.missing[0]", 15, "expected text or a number", None),
    (("range: [-10, 45]", "nullable: NO"), "data.columns.temp.nullable", 15, "expected true or false", None),
    (("temp: {", "cnt: {"), "data.columns.cnt", 15, "this is the label", None),
    (("temp: {", "_temp: {"), "data.columns", 15, "no leading '_'", None),
    (("temp: {", f"{'t' * 101}: {{"), "data.columns", 15, "1 to 100", None),
    (("temp: {", "Season: {"), "data.columns", 15, "'Season' and 'season' differ only in case", None),
    (("temp: {", "INSTANT: {"), "data.columns", 15, "differ only in case", None),
    (("key: [instant]", "key: [instant, instant]"), "data.key", 11, "given twice", None),
    (("key: [instant]", "key: [cnt]"), "data.key", 11, "'cnt' is the label", None),
    (("column: timestamp", "column: cnt"), "data.label.column", 13, "is the time column", None),
    (("metric: mae", "metric: brier"), "problem.success.metric", 8, "'brier' does not fit a regression label", None),
    (("slices: [season]", "slices: [saeson]"), "gates.slices", 22, "nearest: 'season'", None),
    (("slices: [season]", "slices: [rain]"), "gates.slices", 22, "is not one of data.columns", None),
    (("window_periods: 26", "window_periods: 26.0"), "training.window_periods", 19, "expected a whole number", None),
    (("window_periods: 26", "window_periods: 3"), "training.min_periods", 18, "window_periods is 3", None),
    (("window_periods: 26", "window_periods: 26\n    window_choices: [40]"), "training.window_choices", 20,
     "40 is longer than window_periods (26)", None),
    (("window_periods: 26", "window_periods: 26\n    window_choices: [13, 3]"), "training.window_choices", 20,
     "3 is shorter than min_periods (4)", None),
    (("window_periods: 26", "window_periods: 26\n    window_choices: [13, 13]"), "training.window_choices", 20,
     "13 is given twice", None),
    (("window_periods: 26", "evaluation_periods: 4"), "training.min_periods", 18, "greater than eval", None),
    (("ridge: {", "Ridge!: {"), "training.candidates", 21, "candidate name 'Ridge!' is refused", None),
    (("ridge: {", "dummy: {"), "training.candidates.dummy", 21, "taken by a baseline", None),
    (("estimator: sklearn.linear_model.Ridge", "estimator: Ridge"), "training.candidates.ridge.estimator", 21,
     "a dotted path like", None),
    (("[\"team:mobility\", ada@example.org]", "[mobility]"), "owners[0]", 4, "team:<name> or an e-mail", None),
    (("statement: Rentals per hour, so that bikes are moved before a station runs dry.", "statement: short"),
     "problem.statement", 6, "expected at least 20 characters", None),
    (("gates: {alpha: 0.05, slices: [season]}", "gates:"), "gates", 22, "a mapping (or leave the key out)", None),
    (("gates: {alpha: 0.05, slices: [season]}", "rollout: {canary_shares: [0.5, 0.1]}"), "rollout.canary_shares", 22,
     "greater than the one before", None),
    (("gates: {alpha: 0.05, slices: [season]}", "rollout: {canary_shares: [0.9], holdback_share: 0.2}"),
     "rollout.canary_shares", 22, "more than all traffic", None),
    (("features: features.build", "features: build"), "features", 17, "a dotted path", None),
    (("features: features.build", "features: features.bild"), "features", 17, "features.py defines build", "build"),
    (("features: features.build", "features: {build: other.build}"), "features.build", 17, "no other.py", None),
    (("features: features.build", "features: {history_periods: -1}"), "features.history_periods", 17, "greater", None),
    (("features: features.build", "features: {build: features.build, history: 1}"), "features.history", 17,
     "allowed: build, history_periods", "history_periods"),
    ((f"type: {COMPONENT}", "type: retrain_pipeline.RetrainedModl"), "type", 1, f"expected {COMPONENT}", None),
    ((f"type: {COMPONENT}\n", ""), "type", 1, f"expected {COMPONENT}", None),
    (("attributes:", "requirments: 1\nattributes:"), "requirments", 2, "no such key; allowed: type", "requirements"),
]  # fmt: skip


@pytest.mark.parametrize(("exchange", "path", "line", "words", "nearest"), CASES, ids=lambda case: str(case)[:60])
def test_one_mistake_is_one_problem_that_names_place_and_mend(problems, exchange, path, line, words, nearest):
    (problem,) = problems(exchange)
    assert (problem.path, problem.line, problem.nearest) == (path, line, nearest)
    assert words in problem.expected


@pytest.mark.fault("I33")
@pytest.mark.parametrize("name", ["te\\u200bmp", "cafe\\u0301", "\\u202Etemp", "temp\\n", "\\uFEFFtemp", "temp\\u00A0"])
def test_column_names_with_what_nobody_sees_are_refused(problems, name):
    (problem,) = problems(("temp: {", f'"{name}": {{'))
    assert (problem.path, problem.line) == ("data.columns", 15)
    assert "printable NFC" in problem.expected


@pytest.mark.requirement("A4")
def test_without_a_declared_problem_nothing_loads(problems):
    (problem,) = problems(("  problem:\n", "  data2:\n"))[:1]
    assert problem.path == "problem"
    assert problem.expected == "missing: expected a mapping with statement, business_metric, success"


def test_all_problems_of_a_file_are_told_at_once(problems):
    found = problems(
        ("kind: csv", "kind: cvs"), ("alpha: 0.05", "alpha: 2"), ("mae", "mea"), ("features.build", "f.build")
    )
    assert [problem.path for problem in found] == [
        "problem.success.metric",
        "data.source.kind",
        "features",
        "gates.alpha",
    ]


@pytest.mark.fault("I46")
def test_a_declaration_for_a_later_release_is_one_problem(problems):
    (problem,) = problems(("name: bike_demand", "name: bike_demand\n  format: 2"), ("gates:", "gates_of_tomorrow:"))
    assert (problem.path, problem.line, problem.found) == ("format", 4, "2")
    assert "this release reads format 1: upgrade" in problem.expected


@pytest.mark.fault("I46")
def test_a_format_that_never_was_is_refused(problems):
    (problem,) = problems(("name: bike_demand", "name: bike_demand\n  format: 0"))
    assert (problem.path, problem.found, problem.expected) == ("format", "0", "allowed: 1")


def test_where_text_is_expected_numbers_and_booleans_are_what_is_spelled(read):
    spec = read(('["1", "2", "3", "4"]', "[1, 010, 1.10, true, NO, 1e3, 2011-01-01]"), ("celsius", "1.10")).spec
    assert spec.data.columns["season"].values == ("1", "010", "1.10", "true", "NO", "1e3", "2011-01-01")
    assert spec.data.columns["temp"].unit == "1.10"


def test_null_is_not_text(problems):
    (problem,) = problems(('["1", "2", "3", "4"]', '["1", 2, null]'))
    assert (problem.path, problem.found) == ("data.columns.season.values[2]", "nothing (null)")


def test_free_parameters_keep_their_types(read):
    exchange = ("estimator: sklearn.linear_model.Ridge", 'estimator: a.B, params: {x: 1.10, y: "1.10", z: 1, on: true}')
    params = read(exchange).spec.training.candidates["ridge"].params
    assert params == {"x": 1.1, "y": "1.10", "z": 1, "on": True}
    assert [type(value) for value in params.values()] == [float, str, int, bool]


def test_columns_may_have_any_printable_name(read):
    spec = read(("temp: {", '"feels like, °C (2.5): \\"x\\"": {')).spec
    assert 'feels like, °C (2.5): "x"' in spec.data.columns


def test_problems_below_such_a_name_are_readable(problems):
    (problem,) = problems(("temp: {dtype: float", '"feels like": {dtype: flot'))
    assert (problem.path, problem.line) == ('data.columns["feels like"].dtype', 15)


@pytest.mark.fault("S4")
def test_a_file_that_is_not_strict_yaml_is_refused_with_places(problems):
    found = problems(
        ("name: bike_demand", "name: !!python/object/apply:os.system [ls]"), ("alpha: 0.05", "alpha: 1, alpha: 2")
    )
    assert [(problem.line, problem.column) for problem in found] == [(3, 9), (22, 21)]
    assert found[0].told("defs.yaml").startswith("defs.yaml:3:9  tag 'tag:yaml.org,2002:python/object/apply:os.system'")


@pytest.mark.parametrize("text", ["[]", "text", f"type: {COMPONENT}\nattributes: 3", f"type: {COMPONENT}"])
def test_a_file_of_another_shape_is_refused(folder, text):
    with pytest.raises(DeclarationRefused, match="expected a mapping"):
        read_declaration(folder(text=text))


def test_a_folder_without_declaration_function_or_decision_is_refused(folder, tmp_path):
    with pytest.raises(DeclarationRefused, match=r"missing: a model's folder holds a defs\.yaml"):
        read_declaration(tmp_path)
    model = folder()
    (model / "features.py").unlink()
    (model / "decisions" / "0001-why.md").rename(model / "decisions" / "notes.txt")
    with pytest.raises(DeclarationRefused) as caught:
        read_declaration(model)
    words = [problem.expected for problem in caught.value.problems]
    assert words[0].startswith("decisions/: expected at least one Markdown file")
    assert words[1] == "there is no features.py in bike_demand/"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def build(rows:\n", "features.py:1 is not Python"),
        ("x = 1\n\0", "is not Python"),
        ("class A:\n    def build(self, rows): return rows\n", "features.py defines no function"),
        ("async def build(rows): return rows\n", "features.py defines no function"),
    ],
)
def test_the_feature_function_is_looked_up_in_its_source(folder, code, words):
    model = folder()
    (model / "features.py").write_text(code)
    with pytest.raises(DeclarationRefused) as caught:
        read_declaration(model)
    assert words in caught.value.problems[0].expected


def test_reading_a_declaration_runs_none_of_its_code(folder, tmp_path):
    model = folder()
    code = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n\ndef build(rows):\n    return rows\n"
    (model / "features.py").write_text(code)
    read_declaration(model)
    assert not (tmp_path / "ran").exists()
    assert "features" not in sys.modules


def test_values_without_a_file_are_declared_alike(folder):
    model = folder()
    attributes = read_yaml_file(model / "defs.yaml").value["attributes"]
    read = read_declaration(model)
    assert declaration_of(attributes, model / "defs.yaml") == read
    attributes["data"]["time"]["start"] = date(2011, 1, 1)  # what another YAML reader makes of it
    assert declaration_of(attributes, model / "defs.yaml").spec.digest == read.spec.digest


def test_problems_without_a_file_have_a_path_but_no_line(folder):
    model = folder()
    attributes = read_yaml_file(model / "defs.yaml").value["attributes"]
    attributes["data"]["label"]["task"] = "binray"
    with pytest.raises(DeclarationRefused, match=r"\n  defs\.yaml  data\.label\.task  found 'binray'; allowed: "):
        declaration_of(attributes, model / "defs.yaml")
    attributes["data"]["label"]["task"] = object()
    with pytest.raises(TypeError, match="cannot hold a object"):
        declaration_of(attributes, model / "defs.yaml")


def test_one_bad_file_does_not_hide_the_others(folder):
    models = folder(name="alpha").parent
    folder(("kind: csv", "kind: cvs"), ("bike_demand\n", "beta\n"), name="beta")
    folder(("bike_demand\n", "gamma\n"), name="gamma")
    (models / "__pycache__").mkdir()
    (models / "no_declaration").mkdir()
    (models / "no_declaration" / "features.py").touch()
    accepted, refused = read_all(models)
    assert [declaration.folder.name for declaration in accepted] == ["alpha", "gamma"]
    assert [refusal.file.parent.name for refusal in refused] == ["beta", "no_declaration"]


def test_a_name_that_two_files_declare_is_a_problem_of_both(folder):
    models = folder(name="first").parent
    folder(name="second")
    folder(("bike_demand\n", "other\n"), name="third")
    accepted, refused = read_all(models)
    assert [declaration.folder.name for declaration in accepted] == ["third"]
    assert [refusal.problems[0].told("defs.yaml") for refusal in refused] == [
        "defs.yaml:3:9  name  found 'bike_demand'; expected a name of its own: second/defs.yaml has it too",
        "defs.yaml:3:9  name  found 'bike_demand'; expected a name of its own: first/defs.yaml has it too",
    ]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("type: dagster.DefsFolderComponent\n", ("dagster.DefsFolderComponent",)),
        ("# ours\ntype: 'acme.Loader' # theirs\nattributes: &a {b: *a}\n", ("acme.Loader",)),
        ("attributes: {}\ntype: .loader.Plane\n---\ntype: acme.Other\n", (".loader.Plane", "acme.Other")),
        ("type: retrain_pipeline.components.loader.Loader\n", ("retrain_pipeline.components.loader.Loader",)),
        ("type: acme.Loader\n---\ntype: a.RetrainedModel\n", ()),
        ("type: retrain_pipeline.components.RetrainedModl\n", ()),
        ("type: acme.RetraindModel\n", ()),
        ("type: retrain_pipeline.components.Lan\n", ()),
        ("type: Loader\n", ()),
        ("attributes: {type: acme.Loader}\n", ()),
        ("", ()),
    ],
)
def test_a_file_of_other_components_is_passed_over_and_a_misspelt_one_is_not(folder, text, kinds):
    models = folder(name="alpha").parent
    (models / "theirs").mkdir()
    (models / "theirs" / "defs.yaml").write_text(text)
    assert other_components(models / "theirs" / "defs.yaml") == kinds
    accepted, refused = read_all(models)
    assert [declaration.folder.name for declaration in accepted] == ["alpha"]
    assert [refusal.file.parent.name for refusal in refused] == ([] if kinds else ["theirs"])


def test_there_may_be_no_models_at_all(tmp_path: Path):
    assert read_all(tmp_path / "absent") == ([], [])


def _declared_name(folder: Path, name: str) -> str:
    file = folder / "defs.yaml"
    declared = f"  name: {yaml_text(name)}"
    text = re.sub("^  name: .*$", lambda _: declared, file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    file.write_text(text, encoding="utf-8")
    return read_declaration(folder).spec.name


_ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


@pytest.fixture
def one(folder):
    return folder()


@_ONE_FOLDER
@given(name=st.from_regex(r"[a-z0-9][a-z0-9_]{0,62}", fullmatch=True))
def test_every_name_of_the_grammar_is_read_as_it_is(one, name):
    try:
        check_name(name, "model")
    except NameRefused:  # the names of devices
        with pytest.raises(DeclarationRefused):
            _declared_name(one, name)
    else:
        assert _declared_name(one, name) == name


@pytest.mark.fault("I44", "S3")
@_ONE_FOLDER
@given(name=st.text(max_size=80) | st.sampled_from(["../up", "con", "a\nb", "-a", "a" * 64, "a%2eb", "a\0b", "", "Ａ"]))
def test_every_other_name_is_refused(one, name):
    try:
        check_name(name, "model")
    except NameRefused:
        with pytest.raises(DeclarationRefused):
            _declared_name(one, name)
