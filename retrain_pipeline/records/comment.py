"""What changes in the documents of models, as Markdown for the comment of a pull request: nothing in it is markup of
others, notifies anybody, or links to anywhere."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retrain_pipeline.gates.coverage import CODE, changed_fields, leaves, uncovered
from retrain_pipeline.records.render import escape_markdown
from retrain_pipeline.redaction import redacted
from retrain_pipeline.spec.rationale_text import because_of

if TYPE_CHECKING:
    from retrain_pipeline.records.revisions import Declared
    from retrain_pipeline.spec.decision import Decision

MARK = "<!-- retrain-docs -->"
"""The first line: by it the comment is found again, and written over."""
LONGEST = 60_000
"""Characters; GitHub takes 65,536."""
_MOST_ROWS = 120
_LONGEST_CELL = 300
_ACTIVE = re.compile(r"(?:@(?=\w)|:(?=//)|\bwww(?=\.)|\\#(?=\d)|\bGH(?=-\d))", re.IGNORECASE)
"""What GitHub makes mentions, links and references of: an invisible joiner behind it keeps it text."""
_JOINER = "\u2060"


@dataclass(frozen=True)
class Change:
    """A field that differs, its value before and after; None is that there was none."""

    place: str
    before: Any
    after: Any


@dataclass(frozen=True)
class ModelChange:
    """What differs of one model."""

    model: str
    fields: Sequence[Change] = ()
    decisions: Sequence[str] = ()
    """Lines about decisions, each plain text."""
    unexplained: Sequence[str] = ()
    """Paths that changed and that no decision which is new or edited answers for."""
    notes: Sequence[str] = field(default=())


def plain(value: object) -> str:
    r"""Return text of others as one line that is text alone: escaped, short, without secrets, mentions and links.

    Examples
    --------
    >>> plain("<b>@ann</b>, see #12").replace("\u2060", "·")
    '&lt;b&gt;@·ann&lt;/b&gt;, see \\#·12'
    """
    text = redacted(str(value))
    short = text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"
    # after the escaping, which takes out the invisible characters of others
    return _ACTIVE.sub(lambda found: found[0] + _JOINER, str(escape_markdown(short)))


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return the fields in which two documents differ, by path."""
    old, new = dict(leaves(before)), dict(leaves(after))
    moved = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    return [Change(path, old.get(path), new.get(path)) for path in moved]


def declared_change(model: str, before: "Declared | None", after: "Declared | None") -> ModelChange | None:
    """Return what differs between two revisions of a model's folder; None where nothing does.

    Either is None where the model is not declared there.
    """
    if before is None and after is None:
        return None
    old, new = before.attributes if before else {}, after.attributes if after else {}
    moved = before is not None and after is not None and before.code != after.code
    fields = changes(old, new)
    if moved and before is not None and after is not None:
        names = sorted(
            name for name in before.code.keys() | after.code.keys() if before.code.get(name) != after.code.get(name)
        )
        fields.append(Change(CODE, "", ", ".join(names)))
    fresh, told = _decisions(before, after)
    if not fields and not told:
        return None
    unexplained = uncovered(changed_fields(old, new, features_changed=moved), fresh) if before and after else []
    notes = [] if before else ["this model is new"]
    notes += [] if after else ["this model is declared no more"]
    notes += after.refused if after else []
    return ModelChange(model, fields, told, unexplained, notes)


def as_comment(title: str, models: Sequence[ModelChange]) -> str:
    """Return the comment; one that is too long for GitHub is cut short, and says so."""
    lines = [MARK, f"## {plain(title)}", ""]
    for one in models:
        lines += [f"### {plain(one.model)}", "", *_model(one), ""]
    if not models:
        lines.append("Nothing that is declared or documented changes.")
    text = "\n".join(lines).rstrip() + "\n"
    if len(text) <= LONGEST:
        return text
    kept = text[:LONGEST].rpartition("\n")[0]
    return f"{kept}\n\n… cut short: `retrain docs diff` has the rest\n"


def _model(one: ModelChange) -> Iterator[str]:
    yield from (f"- {plain(note)}" for note in one.notes)
    if one.fields:
        yield from ("", "| field | before | after |", "|---|---|---|")
        for change in one.fields[:_MOST_ROWS]:
            yield f"| {plain(change.place)} | {_cell(change.before)} | {_cell(change.after)} |"
        if len(one.fields) > _MOST_ROWS:
            yield f"| and {len(one.fields) - _MOST_ROWS} more | | |"
    if one.decisions:
        yield from ("", "**Decisions**", "", *(f"- {plain(words)}" for words in one.decisions))
    if one.unexplained:
        yield from ("", f"**No decision says why:** {plain(', '.join(one.unexplained))}")


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "—"
    return plain(value if isinstance(value, str) else _json(value))


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _decisions(before: "Declared | None", after: "Declared | None") -> tuple[list["Decision"], list[str]]:
    """Return the accepted decisions that are new or edited, and what to tell of all that changed."""
    old, new = before.decisions if before else {}, after.decisions if after else {}
    fresh, told = list["Decision"](), list[str]()
    for file in sorted(old.keys() | new.keys()):
        was, now = old.get(file), new.get(file)
        if now is None and was is not None:
            told.append(f"gone: {file}: {was.title}")
        elif now is not None and (was is None or was.digest != now.digest):
            fresh += [now] if now.accepted else []
            told.append(f"{'new' if was is None else 'edited'} ({now.front.status}): {_words(now)}")
    return fresh, told


def _words(decision: "Decision") -> str:
    because = because_of(decision)
    return f"{decision.file}: {decision.title}" + (f" — because {because}" if because else "")
