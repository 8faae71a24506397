"""What a database error means: wait and try again, mend the machine, or distrust what is stored."""

from typing import TYPE_CHECKING

from retrain_pipeline.errors import RetrainError
from retrain_pipeline.ledger.errors import LedgerDamaged, LedgerUnavailable, LedgerUnusable

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

# https://www.sqlite.org/rescode.html: BUSY, LOCKED, PROTOCOL (a lost race for the write-ahead log).
_SQLITE_WAIT = frozenset({5, 6, 15})
# ERROR (a table or column is gone), CORRUPT, CONSTRAINT (head and chain disagree), NOTADB.
_SQLITE_DAMAGE = frozenset({1, 11, 19, 26})
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRES_WAIT = ("08", "40001", "40P01", "53300", "55P03", "57P01", "57P02", "57P03", "25P03")
_POSTGRES_DAMAGE = ("23", "42P01", "42703", "XX001", "XX002")
# libpq gives a refused log-in no code, only words; anything else that stops a connection may pass.
_REFUSED_LOGIN = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied")


def explain(error: "DBAPIError", place: str) -> RetrainError:
    """Return the error of this project that says what happened, where, and what to do."""
    words = str(error.orig).strip().split("\n")[0]
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return _explain_sqlite(code & 0xFF, words, place)
    state = getattr(error.orig, "sqlstate", None) or ""
    if error.connection_invalidated or state.startswith(_POSTGRES_WAIT):
        return _unavailable(words, place)
    if state.startswith(_POSTGRES_DAMAGE):
        return _damaged(words, place)
    if state or any(phrase in str(error.orig) for phrase in _REFUSED_LOGIN):
        return LedgerUnusable(f"{place}: {words}; mend the log-in, the permission or the disk of the database")
    return _unavailable(words, place)


def _explain_sqlite(code: int, words: str, place: str) -> RetrainError:
    if code in _SQLITE_WAIT:
        return _unavailable(words, place)
    if code in _SQLITE_DAMAGE:
        return _damaged(words, place)
    return LedgerUnusable(f"{place}: {words}; check that the file is there, its permissions and the free space")


def _unavailable(words: str, place: str) -> RetrainError:
    return LedgerUnavailable(f"{place}: {words}; see who holds the lock or whether the database runs, then try again")


def _damaged(words: str, place: str) -> RetrainError:
    return LedgerDamaged(f"{place}: {words}; run verify, and restore the ledger from a backup")
