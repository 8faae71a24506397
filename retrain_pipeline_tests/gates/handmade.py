"""A version, its training set and its evidence, made by hand: what gates and releases read, without a fit or a lake."""

from datetime import UTC, datetime
from typing import Any

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.gates.budget import Account
from retrain_pipeline.gates.evidence import EvaluationRows, Evidence, GateResult
from retrain_pipeline.gates.required import GATES
from retrain_pipeline.lake.tables import Snapshot
from retrain_pipeline.learning.environment import CodeRevision, Environment
from retrain_pipeline.learning.manifest import Columns, Probe, TriggerRef, Validation, VersionManifest
from retrain_pipeline.learning.training_set import TrainingSet
from retrain_pipeline.verdicts import Verdict

AS_OF = "2024-02-19T00:00:00+00:00"
ROWS = {"from": "2024-02-05T00:00:00+00:00", "until": "2024-02-18T23:00:00+00:00"}
CODE = CodeRevision(commit="c" * 40, dirty=False, diff_digest=None)


def training_set(**changed: Any) -> TrainingSet:
    """Return a frozen training set of the toys."""
    snapshot = Snapshot("toy", "features", 1, "true", ("2024-01-01",), None, 900, "1" * 64)
    given = {
        "model": "toy", "task": "regression", "key": ("id",), "as_of": AS_OF, "features": snapshot, "labels": snapshot,
        "periods": ("2024-01-01",), "train_rows": 600, "evaluation_rows": 300,
        "train_from": "2024-01-01T00:00:00+00:00", "train_until": "2024-02-04T23:00:00+00:00",
        "evaluation_from": ROWS["from"], "evaluation_until": ROWS["until"], "row_digests_artifact": "2" * 64,
        "evaluation_row_digests_artifact": "3" * 64, "digest": "4" * 64,
    }  # fmt: skip
    return TrainingSet(**{**given, **changed})


def manifest(artifacts: Artifacts, version: str = "v2", **changed: Any) -> VersionManifest:
    """Return the manifest of a version whose bytes are stored; they are no model."""
    stored = {
        name: artifacts.put(f"{version} {name}".encode()) for name in ("model", "board", "probe", "rows", "judge")
    }
    frozen = training_set(row_digests_artifact=stored["rows"], evaluation_row_digests_artifact=stored["judge"])
    given = {
        "model": "toy", "version": version, "parent": "v1", "as_of": AS_OF, "task": "regression",
        "training_set": frozen.to_json(), "feature_code_digest": "5" * 64, "feature_agreement": "PASS",
        "spec_digest": artifacts.put_json({"data": {"key": ["id"]}, "signals": []}), "code": CODE,
        "environment": Environment(
            lock_digest="7" * 64, python="3.11", platform="linux", cpu="x86", cores=2, threads=1, packages={}
        ),
        "seed": 7, "candidate": "tree", "estimator": "sklearn.tree.DecisionTreeRegressor", "params": {"max_depth": 3},
        "columns": Columns(numeric=("a",), categorical=(), dropped={}),
        "validation": Validation(metric="mae", loss=1.0, split="time", rows=200), "leaderboard": stored["board"],
        "search_complete": True, "model_artifact": stored["model"], "size_bytes": 1000,
        "prediction_fingerprint": "8" * 64, "probe": Probe(artifact=stored["probe"], rows=50), "baselines": {},
        "trigger": TriggerRef(kind="policy", id="p-1"), "run_id": f"run-{version}",
        "created_at": datetime(2024, 2, 19, tzinfo=UTC),
    }  # fmt: skip
    return VersionManifest(**{**given, **changed})


def results(**verdicts: str) -> tuple[GateResult, ...]:
    """Return a result of each required gate, a PASS unless another verdict is given."""
    return tuple(
        GateResult(gate=gate, verdict=Verdict(verdicts.get(gate, "PASS")), words=f"{gate} as found") for gate in GATES
    )


def evidence(**changed: Any) -> Evidence:
    """Return evidence that lets `v2` take over from `v1` at epoch 1."""
    account = Account(
        rule="LORD++", question="q" * 64, alpha=0.05, judgement=2, passed=1, spent_before=0.01, spent=0.004, reused=()
    )
    given = {
        "schema": "evidence/2", "model": "toy", "version": "v2", "manifest": "a" * 64, "champion": "v1",
        "champion_manifest": "b" * 64, "epoch": 1, "as_of": AS_OF, "mode": "superiority", "policy": "c" * 64,
        "required": GATES, "budget": account, "decisions": {}, "training_set": "4" * 64,
        "evaluation": EvaluationRows(rows=300, digest="3" * 64, **ROWS), "results": results(),
        "verdict": Verdict.PASS, "turning": (), "validated_loss": None, "code": CODE,
    }  # fmt: skip
    return Evidence(**{**given, **changed})
