"""`retrain ledger demo-tamper` attacks copies for real, and every attack is caught by something."""

import pytest

from retrain_pipeline.ledger.attacks import ATTACKS, attack_copies
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.signing import new_private_key
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.verdicts import Verdict

pytestmark = [pytest.mark.fault("G7", "G8", "S13"), pytest.mark.requirement("D39", "B34", "A37")]

CAUGHT_BY = {
    "edit": "chain", "edit, digest fits": "signatures", "delete": "chain", "reorder": "chain",
    "duplicate": "signatures", "truncate": "anchor", "fork": "signatures", "rewrite": "anchor",
    "back-date": "signatures", "strip": "signatures", "downgrade": "signatures", "unknown key": "signatures",
    "deployment": "chain",
}  # fmt: skip


def test_every_attack_on_a_copy_is_caught_and_the_ledger_is_only_read(ledger, tmp_path):
    for version in (1, 2):
        ledger.change_deployment("bike", version - 1, {"champion": f"v{version}"}, NewEntry("daemon", "released"))
    before = ledger.head()
    control, outcomes = attack_copies(ledger, tmp_path)
    assert (control.verdict, control.entries, control.signed) == (Verdict.PASS, 6, 4)
    assert {one.attack.name: one.caught_by for one in outcomes} == CAUGHT_BY
    assert all(one.words for one in outcomes)
    assert ledger.head() == before
    assert ledger.verify().verdict is Verdict.PASS


@pytest.mark.parametrize("entries", [0, 3])
def test_an_empty_and_a_signed_ledger_can_be_copied_too(ledger_url, tmp_path, entries):
    from retrain_pipeline.ledger.keyring import Keyring, write_keyring
    from retrain_pipeline.ledger.signing import PublicKey

    key = new_private_key(tmp_path / "daemon.pem")
    write_keyring(tmp_path / "ring.json", Keyring((PublicKey("daemon", "daemon", key.public, 1),)))
    ledger = Ledger(ledger_url, signing_key=key.file, keyring=tmp_path / "ring.json")
    for _ in range(entries):
        ledger.append(NewEntry("daemon", "judged"))
    (tmp_path / "scratch").mkdir()
    control, outcomes = attack_copies(ledger, tmp_path / "scratch")
    assert (control.verdict, control.signed) == (Verdict.PASS, entries + 4)
    assert len([one for one in outcomes if one.caught_by]) == len(ATTACKS)
    ledger.close()
