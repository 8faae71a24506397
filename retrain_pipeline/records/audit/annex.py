"""An index for the technical documentation that Annex IV of the EU AI Act asks of high-risk systems.

It says of each point where it is answered: generated from the stores, written by people, or missing. It is an index and
no legal advice: whether what is there is enough is for people to say.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from retrain_pipeline.ledger.entries import SIGNED_BY
from retrain_pipeline.records.audit.examined import Examined, Link, link, of_record
from retrain_pipeline.records.render import escape_markdown
from retrain_pipeline.strict import Strict
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry

FOLDER = "annex_iv"
"""The folder of a model's folder in which people answer points: a file a point, ``5.md``, ``1b.md``."""
MIN_WORDS = 25
Status = Literal["generated", "human", "missing"]


class Where(Strict):
    """One place where a point is answered: an entry and artifact, or a file of the model's folder."""

    what: str
    status: Status
    seq: int | None = None
    digest: str | None = None
    file: str | None = None


class Point(Strict):
    """One point of the Annex, in our words, and where it is answered. Missing: nowhere."""

    number: str
    asks: str
    status: Status
    where: tuple[Where, ...]
    lacking: str
    """What would answer it where it is missing, else what of it is known not to be answered."""


@dataclass(frozen=True)
class _Asked:
    number: str
    asks: str
    found: Callable[[Examined], Iterator[Where]]
    mend: str = ""
    """What would answer it."""
    partly: str = ""
    """What is not answered even where it is generated."""


def annex(seen: Examined, folder: Path) -> tuple[Point, ...]:
    """Return every point, in order, with where it is answered.

    Parameters
    ----------
    folder
        The model's folder, with what people wrote in `annex_iv/`.
    """
    return tuple(_point(seen, folder, one) for one in POINTS)


def counted(points: tuple[Point, ...]) -> dict[str, int]:
    """Return how many points are generated, written by people, and missing."""
    statuses: tuple[Status, ...] = ("generated", "human", "missing")
    return {status: sum(one.status == status for one in points) for status in statuses}


def as_markdown(model: str, points: tuple[Point, ...]) -> str:
    """Return the index as Markdown."""
    counts = counted(points)
    told = ", ".join(f"{many} {status}" for status, many in counts.items())
    lines = [f"# {escape_markdown(model)}: index for Annex IV of Regulation (EU) 2024/1689", ""]
    lines += [f"Of {len(points)} points: {told}. An index, no legal advice.", ""]
    lines += ["| point | asks for | status | where | lacking |", "|---|---|---|---|---|"]
    for one in points:
        places = "; ".join(_place(where) for where in one.where)
        cells = (one.number, one.asks, one.status, places or "nowhere", one.lacking)
        lines.append(f"| {' | '.join(map(escape_markdown, cells))} |")
    return "\n".join(lines) + "\n"


def to_json(model: str, points: tuple[Point, ...]) -> dict[str, Any]:
    """Return the index as JSON values."""
    found = [one.model_dump(mode="json") for one in points]
    return {"schema": "annex_iv/1", "model": model, "counts": counted(points), "points": found}


def _place(where: Where) -> str:
    entry = f", entry {where.seq}" if where.seq is not None else ""
    digest = f", {where.digest[:12]}" if where.digest else ""
    return f"{where.what}{entry}{digest}{f', {where.file}' if where.file else ''}"


def _point(seen: Examined, folder: Path, asked: _Asked) -> Point:
    found = [*asked.found(seen), *_written(folder, asked.number)]
    statuses = {one.status for one in found}
    status: Status = "generated" if "generated" in statuses else "human" if "human" in statuses else "missing"
    written = any(one.file and one.file.startswith(FOLDER) for one in found)
    lacking = asked.mend if status == "missing" else "" if written else asked.partly
    return Point(number=asked.number, asks=asked.asks, status=status, where=tuple(found), lacking=lacking)


def _written(folder: Path, number: str) -> Iterator[Where]:
    """Yield the file in which people answer a point; one of a few words answers nothing."""
    file = folder / FOLDER / f"{number}.md"
    if file.is_file() and len(file.read_text(encoding="utf-8", errors="replace").split()) >= MIN_WORDS:
        yield Where(what="written by people", status="human", file=f"{FOLDER}/{file.name}")


def _made(found: Link) -> Where:
    return Where(what=found.what, status="generated", seq=found.seq, digest=found.digest)


def _entry(what: str, entry: "Entry | None", digest: str | None = None) -> Iterator[Where]:
    if entry is not None:
        yield _made(link(what, entry, digest))


def _manifest(what: str) -> Callable[[Examined], Iterator[Where]]:
    def found(seen: Examined) -> Iterator[Where]:
        if seen.registered is not None and seen.manifest is not None:
            digest = str(seen.registered.payload["manifest"])
            yield _made(link(f"{what}: manifest of {seen.champion}", seen.registered, digest))

    return found


def _record(kind: str, what: str) -> Callable[[Examined], Iterator[Where]]:
    def found(seen: Examined) -> Iterator[Where]:
        newest = seen.records(kind)[-1:]
        yield from (_made(of_record(f"{what}: record {kind}", one)) for one in newest)

    return found


def _gates(what: str, *gates: str) -> Callable[[Examined], Iterator[Where]]:
    def found(seen: Examined) -> Iterator[Where]:
        results = [seen.gate(gate) for gate in gates]
        looked = [one.gate for one in results if one is not None and one.verdict is not Verdict.INCONCLUSIVE]
        if seen.judged is not None and seen.evidence is not None and (looked or not gates):
            named = f" ({', '.join(looked)})" if looked else ""
            yield _made(link(f"{what}{named}", seen.judged, str(seen.judged.payload["evidence"])))

    return found


def _newest(action: str, what: str) -> Callable[[Examined], Iterator[Where]]:
    return lambda seen: _entry(what, seen.newest(action))


def _all(*parts: Callable[[Examined], Iterator[Where]]) -> Callable[[Examined], Iterator[Where]]:
    def found(seen: Examined) -> Iterator[Where]:
        for part in parts:
            yield from part(seen)

    return found


def _nothing(seen: Examined) -> Iterator[Where]:
    return iter(())


def _problem(seen: Examined) -> Iterator[Where]:
    yield Where(what="problem statement of the declaration", status="human", file="defs.yaml")


def _declared(section: str) -> Callable[[Examined], Iterator[Where]]:
    def found(seen: Examined) -> Iterator[Where]:
        yield Where(what=f"declared: {section}", status="human", file="defs.yaml")

    return found


def _decisions(seen: Examined) -> Iterator[Where]:
    for one in seen.decisions:
        if one.front.status == "accepted":
            yield Where(what=f"decision {one.front.id}", status="human", file=f"decisions/{one.file}")


def _risks(seen: Examined) -> Iterator[Where]:
    for one in seen.records("risk_assessment")[-1:]:
        yield Where(what="risk assessment", status="human", seq=one.entry.seq, digest=one.digest, file="risks.yaml")


def _criteria(seen: Examined) -> Iterator[Where]:
    for one in seen.decisions:
        if one.front.status == "accepted" and one.front.evaluation_criteria:
            yield Where(what=f"criteria of decision {one.front.id}", status="human", file=f"decisions/{one.file}")


def _oversight(seen: Examined) -> Iterator[Where]:
    if seen.spec.rollout.approval == "required":
        yield Where(what="declared: rollout.approval required", status="human", file="defs.yaml")
    yield from _entry("a person's approval", seen.newest("approved"))


def _signed(seen: Examined) -> Iterator[Where]:
    newest = seen.entries[-1] if seen.entries else None
    if newest is not None and newest.payload.get(SIGNED_BY):
        yield from _entry("signed, hash-chained record", newest)


def _in_file(number: str) -> str:
    return f"write {FOLDER}/{number}.md"


POINTS = (
    _Asked("1a", "what it is for, who provides it, which version, and how that relates to earlier ones",
           _all(_problem, _manifest("version and parent"))),
    _Asked("1b", "how it works together with hardware, software and other systems", _nothing, _in_file("1b")),
    _Asked("1c", "versions of the software it needs, and what updates ask for", _manifest("packages")),
    _Asked("1d", "the forms in which it is handed out or put into service", _nothing, _in_file("1d")),
    _Asked("1e", "the hardware it is meant to run on", _manifest("hardware it was made on"), _in_file("1e"),
           f"that is where it was made; for where it runs, {_in_file('1e')}"),
    _Asked("1f", "where it is part of a product: pictures, marking, layout", _nothing, _in_file("1f")),
    _Asked("1g", "the interface that whoever deploys it works with", _nothing, _in_file("1g")),
    _Asked("1h", "instructions for whoever deploys it", _nothing, _in_file("1h")),
    _Asked("2a", "how it was developed, with which tools and parts of others", _manifest("steps and packages")),
    _Asked("2b", "its logic, the main choices with their reasons and assumptions, and what was traded off",
           _decisions, "an accepted decision gives it: retrain decide"),
    _Asked("2c", "how its parts are built together, and what computing it takes", _manifest("fits, size, threads")),
    _Asked("2d", "the data: where they are from, how chosen, labelled and cleaned",
           _record("data_sheet", "data sheet"), "a data sheet gives it: the asset records"),
    _Asked("2e", "how people oversee it, and what helps them to understand it", _oversight,
           f"declare rollout.approval, or {_in_file('2e')}"),
    _Asked("2f", "changes that were decided beforehand, and what keeps it compliant through them",
           _newest("plan_approved", "signed change plan"), f"a change plan gives it, or {_in_file('2f')}"),
    _Asked("2g", "how it was validated and tested: data, metrics, logs, reports",
           _all(_gates("judgement"), _record("test_run", "run of the tests")), "reports are not signed by a person"),
    _Asked("2h", "measures of cybersecurity", _signed, f"sign the ledger (retrain keys), and {_in_file('2h')}"),
    _Asked("3a", "what it can do, where its limits are, how accurate it is", _gates("judgement", "quality", "success")),
    _Asked("3b", "its accuracy for the persons and groups that it is used on", _gates("by group", "groups", "slices"),
           "declare gates.groups and gates.slices", "only declared groups and slices are looked at"),
    _Asked("3c", "unintended outcomes and risks that can be foreseen", _risks,
           f"write risks.yaml, or {_in_file('3c')}"),
    _Asked("3d", "what helps people to read its answers", _record("insight", "importances and decision paths"),
           "measurements of the version give it (report.insight)"),
    _Asked("3e", "what its input has to be", _all(_declared("data.columns"), _gates("input contract", "contract"))),
    _Asked("4", "why the metrics suit this system", _criteria, "evaluation_criteria of an accepted decision give it"),
    _Asked("5", "the system of risk management", _risks, f"write risks.yaml, or {_in_file('5')}"),
    _Asked("6", "what was changed through its life", _all(_record("release_note", "release note"),
           _newest("released", "release"))),
    _Asked("7", "standards that were applied, or what was done instead", _nothing, _in_file("7")),
    _Asked("8", "the declaration of conformity", _nothing, _in_file("8")),
    _Asked("9", "how it is watched once it serves, with the plan for that",
           _all(_declared("trigger, rollout.guardrails"), _newest("monitored", "newest monitored period")),
           _in_file("9"), f"that is how the model is watched; the plan for the system: {_in_file('9')}"),
)  # fmt: skip
"""Sections 1 to 9 of Annex IV, point by point, in our own words."""
