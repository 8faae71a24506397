"""The anchor, the champion that was shown to be better last: margins of a chain of refreshes do not add up.

A candidate is held to it within the margin, unless it is shown to be better than the champion: that is no step down,
however far the champion has fallen. And a champion that the anchor is shown to be better than gives way to it.
"""

from dataclasses import replace

from retrain_pipeline.gates.evidence import Anchored, GateResult, Mode, shown_better
from retrain_pipeline.gates.material import Material, Side
from retrain_pipeline.gates.pairs import nothing, paired
from retrain_pipeline.gates.quality import all_of, quality
from retrain_pipeline.verdicts import Verdict


def beside_anchor(material: Material, spent: float | None) -> Anchored | None:
    """Return what candidate and champion are beside the anchor, each at the level that `quality` may spend; None where
    the champion is its own anchor."""
    if material.anchor is None:
        return None
    name = f"anchor {material.anchor_version}"
    back = _beside(material, material.anchor, material.champion, "superiority", spent)
    return Anchored(
        candidate=_beside(material, material.candidate, material.anchor, "non_inferiority", spent, name),
        champion=back.model_copy(update={"words": f"{name} in the candidate's place: {back.words}"}),
    )


def _beside(
    material: Material, side: Side, reference: Side | None, mode: Mode, spent: float | None, name: str | None = None
) -> GateResult:
    found = paired(material, reference, side)
    if found is None:
        return nothing("anchor", side, reference)
    return quality(replace(found, spent=spent), mode, gate="anchor", reference=name)


def held_to_anchor(held: GateResult, beside: GateResult) -> GateResult:
    """Return what `quality` says of a candidate: what it is beside the champion, and beside the anchor.

    An anchor that could not be compared with lets nothing through.
    """
    if held.verdict is Verdict.PASS and shown_better(held) and beside.statistic is not None:
        free = "" if beside.verdict is Verdict.PASS else "; shown to be better than the champion, it need not be so"
        return held.model_copy(update={"words": f"{held.words}; {beside.words}{free}"})
    return all_of(held, beside.model_copy(update={"gate": held.gate}))
