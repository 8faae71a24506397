"""What becomes of a decision: as it was entered, its assumptions looked at, its predictions scored."""

from typing import ClassVar, Literal

from retrain_pipeline.records.record import Record, person
from retrain_pipeline.spec.decision import FrontMatter
from retrain_pipeline.strict import Strict
from retrain_pipeline.verdicts import Verdict

Answer = float | str | bool | tuple[str, ...] | None


class DecisionRecord(Record):
    """A decision file as it stood when it was first seen, or when its status or supersession had changed.

    The subject is the decision's id.
    """

    KIND: ClassVar[str] = "decision"

    file: str
    title: str = person()
    front: FrontMatter = person()
    body: str
    """Digest of all below the front matter."""
    frozen: str
    """Digest of what may not change once the decision is accepted: all but status, supersession and commits."""
    text: str
    """The file's bytes, by digest in the artifacts."""
    previous: str | None = None
    """The record of the decision before this one."""


class Checked(Strict):
    """One thing that a decision rests on, looked at. PASS: it holds; FAIL: not any more; INCONCLUSIVE: nobody knows."""

    what: Literal["assumption", "evidence"]
    text: str
    """The predicate, or the reference and what it said."""
    verdict: Verdict
    seen: Answer
    words: str


class DecisionCheck(Record):
    """What a decision rests on, looked at as of a version. The subject is the decision's id."""

    KIND: ClassVar[str] = "decision_check"

    version: str
    """The newest version then: the retrain at which this was looked at."""
    decision: str
    """The record of the decision that was looked at."""
    checked: tuple[Checked, ...]
    verdict: Verdict
    """The worst of them."""
    previous: str | None = None
    """The check before this one."""


class EffectScore(Record):
    """A predicted effect beside what came with the first release after the decision. The subject is the decision's id.

    PASS: it came; FAIL: something else came; INCONCLUSIVE: the rows, or the record, cannot tell.
    """

    KIND: ClassVar[str] = "effect_score"
    ONCE: ClassVar[bool] = False

    decision: str
    metric: str
    direction: Literal["up", "down", "same"]
    predicted: tuple[float, float]
    version: str
    """The first version that was released with the decision."""
    before: str | None
    """The champion before it; None of a first release, which is compared with a model that knows no features."""
    evidence: str
    observed: float | None
    interval: tuple[float, float] | None
    verdict: Verdict
    words: str
    together_with: tuple[str, ...]
    """Other decisions that came with the same release: the difference is of all of them."""
