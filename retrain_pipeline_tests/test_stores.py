"""Three stores from one home."""

import os

import pandas as pd
import pytest

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.errors import LedgerUrlRefused
from retrain_pipeline.stores import open_stores
from retrain_pipeline.verdicts import Verdict


def test_a_home_holds_the_three_stores_and_is_private(tmp_path):
    stores = open_stores(tmp_path / "home")
    digest = stores.artifacts.put(b"bytes")
    stores.ledger.append(NewEntry("daemon", "judged", subject=digest))
    moment = pd.Timestamp("2026-01-01T05:00", tz="UTC")
    frame = pd.DataFrame({"x": [1.0], "_event_time": [moment], "_known_time": [moment]})
    stores.lake.replace_partition("bike", "raw", "2026-01-01", frame)
    stores.close()
    home = tmp_path / "home"
    assert home.stat().st_mode & 0o777 == 0o700
    assert sorted(file.name for file in home.iterdir()) == ["artifacts", "lake", "ledger.db"]
    again = open_stores(str(home))
    assert again.artifacts.get(digest) == b"bytes"
    assert again.ledger.verify().verdict is Verdict.PASS
    assert len(again.lake.read("bike", "raw")) == 1
    again.close()


def test_a_relative_home_stays_where_it_is_when_the_process_moves(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        stores = open_stores("home")
        os.chdir(tmp_path / "elsewhere")
        digest = stores.artifacts.put(b"x")
        stores.ledger.append(NewEntry("daemon", "judged"))
    finally:
        os.chdir(before)
    assert os.path.exists(stores.artifacts.path(digest))
    assert stores.artifacts.path(digest).startswith(str(tmp_path / "home" / "artifacts"))
    assert (tmp_path / "home" / "ledger.db").exists()


def test_each_store_may_be_elsewhere(tmp_path, postgres_url):
    stores = open_stores(
        tmp_path / "home", lake_url=str(tmp_path / "l"), artifacts_url="memory://elsewhere", ledger_url=postgres_url
    )
    digest = stores.artifacts.put(b"x")
    assert stores.artifacts.path(digest).startswith("memory://elsewhere/")
    assert stores.ledger.append(NewEntry("daemon", "judged")).seq == 1
    assert not (tmp_path / "home").exists()
    stores.close()


def test_a_ledger_url_of_another_kind_is_refused(tmp_path):
    with pytest.raises(LedgerUrlRefused, match="mysql"):
        open_stores(tmp_path, ledger_url="mysql://h/d")
