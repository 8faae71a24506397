"""The JSON schema of every kind of record, and how much of a record a machine fills in."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrain_pipeline.records.kinds import kinds
from retrain_pipeline.records.kinds.card_document import CardDocument
from retrain_pipeline.records.record import Record

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON schema of every kind, by kind and format, and that of the document of a card."""
    found = {}
    for kind in kinds():
        name = f"{kind.KIND}/{kind.FORMAT}"
        schema = kind.model_json_schema(by_alias=True, mode="serialization")
        schema["properties"]["schema"] = {"const": name, "title": "Schema", "type": "string"}
        found[name] = {"$id": f"retrain:{name}", "$schema": _DIALECT, **schema}
    card = CardDocument.model_json_schema(by_alias=True, mode="serialization")
    found["card_document/1"] = {"$id": "retrain:card_document/1", "$schema": _DIALECT, **card}
    return found


def write_schemas(folder: Path) -> list[Path]:
    """Write a file for every kind, ``<kind>-<format>.json``, and return them. The same kinds give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, schema in sorted(schemas().items()):
        file = folder / f"{name.replace('/', '-')}.json"
        file.write_text(json.dumps(schema, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        written.append(file)
    return written


def by_person(kind: type[Record]) -> tuple[str, ...]:
    """Return the fields of a kind that people fill in."""
    return tuple(
        name
        for name, field in kind.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("by") == "person"
    )


def filled_by_machine(record: Record) -> tuple[int, int]:
    """Return how many of a record's filled values a machine filled in, and how many are filled.

    Values are the leaves of the document: a table of ten numbers is ten. Nothing (null, empty text or list) is not
    filled.
    """
    people = set(by_person(type(record)))
    document = record.document()
    machine = sum(_leaves(value) for name, value in document.items() if name not in people)
    return machine, machine + sum(_leaves(document[name]) for name in people)


def machine_share(records: Iterator[Record]) -> float | None:
    """Return the share of filled values that machines filled in, over records; None where nothing is filled."""
    counted = [filled_by_machine(one) for one in records]
    everything = sum(whole for _, whole in counted)
    return sum(machine for machine, _ in counted) / everything if everything else None


def _leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(_leaves(one) for one in value.values())
    if isinstance(value, list):
        return sum(_leaves(one) for one in value)
    return 0 if value is None or value == "" else 1
