"""Columns as they are shown: the worst first, with their past and their shape."""

import json

import pytest

from retrain_pipeline.monitoring.columns import PERIODS, column_lines, read_shapes, read_trends, stored_results
from retrain_pipeline.monitoring.drift import ColumnDrift
from retrain_pipeline.monitoring.sparks import BARS, GAP, shape, sparkline
from retrain_pipeline.records.monitored import MAX_BYTES, MAX_LINES, columns_table
from retrain_pipeline.verdicts import Verdict

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def result(
    column: str, verdict: Verdict, statistic: float | None = 0.1, words: str = "level up by 0.1 sd"
) -> ColumnDrift:
    told = f"{column}: {words}, within 0.5 (n=100 against 900 in 9 periods)"
    return ColumnDrift(column, statistic, None if statistic is None else 0.5, 100, statistic, verdict, told)


def test_the_worst_come_first_and_one_that_is_gone_before_all():
    results = [
        result("a", PASS, 0.4), result("b", PASS, 0.49), result("c", INCONCLUSIVE, 0.01), result("d", FAIL, 0.6),
        result("e", FAIL, 5.0), result("gone", FAIL, None),
    ]  # fmt: skip
    lines = column_lines(results, rows=100, missing={"a": 3}, unseen={"b": 50})
    assert [one.column for one in lines] == ["gone", "e", "d", "c", "b", "a"]
    assert (lines[-1].missing, lines[-2].unseen, lines[0].missing) == (0.03, 0.5, 0.0)
    assert lines[1].moved == "level up by 0.1 sd"


def test_bars_say_how_near_the_threshold_a_column_came():
    assert sparkline([0.0, 0.24, 0.26, 0.99, 1.0, 1e9]) == "▁▁▂▅▇▇"
    assert sparkline([None, float("nan"), 0.0]) == f"{GAP}{GAP}▁"
    assert sparkline([]) == sparkline([], width=13) == ""
    assert sparkline([0.0] * 25 + [1.0], width=13) == "▁" * 12 + "▇"
    assert sparkline([1.0], full=0.0) == "▁"


def test_a_cell_that_neither_side_has_is_as_it_was():
    assert shape([10, 0], [10_000, 0]) == "▃▃"
    assert set(shape([1000, 0, 10], [100, 100, 100])) <= set(BARS)


@pytest.mark.requirement("D32")
def test_trends_and_shapes_are_read_from_what_is_stored(world):
    for week in (6, 7):
        world.pass_week(week, shift=0.0 if week == 6 else 3.0)
        world.monitor(week)
    trends = read_trends(world.stores.lake, "small", world.period(7))
    assert {name: len(trend) for name, trend in trends.items()} == {"x": 2, "z": 2, "kind": 2}
    assert trends["x"][0] < 1 < trends["x"][1]
    assert [len(one) for one in read_trends(world.stores.lake, "small", world.period(6)).values()] == [1, 1, 1]
    assert read_trends(world.stores.lake, "small", world.period(0)) == {}
    shapes = read_shapes(world.stores, "small", world.period(7))
    assert (shapes["x"][0], shapes["x"][-1]) == (BARS[0], BARS[-1])
    assert read_shapes(world.stores, "small", world.period(5)) == {}
    report = world.stores.artifacts.get_json(world.stores.ledger.latest("small", "monitored").payload["report"])
    assert {one.column: one.verdict for one in stored_results(report["checks"]["drift"])}["x"] is FAIL


HOSTILE = [
    "a|b",
    "`x`",
    "new\nline",
    "<script>alert(1)</script>",
    "[x](javascript:1)",
    "| --- |",
    "\u202eevil",
    "*_x_*",
]


@pytest.mark.fault("S6")
@pytest.mark.parametrize("name", HOSTILE)
def test_names_and_words_stay_text_in_their_cell(name):
    lines = column_lines([result(name, FAIL, words=f"level {name!s} up")])
    table = columns_table(lines)
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) == 3, table
    unescaped = rows[2].replace("\\|", "")
    assert unescaped.count("|") == rows[0].count("|"), rows[2]
    for bare in ("<script", "`x`", "](", "\u202e"):
        assert bare not in rows[2].replace("\\`", "").replace("\\]", "").replace("\\[", "")


@pytest.mark.dagster_fact("K16")
def test_the_table_stays_small_however_many_columns_and_however_long_their_names():
    trend = tuple([0.3] * PERIODS)
    for names in ([f"c{i}" for i in range(500)], [f"{i}" + "ü" * 5000 for i in range(500)]):
        results = [result(name, FAIL if i < 30 else PASS, 0.3) for i, name in enumerate(names)]
        lines = column_lines(results, trends=dict.fromkeys(names, trend), shapes=dict.fromkeys(names, "▃" * 12))
        table = columns_table(lines)
        told = table.count("| FAIL |") + table.count("| PASS |")
        assert len(json.dumps(table)) <= MAX_BYTES < 6 * 1024
        assert told == MAX_LINES if len(names[0]) < 60 else 3 <= told < MAX_LINES
        assert f"and {500 - told} more: {30 - told} FAIL, 470 PASS" in table
