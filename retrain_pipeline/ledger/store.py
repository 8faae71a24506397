"""The ledger: who did what and why, in an order that nobody can quietly change, and who serves whom now."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from retrain_pipeline.ledger.connections import Connections
from retrain_pipeline.ledger.entries import DeploymentRow, Entry, Head, NewEntry, check_entry, write_json
from retrain_pipeline.ledger.errors import EntryRefused
from retrain_pipeline.ledger.keyring import Keyring, read_keyring
from retrain_pipeline.ledger.schema import create, is_ready
from retrain_pipeline.ledger.signing import SigningKey
from retrain_pipeline.ledger.verify import Verification, verify_chain
from retrain_pipeline.names import check_name

if TYPE_CHECKING:
    from retrain_pipeline.ledger.writing import Change


class Ledger:
    """A hash chain of entries and one deployment row a model, in SQLite or PostgreSQL.

    Nothing is opened before the first use, which also creates the tables. One object serves all threads, and a child
    after a fork. Every method waits out a locked or restarting database for `patience_seconds`.

    Parameters
    ----------
    url
        ``sqlite:///<path>`` (taken literally, no query) or ``postgresql+psycopg://user:password@host:port/database``.
    patience_seconds
        How long a method keeps trying when the database is locked, stopped or restarting.
    signing_key
        File of the private key that signs each entry. Default: entries are not signed.
    keyring
        File of the public keys that `verify` believes. Default: none, and a signed entry is a problem.

    Raises
    ------
    LedgerUrlRefused
        For any other URL.
    LedgerUnavailable
        From every method, when patience ran out. Trying again is safe: an entry is never written twice.
    LedgerUnusable, LedgerDamaged, LedgerTooNew
        From every method, when waiting does not help.
    KeyRefused, SignatureNeeded
        From every method that writes: a key that cannot be used, no key where entries are signed.
    """

    def __init__(
        self,
        url: str,
        *,
        patience_seconds: float = 30.0,
        signing_key: Path | None = None,
        keyring: Path | None = None,
    ) -> None:
        self._signer = SigningKey(signing_key) if signing_key else None
        self._keyring = keyring
        self._connections = Connections(url, patience_seconds, lambda conn: is_ready(conn, self.place), create)

    def __repr__(self) -> str:
        return f"Ledger({self.place})"

    @property
    def place(self) -> str:
        """Where the ledger is, without secrets."""
        return self._connections.place

    @property
    def signer(self) -> SigningKey | None:
        """The key that signs entries."""
        return self._signer

    def keyring(self) -> Keyring:
        """Return the public keys that are believed, read now.

        Raises
        ------
        KeyRefused
            When the file is no keyring.
        """
        return read_keyring(self._keyring) if self._keyring else Keyring()

    def append(self, new: NewEntry) -> Entry:
        """Add an entry to the end of the chain; an idempotency key that is there already returns its first entry.

        Raises
        ------
        EntryRefused
            When a text is unprintable or too long, or the payload is no JSON.
        KeyReused
            When the key belongs to another action or model.
        """
        return self._record(new, None)

    def change_deployment(
        self,
        model: str,
        expected_epoch: int,
        state: dict[str, Any],
        new: NewEntry,
        *,
        just_before: Callable[[], None] | None = None,
    ) -> Entry:
        """Change the deployment of a model and record why, or do neither.

        Parameters
        ----------
        model
            Whose deployment.
        expected_epoch
            The epoch of the deployment on which this was decided; 0 before the first.
        state
            The new state, JSON. The entry's payload carries it under ``deployment``, with its digest and epoch.
        new
            The entry. Its `epoch` becomes the new epoch.
        just_before
            Called inside the transaction, when nobody else can write any more and the epoch has been compared: a
            permission that lapses is looked at here. It may read this ledger; what it raises stops the change.

        Raises
        ------
        StaleEpoch
            When somebody else changed the deployment since; the winner's change stands.
        EntryRefused, KeyReused
            As `append`.
        """
        from retrain_pipeline.ledger.writing import Change

        check_name(model, "model")
        if new.model not in (None, model):
            raise EntryRefused(f"the entry is about {new.model}, the deployment is that of {model}")
        if expected_epoch < 0:
            raise EntryRefused(f"expected_epoch {expected_epoch}: epochs count from 0, never deployed")
        change = Change(model, expected_epoch, write_json(state, f"state of {model}"), just_before)
        return self._record(replace(new, model=model), change)

    def deployment(self, model: str) -> DeploymentRow | None:
        """Return the deployment of a model, its state hashed again, or None when it never had one."""
        from retrain_pipeline.ledger.reading import read_deployments

        rows = self._connections.read(lambda conn: read_deployments(conn, model))
        return rows[0] if rows else None

    def deployments(self) -> list[DeploymentRow]:
        """Return the deployments of all models, by name."""
        from retrain_pipeline.ledger.reading import read_deployments

        return self._connections.read(lambda conn: read_deployments(conn, None))

    def entries(
        self,
        *,
        model: str | None = None,
        action: str | Sequence[str] | None = None,
        subject: str | None = None,
        run_id: str | None = None,
        after_seq: int = 0,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Entry]:
        """Return the entries that match all that is given, oldest first, each hashed again."""
        from retrain_pipeline.ledger.reading import read_entries

        equal = {"model": model, "subject": subject, "run_id": run_id}
        return self._connections.read(lambda conn: read_entries(conn, equal, action, after_seq, limit, newest_first))

    def latest(self, model: str, action: str | Sequence[str], subject: str | None = None) -> Entry | None:
        """Return the newest entry of an action about a model (and a subject)."""
        found = self.entries(model=model, action=action, subject=subject, limit=1, newest_first=True)
        return found[0] if found else None

    def latest_by_model(self, action: str) -> dict[str, Entry]:
        """Return the newest entry of an action for every model that has one: one question for a whole fleet."""
        from retrain_pipeline.ledger.reading import read_latest_by_model

        return self._connections.read(lambda conn: read_latest_by_model(conn, action))

    def head(self) -> Head:
        """Return the newest link, ``(seq, sha256)``; kept elsewhere it is an anchor for `verify`."""
        from retrain_pipeline.ledger.reading import read_head

        return self._connections.read(read_head)

    def verify(self, *, anchors: Sequence[tuple[Any, ...]] = ()) -> Verification:
        """Walk the whole chain, streaming, and compare the head, the deployments and the keyring with it.

        Parameters
        ----------
        anchors
            Heads (or `Anchor`) that were kept outside the ledger. Only they can show that the end was cut off together
            with the head row, or that the whole chain was written anew; one with its time also shows an entry that
            came after it and is dated before it.

        Returns
        -------
        Verification
            FAIL with the problems found; INCONCLUSIVE for a ledger without entries.
        """
        keyring = self.keyring()
        return self._connections.read(lambda conn: verify_chain(conn, anchors, keyring))

    def restore_deployments(self, actor: str) -> list[str]:
        """Write the deployment rows anew from the entries, record it, and return the models whose row was wrong.

        Raises
        ------
        LedgerDamaged
            When the chain itself is broken.
        """
        from retrain_pipeline.ledger.restore import restore_rows
        from retrain_pipeline.ledger.writing import locked_head, payload_of, record

        key, keyring = uuid4().hex, self.keyring()

        def work(conn: Any) -> list[str]:
            locked_head(conn)
            models = restore_rows(conn, keyring)
            if models:
                new = NewEntry(actor, "deployments_restored", payload={"models": models})
                check_entry(new)
                record(conn, new, key, payload_of(new, None, self._signer), None, self._signer)
            return models

        return self._connections.write(work)

    def close(self) -> None:
        """Close the connections of this process; the next use opens new ones."""
        self._connections.close()

    def _record(self, new: NewEntry, change: "Change | None") -> Entry:
        from retrain_pipeline.ledger.writing import payload_of, record

        check_entry(new)
        payload = payload_of(new, change, self._signer)
        # Also an entry without a key gets one: when the connection breaks during the commit, nobody knows whether it
        # was done, and the second attempt finds the first by its key.
        key = new.key or uuid4().hex
        return self._connections.write(lambda conn: record(conn, new, key, payload, change, self._signer))
