"""The audit of a model: every check looks, the result is a record of its own."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.governance.roles import project_roles
from retrain_pipeline.records.audit.annex import annex
from retrain_pipeline.records.audit.annex import counted as counted_points
from retrain_pipeline.records.audit.checks import CHECKS
from retrain_pipeline.records.audit.examined import Examined
from retrain_pipeline.records.audit.expected import changes_found, checklist_found, risks_found
from retrain_pipeline.records.audit.fields import Filled, filled, overall, record_kinds
from retrain_pipeline.records.audit.found import Found
from retrain_pipeline.records.audit.private import Private, found_in, in_rows, texts
from retrain_pipeline.records.audit.references import is_audit, look_up
from retrain_pipeline.records.audit.reviews import ask_for_reviews, cited, overdue, superseded_ids
from retrain_pipeline.records.audit.score import test_score
from retrain_pipeline.records.history import UnknownVersion
from retrain_pipeline.records.kinds.audit import Audit, Counted, Finding
from retrain_pipeline.records.kinds.review import Review
from retrain_pipeline.records.record import RECORDED, Recorded, enter
from retrain_pipeline.records.retirement import due_for_retirement, tombstones
from retrain_pipeline.spec.decision import Decision, read_decisions
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

MACHINE_SHARE = 0.8
MAX_FINDINGS = 200
"""Findings of one check that are kept one by one; the result counts all."""


def audit(stores: "Stores", declaration: "Declaration", *, today: date, actor: str, run_id: str | None = None) -> Audit:
    """Look over all that is on record of a model, enter what was found and return it; what is overdue gets a review.

    Parameters
    ----------
    today
        Dates of review are compared with it.

    Raises
    ------
    UnknownVersion
        When the ledger knows nothing of the model.
    """
    model = declaration.spec.name
    reviews = [one for one in readable(stores, stores.ledger.entries(model=model)) if one.kind == Review.KIND]
    decisions, _ = read_decisions(declaration.folder)
    ask_for_reviews(stores, model, decisions, [one.read(Review) for one in reviews], today, actor)
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
        risks_found(stores, declaration, decisions, today),
        checklist_found(stores, declaration, today),
        _citations(stores, model, decisions, recorded),
        _retention(stores, declaration),
        _personal(stores, declaration, entries, recorded, decisions),
    )
    results = {one.check: one.result() for one in found}
    unknown = sorted({one.kind for one in recorded} - set(kinds))
    results["changes"] = changes_found(stores, model)
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
