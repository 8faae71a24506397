"""Declared signals: defaults, and every mistake with its place and mend."""

import pytest

from retrain_pipeline_tests.spec.conftest import VALID

SALES = (
    "  signals:\n"
    "    sales: {source: {kind: csv, path: sales.csv}, time: day, column: eur, aggregate: sum, unit: EUR, "
    "direction: down, missing: {policy: interpolate, max_periods: 3}, link: business_metric, value_per_unit: 5}\n"
)
LINE = VALID.count("\n") + 2


@pytest.mark.requirement("D17", "D20")
def test_signals_are_read_with_their_defaults(read):
    text = ("slices: [season]}\n", f"slices: [season]}}\n{SALES}    error_rate: {{missing: {{policy: halt}}}}\n")
    spec = read(text).spec
    sales = spec.signals["sales"]
    assert (sales.missing.policy, sales.missing.limit, sales.delay_hours) == ("interpolate", 3, 0.0)
    assert (spec.signals["error_rate"].missing.limit, spec.signals["error_rate"].source) == (0, None)


def test_a_declaration_without_signals_is_what_it_was(read):
    assert read().spec.signals == {}


CASES = [
    (("policy: interpolate", "policy: interpolte"), "sales.missing.policy", "allowed: buffer", "interpolate"),
    (("policy: interpolate", "policy: buffer"), "sales.missing.max_periods", "buffer waits without end", None),
    (("max_periods: 3", "max_periods: 0"), "sales.missing.max_periods", "does nothing: use buffer", None),
    (("max_periods: 3", "fall_back: 1"), "sales.missing.fall_back", "goes with policy fall_back, not", None),
    (("kind: csv", "kind: cvs"), "sales.source.kind", "allowed: csv, delta, parquet, sql", "csv"),
    (("time: day, ", ""), "sales.time", "missing: a signal with a source declares it", None),
    (("unit: EUR, ", ""), "sales.unit", "missing: a signal with a source declares it", None),
    (("column: eur, ", ""), "sales.column", "is needed for aggregate sum", None),
    (("aggregate: sum", "aggregate: count"), "sales.column", "is not for aggregate count", None),
    (("aggregate: sum", "aggregate: total"), "sales.aggregate", "allowed: mean, sum, count, rate", None),
    (("link: business_metric, ", ""), "sales.value_per_unit", "declare what it stands for in link", None),
    (("direction: down", "direction: up"), "sales.direction", "goes 'down'", None),
    (("unit: EUR", "unit: EUR, entity: [a, b]"), "sales.entity", "2 column(s), but an entity has", None),
    (("unit: EUR", "unit: EUR, delay: 3"), "sales.delay", "no such key; allowed: source, time", "delay_hours"),
    (("sales: {source", "error_rate: {source"), "error_rate.aggregate", "error_rate is built in: only missing", None),
    (("    sales: ", "    Sales!: "), "", "signal name 'Sales!' is refused", None),
    (("source: {kind: csv, path: sales.csv}, ", ""), "sales", "expected a source: 'sales' is not built in", None),
]  # fmt: skip


@pytest.mark.parametrize(("exchange", "path", "words", "nearest"), CASES)
def test_a_mistake_is_told_with_its_place_and_mend(problems, exchange, path, words, nearest):
    assert SALES.count(exchange[0]) == 1
    (problem,) = problems(("slices: [season]}\n", f"slices: [season]}}\n{SALES.replace(*exchange)}"))
    assert problem.path == f"signals.{path}".rstrip(".")
    assert words in problem.expected
    assert problem.nearest == nearest
    assert problem.line in (LINE - 1, LINE)


def test_an_entity_that_is_not_declared_leaves_the_digest_of_what_is_collected_as_it_was(read):
    spec = read(("slices: [season]}\n", f"slices: [season]}}\n{SALES}")).spec
    sales = spec.signals["sales"]
    assert "entity" not in sales.model_dump(mode="json")
    named = spec.model_copy(update={"signals": {"sales": sales.model_copy(update={"entity": ("customer",)})}})
    assert named.signals["sales"].model_dump(mode="json")["entity"] == ["customer"]
    assert named.collection_digest != spec.collection_digest


def test_a_misspelled_built_in_signal_is_asked_after(problems):
    (problem,) = problems(
        ("slices: [season]}\n", "slices: [season]}\n  signals: {eror_rate: {missing: {policy: halt}}}\n")
    )
    assert "or meant is the built-in 'error_rate'" in problem.expected
