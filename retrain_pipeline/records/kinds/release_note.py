"""A release note: what changed with a version that became champion, why, at what price, and what is expected of it."""

from typing import Any, ClassVar

from pydantic import Field

from retrain_pipeline.records.record import Record, person
from retrain_pipeline.strict import Strict

STORY_WORDS = 120


class Pointed(Strict):
    """A number, and the place in the evidence that it is read from."""

    name: str
    value: float
    pointer: str


class Expected(Strict):
    """What the loss will be: the mean row loss on the rows that judged, with a 95 % interval where it has one."""

    metric: str
    mean: float
    low: float | None
    high: float | None
    value: float
    """The metric itself: of `rmse` the root of the mean."""
    rows: int
    pointer: str


class ReleaseNote(Record):
    """One release. The subject is the version; a version that is released again has another note."""

    KIND: ClassVar[str] = "release_note"

    epoch: int
    released_at: str
    released_by: str
    run_id: str | None
    """The experiment that made it, where it is known."""
    previous: str | None
    why: str
    story: str
    """At most 120 words, all from the numbers below."""
    improvement: tuple[Pointed, ...]
    """Differences to what served before; bounds below 0 are gains."""
    trade_offs: tuple[str, ...]
    """What it is worse at, or what nobody could tell."""
    expected: Expected | None
    changed: dict[str, tuple[str, ...]]
    """What differs from the version before: places in the declaration, code, features, data, environment."""
    decisions: tuple[str, ...]
    """Ids of the decisions that answer for what changed, as the run found them."""
    evidence: str
    manifest: str
    permit: dict[str, Any]
    """What allowed it: nobody asked, an approval, a change plan, an override."""
    note: str = person("", max_length=2000)
    story_words: int = Field(ge=1, le=STORY_WORDS)
