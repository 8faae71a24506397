"""A period becomes a partition: what is wrong is quarantined with its reason, and never used."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_pipeline.lake.declared import Data
from retrain_pipeline.lake.ingest import IngestReport, ingest_period
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.periods import PeriodRefused
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.lake.conftest import PERIOD, START, deliver, deliver_text, rows

Declare = Callable[..., Data]
PARQUET = {"kind": "parquet", "path": "inbox", "settle_seconds": 0}


@pytest.fixture
def ingest(lake: Lake, root: Path, declare: Declare) -> Callable[..., IngestReport]:
    """Deliver a frame as ``a.csv`` (or parquet) and ingest the first day."""

    def run(frame: pd.DataFrame, **changes: Any) -> IngestReport:
        data = declare(**changes)
        deliver(root / "inbox", f"a.{data.source.kind}", frame)
        return ingest_period(lake, data, "m", PERIOD, root=root)

    return run


def test_a_good_period_is_kept_as_declared(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    report = ingest(rows(5))
    raw = lake.read("m", "raw")
    assert list(raw.columns) == ["_event_time", "_known_time", "_period", "id", "at", "temp", "city", "y"]
    assert raw["id"].tolist() == ["0", "1", "2", "3", "4"]
    assert raw["city"].tolist() == ["Bonn", "Köln", "Bonn", "Köln", "NA"]
    assert raw.dtypes[["temp", "y", "at"]].astype(str).tolist() == ["float64", "float64", "datetime64[us, UTC]"]
    assert (raw["_known_time"] == raw["_event_time"]).all()
    assert (report.rows, report.rejected, report.duplicates, report.verdict) == (5, 0, 0, Verdict.PASS)
    assert {check.name: str(check.verdict) for check in report.checks} == {
        "contract": "PASS", "deliveries": "PASS", "duplicates": "PASS", "volume": "INCONCLUSIVE", "freshness": "FAIL"
    }  # fmt: skip
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["verdict"] == "PASS"


@pytest.mark.fault("I1")
def test_a_renamed_column_fails_and_the_nearest_name_is_said(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    assert ingest(rows(5)).write is not None
    report = ingest(rows(6).rename(columns={"temp": "temp_c"}))
    assert report.verdict is Verdict.FAIL
    assert "column 'temp' is not in a.csv; the nearest that is there is 'temp_c'" in report.check("contract").words
    assert report.write is None
    assert len(lake.read("m", "raw")) == 5  # what was there stays; no column of missing values
    assert lake.read("m", "quarantine")[["rule", "column"]].values.tolist() == [["column_missing", "temp"]]


@pytest.mark.fault("I2")
@pytest.mark.parametrize("column", ["temp", "city", "id", "y"])
def test_a_dropped_column_fails(lake: Lake, ingest: Callable[..., IngestReport], column: str) -> None:
    report = ingest(rows(5).drop(columns=column))
    assert report.verdict is Verdict.FAIL
    assert f"column {column!r} is not in a.csv" in report.check("contract").words
    assert lake.read("m", "raw").empty


@pytest.mark.fault("I2")
def test_a_dropped_time_column_refuses_the_file(ingest: Callable[..., IngestReport]) -> None:
    report = ingest(rows(5).drop(columns="at"))
    assert report.write is None
    assert "'at' is not in the source" in report.check("deliveries").words


@pytest.mark.fault("I3")
def test_an_extra_column_is_noted_and_not_kept(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    report = ingest(rows(5).assign(leak=1, secret="x"))
    assert report.extra_columns == ["leak", "secret"]
    assert report.verdict is Verdict.PASS
    assert not {"leak", "secret"} & set(lake.read("m", "raw").columns)


@pytest.mark.fault("I4")
def test_columns_in_another_order_are_the_same_content(ingest: Callable[..., IngestReport]) -> None:
    first, second = ingest(rows(5)), ingest(rows(5)[["y", "city", "at", "temp", "id"]].iloc[::-1])
    assert first.write is not None
    assert second.write is not None
    assert (second.write.digest, second.write.changed) == (first.write.digest, False)


@pytest.mark.fault("I5")
@pytest.mark.parametrize("text", ["1,234", " 5", "5 ", "1_000", "0x10", "12°", "True", "five", "--1", "."])
def test_text_that_is_no_number_is_never_bent_into_one(
    lake: Lake, ingest: Callable[..., IngestReport], text: str
) -> None:
    report = ingest(rows(5).assign(temp=["1", "2", text, "4", "5"]), max_rejected_share=0.5)
    assert (report.rows, report.rejected) == (4, 1)
    kept = lake.read("m", "quarantine").iloc[0]
    assert (kept["rule"], kept["column"], kept["row_number"]) == ("dtype", "temp", 3)
    assert json.loads(kept["row"])["temp"] == text
    assert json.loads(kept["key"]) == ["2"]
    assert text in kept["reason"]


@pytest.mark.fault("I5")
@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("temp", ["1", "2", "3", "4", "5"], "is string, declared float|is large_string, declared float"),
        ("temp", [True, False, True, False, True], "is bool, declared float"),
        ("city", [1.5, 2.5, 3.5, 4.5, 5.5], "is double, declared category"),
    ],
)
def test_a_typed_source_whose_type_changed_fails_as_a_whole(
    lake: Lake, ingest: Callable[..., IngestReport], column: str, values: list[object], words: str
) -> None:
    report = ingest(rows(5).assign(**{column: values}), source=PARQUET)
    assert report.verdict is Verdict.FAIL
    import re

    assert re.search(f"column '{column}' of a.parquet ({words})", report.check("contract").words)
    assert report.write is None
    assert lake.read("m", "quarantine")["rule"].tolist() == ["column_type"]


@pytest.mark.fault("I8")
def test_exact_repeats_are_dropped_and_counted(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    report = ingest(pd.concat([rows(20), rows(20).iloc[[3]], rows(20).iloc[[3]]]))
    assert (report.rows, report.duplicates, report.rejected) == (20, 2, 0)
    assert report.check("duplicates").numbers["repeats"] == 2
    assert report.check("duplicates").verdict is Verdict.FAIL  # 9 % is more than the declared 5 %
    assert lake.read("m", "raw")["id"].is_unique


@pytest.mark.fault("I9")
def test_rows_that_contradict_each_other_are_all_quarantined(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    other = rows(40).iloc[[3]].assign(temp=[40.0])
    report = ingest(pd.concat([rows(40), other, rows(40).iloc[[5]]]), max_rejected_share=0.2)
    assert (report.rows, report.rejected, report.duplicates) == (39, 2, 1)
    assert "3" not in set(lake.read("m", "raw")["id"])
    kept = lake.read("m", "quarantine")
    assert kept["rule"].tolist() == ["conflicting_key"] * 2
    assert {json.loads(row)["temp"] for row in kept["row"]} == {"-4.25", "40.0"}
    assert kept["row_number"].tolist() == [4, 41]


@pytest.mark.fault("I9", "I11")
def test_a_later_delivery_corrects_an_earlier_one(lake: Lake, root: Path, declare: Declare) -> None:
    deliver(root / "inbox", "1.csv", rows(40), age=90)
    first = ingest_period(lake, declare(), "m", PERIOD, root=root)
    correction = rows(40).iloc[[3, 4]].assign(temp=[40.0, -4.0])  # the second of them repeats what was said
    late = rows(3, first=100)
    deliver(root / "inbox", "2.csv", pd.concat([correction, late]), age=60)
    second = ingest_period(lake, declare(), "m", PERIOD, root=root)
    assert first.write is not None
    assert second.write is not None
    raw = lake.read("m", "raw").set_index("id")
    assert (len(raw), raw.loc["3", "temp"], raw.loc["4", "temp"]) == (43, 40.0, -4.0)
    assert second.check("contract").numbers["corrected"] == 1
    assert (second.duplicates, second.rejected) == (1, 0)
    assert second.write.version > first.write.version
    old = lake.read("m", "raw", version=first.write.version).set_index("id")
    assert (len(old), old.loc["3", "temp"]) == (40, -4.25)


@pytest.mark.fault("I9", "I11")
def test_a_later_delivery_corrects_rejected_and_contradictory_rows(lake: Lake, root: Path, declare: Declare) -> None:
    bad = rows(20).assign(temp=[999.0, 999.0] + [1.0] * 18)
    deliver(root / "inbox", "1.csv", pd.concat([bad, rows(20).iloc[[7]].assign(temp=[2.0])]), age=90)
    broken = ingest_period(lake, declare(), "m", PERIOD, root=root)
    assert (broken.verdict, broken.rejected) == (Verdict.FAIL, 4)
    deliver(root / "inbox", "2.csv", rows(20).iloc[[0, 7]].assign(temp=[5.0, 6.0]), age=60)
    mended = ingest_period(lake, declare(), "m", PERIOD, root=root)
    assert (mended.verdict, mended.rejected, mended.rows) == (Verdict.PASS, 1, 19)
    raw = lake.read("m", "raw").set_index("id")["temp"]
    assert (raw["0"], raw["7"], "1" in raw) == (5.0, 6.0, False)
    assert lake.read("m", "quarantine")["key"].tolist() == ['["1"]']
    assert mended.check("contract").numbers["corrected"] == 3
    deliver(root / "inbox", "3.csv", rows(20).iloc[[1]].assign(temp=[999.0]), age=30)
    worse = ingest_period(lake, declare(), "m", PERIOD, root=root)
    assert (worse.rejected, worse.rows) == (1, 19)


@pytest.mark.fault("I1")
def test_a_file_delivered_again_under_its_name_mends_one_that_failed_as_a_whole(
    lake: Lake, root: Path, declare: Declare
) -> None:
    deliver(root / "inbox", "1.csv", rows(5).rename(columns={"temp": "temp_c"}), age=90)
    deliver_text(root / "inbox", "2.csv", "id,at\n1\n", age=90)
    broken = ingest_period(lake, declare(), "m", PERIOD, root=root)
    assert (broken.verdict, broken.check("deliveries").verdict) == (Verdict.FAIL, Verdict.FAIL)
    deliver(root / "inbox", "1.csv", rows(5), age=60)
    deliver(root / "inbox", "2.csv", rows(5, first=5), age=60)
    mended = ingest_period(lake, declare(), "m", PERIOD, root=root)
    assert (mended.verdict, mended.check("deliveries").verdict) == (Verdict.PASS, Verdict.PASS)
    assert mended.rows == 10
    assert any("it has been delivered again since" in note for note in mended.notes)
    assert lake.read("m", "quarantine").empty


@pytest.mark.fault("I13")
@pytest.mark.requirement("D18")
def test_rows_from_the_future_are_quarantined(lake: Lake, root: Path, declare: Declare) -> None:
    deliver(root / "inbox", "a.csv", rows(24))
    now = START + timedelta(hours=11, minutes=30)
    report = ingest_period(lake, declare(max_rejected_share=0.6), "m", PERIOD, root=root, now=now)
    assert (report.rows, report.rejected) == (12, 12)
    assert lake.read("m", "raw")["_event_time"].max() <= now
    assert set(lake.read("m", "quarantine")["rule"]) == {"future"}
    later = ingest_period(lake, declare(), "m", PERIOD, root=root)  # when it has happened, it is data
    assert (later.rows, later.rejected) == (24, 0)
    assert lake.read("m", "quarantine").empty


@pytest.mark.fault("I14")
def test_empty_and_missing_are_told_apart(lake: Lake, root: Path, declare: Declare) -> None:
    deliver(root / "inbox", "a.csv", pd.concat([rows(6, day=0), rows(6, day=2, first=10)]))
    missing = ingest_period(lake, declare(), "m", "2024-01-05", root=root)
    empty = ingest_period(lake, declare(), "m", "2024-01-02", root=root)
    ingest_period(lake, declare(), "m", "2024-01-03", root=root)
    assert (missing.write, missing.check("volume").verdict) == (None, Verdict.INCONCLUSIVE)
    assert missing.check("volume").words.startswith("missing")
    assert empty.write is not None
    assert (empty.write.rows, empty.check("volume").verdict) == (0, Verdict.FAIL)
    assert empty.check("volume").words.startswith("empty")
    assert {empty.verdict, missing.verdict} == {Verdict.INCONCLUSIVE}
    assert lake.periods("m", "raw") == ["2024-01-02", "2024-01-03"]
    assert list(lake.read("m", "raw", columns=["temp"], periods=["2024-01-02"])["temp"]) == []


@pytest.mark.fault("I14")
def test_a_header_alone_is_an_empty_period_when_its_name_says_which(lake: Lake, root: Path, declare: Declare) -> None:
    header = ",".join(rows(0).columns) + "\n"
    deliver_text(root / "inbox", "2024-01-02.csv", header)
    assert ingest_period(lake, declare(), "m", "2024-01-02", root=root).check("volume").words.startswith("empty")
    assert ingest_period(lake, declare(), "m", "2024-01-03", root=root).check("volume").words.startswith("missing")
    deliver_text(root / "inbox", "2024-01-04.csv", "")
    zero = ingest_period(lake, declare(), "m", "2024-01-03", root=root)
    assert zero.check("deliveries").verdict is Verdict.PASS  # it belongs to another day
    zero = ingest_period(lake, declare(), "m", "2024-01-04", root=root)
    assert zero.check("deliveries").verdict is Verdict.FAIL
    assert zero.write is None
    assert lake.read("m", "quarantine", periods=["2024-01-04"])["rule"].tolist() == ["zero_bytes"]


@pytest.mark.fault("I16")
def test_a_backfilled_day_is_like_one_that_came_in_time(lake: Lake, root: Path, declare: Declare) -> None:
    for day in (0, 2, 1):
        deliver(root / "inbox", f"{day}.csv", rows(6, day=day, first=10 * day))
        ingest_period(lake, declare(), "late", f"2024-01-0{day + 1}", root=root)
    for day in (0, 1, 2):
        ingest_period(lake, declare(), "orderly", f"2024-01-0{day + 1}", root=root)
    pd.testing.assert_frame_equal(lake.read("late", "raw"), lake.read("orderly", "raw"))


@pytest.mark.fault("I15")
def test_a_period_of_unusual_volume_fails(lake: Lake, root: Path, declare: Declare) -> None:
    counts = [40, 44, 40, 19, 41, 90]
    deliver(root / "inbox", "a.csv", pd.concat([rows(n, day=d, first=1000 * d) for d, n in enumerate(counts)]))
    reports = [ingest_period(lake, declare(), "m", f"2024-01-0{day + 1}", root=root) for day in range(6)]
    verdicts = [str(report.check("volume").verdict) for report in reports]
    assert verdicts == ["INCONCLUSIVE"] * 3 + ["FAIL", "PASS", "FAIL"]
    numbers = {"rows": 19, "periods": 3, "rows_per_hour": 19 / 24, "median": 40.0, "share": 0.475}
    assert reports[3].check("volume").numbers == numbers
    assert all(report.write is not None for report in reports)  # volume warns; only the contract withholds


@pytest.mark.fault("I15")
def test_half_a_day_is_found_and_a_quiet_sunday_is_none(lake: Lake, root: Path, declare: Declare) -> None:
    days = {day: 30 if day % 7 == 6 else 96 for day in range(29)}  # START is a Monday
    days[28] = 48
    frames = []
    for day, n in days.items():
        at = [START + timedelta(days=day, minutes=15 * i if n != 30 else 48 * i) for i in range(n)]
        frames.append(rows(n, first=1000 * day).assign(at=[moment.isoformat() for moment in at]))
    deliver(root / "inbox", "a.csv", pd.concat(frames))
    checks = [
        ingest_period(lake, declare(), "m", f"{START + timedelta(days=day):%Y-%m-%d}", root=root).check("volume")
        for day in days
    ]
    late_sunday = checks[27]  # the fourth: three have shown what a Sunday is
    assert (late_sunday.verdict, late_sunday.numbers["median"]) == (Verdict.PASS, 30.0)
    assert all(check.verdict is Verdict.PASS for check in checks[21:28])
    assert (checks[28].verdict, checks[28].numbers["share"]) == (Verdict.FAIL, 0.5)


@pytest.mark.fault("I17")
@pytest.mark.dagster_fact("K8")
def test_days_of_23_and_25_hours_have_their_rates_and_every_hour_once(lake: Lake, root: Path, declare: Declare) -> None:
    zone = ZoneInfo("Europe/Berlin")
    for first in (datetime(2024, 3, 29, tzinfo=UTC), datetime(2024, 10, 25, tzinfo=UTC)):
        hours = [first + timedelta(hours=i) for i in range(24 * 5)]
        local = [moment.astimezone(zone).isoformat() for moment in hours]  # 02:30 is twice or never on the wall clock
        frame = rows(len(hours), first=first.month * 1000).assign(at=local)
        deliver(root / "inbox", f"{first:%m}.csv", frame)
        for day in range(5):
            period = f"{first + timedelta(days=day):%Y-%m-%d}"
            report = ingest_period(lake, declare(), "m", period, root=root)
            assert (report.rows, report.rejected, report.duplicates) == (24, 0, 0)
            assert report.check("volume").numbers["rows_per_hour"] == 1.0
            stored = lake.read("m", "raw", periods=[period])["_event_time"]
            assert stored.dt.hour.tolist() == list(range(24))


def test_months_are_compared_by_their_hours(lake: Lake, root: Path, declare: Declare) -> None:
    time = {"column": "at", "period": "month", "start": START.date()}
    hours = [START + timedelta(hours=12 * i) for i in range(2 * 121)]  # January to April
    deliver(root / "inbox", "a.csv", rows(len(hours)).assign(at=[moment.isoformat() for moment in hours]))
    for month in range(1, 5):
        report = ingest_period(lake, declare(time=time), "m", f"2024-{month:02d}-01", root=root)
    assert report.check("volume").numbers["share"] == 1.0


def test_freshness_is_how_far_the_newest_row_lies_from_the_end(lake: Lake, root: Path, declare: Declare) -> None:
    deliver(root / "inbox", "a.csv", rows(24))
    by_now = START + timedelta(hours=20)
    fresh = ingest_period(lake, declare(), "m", PERIOD, root=root).check("freshness")
    assert (fresh.verdict, fresh.numbers["age_hours"], fresh.numbers["max_age_hours"]) == (Verdict.PASS, 1.0, 2.4)
    strict = ingest_period(lake, declare(freshness_hours=0.5), "m", PERIOD, root=root).check("freshness")
    assert strict.verdict is Verdict.FAIL
    deliver(root / "inbox", "a.csv", rows(12, first=50))
    during = ingest_period(lake, declare(), "other", PERIOD, root=root, now=by_now)
    assert during.check("freshness").numbers["age_hours"] == 0.0


@pytest.mark.fault("I21")
@pytest.mark.requirement("D20")
def test_a_declared_sentinel_is_missing_and_counted_as_such(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    columns = {"temp": {"dtype": "float", "range": (-50, 60), "nullable": True, "missing": (-999, "n/a")}}
    report = ingest(rows(5).assign(temp=["-999", "-999.0", "n/a", "", "5"]), columns=columns)
    assert report.rejected == 0
    assert lake.read("m", "raw")["temp"].isna().tolist() == [True] * 4 + [False]
    typed = ingest(rows(5).assign(temp=[-999, -999.0, np.nan, 4, 5]), columns=columns, source=PARQUET)
    assert typed.rejected == 0
    assert lake.read("m", "raw")["temp"].isna().sum() == 3


@pytest.mark.fault("I21")
@pytest.mark.requirement("D18")
@pytest.mark.parametrize("source", ["csv", "parquet"])
def test_undeclared_sentinels_gaps_and_infinities_are_rejected(
    lake: Lake, ingest: Callable[..., IngestReport], source: str
) -> None:
    values = [-999.0, np.nan, np.inf, -np.inf, 5.0]
    report = ingest(
        rows(5).assign(temp=values), max_rejected_share=1, source={"kind": source, "path": "inbox", "settle_seconds": 0}
    )
    assert (report.rows, report.rejected) == (1, 4)
    kept = lake.read("m", "quarantine").sort_values("row_number")
    assert kept["rule"].tolist() == ["range", "missing", "not_finite", "not_finite"]
    assert lake.read("m", "raw")["temp"].tolist() == [5.0]
    assert "between -50.0 and 60.0" in kept["reason"].iloc[0]


@pytest.mark.requirement("D18")
def test_too_many_rejected_rows_fail_and_nothing_is_used(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    report = ingest(rows(20).assign(temp=[999.0] * 2 + [1.0] * 18))
    assert (report.verdict, report.write, report.rows, report.rejected) == (Verdict.FAIL, None, 0, 2)
    assert report.check("contract").numbers["rejected_share"] == 0.1
    assert len(lake.read("m", "quarantine")) == 2
    assert lake.version("m", "raw") is None
    good = ingest(rows(20).assign(temp=[999.0] + [1.0] * 19))
    assert (good.verdict, good.rows) == (Verdict.PASS, 19)
    assert len(lake.read("m", "quarantine")) == 1


def test_values_outside_the_declared_ones_are_rejected(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    report = ingest(rows(4).assign(city=["Bonn", "Rome", "", "Köln"]), max_rejected_share=0.5)
    assert report.rows == 3
    assert lake.read("m", "raw")["city"].tolist() == ["Bonn", None, "Köln"]
    assert lake.read("m", "quarantine")["rule"].tolist() == ["values"]


@pytest.mark.fault("I36")
def test_namibia_is_not_missing(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    report = ingest(rows(4).assign(city="NA"))
    assert report.rejected == 0
    assert lake.read("m", "raw")["city"].tolist() == ["NA"] * 4


@pytest.mark.fault("I26")
def test_a_category_that_is_an_id_fails_the_contract(ingest: Callable[..., IngestReport]) -> None:
    columns = {"city": {"dtype": "category", "max_levels": 3}}
    assert ingest(rows(5).assign(city=list("abcab")), columns=columns).verdict is Verdict.PASS
    report = ingest(rows(5).assign(city=list("abcde")), columns=columns)
    assert report.verdict is Verdict.FAIL
    assert "column 'city' has more than max_levels = 3 distinct values" in report.check("contract").words


@pytest.mark.fault("I31")
def test_ids_that_a_float_cannot_hold_are_rejected(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    columns = {"temp": {"dtype": "float"}, "big": {"dtype": "int"}}
    texts = ["9007199254740993", str(2**63 - 1), str(2**63), "12345678901234567890", "7"]
    report = ingest(rows(5).assign(big=texts), columns=columns, max_rejected_share=0.5)
    assert report.rejected == 2
    assert lake.read("m", "raw")["big"].tolist() == [9007199254740993, 2**63 - 1, 7]
    assert lake.read("m", "quarantine")["rule"].tolist() == ["overflow", "dtype"]
    report = ingest(rows(5).assign(temp=texts, big=1), columns=columns, max_rejected_share=1)
    assert lake.read("m", "quarantine")["rule"].tolist() == ["precision"] * 4  # and what was wrong before is corrected


@pytest.mark.fault("I31")
def test_keys_that_came_as_floats_are_whole_or_rejected(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    floats = [2.0**53, 2.0**53 + 2, 1.5, np.nan, 3.0]
    report = ingest(rows(5).assign(id=floats), max_rejected_share=1, source=PARQUET)
    assert report.rejected == 4
    assert lake.read("m", "raw")["id"].tolist() == [3]
    assert lake.read("m", "quarantine").sort_values("row_number")["rule"].tolist() == ["precision"] * 2 + [
        "dtype",
        "key_missing",
    ]


@pytest.mark.fault("I19")
def test_rows_without_a_readable_time_are_quarantined_with_the_delivery(
    lake: Lake, ingest: Callable[..., IngestReport]
) -> None:
    frame = rows(5)
    frame.loc[[1, 3], "at"] = ["30 Feb", ""]
    report = ingest(frame, max_rejected_share=0.5)
    assert (report.rows, report.rejected) == (3, 2)
    kept = lake.read("m", "quarantine")
    assert kept[["rule", "time_known"]].values.tolist() == [["time", False]] * 2
    assert (kept["_event_time"] == START).all()


@pytest.mark.fault("I18")
def test_a_delivery_of_mixed_zones_is_refused_with_an_example(ingest: Callable[..., IngestReport]) -> None:
    frame = rows(4)
    frame.loc[2, "at"] = "2024-01-01 12:00"
    report = ingest(frame)
    assert report.write is None
    assert "'2024-01-01 12:00'" in report.check("deliveries").words


def test_a_missing_key_is_rejected_and_several_columns_may_be_the_key(
    lake: Lake, ingest: Callable[..., IngestReport]
) -> None:
    frame = rows(4).assign(id=["1", "1", "", "1"], city=["Bonn", "Köln", "Bonn", "NA"])
    report = ingest(frame, key=["id", "city"], max_rejected_share=0.5)
    assert (report.rows, report.rejected) == (3, 1)
    assert lake.read("m", "quarantine")["rule"].tolist() == ["key_missing"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_every_declared_type_arrives_as_itself(lake: Lake, ingest: Callable[..., IngestReport], kind: str) -> None:
    frame = rows(3).assign(
        n=pd.array([1, None, 3], "Int64"), ok=pd.array([True, None, False], "boolean"), s=["a", None, "c"],
        t=pd.to_datetime(["2024-01-01T05:00Z", None, "2024-01-02T05:00Z"]), code=[1, 2, 1],
    )  # fmt: skip
    nullable = {"nullable": True}
    columns = {
        "n": {"dtype": "int", "range": (0, 9), **nullable}, "ok": {"dtype": "bool", **nullable},
        "s": {"dtype": "string", **nullable},
        "t": {"dtype": "timestamp", **nullable}, "code": {"dtype": "category", "values": ("1", "2")},
    }  # fmt: skip
    source = {"kind": kind, "path": "inbox", "settle_seconds": 0}
    report = ingest(frame, columns=columns, source=source, label={"column": "y", "task": "multiclass"}
                    if kind == "csv" else {"column": "y", "task": "regression"})  # fmt: skip
    assert (report.rows, report.rejected) == (3, 0), report.checks
    raw = lake.read("m", "raw")
    assert raw["n"].tolist() == [1, pd.NA, 3]
    assert raw["ok"].tolist() == [True, pd.NA, False]
    assert raw["s"].tolist() == ["a", None, "c"]
    assert raw["code"].tolist() == ["1", "2", "1"]
    assert raw["t"].iloc[2] == pd.Timestamp("2024-01-02T05:00Z")
    assert pd.isna(raw["t"].iloc[1])


@pytest.mark.parametrize("text", ["yes", "2", "TRUE ", "t"])
def test_text_that_is_no_bool_is_rejected(lake: Lake, ingest: Callable[..., IngestReport], text: str) -> None:
    report = ingest(
        rows(4).assign(ok=["TRUE", "0", "false", text]), columns={"ok": {"dtype": "bool"}}, max_rejected_share=0.5
    )
    assert (report.rows, report.rejected) == (3, 1)


def test_numbers_that_are_not_whole_are_no_ints(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    report = ingest(
        rows(4).assign(n=[1.0, 2.5, np.inf, 4.0]),
        columns={"n": {"dtype": "int"}},
        source=PARQUET,
        max_rejected_share=0.5,
    )
    assert report.rows == 2
    assert set(lake.read("m", "quarantine")["rule"]) <= {"dtype", "precision"}


@pytest.mark.fault("I5")
def test_a_key_of_another_type_than_before_fails(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    assert ingest(rows(4).assign(id=range(4)), source=PARQUET).verdict is Verdict.PASS
    data = rows(4, day=1).assign(id=["a", "b", "c", "d"])
    report = ingest(data.assign(at=rows(4)["at"]), key=["id"])
    assert (report.verdict, report.write, report.rows) == (Verdict.FAIL, None, 0)
    assert "column 'id' is string, the table has int" in report.check("contract").words
    assert lake.read("m", "raw")["id"].tolist() == [0, 1, 2, 3]


def test_types_that_cannot_carry_the_declared_one_fail(ingest: Callable[..., IngestReport]) -> None:
    for dtype, values in (("int", ["1"] * 4), ("bool", [1] * 4), ("string", [1] * 4), ("timestamp", [1] * 4)):
        report = ingest(rows(4).assign(c=values), columns={"c": {"dtype": dtype}}, source=PARQUET)
        assert (report.verdict, report.write) == (Verdict.FAIL, None), dtype
        assert "column 'c' of a.parquet is" in report.check("contract").words


@pytest.mark.fault("I11")
def test_ingesting_again_changes_nothing(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    frame = rows(20).assign(temp=[999.0] + [1.0] * 19)
    first, second = ingest(frame), ingest(frame)
    assert first.write is not None
    assert second.write is not None
    assert second.quarantine is not None
    assert (second.write.changed, second.quarantine.changed) == (False, False)
    assert (second.write.version, second.checks) == (first.write.version, first.checks)


def test_quarantine_is_bounded_and_counts_are_not(
    lake: Lake, ingest: Callable[..., IngestReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    from retrain_pipeline.lake import quarantine

    monkeypatch.setattr(quarantine, "MAX_ROWS", 10)
    report = ingest(rows(30).assign(temp=999.0))
    assert (report.rejected, len(lake.read("m", "quarantine"))) == (30, 10)
    assert report.check("contract").numbers["rejected_range"] == 30


def test_a_period_that_is_none_of_the_calendar_is_refused(lake: Lake, root: Path, declare: Declare) -> None:
    with pytest.raises(PeriodRefused):
        ingest_period(lake, declare(), "m", "2023-12-31", root=root)


def test_a_binary_label_may_come_as_bools(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    report = ingest(
        rows(4).assign(y=[True, False, True, False]), source=PARQUET, label={"column": "y", "task": "binary"}
    )
    assert report.verdict is Verdict.PASS
    assert lake.read("m", "raw")["y"].tolist() == [1, 0, 1, 0]


def test_a_label_of_another_spelling_is_rejected(lake: Lake, ingest: Callable[..., IngestReport]) -> None:
    report = ingest(
        rows(4).assign(y=["1", "0", "yes", ""]), label={"column": "y", "task": "binary"}, max_rejected_share=0.5
    )
    assert report.rows == 3
    assert lake.read("m", "raw")["y"].tolist() == [1, 0, pd.NA]
    assert lake.read("m", "quarantine")["rule"].tolist() == ["label_value"]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=25), st.integers(1, 3))
@settings(deadline=None, max_examples=15)
@pytest.mark.fault("I8", "I9", "I12")
def test_every_row_is_kept_dropped_or_quarantined_and_keys_are_unique(
    tmp_path_factory: pytest.TempPathFactory, declare: Declare, pairs: list[tuple[int, int]], deliveries: int
) -> None:
    folder = tmp_path_factory.mktemp("all")
    (folder / "inbox").mkdir()
    lake, sent = Lake(str(folder / "lake")), 0
    for number in range(deliveries):
        part = pairs[number::deliveries]
        frame = pd.DataFrame({
            "id": [str(key) for key, _ in part], "at": START.isoformat(), "temp": [float(v) for _, v in part],
            "city": "Bonn", "y": 1.0,
        })  # fmt: skip
        deliver(folder / "inbox", f"{number}-{folder.name}.csv", frame, age=90 - number)
        sent += len(part)
    report = ingest_period(lake, declare(max_rejected_share=1), "m", PERIOD, root=folder)
    if report.write is None:
        assert not pairs
        return
    raw = lake.read("m", "raw")
    numbers = report.check("duplicates").numbers
    assert raw.empty or raw["id"].is_unique
    taken = report.check("contract").numbers["received"]
    assert report.rows + report.rejected + report.duplicates + numbers["corrected"] == taken  # type: ignore[operator]
    assert taken <= sent  # parts of the same bytes are taken once
    for number in range(deliveries):  # the last delivery that knows a key without contradiction has the say
        for key in {k for k, _ in pairs[number::deliveries]}:
            values = {v for k, v in pairs[number::deliveries] if k == key}
            later = any(k == key for n in range(number + 1, deliveries) for k, _ in pairs[n::deliveries])
            if len(values) == 1 and not later and deliveries == 1:
                assert raw.set_index("id").loc[str(key), "temp"] == values.pop()


def test_a_schema_is_made_from_the_declaration(declare: Declare) -> None:
    from retrain_pipeline.lake.schemas import pandera_schema

    schema = pandera_schema(declare())
    assert set(schema.columns) == {"temp", "city"}
    assert schema.columns["temp"].description == "unit: celsius"
    assert [check.name for check in schema.columns["temp"].checks] == ["range"]
    assert (schema.columns["temp"].nullable, schema.columns["city"].nullable) == (False, True)


def test_now_must_have_a_zone(lake: Lake, root: Path, declare: Declare) -> None:
    with pytest.raises(PeriodRefused, match="no time zone"):
        ingest_period(lake, declare(), "m", PERIOD, root=root, now=datetime(2024, 1, 2))  # noqa: DTZ001
    assert ingest_period(lake, declare(), "m", PERIOD, root=root, now=datetime(2024, 1, 2, tzinfo=UTC)).write is None
