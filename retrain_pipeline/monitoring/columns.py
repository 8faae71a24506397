"""The columns of a period as people look for them: the worst first, each with its past and its shape."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.monitoring.drift import ColumnDrift
from retrain_pipeline.monitoring.errors import ReferenceMissing, SummaryMissing
from retrain_pipeline.monitoring.kept import read_summary
from retrain_pipeline.monitoring.readings import cells
from retrain_pipeline.monitoring.reference import read_reference
from retrain_pipeline.monitoring.sparks import shape
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

PERIODS = 26
"""So many periods of the past are shown: half a year of weeks."""
_MAX_CELLS = 12
_LIMIT = re.compile(r", (?:above|within|and) [0-9]")
_ORDER = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)

_NOTHING: Mapping[str, Any] = MappingProxyType({})

Trend = tuple[float | None, ...]


@dataclass(frozen=True)
class ColumnLine:
    """A column in a period. Shares are of rows; the others as `drift.ColumnDrift`.

    `trend`: per period, the oldest first, how far it had moved over how far it may (1 is the threshold; None where it
    was not looked at). `shape`: a bar per cell of the distribution, against training.
    """

    column: str
    verdict: Verdict
    statistic: float | None
    threshold: float | None
    n: int
    words: str
    missing: float
    unseen: float
    trend: Trend
    shape: str

    @property
    def moved(self) -> str:
        """What moved and how far, in words, without the column's name, the threshold and the rows that it rests on."""
        words = self.words.removeprefix(f"{self.column}: ").partition(" (n=")[0]
        return _LIMIT.split(words, maxsplit=1)[0]


def column_lines(
    results: Iterable[ColumnDrift],
    *,
    rows: int = 0,
    missing: Mapping[str, int] = _NOTHING,
    unseen: Mapping[str, int] = _NOTHING,
    trends: Mapping[str, Trend] = _NOTHING,
    shapes: Mapping[str, str] = _NOTHING,
) -> tuple[ColumnLine, ...]:
    """Return a line a column: those that drifted first, then those that nobody can tell of, the farthest first.

    Parameters
    ----------
    rows
        Of the period; `missing` and `unseen` count values among them, per column where there are any.
    trends, shapes
        As `read_trends` and `read_shapes` return them.
    """
    lines = [
        ColumnLine(
            one.column,
            one.verdict,
            one.statistic,
            one.threshold,
            one.n,
            one.words,
            missing.get(one.column, 0) / max(rows, 1),
            unseen.get(one.column, 0) / max(rows, 1),
            trends.get(one.column, ()),
            shapes.get(one.column, ""),
        )
        for one in results
    ]
    return tuple(sorted(lines, key=lambda one: (_ORDER.index(one.verdict), -_exceeds(one), one.column)))


def _exceeds(one: ColumnLine) -> float:
    # a column that is gone has no statistic, and nothing is worse
    found = over(one.statistic, one.threshold)
    return float("inf") if found is None else found


def over(statistic: float | None, threshold: float | None) -> float | None:
    """Return a statistic as a share of its threshold; None where either is not there."""
    return statistic / threshold if statistic is not None and threshold else None


def read_trends(lake: Lake, model: str, period: str) -> dict[str, Trend]:
    """Return how far each column had moved in the newest periods up to one, from the first that tells of any."""
    periods = [one for one in lake.periods(model, "monitoring") if one <= period][-PERIODS:]
    if not periods:
        return {}
    rows = lake.read(
        model, "monitoring", periods=periods, columns=["part", "column", "statistic", "threshold", "_period"]
    )
    rows = rows[(rows["part"] == "drift") & rows["column"].notna()]
    place = {one: number for number, one in enumerate(periods)}
    found: dict[str, list[float | None]] = {}
    numbers = rows[["_period", "column", "statistic", "threshold"]].itertuples(index=False, name=None)
    for when, column, statistic, threshold in numbers:
        ratio = over(statistic, threshold)
        if ratio is not None and ratio == ratio:
            found.setdefault(str(column), [None] * len(periods))[place[when]] = float(ratio)
    seen = [number for trend in found.values() for number, one in enumerate(trend) if one is not None]
    return {column: tuple(trend[min(seen) :]) for column, trend in found.items()}


def read_shapes(stores: "Stores", model: str, period: str) -> dict[str, str]:
    """Return the distribution of each column in a period against training; nothing where neither is kept."""
    try:
        now = read_summary(stores, model, period)
        before = read_reference(stores, model, now.champion).features.columns
    except (SummaryMissing, ReferenceMissing):
        return {}
    columns = now.features.columns
    return {
        name: shape(*([*_present(cells(side))] for side in (columns[name], one)))
        for name, one in before.items()
        if name in columns and columns[name].edges == one.edges
    }


def _present(counts: Sequence[int]) -> Sequence[int]:
    """Return the cells but that of the missing, which are told apart; many levels as the first and the others."""
    there = counts[:-1]
    return there if len(there) <= _MAX_CELLS else [*there[: _MAX_CELLS - 1], sum(there[_MAX_CELLS - 1 :])]


def stored_results(found: Iterable[Mapping[str, Any]]) -> tuple[ColumnDrift, ...]:
    """Return the results that a stored report has of its columns."""
    return tuple(ColumnDrift(**{**one, "verdict": Verdict(one["verdict"])}) for one in found)
