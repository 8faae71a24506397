"""`features`: the team's pure function over the rows of a period, its output contract checked."""

from collections.abc import Iterator

import dagster as dg

from retrain_pipeline.alerts import note_broken_contract
from retrain_pipeline.assets.common import check_result, check_specs, data_asset, metadata
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.verdicts import Verdict

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
        from retrain_pipeline.learning.features import load_features, update_features

        opened = stores.open()
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
            ),
            data_version=dg.DataVersion(last.write.digest) if only and last.write else None,
        )

    return features
