"""The change plan: what may change without a person, and how far it may go before one must look again.

`change_plan.yaml` in a model's folder is in force once somebody who may approve has signed its digest. Inside it a
release needs no approval. Its limits count from the **anchor**, the last version that a person let through: many small
steps, each within bounds, must not walk away from what a person saw.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError, model_validator

from retrain_pipeline.canonical import canonical_json, digest_of
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.ledger.entries import DEPLOYMENT, Entry
from retrain_pipeline.release.errors import ApprovalRefused
from retrain_pipeline.release.lineage import reigns, standing
from retrain_pipeline.spec.errors import YamlRefused
from retrain_pipeline.spec.yaml import read_yaml_file
from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.ledger.store import Ledger
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

FILE = "change_plan.yaml"
BY_PERSON = ("release", "override")
"""Kinds of permit that a person stands behind."""


class Allowed(Strict):
    """What a candidate may differ in from the anchor. Data always may: that is what a retrain is."""

    triggers: tuple[str, ...] = Field(min_length=1)
    """Kinds of retrain that are let through: ``policy``, ``performance``, ``drift``, ``max_age``, ``manual``."""
    candidates: tuple[str, ...] = Field(min_length=1)
    """Which declared candidates may have won."""
    code: bool = False
    """Whether the project's code and the model's features may be others than the anchor's."""
    declaration: bool = False
    """Whether the declaration may be another than the anchor's."""


class Limits(Strict):
    """How far automatic releases may go, together, from the anchor."""

    max_autopromotions: int = Field(ge=0)
    max_total_delta: float = Field(ge=0)
    """By how much the candidate's mean row loss may exceed the anchor's, as a share of it, on the same rows."""
    max_days_without_human: float = Field(gt=0)


class ChangePlan(Strict):
    """What `change_plan.yaml` says."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    valid_from: date
    valid_until: date
    """The last day (UTC)."""
    allowed: Allowed
    cumulative_limits: Limits

    @model_validator(mode="after")
    def _coherent(self) -> "ChangePlan":
        if self.valid_until < self.valid_from:
            raise ValueError("valid_until lies before valid_from")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of what the plan says."""
        return digest_of(self.model_dump(mode="json"))


@dataclass(frozen=True)
class Anchor:
    """The last version that a person let through, and the automatic releases since."""

    version: str
    at: datetime
    automatic: int


def read_plan(folder: Path) -> ChangePlan | None:
    """Return the change plan of a model's folder, or None where there is none.

    Raises
    ------
    ApprovalRefused
        When the file cannot be used, with the path in it.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        return ChangePlan.model_validate_json(canonical_json(read_yaml_file(file).value), strict=True)
    except (YamlRefused, OSError) as error:
        raise ApprovalRefused(f"{file}: {error}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise ApprovalRefused(f"{file}: {where}: {problem['msg']}") from error


def anchor_of(ledger: "Ledger", model: str) -> Anchor:
    """Return the anchor of a model: of the champions that no rollback has undone, the newest that a person let through.

    Raises
    ------
    ApprovalRefused
        When no person let any of them through.
    """
    releases = [one for one in ledger.entries(model=model, action="released") if DEPLOYMENT in one.payload]
    by_person = {one.subject: one for one in releases if _permit(one) in BY_PERSON}
    for reign in reversed(standing(reigns(ledger, model))):
        if (seen := by_person.get(reign.version)) is not None:
            automatic = sum(_permit(one) not in BY_PERSON for one in releases if one.seq > seen.seq)
            return Anchor(reign.version, datetime.fromisoformat(seen.at_utc), automatic)
    raise ApprovalRefused(f"{model}: the plan has no anchor yet; a person approves the first version")


def _permit(released: Entry) -> str | None:
    """Return by what kind of permit a release went through; None for one of before there were any."""
    return (released.payload.get("permit") or {}).get("kind")


def check_limits(plan: ChangePlan, anchor: Anchor, now: datetime) -> None:
    """Refuse what the plan's counts and dates do not cover: quick, asked again inside the release's transaction.

    Raises
    ------
    ApprovalRefused
        With the limit that is reached.
    """
    limits, what = plan.cumulative_limits, f"plan {plan.id}"
    if not plan.valid_from <= now.astimezone(UTC).date() <= plan.valid_until:
        raise ApprovalRefused(f"{what}: valid from {plan.valid_from} to {plan.valid_until}")
    if anchor.automatic >= limits.max_autopromotions:
        raise ApprovalRefused(
            f"{what}: {anchor.automatic} automatic releases since {anchor.version}, at most {limits.max_autopromotions}"
        )
    if now - anchor.at > timedelta(days=limits.max_days_without_human):
        days = (now - anchor.at) / timedelta(days=1)
        raise ApprovalRefused(
            f"{what}: {days:.1f} days since a person let {anchor.version} through, "
            f"at most {limits.max_days_without_human:g}"
        )


def check_covered(
    stores: "Stores", declaration: "Declaration", plan: ChangePlan, anchor: Anchor, manifest: "VersionManifest"
) -> float:
    """Refuse a candidate that differs from the anchor in more than the plan allows; return its excess loss.

    Returns
    -------
    float
        Mean row loss of the candidate over the anchor's on the candidate's evaluation rows, less one.

    Raises
    ------
    ApprovalRefused
        With what lies outside, or when the two cannot be compared: what cannot be measured is not within a limit.
    """
    from retrain_pipeline.learning.versions import read_manifest

    allowed, what = plan.allowed, f"plan {plan.id}"
    try:
        earlier = read_manifest(stores, manifest.model, anchor.version)
    except PermanentError as error:
        raise ApprovalRefused(f"{what}: the anchor cannot be read: {error}") from error
    if manifest.trigger.kind not in allowed.triggers:
        raise ApprovalRefused(f"{what}: a {manifest.trigger.kind} retrain is not one of {', '.join(allowed.triggers)}")
    if manifest.candidate not in allowed.candidates:
        raise ApprovalRefused(f"{what}: candidate {manifest.candidate} is not one of {', '.join(allowed.candidates)}")
    codes = [(one.feature_code_digest, one.code) for one in (earlier, manifest)]
    if not allowed.code and (codes[0] != codes[1] or manifest.code.dirty):
        raise ApprovalRefused(f"{what}: the code is not that of {anchor.version}")
    if not allowed.declaration and earlier.spec_digest != manifest.spec_digest:
        raise ApprovalRefused(f"{what}: the declaration is not that of {anchor.version}")
    excess = _excess(stores, declaration, anchor, manifest)
    if not excess <= plan.cumulative_limits.max_total_delta:
        raise ApprovalRefused(
            f"{what}: mean loss {excess:+.2%} against {anchor.version}, "
            f"at most {plan.cumulative_limits.max_total_delta:+.2%}"
        )
    return excess


def _excess(stores: "Stores", declaration: "Declaration", anchor: Anchor, manifest: "VersionManifest") -> float:
    """Return the candidate's mean loss over the anchor's, less one, on the same frozen rows."""
    from retrain_pipeline.gates.material import read_material
    from retrain_pipeline.learning.versions import load_version

    spec = declaration.spec
    material = read_material(stores, spec, load_version(stores, spec.name, manifest.version), anchor.version, None)
    ours, theirs = material.candidate.losses, material.champion.losses if material.champion else None
    if ours is None or theirs is None or not len(ours):
        raise ApprovalRefused(
            f"{spec.name}: {manifest.version} and {anchor.version} cannot be compared on one set of rows"
        )
    return _above(float(ours.mean()), float(theirs.mean()))


def _above(loss: float, reference: float) -> float:
    """Return by how much a mean loss exceeds another, as a share of it: infinitely where that is none."""
    difference = loss - reference
    if reference <= 0:
        return float("inf") if difference > 0 else 0.0
    return difference / reference
