"""Whether what is written about the champion was verified, where `gates.documentation` asks for it.

The checks are made above this floor, on records; what they found is an entry of the ledger, and that is what a release
reads. So a release that nobody verified for is refused, whoever calls it.
"""

from typing import TYPE_CHECKING

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.past import Asked
    from retrain_pipeline.spec.model import ModelSpec

VERIFIED = "documents_verified"
"""The action of the entry of a verification; its subject is the champion."""
_TOLD_OF = ("judged", "staged", "released", "rolled_back", "recorded")
"""Entries about a champion after which its documents are verified anew."""


def documented(ledger: "Asked", spec: "ModelSpec") -> GateResult:
    """Judge that the documents of the champion were verified, as they are now.

    PASS: nothing asks for it, there is no champion, or the newest verification passed and nothing was entered about
    the champion since. FAIL: everything else.
    """
    row = ledger.deployment(spec.name)
    if not spec.gates.documentation or row is None:
        words = "not declared (gates.documentation)" if row else "no champion yet: nothing is written"
        return GateResult(gate="documents", verdict=Verdict.PASS, words=words)
    champion = str(row.state["champion"])
    newest = ledger.latest(spec.name, VERIFIED, champion)
    again = f"materialize {spec.name}/release, or run retrain release, which verify first"
    if newest is None:
        return _refused(f"what is written about {champion} was never verified: {again}")
    since = ledger.entries(model=spec.name, subject=champion, action=_TOLD_OF, after_seq=newest.seq, limit=1)
    if since:
        words = f"since what is written about {champion} was verified (entry {newest.seq}) there is entry"
        return _refused(f"{words} {since[0].seq}, {since[0].action}: {again}")
    if newest.payload.get("verdict") != Verdict.PASS:
        return _refused(f"what is written about {champion} does not verify: {newest.payload.get('words')}")
    words = f"what is written about {champion} was verified in entry {newest.seq}"
    return GateResult(gate="documents", verdict=Verdict.PASS, words=words)


def documented_on_trial(ledger: "Asked", spec: "ModelSpec") -> GateResult | None:
    """Judge the same while a version is on trial: what is not verified holds it, and is no reason to take it back.

    None where nothing asks for it.
    """
    if not spec.gates.documentation:
        return None
    found = documented(ledger, spec)
    return found if found.verdict is Verdict.PASS else found.model_copy(update={"verdict": Verdict.INCONCLUSIVE})


def _refused(words: str) -> GateResult:
    return GateResult(gate="documents", verdict=Verdict.FAIL, words=words[:2000])
