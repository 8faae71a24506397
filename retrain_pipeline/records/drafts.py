"""A decision file, prefilled: the next number, what changed since the champion, what the record says of it."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.coverage import CODE, changed_fields, leaves, uncovered
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.records.decisions import registered
from retrain_pipeline.spec.decision import Decision, Kind, read_decision, read_decisions
from retrain_pipeline.spec.rationale_text import text_problems

if TYPE_CHECKING:
    from pathlib import Path

    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

TEMPLATE = "decide.md.j2"
BLANK = "…"
"""What stands where a person has not said anything yet: no reason, as `rationale_text` sees it."""
REVIEW_AFTER = timedelta(days=180)
_TUNING = ("search", "max_trials", "budget", "validation_share", "seed", "threads")
_SHOWN = 80
_ORDER: tuple[Kind, ...] = ("feature", "architecture", "optimizer", "data", "threshold", "rollout", "collection")


class DraftRefused(PermanentError):
    """A decision that cannot be written or accepted so; the words say what is missing."""


@dataclass(frozen=True)
class Said:
    """What people say of a decision; nothing is said by default, and shows as a place to fill in."""

    because: str = BLANK
    title: str = ""
    option: str = ""
    instead: str = "Leave it as it is"
    price: str = BLANK
    good: str = ""
    edges: str = BLANK
    kind: str = ""
    makers: tuple[str, ...] = ()
    """Who accepts it; nobody: it is proposed."""
    covers: tuple[str, ...] = ()
    supersedes: str = ""
    """The id of the decision whose place it takes."""


@dataclass(frozen=True)
class Draft:
    """A decision to be written: what the record gives."""

    id: str
    file: str
    kind: Kind
    covers: tuple[str, ...]
    since: str
    changes: tuple[str, ...]
    evidence: tuple[dict[str, Any], ...]
    statement: str
    business: str
    tuned: str
    criteria: tuple[str, ...]
    at_most: float
    sources: tuple[str, ...] = field(default=())


def draft(stores: "Stores", declaration: "Declaration") -> Draft:
    """Return the next decision of a model, prefilled with the fields that differ from the champion's and have none."""
    spec, model = declaration.spec, declaration.spec.name
    decisions, _ = read_decisions(declaration.folder)
    since, before, now, moved, evidence, judged = _difference(stores, declaration)
    fresh = [one for one in decisions if one.accepted and judged.get(one.file) != one.digest]
    covers = tuple(uncovered(moved, fresh))
    number = _next_number(declaration.folder / "decisions", [one.front.id for one in decisions], stores, model)
    kind = guessed_kind(covers)
    name = re.sub(r"[^a-z0-9]+", "-", (covers[0] if covers else kind).lower()).strip("-")[:60]
    return Draft(
        id=f"{model[:90]}-{number:04d}",
        file=f"{number:04d}-{name}.md",
        kind=kind,
        covers=covers,
        since=since,
        changes=tuple(_change(path, before, now) for path in covers),
        evidence=evidence,
        statement=" ".join(spec.problem.statement.split()),
        business=f"{spec.problem.business_metric.name} {spec.problem.business_metric.direction}",
        tuned=_tuned(now),
        criteria=(spec.problem.success.metric,),
        at_most=spec.problem.success.at_most,
        sources=(str(now["data"]["source"].get("path") or now["data"]["source"]["kind"]),),
    )


def write_draft(folder: "Path", made: Draft, said: Said, *, today: date | None = None) -> Decision:
    """Write a decision file into a model's folder and return it.

    Raises
    ------
    DraftRefused
        When the file exists, or it is to be accepted and its text is no reason yet: then nothing is written.
    DecisionRefused
        When what was said cannot stand in a decision file (unknown kind, hidden characters); nothing is written.
    """
    file = folder / "decisions" / made.file
    if file.exists():
        raise DraftRefused(f"{file.name} exists already; edit it, or move it away")
    file.parent.mkdir(exist_ok=True)
    file.write_text(draft_text(made, said, today=today), encoding="utf-8")
    try:
        decision = read_decision(file)
        if said.makers:
            check_text(decision, read_decisions(folder)[0])
            take_place(folder, decision)
    except PermanentError:
        file.unlink()
        raise
    return decision


def take_place(folder: "Path", decision: Decision) -> None:
    """Say in the decision that an accepted one supersedes that it is superseded: nothing else of it changes.

    Raises
    ------
    DraftRefused
        When there is no such decision, or it is not accepted any more.
    """
    if decision.front.supersedes is None:
        return
    older = {one.front.id: one for one in read_decisions(folder)[0]}.get(decision.front.supersedes)
    if older is None or not older.accepted:
        state = "there is no such decision" if older is None else f"it is {older.front.status}"
        raise DraftRefused(f"{decision.file} supersedes {decision.front.supersedes}, but {state}")
    file = folder / "decisions" / older.file
    text = file.read_text(encoding="utf-8")
    moved = f"status: superseded\nsuperseded_by: {decision.front.id}"
    file.write_text(re.sub(r"^status: .*$", moved, text, count=1, flags=re.MULTILINE), encoding="utf-8")


def check_text(decision: Decision, decisions: Sequence[Decision]) -> None:
    """Refuse a decision whose text is no reason.

    Raises
    ------
    DraftRefused
        With all that is wrong.
    """
    if problems := text_problems(decision, [one for one in decisions if one.file < decision.file]):
        raise DraftRefused(f"{decision.file} cannot be accepted: {'; '.join(problems)}")


def draft_text(made: Draft, said: Said, *, today: date | None = None) -> str:
    """Return the text of a decision file; what people say stands in it as text, in one line."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    from retrain_pipeline.spec.yaml import yaml_flow

    day = today or datetime.now(UTC).date()
    environment = Environment(
        loader=PackageLoader("retrain_pipeline.spec"),
        autoescape=select_autoescape(),  # by file name: this is Markdown, and stays as it is
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["flow"] = yaml_flow
    kind = said.kind or made.kind
    covers = list(said.covers or made.covers)
    values = {name: getattr(made, name) for name in ("id", "since", "evidence", "statement", "business", "at_most")}
    spoken = {name: _line(getattr(said, name)) for name in ("because", "instead", "price", "good", "edges")}
    return environment.get_template(TEMPLATE).render(
        **values,
        **spoken,
        status="accepted" if said.makers else "proposed",
        today=day.isoformat(),
        review_by=(day + REVIEW_AFTER).isoformat(),
        makers=list(said.makers),
        kind=kind,
        covers=covers,
        supersedes=said.supersedes,
        sources=list(made.sources),
        criteria=list(made.criteria),
        changes=[one for path, one in zip(made.covers, made.changes, strict=True) if _within(path, covers)],
        title=_line(said.title) or _title(kind, covers),
        option=_line(said.option) or BLANK,
        tuned=made.tuned,
        confirmation="The gates compare the next version with the champion on rows that neither has seen; a predicted "
        "effect (anticipated_effects) is scored on the first version that is released with this decision.",
    )


def guessed_kind(paths: Sequence[str]) -> Kind:
    """Return the kind of decision that most of the paths call for.

    >>> guessed_kind(["training.candidates.tree.search.depth", "training.max_trials", "gates.alpha"])
    'optimizer'
    """
    counted = Counter(_kind(path) for path in paths)
    return max(_ORDER, key=lambda kind: (counted[kind], -_ORDER.index(kind))) if paths else "architecture"


def _kind(path: str) -> Kind:
    parts = path.split(".")
    section: Mapping[str, Kind] = {
        "problem": "threshold",
        "data": "data",
        "features": "feature",
        "trigger": "threshold",
        "gates": "threshold",
        "rollout": "rollout",
        "signals": "collection",
    }
    if parts[0] != "training":
        return section[parts[0]]
    return "optimizer" if set(_TUNING) & set(parts) else "architecture" if "candidates" in parts else "data"


_Difference = tuple[str, dict[str, Any], dict[str, Any], list[str], tuple[dict[str, Any], ...], Mapping[str, str]]


def _difference(stores: "Stores", declaration: "Declaration") -> _Difference:
    """Return what differs from the champion's declaration and code, in words and paths, and the evidence on it."""
    from retrain_pipeline.learning.team_code import code_digest
    from retrain_pipeline.learning.versions import read_manifest

    model, now = declaration.spec.name, declaration.spec.model_dump(mode="json")
    row = stores.ledger.deployment(model)
    if row is None:
        return "There is no champion yet.", {}, now, [], (), {}
    champion, digest = str(row.state["champion"]), str(row.state["evidence"])
    manifest, found = read_manifest(stores, model, champion), read_evidence(stores.artifacts, digest)
    before = stores.artifacts.get_json(manifest.spec_digest)
    moved = code_digest(declaration.folder) != manifest.feature_code_digest
    paths = changed_fields(before, now, features_changed=moved)
    loss = found.validated_loss
    refs = ({"id": digest, "pointer": "/validated_loss/value", "value": float(f"{loss.value:.4g}")},) if loss else ()
    return f"Since the champion {champion} this changed:", before, now, paths, refs, found.decisions


def _change(path: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if path == CODE:
        return f"`{CODE}`: the feature code is another"
    old, new = dict(leaves(before)), dict(leaves(now))
    return f"`{path}`: {_shown(old, path)} → {_shown(new, path)}"


def _shown(values: Mapping[str, Any], path: str) -> str:
    if path not in values:
        return "nothing"
    text = json.dumps(values[path], ensure_ascii=True).replace("`", "'")
    return f"`{text[:_SHOWN]}`"


def _within(path: str, covers: Sequence[str]) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in covers)


def _tuned(now: Mapping[str, Any]) -> str:
    training = now["training"]
    spaces = [f"{name} {json.dumps(one['search'])}" for name, one in training["candidates"].items() if one["search"]]
    searched = "; ".join(spaces) or "nothing, all parameters are set"
    return (
        f"Searched: {searched}. At most {training['max_trials']} settings a candidate are drawn by seed "
        f"{training['seed']}, each scored on the newest {training['validation_share']:.0%} of the training rows. The "
        f"search stops at {training['budget']['wall_seconds']:g} s; every trial is in the leaderboard of the version."
    )


def _next_number(folder: "Path", ids: Sequence[str], stores: "Stores", model: str) -> int:
    # also of decisions that are on record and whose file is gone: a number is given once
    names = [
        *(file.name for file in folder.glob("*.md")),
        *(one.record.file for one in registered(stores, model).values()),
    ]
    found = [int(match[0]) for name in names if (match := re.match(r"\d{1,6}", name))]
    found += [int(match[1]) for name in ids if (match := re.search(r"-(\d{1,6})$", name))]
    return max(found, default=0) + 1


def _title(kind: str, covers: Sequence[str]) -> str:
    return f"A change of {', '.join(covers[:3])}" if covers else f"A decision about {kind}"


def _line(text: str) -> str:
    return " ".join(text.split())
