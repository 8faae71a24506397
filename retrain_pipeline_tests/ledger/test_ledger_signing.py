"""Signed entries: whoever can write the database but has no key is found out, and an unsigned past stays valid."""

import multiprocessing

import pytest

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.errors import EntryRefused, KeyRefused, SignatureNeeded
from retrain_pipeline.ledger.keyring import Keyring, read_keyring, write_keyring
from retrain_pipeline.ledger.signatures import KEY_RETIRED, SIGNING_ENDED
from retrain_pipeline.ledger.signing import PublicKey, new_private_key
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.verdicts import Verdict

pytestmark = [pytest.mark.fault("S13"), pytest.mark.requirement("D39")]


@pytest.fixture
def keys(tmp_path):
    """Two keys, and the keyring that believes them."""
    pair = [new_private_key(tmp_path / "keys" / f"{name}.pem") for name in ("daemon", "alice")]
    write_keyring(tmp_path / "keyring.json", ring(pair))
    return pair


def ring(pair, **more):
    return Keyring(tuple(PublicKey(key.file.stem, f"person:{key.file.stem}", key.public, **more) for key in pair))


@pytest.fixture
def signed(ledger_url, tmp_path, keys):
    """A ledger whose first two entries are unsigned, and the next three signed by one key and then another."""
    plain = Ledger(ledger_url)
    for _ in range(2):
        plain.append(NewEntry("daemon", "monitored", "bike"))
    plain.close()
    ledger = Ledger(ledger_url, signing_key=keys[0].file, keyring=tmp_path / "keyring.json")
    ledger.change_deployment("bike", 0, {"champion": "v1"}, NewEntry("daemon", "released"))
    ledger.append(NewEntry("daemon", "monitored", "bike"))
    other = Ledger(ledger_url, signing_key=keys[1].file, keyring=tmp_path / "keyring.json")
    other.append(NewEntry("person:alice", "retraining_halted", "bike", payload={"because": "holiday"}))
    other.close()
    yield ledger
    ledger.close()


def problems(ledger, **more):
    found = ledger.verify(**more)
    assert found.verdict is Verdict.FAIL, found
    return " | ".join(found.problems)


def test_signed_entries_verify_and_name_their_key_inside_the_digest(signed, keys):
    found = signed.verify()
    assert (found.verdict, found.entries, found.signed, found.problems) == (Verdict.PASS, 5, 3, [])
    assert [entry.payload.get("signed_by") for entry in signed.entries()] == [None, None, *[keys[0].id] * 2, keys[1].id]


def test_an_entry_with_a_forged_signature_is_found(signed, tamperer):
    tamperer.do("UPDATE retrain_signature SET signature = (SELECT signature FROM retrain_signature WHERE seq = 4) "
                "WHERE seq = 3")  # fmt: skip
    assert "entry 3 has a signature that is not that of key daemon" in problems(signed)


@pytest.mark.parametrize("text", ["", "not base64", "AAAA"])
def test_nonsense_in_place_of_a_signature_breaks_no_verifier(signed, tamperer, text):
    tamperer.do("UPDATE retrain_signature SET signature = :text WHERE seq = 3", text=text)
    assert "entry 3 has a signature that is not" in problems(signed)


def test_a_stripped_signature_is_missed(signed, tamperer):
    tamperer.do("DELETE FROM retrain_signature WHERE seq = 4")
    assert "entry 4 says that key" in problems(signed)


def test_all_signatures_stripped_and_the_format_set_back_is_found(signed, ledger_url, tmp_path, tamperer):
    tamperer.do("DROP TABLE retrain_signature", "UPDATE retrain_head SET schema_version = 1")
    again = Ledger(ledger_url, keyring=tmp_path / "keyring.json")
    assert problems(again).count("its signature is missing") == 3
    again.close()


def test_an_edit_with_a_digest_that_fits_does_not_have_its_signature(signed, tamperer):
    row = tamperer.row(5)
    digest = tamperer.rewrite(5, payload=row["payload"].replace("holiday", "audit"))
    tamperer.do("UPDATE retrain_head SET sha256 = :digest", digest=digest)
    assert "entry 5 has a signature that is not that of key alice" in problems(signed)


def test_an_unsigned_entry_put_behind_signed_ones_is_found(signed, tamperer):
    last = tamperer.row(5)
    tamperer.do(
        "INSERT INTO retrain_entry SELECT 6, :prev, at_utc, mono_ns, 'eve', action, model, subject, '{}', run_id, "
        "epoch, sha256, 'eve' FROM retrain_entry WHERE seq = 4",
        prev=last["sha256"],
    )
    digest = tamperer.rewrite(6)
    tamperer.do("UPDATE retrain_head SET seq = 6, sha256 = :digest", digest=digest)
    assert "entry 6 is not signed, but signing had begun" in problems(signed)


def test_a_key_that_is_not_in_the_keyring_fails_closed(signed, ledger_url, tmp_path, keys):
    for left in ([], keys[:1]):
        write_keyring(tmp_path / "keyring.json", ring(left))
        assert "which is not in the keyring" in problems(signed)
    (tmp_path / "keyring.json").unlink()
    assert "which is not in the keyring" in problems(signed)
    bare = Ledger(ledger_url)
    assert "which is not in the keyring" in problems(bare)
    bare.close()


def test_a_chain_written_anew_without_signatures_is_shown_by_the_keyring(signed, ledger_url, tmp_path, tamperer, keys):
    write_keyring(tmp_path / "keyring.json", ring(keys, signs_from=3))
    assert signed.verify().verdict is Verdict.PASS
    tamperer.do("DROP TABLE retrain_entry", "DROP TABLE retrain_head", "DROP TABLE retrain_deployment",
                "DROP TABLE retrain_signature")  # fmt: skip
    other = Ledger(ledger_url, keyring=tmp_path / "keyring.json")
    other.append(NewEntry("eve", "judged"))
    assert "the keyring says that entry 3 is signed, but the chain ends with entry 1" in problems(other)
    for _ in range(3):
        other.append(NewEntry("eve", "judged"))
    assert "entry 3 is not signed, but signing had begun" in problems(other)
    other.close()


def test_a_left_signature_shows_an_end_that_was_cut_off_with_its_head_row(signed, tamperer):
    tamperer.do(
        "DELETE FROM retrain_entry WHERE seq = 5",
        "UPDATE retrain_head SET seq = 4, sha256 = :digest",
        digest=tamperer.row(4)["sha256"],
    )
    assert "entry 5 is missing, its signature is left" in problems(signed)


def test_without_a_key_nothing_is_written_behind_signed_entries(signed, ledger_url):
    plain = Ledger(ledger_url)
    with pytest.raises(SignatureNeeded, match="RETRAIN_LEDGER_KEY"):
        plain.append(NewEntry("daemon", "monitored"))
    with pytest.raises(SignatureNeeded):
        plain.change_deployment("bike", 1, {"champion": "v2"}, NewEntry("daemon", "released"))
    assert plain.head().seq == 5
    plain.close()


def test_signing_that_was_ended_by_a_signed_entry_is_over_until_it_begins_again(signed, ledger_url):
    signed.append(NewEntry("person:alice", SIGNING_ENDED, payload={"because": "moving the keys"}))
    plain = Ledger(ledger_url)
    plain.append(NewEntry("daemon", "monitored"))
    plain.close()
    assert signed.verify().verdict is Verdict.PASS
    signed.append(NewEntry("daemon", "monitored"))
    assert signed.verify().verdict is Verdict.PASS


def test_what_a_retired_key_signs_is_not_believed(signed, keys):
    signed.append(NewEntry("person:alice", KEY_RETIRED, subject=keys[1].id, payload={"because": "left the team"}))
    assert signed.verify().verdict is Verdict.PASS
    signed.append(NewEntry("daemon", KEY_RETIRED, subject=keys[0].id, payload={"because": "it leaked"}))
    signed.append(NewEntry("daemon", "monitored"))
    assert "entry 8 is signed by key daemon, which was retired before" in problems(signed)


def test_nobody_else_writes_who_signed(ledger):
    with pytest.raises(EntryRefused, match="signed_by"):
        ledger.append(NewEntry("eve", "judged", payload={"signed_by": "a" * 32}))


def test_deployments_are_restored_in_a_signed_ledger(signed, tamperer):
    tamperer.do("DELETE FROM retrain_deployment")
    assert signed.restore_deployments("person:alice") == ["bike"]
    assert signed.verify().verdict is Verdict.PASS


@pytest.mark.fault("S17")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_private_key_that_others_may_read_signs_nothing(tmp_path, keys, mode):
    keys[0].file.chmod(mode)
    ledger = Ledger(f"sqlite:///{tmp_path / 'new.db'}", signing_key=keys[0].file)
    with pytest.raises(KeyRefused, match="others may read"):
        ledger.append(NewEntry("daemon", "judged"))
    assert ledger.head().seq == 0


def test_a_key_file_is_private_and_never_overwritten(tmp_path, keys):
    assert keys[0].file.stat().st_mode & 0o777 == 0o600
    before = keys[0].file.read_bytes()
    with pytest.raises(KeyRefused, match="another name"):
        new_private_key(keys[0].file)
    assert keys[0].file.read_bytes() == before


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"schema":"keyring/1","keys":[{"name":"a"}]}', "\udcff"])
def test_a_keyring_that_is_none_is_refused_and_verifies_nothing(ledger_url, tmp_path, text):
    (tmp_path / "keyring.json").write_bytes(text.encode(errors="surrogateescape"))
    ledger = Ledger(ledger_url, keyring=tmp_path / "keyring.json")
    with pytest.raises(KeyRefused, match="keyring"):
        ledger.verify()
    ledger.close()


def test_a_key_twice_in_the_keyring_is_refused(tmp_path, keys):
    twice = ring(keys).keys[0]
    for other in (twice, PublicKey("twin", twice.owner, twice.public), PublicKey(twice.name, "x", keys[1].public)):
        write_keyring(tmp_path / "keyring.json", Keyring((twice, other)))
        with pytest.raises(KeyRefused, match="share"):
            read_keyring(tmp_path / "keyring.json")


@pytest.fixture
def format_1(ledger_url, tamperer):
    """The URL of a ledger as format 1 left it."""
    ledger = Ledger(ledger_url)
    ledger.append(NewEntry("daemon", "judged", "bike"))
    ledger.change_deployment("bike", 0, {"champion": "v1"}, NewEntry("daemon", "released"))
    ledger.close()
    tamperer.do("DROP TABLE retrain_signature", "UPDATE retrain_head SET schema_version = 1")
    return ledger_url


@pytest.mark.fault("I46")
def test_a_ledger_of_format_1_is_taken_over_with_its_entries_as_they_were(format_1, tamperer, keys, tmp_path):
    before = tamperer.row(1)
    ledger = Ledger(format_1, signing_key=keys[0].file, keyring=tmp_path / "keyring.json")
    assert ledger.verify().verdict is Verdict.PASS
    ledger.append(NewEntry("daemon", "monitored", "bike"))
    assert tamperer.row(1) == before
    assert (ledger.verify().verdict, ledger.verify().signed) == (Verdict.PASS, 1)
    ledger.close()


def append_many(url, count, barrier):
    ledger = Ledger(url)
    barrier.wait()
    for _ in range(count):
        ledger.append(NewEntry("daemon", "monitored"))
    ledger.close()


@pytest.mark.fault("I46")
def test_many_processes_may_find_a_ledger_of_format_1_at_once(format_1, fork):
    barrier = multiprocessing.get_context("fork").Barrier(4)
    children = [fork(append_many, format_1, 5, barrier) for _ in range(4)]
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    ledger = Ledger(format_1)
    found = ledger.verify()
    assert (found.verdict, found.entries) == (Verdict.PASS, 22)
    ledger.close()
