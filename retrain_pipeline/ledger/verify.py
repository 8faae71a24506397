"""Walk the chain from its first entry: is it whole, and do the deployment rows say what their entries say?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import NotCanonical
from retrain_pipeline.ledger.entries import FIRST_PREV, DeploymentRow, Head, chain_digest, deployment_made_by, read_json
from retrain_pipeline.ledger.errors import LedgerDamaged
from retrain_pipeline.ledger.keyring import Keyring
from retrain_pipeline.ledger.reading import says_the_same
from retrain_pipeline.ledger.schema import tables
from retrain_pipeline.ledger.signatures import SignatureWalk
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

_ROWS_AT_ONCE = 100
# A rewritten ledger has a problem an entry; the first ones say enough.
_MOST_PROBLEMS = 100
_START = Head(0, FIRST_PREV)
# Clocks of machines that write and anchor differ by seconds; who dates an entry back wants more.
_CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True)
class Verification:
    """What a walk over the chain found. An empty chain is INCONCLUSIVE: nothing could have been wrong."""

    verdict: Verdict
    entries: int
    head_seq: int
    head_sha256: str
    problems: list[str]
    signed: int = 0
    """Entries with a signature that holds."""
    notes: list[str] = field(default_factory=list)
    """What is no proof of anything but worth a look: an entry dated before the one that it follows."""


@dataclass
class Walk:
    """The state of a walk: constant in size but for one deployment a model."""

    anchors: dict[int, str]
    keyring: Keyring = field(default_factory=Keyring)
    dates: dict[int, str] = field(default_factory=dict)
    """When the anchors that say so were made, by entry."""
    last: Head = _START
    entries: int = 0
    found: int = 0
    problems: list[str] = field(default_factory=list)
    deployments: dict[str, DeploymentRow] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    newest: datetime | None = None
    not_before: tuple[datetime, int] | None = None

    def __post_init__(self) -> None:
        self.signatures = SignatureWalk(self.keyring, self.report)

    def report(self, problem: str) -> None:
        """Note a problem."""
        self.found += 1
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem)

    def step(self, row: Mapping[Any, Any]) -> None:
        """Look at the next entry of the chain."""
        seq = row["seq"]
        self.entries += 1
        if seq != self.last.seq + 1:
            self.report(
                f"entry {seq} follows entry {self.last.seq}: entries in between are missing, doubled or out of order"
            )
        if row["prev_sha256"] != self.last.sha256:
            self.report(
                f"entry {seq} does not continue entry {self.last.seq}: one of them was replaced, moved or copied"
            )
        if _digest_of(row) != row["sha256"]:
            self.report(f"entry {seq} was edited: it does not have its digest")
        else:
            self._believe(row)
        if self.anchors.pop(seq, row["sha256"]) != row["sha256"]:
            self.report(f"entry {seq} is not the one of the anchor: the chain was rewritten")
        self.last = Head(seq, row["sha256"])

    def _believe(self, row: Mapping[Any, Any]) -> None:
        """Follow dates, signatures and deployments; only an entry with its digest is believed."""
        try:
            payload = read_json(row["payload"])
        except NotCanonical:
            self.report(f"entry {row['seq']} was forged: its payload is no JSON")
            return
        self.signatures.step(row, payload)
        self._date(row["seq"], row["at_utc"])
        self._fold(row, payload)

    def _date(self, seq: int, text: str) -> None:
        """Compare an entry's date with those of the anchors and entries before it. Order is `seq`; clocks may jump."""
        try:
            at = datetime.fromisoformat(text)
            if self.not_before is not None and at < self.not_before[0] - _CLOCK_TOLERANCE:
                anchored, of_seq = self.not_before
                words = (
                    f"is dated {text[:19]}, before the anchor of entry {of_seq} was made ({anchored.isoformat()[:19]})"
                )
                self.report(f"entry {seq} {words}: it is back-dated, or a clock was set back")
            if self.newest is not None and at < self.newest - _CLOCK_TOLERANCE and len(self.notes) < _MOST_PROBLEMS:
                self.notes.append(f"entry {seq} is dated {text[:19]}, before an earlier entry ({self.newest:%F %T})")
            self.newest = max(at, self.newest or at)
            if seq in self.dates:
                self.not_before = (datetime.fromisoformat(self.dates[seq]), seq)
        except (ValueError, TypeError):
            self.report(f"entry {seq} was forged: its date {text!r:.40} is none that this project writes")

    def _fold(self, row: Mapping[Any, Any], payload: Any) -> None:
        try:
            made = deployment_made_by(row["seq"], row["epoch"], row["model"], payload)
        except LedgerDamaged as damage:
            self.report(str(damage))
            return
        if made is None:
            return
        before = self.deployments.get(made.model)
        if made.epoch != (before.epoch if before else 0) + 1:
            self.report(f"entry {row['seq']} makes epoch {made.epoch} of {made.model}: not the one after the last")
        self.deployments[made.model] = made

    def finish(self, conn: "Connection") -> Verification:
        """Compare what was walked with the head row, the deployment rows and the anchors."""
        self._compare_head(conn)
        self._compare_deployments(conn)
        self._compare_signatures(conn)
        for seq in sorted(self.anchors):
            self.report(f"entry {seq} of the anchor is missing: the end of the chain was cut off")
        if self.found > len(self.problems):
            self.problems.append(f"and {self.found - len(self.problems)} more")
        verdict = Verdict.FAIL if self.problems else Verdict.PASS if self.entries else Verdict.INCONCLUSIVE
        return Verification(verdict, self.entries, *self.last, self.problems, self.signatures.signed, self.notes)

    def _compare_head(self, conn: "Connection") -> None:
        from sqlalchemy import select

        head = tables().head
        rows = conn.execute(select(head.c.seq, head.c.sha256)).all()
        if len(rows) != 1:
            self.report(f"there are {len(rows)} head rows, expected one")
        elif Head(*rows[0]) != self.last:
            words = f"the head row names entry {rows[0][0]}, the chain ends with entry {self.last.seq}"
            self.report(f"{words}: its end was cut off or replaced")

    def _compare_signatures(self, conn: "Connection") -> None:
        from sqlalchemy import select

        self.signatures.finish(self.last.seq)
        entry, signature = tables().entry, tables().signature
        left = select(signature.c.seq).where(signature.c.seq.not_in(select(entry.c.seq))).order_by(signature.c.seq)
        for seq in conn.execute(left.limit(_MOST_PROBLEMS)).scalars():
            self.report(f"entry {seq} is missing, its signature is left: it was cut off or deleted")

    def _compare_deployments(self, conn: "Connection") -> None:
        from sqlalchemy import select

        deployment = tables().deployment
        left = dict(self.deployments)
        for row in conn.execute(select(deployment).order_by(deployment.c.model)).mappings():
            said = left.pop(row["model"], None)
            if said is None:
                self.report(f"deployment of {row['model']}: no entry made it")
            elif not says_the_same(row, said):
                self.report(f"deployment of {row['model']}: its row is not what entry {said.changed_by_seq} made")
        for model in sorted(left):
            self.report(f"deployment of {model}: its row is missing, entry {left[model].changed_by_seq} made one")


def verify_chain(conn: "Connection", anchors: Sequence[tuple[Any, ...]], keyring: Keyring) -> Verification:
    """Walk the whole chain on one snapshot of the database."""
    return walk_entries(conn, anchors, keyring).finish(conn)


def walk_entries(conn: "Connection", anchors: Sequence[tuple[Any, ...]], keyring: Keyring) -> Walk:
    """Walk the entries; the deployments that they make are left in the walk.

    Anchors are ``(seq, sha256)`` or ``(seq, sha256, at_utc)``; two that name one entry differently contradict each
    other, and are a problem whatever the chain says.
    """
    kept: dict[int, str] = {}
    clashes = [one for one in anchors if one[0] > 0 and kept.setdefault(one[0], one[1]) != one[1]]
    walk = Walk(kept, keyring, {one[0]: one[2] for one in reversed(anchors) if len(one) > 2 and one[2]})
    for clash in clashes:
        walk.report(f"two anchors name entry {clash[0]} differently: one was made of another chain")
    for row in _rows(conn):
        walk.step(row)
    return walk


def _rows(conn: "Connection") -> "Iterator[RowMapping]":
    from sqlalchemy import select

    entry, signature = tables().entry, tables().signature
    joined = entry.outerjoin(signature, signature.c.seq == entry.c.seq)
    query = select(entry, signature.c.key_id, signature.c.signature).select_from(joined).order_by(entry.c.seq)
    result = conn.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE})
    yield from result.mappings()


def _digest_of(row: Mapping[Any, Any]) -> str | None:
    """Return the digest of a row, or None when it holds what no entry can hold."""
    try:
        return chain_digest(row)
    except (NotCanonical, AttributeError, UnicodeEncodeError):
        return None
