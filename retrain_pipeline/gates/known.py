"""Candidates whose answer is known, for each gate that is not tested with the comparison itself (`self_test`).

Each is as cheap as it can be: rows that are made here, or the reference as its own candidate on one input.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from retrain_pipeline.gates.compatibility import Answers, Asked, contract
from retrain_pipeline.gates.documentation import documentation
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.groups import groups
from retrain_pipeline.gates.guard import GUARDED, GuardEvidence, guard
from retrain_pipeline.gates.operation import fingerprint
from retrain_pipeline.gates.refits import reproduced
from retrain_pipeline.gates.required import required_gates
from retrain_pipeline.gates.robustness import robustness
from retrain_pipeline.gates.second import flipped
from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.ledger.past import PastLedger
from retrain_pipeline.spec.model import collection_digest
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.artifacts import Artifacts
    from retrain_pipeline.gates.material import Material, Side
    from retrain_pipeline.spec.gates import Gates

ROWS = 120
Pair = tuple[GateResult, GateResult]
"""What a gate says of a known-bad candidate, and of a known-good one."""


def wrong_about_candidates(material: "Material", reference: "Side | None") -> list[str]:
    """Return the gates that pass a known-bad candidate, or do not pass a known-good one.

    Parameters
    ----------
    reference
        Whom `robustness` compares with. Where it does not answer, that gate has no verdict that could be wrong.
    """
    from retrain_pipeline.learning.reproduce import Reproduction

    gates, different = material.spec.gates, Reproduction(False, ["answers: others"])
    known: dict[str, Callable[[], Pair | None]] = {
        "contract": lambda: (_contract("gone"), _contract("a")),
        "fingerprint": lambda: (fingerprint("", None), fingerprint("", "same")),
        "reproducible": lambda: (reproduced(different), reproduced(Reproduction(True, []))),
        "groups": lambda: (_groups(gates, gates.group_margin + 1.0), _groups(gates, 0.0)),
        "documentation": _documentation,
        "guard": lambda: _guard(material),
        "escalation": lambda: (_second(material, 3.0), _second(material, 1 / 3)),
        "robustness": lambda: _robust(material, reference),
    }
    found = {gate: judge() for gate, judge in known.items() if gate in required_gates(gates)}
    return sorted(gate for gate, pair in found.items() if pair is not None and not _right(*pair))


def _right(bad: GateResult, good: GateResult) -> bool:
    return bad.verdict is not Verdict.PASS and good.verdict is Verdict.PASS


def _robust(material: "Material", reference: "Side | None") -> Pair | None:
    """Judge a model that goes wild without an input, and one as good as the reference; None without a reference."""
    if reference is None or reference.losses is None or not reference.takes or not material.unseen.any():
        return None
    good = _robustness(material, reference, None)
    # Where the reference itself gives no answer without its first input, the gate has no verdict that could be wrong.
    return None if good.statistic is None else (_robustness(material, reference, _Fragile), good)


def _contract(takes: str) -> GateResult:
    import pandas as pd

    asked = Asked(task="regression", columns=("a",), rows=1)
    return contract(asked, (Answers("known", (takes,), pd.DataFrame({"prediction": [0.5]})),))


def _groups(gates: "Gates", apart: float) -> GateResult:
    """Judge a candidate whose mean of one value of each declared group lies so far from the other's."""
    import numpy as np
    import pandas as pd

    one = np.arange(ROWS) % 2
    values = pd.DataFrame({name: np.where(one, "one", "other") for name in gates.groups})
    measures = {"loss": (np.asarray(1 + apart * one, dtype=np.float64), np.ones(ROWS))}
    return groups(measures, values, gates.groups, margin=gates.group_margin, alpha=gates.alpha, seed=0)


_DECISION = """\
---
id: known-0001
schema: 1
status: accepted
date: 2024-01-01
decision-makers: ["team:known"]
subject: {{kind: feature, covers: [{covers}]}}
review_by: 2025-01-01
---
# A ratio beside the two amounts

## Context and Problem Statement
Two amounts are given, and the answer turns on how they compare.

## Considered Options
* Their ratio as a feature
* Nothing: trees find it from both

## Decision Outcome
Chosen option: their ratio as a feature, because {because}.

### Consequences
* Bad, because one more column must be kept the same in training and serving.
"""
_REASON = "a tree needs many splits to follow a ratio of two columns, and few rows lie near the border that counts"


def _documentation() -> tuple[GateResult, GateResult]:
    """Judge changes of the features: without a decision, with an empty one, with one about another field; and with one.

    Of the known-bad candidates the one is returned that comes out best.
    """
    with tempfile.TemporaryDirectory(prefix="known-") as name:
        folder = Path(name)
        changed = ["features.code", "features.history_periods"]
        bad = [documentation(folder, {}, changed)]
        (folder / "decisions").mkdir()
        for covers, because in (("features", "TODO"), ("features.code", _REASON), ("features", _REASON)):
            text = _DECISION.format(covers=covers, because=because)
            (folder / "decisions" / "0001.md").write_text(text, encoding="utf-8")
            bad.append(documentation(folder, {}, changed))
        good = bad.pop()
        return next((one for one in bad if one.verdict is Verdict.PASS), bad[0]), good


def _guard(material: "Material") -> Pair:
    """Judge by guard evidence: of another update, one that reaches into the rollout, one that failed (also where its
    entry says that it passed); and of this.

    Of the known-bad the one is returned that comes out best.
    """
    manifest, declared = material.manifest, material.spec.model_dump(mode="json")
    own, other, as_of = "1" * 64, "0" * 64, datetime.fromisoformat(material.manifest.as_of)
    found = GuardEvidence(
        model=manifest.model,
        version=manifest.version,
        manifest=own,
        champion=None,
        collection=collection_digest(declared),
        baseline_from=as_of - timedelta(days=14),
        baseline_until=as_of,
        verdict=Verdict.PASS,
        words="known",
    )

    def judged(says: Verdict = Verdict.PASS, **otherwise: Any) -> GateResult:
        kept = _Kept({own: found.model_copy(update=otherwise).model_dump(mode="json", by_alias=True)})
        kept.documents[manifest.spec_digest] = declared
        payload = {"evidence": own, "verdict": says.value}
        entry = Entry(1, other, "", 0, "known", GUARDED, manifest.model, manifest.version, payload, None, None, other)
        return guard(PastLedger([entry], 1), cast("Artifacts", kept), manifest, own, None)

    bad = [
        judged(manifest=other),
        judged(version="known"),
        judged(collection=other),
        judged(baseline_until=as_of + timedelta(days=1)),
        judged(verdict=Verdict.FAIL),
        judged(Verdict.FAIL, verdict=Verdict.FAIL),
    ]
    return next((one for one in bad if one.verdict is Verdict.PASS), bad[0]), judged()


@dataclass(frozen=True)
class _Kept:
    """Artifacts that are made here, by digest."""

    documents: dict[str, Any]

    def get_json(self, digest: str) -> Any:
        """Return a document."""
        return self.documents[digest]


def _second(material: "Material", times: float) -> GateResult:
    """Ask the second validator about so many times the reference's loss, in blocks that all say the same."""
    import numpy as np
    import pandas as pd

    hours = material.spec.gates.block_hours / 10
    moments = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(ROWS) * hours, unit="h")
    reference = 1 + 0.1 * np.sin(np.arange(ROWS))
    return flipped(reference * times, reference, moments, spec=material.spec, mode="superiority")


def _robustness(material: "Material", reference: "Side", broken: Any) -> GateResult:
    """Judge the reference as its own candidate, on the first of its inputs; with `broken` around its model."""
    model = reference.pipeline if broken is None else broken(reference.pipeline)
    candidate = replace(reference, name="known", takes=reference.takes[:1], pipeline=model)
    known = replace(material, candidate=candidate)
    return robustness(known, reference, factor=material.spec.gates.robustness)


class _Fragile:
    """A model that answers wildly, or not at all, as soon as an input is missing."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self.named_steps = pipeline.named_steps
        if hasattr(pipeline, "predict_proba"):
            self.classes_ = pipeline.classes_
            self.predict_proba = lambda given: self._wild(given, pipeline.predict_proba(given))

    def predict(self, given: Any) -> Any:
        """Answer rows."""
        return self._wild(given, self._pipeline.predict(given))

    def _wild(self, given: Any, answers: Any) -> Any:
        import numpy as np

        if not given.isna().all().any():
            return answers
        if hasattr(self, "classes_") or np.asarray(answers).dtype.kind not in "fc":
            raise ValueError("no answer without this input")
        return answers + 1e6 * (1 + np.abs(answers).max())
