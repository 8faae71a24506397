"""Pydantic's errors told as problems: path and place in the file, what was found, what is allowed, what is nearest."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from retrain_pipeline.spec.errors import Problem
from retrain_pipeline.spec.schema import Location, description_at, keys_at, kind_at, tags_at
from retrain_pipeline.spec.yaml import Document, YamlPath

ATTRIBUTES = "attributes"

_UNQUOTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}
_EXPECTED = {
    **_UNQUOTED,
    "string_type": "text",
    "date_type": "a date like 2025-01-06",
    "date_parsing": "a date like 2025-01-06",
    "date_from_datetime_parsing": "a date like 2025-01-06",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
}


def problems_of(error: ValidationError, document: Document, above: YamlPath) -> list[Problem]:
    """Return the problems behind a failed validation of the part of `document` that stands at `above`."""
    problems: dict[tuple[Any, ...], Problem] = {}
    for details in error.errors(include_url=False):
        for problem in _problems_of_one(details, document, above):
            # The arms of a union complain one by one about the same value: that is one problem with two ways out.
            key = (problem.path, problem.found or problem.expected)
            if (first := problems.get(key)) is not None:
                problem = replace(first, expected=f"{first.expected} or {problem.expected.removeprefix('expected ')}")
            problems[key] = problem
    return _without_echoes(list(problems.values()))


def problem_at(
    document: Document, path: YamlPath, expected: str, found: str | None = None, nearest: str | None = None
) -> Problem:
    """Return a problem with the value at a path of the document, or with its key where there is no value."""
    told = path[1:] if path[:1] == (ATTRIBUTES,) and len(path) > 1 else path
    place = document.place(path)
    return Problem(plain_path(told), place.line, place.column, found, expected, nearest)


def unknown_key(document: Document, path: YamlPath, allowed: Sequence[str]) -> Problem:
    """Return the problem of a key that means nothing where it stands."""
    key, place = str(path[-1]), document.key_place(path)
    words = f"no such key; allowed: {', '.join(allowed)}"
    problem = problem_at(document, path, words, nearest=nearest_word(key, allowed))
    return replace(problem, line=place.line, column=place.column)


def plain_path(path: YamlPath) -> str:
    """Return a path as people write it.

    Examples
    --------
    >>> plain_path(("data", "columns", "feels like", "range", 1))
    'data.columns["feels like"].range[1]'
    """
    told = ""
    for step in path:
        if isinstance(step, int):
            told += f"[{step}]"
        elif re.fullmatch(r"[\w-]+", step):
            told += f".{step}" if told else step
        else:
            told += f'["{step[:80]}"]'
    return told


def nearest_word(word: str, allowed: Sequence[str]) -> str | None:
    """Return the allowed word that is most like a given one, if one is like it at all.

    Examples
    --------
    >>> nearest_word("Binray", ["regression", "binary", "multiclass"])
    'binary'
    """
    by_case = {candidate.casefold(): candidate for candidate in allowed}
    matches = get_close_matches(word.casefold(), list(by_case), n=1, cutoff=0.5)
    return by_case[matches[0]] if matches else None


def path_in(document: Document, above: YamlPath, location: Location, *, missing: bool = False) -> YamlPath:
    """Return the path in the file that pydantic's location means: without the names of union arms."""
    path = above
    for index, step in enumerate(location):
        value = document.at(path)
        held = step in value if isinstance(value, Mapping) else isinstance(value, list) and isinstance(step, int)
        if held or (missing and index == len(location) - 1):
            path = (*path, step)
    return path


def _problems_of_one(details: ErrorDetails, document: Document, above: YamlPath) -> list[Problem]:
    kind, location, context = details["type"], details["loc"], details.get("ctx", {})
    path = path_in(document, above, location, missing=kind == "missing")
    match kind:
        case "missing":
            return [problem_at(document, path, f"missing: expected {kind_at(location)}")]
        case "extra_forbidden":
            return [unknown_key(document, path, keys_at(location[:-1]))]
        case "union_tag_invalid" | "union_tag_not_found":
            return [_choice(document, (*path, context["discriminator"].strip("'")), tags_at(location))]
        case "literal_error":
            return [_choice(document, path, re.findall(r"'([^']*)'", context["expected"]) or [context["expected"]])]
        case "value_error":
            lines = str(context["error"]).split("\n")
            return [_told_by_model(line, document, path, keys_at(location)) for line in lines]
        case "string_pattern_mismatch" if (description := description_at(location)) is not None:
            expected = description
        case _:
            # Pydantic says "Input should be greater than 0": what follows "be" also follows our "expected".
            expected = _EXPECTED.get(kind) or re.sub(
                r"^\w+ should (be |have |match )?|( after validation)?, not \d+$", "", details["msg"]
            )
    expected = f"expected {expected}{_mend(kind, document, path)}"
    return [problem_at(document, path, expected, _described(document, path))]


def _mend(kind: str, document: Document, path: YamlPath) -> str:
    """Return what to do about the commonest slips."""
    value, place = document.at(path), document.values.get(path)
    if value is None:
        return " (or leave the key out)"
    if kind in _UNQUOTED and place is not None and place.quoted:
        return " without quotes"
    return f", like [{value:.40}]" if kind in ("tuple_type", "list_type") and isinstance(value, str) else ""


def _choice(document: Document, path: YamlPath, allowed: list[str]) -> Problem:
    words = f"allowed: {', '.join(allowed)}"
    value = document.at(path)
    if value is None:
        return problem_at(document, path, f"missing; {words}")
    nearest = nearest_word(value, allowed) if isinstance(value, str) else None
    return problem_at(document, path, words, _described(document, path), nearest)


def _told_by_model(words: str, document: Document, path: YamlPath, keys: list[str]) -> Problem:
    """Return a validator's words; they may begin with a path below the value that it looked at: ``gates.slices: …``."""
    head, _, rest = words.partition(": ")
    below = head.split(".")
    if rest and below[0] in keys:
        return problem_at(document, (*path, *below), rest)
    return problem_at(document, path, words)


def _described(document: Document, path: YamlPath) -> str:
    """Return what stands at a path: a scalar as it is spelled, anything else by its kind."""
    value, place = document.at(path), document.values.get(path)
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "nothing (null)"
    if isinstance(value, str):
        return f"{value!r:.80}"
    return place.text[:80] if place is not None and place.text is not None else repr(value)


def _without_echoes(problems: list[Problem]) -> list[Problem]:
    """Drop a missing key whose misspelling stands beside it: one mistake is one problem."""
    meant = {
        ".".join([*problem.path.split(".")[:-1], problem.nearest])
        for problem in problems
        if problem.nearest is not None and problem.expected.startswith("no such key")
    }
    return [problem for problem in problems if not (problem.expected.startswith("missing") and problem.path in meant)]
