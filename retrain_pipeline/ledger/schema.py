"""The four tables of the ledger, how they come to be, and how a ledger of format 1 becomes one of format 2."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from retrain_pipeline.ledger.entries import FIRST_PREV
from retrain_pipeline.ledger.errors import LedgerTooNew

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData, Table

SCHEMA_VERSION = 2
"""2 added the table of signatures; an older release would write unsigned entries behind signed ones, and is refused."""
# Any fixed number will do: whoever creates the tables first on PostgreSQL holds this advisory lock.
_CREATION_LOCK = 7_236_428_105


@dataclass(frozen=True)
class Tables:
    """`entry` is the chain, `head` one row that appends lock, `deployment` one row a model, `signature` at most one row
    an entry."""

    metadata: "MetaData"
    entry: "Table"
    head: "Table"
    deployment: "Table"
    signature: "Table"


@cache
def tables() -> Tables:
    """Return the tables. SQLAlchemy comes in here, so that loading a code location does not pay for it."""
    from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

    number = BigInteger().with_variant(Integer, "sqlite")
    metadata = MetaData()
    entry = Table(
        "retrain_entry",
        metadata,
        Column("seq", number, primary_key=True, autoincrement=False),
        Column("prev_sha256", String(64), nullable=False),
        Column("at_utc", Text, nullable=False),
        Column("mono_ns", number, nullable=False),
        Column("actor", Text, nullable=False),
        Column("action", Text, nullable=False),
        Column("model", Text),
        Column("subject", Text),
        Column("payload", Text, nullable=False),
        Column("run_id", Text),
        Column("epoch", number),
        Column("sha256", String(64), nullable=False),
        Column("key", Text, nullable=False, unique=True),
        Index("retrain_entry_model", "model", "action", "seq"),
        Index("retrain_entry_action", "action", "model", "seq"),
        Index("retrain_entry_subject", "subject", "seq"),
        Index("retrain_entry_run", "run_id", "seq"),
    )
    return Tables(metadata, entry, *_state_tables(metadata))


def _state_tables(metadata: "MetaData") -> "tuple[Table, Table, Table]":
    from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, String, Table, Text

    head = Table(
        "retrain_head",
        metadata,
        Column("id", Integer, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
        Column("seq", BigInteger, nullable=False),
        Column("sha256", String(64), nullable=False),
        Column("schema_version", Integer, nullable=False),
    )
    deployment = Table(
        "retrain_deployment",
        metadata,
        Column("model", Text, primary_key=True),
        Column("epoch", BigInteger, nullable=False),
        Column("state", Text, nullable=False),
        Column("state_digest", String(64), nullable=False),
        Column("changed_by_seq", BigInteger, nullable=False),
    )
    # A table of its own: entries of format 1 stay byte for byte what they were.
    signature = Table(
        "retrain_signature",
        metadata,
        Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
        Column("key_id", String(64), nullable=False),
        Column("signature", Text, nullable=False),
    )
    return head, deployment, signature


def is_ready(conn: "Connection", place: str) -> bool:
    """Return whether the ledger has been created, in the format of this version.

    Raises
    ------
    LedgerTooNew
        When a newer version of this project created it.
    """
    from sqlalchemy import inspect, select

    head = tables().head
    if not inspect(conn).has_table(head.name):
        return False
    version = conn.execute(select(head.c.schema_version)).scalar()
    if version is not None and version > SCHEMA_VERSION:
        raise LedgerTooNew(f"{place}: ledger format {version}, this version reads up to {SCHEMA_VERSION}; upgrade it")
    return version == SCHEMA_VERSION


def create(conn: "Connection") -> None:
    """Create what is missing of tables and chain; harmless where all is there, whoever else does it at the same time.

    A ledger of format 1 gets the table of signatures, empty. A chain that lost its head gets no new one.
    """
    from sqlalchemy import func, insert, select, update

    if conn.dialect.name == "postgresql":
        conn.execute(select(func.pg_advisory_xact_lock(_CREATION_LOCK)))
    known = tables()
    known.metadata.create_all(conn)
    has_head = conn.execute(select(known.head.c.id)).first()
    has_entries = conn.execute(select(known.entry.c.seq).limit(1)).first()
    if has_head is None and has_entries is None:
        conn.execute(insert(known.head).values(id=1, seq=0, sha256=FIRST_PREV, schema_version=SCHEMA_VERSION))
    older = known.head.c.schema_version < SCHEMA_VERSION
    conn.execute(update(known.head).where(older).values(schema_version=SCHEMA_VERSION))
