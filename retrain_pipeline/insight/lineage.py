"""Which feature comes from which source column: seen by changing a column and looking at what moves.

Code is not read. The team's function runs on real rows, then on the same rows with one column changed in several ways;
a feature that moves comes from that column. What no change moved, and what moves by itself, is said, not guessed.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import RetrainError
from retrain_pipeline.learning.features import computed_features, differing_columns
from retrain_pipeline.learning.guarded import FitFailed, guarded
from retrain_pipeline.learning.team_code import FeatureCode
from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    import pandas as pd

    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

Change = Callable[["pd.Series[Any]"], "pd.Series[Any]"]

PROBE_ROWS = 600
"""The newest rows of the newest period with rows, and before them the history that the function may look at."""
_NEVER_SEEN = "a value that was never there"


class ColumnLineage(Strict):
    """Source columns by feature, and what could not be resolved. Columns are those of `raw`, as they are declared."""

    code: str
    """Digest of the feature code."""
    declared: str
    """Digest of the declared columns, keys and features: with the code it decides what can depend on what."""
    period: str
    """Where the rows come from that were changed."""
    rows: int
    sources: dict[str, tuple[str, ...]]
    """By feature, sorted; empty where nothing was seen."""
    unresolved: dict[str, str]
    """By feature or source column, why nothing could be said."""

    def features_of(self, column: str) -> list[str]:
        """Return the features that come from a source column, sorted."""
        return sorted(name for name, columns in self.sources.items() if column in columns)

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return the features by source column; columns that give the same features are one group, ``a + b``.

        A feature without a known source is a group of its own.
        """
        columns = sorted({one for found in self.sources.values() for one in found})
        alike: dict[tuple[str, ...], list[str]] = {}
        for column in columns:
            alike.setdefault(tuple(self.features_of(column)), []).append(column)
        alone = {name: (name,) for name, found in self.sources.items() if not found}
        return {" + ".join(names): features for features, names in alike.items()} | alone


@dataclass(frozen=True)
class Probe:
    """Rows of raw in order of event time and key, and the period of the newest."""

    rows: "pd.DataFrame"
    period: str


def declared_digest(spec: "ModelSpec") -> str:
    """Return the SHA-256 of what the function is given and how it is named."""
    from retrain_pipeline.canonical import digest_of

    told = spec.model_dump(mode="json")
    data = told["data"]
    given = {"columns": data["columns"], "key": data["key"], "time": data["time"], "label": data["label"]["column"]}
    return digest_of({**given, "features": told["features"]})


def probe_rows(stores: "Stores", spec: "ModelSpec") -> Probe | None:
    """Return rows to try things on; None while raw has none."""
    held = [name for name, one in stores.lake.partitions(spec.name, "raw").items() if one.rows]
    if not held:
        return None
    calendar = spec.data.time.calendar()
    start, end = calendar.bounds(held[-1])
    periods = calendar.keys_between(calendar.shift(start, -spec.features.history_periods), end)
    raw = stores.lake.read(spec.name, "raw", periods=periods)
    ordered = raw.sort_values(["_event_time", *spec.data.key], kind="stable", ignore_index=True)
    inside = int((ordered["_event_time"] >= start).sum())
    # at most so many of the period, and of the history before it what comes with them
    kept = PROBE_ROWS if inside > PROBE_ROWS else PROBE_ROWS + len(ordered) - inside
    return Probe(ordered.tail(kept).reset_index(drop=True), held[-1])


def observe(code: FeatureCode, spec: "ModelSpec", probe: Probe) -> ColumnLineage:
    """Return which feature comes from which column, as far as the probe's rows show it.

    Each column is mixed among the rows, shifted both ways, blown up, and made missing in half of the rows and in all.
    A change that the function does not bear says nothing; a column of which no change is borne is unresolved.

    Raises
    ------
    FeatureContractBroken, FitFailed
        When the function does not work on the rows as they are.
    """
    rows = probe.rows
    whole = guarded(lambda: computed_features(code, spec, rows))
    restless = differing_columns(whole, guarded(lambda: computed_features(code, spec, rows)))
    found: dict[str, set[str]] = {str(name): set() for name in whole.columns}
    unresolved = dict.fromkeys(sorted(restless), "its values differ between two calls on the same rows")
    for column, place in _given(spec, rows).items():
        borne, why = 0, ""
        for change in _changes(place, rows[place]):
            try:
                other = guarded(partial(_with, code, spec, rows, place, change))
            except (RetrainError, FitFailed) as error:
                why = " ".join(str(error).split())[:200]
                continue
            borne += 1
            for name in differing_columns(whole, other) - restless:
                found.setdefault(name, set()).add(column)
        if not borne:
            unresolved[column] = f"the function bears no change of it: {why}" if why else "it cannot be changed"
    for name in sorted(name for name, columns in found.items() if not columns and name not in unresolved):
        unresolved[name] = "no change of any one column moved it on the rows that were looked at"
    return ColumnLineage(
        code=code.digest,
        declared=declared_digest(spec),
        period=probe.period,
        rows=len(rows),
        sources={name: tuple(sorted(found[name])) for name in sorted(found)},
        unresolved=unresolved,
    )


def _given(spec: "ModelSpec", rows: "pd.DataFrame") -> dict[str, str]:
    """Return what the function is given, by name, and the column of the rows that it is made of."""
    names = [name for name in (*spec.data.key, *spec.data.columns) if name in rows and name != spec.data.label.column]
    return {name: name for name in sorted(set(names))} | {spec.data.time.column: "_event_time"}


def _with(code: FeatureCode, spec: "ModelSpec", rows: "pd.DataFrame", place: str, change: Change) -> "pd.DataFrame":
    with warnings.catch_warnings():  # what a team's function warns of on rows that never were is no news to anybody
        warnings.simplefilter("ignore")
        return computed_features(code, spec, rows.assign(**{place: change(rows[place])}))


def _changes(place: str, column: "pd.Series[Any]") -> list[Change]:
    """Return the ways in which a column is changed."""
    from pandas.api import types

    if place == "_event_time":
        return [*(partial(_later, hours=hours) for hours in (5, 24 * 3, 24 * 100, 24 * 400)), _stretched]
    ways: list[Change] = [_mixed, _half_missing, _missing]
    if types.is_bool_dtype(column.dtype):
        return [*ways, _inverted]
    if types.is_numeric_dtype(column.dtype):
        return [*ways, *(partial(_moved, by=by) for by in (1.0, -1.0)), _blown_up]
    if types.is_datetime64_any_dtype(column.dtype):
        return [*ways, partial(_later, hours=29)]
    return [*ways, _next_level, _unseen]


def _later(column: "pd.Series[Any]", hours: int) -> "pd.Series[Any]":
    import pandas as pd

    return column + pd.Timedelta(hours=hours)  # all rows alike: their order stays


def _stretched(column: "pd.Series[Any]") -> "pd.Series[Any]":
    stretched: pd.Series[Any] = column.min() + (column - column.min()) * 3
    return stretched


def _mixed(column: "pd.Series[Any]") -> "pd.Series[Any]":
    import numpy as np

    return column.take(np.random.default_rng(0).permutation(len(column))).set_axis(column.index)


def _half_missing(column: "pd.Series[Any]") -> "pd.Series[Any]":
    return column.where(column.index.to_numpy() % 2 == 0)


def _missing(column: "pd.Series[Any]") -> "pd.Series[Any]":
    return column.where(column.index.to_numpy() < 0)


def _inverted(column: "pd.Series[Any]") -> "pd.Series[Any]":
    return ~column


def _moved(column: "pd.Series[Any]", by: float) -> "pd.Series[Any]":
    import math

    spread = float(column.std(ddof=0) or 0.0)
    step = math.ceil(spread) or 1 if math.isfinite(spread) else 1
    return column + int(by * step)


def _blown_up(column: "pd.Series[Any]") -> "pd.Series[Any]":
    return column * 1000


def _next_level(column: "pd.Series[Any]") -> "pd.Series[Any]":
    levels = sorted(column.dropna().unique())
    following = dict(zip(levels, [*levels[1:], levels[0] if len(levels) > 1 else _NEVER_SEEN], strict=True))
    return column.astype(object).map(following, na_action="ignore")


def _unseen(column: "pd.Series[Any]") -> "pd.Series[Any]":
    return column.astype(object).map(lambda _: _NEVER_SEEN, na_action="ignore")
