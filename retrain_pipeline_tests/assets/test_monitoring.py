"""What Dagster is given of a monitored period: numbers that plot, a table, links, and two checks with their numbers."""

import math

import dagster as dg
import pytest

from retrain_pipeline.assets.monitoring import plottable

NUMBERS = {
    "loss", "validated_loss", "labels_judged", "max_drift", "drifted_column_count", "latency_ms_p95",
    "unseen_categories", "rows",
}  # fmt: skip


def materializations(project, *weeks: int) -> dict[str, dg.AssetMaterialization]:
    """Return what was materialized of `monitoring` by period."""
    found = {}
    key = dg.AssetKey(["toy", "monitoring"])
    for record in project.instance.fetch_materializations(key, limit=100).records:
        found.setdefault(record.partition_key, record.asset_materialization)
    return {project.period(week): found[project.period(week)] for week in weeks}


@pytest.mark.requirement("D27", "D32")
@pytest.mark.dagster_fact("K16")
def test_a_period_gives_numbers_to_plot_a_table_of_columns_and_links(released):
    released.play(6, 8)
    told = materializations(released, 7)[released.period(7)]
    numbers = {
        name: value.value
        for name, value in told.metadata.items()
        if isinstance(value, dg.FloatMetadataValue | dg.IntMetadataValue)
    }
    assert set(numbers) >= NUMBERS - {"unseen_categories"}, told.metadata.keys()
    assert all(math.isfinite(value) for value in numbers.values())
    table = told.metadata["columns"]
    assert isinstance(table, dg.MarkdownMetadataValue)
    assert {"| a |", "| b |", "| ab |", "| kind |"} <= {
        line[: line.index("|", 1) + 1] for line in table.value.splitlines()[2:6]
    }
    assert isinstance(told.metadata["full_report"], dg.PathMetadataValue)
    assert len(dg.serialize_value(told)) < 10_000


def test_each_period_of_a_back_fill_gets_its_own_numbers(released):
    released.play(6, 8)
    alone = materializations(released, 6, 7)
    weeks = dg.PartitionKeyRange(released.period(6), released.period(7))
    tags = {"dagster/asset_partition_range_start": weeks.start, "dagster/asset_partition_range_end": weeks.end}
    assert released.materialize("monitoring", tags=tags).success
    again = materializations(released, 6, 7)
    for period in again:
        assert again[period].metadata["max_drift"] == alone[period].metadata["max_drift"]
    first, second = (again[released.period(week)].metadata["max_drift"] for week in (6, 7))
    assert first != second


def test_a_check_shows_verdict_words_and_the_numbers_it_rests_on(released):
    released.play(6, 8)
    run = released.materialize("monitoring", partition_key=released.period(7))
    checks = {one.check_name: one for one in run.get_asset_check_evaluations()}
    assert set(checks) == {"performance", "drift"}
    for name, one in checks.items():
        assert {"verdict", "statistic", "threshold", "n"} <= set(one.metadata), name
        assert one.description.startswith(f"{released.period(7)}: ")
        assert one.passed is (one.metadata["verdict"].value == "PASS")
        assert one.severity is dg.AssetCheckSeverity.WARN
    assert checks["drift"].metadata["column"].value in ("a", "b", "ab", "kind")


def test_what_is_no_number_is_left_out():
    assert plottable({"a": None, "b": math.nan, "c": -math.inf, "d": 0, "e": 0.0, "f": "x"}) == {
        "d": 0,
        "e": 0.0,
        "f": "x",
    }
