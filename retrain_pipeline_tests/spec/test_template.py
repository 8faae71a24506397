"""A new model's folder."""

import re
from datetime import date
from pathlib import Path

import pytest
import yaml as pyyaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrain_pipeline.names import NameRefused
from retrain_pipeline.spec.declaration import read_all, read_declaration
from retrain_pipeline.spec.template import FolderTaken, scaffold
from retrain_pipeline.spec.yaml import read_yaml

TODAY = date(2026, 11, 18)


def test_a_new_folder_is_valid_at_once(tmp_path: Path):
    scaffold(tmp_path / "churn", "churn", today=TODAY)
    spec = read_declaration(tmp_path / "churn").spec
    assert spec.name == "churn"
    assert spec.data.time.start.weekday() == 0


def test_what_is_commented_out_are_the_defaults(tmp_path: Path):
    scaffold(tmp_path / "churn", "churn", today=TODAY)
    file = tmp_path / "churn" / "defs.yaml"
    digest = read_declaration(tmp_path / "churn").spec.digest
    text, count = re.subn(r"^( +)# (?=[a-z_]+: )(?!owners|kind)", r"\1", file.read_text(), flags=re.MULTILINE)
    assert count == 17
    file.write_text(text)
    assert read_declaration(tmp_path / "churn").spec.digest == digest


def test_every_section_is_shown(tmp_path: Path):
    from retrain_pipeline.spec.model import ModelSpec

    scaffold(tmp_path / "churn", "churn")
    text = (tmp_path / "churn" / "defs.yaml").read_text()
    assert [name for name in ModelSpec.model_fields if f"{name}: " not in text and f"{name}:\n" not in text] == [
        "format"
    ]


def test_the_function_of_a_new_folder_drops_what_is_no_feature(tmp_path: Path):
    import pandas as pd

    scaffold(tmp_path / "churn", "churn")
    names: dict[str, object] = {}
    exec(compile((tmp_path / "churn" / "features.py").read_text(), "features.py", "exec"), names)
    rows = pd.DataFrame({"row_id": [1], "happened_at": [pd.Timestamp(0, tz="UTC")], "amount": [2.0], "kind": ["a"]})
    assert list(names["build"](rows).columns) == ["amount", "kind"]


def test_the_first_decision_has_the_front_matter_and_sections_of_a_record(tmp_path: Path):
    scaffold(tmp_path / "churn", "churn", today=TODAY)
    _, front, body = (tmp_path / "churn" / "decisions" / "0001-why-this-model.md").read_text().split("---\n", 2)
    matter = read_yaml(front, "front").value
    assert (matter["id"], matter["status"], matter["date"]) == ("churn-0001", "proposed", "2026-11-18")
    assert matter["review_by"] > matter["date"]
    sections = re.findall(r"^##+ (.+)$", body, flags=re.MULTILINE)
    assert sections[:7] == [
        "Context and Problem Statement",
        "Decision Drivers",
        "Considered Options",
        "Decision Outcome",
        "Consequences",
        "Confirmation",
        "Pros and Cons of the Options",
    ]


def test_nothing_is_written_over(tmp_path: Path):
    (tmp_path / "features.py").write_text("mine")
    with pytest.raises(FolderTaken, match=r"features\.py exists"):
        scaffold(tmp_path, "churn")
    assert [entry.name for entry in tmp_path.iterdir()] == ["features.py"]
    assert (tmp_path / "features.py").read_text() == "mine"


def test_a_refused_name_writes_nothing(tmp_path: Path):
    with pytest.raises(NameRefused):
        scaffold(tmp_path / "x", "../x")
    assert list(tmp_path.iterdir()) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(
    name=st.from_regex(r"[a-z0-9][a-z0-9_]{0,62}", fullmatch=True)
    | st.sampled_from(["123", "1e3", "no", "null", "true"])
)
def test_every_name_makes_a_valid_folder_for_every_reader(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("models") / "it"
    try:
        scaffold(folder, name)
    except NameRefused:
        return
    assert read_declaration(folder).spec.name == name
    assert pyyaml.safe_load((folder / "defs.yaml").read_text())["attributes"]["name"] == name


def test_the_shipped_models_are_valid():
    import retrain_pipeline

    accepted, refused = read_all(Path(retrain_pipeline.__file__).parent / "defs" / "models")
    assert refused == []
    assert "lending" in [declaration.spec.name for declaration in accepted]
