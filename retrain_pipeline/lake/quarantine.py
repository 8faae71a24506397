"""Rows that are not used, kept with the reason: one stable table whatever the source looks like."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.deliveries import Delivery
from retrain_pipeline.lake.frames import EVENT_TIME, KNOWN_TIME, PERIOD
from retrain_pipeline.lake.tables import Lake, PartitionWrite

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COLUMNS = ("key", "rule", "column", "reason", "row", "stage", "delivery", "source_digest", "row_number", "time_known")
"""Columns of the table `quarantine`, beside the reserved ones.

key: JSON list of the key's values as text. rule: machine-readable, for example ``range``. column: the column that broke
it, or empty. reason: for people. row: JSON object of the row's values as text. stage: ``data``, ``labels`` or
``signal:<name>``. delivery and source_digest: what it came in. row_number: its place there, 1 for the first, missing
for a whole file or column. time_known: False when the row has no readable event time; `_event_time` is then the start
of the period.
"""

# A million rejected rows as JSON would be 600 MB; counts stay exact, and the delivered bytes are kept whole.
MAX_ROWS = 50_000


@dataclass(frozen=True)
class Origin:
    """Which delivery rejected rows came in (later is larger), and one key digest for each."""

    delivery: int
    keys: "np.ndarray[Any, Any]"


@dataclass
class Quarantine:
    """Collects the rejected rows of one stage of one period."""

    stage: str
    start: datetime
    superseded: int = 0
    _tallies: list[tuple[str, int, Origin | None]] = field(default_factory=list)
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _origins: list[tuple[int, int] | None] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """Rejected rows by rule."""
        total: Counter[str] = Counter()
        for rule, rows, _ in self._tallies:
            total[rule] += rows
        return total

    @property
    def rejected(self) -> int:
        """How many rows were rejected, kept or not."""
        return self.counts.total()

    @property
    def has_rows(self) -> bool:
        """Is there anything to keep?"""
        return bool(self._rows)

    @property
    def room(self) -> int:
        """How many more rows are kept."""
        return MAX_ROWS - len(self._rows)

    def reject(
        self, rule: str, reason: str, *, key: Any, row: dict[str, Any], event_time: datetime | None, column: str = "",
        delivery: str = "", source_digest: str = "", row_number: int | None = None,
        origin: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        """Keep one rejected row; count it separately with `count`."""
        if self.room <= 0:
            return
        moment = self.start if event_time is None else event_time
        texts = {name: _text(value) for name, value in row.items()}
        values = (
            _json([_text(one) for one in key]), rule, column, reason[:500], _json(texts),
            self.stage, delivery, source_digest, row_number, event_time is not None,
        )  # fmt: skip
        self._rows.append({**dict(zip(COLUMNS, values, strict=True)), EVENT_TIME: moment, KNOWN_TIME: moment})
        self._origins.append(origin)

    def refuse_delivery(self, delivery: Delivery) -> None:
        """Keep a file that was refused whole; its bytes are in the delivery area."""
        row = {"name": delivery.name, "stamp": delivery.stamp}
        self.reject(
            delivery.rule, delivery.reason, key=(), row=row, event_time=None, delivery=delivery.name,
            source_digest=delivery.digest,
        )  # fmt: skip

    def count(self, rule: str, rows: int, origin: Origin | None = None) -> None:
        """Count rejected rows."""
        if rows:
            self._tallies.append((rule, rows, origin))

    def supersede(self, accepted: "pd.Series[Any]") -> None:
        """Forget the rows of deliveries whose keys a later delivery brought again: they have been corrected.

        Parameters
        ----------
        accepted
            The newest delivery of every accepted key digest, by digest.
        """
        import numpy as np
        import pandas as pd

        known = [origin for _, _, origin in self._tallies if origin is not None]
        if not known:
            return
        rejected = pd.concat([pd.Series(one.delivery, index=one.keys) for one in known])
        latest = pd.concat([accepted, rejected]).groupby(level=0).max()
        tallies = []
        for rule, rows, origin in self._tallies:
            stands = rows if origin is None else int((latest.loc[origin.keys] <= origin.delivery).sum())
            self.superseded += rows - stands
            if stands:
                tallies.append((rule, stands, origin))
        self._tallies = tallies
        stays = [one is None or latest[np.uint64(one[1])] <= one[0] for one in self._origins]
        self._rows = [row for row, kept in zip(self._rows, stays, strict=True) if kept]
        self._origins = [one for one, kept in zip(self._origins, stays, strict=True) if kept]

    def write(self, lake: Lake, model: str, period: str) -> PartitionWrite:
        """Make these the quarantined rows of this stage and period; those of the other stage stay."""
        import pandas as pd

        fresh = self._frame()

        def merge(present: "pd.DataFrame") -> "pd.DataFrame":
            if not len(present):
                return fresh
            others = present[present["stage"] != self.stage].drop(columns=PERIOD)
            # An empty frame has no say in the types of the other.
            return pd.concat([one for one in (others, fresh) if len(one)] or [fresh], ignore_index=True)

        return lake.update_partition(model, "quarantine", period, merge)

    def _frame(self) -> "pd.DataFrame":
        import pandas as pd

        frame = pd.DataFrame(self._rows, columns=[*COLUMNS, EVENT_TIME, KNOWN_TIME])
        types: dict[str, Any] = {"row_number": "Int64", "time_known": "bool"}
        types |= dict.fromkeys((EVENT_TIME, KNOWN_TIME), "datetime64[us, UTC]")
        texts = {name: "string" for name in COLUMNS if name not in types}
        return frame.astype({**types, **texts})


def _text(value: Any) -> str | None:
    if value is None or value != value:
        return None
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
