"""How much of the records the machine filled in, and how much people had to."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from retrain_pipeline.records.kinds import kinds
from retrain_pipeline.records.record import Record, Recorded, is_persons

_HEAD = ("schema_", "model", "subject")


@dataclass(frozen=True)
class Filled:
    """Fields that hold something, by who filled them in."""

    machine: int
    person: int

    @property
    def share(self) -> float | None:
        """The machine's share; None where nothing is filled in."""
        fields = self.machine + self.person
        return self.machine / fields if fields else None


def record_kinds() -> dict[str, type[Record]]:
    """Return every kind of record that there is, by name."""
    return {kind.KIND: kind for kind in kinds()}


def filled(recorded: Iterable[Recorded], kinds: Mapping[str, type[Record]]) -> dict[str, Filled]:
    """Return by kind how many fields were filled in and by whom, over all records given.

    A field counts once whatever it holds, and empty ones do not count. A kind that is not known is left out: the audit
    names it.
    """
    counted: dict[str, list[int]] = {}
    for one in recorded:
        if (kind := kinds.get(one.kind)) is None:
            continue
        count = counted.setdefault(one.kind, [0, 0])
        for _, by_person in filled_fields(kind, one.document):
            count[by_person] += 1
    return {kind: Filled(*count) for kind, count in sorted(counted.items())}


def overall(by_kind: Mapping[str, Filled]) -> Filled:
    """Return the counts of all kinds together."""
    return Filled(sum(one.machine for one in by_kind.values()), sum(one.person for one in by_kind.values()))


def filled_fields(
    kind: type[BaseModel], document: Mapping[str, Any], *, place: str = "", by_person: bool = False
) -> Iterator[tuple[str, bool]]:
    """Yield, of each field that holds something, its JSON pointer and whether a person filled it in.

    Of a nested model these are its own fields. What names a record (schema, model, subject) does not count.
    """
    for name, field in kind.model_fields.items():
        key = field.alias or name
        value = document.get(key)
        if (issubclass(kind, Record) and name in _HEAD) or value in (None, "", [], {}):
            continue
        people, nested = by_person or is_persons(field), field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel) and isinstance(value, dict):
            yield from filled_fields(nested, value, place=f"{place}/{key}", by_person=people)
        else:
            yield f"{place}/{key}", people
