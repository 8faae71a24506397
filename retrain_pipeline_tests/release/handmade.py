"""Made by hand, without a fit or a lake: a version on trial beside a champion, and people who may speak."""

import pytest

import retrain_pipeline.gates.judge as judging
from retrain_pipeline.canonical import sha256
from retrain_pipeline.gates.evidence import GateResult, ValidatedLoss, read_evidence
from retrain_pipeline.gates.required import required_gates
from retrain_pipeline.learning.team_code import code_digest
from retrain_pipeline.learning.versions import register
from retrain_pipeline.ledger.entries import DEPLOYMENT, NewEntry
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.proof import checked_evidence
from retrain_pipeline.release.stages import apply
from retrain_pipeline.release.state import Challenger, Deployment
from retrain_pipeline.stores import open_stores
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.handmade import AS_OF, evidence, manifest
from retrain_pipeline_tests.gates.world import write_folder
from retrain_pipeline_tests.governance.asking import make_people
from retrain_pipeline_tests.release.test_look import look

ROLLOUT = "shadow_periods: 1, canary_shares: [0.1, 0.5], canary_periods: 2, holdback_share: 0.05, holdback_periods: 4"
STAGED, PLAIN = "shadow_periods: 1, canary_shares: [0.1]", "approval: none"
LOSS = ValidatedLoss(metric="mae", mean=0.5, se=0.1, value=0.5, n=300)


class Trial:
    """A version v2 that was judged against the champion v1 of epoch 1, in stores of its own."""

    def __init__(self, folder, rollout=ROLLOUT):
        self.declaration = write_folder(folder / "toy", more=f"  rollout: {{{rollout}}}")
        self.spec = self.declaration.spec
        self.stores = self.opened(folder / "home")
        self.ledger = self.stores.ledger
        self.manifest = register(self.stores, self.made("v2"), actor="test")
        registered = str(self.ledger.latest("toy", "candidate_registered", "v2").payload["manifest"])
        self.evidence = evidence(manifest=registered, validated_loss=LOSS)
        self.digest = self.stores.artifacts.put_json(self.evidence.document())
        self.deploy(self.champion)

    champion = Deployment(
        model="toy", champion="v1", previous="v0", manifest="b" * 64, previous_manifest="9" * 64, evidence="1" * 64,
        feature_code="2" * 64, spec="3" * 64, effective_as_of="2024-01-01T00:00:00+00:00",
        released_at="2024-01-02T00:00:00+00:00",
    )  # fmt: skip

    @staticmethod
    def opened(home):
        return open_stores(home)

    def made(self, version):
        """Return the manifest of a version of this folder's code."""
        return manifest(self.stores.artifacts, version, feature_code_digest=code_digest(self.declaration.folder))

    def deploy(self, state):
        row = self.ledger.deployment("toy")
        entry = NewEntry("test", "released", "toy", state.champion, {"evidence": self.digest})
        self.ledger.change_deployment("toy", row.epoch if row else 0, state.to_state(), entry)
        return state

    def challenger(self, at=("canary", 0.5), **changed):
        given = {
            "version": "v2", "manifest": self.evidence.manifest, "evidence": self.digest,
            "feature_code": self.manifest.feature_code_digest, "spec": self.manifest.spec_digest,
            "effective_as_of": AS_OF, "stage": at[0], "share": at[1],
            "salt": sha256(b"rollout:toy:v2:1")[:32], "stage_from": AS_OF,
        }  # fmt: skip
        return Challenger(**{**given, **changed})

    def on(self, at, **changed):
        """Put v2 on trial at a stage, as epoch 2."""
        state = self.champion.model_copy(update={"challenger": self.challenger(at, **changed)})
        entry = NewEntry("test", "staged", "toy", "v2", {"evidence": self.digest}, run_id="run-7")
        self.ledger.change_deployment("toy", 1, state.to_state(), entry)
        return state

    def look(self, at, **found):
        told = look(at, rollout=self.spec.rollout, **found)
        return told.model_copy(update={"evidence": self.digest, "epoch": 2})

    def apply(self, before, told):
        digest = self.stores.artifacts.put_json(told.document())
        return digest, apply(self.stores, self.declaration, digest, before, "run-8", "somebody")

    def newest(self):
        """Return the newest entry, without what the ledger adds of the deployment."""
        [entry] = self.ledger.entries(model="toy", newest_first=True, limit=1)
        payload = {name: value for name, value in entry.payload.items() if name != DEPLOYMENT}
        return entry, payload

    def entered(self, action, digest, payload, state=None):
        """Check that the newest entry is this one, and that the deployment is the state that it made."""
        entry, found = self.newest()
        assert (entry.actor, entry.action, entry.model, entry.subject) == ("somebody", action, "toy", "v2")
        assert (entry.run_id, entry.key) == ("run-8", f"{action}:toy:2:{digest}")
        assert found == payload
        row = self.ledger.deployment("toy")
        assert (row.epoch, entry.epoch) == ((2, 2) if state is None else (3, 3))
        assert state is None or row.state == state.to_state()


class People:
    """A ledger of their own, their roles and their keys: alice and bob review, carol leads, dave has no role."""

    def __init__(self, folder):
        self.policy, self.keys = make_people(folder)
        self.ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}", keyring=self.policy / "keyring.json")
        self.first = self.ledger.append(NewEntry("test", "begun"))

    def roles(self, old, new):
        """Edit the roles."""
        file = self.policy / "roles.yaml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def newest(self):
        """Return the newest entry."""
        return self.ledger.entries(newest_first=True, limit=1)[0]

    def refused(self, who, action, subject, words, roles):
        """Check that the newest entry says that somebody tried what they may not."""
        entry = self.newest()
        assert (entry.actor, entry.action, entry.model, entry.subject) == (who, "refused", "toy", subject)
        assert entry.payload == {"attempted": action, "words": words, "roles": roles}


class Proof(Trial):
    """A version v2 that a judge put on record, with verdicts that the test chooses."""

    def judge(self, *, without=(), mode="superiority", loss=None, **verdicts):
        """Enter a judgement by the judge's own functions; return the digest of its evidence."""
        row = self.ledger.deployment("toy")
        terms = judging._terms(self.stores, self.declaration, self.manifest, self.evidence.manifest, row, mode)
        told = tuple(
            GateResult(gate=gate, verdict=Verdict(verdicts.get(gate, "PASS")), words=f"{gate} as found")
            for gate in required_gates(self.spec.gates)
            if gate not in without
        )
        made = judging._evidence(terms, self.manifest.frozen, judging.Looked(told, loss))
        return judging._record(self.stores, made, "run-8", "judge").digest

    def stored(self, digest, **changed):
        """Store evidence of a digest with some fields changed; return the digest of that."""
        made = read_evidence(self.stores.artifacts, digest).model_copy(update=changed)
        return self.stores.artifacts.put_json(made.document())

    def enter(self, digest, **changed):
        """Enter evidence of a digest as its judge would, with some fields of the entry's payload changed."""
        entry = judging.judged_entry(read_evidence(self.stores.artifacts, digest), digest, None, "judge")
        payload = {**entry.payload, **changed}
        self.ledger.append(NewEntry("judge", "judged", "toy", "v2", payload, epoch=entry.epoch, key=f"again:{digest}"))

    def refusal(self, digest, version="v2"):
        with pytest.raises(ReleaseRefused) as refused:
            checked_evidence(self.stores, self.declaration, version, digest)
        return str(refused.value)
