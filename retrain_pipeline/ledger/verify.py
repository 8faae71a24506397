"""Walk the chain from its first entry: is it whole, and do the deployment rows say what their entries say?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import NotCanonical
from retrain_pipeline.ledger.entries import FIRST_PREV, DeploymentRow, Head, chain_digest, deployment_made_by, read_json
from retrain_pipeline.ledger.errors import LedgerDamaged
from retrain_pipeline.ledger.reading import says_the_same
from retrain_pipeline.ledger.schema import tables
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

_ROWS_AT_ONCE = 100
# A rewritten ledger has a problem an entry; the first ones say enough.
_MOST_PROBLEMS = 100
_START = Head(0, FIRST_PREV)


@dataclass(frozen=True)
class Verification:
    """What a walk over the chain found. An empty chain is INCONCLUSIVE: nothing could have been wrong."""

    verdict: Verdict
    entries: int
    head_seq: int
    head_sha256: str
    problems: list[str]


@dataclass
class Walk:
    """The state of a walk: constant in size but for one deployment a model."""

    anchors: dict[int, str]
    last: Head = _START
    entries: int = 0
    found: int = 0
    problems: list[str] = field(default_factory=list)
    deployments: dict[str, DeploymentRow] = field(default_factory=dict)

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
            self._fold(row)
        if self.anchors.pop(seq, row["sha256"]) != row["sha256"]:
            self.report(f"entry {seq} is not the one of the anchor: the chain was rewritten")
        self.last = Head(seq, row["sha256"])

    def _fold(self, row: Mapping[Any, Any]) -> None:
        """Follow the deployments; only an entry with its digest is believed."""
        try:
            made = deployment_made_by(row["seq"], row["epoch"], row["model"], read_json(row["payload"]))
        except NotCanonical:
            self.report(f"entry {row['seq']} was forged: its payload is no JSON")
            return
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
        for seq in sorted(self.anchors):
            self.report(f"entry {seq} of the anchor is missing: the end of the chain was cut off")
        if self.found > len(self.problems):
            self.problems.append(f"and {self.found - len(self.problems)} more")
        verdict = Verdict.FAIL if self.problems else Verdict.PASS if self.entries else Verdict.INCONCLUSIVE
        return Verification(verdict, self.entries, self.last.seq, self.last.sha256, self.problems)

    def _compare_head(self, conn: "Connection") -> None:
        from sqlalchemy import select

        head = tables().head
        rows = conn.execute(select(head.c.seq, head.c.sha256)).all()
        if len(rows) != 1:
            self.report(f"there are {len(rows)} head rows, expected one")
        elif Head(*rows[0]) != self.last:
            words = f"the head row names entry {rows[0][0]}, the chain ends with entry {self.last.seq}"
            self.report(f"{words}: its end was cut off or replaced")

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


def verify_chain(conn: "Connection", anchors: Sequence[Head]) -> Verification:
    """Walk the whole chain on one snapshot of the database."""
    return walk_entries(conn, anchors).finish(conn)


def walk_entries(conn: "Connection", anchors: Sequence[Head] = ()) -> Walk:
    """Walk the entries; the deployments that they make are left in the walk."""
    walk = Walk({anchor.seq: anchor.sha256 for anchor in anchors if anchor.seq > 0})
    for row in _rows(conn):
        walk.step(row)
    return walk


def _rows(conn: "Connection") -> "Iterator[RowMapping]":
    from sqlalchemy import select

    entry = tables().entry
    result = conn.execute(select(entry).order_by(entry.c.seq), execution_options={"yield_per": _ROWS_AT_ONCE})
    yield from result.mappings()


def _digest_of(row: Mapping[Any, Any]) -> str | None:
    """Return the digest of a row, or None when it holds what no entry can hold."""
    try:
        return chain_digest(row)
    except (NotCanonical, AttributeError, UnicodeEncodeError):
        return None
