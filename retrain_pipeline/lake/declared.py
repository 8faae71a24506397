"""What a team declares about its data: where it comes from, what a row is, what its columns promise."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from retrain_pipeline.periods import Cadence, Calendar
from retrain_pipeline.strict import Strict

Task = Literal["regression", "binary", "multiclass"]
Dtype = Literal["int", "float", "bool", "string", "category", "timestamp"]


class CsvSource(Strict):
    """A CSV file (``.csv``, ``.csv.gz``) or a folder of them (an inbox)."""

    kind: Literal["csv"]
    path: str
    delimiter: str = Field(",", min_length=1, max_length=1)
    missing: tuple[str, ...] = ("",)
    """The exact cells that mean "missing". Nothing else does: "NA" may be Namibia."""
    settle_seconds: float = Field(2.0, ge=0)
    """A file of an inbox is taken when nobody wrote to it for this long."""


class ParquetSource(Strict):
    """A parquet file or a folder of them (an inbox)."""

    kind: Literal["parquet"]
    path: str
    settle_seconds: float = Field(2.0, ge=0)
    """A file of an inbox is taken when nobody wrote to it for this long."""


class DeltaSource(Strict):
    """A Delta table by path or URL, read at its newest version."""

    kind: Literal["delta"]
    path: str


class SqlSource(Strict):
    """A table (or view) behind a SQLAlchemy URL. The URL comes from an environment variable when it holds a secret."""

    kind: Literal["sql"]
    url: str | None = None
    url_env: str | None = None
    table: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$")

    @model_validator(mode="after")
    def _one_url(self) -> "SqlSource":
        if (self.url is None) == (self.url_env is None):
            raise ValueError("give exactly one of url and url_env")
        return self


Source = Annotated[CsvSource | ParquetSource | DeltaSource | SqlSource, Field(discriminator="kind")]


class TimeColumn(Strict):
    """The event time of a row, and the calendar that cuts it into periods."""

    column: str
    period: Cadence
    start: date
    unit: Literal["text", "s", "ms"] = "text"
    """How the source spells time: ISO 8601 text or a real timestamp type, or whole (milli)seconds since 1970."""
    timezone: Literal["UTC"] | None = "UTC"
    """The zone of times written without one; null refuses them."""

    def calendar(self) -> Calendar:
        """Return the calendar of this declaration."""
        return Calendar(self.period, self.start)


class Label(Strict):
    """What is predicted, and when it becomes known: `delay_hours` after the event, or as its own feed says."""

    column: str
    task: Task
    delay_hours: float = Field(0.0, ge=0)
    source: Source | None = None
    """A feed of its own: row keys, the label column and `known_time`. Without one the label is in the data source."""
    known_time: str | None = None
    """Column of the label feed that says when the label became known."""

    @model_validator(mode="after")
    def _feed_is_whole(self) -> "Label":
        if (self.source is None) != (self.known_time is None):
            raise ValueError("source and known_time of a label go together")
        return self


class Column(Strict):
    """What a column of the source promises. Rows that break the promise are quarantined."""

    dtype: Dtype
    unit: str | None = None
    range: tuple[float, float] | None = None
    values: tuple[str, ...] | None = None
    nullable: bool = False
    missing: tuple[str | float, ...] = ()
    """Sentinels that mean "missing" in this column, for example -999."""
    max_levels: int = Field(1000, ge=1)
    """A category column with more distinct values in a period than this fails the contract."""

    @model_validator(mode="after")
    def _coherent(self) -> "Column":
        if self.range is not None and self.dtype not in ("int", "float"):
            raise ValueError("range is for int and float columns")
        if self.range is not None and self.range[0] > self.range[1]:
            raise ValueError("range is [lowest, highest]")
        if self.values is not None and self.dtype not in ("category", "string"):
            raise ValueError("values is for category and string columns")
        return self


class Volume(Strict):
    """How many rows an hour of a period may have, relative to the median of the last periods of the same season."""

    min_share: float = Field(0.6, ge=0)
    max_share: float = Field(2.0, gt=0)
    periods: int = Field(8, ge=1)


class Data(Strict):
    """The data side of a model."""

    source: Source
    key: tuple[str, ...] = Field(min_length=1)
    time: TimeColumn
    label: Label
    columns: dict[str, Column] = Field(min_length=1)
    """The columns that features may use. Others are noted and ignored."""
    max_rejected_share: float = Field(0.05, ge=0, le=1)
    volume: Volume = Volume()
    freshness_hours: float | None = Field(None, gt=0)
    """The newest row lies at most this long before the period's end; default: a tenth of the period, 1 h or more."""
