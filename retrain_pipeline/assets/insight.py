"""`insight`: what is measured of a version after its release. It serves already; nothing here can take that back."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from retrain_pipeline.assets.common import asset_key, check_specs, markdown, metadata, model_asset, run_actor
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import Declaration

if TYPE_CHECKING:
    from retrain_pipeline.insight.lineage import ColumnLineage

CHECKS = {"measured": "What is measured of a released version could be measured."}
MAX_COLUMNS = 200
"""Features whose lineage goes into the metadata of each materialization; the record has all of them."""


def insight_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/insight`."""
    spec = declaration.spec

    @model_asset(
        declaration,
        "insight",
        {"scikitlearn"},
        ("release",),
        "Measured after the release: importances, decision paths, groups by stage, ablation, causes of the change.",
        checks=check_specs(spec, "insight", CHECKS, False),
    )
    def insight(
        context: dg.AssetExecutionContext, stores: StoresResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        from retrain_pipeline.records.insight_tables import tables
        from retrain_pipeline.records.insights import record_insight
        from retrain_pipeline.triggers.retrain import subject_of

        opened = stores.open()
        version = subject_of(opened.ledger, spec.name, ("released", "staged"), context.run.run_id)
        began = time.monotonic()
        try:
            record = record_insight(opened, declaration, version, actor=run_actor(context))
        except Exception as error:  # the version serves: what fails here must not fail its retrain
            words = f"{type(error).__name__}: {' '.join(str(error).split())[:1000]}"
            context.log.exception("what was to be measured of %s was not", version)
            yield _check(spec.name, False, f"not measured: {words}")
            yield dg.MaterializeResult(metadata={"version": version, "not_measured": words})
            return
        missing = record.measured.not_measured
        # of every version importances are taken: without them nothing was measured, and no data is never a pass
        measured, words = bool(record.measured.importances), f"{len(missing)} things were not measured, with reasons"
        yield _check(spec.name, measured, f"measured; {words}" if measured else f"no importances; {words}")
        shown = {name: markdown(text) for name, text in tables(record.measured).items()}
        plots = {
            f"plot_{name}": dg.MetadataValue.path(opened.artifacts.path(digest))
            for name, digest in sorted(record.plots.items())
        }
        yield dg.MaterializeResult(
            metadata=metadata(
                {
                    "version": version,
                    "seconds": round(time.monotonic() - began, 2),
                    "refits": len(record.measured.ablation) + len(record.measured.sensitivity),
                    "not_measured": len(missing),
                }
            )
            | shown
            | plots
        )

    return insight


def _check(model: str, passed: bool, words: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name="measured",
        asset_key=asset_key(model, "insight"),
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=words,
    )


def lineage_metadata(upstream: dg.AssetKey, lineage: "ColumnLineage | None", columns: Sequence[str]) -> dict[str, Any]:
    """Return ``dagster/column_lineage`` of features, and which of them could not be resolved."""
    if lineage is None or not columns:
        return {}
    known = {name: lineage.sources.get(name, ()) for name in columns[:MAX_COLUMNS]}
    deps = {
        name: [dg.TableColumnDep(asset_key=upstream, column_name=column) for column in sources]
        for name, sources in known.items()
        if sources
    }
    open_ones = {name: why for name, why in lineage.unresolved.items() if name in columns}
    told: dict[str, Any] = {
        "dagster/column_lineage": dg.MetadataValue.column_lineage(dg.TableColumnLineage(deps_by_column=deps))
    }
    if open_ones:
        told["lineage_unresolved"] = dg.MetadataValue.json(dict(sorted(open_ones.items())[:MAX_COLUMNS]))
    return told
