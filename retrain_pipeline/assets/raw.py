"""`raw`: the rows of a period as the source gave them, those that broke the contract left out and kept aside."""

from collections.abc import Iterator

import dagster as dg

from retrain_pipeline.assets.common import (
    check_result,
    check_specs,
    data_asset,
    data_root,
    metadata,
    run_actor,
)
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.verdicts import Verdict

GATES = {"contract": "Rows keep the promises of data.columns; few enough are rejected."}
OBSERVATIONS = {
    "deliveries": "Every file could be read whole, and none was refused.",
    "duplicates": "How many rows came twice.",
    "volume": "As many rows as the last periods had.",
    "freshness": "The newest row is near the period's end.",
}


def raw_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/raw`."""
    spec = declaration.spec

    @data_asset(
        declaration,
        "raw",
        {spec.data.source.kind, "deltalake"},
        (),
        "Rows of the source, by period, contract checked.",
        checks=[*check_specs(spec, "raw", GATES, True), *check_specs(spec, "raw", OBSERVATIONS, False)],
    )
    def raw(
        context: dg.AssetExecutionContext, stores: StoresResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        from retrain_pipeline.alerts import note_broken_contract
        from retrain_pipeline.lake.ingest import ingest_period
        from retrain_pipeline.records.agreed import register

        opened = stores.open()
        # Before the first row is read: what a model will be judged by is on record before there is one.
        register(opened, spec, run_actor(context))
        reports = [
            ingest_period(opened.lake, spec.data, spec.name, period, root=data_root())
            for period in context.partition_keys
        ]
        judged = [(r.period, r.checks) for r in reports]
        note_broken_contract(opened.ledger, spec.name, "raw", judged, context.run.run_id)
        only = len(reports) == 1
        for name in (*GATES, *OBSERVATIONS):
            found = [(r.period, c) for r in reports for c in r.checks if c.name == name]
            # In a back-fill the other periods go on: what failed is absent from the lake, and on record.
            yield check_result(spec.name, "raw", name, found, stops=only and name in GATES)
        if only and reports[0].verdict is Verdict.FAIL:
            raise dg.Failure(
                f"{spec.name}/raw {reports[0].period}: contract broken; nothing of it is used", allow_retries=False
            )
        last = reports[-1]
        yield dg.MaterializeResult(
            metadata=metadata(
                {
                    "periods": len(reports),
                    "rows": sum(r.rows for r in reports),
                    "rejected": sum(r.rejected for r in reports),
                    "duplicates": sum(r.duplicates for r in reports),
                    "extra_columns": ", ".join(last.extra_columns) or None,
                    "table_version": last.write.version if last.write else None,
                    "digest": last.write.digest if last.write else None,
                    "source_digests": ", ".join(last.source_digests) or None,
                }
            ),
            data_version=dg.DataVersion(last.write.digest) if only and last.write else None,
        )

    return raw
