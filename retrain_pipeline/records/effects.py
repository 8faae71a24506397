"""Predicted effects beside what came: each is scored on the first version that was released with its decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.gates.evidence import Evidence, read_evidence
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.records.decisions import registered
from retrain_pipeline.records.kinds.decision import DecisionRecord, EffectScore
from retrain_pipeline.records.record import enter, records
from retrain_pipeline.release.lineage import reigns
from retrain_pipeline.spec.decision import Effect
from retrain_pipeline.spec.predicate import nearest_names
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

LOSS = "validated_loss"
COUNTED: Mapping[str, str] = {
    "size_mb": "size of the model in MB",
    "rows": "rows that it was fitted on",
    "features": "features that it takes",
}
"""Metrics of an effect that are counted, not estimated, beside `validated_loss` and the metric of problem.success."""


@dataclass(frozen=True)
class Observed:
    """What came: a difference of the version to the one before it, and its bounds where it is an estimate."""

    value: float | None
    interval: tuple[float, float] | None
    words: str


@dataclass(frozen=True)
class Came:
    """The first release that a decision was part of."""

    evidence: str
    found: Evidence


def score_effects(stores: "Stores", declaration: "Declaration", actor: str) -> None:
    """Score each predicted effect of a decision whose first release has come, once."""
    model = declaration.spec.name
    known = registered(stores, model)
    scored = {(one.subject, str(one.document["metric"])) for one in records(stores, model, EffectScore.KIND)}
    waiting = [
        (name, effect)
        for name, one in sorted(known.items())
        for effect in one.record.front.anticipated_effects
        if (name, effect.metric) not in scored
    ]
    came = _first_releases(stores, model) if waiting else {}
    for name, effect in waiting:
        if name not in came:
            continue
        first = came[name]
        seen = observe(stores, declaration, effect.metric, first.found)
        together = tuple(other for other, one in sorted(came.items()) if one == first and other != name)
        made = EffectScore.make(
            model=model,
            subject=name,
            decision=known[name].newest.digest,
            metric=effect.metric,
            direction=effect.direction,
            predicted=effect.range,
            version=first.found.version,
            before=first.found.champion,
            evidence=first.evidence,
            observed=seen.value,
            interval=seen.interval,
            verdict=score(effect, seen),
            words=seen.words,
            together_with=together,
        )
        enter(stores, made, actor=actor)


def score(effect: Effect, seen: Observed) -> Verdict:
    """Return PASS where what was predicted came, FAIL where something else did, INCONCLUSIVE where nobody can tell.

    An estimate passes when its bounds are on the predicted side of 0 (``same``: within the range) and its middle is in
    the range; it fails when its bounds are wholly outside the range, or wholly on the other side.
    """
    if seen.value is None:
        return Verdict.INCONCLUSIVE
    low, high = seen.interval or (seen.value, seen.value)
    lower, upper = effect.range
    opposite = {"up": high <= 0, "down": low >= 0, "same": False}[effect.direction]
    if opposite or low > upper or high < lower:
        return Verdict.FAIL
    sure = {"up": low > 0, "down": high < 0, "same": lower <= low and high <= upper}[effect.direction]
    return Verdict.PASS if sure and lower <= seen.value <= upper else Verdict.INCONCLUSIVE


def observe(stores: "Stores", declaration: "Declaration", metric: str, found: Evidence) -> Observed:
    """Return how a metric of a released version differs from that of the champion before it.

    A loss is compared on the rows that judged both, as the gate `quality` did; a first version with the dummy, which
    knows no features.
    """
    declared = declaration.spec.problem.success.metric
    if metric in (LOSS, declared):
        return _loss(found, declared)
    if metric not in COUNTED:
        near = nearest_names(metric, [*COUNTED, LOSS, declared])
        return Observed(None, None, f"{metric!r:.80} is no metric that is compared between versions{near}")
    if found.champion is None:
        return Observed(None, None, f"{found.version} is the first version: there is none to compare {metric} with")
    now, before = (read_manifest(stores, found.model, one) for one in (found.version, found.champion))
    values = _counted(metric, now), _counted(metric, before)
    words = f"{COUNTED[metric]}: {values[0]:.6g}, of {found.champion} {values[1]:.6g}"
    return Observed(values[0] - values[1], None, words)


def _loss(found: Evidence, metric: str) -> Observed:
    result = found.result("quality")
    if result is None or result.interval is None or None in result.interval:
        words = "the gate quality has no interval of the difference" + (f": {result.words}" if result else "")
        return Observed(None, None, words[:500])
    against = "a model that knows no features (the first version has none before it)"
    told = f"mean {metric} row loss of {found.version} minus that of {found.champion or against}"
    if metric == "rmse":
        return Observed(None, None, f"{told}: rows' losses are squares, and the range is of their root")
    low, high = (float(one) for one in result.interval if one is not None)
    return Observed((low + high) / 2, (low, high), f"{told}: the middle of [{low:.4g}, {high:.4g}]")


def _counted(metric: str, made: "VersionManifest") -> float:
    values: dict[str, Any] = {
        "size_mb": made.size_bytes / 1e6,
        "rows": made.window.train_rows if made.window else made.frozen.train_rows,
        "features": len(made.columns.numeric) + len(made.columns.categorical),
    }
    return float(values[metric])


def _first_releases(stores: "Stores", model: str) -> dict[str, Came]:
    """Return, by decision, the first release whose judge saw the decision accepted."""
    accepted: dict[str, set[tuple[str, str]]] = {}
    for one in records(stores, model, DecisionRecord.KIND):
        if one.document["front"]["status"] == "accepted":
            accepted.setdefault(one.subject, set()).add((str(one.document["file"]), str(one.document["text"])))
    found: dict[str, Came] = {}
    for reign in reigns(stores.ledger, model):
        if reign.entry.action == "released" and accepted.keys() - found.keys():
            digest = reign.deployment.evidence
            evidence = read_evidence(stores.artifacts, digest)
            stood = set(evidence.decisions.items())
            new = {name for name, texts in accepted.items() if texts & stood}
            found |= {name: Came(digest, evidence) for name in new - found.keys()}
    return found
