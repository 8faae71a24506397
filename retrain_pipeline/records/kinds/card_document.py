"""The document of a model card: its sections by the names of the common formats, those about judgement typed."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from retrain_pipeline.strict import Strict
from retrain_pipeline.verdicts import Verdict


class Trigger(Strict):
    """What asked for the version."""

    kind: str
    id: str | None
    attempt: int
    as_of: str | None
    reasons: tuple[str, ...]
    policy: str


class Difference(Strict):
    """The paired difference of mean row loss to who served: below 0 is better."""

    champion: str | None
    mode: str
    low: float | None
    high: float | None
    pointer: str
    method: str
    decision: Verdict
    words: str


class Looked(Strict):
    """What a gate found of one side of a model, with its place in the evidence."""

    verdict: Verdict
    statistic: float | None
    threshold: float | None
    n: int | None
    words: str
    pointer: str


class ErrorBudget(Strict):
    """What the judgement spent of the model's life-long level, and how often its rows were looked at before."""

    rule: str
    alpha: float
    spent: float
    judgement: int
    spent_before: float
    rows_judged_before_with: tuple[str, ...]
    words: str


class Ancestor(Strict):
    """A version that this one came after, the nearest first, and what differs from it to the next."""

    version: str
    as_of: str
    parent: str | None
    changed: tuple[str, ...]


class Target(Strict):
    """A target that was declared beside what was achieved."""

    name: str
    target: float
    achieved: float | None
    verdict: Verdict
    pointer: str


class Judged(Strict):
    """The sections of a card that say how a version was judged. A version that was never judged has few of them."""

    trigger: Trigger
    champion_vs_challenger: Difference | None
    slices: Looked | None
    calibration: Looked | None
    holdout_queries_used: ErrorBudget | None
    target_vs_achieved: tuple[Target, ...]
    lineage_of_versions: tuple[Ancestor, ...]


class CardDocument(Judged):
    """A whole card. Sections that are measured later may come beside these."""

    model_config = ConfigDict(extra="allow")

    schema_: Literal["model_card/1"] = Field(alias="schema", serialization_alias="schema")
    model_details: dict[str, Any]
    intended_use: dict[str, Any]
    why: str
    serves: str
    training_data: dict[str, Any]
    judgement: dict[str, Any] | None
    limitations_from_evidence: tuple[str, ...]
    not_measured: tuple[dict[str, str], ...]
    reproducibility: dict[str, Any]
