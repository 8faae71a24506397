"""An impact brief: one page on what a release was worth, what was claimed of it, and what comes next."""

from typing import ClassVar

from retrain_pipeline.records.record import Record, person
from retrain_pipeline.strict import Strict
from retrain_pipeline.verdicts import Verdict


class Claim(Strict):
    """What the release note promised beside what came. FAIL is an overclaim: the loss is above what was promised."""

    metric: str
    claimed_mean: float
    claimed_low: float | None
    claimed_high: float | None
    realised_mean: float | None
    realised_low: float | None
    realised_high: float | None
    rows: int
    verdict: Verdict
    words: str


class BeforeAfter(Strict):
    """The business metric in the periods before a release and under it: means over periods, 95 % intervals."""

    name: str
    direction: str
    unit: str | None
    before: float | None
    before_se: float | None
    before_periods: int
    after: float | None
    after_se: float | None
    after_periods: int
    words: str


class Saved(Strict):
    """What a period's mean loss fell by against the model before, from the newest score of the retrain."""

    saved: float | None
    low: float | None
    high: float | None
    cost: float
    periods: int
    verdict: Verdict
    words: str


class ImpactBrief(Record):
    """What is known of one release as of a moment. The subject is the version; a newer one knows more."""

    KIND: ClassVar[str] = "impact_brief"

    as_of: str | None
    """End of the newest monitored period that it knows; None where nothing was monitored."""
    epoch: int
    previous: str | None
    claim: Claim | None
    business: BeforeAfter
    worth: Saved | None
    overclaims: int
    claims: int
    """Of the claims of all releases up to this one that labels can answer, how many were overclaims."""
    overclaim_rate: float | None
    next_steps: tuple[str, ...]
    owner: str = person("")
    decided: str = person("", max_length=2000)
    """What somebody makes of it."""
