"""`retrain keys`, `ledger anchor|verify|reconcile|demo-tamper`, `approve`, `release`, `override`, `review-override`."""

import sqlite3

import pytest

from retrain_pipeline.cli import places, show
from retrain_pipeline.ledger.keyring import read_keyring
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.governance.asking import ASKS


@pytest.fixture
def at(retrain, world, tmp_path, monkeypatch):
    """Run commands over the world, its model declared to need approvals, with keys in a policy folder."""
    file = world.declaration.folder / "defs.yaml"
    file.write_text(file.read_text().replace("  gates: {margin: 0.08,", ASKS))
    monkeypatch.setattr(places, "DEFS", world.declaration.folder.parent)
    (tmp_path / "policy").mkdir()
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    for name in ("RETRAIN_LEDGER_KEY", "RETRAIN_PERSON_KEY", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")

    def run(*arguments, fails=False):
        result = retrain(*arguments, "--home", world.home)
        assert (result.exit_code != 0) is fails, (result.output, result.exception)
        return " ".join(result.output.split())

    return run


@pytest.mark.requirement("D12", "B11", "A32")
@pytest.mark.fault("G6", "G14")
def test_a_person_approves_and_another_overrides_and_a_third_reviews(at, world, tmp_path, retrain):
    keys = {}
    for name in ("alice", "bob"):
        keys[name] = tmp_path / f"{name}.pem"
        assert "commit the keyring" in at("keys", "new", name, "--to", keys[name])
    assert "has a key of this name" in at("keys", "new", "alice", "--to", tmp_path / "x.pem", fails=True)
    version = versions(world)[1]
    world.again().judge(version)
    because = ("--because", "the slices look right to me")
    assert "retrain approve toy" in at("release", "toy", version, fails=True)
    assert "is signed" in at("approve", "toy", version, *because, fails=True)
    for hours in ("0", "nan"):
        words = at("approve", "toy", version, *because, "--key", keys["alice"], "--expires-hours", hours, fails=True)
        assert "more than 0, at most 720" in words
    told = at("approve", "toy", version, *because, "--key", keys["alice"])
    assert "approved by person:alice" in told
    assert "is champion after" in at("release", "toy", version)
    third = versions(world)[2]
    world.again().judge(third)
    assert "OVERRIDE by person:bob" in at("override", "toy", third, *because, "--key", keys["bob"])
    assert "is champion after" in at("release", "toy", third)
    assert "not reviewed: the slices look right" in at("status")
    assert "made it" in at("review-override", "toy", *because, "--key", keys["bob"], fails=True)
    assert "reviewed by person:alice" in at("review-override", "toy", *because, "--key", keys["alice"])
    assert "not reviewed" not in at("status")
    history = at("history", "toy")
    for word in ("awaiting_approval", "approved", "override_granted", "override_reviewed", "refused"):
        assert word in history


@pytest.mark.requirement("D39")
@pytest.mark.fault("G7", "S13")
def test_the_ledger_is_signed_anchored_and_its_truncation_found(at, world, tmp_path):
    anchors = tmp_path / "anchors.jsonl"
    assert "RETRAIN_LEDGER_KEY" in at("keys", "new", "server", "--ledger", "--to", tmp_path / "server.pem")
    (key,) = read_keyring(tmp_path / "policy" / "keyring.json").keys
    assert key.signs_from == world.stores.ledger.head().seq
    assert "server" in at_plain(at, "keys", "list")
    assert "1 signed, 0 anchors" in at("ledger", "verify")
    assert "is anchored in" in at("ledger", "anchor", "--to", anchors)
    assert "PASS" in at("ledger", "verify", "--anchor", anchors)
    assert "say where" in at("ledger", "anchor", fails=True)
    with sqlite3.connect(world.home / "ledger.db") as conn:
        last = conn.execute("SELECT max(seq) FROM retrain_entry").fetchone()[0]
        before = conn.execute("SELECT sha256 FROM retrain_entry WHERE seq = ?", (last - 1,)).fetchone()[0]
        conn.execute("DELETE FROM retrain_entry WHERE seq = ?", (last,))
        conn.execute("DELETE FROM retrain_signature")
        conn.execute("UPDATE retrain_head SET seq = ?, sha256 = ?", (last - 1, before))
    assert f"entry {last} of the anchor is missing" in at("ledger", "verify", "--anchor", anchors, fails=True)
    assert "the keyring says" in at("ledger", "verify", fails=True)
    assert "does not pass through its anchor" in at("ledger", "anchor", "--to", anchors, fails=True)


def at_plain(at, *arguments):
    """Run a command that takes no --home."""
    from typer.testing import CliRunner

    from retrain_pipeline.cli import app

    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.fault("G7", "G8")
def test_every_attack_of_the_demonstration_is_caught(at, world):
    before = world.stores.ledger.head()
    told = at("ledger", "demo-tamper")
    assert "13 of 13 attacks were caught" in told
    assert "nothing" not in told.replace("nothing is", "")
    assert world.stores.ledger.head() == before


@pytest.mark.fault("G9")
def test_reconciling_needs_dagsters_own_record(at, monkeypatch, tmp_path):
    assert "DAGSTER_HOME" in at("ledger", "reconcile", fails=True)
    (tmp_path / "dagster").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    assert "INCONCLUSIVE: 0 retrains" in at("ledger", "reconcile", "--check")


def test_signing_ends_by_a_signed_entry_and_a_key_retires(at, tmp_path, monkeypatch):
    at("keys", "new", "server", "--ledger", "--to", tmp_path / "server.pem")
    monkeypatch.setenv("RETRAIN_LEDGER_KEY", "")
    assert "SignatureNeeded" in at("ledger", "end-signing", "--because", "moving house", fails=True)
    assert "SignatureNeeded" in at("keys", "retire", "server", "--because", "moving house", fails=True)
    monkeypatch.setenv("RETRAIN_LEDGER_KEY", str(tmp_path / "server.pem"))
    assert "need no signature" in at("ledger", "end-signing", "--because", "moving house")
    assert "retired by entry" in at("keys", "retire", "server", "--because", "moving house")
    assert "there are: server" in at("keys", "retire", "sever", "--because", "a typing mistake", fails=True)
    assert "PASS" in at("ledger", "verify")


@pytest.mark.fault("G2")
def test_who_types_is_the_account_or_the_keys_owner_and_not_what_the_environment_says(at, tmp_path, monkeypatch):
    account = show.actor()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "boss")
    assert show.actor() == account != "person:boss"
    at("keys", "new", "alice", "--to", tmp_path / "alice.pem")
    monkeypatch.setenv("RETRAIN_PERSON_KEY", str(tmp_path / "alice.pem"))
    assert show.actor() == "person:alice"


@pytest.mark.fault("G25")
def test_a_plan_is_approved_and_an_objection_entered_on_the_command_line(at, world, tmp_path):
    at("keys", "new", "alice", "--to", tmp_path / "alice.pem")
    because, key = ("--because", "data may change by itself"), ("--key", tmp_path / "alice.pem")
    assert "there is no change_plan.yaml" in at("approve", "toy", "--plan", *because, *key, fails=True)
    assert "give a version, or --plan" in at("approve", "toy", *because, *key, fails=True)
    (world.declaration.folder / "change_plan.yaml").write_text(
        "id: year-one\nvalid_from: 2020-01-01\nvalid_until: 2099-12-31\n"
        "allowed: {triggers: [policy], candidates: [tree]}\n"
        "cumulative_limits: {max_autopromotions: 2, max_total_delta: 0.5, max_days_without_human: 30}\n"
    )
    assert "toy year-one: approved by person:alice" in at("approve", "toy", "--plan", *because, *key)
    version = versions(world)[1]
    assert "is on record" in at("dissent", "toy", version, "--because", "the north shop gets worse")
    assert "the north shop gets worse" in at("history", "toy")
    assert "there is no approval to withdraw" in at("withdraw-approval", "toy", version, *because, *key, fails=True)
