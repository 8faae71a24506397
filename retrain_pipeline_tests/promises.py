"""Pytest plugin: which numbered promises of the design have a passing test.

Tests carry the numbers that they prove: `requirement` (A, B, C, D), `fault` (I, P, S, G), `dagster_fact` (K).
``pytest -p retrain_pipeline_tests.promises --promises`` ends with the numbers that are proved, those that are only
claimed (by tests that failed or were skipped), and those that no test carries. A number that the design does not have
is an error at collection.
"""

from collections import Counter
from collections.abc import Generator, Iterable

import pytest

NUMBERS = {"A": 39, "B": 40, "C": 38, "D": 52, "I": 47, "P": 36, "S": 20, "G": 28, "K": 17}
KINDS = {
    "requirement": ("ABCD", "a requirement on the product that this test proves, for example D38"),
    "fault": ("IPSG", "a fault that the product survives, for example I8"),
    "dagster_fact": ("K", "a fact about Dagster that the product is built around, for example K6"),
}
_PROPERTY = "promises"


def numbers_of(families: Iterable[str]) -> list[str]:
    """Return every number of the given families, in order."""
    return [f"{family}{number}" for family in families for number in range(1, NUMBERS[family] + 1)]


_ALLOWED = {kind: frozenset(numbers_of(families)) for kind, (families, _) in KINDS.items()}


def pytest_addoption(parser: pytest.Parser) -> None:
    words = "end with the numbered promises that have a passing test, only failed or skipped ones, or none"
    parser.getgroup("promises").addoption("--promises", action="store_true", help=words)


def pytest_configure(config: pytest.Config) -> None:
    for kind, (_, words) in KINDS.items():
        config.addinivalue_line("markers", f"{kind}(*numbers): {words}")
    if config.getoption("--promises"):
        config.pluginmanager.register(Tally(), "promises-tally")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail the collection of whatever holds a test with an unknown number (a collect report travels through xdist)."""
    report = yield
    items = [node for node in report.result or () if isinstance(node, pytest.Item)]
    if refused := [words for item in items for words in _refusals(item)]:
        report.outcome, report.longrepr, report.result = "failed", "\n".join(refused), []
    return report


def pytest_itemcollected(item: pytest.Item) -> None:
    if numbers := sorted({number for _, number in _marks(item)}):
        item.user_properties.append((_PROPERTY, numbers))  # reports carry it, also those of xdist's workers


class Tally:
    """Counts, for each number, the tests that passed and those that did not."""

    def __init__(self) -> None:
        self._numbers: dict[str, list[str]] = {}
        self._outcomes: dict[str, set[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        numbers = dict(report.user_properties).get(_PROPERTY)
        if isinstance(numbers, list):
            self._numbers[report.nodeid] = numbers
            self._outcomes.setdefault(report.nodeid, set()).add(report.outcome)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        passed: Counter[str] = Counter()
        claimed: set[str] = set()
        for nodeid, numbers in self._numbers.items():
            claimed.update(numbers)
            if self._outcomes[nodeid] == {"passed"}:  # set-up, call and tear-down
                passed.update(numbers)
        terminalreporter.section("promises")
        for family in NUMBERS:
            numbers = numbers_of(family)
            proved = [f"{number} ({passed[number]})" for number in numbers if passed[number]]
            unproved = [number for number in numbers if number in claimed and not passed[number]]
            without = [number for number in numbers if number not in claimed]
            terminalreporter.write_line(f"{family}: {len(proved)} of {len(numbers)} have a passing test")
            for words, listed in (("passing", proved), ("failing or skipped", unproved), ("none", without)):
                if listed:
                    terminalreporter.write_line(f"   {words}: {', '.join(listed)}")


def _marks(item: pytest.Item) -> list[tuple[str, str]]:
    return [(kind, str(number)) for kind in KINDS for mark in item.iter_markers(kind) for number in mark.args]


def _refusals(item: pytest.Item) -> list[str]:
    spans = {kind: ", ".join(map(_span, families)) for kind, (families, _) in KINDS.items()}
    refusals = [
        f"{item.nodeid}: {kind}({number!r}) is no number of the design, which has {spans[kind]}"
        for kind, number in _marks(item)
        if number not in _ALLOWED[kind]
    ]
    bare = [kind for kind in KINDS for mark in item.iter_markers(kind) if not mark.args]
    return refusals + [f"{item.nodeid}: {kind} without a number proves nothing" for kind in bare]


def _span(family: str) -> str:
    return f"{family}1–{family}{NUMBERS[family]}"
