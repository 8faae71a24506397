"""A decision file: a Markdown file in a model's `decisions/` (the shape of MADR 4), its front matter typed."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date as Day  # noqa: N812 - a field is named date, as in MADR
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from retrain_pipeline.canonical import digest_of, sha256
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.spec.errors import YamlRefused
from retrain_pipeline.spec.lookalikes import lookalikes
from retrain_pipeline.spec.predicate import PredicateRefused, nearest_names, parse_predicate
from retrain_pipeline.spec.yaml import read_yaml
from retrain_pipeline.strict import Strict

Kind = Literal["architecture", "optimizer", "feature", "data", "threshold", "collection", "rollout"]
Status = Literal["proposed", "accepted", "rejected", "superseded", "deprecated"]
Direction = Literal["up", "down", "same"]
Line = Annotated[str, Field(min_length=1, max_length=500)]
Short = Annotated[str, Field(max_length=500)]
Id = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$", description="lower-case letters, digits, '_', '.', '-'")
]

MAX_BYTES = 256 * 1024
_FENCE = "---\n"
_HEADING = re.compile(r"(#{1,3}) (.+?)\s*")
_CODE = re.compile(r" {0,3}(```|~~~)")


class DecisionRefused(PermanentError):
    """A decision file that cannot be read as one; the words name the place and the mend."""


class Subject(Strict):
    """What was decided about: a kind, and the places in the declaration that it answers for."""

    kind: Kind
    covers: tuple[Line, ...] = ()
    """Paths in the declaration (``training.candidates.boosting.params``); default: the sections that the kind answers
    for (`spec.rationale.KINDS`)."""


class EvidenceRef(Strict):
    """A number that the decision rests on: a record or evidence by digest, a JSON pointer in it, and what it said."""

    id: Line
    pointer: Line
    value: float | str | bool | None = None


class Effect(Strict):
    """What should come of it: a metric of the evidence, the way it should go, and the range of the change."""

    metric: Line
    direction: Direction
    range: tuple[float, float]

    @model_validator(mode="after")
    def _ordered(self) -> "Effect":
        if self.range[0] > self.range[1]:
            raise ValueError(f"range: the lower end {self.range[0]} is above the upper end {self.range[1]}")
        if (self.direction == "up" and self.range[1] <= 0) or (self.direction == "down" and self.range[0] >= 0):
            raise ValueError(f"range: {list(self.range)} has nothing of the direction {self.direction}")
        return self


class Assumption(Strict):
    """What must go on being so, in words and as a predicate that a machine looks at at each retrain."""

    text: Line
    predicate: Line

    @field_validator("predicate")
    @classmethod
    def _readable(cls, predicate: str) -> str:
        try:
            parse_predicate(predicate)
        except PredicateRefused as refusal:  # pydantic gathers ValueErrors, and lets others through at the first
            raise ValueError(str(refusal)) from refusal
        return predicate


class FrontMatter(Strict):
    """The typed head of a decision file. `schema: 1` is its format."""

    model_config = ConfigDict(populate_by_name=True)

    id: Id
    schema_: Literal[1] = Field(alias="schema", serialization_alias="schema")
    status: Status
    date: Day
    decision_makers: tuple[Line, ...] = Field((), alias="decision-makers", serialization_alias="decision-makers")
    consulted: tuple[Line, ...] = ()
    informed: tuple[Line, ...] = ()
    subject: Subject
    problem_domain: Short = ""
    data_sources: tuple[Line, ...] = ()
    model_type: Short = ""
    evaluation_criteria: tuple[Line, ...] = ()
    data_quality_influence: Short = ""
    evidence: tuple[EvidenceRef, ...] = ()
    anticipated_effects: tuple[Effect, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    dissent: tuple[Line, ...] = ()
    review_by: Day
    supersedes: Id | None = None
    superseded_by: Id | None = None
    commits: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{7,40}$")], ...] = ()
    unchanged_because: Line | None = None

    @model_validator(mode="after")
    def _accepted_by_somebody(self) -> "FrontMatter":
        if self.status == "accepted" and not self.decision_makers:
            raise ValueError("decision-makers: an accepted decision names who accepted it")
        if self.review_by < self.date:
            raise ValueError(f"review_by: {self.review_by} is before the decision's own date {self.date}")
        if self.id in (self.supersedes, self.superseded_by):
            raise ValueError("supersedes: a decision does not supersede itself")
        return self

    @property
    def frozen(self) -> dict[str, Any]:
        """What may not change once the decision is accepted: all but status, supersession and commits, as JSON."""
        moves = {"status", "supersedes", "superseded_by", "commits"}
        return self.model_dump(mode="json", by_alias=True, exclude=moves)


@dataclass(frozen=True)
class Decision:
    """One decision file: front matter, title, body and its sections by heading."""

    file: str
    """The name of the file in `decisions/`."""
    front: FrontMatter
    title: str
    body: str
    """All below the front matter: immutable once accepted."""
    sections: Mapping[str, str]
    """Text by heading of level 2 and 3, in order; the heading as it is written."""
    digest: str
    """SHA-256 of the file's bytes."""

    @property
    def body_digest(self) -> str:
        """SHA-256 of the body: status and supersession may change, this may not."""
        return sha256(self.body.encode())

    @property
    def frozen_digest(self) -> str:
        """SHA-256 of all that may not change once the decision is accepted, body and front matter."""
        return digest_of({"front": self.front.frozen, "body": self.body_digest})

    @property
    def accepted(self) -> bool:
        """Whether the decision is accepted and stands."""
        return self.front.status == "accepted"


def read_decision(file: Path) -> Decision:
    """Return the decision in a file.

    Raises
    ------
    DecisionRefused
        With file, place and mend; every problem of the front matter at once.
    """
    data = file.read_bytes()
    if len(data) > MAX_BYTES:
        raise DecisionRefused(f"decisions/{file.name}: {len(data)} bytes, at most {MAX_BYTES} are read")
    try:
        text = data.decode().replace("\r\n", "\n")  # as an editor or git may have saved it
    except UnicodeDecodeError as error:
        raise DecisionRefused(f"decisions/{file.name}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if unlike := list(lookalikes(text)):
        raise DecisionRefused(f"decisions/{file.name}: " + "; ".join(unlike[:5]))
    head, fence, body = text.removeprefix(_FENCE).partition(f"\n{_FENCE}")
    if not text.startswith(_FENCE) or not fence:
        raise DecisionRefused(f"decisions/{file.name}: no front matter between two lines of ---")
    try:
        matter = read_yaml(head + "\n", file.name).value
    except YamlRefused as error:
        raise DecisionRefused(f"decisions/{file.name}: {error}") from error
    if not isinstance(matter, Mapping):
        raise DecisionRefused(f"decisions/{file.name}: the front matter is no mapping (status: accepted)")
    # a quoted YAML text may spell by its number what the file itself does not hold
    if unlike := list(lookalikes(json.dumps(matter, ensure_ascii=False))):
        raise DecisionRefused(f"decisions/{file.name}: front matter: " + "; ".join(unlike[:5]))
    front = _typed(matter, file.name)
    try:
        title, sections = _sections(body)
    except ValueError as error:
        raise DecisionRefused(f"decisions/{file.name}: {error}") from error
    return Decision(file.name, front, title, body, sections, sha256(data))


def read_decisions(folder: Path) -> tuple[list[Decision], list[DecisionRefused]]:
    """Return the decisions of a model's folder by file name, and the refusals: a bad file does not hide others.

    Of files with one id the first is the decision, and the others are refused.
    """
    found, refused, taken = list[Decision](), list[DecisionRefused](), dict[str, str]()
    for file in sorted((folder / "decisions").glob("*.md")):
        try:
            decision = read_decision(file)
        except DecisionRefused as refusal:
            refused.append(refusal)
            continue
        if (other := taken.setdefault(decision.front.id, file.name)) != file.name:
            words = f"decisions/{file.name}: id {decision.front.id!r} is that of {other}: give it one of its own"
            refused.append(DecisionRefused(words))
        else:
            found.append(decision)
    return found, refused


def _typed(matter: Mapping[str, Any], file: str) -> FrontMatter:
    try:
        return FrontMatter.model_validate_json(json.dumps(matter), strict=True)
    except ValidationError as error:
        words = [_told(one["type"], one["loc"], one["msg"]) for one in error.errors()]
        raise DecisionRefused(f"decisions/{file}: " + "; ".join(words)) from error


def _told(kind: str, place: tuple[int | str, ...], words: str) -> str:
    path = ".".join(map(str, place)) or "front matter"
    if kind == "missing":
        return f"without a {path}" + (" (subject.kind says what was decided about)" if path == "subject" else "")
    if kind == "extra_forbidden":
        known = [field.alias or name for name, field in FrontMatter.model_fields.items()] if len(place) == 1 else []
        return f"{path}: no key of a decision{nearest_names(path, known)}"
    return f"{path}: {words.removeprefix('Value error, ')}"


def _sections(body: str) -> tuple[str, dict[str, str]]:
    title, sections, heading = "", dict[str, list[str]](), None
    for level, line in _lines(body):
        if level == 1:
            title, heading = title or line, None
        elif level:
            if line in sections:
                raise ValueError(f"heading {line!r:.80} is there twice: give each section a name of its own")
            sections[line], heading = [], line
        elif heading is not None:
            sections[heading].append(line)
    return title, {name: "\n".join(lines).strip() for name, lines in sections.items()}


def _lines(body: str) -> Iterator[tuple[int, str]]:
    """Yield each line with its level: 1 to 3 of a heading, with its words alone, 0 of others; none in a code block."""
    fence = ""
    for line in body.split("\n"):
        if mark := _CODE.match(line):
            fence = "" if fence == mark[1] else fence or mark[1]
        found = None if fence or mark else _HEADING.fullmatch(line)
        yield (len(found[1]), found[2]) if found else (0, line)
