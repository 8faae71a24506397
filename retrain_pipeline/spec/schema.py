"""What may stand at a place of a declaration, looked up in the JSON schema of the typed model."""

from functools import cache
from typing import Any

from retrain_pipeline.spec.model import ModelSpec

Location = tuple[int | str, ...]
"""Where pydantic says an error is: keys and indices, and the names of union arms on the way."""

_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}


def keys_at(location: Location) -> list[str]:
    """Return the keys that a mapping may have, in the order of the model."""
    return list(_node_at(location).get("properties", {}))


def tags_at(location: Location) -> list[str]:
    """Return the words that choose between the arms of a union (the kinds of a source)."""
    return list(_node_at(location).get("discriminator", {}).get("mapping", {}))


def description_at(location: Location) -> str | None:
    """Return what the model says about a value in words."""
    description: str | None = _node_at(location).get("description")
    return description


def kind_at(location: Location) -> str:
    """Return in words what kind of value is expected."""
    node = _node_at(location)
    if choices := node.get("enum") or tags_at(location):
        return "one of " + ", ".join(map(str, choices))
    if keys := keys_at(location):
        return f"a mapping with {', '.join(keys)}"
    return _KINDS.get(node.get("type", ""), "a value")


@cache
def _schema() -> dict[str, Any]:
    return ModelSpec.model_json_schema()


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Follow references, and of a value that may be null take the value."""
    while "$ref" in node:
        node = _schema()["$defs"][node["$ref"].rpartition("/")[2]]
    arms = [arm for arm in node.get("anyOf", ()) if arm.get("type") != "null"]
    return _resolved(arms[0]) if arms else node


def _node_at(location: Location) -> dict[str, Any]:
    node = _resolved(_schema())
    for step in location:
        arms = node.get("discriminator", {}).get("mapping", {})
        if step in node.get("properties", {}):
            node = node["properties"][step]
        elif step in arms:
            node = {"$ref": arms[step]}
        elif isinstance(step, int):
            prefix = node.get("prefixItems", [])
            node = prefix[step] if step < len(prefix) else node.get("items", {})
        else:
            further = node.get("additionalProperties")
            node = further if isinstance(further, dict) else {}
        node = _resolved(node)
    return node
