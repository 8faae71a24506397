"""Evidence: what a candidate was judged on and what came out. Stored by digest; the release reads the bytes again."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.budget import Account
from retrain_pipeline.gates.errors import EvidenceRefused
from retrain_pipeline.gates.turning import Turning
from retrain_pipeline.learning.environment import CodeRevision
from retrain_pipeline.strict import Strict
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    from retrain_pipeline.artifacts import Artifacts
    from retrain_pipeline.spec.model import ModelSpec

Mode = Literal["first", "non_inferiority", "superiority"]
Schema = Literal["evidence/2", "evidence/3", "evidence/4", "evidence/5"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

# Measured anew at each look: kept, but two judgements that differ only here are the same judgement.
_TIMED = frozenset({"latency", "footprint"})


class GateResult(Strict):
    """What one gate found. A PASS has `statistic` ≤ `threshold`; `interval` is (low, high) of what `words` name."""

    gate: str
    verdict: Verdict
    words: str = Field(min_length=1)
    statistic: float | None = None
    threshold: float | None = None
    n: int | None = Field(None, ge=0)
    interval: tuple[float | None, float | None] | None = None

    @model_validator(mode="after")
    def _a_pass_is_within_its_threshold(self) -> "GateResult":
        # Strict refuses NaN and infinities already, so a NaN can never be the statistic of a PASS.
        beyond = self.threshold is not None and (self.statistic is None or self.statistic > self.threshold)
        if self.verdict is Verdict.PASS and beyond:
            raise ValueError(f"gate {self.gate}: PASS with statistic {self.statistic} beyond {self.threshold}")
        return self


def shown_better(quality: GateResult) -> bool:
    """The upper bound of the mean paired difference to the champion, at the declared level, is below 0."""
    high = quality.interval[1] if quality.interval is not None else None
    return high is not None and high < 0


class EvaluationRows(Strict):
    """The frozen rows on which both sides were judged."""

    rows: int = Field(ge=0)
    digest: str
    """The artifact that holds the sorted digests of the rows."""
    from_: str | None = Field(alias="from", serialization_alias="from")
    until: str | None


class ValidatedLoss(Strict):
    """The candidate's mean row loss on the evaluation rows: what monitoring holds it to after release.

    For `rmse` a row's loss is the squared error, so `mean` is its mean and `value` the root.
    """

    metric: str
    mean: float
    se: float | None
    value: float
    n: int


class Escalation(Strict):
    """What might have called for a second validator, and what that one found where it was called."""

    looked: tuple[GateResult, ...]
    """Each that may call for it; what does not PASS called."""
    rows: EvaluationRows | None
    """The rows that it judged, none of which the gates have seen; None where it was not called, or had none."""
    second: GateResult | None
    """What it found of quality; None where it was not called."""

    @property
    def called(self) -> tuple[str, ...]:
        """Names of what called."""
        return tuple(one.gate for one in self.looked if one.verdict is not Verdict.PASS)


class Anchored(Strict):
    """What candidate and champion are beside the anchor, on the rows of the judgement."""

    candidate: GateResult
    """PASS: the candidate is not worse than the anchor beyond the margin."""
    champion: GateResult
    """PASS: the anchor is better than the champion, which gives way to it where the candidate is not let through."""


def evidence_schema(anchor: str | None, escalation: Escalation | None, anchored: Anchored | None = None) -> Schema:
    """Return the format of evidence that has these: what a policy does not ask for is not in it."""
    if anchored is not None:
        return "evidence/5"
    return "evidence/4" if anchor is not None else "evidence/3" if escalation is not None else "evidence/2"


class Evidence(Strict):
    """One judgement of one candidate version, whole: inputs by digest, results of all gates, the worst as verdict."""

    schema_: Schema = Field("evidence/2", alias="schema", serialization_alias="schema")
    """Format 2 has neither `escalation` nor `anchor`, format 3 the one, format 4 the other (and may have both).

    Format 5 is 4 and what was found beside the anchor; in format 4 all that passed was within the margin of it.
    """
    model: str
    version: str
    manifest: Digest
    champion: str | None
    champion_manifest: Digest | None
    anchor: str | None = None
    """The champion that was shown to be better last, where that is not `champion`: each refresh since was let through
    as not worse within the margin, and together they may not lose more than the margin either."""
    anchored: Anchored | None = None
    epoch: int = Field(ge=0)
    """The deployment's epoch, read before anything was judged. A release at another epoch is refused."""
    as_of: str
    mode: Mode
    policy: Digest
    """Digest and address of the gates, success criterion and rollout that were declared."""
    required: tuple[str, ...]
    """The gates that the policy requires a PASS of."""
    budget: Account
    decisions: dict[str, Digest]
    """The team's decision files when this was judged, by name."""
    training_set: str
    evaluation: EvaluationRows
    results: tuple[GateResult, ...]
    verdict: Verdict
    turning: tuple[Turning, ...]
    """What would have changed the verdict."""
    validated_loss: ValidatedLoss | None
    plots: dict[str, Digest] = Field(default_factory=dict)
    escalation: Escalation | None = None
    code: CodeRevision
    """The project's code that judged. A release by another commit is refused."""

    @model_validator(mode="after")
    def _coherent(self) -> "Evidence":
        names = [result.gate for result in self.results]
        if len(set(names)) != len(names):
            raise ValueError("two results of one gate")
        if self.verdict is not worst(result.verdict for result in self.results):
            raise ValueError("the verdict is not the worst of the results")
        if (self.champion is None) != (self.champion_manifest is None) or (self.champion is None) != (
            self.mode == "first"
        ):
            raise ValueError("mode first goes with no champion, the other modes with a champion and its manifest")
        if self.schema_ != evidence_schema(self.anchor, self.escalation, self.anchored):
            raise ValueError(
                "escalation is what format 3 has and format 2 has not, anchor what format 4 has, anchored format 5"
            )
        if self.anchor is not None and self.anchor in (self.champion, self.version):
            raise ValueError("an anchor is neither the champion nor the candidate")
        if self.anchored is not None:
            if self.anchor is None:
                raise ValueError("nothing stands beside an anchor that there is not")
            behind, quality = self.anchored.candidate.verdict is not Verdict.PASS, self.result("quality")
            if behind and quality is not None and quality.verdict is Verdict.PASS and not shown_better(quality):
                raise ValueError(
                    "quality passes what is neither within the margin of the anchor nor shown to be better"
                )
        return self

    @property
    def next_anchor(self) -> str | None:
        """The version that later candidates are held to once this one is champion; None: to this one alone."""
        quality = self.result("quality")
        if quality is None or quality.verdict is not Verdict.PASS or not shown_better(quality):
            return self.anchor or self.champion
        if self.anchored is not None and self.anchored.candidate.verdict is not Verdict.PASS:
            return self.anchor  # better than a champion that fell behind: up a step, and not as high as the anchor
        return None  # better than the champion, shown at the declared level: a step up, and no slow way down

    def result(self, gate: str) -> GateResult | None:
        """Return the result of a gate, or None where it is missing."""
        return next((result for result in self.results if result.gate == gate), None)

    @property
    def missing_gates(self) -> list[str]:
        """Required gates without a result."""
        return [gate for gate in self.required if self.result(gate) is None]

    @property
    def artifacts(self) -> list[str]:
        """Digests of everything that this judgement stands on and shows, sorted."""
        others = [self.champion_manifest] if self.champion_manifest else []
        others += [self.escalation.rows.digest] if self.escalation and self.escalation.rows else []
        return sorted({self.manifest, self.policy, self.evaluation.digest, *others, *self.plots.values()})

    def document(self) -> dict[str, Any]:
        """Return the evidence as JSON values: what is stored, and what a card points into."""
        absent = {name for name in ("anchor", "anchored", "escalation") if getattr(self, name) is None}
        return self.model_dump(mode="json", by_alias=True, exclude=absent)

    @property
    def judgement_digest(self) -> str:
        """Digest of all but measured times, plots and `turning`: equal for two judgements of the same inputs."""
        document = self.document()
        del document["plots"], document["turning"]
        for result in document["results"]:
            if result["gate"] in _TIMED:
                result.update(statistic=None, words="", interval=None)
        return digest_of(document)


def policy_document(spec: "ModelSpec") -> dict[str, Any]:
    """Return what decides a release, as JSON values: gates, success criterion and rollout."""
    dumped = spec.model_dump(mode="json")
    return {"gates": dumped["gates"], "success": dumped["problem"]["success"], "rollout": dumped["rollout"]}


def policy_digest(spec: "ModelSpec") -> str:
    """Return the digest of `policy_document`, under which it is stored, too."""
    return digest_of(policy_document(spec))


def store_evidence(artifacts: "Artifacts", evidence: Evidence) -> str:
    """Store evidence as canonical JSON and return its digest."""
    return artifacts.put_json(evidence.document())


def read_evidence(artifacts: "Artifacts", digest: str) -> Evidence:
    """Return the evidence of a digest, from its bytes.

    Raises
    ------
    EvidenceRefused
        When the bytes are missing or damaged, or are no evidence; or lack a field that a judge always writes.
    """
    try:
        raw = artifacts.get_json(digest)
        evidence = Evidence.model_validate(raw, strict=False)
    except ValidationError as error:
        raise EvidenceRefused(
            f"artifact {digest!r:.80} is no evidence: {error.errors()[0]['msg']}; judge the version again"
        ) from error
    except PermanentError as error:
        raise EvidenceRefused(f"evidence {digest!r:.80} cannot be read ({error}); judge the version again") from error
    if evidence.document() != raw:
        raise EvidenceRefused(f"evidence {digest!r:.80} is not as a judge writes it; judge the version again")
    return evidence
