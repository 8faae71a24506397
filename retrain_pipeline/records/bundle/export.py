"""Writing a bundle: the entries that tell of a version, all that they name by digest, and pages to read them by."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_pipeline import __version__
from retrain_pipeline.artifacts import ArtifactMissing
from retrain_pipeline.canonical import canonical_json
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.files import written_whole
from retrain_pipeline.learning.kept_code import kept_files
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.records.audit.references import references_of
from retrain_pipeline.records.bundle.archive import Writer
from retrain_pipeline.records.bundle.manifest import (
    ENTRIES,
    FILE,
    SIGNATURE,
    SIGNS,
    Absent,
    Bundle,
    BundleRefused,
    identity,
)
from retrain_pipeline.records.history import explain
from retrain_pipeline.records.kinds.card import ModelCard
from retrain_pipeline.records.kinds.decision import DecisionRecord
from retrain_pipeline.records.record import RECORDED, newest_records
from retrain_pipeline.records.render import render
from retrain_pipeline.records.retirement import removed_digests

if TYPE_CHECKING:
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.records.portal.build import Graph
    from retrain_pipeline.stores import Stores

ABOUT_THE_MODEL = frozenset({"problem", "protocol", "decision", "decision_check", "risk_assessment", "checklist"})
"""Kinds of records about the model as a whole that every version rests on."""
_NAMED_BY = ("previous", "from", "version")


@dataclass(frozen=True)
class Exported:
    """A bundle that was written."""

    file: Path
    bundle: Bundle
    signed_by: str | None
    """The id of the key; None where no key is set."""


def export(stores: "Stores", model: str, version: str, file: Path, *, graph: "Graph | None" = None) -> Exported:
    """Write the bundle of a version to a file, whole or not at all.

    Parameters
    ----------
    graph
        The asset graph for the lineage pages of the dashboard, as `build_portal` takes it.

    Raises
    ------
    BundleRefused
        When the ledger does not know the version, or something that speaks for it is gone without a tombstone.
    OSError
        When the disk refuses.
    """
    try:
        manifest = read_manifest(stores, model, version)
    except PermanentError as error:
        raise BundleRefused(str(error)) from error
    newest = stores.ledger.entries(model=model, limit=1, newest_first=True)[0]
    entries = entries_of(stores, manifest)
    removed = removed_digests(stores, model)
    with written_whole(file) as out, closing(Writer(out)) as writer:
        writer.add(ENTRIES, "entries", b"".join(map(_line, entries)))
        absent = [*_artifacts(stores, entries, manifest, writer, removed), *_lock(stores, manifest, writer)]
        _readable(stores, manifest, entries, writer)
        _dashboard(stores, model, newest.seq, writer, graph)
        about: dict[str, Any] = {
            "model": model,
            "version": version,
            "role": explain(stores, model, version).serves,
            "until_seq": newest.seq,
            "until": newest.at_utc,
            "written_by": f"retrain-pipeline {__version__}",
            "image": manifest.environment.image,
            "lock": manifest.environment.lock_digest,
            "absent": [one.model_dump(mode="json") for one in absent],
        }
        writer.add("README.md", "readme", render("bundle.md.j2", about).encode())
        about["inventory"] = [one.model_dump(mode="json") for _, one in sorted(writer.inventory.items())]
        about["schema"] = "bundle/1"
        bundle = Bundle.model_validate({**about, "bundle_id": identity(about)}, strict=False)
        writer.put(FILE, canonical_json(bundle.model_dump(mode="json", by_alias=True)))
        if (signer := stores.ledger.signer) is not None:
            signature = signer.sign(SIGNS, {"bundle_id": bundle.bundle_id})
            writer.put(SIGNATURE, canonical_json({"key": signer.id, "signature": signature}))
    return Exported(file, bundle, signer.id if signer else None)


def entries_of(stores: "Stores", manifest: "VersionManifest") -> list[Entry]:
    """Return the entries that tell of a version: about it, its run or its training set, those that name it, and the
    records that every version rests on.
    """
    frozen = manifest.training_set
    about = {manifest.version, manifest.run_id, frozen.get("digest"), frozen.get("artifact")} - {None}
    frozen_in = {
        one.subject
        for one in stores.ledger.entries(model=manifest.model, action="training_set_frozen", run_id=manifest.run_id)
    }
    return [one for one in stores.ledger.entries(model=manifest.model) if _tells(one, about | frozen_in, manifest)]


def _tells(entry: Entry, about: set[Any], manifest: "VersionManifest") -> bool:
    said = entry.payload
    return (
        entry.subject in about
        or (manifest.run_id is not None and entry.run_id == manifest.run_id)
        or any(said.get(name) == manifest.version for name in _NAMED_BY)
        or (entry.action == RECORDED and said["kind"] in ABOUT_THE_MODEL)
    )


def _line(entry: Entry) -> bytes:
    # nanoseconds of a machine that is up for 104 days are beyond what JSON holds exactly
    return canonical_json({**vars(entry), "mono_ns": str(entry.mono_ns)}) + b"\n"


def _artifacts(
    stores: "Stores", entries: list[Entry], manifest: "VersionManifest", writer: Writer, removed: Mapping[str, str]
) -> Iterator[Absent]:
    """Add everything that the entries name by digest; yield what a tombstone stands for."""
    told = set[str]()
    for one in (named for entry in entries for named in references_of(stores, entry)):
        if one.digest in told:
            continue
        told.add(one.digest)
        try:
            writer.add(f"artifacts/{one.digest}", "artifact", stores.artifacts.get(one.digest))
        except PermanentError as error:
            if not (isinstance(error, ArtifactMissing) and one.digest in removed):
                words = f"{manifest.model} {manifest.version}: {one.place} names what cannot be read: {error}"
                raise BundleRefused(words) from error
            yield Absent(what=f"artifact {one.digest}", why=f"taken away: tombstone {removed[one.digest]}")


def _lock(stores: "Stores", manifest: "VersionManifest", writer: Writer) -> Iterator[Absent]:
    """Add what the environment is made again from."""
    packages = manifest.environment.model_dump(mode="json")
    writer.add("environment/environment.json", "environment", canonical_json(packages))
    try:
        text = stores.artifacts.get(manifest.environment.lock_digest)
    except ArtifactMissing:
        yield Absent(what="environment/lock", why="the version is from before lock files were kept; git has it")
        return
    name = "packages.json" if text.startswith(b"{") else "requirements.txt"
    writer.add(f"environment/{name}", "environment", text)


def _readable(stores: "Stores", manifest: "VersionManifest", entries: list[Entry], writer: Writer) -> None:
    """Add under names of their own what people open: card, decisions, feature code."""
    artifacts = stores.artifacts
    cards = newest_records(stores, manifest.model, ModelCard.KIND, manifest.version, 1)
    if cards:
        card = cards[0].read(ModelCard)
        writer.add("card.md", "card", artifacts.get(card.card_markdown))
        writer.add("card.json", "card", artifacts.get(card.card_json))
    newest: dict[str, str] = {}
    for one in entries:
        if one.action == RECORDED and one.payload["kind"] == DecisionRecord.KIND:
            record = artifacts.get_json(str(one.payload["record"]))
            newest[str(record["file"])] = str(record["text"])
    for name, digest in sorted(newest.items()):
        writer.add(f"decisions/{name}", "decision", artifacts.get(digest))
    if artifacts.exists(manifest.feature_code_digest):
        for name, digest in sorted(kept_files(artifacts, manifest.feature_code_digest).items()):
            writer.add(f"features/{name}", "features", artifacts.get(digest))


def _dashboard(stores: "Stores", model: str, until: int, writer: Writer, graph: "Graph | None") -> None:
    """Add the pages of the model, as they are now."""
    from retrain_pipeline.records.portal.build import build_portal

    with tempfile.TemporaryDirectory(prefix="retrain-bundle-") as name:
        folder = Path(name) / "dashboard"
        build_portal(stores, folder, models=[model], as_of=str(until), graph=graph)
        state = set(folder.glob("*.json"))  # what a later build goes by
        for file in sorted(one for one in folder.rglob("*") if one.is_file() and one not in state):
            writer.add(f"dashboard/{file.relative_to(folder).as_posix()}", "dashboard", file.read_bytes())
