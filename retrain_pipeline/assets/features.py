"""`features`: the team's pure function over the rows of a period, its output contract checked."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from retrain_pipeline.assets.common import check_result, check_specs, data_asset, metadata, run_actor, upstream
from retrain_pipeline.assets.insight import lineage_metadata
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.insight.lineage import ColumnLineage
    from retrain_pipeline.learning.team_code import FeatureCode
    from retrain_pipeline.stores import Stores

CHECKS = {
    "output_contract": "The function keeps rows and index, and gives finite numbers or texts.",
    "point_in_time": "No feature changes when later rows are taken away: none knows the future.",
    "label_leak": "No single feature gives the label away.",
}


def features_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/features`."""
    spec = declaration.spec

    @data_asset(
        declaration,
        "features",
        {"pandas", "deltalake"},
        ("raw",),
        f"{spec.features.build} over the rows of a period.",
        checks=check_specs(spec, "features", CHECKS, True),
    )
    def features(
        context: dg.AssetExecutionContext, stores: StoresResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        from retrain_pipeline.alerts import note_broken_contract
        from retrain_pipeline.learning.features import load_features, update_features
        from retrain_pipeline.records.agreed import register

        opened = stores.open()
        if declaration.lane is not None:  # its rows come in as its model's; here they reach the lane
            register(opened, spec, run_actor(context))
        code = load_features(declaration.folder, spec.features)
        reports = [update_features(opened.lake, code, spec, period) for period in context.partition_keys]
        found = [(r.period, r.checks) for r in reports]
        note_broken_contract(opened.ledger, spec.name, "features", found, context.run.run_id)
        only = len(reports) == 1
        for name in CHECKS:
            checks = [(period, check) for period, checks in found for check in checks if check.name == name]
            if checks:
                yield check_result(spec.name, "features", name, checks, stops=only)
        if only and reports[0].verdict is Verdict.FAIL:
            raise dg.Failure(
                f"{spec.name}/features {reports[0].period}: refused; nothing of it is written", allow_retries=False
            )
        last = reports[-1]
        lineage = lineage_metadata(
            upstream(declaration, "raw"), _lineage(context, opened, declaration, code), last.columns
        )
        yield dg.MaterializeResult(
            metadata=metadata(
                {
                    "periods": len(reports),
                    "rows": sum(r.write.rows for r in reports if r.write),
                    "feature_columns": ", ".join(last.columns),
                    "feature_code_digest": code.digest,
                    "table_version": last.write.version if last.write else None,
                    "digest": last.write.digest if last.write else None,
                }
            )
            | lineage,
            data_version=dg.DataVersion(last.write.digest) if only and last.write else None,
        )

    return features


def _lineage(
    context: dg.AssetExecutionContext, stores: "Stores", declaration: Declaration, code: "FeatureCode"
) -> "ColumnLineage | None":
    """Return which feature comes from which column; observed once for each state of the code and the declaration."""
    from retrain_pipeline.errors import PermanentError
    from retrain_pipeline.learning.guarded import FitFailed
    from retrain_pipeline.records.insights import observed_lineage

    try:
        return observed_lineage(stores, declaration, code, actor=run_actor(context))
    except (PermanentError, FitFailed) as error:
        context.log.warning("column lineage: not observed: %s", error)
        return None
