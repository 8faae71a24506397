"""`evaluation`: champion and candidate on the same frozen rows, each gate's verdict stored as evidence and shown."""

from collections.abc import Iterator

import dagster as dg

from retrain_pipeline.assets.common import asset_key, check_specs, metadata, model_asset, run_actor
from retrain_pipeline.assets.failures import closing
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.gates.required import required_gates
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.verdicts import Verdict

LOOKS_AT = {
    "contract": "Shapes, finite predictions and label kind, of candidate and champion on the same rows.",
    "disjoint": "Evaluation rows that neither candidate nor champion was trained on.",
    "quality": "Better, or not worse than the margin, by a paired block bootstrap.",
    "baseline": "Better than the dummy, not worse than the linear baseline of the same training set.",
    "success": "The declared success metric of the problem.",
    "slices": "No declared slice worse than its margin.",
    "labels": "The labels of the evaluation rows look like labels: right way round, usual rate.",
    "leakage": "No single feature gives the label away.",
    "calibration": "Probabilities mean what they say; residuals have no bias.",
    "latency": "Single-row prediction within the declared time.",
    "size": "The model's bytes within the declared size.",
    "fingerprint": "The stored bytes predict what the manifest says.",
    "robustness": "No input that is missing or noisy makes it much worse than the champion.",
    "groups": "The gap between declared groups did not grow.",
    "reproducible": "Fitted again from its manifest, it is the same model.",
    "seed_noise": "Other seeds are as good.",
    "documentation": "Every field that changed since the champion has a decision that says why.",
    "footprint": "Peak memory of a fresh process within the declared limit.",
    "guard": "Evidence on record that the update changes neither what is collected nor how users behave.",
    "escalation": "Where something calls for it, a second validator judges other rows, and agrees.",
    "self_test": "The quality gate fails a known-bad candidate and passes a known-good one, in this very run.",
}


def evaluation_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/evaluation`, one blocking check a gate."""
    spec = declaration.spec
    key = asset_key(spec.name, "evaluation")

    @model_asset(
        declaration,
        "evaluation",
        {"scikitlearn"},
        ("candidate",),
        "Gates on the candidate against the champion.",
        checks=check_specs(spec, "evaluation", {gate: LOOKS_AT[gate] for gate in required_gates(spec.gates)}, True),
    )
    def evaluation(
        context: dg.AssetExecutionContext, stores: StoresResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        from retrain_pipeline.gates.judge import judge
        from retrain_pipeline.records.settle import settle_move
        from retrain_pipeline.release.anchor import give_way
        from retrain_pipeline.release.release import reject
        from retrain_pipeline.release.stages import may_be_tried
        from retrain_pipeline.triggers.retrain import retrain_of, subject_of

        opened, gave = stores.open(), None
        actor = run_actor(context)
        with closing(opened.ledger, spec.name, context.run.run_id, key):
            retrain = retrain_of(opened.ledger, spec.name, context.run.run_id)
            version = subject_of(opened.ledger, spec.name, "candidate_built", context.run.run_id)
            evidence, digest = judge(
                opened, declaration, version, mode=retrain.mode, run_id=context.run.run_id, actor=actor
            )
            tried = may_be_tried(spec, evidence)
            if evidence.verdict is not Verdict.PASS and not tried:
                reject(opened, declaration, version, evidence_digest=digest, run_id=context.run.run_id, actor=actor)
                gave = give_way(opened, spec.name, version, evidence_digest=digest)
        if gave is not None and gave.moved:
            settle_move(opened, declaration, actor)
        yield dg.MaterializeResult(
            metadata=metadata(
                {
                    "version": version,
                    "champion": evidence.champion or "none",
                    "mode": evidence.mode,
                    "verdict": evidence.verdict.value,
                    "evaluation_rows": evidence.evaluation.rows,
                    "candidate_loss": evidence.validated_loss.value if evidence.validated_loss else None,
                    "alpha_spent": evidence.budget.spent,
                    "error_budget": evidence.budget.words(),
                    "turns_on": "; ".join(f"{one.gate}: {one.words}" for one in evidence.turning)[:2000] or None,
                    "evidence": digest,
                    "anchor_serves_again": gave.champion if gave and gave.moved else None,
                    "anchor": gave.words if gave else None,
                }
            )
            | {name: dg.MetadataValue.path(opened.artifacts.path(plot)) for name, plot in evidence.plots.items()}
        )
        for result in evidence.results:
            # Anything but PASS stops the release: a gate that could not tell is not a gate that passed. Where stages
            # are declared they answer what is open, and a warning lets the version go on to its trial.
            yield dg.AssetCheckResult(
                check_name=result.gate,
                asset_key=key,
                passed=result.verdict is Verdict.PASS,
                severity=dg.AssetCheckSeverity.WARN if tried else dg.AssetCheckSeverity.ERROR,
                description=result.words,
                metadata=metadata(
                    {
                        "verdict": result.verdict.value,
                        "statistic": result.statistic,
                        "threshold": result.threshold,
                        "n": result.n,
                        "low": result.interval[0] if result.interval else None,
                        "high": result.interval[1] if result.interval else None,
                        "evidence": digest,
                    }
                ),
            )

    return evaluation
