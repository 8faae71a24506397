"""The audit of a model: every check looks, the result is a record of its own."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.governance.roles import project_roles
from retrain_pipeline.records.audit.annex import annex
from retrain_pipeline.records.audit.annex import counted as counted_points
from retrain_pipeline.records.audit.checks import CHECKS
from retrain_pipeline.records.audit.examined import Examined
from retrain_pipeline.records.audit.fields import Filled, filled, overall, record_kinds
from retrain_pipeline.records.audit.private import Private, found_in, in_rows, texts
from retrain_pipeline.records.audit.references import is_audit, look_up
from retrain_pipeline.records.audit.reviews import cited, overdue, superseded_ids
from retrain_pipeline.records.audit.score import test_score
from retrain_pipeline.records.history import UnknownVersion
from retrain_pipeline.records.kinds.audit import Audit, Counted, Finding
from retrain_pipeline.records.kinds.review import Review
from retrain_pipeline.records.record import RECORDED, Recorded, enter
from retrain_pipeline.records.retirement import due_for_retirement, tombstones
from retrain_pipeline.records.risks import outdated, unchecked
from retrain_pipeline.spec.decision import Decision, read_decisions
from retrain_pipeline.spec.risks import FILE as RISKS
from retrain_pipeline.spec.risks import RisksRefused, read_risks
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

MACHINE_SHARE = 0.8
MAX_FINDINGS = 200
"""Findings of one check that are kept one by one; the result counts all."""


@dataclass(frozen=True)
class Found:
    """What one check found, of how many looked at."""

    check: str
    n: int
    findings: tuple[Finding, ...]
    empty: str
    """Why nothing can be said where nothing was looked at."""

    def result(self) -> GateResult:
        """Return PASS where all was well, FAIL with what was not, INCONCLUSIVE where there was nothing to look at."""
        many = len(self.findings)
        if not self.n and not many:
            return GateResult(gate=self.check, verdict=Verdict.INCONCLUSIVE, words=self.empty, n=0)
        shown = "; ".join(f"{one.what} ({one.place}): {one.words}" for one in self.findings[:5])
        more = f"; and {many - 5} more" if many > 5 else ""
        return GateResult(
            gate=self.check,
            verdict=Verdict.FAIL if many else Verdict.PASS,
            words=f"{many} of {self.n}: {shown}{more}"[:2000] if many else f"none of {self.n}",
            statistic=float(many),
            threshold=0.0,
            n=self.n,
        )


def audit(stores: "Stores", declaration: "Declaration", *, today: date, actor: str, run_id: str | None = None) -> Audit:
    """Look over all that is on record of a model, enter what was found and return it.

    Parameters
    ----------
    today
        Dates of review are compared with it.

    Raises
    ------
    UnknownVersion
        When the ledger knows nothing of the model.
    """
    found = look(stores, declaration, today=today)
    enter(stores, found, actor=actor, run_id=run_id)
    return found


def look(stores: "Stores", declaration: "Declaration", *, today: date) -> Audit:
    """Return what an audit finds, without entering it."""
    model = declaration.spec.name
    entries = [one for one in stores.ledger.entries(model=model) if not is_audit(one)]
    if not entries:
        raise UnknownVersion(f"{model}: the ledger knows nothing of this model, so there is nothing to audit")
    decisions, refused = read_decisions(declaration.folder)
    recorded, kinds = readable(stores, entries), record_kinds()
    counted = filled(recorded, kinds)
    found = (
        _reviews(decisions, [str(one) for one in refused], recorded, today),
        _references(stores, model, decisions),
        _risks(stores, declaration, decisions, today),
        _citations(stores, model, decisions, recorded),
        _retention(stores, declaration),
        _personal(stores, declaration, entries, recorded, decisions),
    )
    results = {one.check: one.result() for one in found}
    unknown = sorted({one.kind for one in recorded} - set(kinds))
    results["machine_filled"] = _machine(overall(counted), unknown)
    seen = Examined(stores, declaration.spec, entries, decisions, results["personal_data"])
    counts = _counts(entries, recorded, decisions, len(tombstones(stores, model)))
    points = counted_points(annex(seen, declaration.folder))
    return Audit.make(
        model=model,
        subject=model,
        today=today,
        looked_until=entries[-1].seq,
        checks=tuple(results[check] for check in CHECKS),
        findings=tuple(finding for one in found for finding in one.findings[:MAX_FINDINGS]),
        filled={kind: Counted(machine=one.machine, person=one.person) for kind, one in counted.items()},
        counts=counts | {f"Annex IV {status}": many for status, many in points.items()},
        test_score=test_score(seen).document(),
    )


def examined(stores: "Stores", declaration: "Declaration") -> Examined:
    """Return what the items of the score and the points of the Annex look at, as of now.

    Raises
    ------
    UnknownVersion
        When the ledger knows nothing of the model.
    """
    model = declaration.spec.name
    entries = [one for one in stores.ledger.entries(model=model) if not is_audit(one)]
    if not entries:
        raise UnknownVersion(f"{model}: the ledger knows nothing of this model, so there is nothing to index")
    return Examined(stores, declaration.spec, entries, read_decisions(declaration.folder)[0])


def readable(stores: "Stores", entries: "Sequence[Entry]") -> list[Recorded]:
    """Return the records of some entries; those that cannot be read are told as dead references."""
    found = []
    for entry in entries:
        if entry.action == RECORDED:
            digest = str(entry.payload["record"])
            try:
                document = stores.artifacts.get_json(digest)
            except PermanentError:
                continue
            found.append(Recorded(entry, str(entry.payload["kind"]), entry.subject or "", digest, document))
    return found


def _reviews(decisions: list[Decision], refused: list[str], recorded: list[Recorded], today: date) -> Found:
    reviews = [(one, one.read(Review)) for one in recorded if one.kind == Review.KIND]
    closed = [review for _, review in reviews if review.closed is not None]
    ended = {review.closes for review in closed}
    opened = [(one, review) for one, review in reviews if review.closes is None and one.digest not in ended]
    late = [
        Finding(check="reviews", what=one.subject, place=f"due {one.due}", words=one.words)
        for one in overdue(decisions, closed, opened, today)
    ]
    late += [Finding(check="reviews", what="a decision", place="decisions", words=words[:500]) for words in refused]
    return Found("reviews", len(decisions) + len(refused) + len(reviews), tuple(late), "no decision and no review")


def _references(stores: "Stores", model: str, decisions: list[Decision]) -> Found:
    looked = look_up(stores, model, decisions)
    dead = (
        Finding(check="references", what=one.what, place=one.place, words=one.words or "gone") for one in looked.dead
    )
    return Found("references", looked.n, tuple(dead), "nothing is named by digest")


def _risks(stores: "Stores", declaration: "Declaration", decisions: list[Decision], today: date) -> Found:
    empty = f"there is no {RISKS}: what could go wrong was not written down"
    try:
        said = read_risks(declaration.folder)
    except RisksRefused as error:
        return Found("risks", 0, (Finding(check="risks", what=RISKS, place=RISKS, words=str(error)[:500]),), empty)
    if said is None:
        return Found("risks", 0, (), empty)
    told = [("assessment", words) for words in outdated(declaration.spec, said, decisions, today)]
    told += [(f"risk {risk.id}", words) for risk, words in unchecked(stores, declaration, said)]
    found = (Finding(check="risks", what=what, place=RISKS, words=words[:500]) for what, words in told)
    return Found("risks", 1 + len(said.risks), tuple(found), empty)


def _citations(stores: "Stores", model: str, decisions: list[Decision], recorded: list[Recorded]) -> Found:
    row = stores.ledger.deployment(model)
    newest = {(one.kind, one.subject): one for one in recorded}
    ended = superseded_ids(decisions)
    still = [
        Finding(
            check="citations",
            what=one.decision,
            place=one.place,
            words=f"superseded by {ended[one.decision] or 'another'}: cite that",
        )
        for one in cited(decisions, list(newest.values()), row.state["champion"] if row else None)
    ]
    return Found("citations", len(decisions), tuple(still), "no decision")


def _retention(stores: "Stores", declaration: "Declaration") -> Found:
    spec = declaration.spec
    if spec.rollout.retire_periods is None:
        return Found("retention", 0, (), "no retention is declared (rollout.retire_periods)")
    due = [
        Finding(
            check="retention",
            what=one.version,
            place=f"{one.periods} periods old",
            words=f"{one.size_bytes} bytes: retrain retire {spec.name} {one.version} --why … --by …",
        )
        for one in due_for_retirement(stores, spec)
    ]
    registered = stores.ledger.entries(model=spec.name, action="candidate_registered")
    return Found("retention", len(registered), tuple(due), "no version is registered")


def _machine(count: Filled, unknown: list[str]) -> GateResult:
    """Judge that people fill in a fifth of the fields at most."""
    also = f"; kinds that are not known: {', '.join(unknown)}" if unknown else ""
    if (share := count.share) is None:
        words = f"no record has a filled field yet{also}"
        return GateResult(gate="machine_filled", verdict=Verdict.INCONCLUSIVE, words=words, n=0)
    people = round(1 - share, 6)
    return GateResult(
        gate="machine_filled",
        verdict=Verdict.PASS if people <= round(1 - MACHINE_SHARE, 6) else Verdict.FAIL,
        words=f"{share:.0%} of {count.machine + count.person} filled fields are filled in by machine{also}",
        statistic=people,
        threshold=round(1 - MACHINE_SHARE, 6),
        n=count.machine + count.person,
    )


def _personal(
    stores: "Stores",
    declaration: "Declaration",
    entries: "Sequence[Entry]",
    recorded: list[Recorded],
    decisions: list[Decision],
) -> Found:
    spec, roles = declaration.spec, project_roles()
    allowed = (
        [*spec.owners, *(alias for one in roles.people.values() for alias in one.aliases)] if roles else spec.owners
    )
    looked, found = 0, list[Private]()
    for text, place in _free_texts(entries, recorded, decisions):
        looked += 1
        found += found_in(text, place, allowed)
    columns, in_data = in_rows(stores, spec)
    findings = (
        Finding(check="personal_data", what=f"{one.kind} {one.sample}", place=one.place, words="take it out")
        for one in (*found, *in_data)
    )
    return Found("personal_data", looked + columns, tuple(findings), "there is no text")


def _free_texts(
    entries: "Sequence[Entry]", recorded: list[Recorded], decisions: list[Decision]
) -> Iterator[tuple[str, str]]:
    """Yield every text that somebody wrote or may have, with its place."""
    for entry in entries:
        yield from texts(entry.payload, f"entry {entry.seq} ({entry.action})")
    for one in recorded:
        yield from texts(one.document, f"record {one.kind} of {one.subject}")
    for decision in decisions:
        place = f"decisions/{decision.file}"
        yield decision.body, place
        yield from texts(decision.front.model_dump(mode="json"), place)


def _counts(
    entries: "Sequence[Entry]", recorded: list[Recorded], decisions: list[Decision], retired: int
) -> dict[str, int]:
    actions = Counter(entry.action for entry in entries)
    named = ("candidate_registered", "judged", "released", "rejected", "rolled_back", "retrain_failed", "drilled")
    counts = {f"entries {action}": actions[action] for action in named}
    counts |= {f"records {kind}": many for kind, many in sorted(Counter(one.kind for one in recorded).items())}
    counts |= {
        f"decisions {status}": many for status, many in sorted(Counter(one.front.status for one in decisions).items())
    }
    return {"entries": len(entries), **counts, "versions retired": retired}
