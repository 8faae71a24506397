"""How stale is the champion? Its loss in each period beside that of a model fitted right before it.

The fresh one is a twin (`learning.twins`): the champion's recipe on all that a retrain right before the period could
have learned. What lies between their losses is what a retrain in time would have saved; a period that is hard for
both, or whose labels are wrong, has none of it. Judged are periods whose labels have had their declared delay. Where a
twin does not learn from all rows the champion is stood for by a twin of its own, made from as many.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from retrain_pipeline.learning.errors import TwinNotMade
from retrain_pipeline.learning.losses import mean_error, row_losses, scale_of
from retrain_pipeline.learning.prediction import predict
from retrain_pipeline.learning.twins import MAX_ROWS, Recipe, champion_recipe, fit_twin, labelled_rows, twin_periods
from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.monitoring.champion import Champion
from retrain_pipeline.periods import as_utc
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from retrain_pipeline.ledger.store import Ledger

CATCH_UP = 4
"""Periods that one monitoring judges at most; what is left is judged by the next."""
PAST = 8
"""Champions whose courses are kept."""
MIN_ROWS = 50
_DIGITS = 6
_NEWEST = 16


@dataclass(frozen=True)
class Judged:
    """One period: the mean loss of the champion, and of the twin fitted right before it, in units of `scale`."""

    period: str
    champion: float
    fresh: float
    se: float
    """Standard error of the difference."""


@dataclass(frozen=True)
class Staleness:
    """A champion's course so far. `past`: the excess of earlier champions by age, the oldest first.

    `scale` is what a loss of 1 means: 1 for classification, the size of a label for a regression. `trouble`: why the
    newest could not be judged.
    """

    version: str
    scale: float
    judged: tuple[Judged, ...] = ()
    past: tuple[tuple[float, ...], ...] = ()
    trouble: str | None = None

    @property
    def excess(self) -> tuple[float, ...]:
        """What a retrain right before each period would have saved in it."""
        return tuple(round(one.champion - one.fresh, _DIGITS) for one in self.judged)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        judged = [[one.period, one.champion, one.fresh, one.se] for one in self.judged]
        past = [list(one) for one in self.past]
        return {"version": self.version, "scale": self.scale, "judged": judged, "past": past, "trouble": self.trouble}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Staleness":
        """Return what `to_json` wrote."""
        judged = tuple(Judged(*one) for one in value["judged"])
        return cls(
            str(value["version"]), float(value["scale"]), judged, tuple(map(tuple, value["past"])), value["trouble"]
        )


def staleness(stores: Stores, spec: ModelSpec, champion: Champion, end: datetime) -> Staleness | None:
    """Return the champion's course as of the end of a period: that of the period before, and what is known since.

    None while nothing can be said: no period since the release has its labels, or twins cannot be fitted on so few.
    """
    before = _before(stores.ledger, spec, end)
    if before is not None and before.version != champion.version:
        gone = (before.excess,) if before.judged else ()
        before = Staleness(champion.version, 0.0, past=(*before.past, *gone)[-PAST:])
    course = before or Staleness(champion.version, 0.0)
    due = _due(stores, spec, champion, end, {one.period for one in course.judged})
    try:
        for scale, judged in _judged(stores, spec, champion, end, due, course.scale):
            course = Staleness(champion.version, scale, (*course.judged, judged), course.past)
    except TwinNotMade as error:
        course = replace(course, trouble=str(error))
    return course if course.judged or course.past or course.trouble else None


def _judged(
    stores: Stores, spec: ModelSpec, champion: Champion, end: datetime, periods: Sequence[str], scale: float
) -> Iterator[tuple[float, Judged]]:
    """Yield the first periods that can be judged, at most `CATCH_UP`, each with the scale of its losses."""
    if not periods:
        return
    recipe = champion_recipe(stores, spec, champion.version)
    mine = _stand_in(stores, spec, champion, recipe)
    judged = 0
    for period in periods if mine is not None else ():
        rows = labelled_rows(stores.lake, spec, [period], end)
        if rows is None or len(rows[1]) < MIN_ROWS:  # it holds up none of those after it
            continue
        fresh = _twin(stores, spec, recipe, spec.data.time.calendar().bounds(period)[0], end)
        if fresh is None:
            continue
        judged += 1
        scale = scale or fresh[1]
        losses = [_losses(spec, one, rows) / scale for one in (mine, fresh[0])]
        told = (*(float(one.mean()) for one in losses), mean_error(losses[0] - losses[1]))
        yield scale, Judged(period, *(round(one, _DIGITS) for one in told))
        if judged == CATCH_UP:
            return


def _stand_in(stores: Stores, spec: ModelSpec, champion: Champion, recipe: Recipe) -> Any:
    """Return the champion; its twin where it learned from more rows than a twin does."""
    from retrain_pipeline.learning.versions import load_version

    periods = twin_periods(stores.lake, spec, recipe, champion.as_of, champion.as_of)
    stored = stores.lake.partitions(spec.name, "features")
    if sum(stored[period].rows for period in periods) <= MAX_ROWS:
        return load_version(stores, spec.name, champion.version).pipeline
    twin = _twin(stores, spec, recipe, champion.as_of, champion.as_of)
    return None if twin is None else twin[0]


def _before(ledger: "Ledger", spec: ModelSpec, end: datetime) -> Staleness | None:
    entries = ledger.entries(model=spec.name, action="monitored", limit=_NEWEST, newest_first=True)
    earlier = [entry for entry in entries if _as_of(entry) < end]
    if not earlier:
        return None
    found = max(earlier, key=lambda entry: (_as_of(entry), entry.seq)).payload.get("staleness")
    return replace(Staleness.from_json(found), trouble=None) if found else None


def _as_of(entry: Entry) -> datetime:
    return as_utc(datetime.fromisoformat(entry.payload["as_of"]))


def _due(stores: Stores, spec: ModelSpec, champion: Champion, end: datetime, judged: set[str]) -> list[str]:
    """Return the periods that the champion served, whose labels are due by now, and that were not judged yet."""
    calendar, delay = spec.data.time.calendar(), timedelta(hours=spec.data.label.delay_hours)
    bounds = {period: calendar.bounds(period) for period in stores.lake.periods(spec.name, "features")}
    return [p for p, (a, b) in bounds.items() if a >= champion.as_of and b + delay <= end and p not in judged]


def _twin(
    stores: Stores, spec: ModelSpec, recipe: Recipe, until: datetime, as_of: datetime
) -> tuple[Any, float] | None:
    """Return a twin and the size of the labels it learned; None where there is too little to learn from."""
    import numpy as np

    from retrain_pipeline.learning.training_set import MIN_TRAINING_ROWS

    rows = labelled_rows(stores.lake, spec, twin_periods(stores.lake, spec, recipe, until, as_of), as_of)
    if rows is None or len(rows[1]) < MIN_TRAINING_ROWS or len(np.unique(rows[1])) < 2:
        return None
    fitted = fit_twin(recipe.candidate, *rows, spec.data.label.task, spec.training.seed)
    return fitted, scale_of(spec.problem.success.metric, rows[1])


def _losses(spec: ModelSpec, twin: Any, rows: Sequence[Any]) -> "NDArray[np.float64]":
    answers = predict(twin, spec.data.label.task, rows[0]).frame
    return row_losses(spec.problem.success.metric, spec.data.label.task, rows[1], answers)
