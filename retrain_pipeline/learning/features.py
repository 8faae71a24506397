"""Features: the team's pure function over the declared columns, held to its contract and to the arrow of time."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from retrain_pipeline.lake.checks import Check
from retrain_pipeline.lake.memory import give_memory_back
from retrain_pipeline.lake.tables import Lake, PartitionWrite
from retrain_pipeline.learning.contract import checked_features
from retrain_pipeline.learning.errors import FeatureContractBroken
from retrain_pipeline.learning.leaks import label_leak_check
from retrain_pipeline.learning.team_code import FeatureCode, code_digest, load_features
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FeatureCode",
    "FeaturesReport",
    "build_features",
    "code_digest",
    "computed_features",
    "feature_columns",
    "load_features",
    "sees_the_future",
    "update_features",
]

TIMES = ("_event_time", "_known_time")


@dataclass(frozen=True)
class FeaturesReport:
    """What became of one period's features. `write` is None when a check failed: then nothing was written."""

    model: str
    period: str
    rows: int
    columns: list[str]
    checks: list[Check]
    write: PartitionWrite | None

    @property
    def verdict(self) -> Verdict:
        """FAIL when a check failed, else that of the contract: a leak that could not be looked for blocks nothing."""
        failed = any(check.verdict is Verdict.FAIL for check in self.checks)
        return Verdict.FAIL if failed else Verdict.PASS


def feature_columns(spec: ModelSpec, frame: "pd.DataFrame") -> list[str]:
    """Return the names of the features in a frame of the features table, sorted."""
    return sorted(name for name in frame.columns if not name.startswith("_") and name not in spec.data.key)


def build_features(
    code: FeatureCode, spec: ModelSpec, raw: "pd.DataFrame", period_start: datetime, period_end: datetime
) -> "pd.DataFrame":
    """Return the features of the rows with event time in ``[period_start, period_end)``.

    Parameters
    ----------
    raw
        Rows of the raw table: those of the period and, before them, the history that the function may look at.

    Returns
    -------
    DataFrame
        Key columns, `_event_time`, `_known_time` and the features, in order of event time and key.

    Raises
    ------
    FeatureContractBroken
        When the function asks for a column it is not given, or its result breaks the contract.
    """
    ordered = _in_time_order(spec, raw)
    inside = _inside(ordered, period_start, period_end)
    if not inside.any():
        return ordered.loc[inside, [*spec.data.key, *TIMES]]
    return _of_period(spec, ordered, computed_features(code, spec, ordered), inside)


def sees_the_future(
    code: FeatureCode, spec: ModelSpec, raw: "pd.DataFrame", period_start: datetime, period_end: datetime
) -> list[str]:
    """Return the features whose value for a row changes when later rows are taken away, sorted.

    The rows are cut at a third and two thirds of the period, before its last moment, and behind the last row with a
    missing value (where a fill from behind shows); what the function says about the rows before a cut must not depend
    on those after it. (Relative tolerance 1e-9: sums may be ordered anew.)
    """
    ordered = _in_time_order(spec, raw)
    inside = _inside(ordered, period_start, period_end)
    return _moving(code, spec, ordered, computed_features(code, spec, ordered), inside)


def _moving(
    code: FeatureCode, spec: ModelSpec, ordered: "pd.DataFrame", whole: "pd.DataFrame", of_period: "pd.Series[bool]"
) -> list[str]:
    times = ordered["_event_time"]
    inside = times[of_period].unique()
    if len(inside) < 2:
        return []
    cuts = {inside[len(inside) // 3], inside[2 * len(inside) // 3], inside[-1]}
    gaps = times[ordered[[name for name in spec.data.columns if name in ordered]].isna().any(axis=1)]
    behind = [moment for moment in inside if len(gaps) and moment > gaps[gaps < inside[-1]].max()]
    guilty: set[str] = set()
    for cut in sorted((cuts | set(behind[:1])) - {inside[0]}):
        rows = int((times < cut).sum())  # they are in order of time
        guilty |= differing_columns(whole.iloc[:rows], computed_features(code, spec, ordered.iloc[:rows]))
    return sorted(guilty)


def update_features(lake: Lake, code: FeatureCode, spec: ModelSpec, period: str) -> FeaturesReport:
    """Compute the features of one period from `raw` (and its declared history) and put them in the lake.

    Checks: `output_contract`, `point_in_time` (I29) and `label_leak` (I28; INCONCLUSIVE while too few labels are
    known). When one is FAIL nothing is written, and the period keeps the features it had.
    """
    present = lake.partitions(spec.name, "raw").get(period)
    if present is None or not present.rows:
        return _empty_period(lake, spec, period, missing=present is None)
    calendar = spec.data.time.calendar()
    start, end = calendar.bounds(period)
    # First, while no frame of the period is held: of a million rows each copy is some hundred megabytes.
    leak = label_leak_check(lake, spec, period, partial(build_features, code, spec))
    periods = calendar.keys_between(calendar.shift(start, -spec.features.history_periods), end)
    ordered = _in_time_order(spec, lake.read(spec.name, "raw", periods=periods))
    give_memory_back(ordered.size)
    try:
        whole = computed_features(code, spec, ordered)
        inside = _inside(ordered, start, end)
        future = _moving(code, spec, ordered, whole, inside)
    except FeatureContractBroken as error:
        check = Check("output_contract", Verdict.FAIL, str(error), {})
        return FeaturesReport(spec.name, period, 0, [], [check], None)
    frame = _of_period(spec, ordered, whole, inside)
    names = feature_columns(spec, frame)
    del ordered, whole
    checks = [
        Check(
            "output_contract", Verdict.PASS, f"{len(names)} features for {len(frame)} rows", {"features": len(names)}
        ),
        _point_in_time(future, names),
        leak,
    ]
    failed = any(check.verdict is Verdict.FAIL for check in checks)
    write = None if failed else lake.replace_partition(spec.name, "features", period, frame)
    return FeaturesReport(spec.name, period, len(frame), names, checks, write)


def _empty_period(lake: Lake, spec: ModelSpec, period: str, *, missing: bool) -> FeaturesReport:
    import pandas as pd

    if missing:
        words = f"period {period} is not in raw: ingest it first"
        return FeaturesReport(spec.name, period, 0, [], [Check("output_contract", Verdict.FAIL, words, {})], None)
    raw = lake.read(spec.name, "raw", periods=[period])
    frame = raw.iloc[:0].reindex(columns=[*spec.data.key, *TIMES])
    frame = frame.assign(**{name: pd.Series([], dtype="datetime64[us, UTC]") for name in TIMES})
    write = lake.replace_partition(spec.name, "features", period, frame)
    words = "the period has no rows: there is nothing to compute"
    return FeaturesReport(spec.name, period, 0, [], [Check("output_contract", Verdict.PASS, words, {})], write)


def _point_in_time(future: list[str], names: list[str]) -> Check:
    if future:
        words = (
            f"{', '.join(future)}: the value for a row changes when later rows are taken away (or at each call); "
            "look only backwards: shift(1), rolling, expanding, never a statistic of the entire frame"
        )
        return Check("point_in_time", Verdict.FAIL, words, {"columns": ", ".join(future)})
    return Check("point_in_time", Verdict.PASS, f"{len(names)} features do not move when later rows are taken away", {})


def _inside(ordered: "pd.DataFrame", start: datetime, end: datetime) -> "pd.Series[bool]":
    return (ordered["_event_time"] >= start) & (ordered["_event_time"] < end)


def _of_period(
    spec: ModelSpec, ordered: "pd.DataFrame", features: "pd.DataFrame", inside: "pd.Series[bool]"
) -> "pd.DataFrame":
    """Return keys, times and features of the rows of a period, which follow each other in time."""
    import pandas as pd

    first = int(inside.to_numpy().argmax())
    rows = slice(first, first + int(inside.sum()))
    head = {name: ordered[name].array[rows] for name in (*spec.data.key, *TIMES)}
    return pd.DataFrame(head | {name: features[name].array[rows] for name in features}, copy=False)


def _in_time_order(spec: ModelSpec, raw: "pd.DataFrame") -> "pd.DataFrame":
    # A stable order whatever order the lake or a test gives: the function's lags depend on it.
    return raw.sort_values(["_event_time", *spec.data.key], kind="stable", ignore_index=True)


def computed_features(code: FeatureCode, spec: ModelSpec, ordered: "pd.DataFrame") -> "pd.DataFrame":
    """Return the checked features of all rows; the function sees declared columns, keys and the time, on a copy.

    Parameters
    ----------
    ordered
        Rows of the raw table in order of event time and key.

    Raises
    ------
    FeatureContractBroken
        As `build_features`.
    """
    import pandas as pd

    names = dict.fromkeys([*spec.data.key, *spec.data.columns])
    # column by column: pandas' own copy would put them together, over two more copies of all of them
    copies = {name: ordered[name].copy() for name in names if name in ordered and name != spec.data.label.column}
    given = pd.DataFrame(copies | {spec.data.time.column: ordered["_event_time"].copy()}, copy=False)
    del copies
    columns = sorted(given.columns)
    try:
        result = code.build(given)
    except KeyError as error:
        raise FeatureContractBroken(
            f"model {spec.name!r}, {spec.features.build}: it asks for {error}, and is given {columns}; "
            "declare the column under data.columns"
        ) from error
    del given
    return checked_features(spec, ordered.index, result)


def differing_columns(whole: "pd.DataFrame", alone: "pd.DataFrame") -> set[str]:
    """Return the columns of two frames of the same rows whose values differ, by 1e-9 of their size."""
    import numpy as np

    guilty = set(whole.columns) ^ set(alone.columns)
    for name in set(whole.columns) & set(alone.columns):
        left, right = whole[name], alone[name]
        if left.dtype == object or right.dtype == object:
            same = bool(((left == right) | (left.isna() & right.isna())).all())
        else:
            same = np.allclose(left.astype(float), right.astype(float), rtol=1e-9, atol=1e-12, equal_nan=True)
        if not same:
            guilty.add(name)
    return guilty
