"""Two models on the same rows while one of them serves: their losses where labels are mature, and the split itself."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.online import Trial, online_loss, sample_ratio
from retrain_pipeline.release.router import FALLBACK, Routing
from retrain_pipeline.release.scoring import entities
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores


@dataclass(frozen=True)
class Pair:
    """A version on trial and the one that it is compared with, from the period that begins at `since` on."""

    trial: str
    reference: str
    since: datetime


def compared_loss(stores: "Stores", spec: "ModelSpec", pair: Pair, as_of: datetime, longest: int) -> GateResult:
    """Judge the paired losses of a trial on the labels that are mature at `as_of`.

    Rows count that both models answered: in shadow all, in a canary those of canary and control, in equal numbers. So
    whatever serving a model does to the labels themselves weighs the same on both sides.

    Parameters
    ----------
    longest
        Periods that the trial lasts at most.
    """
    rows = paired_rows(stores, spec, pair, as_of)
    calendar = spec.data.time.calendar()
    hours = (calendar.shift(calendar.floor(pair.since), 1) - calendar.floor(pair.since)).total_seconds() / 3600
    per_period = hours / spec.gates.block_hours
    if not len(rows):
        words = f"no row that {pair.trial} and {pair.reference} both answered has a mature label yet"
        return GateResult(gate="online_loss", verdict=Verdict.INCONCLUSIVE, n=0, words=words)
    found = Trial(
        trial=rows["trial_loss"].to_numpy(),
        reference=rows["reference_loss"].to_numpy(),
        event_time=rows["_event_time"],
        metric=spec.problem.success.metric,
        margin=spec.rollout.margin,
        alpha=spec.gates.alpha,
        block_hours=spec.gates.block_hours,
        min_rows=spec.gates.min_rows,
        expected_blocks=max(int(longest * per_period), 1),
    )
    return online_loss(found, (pair.trial, pair.reference))


def paired_rows(stores: "Stores", spec: "ModelSpec", pair: Pair, as_of: datetime) -> "pd.DataFrame":
    """Return the rows that both answered and whose label is mature, with `trial_loss` and `reference_loss`."""
    import pandas as pd

    from retrain_pipeline.learning.labels import encode_labels
    from retrain_pipeline.learning.losses import row_losses
    from retrain_pipeline.monitoring.feedback import mature_until

    identity = list(dict.fromkeys([*spec.data.key, "_event_time"]))
    answers = all_answers(stores, spec, pair.since, as_of)
    labels = _labels(stores, spec, pair.since, as_of, identity)
    if answers.empty or labels.empty:
        return pd.DataFrame()
    labels = labels[labels["_event_time"] < mature_until(spec, as_of)]
    sides = {}
    for name, version in (("trial", pair.trial), ("reference", pair.reference)):
        told = answers[answers["model_version"] == version].drop_duplicates(identity)
        joined = labels.merge(told, on=identity, how="inner")
        task = spec.data.label.task
        if joined.empty:
            return pd.DataFrame()
        losses = row_losses(spec.problem.success.metric, task, encode_labels(joined["label"], task), joined)
        sides[name] = joined[identity].assign(**{f"{name}_loss": losses})
    both = sides["trial"].merge(sides["reference"], on=identity, how="inner")
    return both.sort_values(["_event_time", *spec.data.key], kind="stable").reset_index(drop=True)


def all_answers(stores: "Stores", spec: "ModelSpec", since: datetime, as_of: datetime) -> "pd.DataFrame":
    """Return what any version answered from a moment on, served or not, as it was known by `as_of`."""
    import pandas as pd

    periods = spec.data.time.calendar().keys_between(since, as_of)
    tables = [
        stores.lake.read(spec.name, table, periods=_there(stores, spec, table, periods), known_by=as_of)
        for table in ("predictions", "shadow")
    ]
    return pd.concat([table for table in tables if len(table)]) if any(map(len, tables)) else pd.DataFrame()


def _there(stores: "Stores", spec: "ModelSpec", table: str, periods: list[str]) -> list[str]:
    known = stores.lake.partitions(spec.name, table)
    return [period for period in periods if period in known and known[period].rows]


def _labels(
    stores: "Stores", spec: "ModelSpec", since: datetime, as_of: datetime, identity: list[str]
) -> "pd.DataFrame":
    """Return the newest label of each event since a moment: it came in a period no earlier than that."""
    periods = _there(stores, spec, "labels", spec.data.time.calendar().keys_between(since, as_of))
    labels = stores.lake.read(spec.name, "labels", periods=periods, known_by=as_of)
    if labels.empty:
        return labels
    newest = labels.sort_values(["_known_time", "_period"], kind="stable").drop_duplicates(identity, keep="last")
    return newest.loc[newest["_event_time"] >= since, [*identity, "label"]]


def split_results(
    stores: "Stores", spec: "ModelSpec", routing: Routing, since: datetime, as_of: datetime
) -> list[GateResult]:
    """Judge whether entities were routed as declared since a stage began: in number, and one by one.

    Nothing is read off a split that is off (G18).
    """
    periods = spec.data.time.calendar().keys_between(since, as_of)
    names = list(dict.fromkeys([*spec.data.key, "_event_time", "arm", "model_version"]))
    there = _there(stores, spec, "predictions", periods)
    rows = stores.lake.read(spec.name, "predictions", periods=there, known_by=as_of, columns=[*names, "_period"])
    if rows.empty:
        words = "nobody was served since this stage began"
        return [GateResult(gate=gate, verdict=Verdict.INCONCLUSIVE, n=0, words=words) for gate in _SPLIT]
    logged: dict[tuple[Any, ...], set[str]] = {}
    for entity, arm in zip(entities(stores, spec, rows), rows["arm"], strict=True):
        if arm != FALLBACK:
            logged.setdefault(entity, set()).add(str(arm))
    counts: dict[str, int] = {}
    for arms in logged.values():
        arm = min(arms)
        counts[arm] = counts.get(arm, 0) + 1
    return [sample_ratio(counts, routing.shares), _exposure(logged, routing)]


_SPLIT = ("sample_ratio", "exposure")


def _exposure(logged: dict[tuple[Any, ...], set[str]], routing: Routing) -> GateResult:
    """Judge whether each entity was answered in the arm that the router gives it, and in no other."""
    strayed = [entity for entity, arms in logged.items() if arms != {routing.route(entity).arm}]
    verdict = Verdict.FAIL if strayed else Verdict.PASS if logged else Verdict.INCONCLUSIVE
    example = f", for example {strayed[0]!r:.80}" if strayed else ""
    words = f"{len(strayed)} of {len(logged)} entities were answered outside their arm{example}"
    return GateResult(
        gate="exposure", verdict=verdict, statistic=float(len(strayed)), threshold=0.0, n=len(logged), words=words
    )


def serves(stores: "Stores", model: str, version: str) -> GateResult:
    """Judge whether a version can answer now."""
    from retrain_pipeline.release.rollback import cannot_serve

    why = cannot_serve(stores, model, version)
    verdict = Verdict.PASS if why is None else Verdict.FAIL
    return GateResult(gate="serves", verdict=verdict, words=(why or f"{version} loads and answers")[:2000])
