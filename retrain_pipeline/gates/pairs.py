"""Two sides of a judgement on the same rows, and what is said where one of them could not answer."""

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.material import Material, Side
from retrain_pipeline.gates.quality import Paired
from retrain_pipeline.verdicts import Verdict


def paired(material: Material, reference: Side | None, side: Side | None = None) -> Paired | None:
    """Return a side (by default the candidate) and a reference on the rows that neither candidate nor champion has
    seen; None when one of them has no losses."""
    own = (side or material.candidate).losses
    if own is None or reference is None or reference.losses is None:
        return None
    gates, rows = material.spec.gates, material.unseen
    return Paired(
        candidate=own[rows],
        reference=reference.losses[rows],
        event_time=material.event_time[rows],
        metric=material.spec.problem.success.metric,
        margin=gates.margin,
        alpha=gates.alpha,
        block_hours=gates.block_hours,
        min_rows=gates.min_rows,
        seed=material.seed,
    )


def nothing(gate: str, side: Side, reference: Side | None) -> GateResult:
    """Return what a comparison says where a side has no losses."""
    sides = [one for one in (side, reference) if one is not None and one.losses is None]
    words = "; ".join(f"{one.name}: {one.why_not}" for one in sides) or "no dummy baseline to compare with"
    return GateResult(gate=gate, verdict=Verdict.INCONCLUSIVE, words=words[:2000])
