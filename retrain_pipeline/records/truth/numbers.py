"""Check 5: every number that a card or release note cites stands in the evidence, at the place that it names."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.records.kinds.release_note import ReleaseNote
from retrain_pipeline.records.truth.finding import Finding, right, wrong

if TYPE_CHECKING:
    from retrain_pipeline.artifacts import Artifacts
    from retrain_pipeline.records.truth.context import Context

_MEND = "bring the records up to date: retrain docs update"
EVIDENCE = "evidence.json"


class NoSuchPlace(PermanentError):
    """A JSON pointer that leads nowhere."""


@dataclass(frozen=True)
class Cited:
    """Part of a document that states what stands elsewhere."""

    place: str
    said: dict[str, Any]
    record: str | None
    """Digest of the record that the section around it is of, where it names one."""


def numbers_resolve(context: "Context") -> Iterator[Finding]:
    """Look at everything with a pointer in every card, and in the newest release note of every version."""
    for version, card in context.cards.items():
        judgement = card.document.get("judgement")
        evidence = judgement.get("evidence") if isinstance(judgement, dict) else None
        for one in cited(card.document):
            yield _looked_up(context.stores.artifacts, f"card of {version}", one, evidence)
    notes = {one.subject: one.document for one in context.records(ReleaseNote.KIND) if one.subject in context.versions}
    for version, note in notes.items():
        for one in cited(note):
            yield _looked_up(context.stores.artifacts, f"release note of {version}", one, note.get("evidence"))


def cited(value: Any, place: str = "", record: str | None = None) -> Iterator[Cited]:
    """Yield each part of a document that must say from where it is: with a pointer, or in a list `numbers`."""
    if isinstance(value, dict):
        own = value.get("record")
        record = own if isinstance(own, str) else record
        if "pointer" in value:
            yield Cited(place, value, record)
        for name, one in sorted(value.items()):
            if name == "numbers" and isinstance(one, list):
                bare = (at for at, item in enumerate(one) if not (isinstance(item, dict) and "pointer" in item))
                yield from (Cited(f"{place}/{name}/{at}", {}, record) for at in bare)
            yield from cited(one, f"{place}/{name}", record)
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from cited(one, f"{place}/{at}", record)


def resolve(document: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) leads to.

    Raises
    ------
    NoSuchPlace
        When it leads nowhere.

    Examples
    --------
    >>> resolve({"a": [{"b/c": 1}]}, "/a/0/b~1c")
    1
    """
    if pointer and not pointer.startswith("/"):
        raise NoSuchPlace(f"{pointer!r:.120} is no JSON pointer: it begins with a slash")
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict) and name in document:
            document = document[name]
        elif isinstance(document, list) and name.isascii() and name.isdigit() and int(name) < len(document):
            document = document[int(name)]
        else:
            raise NoSuchPlace(f"{pointer!r:.120} leads nowhere: there is no {name!r:.60}")
    return document


def same_value(said: Any, found: Any, decimals: Any = None) -> bool:
    """Return whether a stated value is the one found, after the rounding that it states (digits after the point)."""
    if isinstance(found, bool) or isinstance(said, bool) or not isinstance(found, int | float):
        return type(said) is type(found) and bool(said == found)
    if not isinstance(said, int | float):
        return False
    if decimals is None:
        return said == found
    if not isinstance(decimals, int) or isinstance(decimals, bool) or not 0 <= decimals <= 15:
        return False
    return said == round(found, decimals)


def pairs(said: dict[str, Any], pointer: str, found: Any) -> list[tuple[str, Any, Any]]:
    """Return what is stated beside what was found, by name: one value, two bounds, or the fields of one result.

    Examples
    --------
    >>> pairs({"low": 1, "high": 3}, "/interval", [1, 2])
    [('low', 1, 1), ('high', 3, 2)]
    """
    if isinstance(found, dict):
        return [(name, said[name], found[name]) for name in sorted(said.keys() & found.keys())]
    if isinstance(found, list) and len(found) == 2 and {"low", "high"} <= said.keys():
        return [("low", said["low"], found[0]), ("high", said["high"], found[1])]
    if found is None and {"low", "high"} <= said.keys():
        return [("low", said["low"], None), ("high", said["high"], None)]
    last = pointer.rpartition("/")[2]
    return [(name, said[name], found) for name in (last, "value", "achieved") if name in said][:1]


def _looked_up(artifacts: "Artifacts", whose: str, one: Cited, evidence: object) -> Finding:
    thing = f"{one.said.get('name', 'number')!s:.60} of {whose}"
    name, _, pointer = str(one.said.get("pointer", "")).partition("#")
    if not name:
        return wrong(thing, one.place, "it does not say where it comes from", _MEND)
    source = evidence if name == EVIDENCE else one.record
    if not isinstance(source, str):
        return wrong(thing, one.place, f"it comes from {name!r:.60}, which the document does not name", _MEND)
    try:
        found = resolve(artifacts.get_json(source), pointer)
    except PermanentError as error:
        return wrong(thing, one.place, str(error), _MEND)
    stated = pairs(one.said, pointer, found)
    if not stated:
        return wrong(thing, one.place, f"it states nothing that stands at {pointer:.80}", _MEND)
    for field, said, there in stated:
        if not same_value(said, there, one.said.get("decimals")):
            words = f"it says {field} {said!r:.40}, the evidence {there!r:.40} at {pointer:.80}"
            return wrong(thing, one.place, words, _MEND)
    return right(thing, one.place)
