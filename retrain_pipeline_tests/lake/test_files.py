"""Files are read whole or not at all."""

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrain_pipeline.lake import files
from retrain_pipeline.lake.declared import CsvSource, Data, ParquetSource, TimeColumn
from retrain_pipeline.lake.deliveries import deliveries
from retrain_pipeline.lake.errors import SourceRefused
from retrain_pipeline.lake.files import copy_rows
from retrain_pipeline.lake.ingest import ingest_period
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.lake.conftest import PERIOD, deliver, deliver_text, rows

CSV = CsvSource(kind="csv", path="a.csv")
PARQUET = ParquetSource(kind="parquet", path="a.parquet")
TIME = TimeColumn.model_validate({"column": "at", "period": "day", "start": "2024-01-01"})
GOOD = "id,at,x\n1,2024-01-01,a\n2,2024-01-02,b\n"


def read(tmp_path: Path, content: bytes | str, source: CsvSource | ParquetSource = CSV) -> pa.Table:
    path = tmp_path / "file"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    copy_rows(path, source, TIME, tmp_path / "rows")
    return pq.read_table(tmp_path / "rows")


def refusal(tmp_path: Path, content: bytes | str, source: CsvSource | ParquetSource = CSV) -> SourceRefused:
    with pytest.raises(SourceRefused) as caught:
        read(tmp_path, content, source)
    return caught.value


def parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.fault("I32")
@pytest.mark.parametrize(
    "content",
    ["\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD.replace("\n", "\r\n", 2),
        GOOD.rstrip(), GOOD + "\n\r\n", gzip.compress(GOOD.encode(), mtime=0)],
)  # fmt: skip
def test_a_bom_either_line_end_blank_last_lines_and_gzip_are_text(tmp_path: Path, content: bytes | str) -> None:
    table = read(tmp_path, content)
    assert table.column_names == ["id", "at", "x", "_event_time", "_row"]
    assert table.drop_columns(["_event_time"]).to_pylist() == [
        {"id": "1", "at": "2024-01-01", "x": "a", "_row": 1}, {"id": "2", "at": "2024-01-02", "x": "b", "_row": 2}
    ]  # fmt: skip


@pytest.mark.fault("I32", "I35")
@pytest.mark.parametrize(
    ("content", "rule", "words"),
    [
        (b"id,at\n1,caf\xe9\n", "encoding", "line 2 is not UTF-8 at byte 6"),
        (GOOD.encode("utf-16"), "nul_byte", "line 1"),
        ("id,at\n1,a\0b\n", "nul_byte", "line 2 holds a NUL byte"),
        ("id,at\n1,2024-01-01\n2\n", "ragged", "line 3 has 1 cells, the header has 2"),
        ("id,at\n1,2024-01-01,9\n", "ragged", "line 2 has 3 cells"),
        ('id,at,x\n1,2024-01-01,"a\n2,2024-01-02,b\n3,2024-01-03,c"\n', "quotes", "line 2 has an unbalanced quote"),
        ('id,at,x\n1,2024-01-01,"a"b\n', "quotes", "line 2 has a quote amid a cell"),
        ("id,at\n1,a\rb\n", "line_ends", "lone carriage return"),
        ("id,at,id\n1,2024-01-01,2\n", "header", "'id'"),
        ("id,at,_event_time\n1,2024-01-01,2\n", "header", "'_event_time'"),
        ("id,time\n1,2024-01-01\n", "time_missing", "'at' is not in the source; it has 'id', 'time'"),
        ("id,at\n1,soon\n2,\n", "time_unreadable", "no row has a readable time"),
        ("", "zero_bytes", "no header"),
        ("\n\n", "zero_bytes", "no header"),
    ],
)
def test_a_damaged_csv_is_refused_with_the_line(tmp_path: Path, content: bytes | str, rule: str, words: str) -> None:
    error = refusal(tmp_path, content)
    assert error.rule == rule
    assert words in str(error)


@pytest.mark.fault("I36")
def test_only_declared_spellings_are_missing(tmp_path: Path) -> None:
    cells = ["NA", "null", "", "None", '""', "-"]
    content = "id,at,x\n" + "".join(f"{number},2024-01-01,{cell}\n" for number, cell in enumerate(cells))
    assert read(tmp_path, content)["x"].to_pylist() == ["NA", "null", None, "None", None, "-"]
    dashed = CSV.model_copy(update={"missing": ("-", "null")})
    assert read(tmp_path, content, dashed)["x"].to_pylist() == ["NA", None, "", "None", "", None]


def test_quoted_cells_hold_delimiters_and_quotes(tmp_path: Path) -> None:
    assert read(tmp_path, 'id,at,x\n1,2024-01-01,"a,""b"""\n')["x"].to_pylist() == ['a,"b"']
    semicolon = CSV.model_copy(update={"delimiter": ";"})
    assert read(tmp_path, "id;at;x\n1;2024-01-01;a,b\n", semicolon)["x"].to_pylist() == ["a,b"]


@pytest.mark.fault("I34")
def test_formula_cells_are_kept_as_they_are(tmp_path: Path) -> None:
    assert read(tmp_path, "id,at,x\n1,2024-01-01,=cmd|' /C calc'!A0\n")["x"].to_pylist() == ["=cmd|' /C calc'!A0"]


def test_rows_are_kept_by_time_and_unreadable_times_last(tmp_path: Path) -> None:
    table = read(tmp_path, "id,at\n1,2024-01-03\n2,30 Feb\n3,2024-01-01\n4,2024-01-03\n5,2024-02-30\n")
    assert table["id"].to_pylist() == ["3", "1", "4", "2", "5"]
    assert table["_row"].to_pylist() == [3, 1, 4, 2, 5]
    assert table["_event_time"].to_pylist() == [
        datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC), None, None
    ]  # fmt: skip


@pytest.mark.fault("I37", "I38")
def test_every_cut_of_a_file_is_refused_and_never_half_read(tmp_path: Path) -> None:
    frame = pd.concat([rows(40, day=day) for day in range(3)])
    parquet = parquet_bytes(pa.Table.from_pandas(frame))
    packed = gzip.compress(frame.to_csv(index=False).encode(), mtime=0)
    for whole, source in ((parquet, PARQUET), (packed, CSV)):
        assert read(tmp_path, whole, source).num_rows == 120
        for share in (0, 0.01, 0.3, 0.5, 0.9, 0.999):
            error = refusal(tmp_path, whole[: int(len(whole) * share)], source)
            assert error.rule in ("file_unreadable", "zero_bytes")


@pytest.mark.fault("I37")
def test_what_only_looks_like_parquet_is_refused(tmp_path: Path) -> None:
    good = parquet_bytes(pa.Table.from_pandas(rows(40)))
    for bad in (
        b"PAR1",
        b"PAR1PAR1",
        b"XXXX" + good[4:],
        good[:-4] + b"XXXX",
        b"hello,world\n1,2\n",
        b"PAR1" + b"\xff" * 50 + b"PAR1",
    ):
        assert refusal(tmp_path, bad, PARQUET).rule == "file_unreadable"
    flipped = bytearray(good)
    flipped[len(good) // 4] ^= 0xFF
    try:
        table = read(tmp_path, bytes(flipped), PARQUET)
    except SourceRefused:
        return
    assert table.num_rows == 40  # a writer without checksums cannot tell; but no row is lost


@pytest.mark.fault("I37", "I38")
def test_a_bad_file_beside_good_ones_is_quarantined_and_the_good_are_used(
    lake: Lake, root: Path, declare: Callable[..., Data]
) -> None:
    data = declare(source={"kind": "parquet", "path": "inbox", "settle_seconds": 0})
    deliver(root / "inbox", "a.parquet", rows(4))
    deliver_text(root / "inbox", "zero.parquet", b"")
    deliver_text(root / "inbox", "magic.parquet", b"nonsense nonsense")
    deliver_text(root / "inbox", "cut.parquet", parquet_bytes(pa.Table.from_pandas(rows(9, first=50)))[:-9])
    report = ingest_period(lake, data, "m", PERIOD, root=root)
    assert (report.rows, report.verdict) == (4, Verdict.PASS)
    assert report.check("deliveries").verdict is Verdict.FAIL
    assert sorted(lake.read("m", "quarantine")["delivery"]) == ["cut.parquet", "magic.parquet", "zero.parquet"]
    assert {one.rule for one in deliveries(lake, "m") if one.status == "refused"} == {"file_unreadable"}
    again = ingest_period(lake, data, "m", PERIOD, root=root)
    assert again.quarantine is not None
    assert not again.quarantine.changed
    assert again.check("deliveries") == report.check("deliveries")


@pytest.mark.fault("I39")
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MIN_UNPACKED_BUDGET", 2**20)
    line = b"1,2024-01-01," + b"0" * 10_000 + b"\n"
    assert refusal(tmp_path, gzip.compress(b"id,at,x\n" + line * 2000, mtime=0)).rule == "too_large"
    assert (tmp_path / "rows.text").stat().st_size < 20 * 2**20
    same = pa.table({name: pa.repeat(pa.scalar(1), 3_000_000) for name in "abcdefg"})
    assert refusal(tmp_path, parquet_bytes(same), PARQUET).rule == "too_large"


@pytest.mark.fault("I40")
def test_limits_on_columns_and_lines_are_enforced(tmp_path: Path) -> None:
    wide = ",".join(f"c{i}" for i in range(files.MAX_COLUMNS + 1))
    assert "columns" in str(refusal(tmp_path, wide + "\n"))
    assert refusal(tmp_path, "id,at\n1," + "x" * (files.MAX_LINE_BYTES + 10)).rule == "too_large"


def test_an_empty_parquet_and_a_header_alone_are_files_of_no_row(tmp_path: Path) -> None:
    assert read(tmp_path, "id,at,x\n").num_rows == 0
    assert read(tmp_path, parquet_bytes(pa.Table.from_pandas(rows(0))), PARQUET).num_rows == 0
