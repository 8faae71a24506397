"""What a lane is handed: stores that write nothing but the lane's own, on record, whoever tries."""

import hashlib
import threading
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from retrain_pipeline.lake.tables import TABLES
from retrain_pipeline.lane_stores import SHARED
from retrain_pipeline.lanes import (
    Lane,
    LaneRefused,
    acting,
    acting_lane,
    known_lanes,
)
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.errors import KeyReused, LedgerUnusable
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.names import check_name
from retrain_pipeline.stores import open_stores
from retrain_pipeline.triggers.halts import FLEET_LIMIT, fleet_use
from retrain_pipeline.verdicts import Verdict

LANE = Lane("toy__wide", "toy", "Does a wider model do better?")
MONDAY = datetime(2025, 1, 6, tzinfo=UTC)
ROWS = pd.DataFrame({"id": ["a", "b"], "_event_time": [MONDAY] * 2, "_known_time": [MONDAY] * 2, "x": [1.0, 2.0]})


@pytest.fixture
def home(tmp_path, ledger_url):
    """The stores of a project in which `toy` has a deployment and a retrain under way; once for each database."""
    stores = open_stores(tmp_path / "home", ledger_url=ledger_url)
    stores.ledger.change_deployment("toy", 0, {"champion": "v1"}, NewEntry("daemon", "released", subject="v1"))
    started = "retrain_started:run-of-toy"
    stores.ledger.append(NewEntry("daemon", "retrain_started", "toy", run_id="run-of-toy", key=started))
    yield stores
    stores.close()


@pytest.fixture
def lane(tmp_path, ledger_url, home):
    """The stores of a lane beside it."""
    stores = open_stores(tmp_path / "home", ledger_url=ledger_url, lane=LANE)
    yield stores
    stores.close()


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file under a folder."""
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*") if file.is_file()}


LEDGER_ATTACKS = {
    "release": lambda it: it.ledger.change_deployment("toy", 1, {"champion": "mine"}, NewEntry("x", "released")),
    "roll back": lambda it: it.ledger.change_deployment("toy", 1, {"champion": "v0"}, NewEntry("x", "rolled_back")),
    "approve": lambda it: it.ledger.append(NewEntry("person:ann", "approved", "toy", "v2", key="approved:nonce")),
    "ask for a retrain": lambda it: it.ledger.append(NewEntry("x", "retrain_started", "toy", run_id="r")),
    "halt": lambda it: it.ledger.append(NewEntry("x", "retraining_halted", "toy", payload={"because": "I say so"})),
    "write for another lane": lambda it: it.ledger.append(NewEntry("x", "judged", "toy__other", "v2")),
    "write for the project": lambda it: it.ledger.append(NewEntry("x", "key_retired")),
    "put rows right": lambda it: it.ledger.restore_deployments("x"),
    "take a key that the model will need": lambda it: it.ledger.append(
        NewEntry("x", "released", LANE.name, key="released:toy:1:abc")
    ),
    "take the key of the model's run": lambda it: it.ledger.append(
        NewEntry("x", "retrain_failed", LANE.name, run_id="run-of-toy", key="retrain_failed:run-of-toy")
    ),
    "sweep": lambda it: it.artifacts.sweep(set()),
}


@pytest.mark.requirement("D41")
@pytest.mark.parametrize("attack", LEDGER_ATTACKS)
def test_what_a_lane_tries_on_anybody_else_is_refused_and_on_record(home, lane, attack):
    entries, row = home.ledger.entries(model="toy"), home.ledger.deployment("toy")
    for _ in range(2):  # and again: the second attempt of a day is no second entry
        with pytest.raises(LaneRefused, match="toy__wide"):
            LEDGER_ATTACKS[attack](lane)
    assert home.ledger.entries(model="toy") == entries
    assert home.ledger.deployment("toy") == row
    told = home.ledger.entries(model=LANE.name)
    assert [entry.action for entry in told] == ["lane_opened", "refused"]
    assert {entry.model for entry in home.ledger.entries(after_seq=entries[-1].seq)} == {LANE.name}
    assert home.ledger.verify().verdict is Verdict.PASS


@pytest.fixture
def tables(tmp_path):
    """The stores of a project in which `toy` has every table, and those of a lane beside it."""
    home = open_stores(tmp_path / "home")
    for table in TABLES:
        home.lake.replace_partition("toy", table, "2025-01-06", ROWS)
    lane = open_stores(tmp_path / "home", lane=LANE)
    yield home, lane
    home.close()
    lane.close()


@pytest.mark.requirement("D41")
def test_a_lane_cannot_write_a_table_of_its_model_nor_its_deliveries(tables, tmp_path):
    _, lane = tables
    before = contents(tmp_path / "home" / "lake")
    for table in TABLES:
        with pytest.raises(LaneRefused, match=f"table {table}"):
            lane.lake.replace_partition("toy", table, "2025-01-06", ROWS.iloc[:1])
        with pytest.raises(LaneRefused, match=f"table {table}"):
            lane.lake.update_partition("toy", table, "2025-01-13", lambda rows: ROWS)
    for table in SHARED:  # nor under its own name, since these are its model's
        with pytest.raises(LaneRefused, match="to toy"):
            lane.lake.replace_partition(LANE.name, table, "2025-01-06", ROWS)
    with pytest.raises(LaneRefused, match="area"):
        lane.lake.filesystem("toy", "inbox")
    assert contents(tmp_path / "home" / "lake") == before


@pytest.mark.requirement("D41")
def test_a_lane_reads_the_rows_of_its_model_and_writes_tables_of_its_own(tables):
    home, lane = tables
    assert lane.lake.read(LANE.name, "labels")["id"].tolist() == ["a", "b"]
    assert lane.lake.periods(LANE.name, "features") == []
    lane.lake.replace_partition(LANE.name, "features", "2025-01-06", ROWS.iloc[:1])
    assert len(home.lake.read(LANE.name, "features")) == 1
    assert len(home.lake.read("toy", "features")) == 2
    # what it names of its model's rows, anybody can read again
    named = lane.lake.snapshot(LANE.name, "labels", periods=["2025-01-06"])
    assert named.model == "toy"
    assert len(home.lake.read_snapshot(named)) == 2
    released = NewEntry("x", "released", key="released:toy__wide:0")
    lane.ledger.change_deployment(LANE.name, 0, {"champion": "w1"}, released)
    assert home.ledger.deployment(LANE.name).state == {"champion": "w1"}
    assert known_lanes(home.ledger) == {"toy__wide": "toy"}
    with pytest.raises(KeyReused):  # its own keys are as strict as anybody's
        lane.ledger.append(NewEntry("x", "judged", LANE.name, key="released:toy__wide:0"))


@pytest.mark.requirement("D41")
def test_code_in_a_lanes_step_that_opens_the_stores_itself_gets_the_lanes(tmp_path):
    with acting(LANE):
        mine = open_stores(tmp_path / "home")
        with pytest.raises(LaneRefused):
            mine.ledger.append(NewEntry("x", "released", "toy"))
        with acting(None):
            assert acting_lane() is None
        assert acting_lane() == LANE
    theirs = open_stores(tmp_path / "home")
    theirs.ledger.append(NewEntry("x", "released", "toy"))
    # nobody else in the process is in the lane: a sensor of the model, say, in a thread of its own
    with acting(LANE):
        seen: list = []
        thread = threading.Thread(target=lambda: seen.append(acting_lane()))
        thread.start()
        thread.join()
    assert seen == [None]
    mine.close()
    theirs.close()


@pytest.mark.requirement("D41")
def test_retrains_of_lanes_leave_the_models_their_share_of_the_fleets(home, lane):
    for number in range(3):
        run = f"run-{number}"
        lane.ledger.append(NewEntry("x", "retrain_started", LANE.name, run_id=run, key=f"retrain_started:{run}"))
    limit = {FLEET_LIMIT: "2"}
    assert fleet_use(home.ledger, limit).started == 1
    assert fleet_use(home.ledger, limit, lane=LANE).started == 2  # of the limit: experiments wait first
    home.ledger.append(NewEntry("x", "retrain_started", "toy", run_id="r"))
    assert fleet_use(home.ledger, limit).started == 2


ROLE = """
CREATE ROLE {role} LOGIN PASSWORD '{password}';
GRANT SELECT ON retrain_entry, retrain_head, retrain_deployment, retrain_signature TO {role};
GRANT INSERT ON retrain_entry, retrain_signature, retrain_deployment TO {role};
GRANT UPDATE (seq, sha256) ON retrain_head TO {role};
GRANT UPDATE ON retrain_deployment TO {role};
ALTER TABLE retrain_entry ENABLE ROW LEVEL SECURITY;
ALTER TABLE retrain_deployment ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody_reads ON retrain_entry FOR SELECT USING (true);
CREATE POLICY everybody_reads ON retrain_deployment FOR SELECT USING (true);
CREATE POLICY {role}_enters ON retrain_entry FOR INSERT TO {role} WITH CHECK (model = '{lane}');
CREATE POLICY {role}_begins ON retrain_deployment FOR INSERT TO {role} WITH CHECK (model = '{lane}');
CREATE POLICY {role}_changes ON retrain_deployment FOR UPDATE TO {role} USING (model = '{lane}');
"""


@pytest.mark.requirement("D41")
def test_under_a_database_role_of_its_own_a_lane_cannot_write_for_its_model_by_any_code(postgres, postgres_url):
    import psycopg

    docs = (Path(__file__).parents[1] / "docs" / "lanes.md").read_text()
    assert ROLE.strip().format(role="lane_wide", password="…", lane=check_name(LANE.name, "lane")) in docs
    owner = Ledger(postgres_url)
    owner.change_deployment("toy", 0, {"champion": "v1"}, NewEntry("daemon", "released", subject="v1"))
    role = f"lane_{postgres_url.rpartition('/')[2]}"
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(ROLE.format(role=role, password="secret", lane=LANE.name))  # type: ignore[call-overload]
    url = postgres_url.replace(f"retrain:{postgres.password}@", f"{role}:secret@")
    # not the lane's ledger: that of any code that has the lane's credentials
    anyone = Ledger(url, patience_seconds=1)
    anyone.change_deployment(LANE.name, 0, {"champion": "w1"}, NewEntry("x", "released"))
    head, row = owner.head(), owner.deployment("toy")
    with pytest.raises(LedgerUnusable):
        anyone.append(NewEntry("x", "approved", "toy", "v2"))
    with pytest.raises(LedgerUnusable):
        anyone.change_deployment("toy", 1, {"champion": "mine"}, NewEntry("x", "released"))
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        assert connection.execute("UPDATE retrain_deployment SET epoch = 9 WHERE model = 'toy'").rowcount == 0
        for statement in ("DELETE FROM retrain_entry", "UPDATE retrain_entry SET actor = 'y'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)  # type: ignore[call-overload]
    assert (owner.head(), owner.deployment("toy")) == (head, row)
    assert owner.verify().verdict is Verdict.PASS
    owner.append(NewEntry("daemon", "monitored", "toy"))  # and the owner goes on
    anyone.close()
    owner.close()
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")  # type: ignore[call-overload]
