"""The error budget over a model's life: how much of α a judgement may spend, kept from the judgements on record.

**Retrains that nothing called for** (mode `superiority`). A model that is retrained a hundred times is
tested a hundred times; at 5 % each nearly every life sees a false promotion. They pay by LORD++ (Ramdas, Yang,
Wainwright, Jordan 2017, "Online control of the false discovery rate with decaying memory"): judgement t may spend

    α_t = W₀ γ_t + (α − W₀) γ_{t−τ₁} + α Σ_{k≥2} γ_{t−τ_k},    W₀ = α/2,

where t counts these judgements, the first release among them (τ₁ = 1), and τ₁ < τ₂ < … are those that passed. Up to
every t, Σ α_i ≤ α · passed: after a first release and nothing but null retrains, the chance of any false promotion is
at most α. With true gains it holds the false share of promotions at α instead: what is spent comes back with each
promotion. γ_j is proportional to j^−1.6: docs/benchmarks/gates.md has the power of this and of other rules. A promotion
that was decided on rows that are judged again tells of the same chance twice, so it earns nothing for a judgement that
shares rows with it (the conflict sets of Zrnic, Ramdas, Jordan 2021, "Asynchronous online testing of multiple
hypotheses", JMLR 22).

**What was called for**: a first model (mode `first`, nobody serves), and refreshes because of evidence of decay (mode
`non_inferiority`). Refreshes are rationed by the error rate of what called (one false call in
`trigger.expected_run_length_periods` periods), and to keep a decayed champion is an error, too. So each may spend α,
halved for each earlier judgement that shares rows with it. Charged to LORD++ they would miss far more of
the real gains, and harm no less (the same page).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    from retrain_pipeline.artifacts import Artifacts
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.ledger.past import Asked
    from retrain_pipeline.spec.model import ModelSpec

UNCALLED = "LORD++"
CALLED = "α a call"
DECAY = 1.6
_ZETA = 2.2857656996
"""ζ(1.6), so that the γ_j add up to 1."""
FIRST_SHARE = 0.5
"""W₀ as a share of α."""


class Reuse(Strict):
    """An earlier judgement that looked at rows of this one. `rows` is None where what it looked at is lost."""

    version: str
    rows: int | None = Field(ge=0)


class Account(Strict):
    """The budget as a judgement found it, and what the judgement spent of it."""

    rule: str
    question: str
    """Digest of what is asked, of which model, against which (`question`)."""
    alpha: float
    """The level declared for the model's life."""
    judgement: int = Field(ge=1)
    """Its place among the judgements of the model that pay by the same rule, from 1."""
    passed: int = Field(ge=0)
    """Those before it that passed."""
    spent_before: float = Field(ge=0)
    """What all judgements before it spent, by either rule."""
    spent: float = Field(gt=0)
    """The level at which `quality` may pass here."""
    reused: tuple[Reuse, ...]
    """Earlier judgements of the same rows; those of them that passed earn nothing here."""

    def words(self) -> str:
        """Return the account in words."""
        told = (
            f"judgement {self.judgement} of the model's life by rule {self.rule} spends {self.spent:.2g}, α is "
            f"{self.alpha:g} ({self.spent_before:.2g} spent before by all, {self.passed} of its rule passed)"
        )
        again = ", ".join(f"{one.version} ({'lost' if one.rows is None else one.rows})" for one in self.reused)
        return f"{told}; rows judged before with {again}" if again else told


@dataclass(frozen=True)
class Rows:
    """Rows that judged, by the artifact that holds their digests, and the times between which they lie."""

    digest: str
    from_: str
    until: str


@dataclass(frozen=True)
class Judged:
    """One judgement of the past; `rows` is None where the record does not say on which rows."""

    version: str
    passed: bool
    spent: float
    rows: Rows | None
    rule: str
    founds: bool = False
    """It let the first release pass."""


def gamma(distance: int) -> float:
    """Return the share of an earning that is spent `distance` judgements after it; over all distances they add to 1.

    >>> round(sum(gamma(j) for j in range(1, 200_000)), 3)
    0.999
    """
    return float(distance**-DECAY / _ZETA)


def level(alpha: float, judgement: int, passed: Sequence[int], conflicts: Iterable[int] = ()) -> float:
    """Return what a judgement may spend by LORD++.

    Parameters
    ----------
    judgement
        Its place, from 1.
    passed
        Places of earlier judgements that passed, in order.
    conflicts
        Places of earlier judgements that share rows with it.

    Examples
    --------
    >>> [round(level(0.05, t, [1]), 4) for t in (2, 3, 10, 100)]
    [0.0145, 0.0055, 0.0006, 0.0]
    """
    first, shared = FIRST_SHARE * alpha, set(conflicts)
    earned = [
        (alpha - first if at == 0 else alpha) * gamma(judgement - place)
        for at, place in enumerate(passed)
        if place not in shared
    ]
    return first * gamma(judgement) + sum(earned)


def question(terms: Mapping[str, Any], spec: "ModelSpec") -> str:
    """Return the digest of what `quality` asks: which model against which, in which mode, by which margin and blocks.

    Both models name their rows, so the rows are in it; what does not move the answer (a limit on size) is not.
    """
    names = ("model", "manifest", "champion_manifest", "mode")
    how = {"metric": spec.problem.success.metric, "margin": spec.gates.margin, "block_hours": spec.gates.block_hours}
    # Rows that are kept back are not asked: another share is another question.
    kept = {"kept": spec.gates.escalate.share} if spec.gates.escalate is not None else {}
    return digest_of({name: terms[name] for name in names} | how | kept)


def account(
    ledger: "Asked", artifacts: "Artifacts", model: str, *, alpha: float, mode: str, asked: str, rows: Rows | None
) -> Account:
    """Return the account for a judgement, from the judgements on record before it.

    Parameters
    ----------
    asked
        Digest of the question (`question`). The same question once more is the same test with the same answer, so it
        finds the account that it found, and is not counted twice; another margin is another question, and spends again.
    rows
        The rows that judge now; None where they are not known: then every earlier judgement may share them.
    """
    before = past_judgements(ledger.entries(model=model, action="judged"), asked)
    shared = [(one, _shared(artifacts, one.rows, rows)) for one in before]
    reused = [(one, count) for one, count in shared if count != 0]
    rule = _rule(mode)
    # The first release founds the life: it is the first promotion of the others' account, though it does not pay by it.
    own = [one for one in before if one.rule == rule or (rule == UNCALLED and one.founds)]
    passed = [place for place, one in enumerate(own, 1) if one.passed]
    conflicts = [place for place, one in enumerate(own, 1) if any(one is other for other, _ in reused)]
    spent = level(alpha, len(own) + 1, passed, conflicts) if rule == UNCALLED else alpha / 2 ** len(reused)
    return Account(
        rule=rule,
        question=asked,
        alpha=alpha,
        judgement=len(own) + 1,
        passed=len(passed),
        spent_before=sum(one.spent for one in before),
        spent=spent,
        reused=tuple(Reuse(version=one.version, rows=count) for one, count in reused),
    )


def _rule(mode: str) -> str:
    return UNCALLED if mode == "superiority" else CALLED


def past_judgements(entries: "Sequence[Entry]", asked: str | None = None) -> list[Judged]:
    """Return the judgements that `judged` entries tell of, oldest first, up to the first of the question `asked`.

    Entries of one question are one judgement; it passed if any of them did.
    """
    found: dict[str, Judged] = {}
    for entry in entries:
        own = str(entry.payload.get("question") or entry.sha256)
        if own == asked:
            break
        one = _judged(entry)
        known = found.get(own)
        if known is not None:
            one = replace(one, passed=known.passed or one.passed, founds=known.founds or one.founds)
        found[own] = one
    return list(found.values())


def _judged(entry: "Entry") -> Judged:
    payload, passed = entry.payload, entry.payload.get("verdict") == "PASS"
    rows: dict[str, Any] = payload.get("rows") or {}
    known = all(isinstance(rows.get(name), str) for name in ("digest", "from", "until"))
    return Judged(
        version=str(entry.subject),
        passed=passed,
        spent=float(payload.get("alpha_spent") or 0.0),
        rows=Rows(rows["digest"], rows["from"], rows["until"]) if known else None,
        rule=_rule(str(payload.get("mode"))),
        founds=passed and payload.get("mode") == "first",
    )


def _shared(artifacts: "Artifacts", then: Rows | None, now: Rows | None) -> int | None:
    """Return how many rows two judgements share; None where that cannot be told, which counts as shared."""
    import numpy as np

    if then is None or now is None:
        return None
    if then.until < now.from_ or now.until < then.from_:  # ISO times in UTC sort as text
        return 0
    try:
        first, second = (np.frombuffer(artifacts.get(one.digest), dtype=np.uint64) for one in (then, now))
    except PermanentError:
        return None
    return int(np.isin(first, second).sum())
