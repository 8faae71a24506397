"""The log of deliveries: the lake's table of every file that was met, so that nothing is taken twice or forgotten."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.frames import EVENT_TIME, KNOWN_TIME, PERIOD
from retrain_pipeline.lake.tables import Lake

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Delivery:
    """One file as it was met.

    `status` is taken, duplicate (the bytes were taken under another name), refused (a bad file, with `rule` and
    `reason`) or ignored (no delivery at all). `period` is the one that its name carries, else, for what was not taken,
    the one that was being read.
    """

    feed: str
    name: str
    stamp: str
    parse: str
    digest: str = ""
    status: str = "taken"
    rule: str = ""
    reason: str = ""
    period: str = ""
    rows: int = 0
    unreadable_times: int = 0
    first: datetime | None = None
    last: datetime | None = None
    sequence: int = -1

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What makes this record one of its own."""
        return self.feed, self.name, self.stamp, self.parse


def remember(lake: Lake, model: str, fresh: list[Delivery], now: datetime) -> list[Delivery]:
    """Add records to the log of this month, numbered after all earlier ones; return the whole log.

    Records that another process added meanwhile are not added again.
    """
    import pandas as pd

    log: list[Delivery] = []

    def add(present: "pd.DataFrame") -> "pd.DataFrame":
        known = deliveries(lake, model)
        seen = {record.identity for record in known}
        rows = [record for record in fresh if record.identity not in seen]
        rows = [replace(record, sequence=len(known) + index) for index, record in enumerate(rows)]
        log[:] = [*known, *rows]
        if not rows:
            return present
        added = _typed(pd.DataFrame([_row(record, now) for record in rows]))
        return pd.concat([present, added], ignore_index=True) if len(present) else added

    lake.update_partition(model, "deliveries", now.strftime("%Y-%m"), add)
    return log


def deliveries(lake: Lake, model: str) -> list[Delivery]:
    """Return every file that was met, in the order of meeting."""
    frame = lake.read(model, "deliveries")
    if not len(frame):
        return []
    frame = frame.drop(columns=[EVENT_TIME, KNOWN_TIME, PERIOD]).sort_values("sequence")
    records: list[dict[str, Any]] = frame.to_dict("records")  # type: ignore[assignment]
    return [
        Delivery(**{**record, "first": _moment(record["first"]), "last": _moment(record["last"])}) for record in records
    ]


def _moment(value: Any) -> datetime | None:
    import pandas as pd

    return None if pd.isna(value) else value.to_pydatetime()


def _row(record: Delivery, now: datetime) -> dict[str, Any]:
    return {**vars(record), EVENT_TIME: record.first or now, KNOWN_TIME: now}


def _typed(frame: "pd.DataFrame") -> "pd.DataFrame":
    times = dict.fromkeys(("first", "last", EVENT_TIME, KNOWN_TIME), "datetime64[us, UTC]")
    return frame.astype(times)
