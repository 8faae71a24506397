"""Late labels, read from the stores: how many are known, what the loss will be, how right earlier estimates were."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.monitoring.champion import Champion
from retrain_pipeline.monitoring.evidence import Scored, guess_loss
from retrain_pipeline.monitoring.feedback import feedback_batches, mature_until
from retrain_pipeline.monitoring.labelfree import LossGuess
from retrain_pipeline.monitoring.maturity import (
    MATURE_SHARE,
    Cell,
    Maturing,
    MaturityCurve,
    Triangle,
    maturing,
    maturity_curve,
)
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores

if TYPE_CHECKING:
    import pandas as pd

PERIODS = 26
"""A curve is learned from so many newest periods: delays change."""
KNOWN_ROWS = 5_000
"""Mature rows that are read to learn from, about."""
MOST_ROWS = 50_000
"""Of more rows of a period every k-th is looked at: the figures are means, and a period of a million fits no memory."""
_WORST = {"error": 1.0, "brier": 1.0}


@dataclass(frozen=True)
class Reconciled:
    """An estimate of an earlier period, made without labels, beside what came true."""

    period: str
    version: str
    estimate: float
    high: float
    realized: float
    n: int

    @property
    def inside(self) -> bool:
        """Was the truth within the interval?"""
        return abs(self.realized - self.estimate) <= self.high - self.estimate

    @property
    def words(self) -> str:
        """Return estimate and truth side by side."""
        half = self.high - self.estimate
        told = "inside" if self.inside else "outside"
        came = f"came out {self.realized:.4g} (n={self.n})"
        return f"{self.period}: estimated {self.estimate:.4g} ± {half:.3g}, {came}: {told}"


@dataclass(frozen=True)
class Late:
    """What is known of a period whose labels come late. `expected`, `known`: labels that were due now, and came."""

    curve: MaturityCurve
    maturing: tuple[Maturing, ...]
    guess: LossGuess
    reconciled: tuple[Reconciled, ...]
    expected: int
    known: int

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {**asdict(self), "reconciled": [{**asdict(one), "words": one.words} for one in self.reconciled]}


def late_labels(
    stores: Stores,
    spec: ModelSpec,
    champion: Champion,
    period: str,
    end: datetime,
    known: Callable[[], Scored | None],
) -> Late:
    """Return what is known of late labels as of the end of a period; nothing known later is read.

    Parameters
    ----------
    known
        Returns the mature rows that an estimate is made from (`known_rows`); asked only if one is needed.
    """
    triangle = read_triangle(stores.lake, spec, end)
    curve = maturity_curve(triangle)
    worst = _WORST.get(spec.problem.success.metric) if spec.data.label.task != "regression" else None
    due, came = _due(triangle)
    share = triangle.known(period)[0] / triangle.rows[period] if triangle.rows.get(period) else 0.0
    if share >= MATURE_SHARE:
        guess = LossGuess("none", "labels are known: no estimate is needed", triangle.rows.get(period, 0))
    else:
        guess = _guess(stores.lake, spec, champion, period, end, known)
    reconciled = reconcile(stores.lake, spec, triangle, curve, period)
    return Late(curve, maturing(triangle, curve, worst), guess, reconciled, due, came)


def read_triangle(lake: Lake, spec: ModelSpec, as_of: datetime) -> Triangle:
    """Return labels and losses of the newest 26 predicted periods by age, as they were known at a moment."""
    import pandas as pd

    from retrain_pipeline.lake.digests import row_digests

    calendar = spec.data.time.calendar()
    predicted = {
        period: one.rows
        for period, one in lake.partitions(spec.name, "predictions").items()
        if one.rows and calendar.bounds(period)[1] <= as_of
    }
    rows = {period: predicted[period] for period in list(predicted)[-PERIODS:]}
    if not rows:
        return Triangle({}, {}, {})
    ages = {period: calendar.periods_since(calendar.bounds(period)[1], as_of) for period in rows}
    identity = list(dict.fromkeys([*spec.data.key, "_event_time", "model_version", "arm"]))
    parts = []
    for periods in feedback_batches(lake, spec, as_of, calendar.bounds(next(iter(rows)))[0]):
        columns = [*identity, "predicted_period", "loss", "_period"]
        part = lake.read(spec.name, "feedback", periods=periods, known_by=as_of, columns=columns)
        part["row"] = row_digests(part, identity)
        parts.append(part[["row", "predicted_period", "_period", "loss"]])
    if not parts:
        return Triangle(rows, ages, {})
    frame = pd.concat(parts).sort_values(["_period", "row"], kind="stable").drop_duplicates("row")
    frame = frame[frame["predicted_period"].isin(list(rows))]
    cells: dict[str, dict[int, Cell]] = {}
    for key, losses in frame.groupby(["predicted_period", "_period"], sort=True)["loss"]:
        period, known = (str(one) for one in (key if isinstance(key, tuple) else ()))
        age = calendar.periods_since(calendar.bounds(period)[0], calendar.bounds(known)[0])
        values = losses.to_numpy()
        cells.setdefault(period, {})[age] = (len(values), float(values.sum()), float(values @ values))
    return Triangle(rows, ages, cells)


def _due(triangle: Triangle) -> tuple[int, int]:
    """Return how many labels should have become known in the newest period by the curve of before, and did."""
    earlier = Triangle(
        triangle.rows,
        {period: age - 1 for period, age in triangle.ages.items() if age >= 1},
        {p: {k: c for k, c in cells.items() if k < triangle.ages[p]} for p, cells in triangle.cells.items()},
    )
    curve = maturity_curve(earlier)
    due, came = 0.0, 0
    for period, age in triangle.ages.items():
        share = (curve.share(age) or 0.0) - (curve.share(age - 1) or 0.0)
        due += triangle.rows[period] * share
        came += triangle.cells.get(period, {}).get(age, (0, 0.0, 0.0))[0]
    return round(due), came


def reconcile(
    lake: Lake, spec: ModelSpec, triangle: Triangle, curve: MaturityCurve, period: str
) -> tuple[Reconciled, ...]:
    """Return the stored estimates of periods that became mature by now beside their losses, the oldest first."""
    if curve.mature_age is None:
        return ()
    mature = [one for one, age in triangle.ages.items() if age >= curve.mature_age and one < period]
    stored = sorted(set(mature) & set(lake.periods(spec.name, "monitoring")))
    if not stored:
        return ()
    columns = ["part", "column", "statistic", "effect", "_period"]
    rows = lake.read(spec.name, "monitoring", periods=stored, columns=columns)
    rows = rows[(rows["part"] == "estimated_loss") & rows["statistic"].notna()]
    found = []
    for earlier, version, estimate, half in rows[["_period", "column", "statistic", "effect"]].to_numpy().tolist():
        n, total, _ = triangle.known(earlier)
        if n:
            found.append(Reconciled(earlier, str(version), estimate, estimate + half, total / n, n))
    found.sort(key=lambda one: one.period)
    return tuple(found)


def _guess(
    lake: Lake,
    spec: ModelSpec,
    champion: Champion,
    period: str,
    end: datetime,
    known: Callable[[], Scored | None],
) -> LossGuess:
    identity = list(dict.fromkeys([*spec.data.key, "_event_time"]))
    answers = lake.read(spec.name, "predictions", periods=[period], known_by=end)
    if answers.empty:
        return LossGuess("none", "no estimate: nothing was predicted in this period")
    answers = thinned(answers[answers["model_version"] == champion.version].drop_duplicates(identity))
    features = with_features(lake, spec, [period], end, answers[identity])
    joined = answers[[*identity, "prediction", "score"]].merge(features, on=identity, how="inner")
    before = known()
    if before is None or not len(joined):
        return LossGuess("none", "no estimate: no mature rows of this champion", len(joined))
    task, metric = spec.data.label.task, spec.problem.success.metric
    names = [name for name in before.features.columns if name in joined]
    return guess_loss(task, metric, before, joined[names], joined[["prediction", "score"]], seed=spec.training.seed)


def known_rows(stores: Stores, spec: ModelSpec, champion: Champion, end: datetime) -> Scored | None:
    """Return rows with mature labels and the champion's answers: the newest it served, and what it was judged on.

    Its evaluation rows, which it never learned from, are read while it has served few.
    """
    import numpy as np
    import pandas as pd

    from retrain_pipeline.learning.labels import encode_labels
    from retrain_pipeline.learning.losses import row_losses

    frames = [
        one for one in (_evaluated(stores, spec, champion), _served(stores.lake, spec, champion, end)) if len(one)
    ]
    if not frames:
        return None
    names = [name for name in frames[-1].columns if all(name in one for one in frames)]
    joined = pd.concat([one[names] for one in frames], ignore_index=True)
    joined = joined.sort_values("_event_time", kind="stable").reset_index(drop=True)
    task = spec.data.label.task
    truth = encode_labels(joined["label"], task)
    losses = row_losses(spec.problem.success.metric, task, truth, joined)
    told = [name for name in joined.columns if name in ("prediction", "score") or name.startswith("p:")]
    inner = {*told, "label", *spec.data.key, "_known_time", "_period"}
    features = joined[[name for name in joined.columns if name not in inner and not name.startswith("_")]]
    moments = joined["_event_time"].dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    return Scored(features, joined[told], np.asarray(truth), losses, moments)


def _evaluated(stores: Stores, spec: ModelSpec, champion: Champion) -> "pd.DataFrame":
    from retrain_pipeline.learning.newest_judged import read_newest_judged
    from retrain_pipeline.learning.versions import load_version

    loaded = load_version(stores, spec.name, champion.version)
    frames = read_newest_judged(stores, loaded.manifest.frozen, KNOWN_ROWS)
    newest = frames.eval_x.tail(KNOWN_ROWS)
    answers = loaded.predict(newest).frame.set_axis(newest.index)
    moments = frames.eval_keys["_event_time"].tail(KNOWN_ROWS)
    return newest.assign(_event_time=moments, label=frames.eval_y[-KNOWN_ROWS:]).join(answers)


def _served(lake: Lake, spec: ModelSpec, champion: Champion, end: datetime) -> "pd.DataFrame":
    """Return the newest mature rows that the champion answered, with features, answers and labels."""
    import pandas as pd

    identity, until = list(dict.fromkeys([*spec.data.key, "_event_time"])), mature_until(spec, end)
    parts: list[pd.DataFrame] = []
    for periods in feedback_batches(lake, spec, end, champion.as_of, KNOWN_ROWS):
        columns = [*identity, "_known_time", "model_version", "label", "prediction", "score", "predicted_period"]
        part = lake.read(spec.name, "feedback", periods=periods, known_by=end, columns=columns)
        event = part["_event_time"]
        parts.append(part[(part["model_version"] == champion.version) & (event >= champion.as_of) & (event < until)])
        if sum(len(one) for one in parts) >= KNOWN_ROWS:
            break
    if not parts or not sum(len(one) for one in parts):
        return pd.DataFrame()
    rows = pd.concat(parts).sort_values(["_known_time"], kind="stable").drop_duplicates(identity, keep="last")
    rows = thinned(rows)
    there = with_features(lake, spec, sorted(set(rows["predicted_period"])), end, rows[identity])
    return rows[[*identity, "label", "prediction", "score"]].merge(there, on=identity, how="inner")


def thinned(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Return every k-th row by event time, where there are more than `MOST_ROWS`."""
    every = -(-len(rows) // MOST_ROWS)
    return rows if every <= 1 else rows.sort_values("_event_time", kind="stable").iloc[::every]


def with_features(
    lake: Lake, spec: ModelSpec, periods: Sequence[str], known_by: datetime, wanted: "pd.DataFrame"
) -> "pd.DataFrame":
    """Return key, event time and features of the rows of some periods that are wanted; no other is held in memory."""
    import polars as pl

    stored = sum(one.rows for period, one in lake.partitions(spec.name, "features").items() if period in set(periods))
    inner, identity = ["_known_time", "_period"], list(wanted.columns)
    rows = lake.lazy(spec.name, "features", periods, known_by=known_by)
    if rows is None or stored <= MOST_ROWS:
        found = lake.read(spec.name, "features", periods=periods, known_by=known_by)
    else:
        found = rows.join(pl.from_pandas(wanted).lazy(), identity, "semi").collect(engine="streaming").to_pandas()
    return found.drop(columns=[name for name in inner if name in found])
