"""Evidently's pages for people: drift of the columns, and quality where labels are known. They decide nothing."""

import logging
import os
import warnings
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.lake.declared import Task
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.monitoring.feedback import mature_until
from retrain_pipeline.monitoring.performance import LONG_PERIODS, MIN_ROWS
from retrain_pipeline.spec.model import ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    from evidently import DataDefinition

_log = logging.getLogger("retrain_pipeline")

# Evidently 0.7.23 puts values and names into a script of its page as they are: a category "</script>" would end it.
_MARKUP = str.maketrans("<>", "‹›")


@dataclass(frozen=True)
class HtmlReport:
    """A stored report and the rows that it is about. `quality`: digest of the page on labels and answers, if any."""

    digest: str
    reference_rows: int
    current_rows: int
    quality: str | None = None


def html_report(
    artifacts: Artifacts, reference: "pd.DataFrame", current: "pd.DataFrame", *, max_rows: int, seed: int, title: str
) -> HtmlReport | None:
    """Store Evidently's HTML of a sample of both sides and return its digest; None when no column can be compared.

    Parameters
    ----------
    reference, current
        Features. Columns with fewer than two values on either side are left out: Evidently has no answer for them.
    max_rows
        At most so many rows of each side, drawn with `seed`.

    Notes
    -----
    Takes about 4 s and 4 MB for 2,000 rows of 10 columns on each side, and 10 to 30 s once for the import of Evidently.
    """
    names = [name for name in reference.columns if name in current and _comparable(reference[name], current[name])]
    if not names:
        return None
    sides = [_harmless(_sample(side[names], max_rows, seed)) for side in (reference, current)]
    names = list(sides[0].columns)
    _keep_to_itself()
    from evidently import DataDefinition
    from evidently.presets import DataDriftPreset

    numeric = [name for name in names if sides[0][name].dtype != object]
    definition = DataDefinition(
        numerical_columns=numeric, categorical_columns=[name for name in names if name not in numeric]
    )
    page = _page(DataDriftPreset(), definition, sides[0], sides[1], title)
    return HtmlReport(artifacts.put(page), len(sides[0]), len(sides[1]))


def quality_report(
    artifacts: Artifacts, task: Task, current: "pd.DataFrame", before: "pd.DataFrame", *, max_rows: int, seed: int,
    title: str,
) -> str | None:  # fmt: skip
    """Store Evidently's page on labels and answers and return its digest.

    None with fewer than 50 rows or one class, and where Evidently fails.

    Parameters
    ----------
    current, before
        `label`, `prediction` and `score`, as `labelled_rows` returns them. The rows of before are left out where they
        are too few.

    Notes
    -----
    Takes about 1 s and 4 MB for 1,000 rows on each side.
    """
    if not _tells(current, task):
        return None
    _keep_to_itself()
    from evidently.presets import ClassificationPreset, RegressionPreset

    preset = RegressionPreset() if task == "regression" else ClassificationPreset()
    now = _spelled(_sample(current, max_rows, seed), task)
    earlier = _spelled(_sample(before, max_rows, seed), task) if _tells(before, task) else None
    if earlier is not None and task == "multiclass" and _classes(now) != _classes(earlier):
        earlier = None  # Evidently looks for every class on both sides
    scored = task == "binary" and all(one is None or one["score"].notna().all() for one in (now, earlier))
    unused = [] if scored else ["score"]
    earlier = None if earlier is None else earlier.drop(columns=unused)
    try:
        page = _page(preset, _quality_definition(task, scored), earlier, now.drop(columns=unused), title)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Evidently 0.7.23 stumbles over labels that never vary, for one. Its page decides nothing, and the monitoring
        # of the period must not end with it.
        _log.warning("%s: no Evidently page on labels and answers: %s: %s", title, type(error).__name__, error)
        return None
    return artifacts.put(page)


def labelled_rows(
    lake: Lake, spec: ModelSpec, version: str, since: datetime, end: datetime
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return labels and answers of a version: the newest four periods of labels, and the four before these.

    Only of rows that are old enough for every label to have come (I25): early labels are no sample of all.
    """
    calendar = spec.data.time.calendar()
    stored = lake.partitions(spec.name, "feedback").items()
    periods = [p for p, one in stored if one.rows and calendar.bounds(p)[1] <= end and calendar.bounds(p)[1] > since]
    columns = ["label", "prediction", "score", "model_version", "_event_time"]
    frames = []
    for part in (periods[-LONG_PERIODS:], periods[-2 * LONG_PERIODS : -LONG_PERIODS]):
        frame = lake.read(spec.name, "feedback", periods=part, known_by=end, columns=columns)
        keep = (frame["model_version"] == version) & (frame["_event_time"] < mature_until(spec, end))
        frames.append(frame.loc[keep, ["label", "prediction", "score"]])
    return frames[0], frames[1]


def _tells(frame: "pd.DataFrame", task: Task) -> bool:
    """Are there rows enough, and classes enough? Where one class is all, its rates are of nothing.

    Of a model for several classes at least three: Evidently 0.7.23 takes two for a binary one, and looks for a 1.
    """
    if len(frame) < MIN_ROWS or task == "regression":
        return len(frame) >= MIN_ROWS
    least = min(frame["label"].nunique(), frame["prediction"].nunique())
    return least > 1 and (task == "binary" or len(_classes(frame)) > 2)


def _classes(frame: "pd.DataFrame") -> set[Any]:
    return {*frame["label"].unique().tolist(), *frame["prediction"].unique().tolist()}


def _spelled(frame: "pd.DataFrame", task: Task) -> "pd.DataFrame":
    from retrain_pipeline.learning.labels import encode_labels

    told = {name: encode_labels(frame[name], task).tolist() for name in ("label", "prediction")}
    return _harmless(frame.assign(**told))


def _quality_definition(task: Task, scored: bool) -> "DataDefinition":
    from evidently import BinaryClassification, DataDefinition, MulticlassClassification, Regression

    both = ["label", "prediction"]
    if task == "regression":
        return DataDefinition(regression=[Regression(target="label", prediction="prediction")], numerical_columns=both)
    if task == "multiclass":
        told = MulticlassClassification(target="label", prediction_labels="prediction")
        return DataDefinition(classification=[told], categorical_columns=both)
    score = "score" if scored else None
    binary = BinaryClassification(target="label", prediction_labels="prediction", prediction_probas=score)
    numbers = ["score"] if scored else []
    return DataDefinition(classification=[binary], numerical_columns=numbers, categorical_columns=both)


def _keep_to_itself() -> None:
    # Evidently sends usage data unless this is set, whatever its value; it is read at each event.
    os.environ.setdefault("DO_NOT_TRACK", "1")


def _page(
    preset: Any, definition: "DataDefinition", before: "pd.DataFrame | None", now: "pd.DataFrame", title: str
) -> bytes:
    from evidently import Dataset, Report

    sides = [None if one is None else Dataset.from_pandas(one, data_definition=definition) for one in (now, before)]
    report = Report([preset], metadata={"title": title.translate(_MARKUP)})
    with warnings.catch_warnings():
        # its chi-squared divides by the expected count of a category that one side never had
        warnings.simplefilter("ignore", RuntimeWarning)
        page: str = report.run(*sides).get_html_str(as_iframe=False)
    return page.encode()


def _harmless(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return the frame with angle brackets of names and texts replaced by look-alikes."""
    texts = {
        name: frame[name].map(lambda value: value.translate(_MARKUP) if isinstance(value, str) else value)
        for name in frame.columns
        if frame[name].dtype == object
    }
    return frame.assign(**texts).rename(columns=lambda name: str(name).translate(_MARKUP))


def _comparable(reference: "pd.Series[Any]", current: "pd.Series[Any]") -> bool:
    return reference.notna().sum() > 1 and current.notna().sum() > 1


def _sample(frame: "pd.DataFrame", max_rows: int, seed: int) -> "pd.DataFrame":
    if len(frame) <= max_rows:
        return frame.reset_index(drop=True)
    return frame.sample(max_rows, random_state=seed).sort_index().reset_index(drop=True)
