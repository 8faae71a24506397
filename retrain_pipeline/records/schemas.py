"""The JSON schema of every kind of record, and which of its fields people fill in."""

import json
from pathlib import Path
from typing import Any

from retrain_pipeline.records.kinds import kinds
from retrain_pipeline.records.kinds.card_document import CardDocument
from retrain_pipeline.records.record import Record, is_persons

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
    return tuple(name for name, field in kind.model_fields.items() if is_persons(field))
