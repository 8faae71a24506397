"""Labels land in the period in which they become usable, and what is no label never does."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_pipeline.lake.declared import Data
from retrain_pipeline.lake.ingest import ingest_labels, ingest_period
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.lake.conftest import PERIOD, START, deliver, rows

Declare = Callable[..., Data]
DAYS = [f"2024-01-0{day}" for day in range(1, 7)]
FEED = {
    "column": "y",
    "task": "binary",
    "source": {"kind": "csv", "path": "labels", "settle_seconds": 0},
    "known_time": "known",
}


def at(day: int, hour: float = 0) -> str:
    return (START + timedelta(days=day, hours=hour)).isoformat()


def usable(lake: Lake, as_of: datetime) -> set[str]:
    """What a computation as of a moment may read."""
    frame = lake.read("m", "labels", known_by=as_of)
    return set(frame.loc[frame["_event_time"] < as_of, "id"]) if len(frame) else set()


@pytest.mark.fault("I25")
@pytest.mark.requirement("D38")
@pytest.mark.parametrize("delay_hours", [0, 1, 24, 36, 48, 100])
def test_a_label_appears_when_it_is_known_and_not_before(
    tmp_path_factory: pytest.TempPathFactory, declare: Declare, delay_hours: float
) -> None:
    root = tmp_path_factory.mktemp("project")
    (root / "inbox").mkdir()
    lake = Lake(str(root / "lake"))
    data = declare(label={"column": "y", "task": "regression", "delay_hours": delay_hours})
    frame = pd.concat([rows(4, day=day, first=10 * day) for day in range(3)])
    deliver(root / "inbox", "a.csv", frame)
    live: dict[str, set[str]] = {}
    for period in DAYS:  # as it happens: each day is ingested when it has ended
        ingest_period(lake, data, "m", period, root=root)
        ingest_labels(lake, data, "m", period, root=root)
        live[period] = usable(lake, data.time.calendar().bounds(period)[1])
    for period in DAYS:  # and as it looks from later on
        end = data.time.calendar().bounds(period)[1]
        events = pd.to_datetime(frame["at"])
        expected = set(frame.loc[(events + pd.Timedelta(hours=delay_hours) <= end) & (events < end), "id"])
        assert usable(lake, end) == live[period] == expected
    every = lake.read("m", "labels")
    assert every["id"].is_unique
    assert (every["_known_time"] - every["_event_time"] == timedelta(hours=delay_hours)).all()


@pytest.mark.fault("I20")
@pytest.mark.requirement("D18")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_labels_that_are_missing_or_not_finite_are_quarantined_and_the_rows_kept(
    lake: Lake, root: Path, declare: Declare, kind: str
) -> None:
    data = declare(source={"kind": kind, "path": "inbox", "settle_seconds": 0})
    deliver(root / "inbox", f"a.{kind}", rows(6).assign(y=[1.0, np.nan, np.inf, -np.inf, 5.0, 6.0]))
    raw = ingest_period(lake, data, "m", PERIOD, root=root)
    report = ingest_labels(lake, data, "m", PERIOD, root=root)
    assert (raw.rows, raw.rejected) == (6, 0)  # features do not depend on the label
    assert lake.read("m", "labels")["label"].tolist() == [1.0, 5.0, 6.0]
    assert (report.rows, report.rejected, report.verdict) == (3, 3, Verdict.INCONCLUSIVE)
    assert report.checks[0].numbers["rejected_label_missing"] == 3
    kept = lake.read("m", "quarantine")
    assert set(kept["rule"]) == {"label_missing"}
    assert [json.loads(row)["label"] for row in kept["row"]] == [None, "inf", "-inf"]
    json.dumps(report.to_json(), allow_nan=False)


def test_a_few_missing_labels_pass(lake: Lake, root: Path, declare: Declare) -> None:
    deliver(root / "inbox", "a.csv", rows(40).assign(y=[np.nan] + [1.0] * 39))
    ingest_period(lake, declare(), "m", PERIOD, root=root)
    assert ingest_labels(lake, declare(), "m", PERIOD, root=root).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("task", "values", "kept", "dtype"),
    [
        ("binary", ["1", "0", "2", "-1", ""], [1, 0], "int64"),
        ("multiclass", ["a", "b", "", "0", "a"], ["a", "b", "0", "a"], "object"),
        ("regression", ["1", "2.5", "", "-4e2", "inf"], [1.0, 2.5, -400.0], "float64"),
    ],
)
def test_labels_are_typed_by_the_task(
    lake: Lake, root: Path, declare: Declare, task: str, values: list[str], kept: list[object], dtype: str
) -> None:
    data = declare(label={"column": "y", "task": task}, max_rejected_share=1)
    deliver(root / "inbox", "a.csv", rows(5).assign(y=values))
    ingest_period(lake, data, "m", PERIOD, root=root)
    report = ingest_labels(lake, data, "m", PERIOD, root=root)
    labels = lake.read("m", "labels")
    assert labels["label"].tolist() == kept
    assert str(labels["label"].dtype) == dtype
    assert list(labels.columns) == ["_event_time", "_known_time", "_period", "id", "label"]
    assert report.rows + report.rejected == 5


def test_quarantine_keeps_both_stages_apart(lake: Lake, root: Path, declare: Declare) -> None:
    data = declare(max_rejected_share=1)
    frame = rows(4).assign(temp=[999.0, 1.0, 1.0, 1.0], y=[1.0, np.nan, 3.0, 4.0])
    deliver(root / "inbox", "a.csv", frame)
    ingest_period(lake, data, "m", PERIOD, root=root)
    ingest_labels(lake, data, "m", PERIOD, root=root)
    again = ingest_period(lake, data, "m", PERIOD, root=root)
    assert sorted(zip(*lake.read("m", "quarantine")[["stage", "rule"]].T.values, strict=True)) == [
        ("data", "range"), ("labels", "label_missing")
    ]  # fmt: skip
    assert again.quarantine is not None
    assert not again.quarantine.changed


def test_without_raw_there_are_no_labels_and_an_empty_period_has_none(lake: Lake, root: Path, declare: Declare) -> None:
    report = ingest_labels(lake, declare(), "m", PERIOD, root=root)
    assert (report.write, report.verdict) == (None, Verdict.INCONCLUSIVE)
    deliver(root / "inbox", "a.csv", pd.concat([rows(4), rows(4, day=2, first=10)]))
    ingest_period(lake, declare(), "m", "2024-01-02", root=root)
    report = ingest_labels(lake, declare(), "m", "2024-01-02", root=root)
    assert report.write is not None
    assert report.write.rows == 0
    assert lake.read("m", "labels", columns=["label"])["label"].dtype == float


@pytest.mark.fault("I11")
def test_a_restated_label_makes_a_new_version(lake: Lake, root: Path, declare: Declare) -> None:
    deliver(root / "inbox", "1.csv", rows(4), age=90)
    ingest_period(lake, declare(), "m", PERIOD, root=root)
    first = ingest_labels(lake, declare(), "m", PERIOD, root=root)
    assert first.write is not None
    assert not ingest_labels(lake, declare(), "m", PERIOD, root=root).write.changed  # type: ignore[union-attr]
    deliver(root / "inbox", "2.csv", rows(4).iloc[[2]].assign(y=[70.0]), age=60)
    ingest_period(lake, declare(), "m", PERIOD, root=root)
    second = ingest_labels(lake, declare(), "m", PERIOD, root=root)
    assert second.write is not None
    assert second.write.changed
    assert lake.read("m", "labels")["label"].tolist() == [0.0, 1.0, 70.0, 3.0]
    assert lake.read("m", "labels", version=first.write.version)["label"].tolist() == [0.0, 1.0, 2.0, 3.0]


class TestFeed:
    """A feed of its own, with the time at which each label became known."""

    @pytest.fixture
    def data(self, root: Path, lake: Lake, declare: Declare) -> Data:
        (root / "labels").mkdir()
        data = declare(label=FEED, source={"kind": "parquet", "path": "inbox", "settle_seconds": 0})
        frame = pd.concat([rows(4, day=day, first=10 * day) for day in range(2)]).drop(columns="y")
        deliver(root / "inbox", "a.parquet", frame.assign(id=frame["id"].astype(int)))
        for period in DAYS[:2]:
            ingest_period(lake, data, "m", period, root=root)
        return data

    def feed(self, root: Path, name: str, labels: list[tuple[object, str, object]], age: float = 60) -> None:
        deliver(root / "labels", name, pd.DataFrame(labels, columns=["id", "known", "y"]), age)

    def test_labels_are_joined_to_their_rows(self, lake: Lake, root: Path, data: Data) -> None:
        self.feed(
            root, "1.csv", [(0, at(0, 20), 1), (1, at(1, 5), 0), (10, at(1), 1), (10, at(1, 23), 0), (2, at(4), 1)]
        )
        reports = [ingest_labels(lake, data, "m", period, root=root) for period in DAYS[:5]]
        labels = lake.read("m", "labels")
        assert labels[["id", "label", "_period"]].values.tolist() == [
            [0, 1, "2024-01-01"], [1, 0, "2024-01-02"], [2, 1, "2024-01-04"], [10, 0, "2024-01-02"]
        ]  # fmt: skip
        assert labels["_event_time"].iloc[1] == START + timedelta(hours=6)
        assert labels["_known_time"].iloc[1] == START + timedelta(days=1, hours=5)
        assert labels["id"].dtype == np.int64  # the key as it is in raw
        assert [report.rows for report in reports] == [1, 2, 0, 1, 0]
        assert [report.write is not None for report in reports] == [True, True, True, True, False]
        assert len(reports[0].source_digests) == 1
        # known at the very end of 2024-01-04, so a computation as of that moment has it
        assert "2" in {str(one) for one in usable(lake, START + timedelta(days=4))}

    def test_what_cannot_be_a_label_is_quarantined_with_its_rule(self, lake: Lake, root: Path, data: Data) -> None:
        self.feed(root, "1.csv", [
            (99, at(0, 20), 1), (2, at(0, 1), 1), (0, at(0, 20), 2), (1, at(0, 21), None), (3, at(0, 20), 1),
            (3, at(0, 20), 0), ("x", at(0, 23), "yes"),
        ])  # fmt: skip
        report = ingest_labels(lake, data, "m", PERIOD, root=root)
        kept = lake.read("m", "quarantine")
        assert dict(zip(kept["key"], kept["rule"], strict=True)) == {
            '["99"]': "label_without_row", '["2"]': "label_before_event", '["0"]': "label_value",
            '["1"]': "label_missing", '["3"]': "conflicting_key", '["x"]': "label_value",
        }  # fmt: skip
        assert (report.rows, report.rejected, report.verdict) == (0, 7, Verdict.INCONCLUSIVE)

    def test_a_label_known_later_corrects_one_in_its_own_period(self, lake: Lake, root: Path, data: Data) -> None:
        self.feed(root, "1.csv", [(0, at(0, 20), 1), (0, at(1, 9), 0)])
        for period in DAYS[:2]:
            ingest_labels(lake, data, "m", period, root=root)
        labels = lake.read("m", "labels").sort_values("_known_time")
        assert labels["label"].tolist() == [1, 0]
        assert lake.read("m", "labels", known_by=START + timedelta(days=1))["label"].tolist() == [1]

    def test_a_feed_without_the_label_column_fails(self, lake: Lake, root: Path, data: Data) -> None:
        deliver(root / "labels", "1.csv", pd.DataFrame({"id": [0], "known": [at(0, 20)], "why": [1]}))
        report = ingest_labels(lake, data, "m", PERIOD, root=root)
        assert (report.verdict, report.write) == (Verdict.FAIL, None)
        assert (
            "nearest that is there is 'why'" in report.checks[0].words
            or "column 'y' is not in" in report.checks[0].words
        )

    def test_a_feed_before_any_data_is_kept_aside(self, lake: Lake, root: Path, data: Data) -> None:
        self.feed(root, "1.csv", [(0, at(0, 20), 1)])
        report = ingest_labels(lake, data, "other", PERIOD, root=root)
        assert (report.rows, report.rejected) == (0, 1)
        assert lake.read("other", "quarantine")["rule"].tolist() == ["label_without_row"]

    def test_a_damaged_feed_file_is_refused_with_a_record(self, lake: Lake, root: Path, data: Data) -> None:
        (root / "labels" / "2024-01-01.csv").write_bytes(b"id,known,y\n\0\n")
        report = ingest_labels(lake, data, "m", PERIOD, root=root)
        assert report.write is None
        assert lake.read("m", "quarantine")[["stage", "rule"]].values.tolist() == [["labels", "nul_byte"]]


@given(st.lists(st.one_of(st.none(), st.floats(width=32)), min_size=1, max_size=20))
@settings(deadline=None, max_examples=15)
@pytest.mark.fault("I20")
def test_every_label_in_the_lake_is_finite(
    tmp_path_factory: pytest.TempPathFactory, declare: Declare, values: list[Any]
) -> None:
    root = tmp_path_factory.mktemp("labels")
    (root / "inbox").mkdir()
    lake, data = Lake(str(root / "lake")), declare(source={"kind": "parquet", "path": "inbox", "settle_seconds": 0})
    deliver(
        root / "inbox", "a.parquet", rows(len(values)).assign(y=pd.Series(values, dtype=float), city="Bonn", temp=1.0)
    )
    ingest_period(lake, data, "m", PERIOD, root=root)
    report = ingest_labels(lake, data, "m", PERIOD, root=root)
    labels = lake.read("m", "labels")["label"]
    finite = [value for value in values if value is not None and np.isfinite(value)]
    assert sorted(labels) == sorted(finite)
    assert report.rows + report.rejected == len(values)
