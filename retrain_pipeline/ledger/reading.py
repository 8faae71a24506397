"""Questions to the ledger, each answered from an index."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retrain_pipeline.canonical import sha256
from retrain_pipeline.ledger.entries import DeploymentRow, Entry, Head, as_entry, deployment_made_by, write_json
from retrain_pipeline.ledger.errors import EntryRefused, LedgerDamaged
from retrain_pipeline.ledger.schema import tables

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping


def read_entries(
    conn: "Connection",
    equal: dict[str, str | None],
    action: str | Sequence[str] | None,
    after_seq: int,
    limit: int | None,
    newest_first: bool,
) -> list[Entry]:
    """Return the entries whose columns equal what is given (None: whatever), in order."""
    from sqlalchemy import select

    entry = tables().entry
    order = entry.c.seq.desc() if newest_first else entry.c.seq
    query = select(entry).where(entry.c.seq > after_seq).order_by(order).limit(limit)
    for column, value in equal.items():
        if value is not None:
            query = query.where(entry.c[column] == value)
    if action is not None:
        query = query.where(entry.c.action == action if isinstance(action, str) else entry.c.action.in_(action))
    return [as_entry(row) for row in conn.execute(query).mappings()]


def read_latest_by_model(conn: "Connection", action: str) -> dict[str, Entry]:
    """Return the newest entry of an action for every model.

    It hops from model to model in the index (action, model, seq): the cost grows with the models, not with the entries.
    """
    from sqlalchemy import func, select

    entry = tables().entry
    hop = select(func.min(entry.c.model).label("model")).where(entry.c.action == action).cte("hop", recursive=True)
    following = select(func.min(entry.c.model)).where(entry.c.action == action, entry.c.model > hop.c.model)
    hop = hop.union_all(select(following.scalar_subquery()).where(hop.c.model.is_not(None)))
    newest = select(func.max(entry.c.seq)).where(entry.c.action == action, entry.c.model == hop.c.model)
    places = select(newest.scalar_subquery()).where(hop.c.model.is_not(None))
    rows = conn.execute(select(entry).where(entry.c.seq.in_(places))).mappings()
    return {row["model"]: as_entry(row) for row in sorted(rows, key=lambda row: str(row["model"]))}


def read_deployments(conn: "Connection", model: str | None) -> list[DeploymentRow]:
    """Return the deployment of one model, or of all, by name, each compared with the entry that made it.

    Raises
    ------
    LedgerDamaged
        When a row is not what its entry says: nobody serves an edited deployment.
    """
    from sqlalchemy import select, true

    entry, deployment = tables().entry, tables().deployment
    wanted = true() if model is None else deployment.c.model == model
    rows = conn.execute(select(deployment).where(wanted)).mappings()
    rows_by_name = sorted(rows, key=lambda row: str(row["model"]))  # a database sorts as its locale likes
    makers = select(entry).where(entry.c.seq.in_(select(deployment.c.changed_by_seq).where(wanted)))
    made_by = {row["seq"]: as_entry(row) for row in conn.execute(makers).mappings()}
    return [_checked(row, made_by.get(row["changed_by_seq"])) for row in rows_by_name]


def says_the_same(row: "RowMapping", said: DeploymentRow) -> bool:
    """Return whether a deployment row is the one that its entry made, its state hashed again."""
    try:
        state = write_json(said.state, "state")
    except EntryRefused:
        return False
    made = (said.model, said.epoch, state, said.state_digest, said.changed_by_seq)
    stored = (row["model"], row["epoch"], row["state"], row["state_digest"], row["changed_by_seq"])
    return stored == made and sha256(state.encode()) == said.state_digest


def _checked(row: "RowMapping", entry: Entry | None) -> DeploymentRow:
    said = deployment_made_by(entry.seq, entry.epoch, entry.model, entry.payload) if entry else None
    if said is None or not says_the_same(row, said):
        words = f"deployment of {row['model']}: its row is not what entry {row['changed_by_seq']} made"
        raise LedgerDamaged(f"{words}; run verify, then restore_deployments")
    return said


def read_head(conn: "Connection") -> Head:
    """Return the head row."""
    from sqlalchemy import select

    head = tables().head
    row = conn.execute(select(head.c.seq, head.c.sha256)).first()
    if row is None:
        raise LedgerDamaged("the ledger lost its head row; run verify, and restore the ledger from a backup")
    return Head(*row)
