"""Check 7: the data, the model and the evidence that documents name are there, and hash to what was named."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.lake.errors import SnapshotChanged
from retrain_pipeline.learning.training_set import read_training_set
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.records.retirement import removed_digests
from retrain_pipeline.records.truth.finding import Finding, right, wrong

if TYPE_CHECKING:
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.learning.training_set import TrainingSet
    from retrain_pipeline.records.truth.context import Context, OnRecord

_RESTORE = "restore it from a backup; else retrain"


def digests_hash(context: "Context") -> Iterator[Finding]:
    """Read again, hashing: of every documented version the bytes, the frozen rows, and what its card names.

    Rows that an earlier look hashed are looked for, not read: that takes as long as there are rows.
    """
    for version in context.versions:
        thing = f"version {version}"
        try:
            manifest = read_manifest(context.stores, context.model, version)
        except PermanentError as error:
            yield wrong(thing, "manifest", str(error), _RESTORE)
            continue
        yield _bytes(context, thing, "manifest", manifest.artifacts)
        yield _rows(context, thing, manifest)
        yield from _judgements(context, version)
        if version in context.cards:
            yield _card(context, context.cards[version], manifest)


def _bytes(context: "Context", thing: str, place: str, digests: Iterable[str]) -> Finding:
    retired = removed_digests(context.stores, context.model)
    try:
        for digest in digests:
            if digest not in retired:
                context.stores.artifacts.get(digest)  # hashed as it is read
    except PermanentError as error:
        return wrong(f"bytes of {thing}", place, str(error), _RESTORE)
    return right(f"bytes of {thing}", place)


def _rows(context: "Context", thing: str, manifest: "VersionManifest") -> Finding:
    what, frozen = f"training set of {thing}", manifest.frozen
    place = f"features at table version {frozen.features.version}, labels at {frozen.labels.version}"
    try:
        if manifest.version in context.looked.rows:
            _look_for(context, frozen)
        else:
            read_training_set(context.stores, frozen)
    except PermanentError as error:
        return wrong(what, place, str(error), "restore the tables from a backup; else retrain")
    return right(what, place)


def _look_for(context: "Context", frozen: "TrainingSet") -> None:
    """Look for the periods of a training set in its table versions, without reading their rows.

    Raises
    ------
    SnapshotChanged
        When one is not there any more.
    """
    for one in (frozen.features, frozen.labels):
        there = context.stores.lake.partitions(one.model, one.table, one.version)
        if missing := sorted(set(one.periods) - set(there)):
            words = f"{one.model}/{one.table} at version {one.version} lost {', '.join(missing[:3])}"
            raise SnapshotChanged(f"{words} ({len(missing)} of {len(one.periods)} periods)")


def _judgements(context: "Context", version: str) -> Iterator[Finding]:
    for entry in context.entries:
        if entry.action == "judged" and entry.subject == version:
            place = f"ledger entry {entry.seq}"
            try:
                evidence = read_evidence(context.stores.artifacts, str(entry.payload.get("evidence")))
            except PermanentError as error:
                yield wrong(f"evidence on {version}", place, str(error), _RESTORE)
                continue
            yield _bytes(context, f"evidence on {version}", place, evidence.artifacts)


def _card(context: "Context", card: "OnRecord", manifest: "VersionManifest") -> Finding:
    """Hold the digests that a card names against the registered version's."""
    thing, place = f"card of {manifest.version}", "/reproducibility"
    named = card.document.get("reproducibility")
    named = named if isinstance(named, dict) else {}
    registered = context.stores.ledger.latest(context.model, "candidate_registered", manifest.version)
    true = {
        "manifest": registered.payload.get("manifest") if registered else None,
        "model_artifact": manifest.model_artifact,
        "training_set": manifest.frozen.digest,
        "prediction_fingerprint": manifest.prediction_fingerprint,
    }
    other = [name for name, digest in sorted(true.items()) if named.get(name) != digest]
    if other:
        words = f"it names no or another {', '.join(other)} than the registered version has"
        return wrong(thing, place, words, "bring the records up to date: retrain docs update")
    return right(thing, place)
