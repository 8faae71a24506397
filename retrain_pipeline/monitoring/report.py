"""The Evidently report that people read: drift of the columns, on a stated sample. It decides nothing."""

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.artifacts import Artifacts

if TYPE_CHECKING:
    import pandas as pd


# Evidently 0.7.23 puts values and names into a script of its page as they are: a category "</script>" would end it.
_MARKUP = str.maketrans("<>", "‹›")


@dataclass(frozen=True)
class HtmlReport:
    """A stored report and the rows that it is about."""

    digest: str
    reference_rows: int
    current_rows: int


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
    # Evidently sends usage data unless this is set, whatever its value; it is read at each event.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numeric = [name for name in names if sides[0][name].dtype != object]
    definition = DataDefinition(
        numerical_columns=numeric, categorical_columns=[name for name in names if name not in numeric]
    )
    before, now = (Dataset.from_pandas(side, data_definition=definition) for side in sides)
    report = Report([DataDriftPreset()], metadata={"title": title.translate(_MARKUP)})
    with warnings.catch_warnings():
        # its chi-squared divides by the expected count of a category that one side never had
        warnings.simplefilter("ignore", RuntimeWarning)
        snapshot = report.run(now, before)
    digest = artifacts.put(snapshot.get_html_str(as_iframe=False).encode())
    return HtmlReport(digest, len(sides[0]), len(sides[1]))


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
