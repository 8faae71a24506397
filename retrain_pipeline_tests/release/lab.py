"""A laboratory for releases: the real functions over real stores, with what takes minutes to measure set by the test.

Two versions are fitted once; all others are registrations of the same bytes under other names. A judgement is made and
entered by the judge's own functions from results that the test chooses; so is a look at a rollout.
"""

import atexit
import functools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import retrain_pipeline.gates.judge as judging
import retrain_pipeline.release.rollout as rollout
import retrain_pipeline.release.watch as watching
from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.gates.evidence import GateResult, read_evidence
from retrain_pipeline.gates.required import required_gates
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.learning.manifest import VersionManifest
from retrain_pipeline.learning.versions import read_manifest, register
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.keyring import Keyring, write_keyring
from retrain_pipeline.ledger.signing import PublicKey, SigningKey, new_private_key
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.release.approvals import Subject, grant
from retrain_pipeline.release.look import GUARDRAIL
from retrain_pipeline.release.permits import override_subject, version_subject
from retrain_pipeline.release.release import release
from retrain_pipeline.release.rollout import RolloutReport, roll
from retrain_pipeline.spec.declaration import Declaration, read_declaration
from retrain_pipeline.stores import Stores, open_stores
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import START, World, deliver, toys, write_folder

STORY, RACE, ASKING = "story", "race", "asking"
_STAGES = "shadow_periods: 1, canary_shares: [0.25], watch_periods: 0, holdback_share: 0.1"
ROLLOUTS = {
    STORY: f"{_STAGES}, max_periods: 3, holdback_periods: 3, drill_periods: 3, approval: required",
    RACE: f"{_STAGES}, max_periods: 9999",
    ASKING: f"{_STAGES}, max_periods: 9999, approval: required",
}
"""Declarations of `rollout` by name."""
ROLES = """\
roles:
  reviewer: [approve, review_override]
  lead: [override, rollback]
people:
  alice: {roles: [reviewer]}
  bob: {roles: [reviewer]}
  carol: {roles: [lead]}
  dave: {roles: []}
"""
PEOPLE = ("alice", "bob", "carol", "dave")
FIRST_WEEK = 6
MODEL = "toy"


@dataclass(frozen=True)
class Template:
    """What every laboratory shares: declarations, features, bytes, two manifests and people's keys."""

    folder: Path
    manifests: tuple[VersionManifest, ...]
    keys: dict[str, SigningKey]

    @property
    def policy(self) -> Path:
        """The folder of roles and keyring."""
        return self.folder / "policy"

    def lab(self, ledger_url: str, rollout: str = STORY) -> "Lab":
        """Return a laboratory at a ledger."""
        home = self.folder / "home"
        ledger = Ledger(ledger_url, keyring=self.policy / "keyring.json")
        stores = Stores(Lake(str(home / "lake")), Artifacts(home / "artifacts"), ledger)
        return Lab(stores, read_declaration(self.folder / rollout / MODEL), self)


@functools.cache
def template() -> Template:
    """Make it, once a process."""
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, words in ROLLOUTS.items():
        write_folder(folder / name / MODEL, more=f"  rollout: {{{words}}}")
    world = World(open_stores(folder / "home"), read_declaration(folder / STORY / MODEL), folder / "home")
    deliver(world.stores, world.declaration, toys(FIRST_WEEK + 1, "regression"))
    built = [world.build(week) for week in (FIRST_WEEK, FIRST_WEEK + 1)]
    manifests = tuple(read_manifest(world.stores, MODEL, version) for version in built)
    world.stores.close()
    (folder / "policy").mkdir()
    (folder / "policy" / "roles.yaml").write_text(ROLES)
    keys = {name: new_private_key(folder / "keys" / f"{name}.pem") for name in PEOPLE}
    public = tuple(PublicKey(name, f"person:{name}", key.public) for name, key in keys.items())
    write_keyring(folder / "policy" / "keyring.json", Keyring(public))
    return Template(folder, manifests, keys)


@dataclass
class Lab:
    """Stores and a declaration, and what to do with them."""

    stores: Stores
    declaration: Declaration
    template: Template

    @property
    def ledger(self) -> Ledger:
        return self.stores.ledger

    def tell_week(self, week: int) -> None:
        """Enter that data up to the start of a week has been monitored."""
        payload = {"as_of": (START + timedelta(weeks=week)).isoformat()}
        self.ledger.append(NewEntry("lab", "monitored", MODEL, str(week), payload, key=f"monitored:{week}"))

    def register(self, version: str, week: int, actor: str = "lab") -> None:
        """Put a version on record whose data ended at the start of a week."""
        base = self.template.manifests[len(version) % 2]
        as_of = (START + timedelta(weeks=week)).isoformat()
        changed = {"version": version, "as_of": as_of, "run_id": f"run-{version}"}
        register(self.stores, base.model_copy(update=changed), actor=actor)

    def judge(self, version: str, verdict: str) -> str:
        """Judge a version with the result that is asked for: PASS, FAIL, or OPEN (quality cannot tell)."""
        spec = self.declaration.spec
        deployed = self.ledger.deployment(MODEL)
        manifest = read_manifest(self.stores, MODEL, version)
        digest = str(self.ledger.latest(MODEL, "candidate_registered", version).payload["manifest"])
        mode = "first" if deployed is None else "non_inferiority"
        terms = judging._terms(self.stores, self.declaration, manifest, digest, deployed, mode)
        quality = {"PASS": Verdict.PASS, "FAIL": Verdict.FAIL, "OPEN": Verdict.INCONCLUSIVE}[verdict]
        results = tuple(
            GateResult(gate=gate, verdict=quality if gate == "quality" else Verdict.PASS, words="set by the test")
            for gate in required_gates(spec.gates)
        )
        evidence = judging._evidence(terms, manifest.frozen, judging.Looked(results))
        return judging._record(self.stores, evidence, f"run-{version}", "lab").digest

    def release(self, version: str, digest: str):
        """Release."""
        run = f"run-{version}"
        return release(self.stores, self.declaration, version, evidence_digest=digest, run_id=run, actor="lab")

    def subject(self, kind: str, version: str, digest: str) -> Subject:
        """Return what a statement must be bound to."""
        evidence = read_evidence(self.stores.artifacts, digest)
        if kind == "override":
            return override_subject(self.declaration, evidence, digest)
        manifest = read_manifest(self.stores, MODEL, version)
        return version_subject(self.stores, self.declaration, evidence, digest, manifest)

    def say(self, who: str, kind: str, version: str, digest: str, hours: float):
        """Let a person approve or override."""
        return grant(
            self.ledger, self.subject(kind, version, digest), actor="person:login", key=self.template.keys[who],
            because="looked at the slices and the card", expires_hours=hours,
        )  # fmt: skip

    def look(self, week: int, found: str) -> RolloutReport:
        """Look at the rollout at the end of a week in which this was found."""
        with found_to_be(found):
            return roll(self.stores, self.declaration, f"{START + timedelta(weeks=week):%Y-%m-%d}", actor="lab")

    def week_of(self, text: str) -> int:
        """Return the number of the week that begins at a moment."""
        return (datetime.fromisoformat(text) - START) // timedelta(weeks=1)


FOUND = ("good", "worse", "unsure", "early", "split", "broken", "mute")
"""What a look may find: no worse; worse; cannot tell; no label yet; the split is off; a guardrail broke; no answers."""


@contextmanager
def found_to_be(found: str) -> Iterator[None]:
    """Let the measurements of a look give this; what is made of them is not touched."""

    def result(gate: str, verdict: str = "PASS", **more: object) -> GateResult:
        return GateResult(gate=gate, verdict=Verdict(verdict), words=found, **more)

    loss = {"worse": "FAIL", "unsure": "INCONCLUSIVE", "early": "INCONCLUSIVE"}.get(found, "PASS")
    measured = {
        "serves": result("serves", "FAIL" if found == "mute" else "PASS"),
        "compared_loss": result("online_loss", loss, n=0 if found == "early" else 100),
        "label_free": result("label_free"),
        "split_results": [result("sample_ratio", "FAIL" if found == "split" else "PASS"), result("exposure")],
        "guardrail_results": [result(f"{GUARDRAIL}errors", "FAIL" if found == "broken" else "PASS")],
    }
    with pytest.MonkeyPatch.context() as patch:
        for module in (rollout, watching):
            for name in measured.keys() & vars(module).keys():
                patch.setattr(module, name, lambda *_, value=measured[name]: value)
        yield
