"""A world in which releases need a person: keys, roles, a judged candidate, and words signed with any content."""

import atexit
import functools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.keyring import Keyring, write_keyring
from retrain_pipeline.ledger.signing import PublicKey, SigningKey, new_private_key
from retrain_pipeline.release.approvals import Statement, Subject, enter, grant
from retrain_pipeline.release.permits import accept_policy, override_subject, version_subject
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline_tests.gates.world import World, template, versions

ASKS = "  rollout: {approval: required}\n  gates: {margin: 0.5, alpha: 0.4,"
"""In place of the template's gates: approvals asked for, and bounds so wide that every version passes at every look."""

ROLES = """\
roles:
  reviewer: [approve, review_override]
  lead: [override, change_policy, manage_keys]
people:
  alice: {roles: [reviewer], aliases: [alice@example.org]}
  bob: {roles: [reviewer], aliases: [bob@example.org]}
  carol: {roles: [lead, reviewer]}
  dave: {roles: []}
"""
PEOPLE = ("alice", "bob", "carol", "dave")


@functools.cache
def _judged() -> World:
    """The template's world with approval required and its second version judged by that policy; made once."""
    folder = Path(tempfile.mkdtemp(prefix="asking-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    world = template().copy(folder)
    file = world.declaration.folder / "defs.yaml"
    file.write_text(file.read_text().replace("  gates: {margin: 0.08,", ASKS))
    world = world.again()
    assert world.judge(versions(world)[1])[0].verdict == "PASS"
    return world


@dataclass
class Asking:
    """The world, the policy folder, and everybody's key."""

    world: World
    policy: Path
    keys: dict[str, SigningKey]

    @property
    def ledger(self):
        return self.world.stores.ledger

    @property
    def version(self) -> str:
        """The version that waits for a person."""
        return versions(self.world)[1]

    def subject(self, version: str | None = None) -> Subject:
        stores, version = self.world.stores, version or self.version
        digest = newest_evidence(stores, "toy", version)
        evidence, manifest = read_evidence(stores.artifacts, digest), read_manifest(stores, "toy", version)
        return version_subject(stores, self.world.declaration, evidence, digest, manifest)

    def override_subject(self) -> Subject:
        digest = newest_evidence(self.world.stores, "toy", self.version)
        evidence = read_evidence(self.world.stores.artifacts, digest)
        return override_subject(self.world.declaration, evidence, digest)

    def approve(self, who: str = "alice", subject: Subject | None = None, hours: float = 1):
        """Grant with somebody's key."""
        return grant(
            self.ledger, subject or self.subject(), actor="person:login", key=self.keys[who],
            because="looked at the slices and the card", expires_hours=hours,
        )  # fmt: skip

    def say(self, who: str, **changes: object):
        """Enter a statement of somebody's, really signed, in which anything may be otherwise than it should be."""
        entry = self.approve(who)
        self.replay(entry)  # the honest word must not be what lets the version through
        said = Statement.model_validate(entry.payload["statement"], strict=False)
        fresh = {"nonce": f"{entry.seq:032x}", **changes}
        return enter(self.ledger, said.model_copy(update=fresh), self.keys[who])

    def replay(self, entry):
        """Enter a statement a second time: it holds for nothing any more."""
        return self.ledger.append(NewEntry("person:eve", entry.action, "toy", entry.subject, self.words(entry)))

    @staticmethod
    def words(entry):
        """Return a payload as its writer gave it."""
        return {name: value for name, value in entry.payload.items() if name != "signed_by"}

    def release(self, version: str | None = None, run_id: str = "run-approved"):
        version = version or self.version
        return self.world.release(version, newest_evidence(self.world.stores, "toy", version), run_id)

    def roles(self, old: str, new: str) -> None:
        """Edit the roles."""
        file = self.policy / "roles.yaml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))


def make_asking(tmp_path: Path, accepted: bool = True, ledger_url: str | None = None) -> Asking:
    """Return a copy of the world; RETRAIN_POLICY must be its `policy` folder already.

    The template's first version was released without `approval: required`, which is another policy: carol accepts it.
    """
    policy, keys = make_people(tmp_path)
    asking = Asking(_judged().copy(tmp_path, ledger_url), policy, keys)
    if accepted:
        accept_policy(asking.world.stores, asking.world.declaration, "approvals are needed now", "person:carol")
    return asking


def make_people(tmp_path: Path) -> tuple[Path, dict[str, SigningKey]]:
    """Write roles and keyring into the folder `policy`; return it, and everybody's key."""
    policy = tmp_path / "policy"
    policy.mkdir(exist_ok=True)
    (policy / "roles.yaml").write_text(ROLES)
    keys = {name: new_private_key(tmp_path / "keys" / f"{name}.pem") for name in PEOPLE}
    write_keyring(
        policy / "keyring.json",
        Keyring(tuple(PublicKey(name, f"person:{name}", key.public) for name, key in keys.items())),
    )
    return policy, keys


@functools.cache
def _planned() -> Asking:
    """A world in which a person let the second version through and the third was judged against it; made once."""
    folder = Path(tempfile.mkdtemp(prefix="planned-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "policy").mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RETRAIN_POLICY", str(folder / "policy"))
        asking = make_asking(folder)
        asking.approve("alice")
        assert asking.release().released
        assert asking.world.judge(versions(asking.world)[2], run_id="run-third")[0].verdict == "PASS"
    return asking


def make_planned(tmp_path: Path) -> Asking:
    """Return a copy of that world; RETRAIN_POLICY must be its `policy` folder already."""
    made = _planned()
    shutil.copytree(made.policy, tmp_path / "policy", dirs_exist_ok=True)
    shutil.copytree(made.keys["alice"].file.parent, tmp_path / "keys")
    keys = {name: SigningKey(tmp_path / "keys" / f"{name}.pem") for name in PEOPLE}
    return Asking(made.world.copy(tmp_path), tmp_path / "policy", keys)
