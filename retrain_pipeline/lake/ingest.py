"""One period of a source into the lake: settled, copied, hashed, checked, quarantined, and then one partition replaced.

All or nothing: when the contract fails, `raw` keeps what it had, and the reasons are in `quarantine`.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import time as wall_clock
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.checks import Check, freshness_check, volume_check
from retrain_pipeline.lake.contracts import DELIVERY, Contract, Contracted
from retrain_pipeline.lake.declared import Data
from retrain_pipeline.lake.duplicates import Resolved, resolve
from retrain_pipeline.lake.errors import ColumnRefused
from retrain_pipeline.lake.files import ROW
from retrain_pipeline.lake.frames import EVENT_TIME, KNOWN_TIME
from retrain_pipeline.lake.labels import LabelReport, ingest_labels
from retrain_pipeline.lake.quarantine import Quarantine
from retrain_pipeline.lake.schemas import empty_raw
from retrain_pipeline.lake.sources import Part, SourceRows, Window, read_source
from retrain_pipeline.lake.tables import Lake, PartitionWrite
from retrain_pipeline.periods import as_utc
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Check", "IngestReport", "LabelReport", "ingest_labels", "ingest_period"]


@dataclass(frozen=True)
class IngestReport:
    """What became of a period's rows.

    rows: in `raw` now, by this ingest. rejected: quarantined. duplicates: exact repeats that were dropped, within and
    between deliveries. extra_columns: not declared, ignored. write: None when the contract failed or the period is
    missing. source_digests: of the files read, or of a table's version or content.
    """

    model: str
    period: str
    rows: int
    rejected: int
    duplicates: int
    extra_columns: list[str]
    checks: list[Check]
    write: PartitionWrite | None
    quarantine: PartitionWrite | None
    source_digests: list[str]
    notes: list[str]

    @property
    def verdict(self) -> Verdict:
        """The verdict on the contract: FAIL means that nothing of the period was used."""
        return worst(check.verdict for check in self.checks if check.name == "contract")

    def check(self, name: str) -> Check:
        """Return a check by name."""
        return next(check for check in self.checks if check.name == name)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {**asdict(self), "checks": [check.to_json() for check in self.checks], "verdict": str(self.verdict)}


def ingest_period(
    lake: Lake, data: Data, model: str, period: str, *, root: Path, now: datetime | None = None,
    clock: Callable[[], float] = wall_clock,
) -> IngestReport:  # fmt: skip
    """Read one period of the source and make it the content of `raw` for that period.

    Parameters
    ----------
    root
        The folder that declared paths are relative to.
    now
        Rows of a later event time are quarantined; default the present.
    clock
        Seconds since 1970 of this machine; decides which files of an inbox have settled.

    Returns
    -------
    IngestReport
        With the checks contract, deliveries, duplicates, volume and freshness.

    Raises
    ------
    SourceMissing
        When what was declared is not there.
    PeriodRefused
        When the key names no period of the model's calendar.
    TransientError
        When a database does not answer, or a file changes while it is copied.
    """
    now = datetime.now(UTC) if now is None else as_utc(now)
    start, end = data.time.calendar().bounds(period)
    quarantine = Quarantine("data", start)
    contract = Contract(data, now, quarantine)
    window = Window(period, start, end, contract.columns)
    source = read_source(lake, model, "data", data.source, data.time, window, root=root, clock=clock)
    for refused in source.refused:
        quarantine.refuse_delivery(refused)
    result = contract.read(source.parts)
    frame = result.frame()
    contract.supersede(frame)
    resolved = _resolve(frame, data, quarantine, source.parts)
    judged = _contract_check(data, result, resolved, quarantine)
    covered = source.covered or bool(result.received)
    newest = frame[EVENT_TIME].max().to_pydatetime() if len(frame) else None
    frame = _standing(frame, resolved, data)
    checks = [
        judged,
        _deliveries_check(source),
        _duplicates_check(data, result, resolved),
        volume_check(lake, data, model, period, len(frame), result.received, covered),
        freshness_check(data, newest, start, end, now),
    ]
    usable = judged.verdict is not Verdict.FAIL and covered
    try:
        write = lake.replace_partition(model, "raw", period, frame) if usable else None
    except ColumnRefused as error:  # a key that nobody declared is of another type than before
        checks[0], write = replace(judged, verdict=Verdict.FAIL, words=str(error)), None
    has_rejects = quarantine.has_rows or period in lake.partitions(model, "quarantine")
    return IngestReport(
        model, period, len(frame) if write else 0, quarantine.rejected, resolved.repeats + resolved.redelivered,
        sorted(result.extra_columns), checks, write,
        quarantine.write(lake, model, period) if has_rejects else None,
        [part.digest or (write.digest if write else "") for part in source.parts], [*source.notes, *result.notes],
    )  # fmt: skip


def _resolve(frame: "pd.DataFrame", data: Data, quarantine: Quarantine, parts: tuple[Part, ...]) -> Resolved:
    resolved = resolve(frame, data.key)
    quarantine.count("conflicting_key", len(resolved.conflicting))
    shown = frame.iloc[list(resolved.conflicting[: max(quarantine.room, 0)])]
    rows: list[dict[str, Any]] = shown.to_dict("records")  # type: ignore[assignment]
    for row in rows:
        part = parts[row.pop(DELIVERY)]
        moment, number = row.pop(EVENT_TIME).to_pydatetime(), int(row.pop(ROW))
        quarantine.reject(
            "conflicting_key", "rows of one delivery share this key and differ: none of them is used",
            key=[row[name] for name in data.key], row=row, event_time=moment, delivery=part.name,
            source_digest=part.digest, row_number=number,
        )  # fmt: skip
    return resolved


def _standing(frame: "pd.DataFrame", resolved: Resolved, data: Data) -> "pd.DataFrame":
    """Return the rows of `raw`; takes the frame over."""
    import pandas as pd

    if not len(frame):
        return empty_raw(data)
    del frame[DELIVERY], frame[ROW]  # in place: a drop would copy a million rows
    if resolved.keep is not None:
        frame = pd.DataFrame({name: frame.pop(name)[resolved.keep] for name in list(frame.columns)}, copy=False)
    frame[KNOWN_TIME] = frame[EVENT_TIME]
    return frame


def _contract_check(data: Data, result: Contracted, resolved: Resolved, quarantine: Quarantine) -> Check:
    rejected = quarantine.rejected
    share = rejected / result.received if result.received else 0.0
    numbers: dict[str, float | int | str] = {
        "received": result.received, "rejected": rejected, "rejected_share": share,
        "max_rejected_share": data.max_rejected_share, "corrected": resolved.corrected + quarantine.superseded,
        **{f"rejected_{rule}": rows for rule, rows in sorted(quarantine.counts.items())},
    }  # fmt: skip
    if result.problems:
        return Check("contract", Verdict.FAIL, "; ".join(result.problems), numbers)
    if not result.received:
        return Check("contract", Verdict.INCONCLUSIVE, "no row to judge", numbers)
    words = f"{rejected} of {result.received} rows rejected; at most {data.max_rejected_share:.1%} may be"
    if quarantine.counts:
        words += f" ({', '.join(f'{rule}: {rows}' for rule, rows in quarantine.counts.most_common(5))})"
    return Check("contract", Verdict.PASS if share <= data.max_rejected_share else Verdict.FAIL, words, numbers)


def _deliveries_check(source: SourceRows) -> Check:
    numbers: dict[str, float | int | str] = {"read": len(source.parts), "refused": len(source.refused)}
    if source.refused:
        words = "; ".join(f"{one.name} is refused ({one.rule}): {one.reason}" for one in source.refused[:5])
        return Check("deliveries", Verdict.FAIL, words, numbers)
    return Check("deliveries", Verdict.PASS, f"{len(source.parts)} deliveries read, none refused", numbers)


def _duplicates_check(data: Data, result: Contracted, resolved: Resolved) -> Check:
    share = resolved.repeats / result.received if result.received else 0.0
    numbers: dict[str, float | int | str] = {
        "repeats": resolved.repeats, "redelivered": resolved.redelivered, "corrected": resolved.corrected,
        "conflicting": len(resolved.conflicting), "repeated_share": share,
    }  # fmt: skip
    words = f"{resolved.repeats} of {result.received} rows repeat another of their delivery and are dropped"
    verdict = Verdict.PASS if share <= data.max_rejected_share else Verdict.FAIL
    return Check("duplicates", verdict if result.received else Verdict.INCONCLUSIVE, words, numbers)
