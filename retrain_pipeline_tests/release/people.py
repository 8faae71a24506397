"""People who may let a version through: their keys and roles, and what each says, signed, in stores in memory."""

import functools
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.keyring import Keyring, write_keyring
from retrain_pipeline.ledger.signing import PublicKey, new_private_key
from retrain_pipeline.release import permits
from retrain_pipeline.release.approvals import grant
from retrain_pipeline.release.change_plan import FILE, read_plan
from retrain_pipeline.release.errors import ApprovalRefused
from retrain_pipeline_tests.governance.asking import PEOPLE, ROLES
from retrain_pipeline_tests.release.fitted import Learned

PLAN = """\
id: year-one
valid_from: 2020-01-01
valid_until: 2099-12-31
allowed: {triggers: [policy], candidates: [tree]}
cumulative_limits: {max_autopromotions: 2, max_total_delta: 0.6, max_days_without_human: 30}
"""
WHY = "prices are wrong and support is on fire"


@functools.cache
def keys():
    """Return everybody's key; their files are gone."""
    with TemporaryDirectory() as folder:
        made = {name: new_private_key(Path(folder) / f"{name}.pem") for name in (*PEOPLE, "eve")}
        assert all(key.public for key in made.values())
    return made


class Asking(Learned):
    """Releases need a person. `policy` is the folder that RETRAIN_POLICY names."""

    def __init__(self, folder, rollout="approval: required"):
        self.policy = folder / "policy"
        super().__init__(folder, rollout)

    def grant(self, who, subject, hours=1.0):
        """Enter a person's word on a subject, signed; return the entry."""
        because = "looked at the slices and the card"
        return grant(self.ledger, subject, actor="person:login", key=keys()[who], because=because, expires_hours=hours)

    def roles(self, old, new):
        """Edit the roles."""
        file = self.policy / "roles.yaml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))


def write_policy(folder):
    """Write the roles and the keyring of the people into a folder."""
    folder.mkdir()
    (folder / "roles.yaml").write_text(ROLES)
    known = tuple(PublicKey(name, f"person:{name}", keys()[name].public) for name in PEOPLE)
    write_keyring(folder / "keyring.json", Keyring(known))


class Shop(Asking):
    """The version v2 was judged by the policy that the champion was released by, and waits."""

    def __init__(self, folder, rollout="approval: required"):
        super().__init__(folder, rollout)
        self.digest = self.judge()
        self.evidence = read_evidence(self.stores.artifacts, self.digest)
        self.ledger.append(NewEntry("test", "released", "toy", "v1", {"evidence": self.digest}))

    def subject(self):
        return permits.version_subject(self.stores, self.declaration, self.evidence, self.digest, self.manifest)

    def overriding(self):
        return permits.override_subject(self.declaration, self.evidence, self.digest)

    def planned(self, text=PLAN, who="alice"):
        """Write a change plan and sign it."""
        (self.declaration.folder / FILE).write_text(text)
        return self.grant(who, permits.plan_subject(self.declaration, read_plan(self.declaration.folder)))

    def anchored(self, kind="release"):
        """Enter a release of the champion that a person let through."""
        entry = NewEntry("test", "released", "toy", "v1", {"evidence": self.digest, "permit": {"kind": kind}})
        epoch = self.ledger.deployment("toy").epoch
        return self.ledger.change_deployment("toy", epoch, self.champion.to_state(), entry)

    def find(self, **named):
        return permits.find_permit(
            self.stores, self.declaration, self.evidence, self.digest, self.manifest, **named
        )  # fmt: skip

    def refusal(self, of=None, **named):
        with pytest.raises(ApprovalRefused) as caught:
            (of or self.find)(**named)
        return str(caught.value)
