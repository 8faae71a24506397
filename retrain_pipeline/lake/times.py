"""Times of a source, read without guessing: ISO 8601 text, real timestamps, whole (milli)seconds since 1970."""

import re
from typing import TYPE_CHECKING, Any, Literal

from retrain_pipeline.lake.errors import SourceRefused

if TYPE_CHECKING:
    import pyarrow as pa

_DATE = r"\d{4}-\d{2}-\d{2}"
_CLOCK = r"[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?"
_ZONE = r"(Z|[+-]\d{2}(:?\d{2})?)"
ISO = re.compile(rf"^{_DATE}({_CLOCK}{_ZONE}?)?$")
AWARE = re.compile(rf"^{_DATE}{_CLOCK}{_ZONE}$")
# Seconds reach this in the year 5138, milliseconds reached it in 1973.
_SECONDS_END = 100_000_000_000


class TimeReader:
    """Reads one time column, chunk after chunk; a column that mixes naive and aware times is refused.

    Parameters
    ----------
    column
        Its name, for errors.
    unit
        How the source spells time.
    timezone
        The zone of naive times; None refuses them.
    """

    def __init__(self, column: str, unit: Literal["text", "s", "ms"], timezone: str | None) -> None:
        self.column = column
        self.unit = unit
        self.timezone = timezone
        self._naive: str | None = None
        self._aware: str | None = None

    def read(self, values: "pa.ChunkedArray") -> "pa.ChunkedArray":
        """Return timestamps in microseconds, UTC; missing where a text is missing or no time.

        Raises
        ------
        SourceRefused
            When the column as a whole is not what was declared; with an example.
        """
        import pyarrow as pa

        kind = values.type
        if values.null_count == len(values):
            return pa.chunked_array([pa.nulls(len(values), pa.timestamp("us", tz="UTC"))])
        if pa.types.is_dictionary(kind):
            return self.read(values.cast(kind.value_type))
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return self._from_timestamps(values)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return self._from_text(values) if self.unit == "text" else self._from_epoch(self._whole_numbers(values))
        if self.unit != "text" and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return self._from_epoch(values)
        raise SourceRefused(
            "time_unit",
            f"time column {self.column!r} holds {kind} values like {_example(values)!r}, but its unit is declared "
            f"{self.unit!r}: declare data.time.unit as the source spells time",
        )

    def _from_timestamps(self, values: Any) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_timestamp(values.type) and values.type.tz is not None:
            return pc.cast(values, pa.timestamp("us", tz="UTC"), safe=False)
        self._note(naive=_example(values), aware=None)
        return pc.assume_timezone(pc.cast(values, pa.timestamp("us"), safe=False), "UTC")

    def _from_text(self, values: Any) -> Any:
        import pandas as pd
        import pyarrow as pa
        import pyarrow.compute as pc

        iso = pc.match_substring_regex(values, ISO.pattern)
        aware = pc.match_substring_regex(values, AWARE.pattern)
        self._note(naive=_example(values.filter(pc.and_(iso, pc.invert(aware)))), aware=_example(values.filter(aware)))
        texts = pc.if_else(iso, values, pa.scalar(None, values.type)).to_pandas()
        moments = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce").astype("datetime64[us, UTC]")
        return pa.chunked_array([pa.array(moments, pa.timestamp("us", tz="UTC"), from_pandas=True)])

    def _whole_numbers(self, values: Any) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        digits = pc.match_substring_regex(values, r"^-?\d{1,18}$")
        return pc.cast(pc.if_else(digits, values, pa.scalar(None, values.type)), pa.int64())

    def _from_epoch(self, values: Any) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_floating(values.type):
            whole = pc.and_(pc.is_finite(values), pc.equal(pc.floor(values), values))
            values = pc.if_else(whole, values, pa.scalar(None, values.type))
        numbers = pc.cast(values, pa.int64())
        largest = pc.max(pc.abs(numbers)).as_py()
        if largest is not None and (largest >= _SECONDS_END) != (self.unit == "ms"):
            other = "milliseconds" if self.unit == "s" else "seconds"
            raise SourceRefused(
                "time_unit",
                f"time column {self.column!r} is declared in {self.unit!r}, but {largest} looks like {other}: "
                "declare data.time.unit as the source spells time",
            )
        return pc.cast(numbers, pa.timestamp(self.unit, tz="UTC")).cast(pa.timestamp("us", tz="UTC"))

    def _note(self, *, naive: Any, aware: Any) -> None:
        self._naive = self._naive or (None if naive is None else str(naive))
        self._aware = self._aware or (None if aware is None else str(aware))
        if self._naive and self._aware:
            raise SourceRefused(
                "time_mixed",
                f"time column {self.column!r} mixes times without a zone ({self._naive!r}) and with one "
                f"({self._aware!r}): write all of them one way",
            )
        if self._naive and self.timezone is None:
            raise SourceRefused(
                "time_naive",
                f"time column {self.column!r} holds {self._naive!r}, which has no zone: write the zone, or declare "
                "data.time.timezone",
            )


def _example(values: Any) -> Any:
    """Return the first value that is not missing, or None."""
    present = values.drop_null()
    return present[0].as_py() if len(present) else None
