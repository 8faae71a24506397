"""A champion that fell behind its anchor gives way to it, where a judgement showed that and let nobody else through."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.errors import EvidenceRefused
from retrain_pipeline.gates.escalation import GATE as ESCALATION
from retrain_pipeline.gates.evidence import Evidence, read_evidence
from retrain_pipeline.ledger.errors import StaleEpoch
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

ANCHOR = "anchor"
"""The actor of a rollback to the anchor."""
ROWS = ("disjoint", "labels", "self_test")
"""Gates that vouch for the rows and for the comparison: without them nothing follows from what was compared."""


@dataclass(frozen=True)
class Gave:
    """What came of it: who serves now, and why, or why the champion stayed though the anchor is better."""

    moved: bool
    champion: str
    words: str


def give_way(stores: "Stores", model: str, version: str, *, evidence_digest: str) -> Gave | None:
    """Roll back to the anchor if a judgement on record showed it to be better than the champion; None where it did not.

    Only at the epoch of the judgement: of the next champion it says nothing. A second call changes nothing.

    Raises
    ------
    ReleaseRefused
        When the evidence cannot be read, or no judgement of the version that is on record gave it.
    """
    evidence = _on_record(stores, model, version, evidence_digest)
    found, anchor = evidence.anchored, evidence.anchor
    if found is None or anchor is None or found.champion.verdict is not Verdict.PASS or not _rows_hold(evidence):
        return None
    said = f"judging {version}: {found.champion.words}"[:2000]
    try:
        back = rollback(stores, model, to=anchor, because=said, actor=ANCHOR, at_epoch=evidence.epoch)
    except StaleEpoch:
        return None
    except PermanentError as error:
        return Gave(False, str(evidence.champion), f"{said}; but {error}")
    return Gave(True, back.champion, said)


def _on_record(stores: "Stores", model: str, version: str, digest: str) -> Evidence:
    what = f"{model} {version}"
    try:
        evidence = read_evidence(stores.artifacts, digest)
    except EvidenceRefused as error:
        raise ReleaseRefused(f"{what}: {error}") from error
    judged = stores.ledger.entries(model=model, action="judged", subject=version)
    if (evidence.model, evidence.version) != (model, version) or digest not in {
        entry.payload.get("evidence") for entry in judged
    }:
        raise ReleaseRefused(f"{what}: no judgement on record gave evidence {digest[:12]}; judge it")
    return evidence


def _rows_hold(evidence: Evidence) -> bool:
    results, second = [evidence.result(gate) for gate in ROWS], evidence.result(ESCALATION)
    if second is not None and second.verdict is Verdict.FAIL:  # validators contradict each other: a person looks first
        return False
    return all(result is not None and result.verdict is Verdict.PASS for result in results)
