"""Incidents: a postmortem for each rollback, filled in from the ledger, and deviations that people declare."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.records.history import told
from retrain_pipeline.records.kinds.deviation import Deviation
from retrain_pipeline.records.kinds.postmortem import Moment, Postmortem
from retrain_pipeline.records.record import enter, records
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

ROLLED_BACK, WATCHED = "rolled_back", "champion_watched"
_TIMELINE = 60
_QUIET = frozenset({"recorded", "alerted", "profiled", "training_set_frozen", "candidate_built"})


class IncidentRefused(PermanentError):
    """A postmortem or deviation that cannot be written."""


def write_postmortems(stores: "Stores", declaration: "Declaration", actor: str) -> None:
    """Enter a postmortem of every rollback that has none: a step of `settle`."""
    model = declaration.spec.name
    there = {one.document["rolled_back_seq"] for one in records(stores, model, Postmortem.KIND)}
    for entry in stores.ledger.entries(model=model, action=ROLLED_BACK):
        if entry.seq not in there:
            enter(stores, postmortem(stores, declaration.spec, entry), actor=actor)


def postmortem(stores: "Stores", spec: "ModelSpec", rollback: "Entry") -> Postmortem:
    """Return what the stores know of a rollback."""
    model, gone = spec.name, str(rollback.payload["from"])
    entries = [one for one in stores.ledger.entries(model=model) if one.seq <= rollback.seq]
    released = [one for one in entries if one.action == "released" and one.subject == gone]
    since = released[-1] if released else None
    during = [one for one in entries if since is None or one.seq >= since.seq]
    signs = [one for one in during if _is_sign(one, gone)]
    first = signs[0] if signs else rollback
    periods, rows = _exposed(stores, spec, gone, since)
    return Postmortem.make(
        model=model,
        subject=gone,
        rolled_back_seq=rollback.seq,
        at=rollback.at_utc,
        by=rollback.actor,
        because=rollback.payload["because"],
        back_to=rollback.payload["version"],
        released_at=since.at_utc if since else None,
        detected_by=_detector(first) if signs else rollback.actor,
        detected_at=first.at_utc,
        seconds_to_restore=_seconds(first.at_utc, rollback.at_utc),
        broken=tuple(f"{_detector(one)}: {told(one)}"[:1000] for one in signs),
        passed_before=_passed(stores, since),
        rows_exposed=rows,
        periods_exposed=periods,
        timeline=tuple(_moment(one) for one in _told_ones(during)[-_TIMELINE:]),
    )


def complete_postmortem(
    stores: "Stores", model: str, *, by: str, causes: tuple[str, ...], actions: tuple[str, ...], actor: str
) -> Postmortem:
    """Enter the newest postmortem again, with why it happened and what is done; return it.

    Raises
    ------
    IncidentRefused
        When there is none, or somebody gave no cause or no action.
    """
    known = list(records(stores, model, Postmortem.KIND))
    if not known:
        raise IncidentRefused(
            f"{model}: no postmortem is on record; a rollback makes one (`retrain docs update {model}`)"
        )
    if not (by.strip() and all(map(str.strip, (*causes, *actions))) and causes and actions):
        raise IncidentRefused(f"{model}: say who you are (--by), a cause (--cause) and what is done (--action)")
    record = known[-1].read(Postmortem).model_copy(
        update={"by_person": by, "causes": causes, "actions": actions}
    )  # fmt: skip
    enter(stores, record, actor=actor)
    return record


def deviate(
    stores: "Stores", model: str, *, what: str, why: str, expected: str, by: str, actor: str, run_id: str | None = None
) -> Deviation:
    """Enter a deviation that a person declares, or explains: one of a run that a machine found keeps its facts.

    Raises
    ------
    IncidentRefused
        When one of the words is missing, or the run has no deviation that a machine found.
    """
    said = {"what": what, "why": why, "expected": expected, "by": by}
    if empty := [name for name, words in said.items() if not words.strip()]:
        raise IncidentRefused(f"{model}: a deviation says what, why, what is expected and by whom; empty: {empty}")
    fields: dict[str, Any] = {"found_by": by, "agreed": "", "what": what}
    if run_id is not None:
        known = list(records(stores, model, Deviation.KIND, subject=run_id))
        if not known:
            raise IncidentRefused(f"{model}: no deviation of run {run_id!r:.80} is on record; leave --run out")
        same = [one for one in known if one.document["what"] == what]
        facts = (same or known)[-1].document
        fields = {name: facts[name] for name in ("found_by", "agreed", "what")}
    record = Deviation.make(
        model=model, subject=run_id or model, **fields, why=why, expected=expected, by=by
    )  # fmt: skip
    enter(stores, record, actor=actor)
    return record


def _is_sign(entry: "Entry", version: str) -> bool:
    if entry.action == WATCHED and entry.subject == version:
        return Verdict.FAIL in entry.payload["results"].values()
    if entry.action == "monitored" and entry.payload.get("champion") == version:
        return bool(entry.payload["performance"]["verdict"] == Verdict.FAIL.value)
    return False


def _detector(entry: "Entry") -> str:
    if entry.action == WATCHED:
        broken = [gate for gate, verdict in sorted(entry.payload["results"].items()) if verdict == Verdict.FAIL.value]
        return f"guard {', '.join(broken)}"
    return "monitoring" if entry.action == "monitored" else entry.actor


def _passed(stores: "Stores", released: "Entry | None") -> tuple[str, ...]:
    if released is None:
        return ()
    evidence = read_evidence(stores.artifacts, str(released.payload["evidence"]))
    return tuple(one.gate for one in evidence.results if one.verdict is Verdict.PASS)


def _exposed(
    stores: "Stores", spec: "ModelSpec", version: str, released: "Entry | None"
) -> tuple[tuple[str, ...], int]:
    """Return the periods in which a version served rows, and how many rows."""
    calendar, since = spec.data.time.calendar(), released.payload["as_of"] if released else None
    periods = [
        one
        for one in stores.lake.periods(spec.name, "predictions")
        if since is None or calendar.bounds(one)[1] > datetime.fromisoformat(since)
    ]
    if not periods:
        return (), 0
    rows = stores.lake.read(spec.name, "predictions", periods=periods, columns=["model_version", "_period"])
    own = rows[rows["model_version"] == version]
    return tuple(sorted(map(str, own["_period"].unique()))), len(own)


def _told_ones(entries: "list[Entry]") -> "list[Entry]":
    return [one for one in entries if one.action not in _QUIET]


def _moment(entry: "Entry") -> Moment:
    return Moment(seq=entry.seq, at=entry.at_utc, by=entry.actor, action=entry.action, words=told(entry)[:500])


def _seconds(first: str, last: str) -> float | None:
    """Return the seconds between two times of the record; None where the clock went back between them."""
    seconds = (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
    return seconds if seconds >= 0 else None
