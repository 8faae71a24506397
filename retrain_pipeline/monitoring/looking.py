"""One look at a period: everything that is measured and judged, before anything is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from retrain_pipeline.monitoring.champion import Champion, read_champion
from retrain_pipeline.monitoring.drift import Drift, drift, missing, out_of_range, unseen
from retrain_pipeline.monitoring.errors import ReferenceMissing
from retrain_pipeline.monitoring.explaining import Explained, Seen, explain
from retrain_pipeline.monitoring.feedback import champion_losses, mature_until
from retrain_pipeline.monitoring.kept import PeriodSummary, read_joint
from retrain_pipeline.monitoring.measuring import Answers, Inputs, Labels, read_answers, read_inputs, read_labels
from retrain_pipeline.monitoring.performance import Performance, performance
from retrain_pipeline.monitoring.reference import Reference, read_reference, read_sample
from retrain_pipeline.monitoring.staleness import Staleness, staleness
from retrain_pipeline.monitoring.summaries import ColumnProfile, Profile
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.monitoring.report import HtmlReport


@dataclass(frozen=True)
class Found:
    """What was found. `unseen`, `missing` and `out_of_range` count values per column, where there are any."""

    champion: Champion | None
    inputs: Inputs
    answers: Answers
    drift: Drift
    prediction_drift: Drift
    performance: Performance
    labels: Labels
    unseen: dict[str, int]
    missing: dict[str, int]
    out_of_range: dict[str, int]
    evidently: "HtmlReport | None"
    explained: Explained
    summary: PeriodSummary | None = None
    staleness: Staleness | None = None


def look(stores: Stores, spec: ModelSpec, period: str, end: datetime, due: bool) -> Found:
    """Return what there is to say of a period as of its end; `due` asks for an Evidently report too."""
    champion = read_champion(stores.ledger, spec)
    labels = read_labels(stores.lake, spec, end, champion.as_of if champion else None)
    reference = _reference(stores, spec, champion)
    if champion is None or reference is None:
        words = "no champion yet" if champion is None else f"champion {champion.version} has no reference profile"
        nothing = Drift(Verdict.INCONCLUSIVE, words)
        judged = _performance(stores, spec, champion, end)
        seen = Seen(judged, nothing, nothing, {}, {})
        explained = explain(stores, spec, champion, seen, period, end)
        return Found(champion, Inputs(), Answers(), nothing, nothing, judged, labels, {}, {}, {}, None, explained)
    inputs = read_inputs(stores.lake, spec, period, end, reference.features, spec.report.max_rows if due else 0)
    answers = read_answers(stores.lake, spec, period, champion.version, reference.predictions)
    if not inputs.rows:
        columns = Drift(Verdict.INCONCLUSIVE, "the period has no features")
    else:
        columns = _column_drift(stores, spec, period, end, reference, inputs)
    moved, judged = _prediction_drift(spec, reference, answers), _performance(stores, spec, champion, end)
    strange = unseen(reference.features.columns, inputs.columns)
    seen = Seen(judged, columns, moved, reference.features.columns, inputs.columns)
    return Found(
        champion,
        inputs,
        answers,
        columns,
        moved,
        judged,
        labels,
        strange,
        missing(inputs.columns),
        out_of_range(inputs.columns),
        _evidently(stores, spec, period, end, champion, reference, inputs),
        explain(stores, spec, champion, seen, period, end),
        PeriodSummary(
            period,
            champion.version,
            Profile(inputs.rows, inputs.columns),
            Profile(answers.rows, {"prediction": answers.profile}) if answers.profile else None,
            read_joint(stores, spec, period, end, champion.version, reference),
        ),
        staleness(stores, spec, champion, end),
    )


def _reference(stores: Stores, spec: ModelSpec, champion: Champion | None) -> Reference | None:
    if champion is None:
        return None
    try:
        return read_reference(stores, spec.name, champion.version)
    except ReferenceMissing:
        return None  # a version from before references were kept: its drift is INCONCLUSIVE, and says why


def _column_drift(
    stores: Stores, spec: ModelSpec, period: str, end: datetime, reference: Reference, inputs: Inputs
) -> Drift:
    """Return the drift of the inputs; what drifted is held against the same part of the year before, where known."""
    whole, periods = reference.features, reference.feature_periods
    found = _drift(spec, whole, inputs.columns, periods, "columns")
    before = spec.data.time.calendar().year_before(period)
    if found.verdict is not Verdict.FAIL or before is None:
        return found
    season = read_inputs(stores.lake, spec, before, end, whole, 0).columns
    return _drift(spec, whole, inputs.columns, periods, "columns", season) if season else found


def _drift(
    spec: ModelSpec,
    whole: Profile,
    now: Mapping[str, ColumnProfile],
    periods: Sequence[Profile],
    what: str,
    season: Mapping[str, ColumnProfile] | None = None,
) -> Drift:
    run_length, least = spec.trigger.expected_run_length_periods, spec.trigger.min_drift_sd
    return drift(whole, now, run_length, what, periods=periods, season=season, min_effect=least)


def _prediction_drift(spec: ModelSpec, reference: Reference, answers: Answers) -> Drift:
    if reference.predictions is None or answers.profile is None:
        return Drift(Verdict.INCONCLUSIVE, "the champion predicted nothing in this period")
    now = {"prediction": answers.profile}
    return _drift(spec, reference.predictions, now, reference.prediction_periods, "predictions")


def _performance(stores: Stores, spec: ModelSpec, champion: Champion | None, end: datetime) -> Performance:
    if champion is None:
        return Performance(Verdict.INCONCLUSIVE, "no champion yet")
    losses, times = champion_losses(stores.lake, spec, champion.version, champion.as_of, end)
    return performance(
        losses,
        times,
        champion.validated,
        spec.data.time.calendar(),
        block_hours=spec.gates.block_hours,
        run_length_periods=spec.trigger.expected_run_length_periods,
        until=mature_until(spec, end),
    )


def _evidently(
    stores: Stores,
    spec: ModelSpec,
    period: str,
    end: datetime,
    champion: Champion,
    reference: Reference,
    inputs: Inputs,
) -> "HtmlReport | None":
    if inputs.sample is None or inputs.sample.empty:
        return None
    from retrain_pipeline.monitoring.report import html_report, labelled_rows, quality_report

    rows, seed, title = spec.report.max_rows, spec.training.seed, f"{spec.name} {period}"
    before = read_sample(stores, reference)
    made = html_report(stores.artifacts, before, inputs.sample, max_rows=rows, seed=seed, title=title)
    now, earlier = labelled_rows(stores.lake, spec, champion.version, champion.as_of, end)
    task = spec.data.label.task
    quality = quality_report(stores.artifacts, task, now, earlier, max_rows=rows, seed=seed, title=title)
    return made and replace(made, quality=quality)
