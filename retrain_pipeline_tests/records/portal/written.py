"""Models written straight into real stores, of any number of versions: manifests, evidence, releases and records.

Documents go through the models and writers of the project; only the fitting and judging that would have made their
numbers is left out.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.gates.budget import Account
from retrain_pipeline.gates.evidence import EvaluationRows, Evidence, GateResult, ValidatedLoss, store_evidence
from retrain_pipeline.gates.required import GATES
from retrain_pipeline.learning.environment import CodeRevision, Environment
from retrain_pipeline.learning.manifest import Columns, Probe, TriggerRef, Validation, VersionManifest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.records.record import Record, enter
from retrain_pipeline.release.state import Deployment
from retrain_pipeline.stores import Stores
from retrain_pipeline.verdicts import Verdict

START = datetime(2024, 1, 1, tzinfo=UTC)
CODE = CodeRevision(commit="1" * 40, dirty=False, diff_digest=None)
ENVIRONMENT = Environment(
    lock_digest="2" * 64, python="3.11", platform="linux", cpu="a", cores=2, threads=1, packages={"scikit-learn": "1.9"}
)


class Decided(Record):
    """A decision as the register of decisions enters it: its front matter, and the file by digest."""

    KIND: ClassVar[str] = "decision"

    file: str
    title: str
    front: dict[str, Any]
    text: str


class Tried(Record):
    """What portals show of an experiment."""

    KIND: ClassVar[str] = "experiment"
    ONCE: ClassVar[bool] = True

    run_id: str
    why_failed: str | None
    lesson: str
    version: str | None
    links: dict[str, str]


@dataclass
class Written:
    """A model in the making."""

    stores: Stores
    name: str
    statement: str = "How many bikes are asked for in an hour."
    metric: str = "mae"
    words: str = "as it should be"
    """Of every gate, and of every reason."""
    epoch: int = 0
    made: int = 0
    champion: str | None = None
    champion_manifest: str | None = None

    def monitor(self, week: int, loss: float | None, verdict: str = "PASS") -> None:
        """Enter a monitored period."""
        as_of = START + timedelta(weeks=week + 1)
        self.enter(
            "monitored",
            f"{START + timedelta(weeks=week):%Y-%m-%d}",
            period=f"{START + timedelta(weeks=week):%Y-%m-%d}",
            as_of=as_of.isoformat(),
            verdict=verdict,
            performance={"mean": loss},
            latency_ms_p95=1.5 + week % 3,
            actor="monitoring",
        )

    def enter(
        self, action: str, subject: str | None, *, actor: str = "test", run_id: str | None = None, **payload: Any
    ):
        """Add an entry about the model."""
        return self.stores.ledger.append(
            NewEntry(actor=actor, action=action, model=self.name, subject=subject, payload=payload, run_id=run_id)
        )

    def declaration(self) -> dict[str, Any]:
        """Return what a declaration holds, as far as pages show it."""
        return {
            "owners": ["ada@example.org"],
            "problem": {
                "statement": self.statement,
                "business_metric": {"name": "lost", "direction": "down"},
                "success": {"metric": self.metric, "at_most": 5.0},
            },
            "data": {"source": {"kind": "parquet"}, "time": {"period": "week"}, "label": {"column": "y"}},
            "gates": {"alpha": 0.05, "margin": 0.01 + self.made // 5 / 100},
            "training": {"window_periods": 8 + self.made // 7, "candidates": {"tree": {"max_depth": 3}}},
            "rollout": {"shadow_periods": 1, "canary_shares": [0.1], "approval": "required"},
        }

    def version(
        self, *, verdict: str = "PASS", release: bool = True, features: tuple[str, ...] = ("temp", "hour")
    ) -> str:
        """Register, judge and, where it passed, release a version; return it."""
        as_of = START + timedelta(weeks=8 + self.made)
        name = f"{as_of:%Y%m%d}-{digest_of([self.name, self.made])[:8]}"
        run = f"run-{self.name}-{self.made:05d}"
        self.enter(
            "retrain_started", None, run_id=run, actor="sensor", as_of=as_of.isoformat(), kind="policy", attempt=1,
            reasons=[self.words, f"monitored as of {as_of:%Y-%m-%d}"],
        )  # fmt: skip
        manifest = self._manifest(name, run, as_of, features)
        self.enter("candidate_registered", name, run_id=run, manifest=manifest, candidate="tree", parent=self.champion)
        evidence = self._evidence(name, manifest, as_of, verdict)
        gates = {gate: ("PASS" if verdict == "PASS" or gate != "quality" else verdict) for gate in GATES}
        self.enter("judged", name, run_id=run, evidence=evidence, verdict=verdict, gates=gates)
        if verdict == "PASS":
            self.release(name, manifest, evidence, as_of, run)
        else:
            self.enter("rejected", name, run_id=run, words=f"quality {verdict}: {self.words}", verdict=verdict)
        self.made += 1
        return name

    def release(self, name: str, manifest: str, evidence: str, as_of: datetime, run: str) -> None:
        """Make a version champion."""
        deployment = Deployment(
            model=self.name, champion=name, previous=self.champion, manifest=manifest,
            previous_manifest=self.champion_manifest, evidence=evidence, feature_code="3" * 64, spec="4" * 64,
            effective_as_of=as_of.isoformat(), released_at=as_of.isoformat(),
        )  # fmt: skip
        payload = {"version": name, "previous": self.champion, "mode": "superiority", "as_of": as_of.isoformat()}
        new = NewEntry(actor="test", action="released", model=self.name, subject=name, payload=payload, run_id=run)
        self.epoch = self.stores.ledger.change_deployment(self.name, self.epoch, deployment.to_state(), new).epoch or 0
        self.champion, self.champion_manifest = name, manifest

    def roll_back(self, because: str) -> None:
        """Go back to the champion before."""
        row = self.stores.ledger.deployment(self.name)
        assert row is not None
        now = Deployment.from_state(row.state)
        before = now.model_copy(
            update={
                "champion": now.previous,
                "manifest": now.previous_manifest,
                "previous": None,
                "previous_manifest": None,
            }
        )
        payload = {"version": now.previous, "from": now.champion, "because": because, "as_of": now.effective_as_of}
        new = NewEntry(actor="person:ada", action="rolled_back", model=self.name, subject=now.previous, payload=payload)
        self.epoch = self.stores.ledger.change_deployment(self.name, self.epoch, before.to_state(), new).epoch or 0
        self.champion = now.previous

    def fail(self, words: str) -> None:
        """Enter a retrain that died before it made a version."""
        run = f"run-{self.name}-died-{self.made}"
        as_of = (START + timedelta(weeks=8 + self.made)).isoformat()
        self.enter("retrain_started", None, run_id=run, as_of=as_of, kind="scheduled", attempt=1, reasons=[words])
        self.enter("retrain_failed", None, run_id=run, reason=words)

    def decide(self, number: int, title: str, text: str, **front: Any) -> str:
        """Enter a decision; return its id."""
        name = f"{self.name}-{number:04d}"
        file = f"---\nid: {name}\n---\n# {title}\n\n{text}\n"
        said = {
            "id": name,
            "status": "accepted",
            "date": f"2024-0{number}-01",
            "subject": {"kind": "architecture", "covers": []},
            "problem_domain": "mobility",
            "data_sources": ["rentals"],
            "model_type": "trees",
            "evaluation_criteria": ["mae"],
            "review_by": "2025-01-01",
            "supersedes": None,
            "superseded_by": None,
            **front,
        }
        digest = self.stores.artifacts.put(file.encode("utf-8", "surrogatepass"))
        record = Decided.make(
            model=self.name, subject=name, file=f"{number:04d}.md", title=title, front=said, text=digest
        )
        enter(self.stores, record, actor="test")
        return name

    def _manifest(self, name: str, run: str, as_of: datetime, features: tuple[str, ...]) -> str:
        manifest = VersionManifest(
            model=self.name,
            version=name,
            parent=self.champion,
            as_of=as_of.isoformat(),
            task="regression",
            training_set={
                "digest": digest_of([name, "rows"]),
                "train_rows": 3000 + self.made,
                "train_from": (as_of - timedelta(weeks=8)).isoformat(),
                "train_until": as_of.isoformat(),
                "periods": ["2024-01-01"],
            },
            feature_code_digest="3" * 64,
            feature_agreement="PASS",
            spec_digest=self.stores.artifacts.put_json(self.declaration()),
            code=CODE,
            environment=ENVIRONMENT,
            seed=7,
            candidate="tree",
            estimator="sklearn.tree.DecisionTreeRegressor",
            params={"max_depth": 3 + self.made // 3},
            columns=Columns(numeric=features, categorical=("weather",), dropped={}),
            validation=Validation(metric="mae", loss=1.0, split="time", rows=600),
            leaderboard="5" * 64,
            search_complete=True,
            model_artifact=digest_of([name, "model"]),
            size_bytes=1000,
            prediction_fingerprint=digest_of([name, "answers"]),
            probe=Probe(artifact="6" * 64, rows=50),
            baselines={},
            trigger=TriggerRef(kind="policy", id=f"policy-{self.made}"),
            run_id=run,
            created_at=as_of,
        )
        return self.stores.artifacts.put_json(manifest.to_json())

    def _evidence(self, name: str, manifest: str, as_of: datetime, verdict: str) -> str:
        loss = 2.0 - min(self.made, 50) / 100 + (self.made * 7919 % 13) / 100
        results = tuple(
            GateResult(
                gate=gate,
                verdict=Verdict.PASS if gate != "quality" else Verdict(verdict),
                words=self.words,
                statistic=(-0.1 if verdict == "PASS" else 0.1) if gate == "quality" else 0.0,
                threshold=0.0,
                n=700,
                interval=(-0.2, -0.1 if verdict == "PASS" else 0.1) if gate == "quality" else None,
            )
            for gate in GATES
        )
        evidence = Evidence(
            schema="evidence/2",
            model=self.name,
            version=name,
            manifest=manifest,
            champion=self.champion,
            champion_manifest=self.champion_manifest,
            epoch=self.epoch,
            as_of=as_of.isoformat(),
            mode="superiority" if self.champion else "first",
            policy="7" * 64,
            required=GATES,
            budget=Account(
                rule="LORD++",
                question=digest_of(name),
                alpha=0.05,
                judgement=self.made + 1,
                passed=0,
                spent_before=0.0,
                spent=0.01,
                reused=(),
            ),
            decisions={},
            training_set=digest_of([name, "rows"]),
            evaluation=EvaluationRows.model_validate(
                {"rows": 700, "digest": "8" * 64, "from": as_of.isoformat(), "until": as_of.isoformat()}
            ),
            results=results,
            verdict=Verdict(verdict),
            turning=(),
            validated_loss=ValidatedLoss(metric="mae", mean=loss, se=0.05, value=loss, n=700),
            code=CODE,
        )
        return store_evidence(self.stores.artifacts, evidence)
