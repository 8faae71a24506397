"""The ledger and the lake in memory say what the real ones say, so that tests on them are tests of the product."""

from dataclasses import asdict
from datetime import UTC, datetime

import pandas as pd
import pytest

from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.errors import EntryRefused, StaleEpoch
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline_tests.release.fitted import rows
from retrain_pipeline_tests.release.in_memory import HandLake, HandLedger


def refusing():
    raise EntryRefused("not now")


def story(ledger):
    """Tell a ledger a story; return what it says of it, without its clock and what follows from that."""
    ledger.append(NewEntry("a", "judged", "toy", "v1", {"share": 0.0, "n": 1.5}, run_id="r", epoch=3, key="k"))
    again = ledger.append(NewEntry("b", "judged", "toy", "v1", {}, key="k"))
    ledger.append(NewEntry("a", "judged", "doll", "v1"))
    ledger.change_deployment(
        "toy", 0, {"champion": "v1", "share": 0.0}, NewEntry("a", "released", None, "v1", {"x": 1})
    )
    told = [again.seq]
    for expected, before, error in ((0, None, StaleEpoch), (1, refusing, EntryRefused)):
        with pytest.raises(error) as caught:
            ledger.change_deployment("toy", expected, {}, NewEntry("a", "released", "toy"), just_before=before)
        told.append(str(caught.value))
    ledger.change_deployment("toy", 1, {"champion": "v2"}, NewEntry("a", "released", "toy", "v2", epoch=9))
    with pytest.raises(EntryRefused) as caught:
        ledger.append(NewEntry("a", "judged", "toy", "v1", {"deployment": {}}))
    told.append(str(caught.value))
    for asked in (
        {}, {"model": "toy"}, {"action": ("judged", "released"), "newest_first": True}, {"subject": "v1", "limit": 2},
        {"run_id": "r"}, {"after_seq": 2}, {"model": "toy", "action": "released", "limit": 1, "newest_first": True},
    ):  # fmt: skip
        told.append([plain(one) for one in ledger.entries(**asked)])
    told += [plain(ledger.latest("toy", "judged")), ledger.latest("toy", "judged", "v2"), ledger.head().seq]
    return [*told, *(ledger.deployment(model) for model in ("toy", "doll"))]


def plain(entry):
    own = ("at_utc", "mono_ns", "prev_sha256", "sha256", *(["key"] if entry.seq > 1 else []))
    return {name: value for name, value in asdict(entry).items() if name not in own}


def test_the_ledger_in_memory_says_what_the_ledger_says(tmp_path):
    real = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    assert story(HandLedger()) == story(real)
    real.close()


def test_the_lake_in_memory_says_what_the_lake_says(tmp_path):
    known = datetime(2024, 2, 12, 1, tzinfo=UTC)
    for asked in (
        {}, {"periods": ["2024-02-12"]}, {"periods": []}, {"known_by": known}, {"columns": ["a", "_period"]},
        {"periods": ["2024-02-12", "2030-01-07"], "known_by": known, "columns": ["id"]},
    ):  # fmt: skip
        found = []
        for lake in (Lake(str(tmp_path / "lake")), HandLake()):
            for week in ("2024-02-12", "2024-02-05"):
                lake.replace_partition("toy", "features", week, rows(week, 3))
            frame = lake.read("toy", "features", **asked)
            found.append((frame, lake.partitions("toy", "features"), lake.periods("toy", "features")))
        (one, *others), (other, *more) = found
        pd.testing.assert_frame_equal(one, other, check_dtype=False)
        assert others == more


def test_the_lake_in_memory_keeps_what_it_has_and_snapshots_it(tmp_path):
    said = []
    for lake in (Lake(str(tmp_path / "lake")), HandLake()):
        writes = [lake.replace_partition("toy", "features", "2024-02-12", rows(n=n)).changed for n in (3, 3, 2)]
        shot = lake.snapshot("toy", "features", periods=["2024-02-12"], known_by=datetime(2024, 2, 12, tzinfo=UTC))
        kept = lake.read_snapshot(shot)["id"].tolist()
        said.append((writes, shot.rows, shot.periods, shot.known_by, kept, lake.read("toy", "raw").empty))
        assert lake.version("toy", "raw") is None
    assert said[0] == said[1]
