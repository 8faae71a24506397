"""`records`: every record of the model that was missing is entered: experiments, notes, cards, reports of incidents."""

from collections import Counter
from collections.abc import Iterator

import dagster as dg

from retrain_pipeline.assets.common import check_specs, markdown, metadata, model_asset, run_actor
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.assets.truth import CHECKS as TRUTH
from retrain_pipeline.assets.truth import truth_results
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.verdicts import Verdict

CHECKS = {"experiments": "Every retrain run that Dagster or the ledger knows has one experiment, and no run none."}


def records_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/records`."""
    spec = declaration.spec

    @model_asset(
        declaration,
        "records",
        {"markdown"},
        ("model_card",),
        "What happened and why, as typed records; what was missing is entered.",
        checks=check_specs(spec, "records", CHECKS | TRUTH, False),
    )
    def records(
        context: dg.AssetExecutionContext, stores: StoresResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        from retrain_pipeline.assets.reconcile import known_runs
        from retrain_pipeline.records.experiments import retrain_runs
        from retrain_pipeline.records.reconciled import count_experiments
        from retrain_pipeline.records.record import records as on_record
        from retrain_pipeline.records.settle import settle
        from retrain_pipeline.records.shown import newest_shown

        opened = stores.open()
        settle(opened, declaration, run_actor(context))
        counts = Counter(one.kind for one in on_record(opened, spec.name))
        known = known_runs(context.instance, retrain_runs(opened, spec.name))
        found = count_experiments(opened, spec.name, known)
        yield dg.AssetCheckResult(
            check_name="experiments",
            asset_key=context.asset_key,
            passed=found.verdict is Verdict.PASS,
            severity=dg.AssetCheckSeverity.ERROR if found.verdict is Verdict.FAIL else dg.AssetCheckSeverity.WARN,
            description=found.words,
            metadata=metadata({"verdict": found.verdict.value, "runs": found.runs, "experiments": found.experiments}),
        )
        yield from truth_results(
            opened, declaration, context.asset_key, known, actor=run_actor(context), run_id=context.run.run_id
        )
        shown = {name: markdown(text) for name, text in newest_shown(opened, spec.name).items()}
        yield dg.MaterializeResult(metadata={**metadata(dict(sorted(counts.items()))), **shown})

    return records
