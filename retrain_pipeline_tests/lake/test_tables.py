"""The lake keeps every version, notices what is unchanged, and tells empty from missing."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_pipeline.lake.digests import frame_digest
from retrain_pipeline.lake.errors import ColumnRefused, SnapshotChanged, TableMissing
from retrain_pipeline.lake.tables import Lake, Partition, PartitionWrite, Snapshot
from retrain_pipeline.names import NameRefused

DAY = datetime(2024, 1, 1, tzinfo=UTC)


def frame_of(values: list[object], start: datetime = DAY, delay_hours: float = 0, name: str = "x") -> pd.DataFrame:
    events = pd.Series([start + timedelta(hours=hour) for hour in range(len(values))], dtype="datetime64[us, UTC]")
    known = (events + pd.Timedelta(hours=delay_hours)).astype("datetime64[us, UTC]")
    return pd.DataFrame({name: values, "_event_time": events, "_known_time": known})


def test_what_is_written_is_read_in_time_order(lake: Lake) -> None:
    frame = frame_of([3.0, 1.0, 2.0]).assign(k=["c", "a", "b"], n=[3, 1, 2], ok=[True, False, True])
    write = lake.replace_partition("m", "raw", "2024-01-01", frame.iloc[[2, 0, 1]])
    read = lake.read("m", "raw")
    assert write == PartitionWrite("raw", 1, "2024-01-01", 3, frame_digest(frame), True)
    pd.testing.assert_frame_equal(read[frame.columns], frame)
    assert set(read.columns) == {*frame.columns, "_period"}
    assert list(lake.read("m", "raw", columns=["k", "n"]).columns) == ["k", "n"]
    read.loc[0, "x"] = 9.0  # the frame is the reader's own


def test_a_lazy_scan_has_the_rows_of_its_periods_that_were_known(lake: Lake) -> None:
    assert lake.lazy("m", "raw", ["2024-01-01"]) is None
    lake.replace_partition("m", "raw", "2024-01-01", frame_of([1.0, 2.0, 3.0], delay_hours=1))
    # a column that came later, and a period that is there without rows
    lake.replace_partition("m", "raw", "2024-01-02", frame_of([4.0], DAY + timedelta(days=1)).assign(late=7.0))
    lake.replace_partition("m", "raw", "2024-01-03", pd.DataFrame())
    both = lake.lazy("m", "raw", ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-09"])
    assert both is not None
    found = both.collect(engine="streaming").sort("_event_time")
    assert found["x"].to_list() == [1.0, 2.0, 3.0, 4.0]
    assert found["late"].to_list() == [None, None, None, 7.0]
    assert set(found.columns) == {"x", "late", "_event_time", "_known_time", "_period"}
    early = lake.lazy("m", "raw", ["2024-01-01"], known_by=DAY + timedelta(hours=2))
    assert early is not None
    assert early.collect(engine="streaming")["x"].sort().to_list() == [1.0, 2.0]
    empty = lake.lazy("m", "raw", ["2024-01-03"])
    assert empty is not None
    assert empty.collect(engine="streaming").height == 0


@pytest.mark.requirement("D38")
def test_the_same_content_makes_no_new_version(lake: Lake) -> None:
    frame = frame_of([1.0, 2.0]).assign(k=["a", None])
    first = lake.replace_partition("m", "raw", "2024-01-01", frame)
    again = lake.replace_partition("m", "raw", "2024-01-01", frame.iloc[::-1][list(reversed(frame.columns))])
    assert (again.changed, again.version, again.digest) == (False, first.version, first.digest)
    changed = lake.replace_partition("m", "raw", "2024-01-01", frame.assign(x=[1.0, 3.0]))
    assert changed.changed
    assert changed.version > first.version


@pytest.mark.fault("I11")
@pytest.mark.requirement("D38")
def test_a_restated_period_leaves_old_versions_and_snapshots_as_they_were(lake: Lake) -> None:
    first = lake.replace_partition("m", "raw", "2024-01-01", frame_of([1.0, 2.0]))
    lake.replace_partition("m", "raw", "2024-01-02", frame_of([5.0], DAY + timedelta(days=1)))
    snapshot = lake.snapshot("m", "raw", periods=["2024-01-01", "2024-01-02"])
    lake.replace_partition("m", "raw", "2024-01-01", frame_of([1.0, 7.0, 8.0]))
    assert list(lake.read("m", "raw", version=first.version)["x"]) == [1.0, 2.0]
    assert list(lake.read_snapshot(snapshot)["x"]) == [1.0, 2.0, 5.0]
    assert list(lake.read("m", "raw")["x"]) == [1.0, 7.0, 8.0, 5.0]
    assert Snapshot.from_json(snapshot.to_json()) == snapshot


@pytest.mark.fault("I12")
def test_periods_out_of_order_give_the_same_data(lake: Lake) -> None:
    days = {f"2024-01-0{day + 1}": frame_of([1.0 * day, 2.0], DAY + timedelta(days=day)) for day in range(4)}
    for order, model in ((sorted(days), "forward"), (sorted(days, reverse=True), "backward")):
        for period in order:
            lake.replace_partition(model, "raw", period, days[period])
    one, other = (lake.snapshot(model, "raw", periods=sorted(days)) for model in ("forward", "backward"))
    assert one.digest == other.digest
    pd.testing.assert_frame_equal(lake.read("forward", "raw"), lake.read("backward", "raw"))


@pytest.mark.fault("I14")
def test_an_empty_period_is_present_and_a_missing_one_is_not(lake: Lake) -> None:
    lake.replace_partition("m", "raw", "2024-01-01", frame_of([1.0]))
    write = lake.replace_partition("m", "raw", "2024-01-02", frame_of([]).astype({"x": float}))
    assert (write.rows, write.changed) == (0, True)
    assert not lake.replace_partition("m", "raw", "2024-01-02", pd.DataFrame()).changed
    assert lake.periods("m", "raw") == ["2024-01-01", "2024-01-02"]
    assert {key: one.rows for key, one in lake.partitions("m", "raw").items()} == {"2024-01-01": 1, "2024-01-02": 0}
    assert lake.periods("m", "raw", version=write.version - 1) == ["2024-01-01"]
    assert len(lake.read("m", "raw")) == 1
    assert list(lake.read("m", "raw", periods=["2024-01-02"]).columns) == list(lake.read("m", "raw").columns)
    lake.replace_partition("m", "raw", "2024-01-01", pd.DataFrame())
    assert lake.read("m", "raw").empty
    lake.replace_partition("m", "raw", "2024-01-02", frame_of([4.0], DAY + timedelta(days=1)))
    assert list(lake.read("m", "raw")["x"]) == [4.0]


def test_a_table_may_begin_with_an_empty_period(lake: Lake) -> None:
    lake.replace_partition("m", "labels", "2024-01-01", frame_of([]).astype({"x": float}))
    assert lake.read("m", "labels", columns=["x"]).dtypes["x"] == np.float64
    assert lake.periods("m", "labels") == ["2024-01-01"]


@pytest.mark.requirement("D38")
def test_only_what_was_known_by_a_moment_is_read(lake: Lake) -> None:
    lake.replace_partition("m", "labels", "2024-01-01", frame_of([0.0, 1.0, 2.0], delay_hours=24))
    by = DAY + timedelta(hours=25)
    assert list(lake.read("m", "labels", known_by=by)["x"]) == [0.0, 1.0]
    snapshot = lake.snapshot("m", "labels", periods=["2024-01-01"], known_by=by)
    assert (snapshot.rows, snapshot.known_by) == (2, by.isoformat())
    assert list(lake.read_snapshot(snapshot)["x"]) == [0.0, 1.0]


def test_a_snapshot_whose_rows_changed_is_refused(lake: Lake) -> None:
    lake.replace_partition("m", "raw", "2024-01-01", frame_of([1.0]))
    snapshot = lake.snapshot("m", "raw", periods=["2024-01-01"])
    forged = Snapshot.from_json({**snapshot.to_json(), "digest": "0" * 64})
    with pytest.raises(SnapshotChanged, match="restore"):
        lake.read_snapshot(forged)
    with pytest.raises(TableMissing, match="version 99"):
        lake.read_snapshot(Snapshot.from_json({**snapshot.to_json(), "version": 99}))
    with pytest.raises(TableMissing, match="does not exist"):
        lake.read_snapshot(Snapshot.from_json({**snapshot.to_json(), "table": "features"}))


def test_types_do_not_depend_on_the_values_of_a_period(lake: Lake) -> None:
    times = frame_of([0.0, 1.0]).drop(columns="x")
    lake.replace_partition(
        "m", "raw", "2024-01-01", times.assign(n=[1, 2], x=[1.0, 2.0], s=["a", "b"], t=times["_event_time"])
    )
    nothing = times.assign(n=[np.nan, np.nan], x=[None, None], s=[None, None], t=[None, None])
    lake.replace_partition("m", "raw", "2024-01-02", nothing)
    lake.replace_partition("m", "raw", "2024-01-03", times.assign(n=[5.0, np.nan], x=[1, 2], s=["c", None], t=pd.NaT))
    assert lake.read("m", "raw", periods=["2024-01-01"]).dtypes["n"] == np.int64
    read = lake.read("m", "raw")
    assert read.dtypes["n"] == pd.Int64Dtype()
    assert read.dtypes[["x", "s", "t"]].astype(str).tolist() == ["float64", "object", "datetime64[us, UTC]"]
    assert read["n"].isna().sum() == 3
    with pytest.raises(ColumnRefused, match="column 's' is float, the table has string"):
        lake.replace_partition("m", "raw", "2024-01-04", times.assign(s=[1.0, 2.0]))
    with pytest.raises(ColumnRefused, match="'n' has fractions"):
        lake.replace_partition("m", "raw", "2024-01-04", times.assign(n=[1.5, 2.0]))


@pytest.mark.fault("I31")
def test_large_ids_with_gaps_stay_exact(lake: Lake) -> None:
    big = 2**53 + 1
    lake.replace_partition("m", "raw", "2024-01-01", frame_of([0, 0]).assign(x=pd.array([big, None], "Int64")))
    assert lake.read("m", "raw")["x"].tolist() == [big, pd.NA]


def test_a_new_column_in_a_later_period_is_missing_in_earlier_ones(lake: Lake) -> None:
    lake.replace_partition("m", "features", "2024-01-01", frame_of([1.0]))
    later = frame_of([2.0], DAY + timedelta(days=1)).assign(b=[True], s=["new"])
    lake.replace_partition("m", "features", "2024-01-02", later)
    lake.replace_partition("m", "features", "2024-01-03", frame_of([3.0], DAY + timedelta(days=2)))
    read = lake.read("m", "features")
    assert read["s"].tolist() == [None, "new", None]
    assert read["b"].tolist() == [pd.NA, True, pd.NA]
    assert read["x"].tolist() == [1.0, 2.0, 3.0]


def test_rows_at_one_time_are_read_by_period_and_then_as_written(lake: Lake) -> None:
    same = pd.Series([DAY] * 3, dtype="datetime64[us, UTC]")
    for period, names in (("2024-01-02", "def"), ("2024-01-01", "cab")):
        frame = pd.DataFrame({"k": list(names), "_event_time": same, "_known_time": same})
        lake.replace_partition("m", "labels", period, frame)
    assert "".join(lake.read("m", "labels")["k"]) == "cabdef"


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame({"x": [1]}), "'_event_time' is missing"),
        (frame_of([1.0]).assign(_known_time=pd.Timestamp("2024-01-01")), "'_known_time' is datetime64"),
        (frame_of([1.0]).assign(_known_time=pd.Series([pd.NaT], dtype="datetime64[us, UTC]")), "missing times"),
        (frame_of([1.0]).assign(_known_time=["2024"]), "is string, the table has time"),
        (frame_of([{"a": 1}]), "column 'x' holds"),
        (pd.concat([frame_of([1.0]), frame_of([1.0])[["x"]]], axis=1), "names repeat"),
    ],
)
def test_a_frame_that_cannot_be_kept_is_refused_and_nothing_is_written(
    lake: Lake, frame: pd.DataFrame, words: str
) -> None:
    with pytest.raises(ColumnRefused, match=words):
        lake.replace_partition("m", "raw", "2024-01-01", frame)
    assert lake.periods("m", "raw") == []


def test_names_are_held_to_the_grammar(lake: Lake) -> None:
    frame = frame_of([1.0])
    for model, period in (("../m", "2024-01-01"), ("m", "../../x"), ("m", "a'b"), ("", "2024-01-01")):
        with pytest.raises(NameRefused):
            lake.replace_partition(model, "raw", period, frame)
    with pytest.raises(TableMissing, match="none of raw"):
        lake.read("m", "secrets")
    with pytest.raises(NameRefused):
        lake.filesystem("m", "../area")


def test_what_does_not_exist_is_empty_or_said_to_be_missing(lake: Lake) -> None:
    assert lake.read("m", "raw").shape == (0, 0)
    assert lake.version("m", "raw") is None
    assert lake.periods("m", "raw") == []
    with pytest.raises(TableMissing, match="does not exist"):
        lake.snapshot("m", "raw", periods=["2024-01-01"])
    lake.replace_partition("m", "raw", "2024-01-01", frame_of([1.0]))
    with pytest.raises(TableMissing, match="column 'nope' is not in the table"):
        lake.read("m", "raw", columns=["nope"])
    assert lake.read("m", "raw", periods=["2030-01-01"]).empty


def test_many_writers_of_different_periods_all_arrive(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def write(day: int) -> None:
        try:
            for value in range(3):
                frame = frame_of([float(value)], DAY + timedelta(days=day))
                Lake(str(tmp_path)).replace_partition("m", "raw", f"2024-01-{day + 1:02d}", frame)
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            errors.append(error)

    threads = [threading.Thread(target=write, args=(day,)) for day in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert Lake(str(tmp_path)).read("m", "raw")["x"].tolist() == [2.0] * 6


def test_updates_of_one_partition_do_not_lose_each_other(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    errors: list[BaseException] = []

    def add(number: int) -> None:
        def change(present: pd.DataFrame) -> pd.DataFrame:
            new = frame_of([float(number)])
            return pd.concat([present.drop(columns="_period"), new]) if len(present) else new

        try:
            Lake(str(tmp_path)).update_partition("m", "deliveries", "2024-01", change)
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            errors.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(lake.read("m", "deliveries")["x"]) == [float(number) for number in range(6)]


@given(
    st.lists(
        st.tuples(st.sampled_from(["2024-01-01", "2024-01-02"]), st.lists(st.integers(0, 3), max_size=3)), max_size=6
    )
)
@settings(deadline=None, max_examples=12)
def test_a_lake_is_a_map_from_period_to_rows(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[str, list[int]]]
) -> None:
    lake, model = Lake(str(tmp_path_factory.mktemp("lake"))), {}
    for period, values in writes:
        write = lake.replace_partition("m", "raw", period, frame_of(list(values)).astype({"x": "int64"}))
        assert write.changed == (sorted(model.get(period, ["absent"])) != sorted(values) or model[period] != values)
        model[period] = values
    assert lake.periods("m", "raw") == sorted(model)
    for period, values in model.items():
        assert lake.read("m", "raw", periods=[period], columns=["x"])["x"].tolist() == values


def test_the_log_is_never_cleaned_and_says_what_each_version_wrote(lake: Lake) -> None:
    from deltalake import DeltaTable

    write = lake.replace_partition("m", "raw", "2024-01-01", frame_of([1.0]))
    table = DeltaTable(f"{lake.url}/m/raw")
    assert table.metadata().configuration["delta.enableExpiredLogCleanup"] == "false"
    newest = table.history(1)[0]
    assert (newest["period"], newest["rows"], newest["digest"]) == ("2024-01-01", "1", write.digest)


def test_partitions_are_replaced_in_one_step_and_those_that_are_the_same_left_alone(lake: Lake) -> None:
    first = lake.replace_partition("m", "raw", "2024-01-01", frame_of([1.0]))
    again, empty, third = lake.replace_partitions(
        "m", "raw", {"2024-01-01": frame_of([1.0]), "2024-01-08": frame_of([]), "2024-01-15": frame_of([3.0, 4.0])}
    )
    assert (again.version, again.changed, again.digest) == (first.version + 1, False, first.digest)
    assert [(one.period, one.rows, one.changed) for one in (empty, third)] == [
        ("2024-01-08", 0, True), ("2024-01-15", 2, True)
    ]  # fmt: skip
    assert lake.version("m", "raw") == first.version + 1
    assert lake.partitions("m", "raw") == {
        "2024-01-01": Partition(1, first.digest), "2024-01-08": Partition(0, empty.digest),
        "2024-01-15": Partition(2, third.digest),
    }  # fmt: skip
    assert lake.read("m", "raw", periods=["2024-01-15"])["x"].tolist() == [3.0, 4.0]
    assert [one.changed for one in lake.replace_partitions("m", "raw", {"2024-01-08": frame_of([])})] == [False]
    assert lake.replace_partitions("m", "raw", {}) == []
    assert lake.version("m", "raw") == first.version + 1


def test_a_partition_that_is_refused_takes_the_others_with_it(lake: Lake) -> None:
    lake.replace_partition("m", "raw", "2024-01-01", frame_of([1.0]))
    before = lake.version("m", "raw")
    with pytest.raises(ColumnRefused):
        lake.replace_partitions("m", "raw", {"2024-01-08": frame_of([2.0]), "2024-01-15": frame_of(["text"])})
    assert (lake.version("m", "raw"), lake.periods("m", "raw")) == (before, ["2024-01-01"])


def test_partitions_of_one_step_may_bring_columns_each(lake: Lake) -> None:
    wider = frame_of([2.0]).assign(y=[5])
    lake.replace_partitions("m", "raw", {"2024-01-01": frame_of([1.0]), "2024-01-08": wider})
    found = lake.read("m", "raw")
    assert found["x"].tolist() == [1.0, 2.0]
    assert found["y"].isna().tolist() == [True, False]
    assert found["y"].tolist()[1] == 5
