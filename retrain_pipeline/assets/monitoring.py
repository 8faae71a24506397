"""`monitoring`: how a period compares with what the champion was trained on and promised."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from retrain_pipeline.assets.common import check_result, check_specs, data_asset, data_root, metadata
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.lanes import Lane
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.spec.model import ModelSpec

if TYPE_CHECKING:
    from retrain_pipeline.lake.checks import Check
    from retrain_pipeline.monitoring.monitor import MonitoringReport
    from retrain_pipeline.stores import Stores

CHECKS = {
    "performance": "The champion's loss on mature labels against its validated loss.",
    "drift": "Feature columns against the champion's training rows, beyond a minimum effect.",
}


@dataclass(frozen=True)
class Shown:
    """A monitored period, and the stores that say more of it."""

    stores: "Stores"
    spec: ModelSpec
    report: "MonitoringReport"


def monitoring_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/monitoring`."""
    spec = declaration.spec

    @data_asset(
        declaration,
        "monitoring",
        {"deltalake", "evidently"},
        ("features", "predictions", "feedback"),
        "Drift, performance, latency and errors of a period; the stored verdict that the trigger reads.",
        checks=check_specs(spec, "monitoring", CHECKS, False),
    )
    def monitoring(
        context: dg.AssetExecutionContext, stores: StoresResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        from retrain_pipeline.monitoring.monitor import monitor_period
        from retrain_pipeline.triggers.scoring import score_retrains

        opened = stores.open()
        for period in context.partition_keys:
            shown = Shown(opened, spec, monitor_period(opened, spec, period, context.run.run_id, root=data_root()))
            # of a back-fill each period gets its own numbers, so that they plot as they would have day by day
            context.add_asset_metadata(shown_metadata(shown), partition_key=period)
        score_retrains(opened, spec, shown.report.as_of)
        for name, check in checks_of(shown.report).items():
            yield check_result(spec.name, "monitoring", name, [(shown.report.period, check)], stops=False)
        beside = {} if declaration.lane is None else compared(shown, declaration.lane)
        yield dg.MaterializeResult(metadata={**card(shown), **beside})

    return monitoring


def checks_of(report: "MonitoringReport") -> "dict[str, Check]":
    """Return the two judgements of a period with the numbers that they rest on; of drift those of the worst column."""
    from retrain_pipeline.lake.checks import Check
    from retrain_pipeline.monitoring.columns import column_lines

    loss, drift = report.performance, report.drift
    of_loss = {
        "statistic": loss.statistic,
        "threshold": loss.threshold,
        "n": loss.n,
        "relative_rise": loss.relative_rise,
    }
    of_drift: dict[str, Any] = {"columns": len(drift.results), "columns_drifted": len(drift.columns)}
    for one in column_lines(drift.results)[:1]:
        of_drift |= {"column": one.column, "statistic": one.statistic, "threshold": one.threshold, "n": one.n}
    return {
        "performance": Check("performance", loss.verdict, loss.words, plottable(of_loss)),
        "drift": Check("drift", drift.verdict, drift.words, plottable(of_drift)),
    }


def plottable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is: None is no number to plot, and neither is NaN or an infinity."""
    return {
        name: value
        for name, value in values.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }


def numbers(shown: Shown) -> Mapping[str, Any]:
    """What Dagster plots over the partitions."""
    report = shown.report
    return plottable(
        {
            "loss": report.performance.mean,
            "validated_loss": report.performance.validated,
            "estimated_loss": report.late.guess.estimate if report.late else None,
            "labels_judged": report.performance.n,
            "max_drift": report.drift.max_effect,
            "drifted_column_count": len(report.drift.columns),
            "latency_ms_p95": report.latency_ms_p95,
            "unseen_categories": report.unseen,
            "rows": report.rows,
        }
    )


def words(shown: Shown) -> Mapping[str, Any]:
    """The verdict, and why."""
    report = shown.report
    return metadata(
        {
            "verdict": report.verdict.value,
            "champion": report.champion or "no champion yet",
            "diagnosis": report.diagnosis.words[:500],
            "drifted_columns": ", ".join(report.drift.columns)[:500] or None,
        }
    )


def columns(shown: Shown) -> Mapping[str, Any]:
    """The columns as a table, the worst first."""
    from retrain_pipeline.monitoring.columns import column_lines, read_shapes, read_trends
    from retrain_pipeline.records.monitored import columns_table

    report, stores = shown.report, shown.stores
    if not report.drift.results:
        return {}
    lines = column_lines(
        report.drift.results,
        rows=report.rows,
        missing=report.missing_by_column,
        unseen=report.unseen_by_column,
        trends=read_trends(stores.lake, report.model, report.period),
        shapes=read_shapes(stores, report.model, report.period),
    )
    return {"columns": dg.MetadataValue.md(columns_table(lines))}


def signals(shown: Shown) -> Mapping[str, Any]:
    """What the service and the business measured, with what was imputed."""
    return {"signals": dg.MetadataValue.md(shown.report.signals.markdown())}


def links(shown: Shown) -> Mapping[str, Any]:
    """Where the full report, Evidently's pages and the picture of the loss are."""
    report, artifacts = shown.report, shown.stores.artifacts
    files = {
        "full_report": report.report,
        "evidently_drift": report.evidently,
        "evidently_quality": report.quality,
        "loss_plot": report.plot,
    }
    return {name: dg.MetadataValue.path(artifacts.path(digest)) for name, digest in files.items() if digest}


def card(shown: Shown) -> Mapping[str, Any]:
    """Whether the retrains so far were worth their cost."""
    from retrain_pipeline.triggers.report_card import as_markdown, report_card

    return {"report_card": dg.MetadataValue.md(as_markdown(report_card(shown.stores.ledger, shown.spec)))}


def compared(shown: Shown, lane: Lane) -> Mapping[str, Any]:
    """How a lane does beside its model, on the same rows."""
    from retrain_pipeline.records.side_by_side import as_markdown, side_by_side

    found = side_by_side(shown.stores, shown.spec, lane)
    return {f"beside_{lane.of}": dg.MetadataValue.md(as_markdown(found))}


SHOWN: tuple[Callable[[Shown], Mapping[str, Any]], ...] = (words, numbers, columns, signals, links)
"""What is shown of a period, in this order. Scalars and links: Dagster keeps it in every event, for good."""


def shown_metadata(shown: Shown) -> dict[str, Any]:
    """Return everything that is shown of a period, by name."""
    return {name: value for part in SHOWN for name, value in part(shown).items()}
