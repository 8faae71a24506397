"""An experiment: one retrain run, however it ended, with what it was for, what went in and what came out."""

from typing import Any, ClassVar

from retrain_pipeline.learning.environment import CodeRevision
from retrain_pipeline.records.kinds.hypothesis import Criterion
from retrain_pipeline.records.record import Record
from retrain_pipeline.strict import Strict
from retrain_pipeline.verdicts import Verdict


class Outcome(Strict):
    """A criterion of the hypothesis beside what the gate found. No finding is INCONCLUSIVE."""

    criterion: Criterion
    measured: float | None
    verdict: Verdict


class Asked(Strict):
    """What asked for the run."""

    id: str
    kind: str
    mode: str
    policy: str
    reasons: tuple[str, ...]


class Learned(Strict):
    """The training set of a run."""

    artifact: str
    digest: str
    rows: int
    evaluation_rows: int
    train_from: str
    train_until: str
    evaluation_until: str
    periods: int


class Spent(Strict):
    """What the training was allowed and what it took. `over` names what was beyond."""

    wall_seconds_limit: float
    wall_seconds: float
    peak_rss_mb_limit: float
    peak_rss_mb: float
    trials: int
    complete: bool
    over: tuple[str, ...]


class Passed(Strict):
    """A state that the run went through."""

    state: str
    at: str
    by: str
    seq: int


class Experiment(Record):
    """One run on record. The subject is the run; nothing here is filled in by people."""

    KIND: ClassVar[str] = "experiment"
    ONCE: ClassVar[bool] = True

    hypothesis: str
    hypothesis_seq: int | None
    """The ledger's entry that holds it; None where the run ended before it was written."""
    success_criteria: tuple[Outcome, ...]
    failure_criterion: str
    protocol: str | None
    """Digest of the protocol's content; None where it is not known."""
    protocol_version: int | None
    not_comparable: tuple[str, ...]
    """Earlier experiments that another protocol judged, with what differs."""
    rationale_params: dict[str, tuple[str, ...]]
    author: str
    trigger: Asked | None
    run_id: str
    attempt: int
    started_at: str | None
    ended_at: str
    code: CodeRevision | None
    data: Learned | None
    feature_digest: str | None
    config_digest: str | None
    seed: int | None
    environment: str | None
    lock: str | None
    hardware: dict[str, Any] | None
    budget: Spent | None
    metrics: dict[str, float]
    """Numbers by the place in the evidence that they come from, as a JSON pointer."""
    verdict: str
    """How it ended: the action of its last entry."""
    failed_gates: tuple[str, ...]
    why_failed: str | None
    lesson: str
    state_history: tuple[Passed, ...]
    version: str | None
    links: dict[str, str]
    """Digests of evidence, manifest, training set, declaration and hypothesis."""
