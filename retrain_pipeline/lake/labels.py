"""Labels into the lake, in the period in which each became usable.

A label is usable at the end of the first period by which it is known and its event has happened. So `labels[P]` is
what a computation as of the end of P has and one as of the end of the period before had not: exactly, whatever the
delay, and the same in a replay as live.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time as wall_clock
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.checks import Check
from retrain_pipeline.lake.contracts import DELIVERY, Contract
from retrain_pipeline.lake.declared import Data, Label, Task, TimeColumn
from retrain_pipeline.lake.duplicates import resolve
from retrain_pipeline.lake.files import ROW
from retrain_pipeline.lake.frames import EVENT_TIME, KNOWN_TIME
from retrain_pipeline.lake.quarantine import Quarantine
from retrain_pipeline.lake.sources import Window, read_source
from retrain_pipeline.lake.tables import Lake, PartitionWrite
from retrain_pipeline.periods import as_utc
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    import pandas as pd

LABEL = "label"
_REASONS = {
    "label_missing": "the label is missing or not finite",
    "label_value": "a binary label is 0 or 1",
    "label_without_row": "no row of the data has this key",
    "label_before_event": "the label was known before its event happened",
    "conflicting_key": "labels of this key, known at one time, differ",
}


@dataclass(frozen=True)
class LabelReport:
    """What became of a period's labels. write: None when there is nothing that labels could come from yet."""

    model: str
    period: str
    rows: int
    rejected: int
    checks: list[Check]
    write: PartitionWrite | None
    quarantine: PartitionWrite | None
    source_digests: list[str]

    @property
    def verdict(self) -> Verdict:
        """The worst of the checks."""
        return worst(check.verdict for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {**asdict(self), "checks": [check.to_json() for check in self.checks], "verdict": str(self.verdict)}


@dataclass(frozen=True)
class _Found:
    """Labels before judgement: key columns, `label`, both times. `present` says that there is something to read."""

    frame: "pd.DataFrame"
    present: bool
    digests: list[str]
    problems: list[str]


def ingest_labels(
    lake: Lake, data: Data, model: str, period: str, *, root: Path, now: datetime | None = None,
    clock: Callable[[], float] = wall_clock,
) -> LabelReport:  # fmt: skip
    """Make `labels` of a period the labels that became usable in it.

    Parameters
    ----------
    root, now, clock
        As for `ingest_period`; used for a label feed of its own only.

    Returns
    -------
    LabelReport
        Its check `labels` is INCONCLUSIVE when more than `max_rejected_share` of the labels were rejected, or when
        there is nothing to read, and FAIL when the feed breaks its contract.

    Notes
    -----
    Columns of `labels`: the key columns as in `raw`, `label` (float64, int64 0/1, or text by task), `_event_time` of
    the row and `_known_time`. A key may have a label in several periods: the one known last is a correction.
    """
    start, end = data.time.calendar().bounds(period)
    quarantine = Quarantine("labels", start)
    if data.label.source is None:
        found = _embedded(lake, data, model, start, end)
    else:
        moment = datetime.now(UTC) if now is None else as_utc(now)
        found = _fed(lake, data, model, period, quarantine, root=root, now=moment, clock=clock)
    frame = _judged(found.frame, data, quarantine)
    received = len(frame) + quarantine.rejected
    usable = found.present and not found.problems
    write = lake.replace_partition(model, "labels", period, frame) if usable else None
    keep = quarantine.has_rows or period in lake.partitions(model, "quarantine")
    return LabelReport(
        model, period, len(frame) if usable else 0, quarantine.rejected,
        [_check(data, found, received, quarantine)], write,
        quarantine.write(lake, model, period) if keep else None, found.digests,
    )  # fmt: skip


def _usable_in(frame: "pd.DataFrame", start: datetime, end: datetime) -> "pd.Series[bool]":
    """Return which rows are usable by the end of a period, and were not by its start."""

    def by(moment: datetime) -> Any:
        return (frame[KNOWN_TIME] <= moment) & (frame[EVENT_TIME] < moment)

    mask: pd.Series[bool] = by(end) & ~by(start)
    return mask


def _embedded(lake: Lake, data: Data, model: str, start: datetime, end: datetime) -> _Found:
    """Return the labels that `raw` holds: known `delay_hours` after their event."""
    import pandas as pd

    calendar, delay = data.time.calendar(), timedelta(hours=data.label.delay_hours)
    periods = calendar.keys_between(calendar.floor(max(start - delay, calendar.origin)), end)
    present = [key for key in lake.periods(model, "raw") if key in set(periods)]
    if not present:
        return _Found(pd.DataFrame(), False, [], [])
    columns = list(dict.fromkeys([*data.key, data.label.column, EVENT_TIME]))
    if not any(one.rows for key, one in lake.partitions(model, "raw").items() if key in present):
        return _Found(pd.DataFrame(), True, [], [])
    frame = lake.read(model, "raw", periods=present, columns=columns).rename(columns={data.label.column: LABEL})
    frame[KNOWN_TIME] = frame[EVENT_TIME] + delay
    return _Found(frame[_usable_in(frame, start, end)].reset_index(drop=True), True, [], [])


def _fed(
    lake: Lake, data: Data, model: str, period: str, quarantine: Quarantine, *, root: Path, now: datetime,
    clock: Callable[[], float],
) -> _Found:  # fmt: skip
    """Return the labels of a feed of its own, joined by key to the event times of `raw`."""
    start, end = data.time.calendar().bounds(period)
    feed = _feed_contract(data)
    contract = Contract(feed, now, quarantine)
    # Known at the very end of a period is known by its end; the next period leaves it to this one.
    window = Window(period, start, end + timedelta(microseconds=1), contract.columns)
    source = read_source(lake, model, "label", feed.source, feed.time, window, root=root, clock=clock)
    for refused in source.refused:
        quarantine.refuse_delivery(refused)
    result = contract.read(source.parts)
    frame = result.frame()
    contract.supersede(frame)
    # What was known at the very start was usable in the period before, and says nothing about this one.
    inside = bool(len(frame)) and bool((frame[EVENT_TIME] > start).any())
    present = source.covered or inside or bool(quarantine.rejected)
    if len(frame):
        frame = _joined(frame, lake, data, model, period, quarantine)
        frame = frame[_usable_in(frame, start, end)].reset_index(drop=True)
    digests = [part.digest for part in source.parts if part.digest]
    return _Found(frame, present, digests, result.problems)


def _feed_contract(data: Data) -> Data:
    """Return the declaration of a label feed: the key, the label, and when it became known as its time."""
    label, time = data.label, data.time
    known = TimeColumn(column=str(label.known_time), period=time.period, start=time.start, timezone=time.timezone)
    columns = {name: column for name, column in data.columns.items() if name in data.key}
    changes = {
        "source": label.source,
        "time": known,
        "columns": columns,
        "label": Label(column=label.column, task=label.task),
    }
    return data.model_copy(update=changes)


def _joined(
    frame: "pd.DataFrame", lake: Lake, data: Data, model: str, period: str, quarantine: Quarantine
) -> "pd.DataFrame":
    """Give labels the event time and key of their row; the last known of a key stands, those without a row do not."""
    frame = frame.rename(columns={data.label.column: LABEL, EVENT_TIME: KNOWN_TIME})
    resolved = resolve(frame.assign(**{DELIVERY: 0}), [*data.key, KNOWN_TIME])
    if resolved.keep is not None:
        _quarantine(frame.iloc[list(resolved.conflicting)], "conflicting_key", data, quarantine)
        frame = frame[resolved.keep]
    frame = frame.drop(columns=[DELIVERY, ROW, str(data.label.known_time)], errors="ignore")
    frame = frame.sort_values(KNOWN_TIME, kind="stable").drop_duplicates(list(data.key), keep="last")
    earlier = [key for key, one in lake.partitions(model, "raw").items() if key <= period and one.rows]
    frame["_join"] = _joinable(frame, data)
    if not earlier:
        _quarantine(frame, "label_without_row", data, quarantine)
        return frame.assign(**{EVENT_TIME: frame[KNOWN_TIME]}).iloc[:0]
    rows = lake.read(model, "raw", periods=earlier, columns=[*data.key, EVENT_TIME])
    rows["_join"] = _joinable(rows, data)
    rows = rows.drop_duplicates("_join", keep="last")
    merged = rows.merge(frame[["_join", LABEL, KNOWN_TIME]], on="_join")
    _quarantine(frame[~frame["_join"].isin(merged["_join"])], "label_without_row", data, quarantine)
    early = merged[KNOWN_TIME] < merged[EVENT_TIME]
    _quarantine(merged[early], "label_before_event", data, quarantine)
    return merged[~early].drop(columns="_join")


def _joinable(frame: "pd.DataFrame", data: Data) -> Any:
    """Return the key as one text, so that a feed of text meets data of numbers."""
    joined: Any = frame[data.key[0]].astype("string")
    for name in data.key[1:]:
        joined = joined + "\x1f" + frame[name].astype("string")
    return joined


def _judged(frame: "pd.DataFrame", data: Data, quarantine: Quarantine) -> "pd.DataFrame":
    """Quarantine labels that are missing, not finite or no value of the task; return the others, typed."""
    import numpy as np
    import pandas as pd

    if not len(frame):
        return _empty(data.label.task)
    missing = frame[LABEL].isna()
    if data.label.task == "regression":
        missing |= np.isinf(frame[LABEL].to_numpy(dtype=float, na_value=np.nan))
    wrong = pd.Series(False, index=frame.index)
    if data.label.task == "binary":
        wrong = ~frame[LABEL].isin([0, 1]) & ~missing
    _quarantine(frame[missing], "label_missing", data, quarantine)
    _quarantine(frame[wrong], "label_value", data, quarantine)
    frame = frame[~missing & ~wrong]
    return frame.astype({LABEL: _dtype(data.label.task)}) if len(frame) else _empty(data.label.task)


def _dtype(task: Task) -> str:
    return {"regression": "float64", "binary": "int64", "multiclass": "object"}[task]


def _empty(task: Task) -> "pd.DataFrame":
    import pandas as pd

    times = {name: pd.Series([], dtype="datetime64[us, UTC]") for name in (EVENT_TIME, KNOWN_TIME)}
    label: Any = pd.Series([], dtype="string" if task == "multiclass" else _dtype(task))
    return pd.DataFrame({**times, LABEL: label})


def _quarantine(frame: "pd.DataFrame", rule: str, data: Data, quarantine: Quarantine) -> None:
    quarantine.count(rule, len(frame))
    for row in frame.iloc[: max(quarantine.room, 0)].to_dict("records"):
        moment = row.get(EVENT_TIME, row[KNOWN_TIME]).to_pydatetime()
        quarantine.reject(
            rule, _REASONS[rule], key=[row[name] for name in data.key], row={LABEL: row[LABEL]}, event_time=moment,
            column=data.label.column,
        )  # fmt: skip


def _check(data: Data, found: _Found, received: int, quarantine: Quarantine) -> Check:
    share = quarantine.rejected / received if received else 0.0
    numbers: dict[str, float | int | str] = {
        "received": received, "rejected": quarantine.rejected, "rejected_share": share,
        **{f"rejected_{rule}": rows for rule, rows in sorted(quarantine.counts.items())},
    }  # fmt: skip
    if found.problems:
        return Check("labels", Verdict.FAIL, "; ".join(found.problems), numbers)
    if not received:
        words = "no label became usable in this period" if found.present else "nothing that labels could come from yet"
        return Check("labels", Verdict.INCONCLUSIVE, words, numbers)
    words = f"{quarantine.rejected} of {received} labels rejected; at most {data.max_rejected_share:.1%} may be"
    verdict = Verdict.PASS if share <= data.max_rejected_share else Verdict.INCONCLUSIVE
    return Check("labels", verdict, words, numbers)
