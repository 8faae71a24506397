"""A signal where the canary serves and in its control: the same periods, entities drawn in the same way.

A bad period is one for both, and what a canary of a few entities does is not thinned by everybody else. An entity
counts where the router puts it, whoever answered in the end.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from retrain_pipeline.monitoring.signal_feeds import VALUE, entity_columns, peek_feed
from retrain_pipeline.release.router import CANARY, CONTROL, FALLBACK, Routing
from retrain_pipeline.release.scoring import entities

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.spec.signals import Aggregate
    from retrain_pipeline.stores import Stores

ENTITY = "entity"
BY_ARM = ("prediction_mean", "positive_share", "error_rate", "label_arrival_share")
"""Built-in signals that are told by arm. Latencies are not: a row's is its share of its batch, and an arm's batches
are of another size; nor are counts and throughput: who comes is not who is answered."""


@dataclass(frozen=True)
class Arm:
    """The value that a signal would have if everybody were served like this arm, and its standard error."""

    value: float
    se: float
    entities: int


@dataclass(frozen=True)
class Told:
    """Rows of a signal, whatever their arm: `entity` (a tuple) and `value`; of so many periods of so many hours."""

    rows: "pd.DataFrame"
    aggregate: "Aggregate"
    periods: int
    hours: float


def arms_of(told: Told, routing: Routing) -> tuple[Arm, Arm]:
    """Return a signal's value a period in the canary and in its control.

    A mean is a ratio of sums over entities, whose rows depend on each other: its error is that of the linearised ratio
    (Cochran 1977, *Sampling Techniques*, §6.4). Of a sum or count, an entity without a row adds nothing: the arm's
    total over its share (Horvitz and Thompson 1952); with entities drawn at random into two arms of share p, the
    difference of the two has the variance 2·Σy²/p, which the two errors together estimate.
    """
    import numpy as np

    per = told.rows.groupby(ENTITY, sort=True)[VALUE].agg(["sum", "count"])
    arms = np.array([routing.route(entity).arm for entity in per.index], dtype=object)
    found = []
    for name in (CANARY, CONTROL):
        total, rows = (per.loc[arms == name, column].to_numpy(dtype=float) for column in ("sum", "count"))
        n = len(total)
        if told.aggregate == "mean":
            value = float(total.sum() / rows.sum()) if n else 0.0
            apart = total - value * rows
            se = float(np.sqrt(apart @ apart * n / max(n - 1, 1)) / rows.sum()) if n else 0.0
        else:
            scale = routing.shares[name] * told.periods * (told.hours if told.aggregate == "rate" else 1.0)
            value, se = float(total.sum() / scale), float(np.sqrt(total @ total) / scale)
        found.append(Arm(value, se, n))
    return found[0], found[1]


def rows_of(
    stores: "Stores", spec: "ModelSpec", name: str, since: datetime, as_of: datetime, root: Path
) -> Told | None:
    """Return the rows of a signal since a moment, as they were known by another; None where it is not told by entity.

    Parameters
    ----------
    root
        The folder that declared paths are relative to.
    """
    calendar = spec.data.time.calendar()
    start, end = calendar.bounds(calendar.key(since))
    hours = (end - start).total_seconds() / 3600
    if name in BY_ARM:
        rows, periods = _built_in(stores, spec, name, since, as_of)
        return Told(rows, "mean", periods, hours)
    signal = spec.signals.get(name)
    if signal is None or not signal.entity:
        return None
    rows, periods = _declared(stores, spec, name, since, as_of, root)
    return Told(rows, signal.aggregate, periods, hours)


def _declared(
    stores: "Stores", spec: "ModelSpec", name: str, since: datetime, as_of: datetime, root: Path
) -> "tuple[pd.DataFrame, int]":
    import pandas as pd

    feed = peek_feed(stores.lake, spec, name, since, as_of, root)
    parts = [part for _, part in feed.due(as_of)]
    if not parts:
        return _nothing(), 0
    columns = entity_columns(len(feed.signal.entity))
    rows = pd.concat(parts).dropna()  # of nobody: no arm has them
    whose = list(rows[columns].itertuples(index=False, name=None))
    return pd.DataFrame({ENTITY: whose, VALUE: rows[VALUE].to_numpy()}), len(parts)


def _nothing() -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame({ENTITY: pd.Series(dtype=object), VALUE: pd.Series(dtype="float64")})


def _built_in(
    stores: "Stores", spec: "ModelSpec", name: str, since: datetime, as_of: datetime
) -> "tuple[pd.DataFrame, int]":
    import numpy as np
    import pandas as pd

    present, calendar = stores.lake.partitions(spec.name, "predictions"), spec.data.time.calendar()
    periods = [key for key in calendar.keys_between(since, as_of) if key in present and present[key].rows]
    if name == "label_arrival_share":
        delay = timedelta(hours=spec.data.label.delay_hours)
        periods = [key for key in periods if calendar.bounds(key)[1] + delay <= as_of]
    answer = "prediction" if name == "positive_share" or spec.data.label.task == "regression" else "score"
    columns = [*dict.fromkeys([*spec.data.key, "_event_time", "arm", answer]), "_period"]
    rows = stores.lake.read(spec.name, "predictions", periods=periods, known_by=as_of, columns=columns)
    if rows.empty:
        return _nothing(), 0
    if name == "error_rate":
        value = np.asarray(rows["arm"] == FALLBACK, dtype=np.float64)
    elif name == "label_arrival_share":
        value = _arrived(stores, spec, rows, periods)
    else:
        told = np.asarray(rows[answer], dtype=np.float64)
        value = told if name == "prediction_mean" else np.asarray(told == 1, dtype=np.float64)
    return pd.DataFrame({ENTITY: entities(stores, spec, rows), VALUE: value}).dropna(), len(periods)


def _arrived(stores: "Stores", spec: "ModelSpec", rows: "pd.DataFrame", periods: list[str]) -> "NDArray[np.float64]":
    """Return 1 where a row's label was known when it was due, else 0; NaN where no label was looked for since."""
    import numpy as np

    from retrain_pipeline.lake.digests import row_digests

    calendar, delay = spec.data.time.calendar(), timedelta(hours=spec.data.label.delay_hours)
    identity = list(dict.fromkeys([*spec.data.key, "_event_time"]))
    digests, found = row_digests(rows, identity), np.full(len(rows), np.nan)
    present = stores.lake.partitions(spec.name, "labels")
    for period in periods:
        due = calendar.bounds(period)[1] + delay
        since = [key for key in present if period <= key <= calendar.key(due)]
        if since:
            labels = stores.lake.read(spec.name, "labels", periods=since, known_by=due, columns=identity)
            mine = (rows["_period"] == period).to_numpy()
            found[mine] = np.isin(digests[mine], row_digests(labels, identity))
    return found
