"""What a version stands on, read again: evidence by digest, the record that it follows from, and the bytes."""

from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.errors import EvidenceRefused
from retrain_pipeline.gates.evidence import Evidence, GateResult, read_evidence
from retrain_pipeline.gates.replay import contradictions
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.stages import may_be_tried
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores


def checked_evidence(stores: "Stores", declaration: "Declaration", version: str, digest: str) -> Evidence:
    """Return the evidence, from its bytes, if it is a whole PASS on this very version that a judge put on record.

    Where stages are declared, questions that they will answer may be open.
    """
    model = declaration.spec.name
    what = f"{model} {version}"
    try:
        evidence = read_evidence(stores.artifacts, digest)
    except EvidenceRefused as error:
        raise ReleaseRefused(f"{what}: {error}") from error
    if (evidence.model, evidence.version) != (model, version):
        raise ReleaseRefused(f"{what}: the evidence is of {evidence.model} {evidence.version}; judge this version")
    judged = stores.ledger.entries(model=model, action="judged", subject=version)
    if digest not in {entry.payload.get("evidence") for entry in judged}:
        raise ReleaseRefused(
            f"{what}: no judgement on record gave evidence {digest[:12]}; judge it (no file makes a verdict)"
        )
    registered = stores.ledger.latest(model, "candidate_registered", version)
    if registered is None or registered.payload.get("manifest") != evidence.manifest:
        raise ReleaseRefused(
            f"{what}: the evidence is of manifest {evidence.manifest[:12]}, not of the registered one; judge it again"
        )
    if evidence.missing_gates:
        raise ReleaseRefused(f"{what}: no result of gate {', '.join(evidence.missing_gates)}; judge it again")
    if evidence.verdict is not Verdict.PASS and not may_be_tried(declaration.spec, evidence):
        raise ReleaseRefused(f"{what}: the verdict is {evidence.verdict}: {not_passed(evidence)}")
    if "guard" in evidence.required:
        _check_guard(stores, evidence)
    wrong = [contradictions(stores, entry, evidence) for entry in judged if entry.payload.get("evidence") == digest]
    if all(wrong):
        raise ReleaseRefused(
            f"{what}: the judgement does not follow from the record: {'; '.join(wrong[0])}; judge it again"
        )
    return evidence


def _check_guard(stores: "Stores", evidence: Evidence) -> None:
    """Refuse a version whose guard evidence is not a PASS any more: it may have been looked at again since."""
    from retrain_pipeline.gates.beyond import guard_now
    from retrain_pipeline.learning.versions import read_manifest

    manifest = read_manifest(stores, evidence.model, evidence.version)
    now = guard_now(stores, manifest, evidence.champion)
    if now.verdict is not Verdict.PASS:
        raise ReleaseRefused(f"{evidence.model} {evidence.version}: guard is {now.verdict} now: {now.words}")


def loadable(stores: "Stores", declaration: "Declaration", evidence: Evidence) -> "VersionManifest":
    from retrain_pipeline.learning.team_code import code_digest
    from retrain_pipeline.learning.versions import load_version

    what = f"{evidence.model} {evidence.version}"
    try:
        manifest = load_version(stores, evidence.model, evidence.version).manifest
    except PermanentError as error:
        raise ReleaseRefused(f"{what}: it does not load: {error}") from error
    try:
        for digest in (*evidence.artifacts, *manifest.artifacts):
            stores.artifacts.get(digest)  # hashed as it is read
    except PermanentError as error:
        raise ReleaseRefused(f"{what}: part of its evidence is gone: {error}; restore it, or retrain") from error
    if (now := code_digest(declaration.folder)) != manifest.feature_code_digest:
        raise ReleaseRefused(
            f"{what}: trained on features of code {manifest.feature_code_digest[:12]}, "
            f"the folder now holds {now[:12]}; retrain"
        )
    return manifest


def still_proved(stores: "Stores", declaration: "Declaration", version: str, digest: str) -> GateResult:
    """Judge that a version on trial still stands on what let it there: evidence, record, bytes and feature code."""
    try:
        loadable(stores, declaration, checked_evidence(stores, declaration, version, digest))
    except PermanentError as refusal:
        return GateResult(gate="proof", verdict=Verdict.FAIL, words=str(refusal)[:2000])
    words = f"evidence {digest[:12]} passes, follows from the record, and its bytes are there"
    return GateResult(gate="proof", verdict=Verdict.PASS, words=words)


def not_passed(evidence: Evidence) -> str:
    return "; ".join(
        f"{result.gate} {result.verdict}: {result.words}"
        for result in evidence.results
        if result.verdict is not Verdict.PASS
    )
