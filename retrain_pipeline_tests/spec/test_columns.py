"""A first draft of data.columns."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_pipeline.lake.declared import Column
from retrain_pipeline.spec.columns import UnreadableData, suggest_columns
from retrain_pipeline.spec.yaml import read_yaml


def drafts(path: Path, **options) -> dict[str, dict]:
    columns = read_yaml(suggest_columns(path, **options), "draft").value["columns"]
    for declared in columns.values():
        Column.model_validate(declared)
    return columns


@pytest.fixture
def csv(tmp_path: Path):
    def write(**columns: list[str]) -> Path:
        rows = [",".join(columns), *(",".join(row) for row in zip(*columns.values(), strict=True))]
        (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
        return tmp_path / "data.csv"

    return write


@pytest.mark.parametrize(
    ("cells", "declared"),
    [
        (["0", "10", "5", "0"], {"dtype": "int", "range": [0, 13]}),
        (["-10", "10", "5", "0"], {"dtype": "int", "range": [-15, 15]}),
        (["-10", "-2", "-5", "-2"], {"dtype": "int", "range": [-12, 0]}),
        (["0.1", "0.9", "1e-1", "0.5"], {"dtype": "float", "range": [0, 1.1]}),
        (["1000.5", "2000", "1500", ""], {"dtype": "float", "range": [750, 2250], "nullable": True}),
        (["7", "7", "7", "7"], {"dtype": "int"}),
        (["007", "010", "007", "010"], {"dtype": "category", "values": ["007", "010"]}),
        (
            ["9007199254740993", "9007199254740995"] * 2,
            {"dtype": "category", "values": ["9007199254740993", "9007199254740995"]},
        ),
        (["NA", "DE", "NA", "DE"], {"dtype": "category", "values": ["DE", "NA"]}),
        (["no", "on", "no", "on"], {"dtype": "category", "values": ["no", "on"]}),
        (["true", "FALSE", "true", ""], {"dtype": "bool", "nullable": True}),
        (["2024-01-01", "2024-02-29T10:00:00Z", "2024-01-01 10:00", ""], {"dtype": "timestamp", "nullable": True}),
        (["ada", "grace", "edsger", "barbara"], {"dtype": "string"}),
        (["", "", "", ""], {"dtype": "string", "nullable": True}),
        (["1", "x", "1", "x"], {"dtype": "category", "values": ["1", "x"]}),
    ],
)
def test_what_a_column_of_cells_is_taken_for(csv, cells, declared):
    assert drafts(csv(value=cells, other=["a"] * 4))["value"] == declared


@pytest.mark.fault("I36")
def test_only_what_is_declared_missing_is_missing(csv):
    cells = ["NA", "None", "null", "nan"] * 2
    assert drafts(csv(x=cells))["x"] == {"dtype": "category", "values": ["NA", "None", "nan", "null"]}
    assert drafts(csv(x=cells), missing=["NA"])["x"]["nullable"]


def test_many_levels_are_a_category_without_a_list(csv):
    found = drafts(csv(value=[f"level {row % 100}" for row in range(400)]))
    assert found["value"] == {"dtype": "category"}


def test_keys_time_and_label_can_be_left_out_and_only_first_rows_count(csv):
    path = csv(id=["1", "2", "3"], x=["1", "2", "900"], y=["a", "b", "c"])
    assert drafts(path, leave_out=["id", "y"], rows=2) == {"x": {"dtype": "int", "range": [0, 3]}}


def test_declared_sentinels_are_missing(csv):
    assert drafts(csv(x=["1", "-", "3"]), missing=["", "-"])["x"] == {"dtype": "int", "range": [0, 4], "nullable": True}


def test_few_whole_numbers_get_the_question(csv):
    assert "# 2 different values: a category?" in suggest_columns(csv(x=["1", "2"] * 10))


def test_parquet_types_are_taken_as_they_are(tmp_path: Path):
    import pandas as pd

    frame = pd.DataFrame(
        {
            "count": [1, 2, 30, 4],
            "share": [0.5, None, float("inf"), 0.25],
            "endless": [float("inf")] * 4,
            "flag": [True, False, True, True],
            "at": pd.to_datetime(["2024-01-01", None, "2024-01-02", "2024-01-03"], utc=True),
            "kind": ["a", "b", "a", "b"],
        }
    )
    frame.to_parquet(tmp_path / "data.parquet")
    text = suggest_columns(tmp_path / "data.parquet")
    assert "holds infinities" in text
    assert read_yaml(text, "draft").value["columns"] == {
        "count": {"dtype": "int", "range": [0, 38]},
        "share": {"dtype": "float", "range": [0.18, 0.57], "nullable": True},
        "endless": {"dtype": "float"},
        "flag": {"dtype": "bool"},
        "at": {"dtype": "timestamp", "nullable": True},
        "kind": {"dtype": "category", "values": ["a", "b"]},
    }


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("data.csv", b""),
        ("data.csv", b"a,b\n"),
        ("data.csv", b"a,b\n1,\xff\n"),
        ("data.csv", b"a,b\n1,2\n1,2,3\n"),
        ("data.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 9999, mtime=0)[:-20]),
        ("data.csv.gz", b"not gzip"),
        ("data.parquet", b"PAR1 but no parquet"),
        ("data.xlsx", b""),
    ],
)
def test_a_file_without_readable_rows_is_refused_by_name(tmp_path: Path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UnreadableData, match=name.replace(".", r"\.")):
        suggest_columns(tmp_path / name)
    with pytest.raises(UnreadableData):
        suggest_columns(tmp_path / f"absent-{name}")


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path):
    import pandas as pd

    pd.DataFrame({"a": pd.Series([], dtype=float)}).to_parquet(tmp_path / "data.parquet")
    with pytest.raises(UnreadableData, match="no rows"):
        suggest_columns(tmp_path / "data.parquet")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-1e12, 1e12, allow_nan=False).map(lambda value: round(value, 6)), min_size=2, max_size=20))
def test_what_was_observed_lies_inside_the_drafted_range(tmp_path_factory, values):
    import pandas as pd

    path = tmp_path_factory.mktemp("columns") / "data.parquet"
    pd.DataFrame({"x": values}).to_parquet(path)
    declared = drafts(path)["x"]
    if len(set(values)) > 1:
        low, high = declared["range"]
        assert low <= min(values) <= max(values) <= high
        assert (min(values) >= 0) <= (low >= 0)
