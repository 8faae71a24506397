"""Checks 8 and 13: cards are of the version that they are about, not older than it, and what the stores give again."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.records.cards import newest_described, written_again
from retrain_pipeline.records.truth.finding import Finding, right, wrong

if TYPE_CHECKING:
    from retrain_pipeline.records.truth.context import Context

_UPDATE = "bring the records up to date: retrain docs update"


def cards_current(context: "Context") -> Iterator[Finding]:
    """Look for the card of each documented version: there, of that very version, newer than what happened to it."""
    for version in context.versions:
        thing = f"card of {version}"
        card = context.cards.get(version)
        if card is None:
            yield wrong(thing, "records", context.unread_cards.get(version, "there is none"), _UPDATE)
            continue
        place = f"ledger entry {card.entry.seq}"
        said = (card.document.get("model_details") or {}).get("version")
        newest = newest_described(context.entries, version)
        if said != version:
            yield wrong(thing, place, f"it describes version {said!r:.80}", _UPDATE)
        elif newest is None:
            yield wrong(thing, place, f"the ledger knows no version {version}", "restore the ledger from a backup")
        elif newest.seq > card.record.until_seq:
            words = f"it is older than entry {newest.seq}, {newest.action.replace('_', ' ')} at {newest.at_utc}"
            yield wrong(thing, place, words, _UPDATE)
        else:
            yield right(thing, place)


def regenerates(context: "Context") -> Iterator[Finding]:
    """Write each card again as of the entry that it names, and compare the bytes of its JSON and its Markdown."""
    for version, card in context.cards.items():
        thing, place = f"card of {version}", f"ledger entry {card.entry.seq}"
        if card.record.until_seq >= card.entry.seq:
            yield wrong(thing, place, "it names an entry that was not there when it was entered", _UPDATE)
            continue
        try:
            again = written_again(context.stores, context.declaration, card.record, context.entries)
        except PermanentError as error:
            yield wrong(thing, place, f"it cannot be written again: {error}", _UPDATE)
            continue
        if again.json != card.record.card_json:
            places = ", ".join(differences(card.document, again.document)[:5])
            yield wrong(thing, place, f"written again from the stores it differs at {places}", _UPDATE)
        elif again.markdown != card.record.card_markdown:
            yield wrong(thing, place, "its Markdown is not what its document renders to", _UPDATE)
        else:
            yield right(thing, place)


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Return the places at which two JSON values differ.

    Examples
    --------
    >>> differences({"a": [1, 2], "b": 3}, {"a": [1, 5], "c": 3})
    ['/a/1', '/b', '/c']
    >>> differences([60, 1, "1"], [60.0, True, 1])
    ['/1', '/2']
    """
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted({*one, *other})
        return [
            at
            for name in names
            for at in (
                differences(one[name], other[name], f"{place}/{name}")
                if name in one and name in other
                else [f"{place}/{name}"]
            )
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [at for number, (left, right_) in pairs for at in differences(left, right_, f"{place}/{number}")]
    # JSON has one kind of number: 60 and 60.0 are the same text
    numbers = all(isinstance(side, int | float) and not isinstance(side, bool) for side in (one, other))
    return [] if one == other and (numbers or type(one) is type(other)) else [place or "/"]
