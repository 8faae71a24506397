"""What a card says of the judgement beyond its gates: who asked, against whom by which method, targets, ancestors."""

from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.records.agreed import differing
from retrain_pipeline.records.kinds.card_document import (
    Ancestor,
    CardDocument,
    Difference,
    ErrorBudget,
    Judged,
    Looked,
    Target,
    Trigger,
)

if TYPE_CHECKING:
    from retrain_pipeline.gates.evidence import Evidence
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.records.history import Story
    from retrain_pipeline.stores import Stores

ANCESTORS = 10
_TARGETS = ("success", "latency", "size", "calibration", "robustness")


def with_judgement(
    stores: "Stores", document: dict[str, Any], manifest: "VersionManifest", story: "Story"
) -> dict[str, Any]:
    """Return a card's document with these sections; the whole is checked against its type.

    Raises
    ------
    ValidationError
        When a section is not what a card has there: a fault of this project.
    """
    found = story.found
    judged = Judged(
        trigger=_trigger(manifest, story),
        champion_vs_challenger=_difference(stores, manifest, found),
        slices=_looked(found, "slices"),
        calibration=_looked(found, "calibration"),
        holdout_queries_used=_budget(found),
        target_vs_achieved=_targets(found),
        lineage_of_versions=_lineage(stores, manifest),
    )
    whole = {**document, **judged.model_dump(mode="json")}
    CardDocument.model_validate(whole)
    return whole


def _trigger(manifest: "VersionManifest", story: "Story") -> Trigger:
    said, own = story.trigger, manifest.trigger
    return Trigger(
        kind=str(said.get("kind") or own.kind),
        id=str(said.get("trigger_id") or own.id),
        attempt=int(said.get("attempt") or own.attempt),
        as_of=story.as_of,
        reasons=tuple(said.get("reasons", ())),
        policy=str(said.get("policy", "")),
    )


def _difference(stores: "Stores", manifest: "VersionManifest", found: "Evidence | None") -> Difference | None:
    result = found.result("quality") if found else None
    if found is None or result is None:
        return None
    declared = stores.artifacts.get_json(manifest.spec_digest)["gates"]
    low, high = result.interval or (None, None)
    at = next(place for place, one in enumerate(found.results) if one is result)
    method = (
        f"paired rows, bootstrap of blocks of {declared['block_hours']:g} h, two-sided bounds at α = "
        f"{declared['alpha']:g}; to pass, the bound at what the error budget grants"
    )
    return Difference(
        champion=found.champion,
        mode=found.mode,
        low=low,
        high=high,
        pointer=f"evidence.json#/results/{at}/interval",
        method=method,
        decision=result.verdict,
        words=result.words,
    )


def _looked(found: "Evidence | None", gate: str) -> Looked | None:
    for at, one in enumerate(found.results if found else ()):
        if one.gate == gate:
            return Looked(
                verdict=one.verdict,
                statistic=one.statistic,
                threshold=one.threshold,
                n=one.n,
                words=one.words,
                pointer=f"evidence.json#/results/{at}",
            )
    return None


def _budget(found: "Evidence | None") -> ErrorBudget | None:
    if found is None:
        return None
    account = found.budget
    return ErrorBudget(
        rule=account.rule,
        alpha=account.alpha,
        spent=account.spent,
        judgement=account.judgement,
        spent_before=account.spent_before,
        rows_judged_before_with=tuple(one.version for one in account.reused),
        words=account.words(),
    )


def _targets(found: "Evidence | None") -> tuple[Target, ...]:
    named = [(at, one) for at, one in enumerate(found.results if found else ()) if one.gate in _TARGETS]
    return tuple(
        Target(
            name=one.gate,
            target=one.threshold,
            achieved=one.statistic,
            verdict=one.verdict,
            pointer=f"evidence.json#/results/{at}/statistic",
        )
        for at, one in named
        if one.threshold is not None
    )


def _lineage(stores: "Stores", manifest: "VersionManifest") -> tuple[Ancestor, ...]:
    """Return the parents of a version, the nearest first, each with what its child changed."""
    from retrain_pipeline.learning.versions import read_manifest

    found: list[Ancestor] = []
    child = manifest
    while child.parent is not None and len(found) < ANCESTORS:
        try:
            parent = read_manifest(stores, manifest.model, child.parent)
        except PermanentError:
            # it was retired, or its bytes are gone: the line is told as far as it reaches
            found.append(Ancestor(version=child.parent, as_of="not on record", parent=None, changed=()))
            break
        found.append(
            Ancestor(version=parent.version, as_of=parent.as_of, parent=parent.parent, changed=_changed(parent, child))
        )
        child = parent
    return tuple(found)


def _changed(parent: "VersionManifest", child: "VersionManifest") -> tuple[str, ...]:
    names = ("as_of", "spec_digest", "feature_code_digest", "candidate", "params", "seed", "environment", "code")
    then, now = (one.model_dump(mode="json", include={*names, "training_set"}) for one in (parent, child))
    moved = {place.split(".")[0] for place in differing(then, now)}
    said = {"spec_digest": "declaration", "feature_code_digest": "feature code", "training_set": "training set"}
    return tuple(said.get(name, name) for name in sorted(moved - {"as_of"}))
