"""A data sheet: what a training set is, in the seven sections of Gebru and others (2021), "Datasheets for Datasets"."""

from typing import Any, ClassVar

from pydantic import Field

from retrain_pipeline.records.record import Record, person
from retrain_pipeline.strict import Strict


class Said(Strict):
    """What a person says of the data, who, and when (ISO 8601)."""

    words: str
    owner: str
    date: str


class Motivation(Strict):
    """For what it was made."""

    purpose: str
    owners: tuple[str, ...]


class Column(Strict):
    """One feature of the training rows."""

    name: str
    kind: str
    missing: int
    missing_share: float
    low: float | None = None
    high: float | None = None
    levels: int | None = None


class Composition(Strict):
    """What is in it."""

    rows: int
    evaluation_rows: int
    label: dict[str, Any]
    label_stats: dict[str, Any]
    columns: tuple[Column, ...]
    """As the profile of the version that learned from it counts them; empty where none did."""
    groups: dict[str, dict[str, int]]
    """Rows by value of each category."""
    train_from: str
    train_until: str
    evaluation_until: str
    periods: int
    sensitive: dict[str, str] = Field(default_factory=dict)
    """Columns of the source that the risk assessment calls sensitive, with the reasons."""


class Collection(Strict):
    """How it came in."""

    source: dict[str, Any]
    time: dict[str, Any]
    label_delay_hours: float | None
    as_of: str
    known_by: str
    """No row became known later than this."""


class Preprocessing(Strict):
    """What was done to it, and what was left out."""

    features: str
    feature_code: str | None
    features_version: int
    labels_version: int
    dropped: dict[str, str]
    quarantined_rows: int
    sampling: str
    quality: tuple[str, ...]
    """What monitoring doubted of the data up to then."""


class Uses(Strict):
    """Who learned from it."""

    versions: tuple[str, ...]
    runs: tuple[str, ...]


class Distribution(Strict):
    """Who can have it: where the rows lie."""

    tables: tuple[str, ...]
    digest: str


class Maintenance(Strict):
    """Who looks after it, and how it changes."""

    cadence: str
    owners: tuple[str, ...]


class DataSheet(Record):
    """One training set. The subject is the artifact that describes it."""

    KIND: ClassVar[str] = "data_sheet"

    motivation: Motivation
    composition: Composition
    collection: Collection
    preprocessing: Preprocessing
    uses: Uses
    distribution: Distribution
    maintenance: Maintenance
    consent: Said | None = person(None)
    """Whether those whom the rows are about know of it."""
    sensitive: Said | None = person(None)
    not_for: Said | None = person(None)
    """What it should not be used for."""
    licence: Said | None = person(None)
    retention: Said | None = person(None)
