"""The card of a version: what it is, what it was judged on and what nobody looked at, written from the stores.

JSON first; the Markdown is rendered from it. A number that was judged carries the place in the evidence that it comes
from, and is that number. Nothing depends on when the card is written, only on what the stores hold.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.gates.evidence import Evidence
from retrain_pipeline.records.card_judged import with_judgement
from retrain_pipeline.records.history import Story, explain
from retrain_pipeline.records.measured import with_measurements
from retrain_pipeline.redaction import redacted_values
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

FAIRNESS = "fairness between groups"
NOT_MEASURED = (
    ("effect on users and on data collection", "judged offline, on rows that were there already"),
    (FAIRNESS, "only declared slices are compared, with the champion, not with each other"),
    ("behaviour beyond the evaluation period", "two models that tie there may differ later"),
)


@dataclass(frozen=True)
class Card:
    """The digests of a card's Markdown and JSON in the artifact store, and its document."""

    model: str
    version: str
    markdown: str
    json: str
    document: dict[str, Any]


def write_card(stores: "Stores", declaration: "Declaration", version: str) -> Card:
    """Write the card of a version and return its digests. The same stores give the same bytes.

    Raises
    ------
    UnknownVersion, VersionNotLoadable
        When the version is not on record.
    """
    from retrain_pipeline.learning.versions import read_manifest
    from retrain_pipeline.records.render import render

    model = declaration.spec.name
    story = explain(stores, model, version)
    manifest = read_manifest(stores, model, version)
    board = stores.artifacts.get_json(manifest.leaderboard)
    document = card_document(declaration.spec, manifest, story, board)
    document = with_judgement(stores, document, manifest, story)
    document = with_measurements(stores, document, model, version)
    document = redacted_values(document)
    markdown = render("card.md.j2", document)
    return Card(model, version, stores.artifacts.put(markdown.encode()), stores.artifacts.put_json(document), document)


def card_document(
    spec: "ModelSpec", manifest: "VersionManifest", story: Story, leaderboard: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the card as JSON values, the field names those of the common model card formats where there are such."""
    return {
        "schema": "model_card/1",
        "model_details": _details(spec, manifest),
        "intended_use": {
            "statement": spec.problem.statement,
            "business_metric": spec.problem.business_metric.model_dump(mode="json"),
            "success": spec.problem.success.model_dump(mode="json"),
        },
        "why": story.why,
        "serves": story.serves,
        "training_data": {**_training(manifest), "windows": (leaderboard or {}).get("windows", [])},
        "judgement": _judgement(story),
        "limitations_from_evidence": _limitations(story.found),
        "not_measured": [{"what": what, "why": why} for what, why in NOT_MEASURED if not _measured(story.found, what)],
        "reproducibility": _reproducibility(manifest, story),
    }


def _details(spec: "ModelSpec", manifest: "VersionManifest") -> dict[str, Any]:
    return {
        "name": manifest.model,
        "version": manifest.version,
        "parent": manifest.parent,
        "owners": list(spec.owners),
        "created_at": manifest.created_at.isoformat(),
        "task": manifest.task,
        "candidate": manifest.candidate,
        "estimator": manifest.estimator,
        "params": {name: repr(value) for name, value in sorted(manifest.params.items())},
        "size_bytes": manifest.size_bytes,
    }


def _training(manifest: "VersionManifest") -> dict[str, Any]:
    frozen, columns, window = manifest.frozen, manifest.columns, manifest.window
    return {
        "digest": frozen.digest,
        "as_of": frozen.as_of,
        "rows": window.train_rows if window else frozen.train_rows,
        "from": window.train_from if window else frozen.train_from,
        "until": frozen.train_until,
        "periods": window.periods if window else len(frozen.periods),
        "left_out": {"rows": frozen.train_rows - window.train_rows, "from": frozen.train_from} if window else None,
        "features_table_version": frozen.features.version,
        "labels_table_version": frozen.labels.version,
        "features": [*columns.numeric, *columns.categorical],
        "dropped_features": dict(columns.dropped),
    }


def _judgement(story: Story) -> dict[str, Any] | None:
    """Return what the evidence says, each number with its place in it."""
    found = story.found
    if found is None:
        return None
    numbers = []
    if found.validated_loss is not None:
        loss = found.validated_loss.model_dump(mode="json")
        names = {"value": loss["metric"], "mean": "mean row loss", "se": "standard error of it", "n": "rows"}
        numbers += [_number(names[key], loss[key], f"/validated_loss/{key}") for key in names if loss[key] is not None]
    quality = found.result("quality")
    if quality is not None and quality.interval is not None:
        at = next(place for place, one in enumerate(found.results) if one is quality)
        sides = zip(("lower", "upper"), quality.interval, strict=True)
        numbers += [
            _number(f"difference of row loss, {side} bound", value, f"/results/{at}/interval/{place}")
            for place, (side, value) in enumerate(sides)
            if value is not None
        ]
    return {
        "evidence": story.evidence,
        "verdict": found.verdict.value,
        "mode": found.mode,
        "champion": found.champion,
        "evaluation": found.evaluation.model_dump(mode="json", by_alias=True),
        "numbers": numbers,
        "gates": [{"gate": one.gate, "verdict": one.verdict.value, "words": one.words} for one in found.results],
        "plots": dict(found.plots),
    }


def _number(name: str, value: float, place: str) -> dict[str, Any]:
    return {"name": name, "value": value, "pointer": f"evidence.json#{place}"}


def _measured(found: Evidence | None, what: str) -> bool:
    return what == FAIRNESS and found is not None and found.result("groups") is not None


def _limitations(found: Evidence | None) -> list[str]:
    if found is None:
        return ["never judged: nothing is known about how well it does"]
    named = [f"{one.gate}: {one.words}" for one in found.results if one.verdict is not Verdict.PASS]
    slices = found.result("slices")
    if slices is not None and "too few" in slices.words:
        named.append(f"slices: {slices.words}")
    return named


def _reproducibility(manifest: "VersionManifest", story: Story) -> dict[str, Any]:
    return {
        "manifest": story.manifest,
        "evidence": story.evidence,
        "model_artifact": manifest.model_artifact,
        "prediction_fingerprint": manifest.prediction_fingerprint,
        "training_set": manifest.frozen.digest,
        "declaration": manifest.spec_digest,
        "feature_code": manifest.feature_code_digest,
        "code": manifest.code.model_dump(mode="json"),
        "environment": manifest.environment.digest,
        "python": manifest.environment.python,
        "seed": manifest.seed,
    }
