"""An open table is kept for the next reader, and what others did meanwhile is seen all the same."""

import shutil
import subprocess
import sys

import pandas as pd
import pytest
from deltalake import DeltaTable

import retrain_pipeline.lake.handles as module
from retrain_pipeline.lake.errors import TableMissing
from retrain_pipeline.lake.tables import Lake

WEEK = "2024-01-01"
WRITE = """
import sys
import pandas as pd
from retrain_pipeline.lake.tables import Lake

at = pd.to_datetime(["2024-01-02"], utc=True)
frame = pd.DataFrame({"x": [float(sys.argv[2])], "_event_time": at, "_known_time": at})
Lake(sys.argv[1]).replace_partition("toy", "raw", "2024-01-01", frame)
"""


def frame(value: float) -> pd.DataFrame:
    at = pd.to_datetime(["2024-01-02"], utc=True)
    return pd.DataFrame({"x": [value], "_event_time": at, "_known_time": at})


def values(lake: Lake, version: int | None = None) -> list[float]:
    found = lake.read("toy", "raw", version=version)
    return found["x"].tolist() if len(found) else []


@pytest.fixture
def lake(tmp_path) -> Lake:
    made = Lake(str(tmp_path / "lake"))
    made.replace_partition("toy", "raw", WEEK, frame(1.0))
    return made


@pytest.fixture
def opens(monkeypatch) -> list[int | None]:
    """What is opened from now on, by version."""
    seen: list[int | None] = []

    def counted(uri, version=None, **more):
        seen.append(version)
        return DeltaTable(uri, version=version, **more)

    monkeypatch.setattr("deltalake.DeltaTable", counted)
    return seen


def test_a_table_is_opened_once_for_any_number_of_readers(lake, opens):
    first = lake.version("toy", "raw")
    for _ in range(5):
        assert values(lake) == [1.0]
        assert Lake(lake.url).periods("toy", "raw") == [WEEK]
        assert values(lake, first) == [1.0]
    assert opens == [None, first]


def test_what_this_process_writes_is_read_and_the_version_before_still_is_what_it_was(lake):
    first = lake.version("toy", "raw")
    assert values(lake) == values(lake, first) == [1.0]
    lake.replace_partition("toy", "raw", WEEK, frame(2.0))
    assert (values(lake), values(lake, first)) == ([2.0], [1.0])


def test_the_files_of_a_version_are_named_once(lake, monkeypatch):
    asked, whole = [], DeltaTable.to_pyarrow_dataset
    monkeypatch.setattr(
        DeltaTable, "to_pyarrow_dataset",
        lambda self, **how: asked.append(how["file_pruning_predicate"][0][2]) or whole(self, **how),
    )  # fmt: skip
    weeks = [WEEK, "2024-01-08", "2024-01-15"]
    for week in weeks[1:]:
        lake.replace_partition("toy", "raw", week, frame(2.0))

    def read(*some):
        return len(lake.read("toy", "raw", periods=some))

    assert (read(WEEK), read(*weeks[:2]), read(*weeks), read(*weeks), read(weeks[2])) == (1, 2, 3, 3, 1)
    assert asked == [[WEEK], ["2024-01-08"], ["2024-01-15"]]
    lake.replace_partition("toy", "raw", WEEK, frame(3.0))
    assert values(lake) == [3.0, 2.0, 2.0]
    assert values(lake, version=3) == [1.0, 2.0, 2.0]
    assert asked[3:] == [weeks, weeks]


def test_what_another_process_writes_is_read(lake):
    assert values(lake) == [1.0]
    subprocess.run([sys.executable, "-c", WRITE, lake.url, "3"], check=True, timeout=120)
    assert values(lake) == [3.0]


def test_a_table_that_is_gone_is_gone_and_one_made_anew_is_another(lake, tmp_path):
    first = lake.version("toy", "raw")
    assert values(lake) == values(lake, first) == [1.0]
    shutil.rmtree(tmp_path / "lake")
    assert values(lake) == []
    assert lake.partitions("toy", "raw", first) == {}
    lake.replace_partition("toy", "raw", WEEK, frame(4.0))
    assert lake.version("toy", "raw") == first
    assert values(lake) == values(lake, first) == [4.0]


def test_a_version_whose_log_is_gone_is_missing_though_it_was_read(lake):
    first = lake.version("toy", "raw")
    lake.replace_partition("toy", "raw", WEEK, frame(2.0))
    assert values(lake, first) == [1.0]
    (module.Path(lake.url) / "toy" / "raw" / "_delta_log" / f"{first:020d}.json").unlink()
    with pytest.raises(TableMissing, match=f"version {first}"):
        values(lake, first)


def test_an_update_reads_by_a_handle_of_its_own_and_loses_nothing(lake):
    """What others write between an update's read and its commit is not overwritten: the update is done again."""
    seen = []

    def change(now: pd.DataFrame) -> pd.DataFrame:
        seen.append(now["x"].tolist())
        if len(seen) == 1:
            lake.replace_partition("toy", "raw", WEEK, frame(10.0))
            assert values(lake) == [10.0]
        return now.assign(x=now["x"] + 1)

    lake.update_partition("toy", "raw", WEEK, change)
    assert seen == [[1.0], [10.0]]
    assert values(lake) == [11.0]


def test_a_process_keeps_so_many_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST", 3)
    lake = Lake(str(tmp_path / "lake"))
    for number in range(6):
        lake.replace_partition(f"toy_{number}", "raw", WEEK, frame(float(number)))
        assert lake.read(f"toy_{number}", "raw")["x"].tolist() == [float(number)]
    assert len(module._kept) <= 3
