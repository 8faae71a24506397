"""Files from outside: regular ones only, settled, copied first, each content once."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from retrain_pipeline.lake import folders
from retrain_pipeline.lake.declared import Data
from retrain_pipeline.lake.deliveries import deliveries
from retrain_pipeline.lake.errors import SourceMissing, SourceRefused, SourceUnsettled
from retrain_pipeline.lake.inbox import Inbox
from retrain_pipeline.lake.ingest import ingest_period
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.lake.conftest import PERIOD, START, deliver, deliver_text, rows

Declare = Callable[..., Data]


def statuses(lake: Lake) -> dict[str, tuple[str, str]]:
    return {one.name: (one.status, one.rule) for one in deliveries(lake, "m")}


@pytest.mark.fault("I41")
def test_links_pipes_sockets_and_folders_are_noted_and_never_opened(
    lake: Lake, root: Path, declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = root / "inbox"
    deliver(inbox, "good.csv", rows(4))
    outside = deliver(root, "outside.csv", rows(4, first=100))
    (inbox / "link.csv").symlink_to(outside)
    (inbox / "dangling.csv").symlink_to(root / "nowhere")
    os.mkfifo(inbox / "pipe.csv")  # opening it to read would wait for a writer for ever
    (inbox / "folder.csv").mkdir()
    monkeypatch.chdir(inbox)  # the whole path of a socket has room for 107 characters
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.csv")
        report = ingest_period(lake, declare(), "m", PERIOD, root=root)
    assert report.rows == 4
    assert {note.split(":")[0] for note in report.notes} == {
        "link.csv", "dangling.csv", "pipe.csv", "folder.csv", "socket.csv"
    }  # fmt: skip
    assert statuses(lake)["pipe.csv"] == ("ignored", "not_a_regular_file")
    assert set(lake.read("m", "raw")["id"]) == {"0", "1", "2", "3"}


@pytest.mark.fault("I41", "I43")
def test_a_file_that_became_a_link_or_a_pipe_after_the_look_is_not_read(root: Path, declare: Declare) -> None:
    path = deliver(root / "inbox", "a.csv", rows(2))
    source = declare().source
    (entry,) = folders.look(root / "inbox", source)  # type: ignore[arg-type]
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SourceRefused, match="no regular file any more"):
        folders.copy_file(entry, root / "copy")
    path.unlink()
    path.symlink_to(deliver(root, "other.csv", rows(2)))
    with pytest.raises(SourceUnsettled, match="replaced or removed"):
        folders.copy_file(entry, root / "copy")
    path.unlink()
    with pytest.raises(SourceUnsettled, match="replaced or removed"):
        folders.copy_file(entry, root / "copy")


@pytest.mark.fault("I42")
def test_a_file_that_is_still_written_waits(lake: Lake, root: Path, declare: Declare) -> None:
    data = declare(source={"kind": "csv", "path": "inbox", "settle_seconds": 30})
    whole = rows(4).to_csv(index=False)
    path = deliver_text(root / "inbox", "a.csv", whole[: len(whole) // 2], age=1)
    deliver_text(root / "inbox", "b.csv.part", whole)
    deliver_text(root / "inbox", ".hidden.csv", whole)
    report = ingest_period(lake, data, "m", PERIOD, root=root)
    assert report.write is None
    assert "left for later" in report.notes[0]
    assert statuses(lake) == {}
    path.write_text(whole)
    later = time.time() + 60
    assert ingest_period(lake, data, "m", PERIOD, root=root, clock=lambda: later).rows == 4


@pytest.mark.fault("I42")
def test_a_file_that_changes_while_it_is_copied_is_left_for_later(lake: Lake, root: Path, declare: Declare) -> None:
    path = deliver(root / "inbox", "a.csv", rows(4))
    (entry,) = folders.look(root / "inbox", declare().source)  # type: ignore[arg-type]
    with path.open("a") as file:
        file.write("9,2024-01-01T23:00:00Z,1,Bonn,1\n")
    with pytest.raises(SourceUnsettled, match=r"a\.csv changed while it was copied"):
        folders.copy_file(entry, root / "copy")


@pytest.mark.fault("I43")
def test_what_is_read_is_what_was_hashed(lake: Lake, root: Path, declare: Declare) -> None:
    path = deliver(root / "inbox", "a.csv", rows(4))
    before = ingest_period(lake, declare(), "m", PERIOD, root=root)
    path.unlink()  # the lake has its own copy, so what happens to the file no longer matters
    again = ingest_period(lake, declare(), "m", PERIOD, root=root)
    assert (again.rows, again.source_digests) == (4, before.source_digests)
    assert again.write is not None
    assert not again.write.changed
    (digest,) = before.source_digests
    kept = Path(lake.url) / "m" / "_inbox" / digest / "original"
    assert kept.read_bytes() == rows(4).to_csv(index=False).encode()
    assert (kept.parent.stat().st_mode & 0o777, kept.parent.parent.stat().st_mode & 0o777) == (0o700, 0o700)


@pytest.mark.fault("I44")
@pytest.mark.parametrize(
    "name", ["a\nb.csv", "-rf.csv", "x" * 240 + ".csv", "CON", "con.csv", "lpt1.csv",
             "ümlaut.csv", "a;b.csv", "\x1b[2J.csv", "a.csv "]
)  # fmt: skip
def test_a_file_of_a_bad_name_is_refused_with_a_record_and_never_opened(
    lake: Lake, root: Path, declare: Declare, name: str
) -> None:
    deliver_text(root / "inbox", name, "never read")
    deliver(root / "inbox", "good.csv", rows(4))
    report = ingest_period(lake, declare(), "m", PERIOD, root=root)
    (refused,) = [one for one in deliveries(lake, "m") if one.status == "refused"]
    assert (refused.rule, refused.digest) == ("name", "")
    assert refused.name.isprintable()
    assert len(refused.name) <= 120
    assert report.check("deliveries").verdict is Verdict.FAIL
    assert report.rows == 4
    kept = lake.read("m", "quarantine")
    assert kept[["rule", "delivery", "time_known"]].values.tolist() == [["name", refused.name, False]]


@pytest.mark.fault("I44")
def test_a_name_that_is_no_text_is_refused(lake: Lake, root: Path, declare: Declare) -> None:
    Path(os.fsdecode(os.fsencode(root / "inbox") + b"/\xff.csv")).write_text("x")
    ingest_period(lake, declare(), "m", PERIOD, root=root)
    assert statuses(lake) == {"\\\\xff.csv": ("refused", "name")}


@pytest.mark.fault("I44")
def test_names_that_differ_in_case_only_are_both_refused(lake: Lake, root: Path, declare: Declare) -> None:
    deliver(root / "inbox", "Day.csv", rows(2))
    deliver(root / "inbox", "day.csv", rows(2, first=10))
    report = ingest_period(lake, declare(), "m", PERIOD, root=root)
    assert statuses(lake) == {"Day.csv": ("refused", "name_collision"), "day.csv": ("refused", "name_collision")}
    assert report.write is None


@pytest.mark.fault("I10")
def test_the_same_bytes_under_another_name_are_taken_once(lake: Lake, root: Path, declare: Declare) -> None:
    deliver(root / "inbox", "a.csv", rows(4), age=90)
    first = ingest_period(lake, declare(), "m", PERIOD, root=root)
    deliver(root / "inbox", "b.csv", rows(4), age=60)
    second = ingest_period(lake, declare(), "m", PERIOD, root=root)
    assert statuses(lake) == {"a.csv": ("taken", ""), "b.csv": ("duplicate", "")}
    assert second.write is not None
    assert first.write is not None
    assert (second.write.changed, second.write.digest) == (False, first.write.digest)
    assert second.source_digests == first.source_digests
    assert second.duplicates == 0


@pytest.mark.requirement("A16")
def test_the_log_of_deliveries_says_where_rows_came_from(lake: Lake, root: Path, declare: Declare) -> None:
    import hashlib

    path = deliver(root / "inbox", "a.csv", rows(4))
    report = ingest_period(lake, declare(), "m", PERIOD, root=root)
    (one,) = deliveries(lake, "m")
    assert (one.feed, one.name, one.rows, one.first, one.last) == (
        "data", "a.csv", 4, START, START + timedelta(hours=18)
    )  # fmt: skip
    assert one.digest == hashlib.sha256(path.read_bytes()).hexdigest() == report.source_digests[0]


def test_an_unchanged_file_is_neither_copied_nor_read_again(
    lake: Lake, root: Path, declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(root, "all.csv", pd.concat([rows(4, day=day, first=10 * day) for day in range(5)]))
    data = declare(source={"kind": "csv", "path": "all.csv"})
    ingest_period(lake, data, "m", PERIOD, root=root)
    copies: list[object] = []
    monkeypatch.setattr(folders, "copy_file", lambda *_: copies.append(1))
    for day in (2, 3, 4, 5):
        assert ingest_period(lake, data, "m", f"2024-01-0{day}", root=root).rows == 4
    assert copies == []
    assert len(deliveries(lake, "m")) == 1


def test_a_single_file_is_what_it_holds_now(lake: Lake, root: Path, declare: Declare) -> None:
    data = declare(source={"kind": "csv", "path": "all.csv"})
    deliver(root, "all.csv", rows(4))
    assert ingest_period(lake, data, "m", PERIOD, root=root).rows == 4
    deliver(root, "all.csv", rows(3))  # a row was taken back
    report = ingest_period(lake, data, "m", PERIOD, root=root)
    assert sorted(lake.read("m", "raw")["id"]) == ["0", "1", "2"]
    assert report.write is not None
    assert len(lake.read("m", "raw", version=report.write.version - 1)) == 4
    deliver(root, "all.csv", rows(4))  # and came back: the bytes are known
    assert ingest_period(lake, data, "m", PERIOD, root=root).rows == 4


def test_a_single_file_may_be_a_link(lake: Lake, root: Path, declare: Declare) -> None:
    (root / "link.csv").symlink_to(deliver(root, "all.csv", rows(4)))
    data = declare(source={"kind": "csv", "path": "link.csv"})
    assert ingest_period(lake, data, "m", PERIOD, root=root).rows == 4


def test_a_source_that_is_not_there_says_where_it_should_be(lake: Lake, root: Path, declare: Declare) -> None:
    data = declare(source={"kind": "csv", "path": "nope.csv"})
    with pytest.raises(SourceMissing, match=rf"'nope\.csv' does not exist under {root}: put the file"):
        ingest_period(lake, data, "m", PERIOD, root=root)


def test_files_of_another_kind_are_left_alone(lake: Lake, root: Path, declare: Declare) -> None:
    deliver_text(root / "inbox", "README.md", "hello")
    ingest_period(lake, declare(), "m", PERIOD, root=root)
    assert statuses(lake) == {"README.md": ("ignored", "suffix")}


def test_deliveries_are_read_again_when_their_reading_changes(lake: Lake, root: Path, declare: Declare) -> None:
    path = deliver(root / "inbox", "a.csv", rows(4).assign(temp=["1.5", "none", "2", "3"]))
    strict = declare(max_rejected_share=1)
    assert ingest_period(lake, strict, "m", PERIOD, root=root).rows == 3
    path.unlink()  # only the lake still has it
    columns = {**strict.model_dump()["columns"], "temp": {"dtype": "float", "nullable": True}}
    mild = declare(source={"kind": "csv", "path": "inbox", "missing": ("", "none")}, columns=columns)
    assert ingest_period(lake, mild, "m", PERIOD, root=root).rows == 4
    assert lake.read("m", "raw")["temp"].isna().sum() == 1


def test_only_the_row_groups_of_a_period_are_read(lake: Lake, root: Path, declare: Declare) -> None:
    from retrain_pipeline.lake.inbox import _groups_between

    count = 3 * 65_536
    moments = pd.Series(range(count)).sample(frac=1, random_state=0)  # not in order: the copy is
    frame = pd.DataFrame({"id": moments, "at": START + pd.to_timedelta(moments, unit="s")})
    deliver(root, "all.parquet", frame)
    data = declare(source={"kind": "parquet", "path": "all.parquet"})
    inbox = Inbox(lake, "m", "data", data.source, data.time, root)  # type: ignore[arg-type]
    (one,) = inbox.take(PERIOD).deliveries
    with inbox._keep.parquet(inbox._rows_name(one.digest)) as file:
        assert file.metadata.num_row_groups == 3
        assert _groups_between(file.metadata, START, START + timedelta(seconds=10)) == [0]
    found = list(inbox.batches(one, START + timedelta(seconds=65_000), START + timedelta(seconds=66_000), {"id"}))
    ids = [value for batch in found for value in batch["id"].to_pylist()]
    assert ids == list(range(65_000, 66_000))


def test_two_processes_that_meet_the_same_files_record_them_once(lake: Lake, root: Path, declare: Declare) -> None:
    for day in range(2):
        deliver(root / "inbox", f"{day}.csv", rows(4, day=day, first=10 * day))
    code = (
        "import sys; from pathlib import Path; from retrain_pipeline.lake.declared import Data;"
        "from retrain_pipeline.lake.ingest import ingest_period; from retrain_pipeline.lake.tables import Lake;"
        "data = Data.model_validate_json(sys.argv[2]);"
        "ingest_period(Lake(sys.argv[1]), data, 'm', sys.argv[3], root=Path(sys.argv[4]))"
    )
    periods = [f"2024-01-0{day + 1}" for day in range(2)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, lake.url, declare().model_dump_json(), period, str(root)],
            cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."},
        )
        for period in periods
    ]  # fmt: skip
    assert [process.communicate()[1] for process in started] == [""] * 2
    assert [one.status for one in deliveries(lake, "m")] == ["taken"] * 2
    assert sorted(one.sequence for one in deliveries(lake, "m")) == [0, 1]
    assert {key: one.rows for key, one in lake.partitions("m", "raw").items()} == dict.fromkeys(periods, 4)


def test_a_full_disk_is_not_the_fault_of_the_file(
    lake: Lake, root: Path, declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retrain_pipeline.lake import files

    def full(*_: object) -> object:
        raise OSError(28, "No space left on device")

    deliver(root / "inbox", "a.csv", rows(4))
    with monkeypatch.context() as broken:
        broken.setattr(files, "_check_text", full)
        with pytest.raises(OSError, match="No space"):
            ingest_period(lake, declare(), "m", PERIOD, root=root)
    assert statuses(lake) == {}
    assert ingest_period(lake, declare(), "m", PERIOD, root=root).rows == 4


def test_a_name_carries_a_period_of_the_calendar_only(declare: Declare) -> None:
    calendar = declare().time.calendar()
    assert folders.period_in_name("rides-2024-03-05.csv", calendar) == "2024-03-05"
    assert folders.period_in_name("rides-2023-03-05.csv", calendar) == ""
    assert folders.period_in_name("12024-03-051.csv", calendar) == ""
    assert folders.period_in_name("2024-13-45_2024-01-02.csv", calendar) == "2024-01-02"
