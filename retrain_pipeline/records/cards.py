"""Cards on record: written when a version is released or put on trial, and again when something happened to it.

A card is a function of the stores as of an entry of the ledger, so anybody can write it again and compare the bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from retrain_pipeline import __version__
from retrain_pipeline.canonical import canonical_json, digest_of, sha256
from retrain_pipeline.ledger.past import PastLedger
from retrain_pipeline.records.card import Card, write_card
from retrain_pipeline.records.kinds.card import ModelCard
from retrain_pipeline.records.record import RECORDED, enter, records
from retrain_pipeline.release.lineage import CHANGES, STAGED

if TYPE_CHECKING:
    from retrain_pipeline.artifacts import Artifacts
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.ledger.store import Ledger
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

DESCRIBED = ("candidate_registered", "judged", "staged", "released", "withdrawn", "rejected", "rolled_back")
"""Entries about a version that its card tells of."""
_WRITTEN_BY = (
    "card.py", "card_judged.py", "history.py", "insights.py", "measured.py", "render.py", "../insight/limits.py",
    "templates/card.md.j2", "templates/card_judged.md.j2",
)  # fmt: skip
INTO_CARDS = ("insight",)
"""Kinds of records about a version that its card has numbers of."""


@cache
def generator() -> str:
    """Return what writes cards: the release, and a digest of the files that decide how a card reads.

    A card that other code wrote is written anew at the next `settle`: no release has to be waited for.
    """
    here = Path(__file__).parent
    digests = [sha256((here / name).read_bytes()) for name in _WRITTEN_BY]
    return f"{__version__}+{digest_of(digests)[:12]}"


def write_cards(stores: "Stores", declaration: "Declaration", actor: str) -> None:
    """Enter the card of every version that was released or put on trial and has none that is new enough: a step of
    `settle`.
    """
    model = declaration.spec.name
    entries = stores.ledger.entries(model=model)
    there = {one.subject: one.read(ModelCard) for one in records(stores, model, ModelCard.KIND)}
    for version in documented(entries):
        known = there.get(version)
        newest = newest_described(entries, version)
        if known is None or known.generator != generator() or (newest and newest.seq > known.until_seq):
            enter(stores, card_record(stores, declaration, version, entries), actor=actor)


def documented(entries: Sequence["Entry"]) -> tuple[str, ...]:
    """Return the versions that must have a card, in the order in which they were released or put on trial."""
    return tuple(dict.fromkeys(str(one.subject) for one in entries if one.action in (*CHANGES, STAGED)))


def newest_described(entries: Sequence["Entry"], version: str) -> "Entry | None":
    """Return the newest entry that a version's card tells of: about it, or of who took its place."""
    return next((one for one in reversed(entries) if _tells(one, version)), None)


def card_record(stores: "Stores", declaration: "Declaration", version: str, entries: Sequence["Entry"]) -> ModelCard:
    """Return the record of a version's card, written now and stored."""
    card = write_card(stores, declared_for(stores, declaration, version), version)
    registered = stores.ledger.latest(declaration.spec.name, "candidate_registered", version)
    return ModelCard.make(
        model=declaration.spec.name,
        subject=version,
        card_json=card.json,
        card_markdown=card.markdown,
        manifest=str(registered.payload["manifest"]) if registered else "",
        until_seq=entries[-1].seq,
        generator=generator(),
    )


def written_again(stores: "Stores", declaration: "Declaration", record: ModelCard, entries: Sequence["Entry"]) -> Card:
    """Return the card as the stores give it as of the entry that it names; nothing is stored."""
    then = replace(
        stores,
        ledger=cast("Ledger", PastLedger(entries, record.until_seq)),
        artifacts=cast("Artifacts", _Reading(stores.artifacts)),
    )
    return write_card(then, declared_for(then, declaration, record.subject), record.subject)


def declared_for(stores: "Stores", declaration: "Declaration", version: str) -> "Declaration":
    """Return the declaration as it was when a version was made: its card tells of that, whatever was declared since."""
    from retrain_pipeline.learning.versions import read_manifest
    from retrain_pipeline.spec.model import ModelSpec

    manifest = read_manifest(stores, declaration.spec.name, version)
    spec = ModelSpec.model_validate(stores.artifacts.get_json(manifest.spec_digest), strict=False)
    return replace(declaration, spec=spec)


def _tells(entry: "Entry", version: str) -> bool:
    if entry.action in CHANGES and version in (entry.payload.get("previous"), entry.payload.get("from")):
        return True
    told = entry.action in DESCRIBED or (entry.action == RECORDED and entry.payload.get("kind") in INTO_CARDS)
    return told and entry.subject == version


@dataclass(frozen=True)
class _Reading:
    """Artifacts that answer as they would, and store nothing."""

    there: "Artifacts"

    def put(self, data: bytes) -> str:
        return sha256(data)

    def put_json(self, value: Any) -> str:
        return self.put(canonical_json(value))

    def get(self, digest: str) -> bytes:
        return self.there.get(digest)

    def get_json(self, digest: str) -> Any:
        return self.there.get_json(digest)

    def exists(self, digest: str) -> bool:
        return self.there.exists(digest)

    def path(self, digest: str) -> str:
        return self.there.path(digest)
