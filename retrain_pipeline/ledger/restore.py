"""Write the deployment rows anew from the entries that made them."""

from typing import TYPE_CHECKING

from retrain_pipeline.ledger.entries import DeploymentRow, write_json
from retrain_pipeline.ledger.errors import LedgerDamaged
from retrain_pipeline.ledger.keyring import Keyring
from retrain_pipeline.ledger.reading import read_head, says_the_same
from retrain_pipeline.ledger.schema import tables
from retrain_pipeline.ledger.verify import walk_entries
from retrain_pipeline.ledger.writing import put_deployment

if TYPE_CHECKING:
    from sqlalchemy import Connection


def restore_rows(conn: "Connection", keyring: Keyring) -> list[str]:
    """Make the deployment rows what the entries say; return the models whose row was wrong. The caller holds the head.

    Raises
    ------
    LedgerDamaged
        When the chain itself is broken: then the entries cannot be believed either.
    """
    from sqlalchemy import delete, select

    walk = walk_entries(conn, (), keyring)
    if walk.problems or walk.last != read_head(conn):
        first = (walk.problems or ["its end is missing"])[0]
        raise LedgerDamaged(f"the chain is broken ({first}); restore it from a backup")
    deployment = tables().deployment
    stored = {row["model"]: row for row in conn.execute(select(deployment)).mappings()}
    wrong = [m for m, said in walk.deployments.items() if m not in stored or not says_the_same(stored[m], said)]
    unmade = [model for model in stored if model not in walk.deployments]
    for model in wrong:
        put_deployment(conn, model, _as_columns(walk.deployments[model]))
    if unmade:
        conn.execute(delete(deployment).where(deployment.c.model.in_(unmade)))
    return sorted(wrong + unmade)


def _as_columns(said: DeploymentRow) -> dict[str, object]:
    return {
        "epoch": said.epoch,
        "state": write_json(said.state, f"state of {said.model}"),
        "state_digest": said.state_digest,
        "changed_by_seq": said.changed_by_seq,
    }
