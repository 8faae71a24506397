"""A tamperer with full rights on the database: what verification finds, and what only an anchor can show."""

import json

import pytest

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.errors import LedgerDamaged
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.verdicts import Verdict

pytestmark = [pytest.mark.fault("G7"), pytest.mark.requirement("D39")]


@pytest.fixture
def told(ledger):
    """A ledger that tells a story of eight entries."""
    for version in (1, 2, 3, 4):
        ledger.append(NewEntry("daemon", "judged", "bike", f"v{version}", {"verdict": "FAIL"}, f"r{version}"))
        ledger.change_deployment(
            "bike", version - 1, {"champion": f"v{version}"}, NewEntry("daemon", "released", subject=f"v{version}")
        )
    assert ledger.verify().verdict is Verdict.PASS
    return ledger


def problems(ledger, **more):
    found = ledger.verify(**more)
    assert found.verdict is Verdict.FAIL
    assert found.problems
    return " | ".join(found.problems)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("prev_sha256", "f" * 64),
        ("at_utc", "1999-01-01T00:00:00+00:00"),
        ("mono_ns", 1),
        ("actor", "eve"),
        ("action", "released"),
        ("model", "loan"),
        ("model", None),
        ("subject", "v9"),
        ("payload", '{"verdict":"PASS"}'),
        ("payload", '{"verdict": "FAIL"}'),
        ("run_id", None),
        ("epoch", 12),
        ("key", "other"),
        ("sha256", "f" * 64),
    ],
)
def test_an_edit_of_any_column_is_found_and_the_entry_is_not_read(told, tamperer, column, value):
    tamperer.do(f"UPDATE retrain_entry SET {column} = :value WHERE seq = 3", value=value)
    assert "entry 3" in problems(told)
    with pytest.raises(LedgerDamaged, match="entry 3"):
        told.entries()


def test_an_edit_with_a_fitting_digest_breaks_the_chain_after_it(told, tamperer):
    tamperer.rewrite(3, payload='{"verdict":"PASS"}')
    assert "entry 4 does not continue entry 3" in problems(told)


def test_a_deleted_entry_is_missed(told, tamperer):
    tamperer.do("DELETE FROM retrain_entry WHERE seq = 3")
    assert "entry 4 follows entry 2" in problems(told)


def test_a_deleted_entry_is_missed_when_the_later_ones_close_the_ranks(told, tamperer):
    tamperer.do("DELETE FROM retrain_entry WHERE seq = 3")
    for seq in (4, 5, 6, 7, 8):
        tamperer.do("UPDATE retrain_entry SET seq = :to WHERE seq = :seq", seq=seq, to=seq - 1)
    assert "entry 3 was edited" in problems(told)


def test_swapped_entries_are_found(told, tamperer):
    tamperer.do(
        "UPDATE retrain_entry SET seq = 99 WHERE seq = 3",
        "UPDATE retrain_entry SET seq = 3 WHERE seq = 5",
        "UPDATE retrain_entry SET seq = 5 WHERE seq = 99",
    )
    assert "entry 3" in problems(told)
    assert "entry 5" in problems(told)


@pytest.mark.parametrize("fits", [False, True])
def test_a_doubled_entry_is_found(told, tamperer, fits):
    tamperer.do(
        "INSERT INTO retrain_entry SELECT 9, prev_sha256, at_utc, mono_ns, actor, action, model, subject, payload, "
        "run_id, epoch, sha256, 'copy' FROM retrain_entry WHERE seq = 4"
    )
    if fits:
        tamperer.rewrite(9, prev_sha256=told.head().sha256)
    assert "the head row names entry 8, the chain ends with entry 9" in problems(told)


def test_a_doubled_release_whose_head_fits_is_no_next_epoch(told, tamperer):
    last = tamperer.row(8)
    tamperer.do(
        "INSERT INTO retrain_entry SELECT 9, sha256, at_utc, mono_ns, actor, action, model, subject, payload, run_id, "
        "epoch, sha256, 'copy' FROM retrain_entry WHERE seq = 8"
    )
    digest = tamperer.rewrite(9, prev_sha256=last["sha256"])
    tamperer.do("UPDATE retrain_head SET seq = 9, sha256 = :digest", digest=digest)
    assert "entry 9 makes epoch 4 of bike: not the one after the last" in problems(told)


def test_a_cut_off_end_does_not_fit_the_head_row(told, tamperer):
    tamperer.do("DELETE FROM retrain_entry WHERE seq = 8")
    assert "the head row names entry 8, the chain ends with entry 7" in problems(told)


def test_an_end_cut_off_with_its_head_row_is_shown_by_an_anchor(told, tamperer):
    anchor = told.append(NewEntry("daemon", "alerted"))
    tamperer.do(
        "DELETE FROM retrain_entry WHERE seq = 9",
        "UPDATE retrain_head SET seq = 8, sha256 = :digest",
        digest=tamperer.row(8)["sha256"],
    )
    assert told.verify().verdict is Verdict.PASS
    assert "entry 9 of the anchor is missing" in problems(told, anchors=[(anchor.seq, anchor.sha256)])


def test_a_fork_is_shown_by_an_anchor(told, tamperer):
    told.append(NewEntry("daemon", "judged", payload={"verdict": "FAIL"}))
    anchor = told.head()
    digest = tamperer.rewrite(9, payload='{"verdict":"PASS"}')
    tamperer.do("UPDATE retrain_head SET sha256 = :digest", digest=digest)
    assert told.verify().verdict is Verdict.PASS
    assert "entry 9 is not the one of the anchor" in problems(told, anchors=[anchor])


def test_a_ledger_replaced_as_a_whole_is_shown_by_an_anchor(told, ledger_url, tamperer):
    anchors = [(0, "0" * 64), (2, told.entries(after_seq=1, limit=1)[0].sha256), told.head()]
    assert told.verify(anchors=anchors).verdict is Verdict.PASS
    tamperer.do("DROP TABLE retrain_entry", "DROP TABLE retrain_head", "DROP TABLE retrain_deployment")
    other = Ledger(ledger_url)
    for _ in range(8):
        other.append(NewEntry("eve", "judged"))
    assert other.verify().verdict is Verdict.PASS
    found = problems(other, anchors=anchors)
    assert "entry 2 is not the one of the anchor" in found
    assert "entry 8 is not the one of the anchor" in found
    other.close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE retrain_deployment SET state = :state, state_digest = :digest", "its row is not what entry 8 made"),
        ("UPDATE retrain_deployment SET state = :state", "its row is not what entry 8 made"),
        ("UPDATE retrain_deployment SET epoch = 9", "its row is not what entry 8 made"),
        ("UPDATE retrain_deployment SET changed_by_seq = 2", "its row is not what entry 8 made"),
        ("UPDATE retrain_deployment SET model = 'loan'", "deployment of loan: no entry made it"),
        ("DELETE FROM retrain_deployment", "deployment of bike: its row is missing, entry 8 made one"),
        (
            "INSERT INTO retrain_deployment VALUES ('loan', 1, :state, :digest, 8)",
            "deployment of loan: no entry made it",
        ),
    ],
)
def test_a_deployment_row_that_no_entry_made_is_found(told, tamperer, statement, words):
    state = {"champion": "eve"}
    tamperer.do(statement, state=json.dumps(state, separators=(",", ":")), digest=digest_of(state))
    assert words in problems(told)
    if "DELETE" not in statement:
        with pytest.raises(LedgerDamaged, match="restore_deployments"):
            told.deployments()  # nobody serves it


def test_an_entry_whose_state_does_not_have_its_digest_is_found(ledger, tamperer):
    ledger.change_deployment("bike", 0, {"champion": "v1"}, NewEntry("daemon", "released"))
    payload = tamperer.row(1)["payload"].replace('"v1"', '"v2"')
    digest = tamperer.rewrite(1, payload=payload)
    tamperer.do(
        "UPDATE retrain_head SET sha256 = :digest", "UPDATE retrain_deployment SET state = :state",
        digest=digest, state='{"champion":"v2"}',
    )  # fmt: skip
    assert "deployment of bike" in problems(ledger)


@pytest.mark.parametrize(
    "payload", ["[]", "not json", '{"deployment": 7}', '{"deployment": {"epoch": 1}}', '{"a": NaN, "deployment": 1}']
)
def test_a_forged_entry_that_fits_everywhere_is_found_and_breaks_no_verifier(told, tamperer, payload):
    digest = tamperer.rewrite(8, payload=payload)
    tamperer.do("UPDATE retrain_head SET sha256 = :digest", digest=digest)
    assert "entry 8 was forged" in problems(told)
    with pytest.raises(LedgerDamaged, match="entry 8"):
        told.deployment("bike")


def test_a_forged_entry_with_a_state_of_another_type_is_found(told, tamperer):
    payload = '{"deployment":{"epoch":4,"state":[],"state_sha256":"x"}}'
    digest = tamperer.rewrite(8, payload=payload)
    tamperer.do("UPDATE retrain_head SET sha256 = :digest", digest=digest)
    assert "deployment of bike: its row is not what entry 8 made" in problems(told)
    with pytest.raises(LedgerDamaged, match="restore_deployments"):
        told.deployment("bike")


def test_bytes_in_place_of_a_text_are_an_edit(tmp_path):
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.append(NewEntry("daemon", "judged"))
    ledger._connections.write(lambda conn: conn.exec_driver_sql("UPDATE retrain_entry SET payload = x'7b7d'"))
    assert "entry 1 was edited" in problems(ledger)
    with pytest.raises(LedgerDamaged, match="entry 1 was edited"):
        ledger.entries()


def test_a_lost_head_row_is_found_and_stops_writers(told, ledger_url, tamperer):
    tamperer.do("DELETE FROM retrain_head")
    for ledger in (told, Ledger(ledger_url)):
        assert "there are 0 head rows" in problems(ledger)
        with pytest.raises(LedgerDamaged, match="head row"):
            ledger.append(NewEntry("daemon", "judged"))
        with pytest.raises(LedgerDamaged, match="head row"):
            ledger.head()
        ledger.close()


def test_a_head_row_set_back_stops_writers(told, tamperer):
    tamperer.do("UPDATE retrain_head SET seq = 5")
    with pytest.raises(LedgerDamaged, match="run verify"):
        told.append(NewEntry("daemon", "judged"))
    assert "the head row names entry 5" in problems(told)


def test_a_lost_table_is_damage(told, tamperer):
    tamperer.do("DROP TABLE retrain_deployment")
    with pytest.raises(LedgerDamaged, match="retrain_deployment"):
        told.deployment("bike")


def test_a_ledger_edited_everywhere_names_the_first_hundred_problems(ledger, tamperer):
    for _ in range(105):
        ledger.append(NewEntry("daemon", "monitored"))
    tamperer.do("UPDATE retrain_entry SET actor = 'eve'")
    found = ledger.verify()
    assert len(found.problems) == 101
    assert found.problems[-1] == "and 5 more"
