"""What can go wrong with the ledger, and who can mend it."""

from retrain_pipeline.errors import PermanentError, TransientError


class LedgerUrlRefused(PermanentError):
    """A URL that names no ledger: it is neither a SQLite file nor a PostgreSQL database."""


class EntryRefused(PermanentError):
    """An entry that the ledger does not take: an unprintable or oversized text, a reserved word, no JSON."""


class KeyReused(PermanentError):
    """An idempotency key that already belongs to another kind of entry."""


class StaleEpoch(PermanentError):
    """A change that was decided on an older deployment than the current one; somebody else was first."""

    def __init__(self, model: str, expected: int, found: int) -> None:
        super().__init__(
            f"deployment of {model}: decided at epoch {expected}, now at epoch {found}; "
            "read the deployment again and decide anew"
        )
        self.model, self.expected, self.found = model, expected, found


class LedgerDamaged(PermanentError):
    """What is stored contradicts itself; `verify` says where."""


class LedgerTooNew(PermanentError):
    """A ledger that a newer version of this project wrote."""


class LedgerUnusable(PermanentError):
    """The database refuses for a reason that waiting does not mend: permission, a full disk, credentials."""


class KeyRefused(PermanentError):
    """A key file or keyring that cannot be used: missing, readable by others, not Ed25519, ambiguous."""


class SignatureNeeded(PermanentError):
    """An unsigned entry for a ledger whose entries are signed."""


class AnchorRefused(PermanentError):
    """An anchor that cannot be read or kept, or that the ledger contradicts."""


class LedgerUnavailable(TransientError):
    """The database stayed locked or unreachable for as long as we were told to be patient."""
