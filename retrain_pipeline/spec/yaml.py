"""Strict YAML: plain mappings, lists and scalars, each with its place; nothing is guessed and nothing is executed.

What is refused: tags, anchors, aliases, merge keys, duplicate keys, several documents, deep nesting, large files.
What a plain scalar means is the YAML 1.2 core schema without its octal and hexadecimal: ``true``/``false``,
``null``/``~``, decimal numbers. So ``NO``, ``on``, ``010``, ``1:30``, ``1_000`` and dates are text.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from retrain_pipeline.spec.errors import Refusal, YamlRefused

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
FAST: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML was built with it, as its wheels are: a code location reads every model's file."""

YamlPath = tuple[str | int, ...]

_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_PLAIN_TEXT = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*")
_OTHERWISE_READ = frozenset({"y", "n", "yes", "no", "on", "off"})  # booleans to YAML 1.1, and so to other tools
_LONGEST_NUMBER = 40
_EXACT = 2**53  # beyond it a JSON number is not exact, so it stays text


@dataclass(frozen=True)
class Place:
    """Where a key or value stands (from 1), and how a scalar is spelled there."""

    line: int
    column: int
    text: str | None = None
    quoted: bool = False


NOWHERE = Place(0, 0)


@dataclass(frozen=True)
class Document:
    """A YAML document as plain Python values, with the places of its keys and values by path."""

    value: Any
    values: Mapping[YamlPath, Place]
    keys: Mapping[YamlPath, Place]

    def at(self, path: YamlPath) -> Any:
        """Return the value at a path, None where there is none."""
        value = self.value
        for step in path:
            if isinstance(value, Mapping):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def place(self, path: YamlPath) -> Place:
        """Return the place of a value, or of the nearest key that would hold it; line 0 when no place is known."""
        if path in self.values:
            return self.values[path]
        while path and path not in self.keys:
            path = path[:-1]
        return self.keys.get(path) or self.values.get(path, NOWHERE)

    def key_place(self, path: YamlPath) -> Place:
        """Return the place of a key."""
        return self.keys.get(path, NOWHERE)


def scalar_value(text: str) -> str | int | float | bool | None:
    """Return what an unquoted scalar means.

    Examples
    --------
    >>> [scalar_value(text) for text in ("true", "NO", "010", "1e3", "1:30", "~")]
    [True, 'NO', '010', 1000.0, '1:30', None]
    """
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if len(text) <= _LONGEST_NUMBER:
        if _INT.fullmatch(text) and abs(int(text)) < _EXACT:
            return int(text)
        if _FLOAT.fullmatch(text) and not _INT.fullmatch(text) and abs(number := float(text)) < float("inf"):
            return number
    return text


def yaml_text(text: str) -> str:
    """Return a text as a YAML scalar that reads back as that text, quoted only when it must be.

    Examples
    --------
    >>> print(yaml_text("feels like"), yaml_text("no: really"), yaml_text("1.10"))
    feels like "no: really" "1.10"
    """
    if _PLAIN_TEXT.fullmatch(text) and scalar_value(text) == text and text.lower() not in _OTHERWISE_READ:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    # JSON leaves these as they are; YAML reads them as line breaks or does not print them.
    return re.sub(r"[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]", lambda match: f"\\u{ord(match[0]):04x}", quoted)


def yaml_flow(value: Any) -> str:
    """Return a value of mappings, sequences and scalars as YAML on one line that reads back as that value.

    Examples
    --------
    >>> print(yaml_flow({"dtype": "category", "values": ["1", "no"], "nullable": False}))
    {dtype: category, values: ["1", "no"], nullable: false}
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{yaml_text(key)}: {yaml_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(yaml_flow, value)) + "]"
    return yaml_text(value) if isinstance(value, str) else json.dumps(value, allow_nan=False)


def read_yaml_file(file: Path) -> Document:
    """Return the document of a UTF-8 file.

    Raises
    ------
    YamlRefused
        See `read_yaml`; also when the file is larger than 256 KiB or is not UTF-8.
    """
    with file.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise YamlRefused(file.name, [Refusal(1, 1, f"larger than {MAX_BYTES} bytes: a declaration is a page or two")])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise YamlRefused(file.name, [Refusal(line, column, "not UTF-8: save the file as UTF-8")]) from error
    return read_yaml(text, file.name)


_KNOWN: ContextVar[dict[tuple[str, str], Document] | None] = ContextVar("known_yaml", default=None)


@contextmanager
def reading_once() -> Iterator[None]:
    """While the body runs, a text that was read is not read again: for a load, which asks each file for its name first.

    Documents are shared then, so nobody may change their values.
    """
    token = _KNOWN.set({})
    try:
        yield
    finally:
        _KNOWN.reset(token)


def read_yaml(text: str, name: str) -> Document:
    """Return the one document of a YAML text.

    Parameters
    ----------
    text
        At most 256 KiB, nested at most 20 deep.
    name
        What the text is called in errors.

    Raises
    ------
    YamlRefused
        When the text is not YAML, or uses what this reader refuses (see the module).
    """
    if len(text) > MAX_BYTES:
        raise YamlRefused(name, [Refusal(1, 1, f"larger than {MAX_BYTES} bytes: a declaration is a page or two")])
    known = _KNOWN.get()
    if known is not None and (text, name) in known:
        return known[text, name]
    try:
        document = _document(text, name, FAST)
    except (YamlRefused, yaml.YAMLError):
        document = _document(text, name, yaml.SafeLoader)  # libyaml finds the same mistakes, but says less of them
    if known is not None:
        known[text, name] = document
    return document


def _document(text: str, name: str, loader: type[Any]) -> Document:
    reader = _Reader(name, yaml.parse(text, Loader=loader))
    try:
        value = reader.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise YamlRefused(name, [*reader.refusals, Refusal(line, column, f"not YAML: {error.problem}")]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        words = f"character #x{int(error.character):04x} is not allowed in YAML"
        raise YamlRefused(name, [Refusal(line, column, words)]) from error
    if reader.refusals:
        raise YamlRefused(name, reader.refusals)
    return Document(value, reader.values, reader.keys)


@dataclass
class _Reader:
    """Builds values from PyYAML's parse events: no constructor runs, so no tag can build an object."""

    name: str
    events: Iterator[Any]
    refusals: list[Refusal] = field(default_factory=list)
    values: dict[YamlPath, Place] = field(default_factory=dict)
    keys: dict[YamlPath, Place] = field(default_factory=dict)

    def document(self) -> Any:
        next(self.events)  # the stream's start
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            self.stop(event, "empty: nothing is declared")
        value = self.node(next(self.events), ())
        next(self.events)  # the document's end
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            self.stop(event, "a second document: a file holds one")
        return value

    def node(self, event: Any, path: YamlPath) -> Any:
        if isinstance(event, yaml.AliasEvent):
            self.stop(event, f"alias *{event.anchor}: write the value out")
        if event.anchor is not None:
            self.refuse(event, f"anchor &{event.anchor}: write the value out where it is used")
        if event.tag is not None:
            self.refuse(event, f"tag {event.tag!r:.80}: only plain values are read")
        if len(path) > MAX_DEPTH:
            self.stop(event, f"nested deeper than {MAX_DEPTH}")
        if isinstance(event, yaml.ScalarEvent):
            quoted = bool(event.style)
            self.values[path] = _place(event, event.value, quoted)
            return event.value if quoted else scalar_value(event.value)
        self.values[path] = _place(event)
        return self.mapping(path) if isinstance(event, yaml.MappingStartEvent) else self.sequence(path)

    def sequence(self, path: YamlPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, (*path, len(items))))
        return items

    def mapping(self, path: YamlPath) -> dict[str, Any]:
        """Return a mapping; keys are text as spelled, so ``1`` and ``"1"`` are the same key."""
        entries: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self.stop(event, "a key must be plain text")
            if event.anchor is not None or event.tag is not None:
                self.refuse(event, "a key has no tag and no anchor")
            key = event.value
            if key == "<<" and not event.style:
                self.refuse(event, "merge key '<<': write the values out")
            if key in entries:
                first = self.keys[(*path, key)]
                self.refuse(event, f"key {key!r:.80} is given twice, first at {self.name}:{first.line}:{first.column}")
            else:
                self.keys[(*path, key)] = _place(event)
            entries[key] = self.node(next(self.events), (*path, key))
        return entries

    def refuse(self, event: Any, words: str) -> None:
        self.refusals.append(Refusal(event.start_mark.line + 1, event.start_mark.column + 1, words))

    def stop(self, event: Any, words: str) -> None:
        self.refuse(event, words)
        raise YamlRefused(self.name, self.refusals)


def _place(event: Any, text: str | None = None, quoted: bool = False) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1, text, quoted)
