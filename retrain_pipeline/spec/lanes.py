"""What a lane declares: the model that it runs beside, why, and what differs; laid over the model's declaration."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from retrain_pipeline.lanes import lane_name
from retrain_pipeline.names import NameRefused, check_name
from retrain_pipeline.spec.errors import Problem
from retrain_pipeline.spec.explain import ATTRIBUTES, problem_at, unknown_key
from retrain_pipeline.spec.yaml import Document, Place, YamlPath

KEYS = {
    "of": "the model that it runs beside",
    "name": "what it is called: <of>__<name> in assets, tables and entries",
    "why": "the question that it answers, in a sentence",
}
SECTIONS = ("owners", "features", "training", "trigger", "gates", "report")
"""What a lane may declare otherwise. What it gives under a section takes the place of the model's value of that key."""
WHOLE = ("owners", "features")
"""Sections that are one value: a lane's takes the place of all of it."""
WITHHELD = {
    "data": "a lane reads the rows that its model has collected; other data make another model",
    "problem": "a lane answers its model's problem, or the two could not be compared",
    "rollout": "a lane serves nobody: there is nothing to roll out",
    "signals": "signals are measured of what serves, and a lane serves nobody",
}
_LEAST_WHY = 20


def lane_problems(document: Document) -> Iterator[Problem]:
    """Yield what is wrong with a lane's file in itself."""
    attributes = document.at((ATTRIBUTES,))
    for key in attributes:
        path = (ATTRIBUTES, key)
        if key in WITHHELD:
            yield problem_at(document, path, f"not a lane's to declare: {WITHHELD[key]}")
        elif key not in KEYS and key not in SECTIONS:
            yield unknown_key(document, path, (*KEYS, *SECTIONS))
    for key, words in KEYS.items():
        if key not in attributes:
            yield problem_at(document, (ATTRIBUTES, key), f"missing: expected {words}")
        elif trouble := _trouble(key, attributes[key], attributes):
            yield problem_at(document, (ATTRIBUTES, key), trouble, f"{attributes[key]!r:.80}")


def _trouble(key: str, value: Any, attributes: Mapping[str, Any]) -> str | None:
    if key == "why":
        enough = isinstance(value, str) and len(value.strip()) >= _LEAST_WHY
        return None if enough else f"expected {KEYS['why']}, of {_LEAST_WHY} characters or more"
    try:
        check_name(value, "lane" if key == "name" else "model")
        check_name(lane_name(attributes.get("of"), value) if key == "name" else value, "lane")
    except NameRefused as error:
        return str(error)
    return None


def laid_over(lane: Document, model: Document) -> Document:
    """Return the declaration that a lane makes of its model's: places are those of the lane's file, or none."""
    attributes = {key: value for key, value in model.at((ATTRIBUTES,)).items() if key not in ("rollout", "signals")}
    given = {key: value for key, value in lane.at((ATTRIBUTES,)).items() if key in SECTIONS}
    taken: list[YamlPath] = [(ATTRIBUTES, "name"), (ATTRIBUTES, "rollout"), (ATTRIBUTES, "signals")]
    for section, value in given.items():
        theirs = attributes.get(section)
        if section in WHOLE or not isinstance(value, Mapping) or not isinstance(theirs, Mapping):
            attributes[section] = value
            taken.append((ATTRIBUTES, section))
        else:
            attributes[section] = {**theirs, **value}
            taken += [(ATTRIBUTES, section, key) for key in value]
    if not _trouble("name", name := lane.at((ATTRIBUTES, "name")), lane.at((ATTRIBUTES,))):  # else it is told already
        attributes["name"] = lane_name(lane.at((ATTRIBUTES, "of")), name)
    return Document(
        {**lane.value, ATTRIBUTES: attributes},
        _places(lane.values, model.values, taken),
        _places(lane.keys, model.keys, taken),
    )


def _places(
    lane: Mapping[YamlPath, Place], model: Mapping[YamlPath, Place], taken: list[YamlPath]
) -> dict[YamlPath, Place]:
    """Return the places of a laid-over document: what came from the model keeps its spelling, and has no line here."""
    kept = {path: replace(place, line=0, column=0) for path, place in model.items() if not _under(path, taken)}
    return kept | {path: place for path, place in lane.items() if len(path) < 2 or path[1] in (*SECTIONS, "name")}


def _under(path: YamlPath, taken: list[YamlPath]) -> bool:
    return any(path[: len(one)] == one for one in taken)
