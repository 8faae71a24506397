"""Attacks on a copy of a ledger, each really done by somebody who may write the database and knows the format.

The copy is a SQLite file in a scratch folder; the last entries in it are made for the demonstration and signed with a
key that nobody keeps. What verification says of each attacked copy is the result.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_pipeline.ledger.anchors import Anchor
from retrain_pipeline.ledger.entries import SIGNED_BY, NewEntry, chain_digest
from retrain_pipeline.ledger.keyring import Keyring, write_keyring
from retrain_pipeline.ledger.schema import tables
from retrain_pipeline.ledger.signing import PublicKey, new_private_key
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.ledger.verify import Verification
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import sqlite3

ACTOR = "demo-tamper"


@dataclass(frozen=True)
class Attack:
    """One way to falsify a record."""

    name: str
    what: str
    do: "Callable[[sqlite3.Connection], None]"


@dataclass(frozen=True)
class Outcome:
    """What verification said of an attacked copy."""

    attack: Attack
    alone: Verification
    """By the database alone, with the keyring."""
    anchored: Verification
    """With the head that was kept before the attack."""

    @property
    def caught_by(self) -> str:
        """Which check found it; empty when none did."""
        if self.alone.verdict is Verdict.FAIL:
            return "signatures" if any("sign" in problem for problem in self.alone.problems[:1]) else "chain"
        return "anchor" if self.anchored.verdict is Verdict.FAIL else ""

    @property
    def words(self) -> str:
        """The first problem that was found."""
        return next(iter([*self.alone.problems, *self.anchored.problems]), "")


def attack_copies(ledger: Ledger, scratch: Path) -> tuple[Verification, list[Outcome]]:
    """Copy a ledger, verify the copy, and attack further copies; return what verification said of each.

    Parameters
    ----------
    scratch
        An empty folder. The ledger itself is only read.
    """
    whole = scratch / "whole.db"
    keyring = _copy(ledger, whole)
    copied = Ledger(f"sqlite:///{whole}", keyring=keyring)
    control = copied.verify()
    head = copied.head()
    copied.close()
    anchor = Anchor(head.seq, head.sha256, datetime.now(UTC).isoformat(timespec="seconds"))
    return control, [_attacked(one, scratch, keyring, anchor) for one in ATTACKS]


def _copy(ledger: Ledger, target: Path) -> Path:
    """Copy the rows of all tables, and append signed entries; return the keyring of the copy."""
    from sqlalchemy import insert, select, update

    known = (tables().entry, tables().signature, tables().deployment)
    source = ledger._connections
    rows = source.read(lambda conn: [[dict(row) for row in conn.execute(select(t)).mappings()] for t in known])
    head = ledger.head()
    key = new_private_key(target.parent / "scratch.pem")
    kept = ledger.keyring().keys
    keyring = target.parent / "keyring.json"
    write_keyring(keyring, Keyring((*kept, PublicKey("scratch", f"person:{ACTOR}", key.public))))
    copy = Ledger(f"sqlite:///{target}", signing_key=key.file, keyring=keyring)

    def fill(conn: Any) -> None:
        for table, found in zip(known, rows, strict=True):
            for at in range(0, len(found), 100):
                conn.execute(insert(table), found[at : at + 100])
        conn.execute(update(tables().head).values(seq=head.seq, sha256=head.sha256))

    copy._connections.write(fill)
    for number in range(1, 5):
        copy.append(NewEntry(ACTOR, "demonstrated", payload={"number": number}))
    copy.close()
    return keyring


def _attacked(attack: Attack, scratch: Path, keyring: Path, anchor: Anchor) -> Outcome:
    import sqlite3

    file = scratch / "attacked.db"
    shutil.copyfile(scratch / "whole.db", file)
    with closing(sqlite3.connect(file)) as conn, conn:
        conn.row_factory = sqlite3.Row
        attack.do(conn)
    ledger = Ledger(f"sqlite:///{file}", keyring=keyring)
    outcome = Outcome(attack, ledger.verify(), ledger.verify(anchors=[anchor]))
    ledger.close()
    for left in scratch.glob("attacked.db*"):
        left.unlink()
    return outcome


def _last(conn: "sqlite3.Connection") -> int:
    return int(conn.execute("SELECT max(seq) FROM retrain_entry").fetchone()[0])


def _row(conn: "sqlite3.Connection", seq: int) -> dict[str, Any]:
    return dict(conn.execute("SELECT * FROM retrain_entry WHERE seq = ?", (seq,)).fetchone())


def _put(conn: "sqlite3.Connection", row: dict[str, Any]) -> str:
    """Write an entry with a digest that fits."""
    row = {**row, "sha256": chain_digest(row)}
    columns = ", ".join(row)
    marks = ", ".join(f":{name}" for name in row)
    conn.execute(f"INSERT OR REPLACE INTO retrain_entry ({columns}) VALUES ({marks})", row)  # noqa: S608
    return str(row["sha256"])


def _set_head(conn: "sqlite3.Connection", seq: int, sha256: str) -> None:
    conn.execute("UPDATE retrain_head SET seq = ?, sha256 = ?", (seq, sha256))


def _edit(conn: "sqlite3.Connection") -> None:
    conn.execute("UPDATE retrain_entry SET actor = 'person:eve' WHERE seq = ?", (_last(conn) - 2,))


def _edit_and_rehash(conn: "sqlite3.Connection") -> None:
    _put(conn, {**_row(conn, _last(conn) - 2), "actor": "person:eve"})


def _delete(conn: "sqlite3.Connection") -> None:
    conn.execute("DELETE FROM retrain_entry WHERE seq = ?", (_last(conn) - 2,))


def _swap(conn: "sqlite3.Connection") -> None:
    last = _last(conn)
    for seq, to in ((last - 1, -1), (last - 2, last - 1), (-1, last - 2)):
        conn.execute("UPDATE retrain_entry SET seq = ? WHERE seq = ?", (to, seq))


def _double(conn: "sqlite3.Connection") -> None:
    last = _row(conn, _last(conn))
    _put(conn, {**last, "seq": last["seq"] + 1, "prev_sha256": last["sha256"], "key": "copy"})


def _truncate(conn: "sqlite3.Connection") -> None:
    last = _last(conn)
    conn.execute("DELETE FROM retrain_entry WHERE seq = ?", (last,))
    conn.execute("DELETE FROM retrain_signature WHERE seq = ?", (last,))
    _set_head(conn, last - 1, _row(conn, last - 1)["sha256"])


def _unsigned(conn: "sqlite3.Connection", row: dict[str, Any]) -> dict[str, Any]:
    """Return an entry that does not say who signs it, its signature deleted."""
    from retrain_pipeline.canonical import canonical_json, parse_json

    conn.execute("DELETE FROM retrain_signature WHERE seq = ?", (row["seq"],))
    payload = {name: value for name, value in parse_json(row["payload"]).items() if name != SIGNED_BY}
    return {**row, "payload": canonical_json(payload).decode()}


def _fork(conn: "sqlite3.Connection") -> None:
    """Another last entry in place of the last, as if the first had never been."""
    last = _unsigned(conn, _row(conn, _last(conn)))
    _set_head(conn, last["seq"], _put(conn, {**last, "actor": "person:eve"}))


def _rewrite(conn: "sqlite3.Connection") -> None:
    """Every entry anew, without signatures, each with the digest that fits."""
    before = None
    for (seq,) in conn.execute("SELECT seq FROM retrain_entry ORDER BY seq").fetchall():
        row = _unsigned(conn, _row(conn, seq))
        before = _put(conn, row if before is None else {**row, "prev_sha256": before, "mono_ns": row["mono_ns"] + 1})
    _set_head(conn, _last(conn), before or "")


def _back_date(conn: "sqlite3.Connection") -> None:
    """A new entry that claims to be of last month."""
    last = _row(conn, _last(conn))
    past = (datetime.now(UTC) - timedelta(days=30)).isoformat(timespec="microseconds")
    new = {**last, "seq": last["seq"] + 1, "prev_sha256": last["sha256"], "at_utc": past, "key": "late"}
    _set_head(conn, new["seq"], _put(conn, {**new, "payload": "{}", "actor": "person:eve"}))


def _strip(conn: "sqlite3.Connection") -> None:
    conn.execute("DELETE FROM retrain_signature")


def _downgrade(conn: "sqlite3.Connection") -> None:
    conn.execute("DROP TABLE retrain_signature")
    conn.execute("UPDATE retrain_head SET schema_version = 1")


def _other_signature(conn: "sqlite3.Connection") -> None:
    conn.execute("UPDATE retrain_signature SET key_id = ?", ("0" * 32,))


def _serve(conn: "sqlite3.Connection") -> None:
    state = json.dumps({"champion": "eve"}, separators=(",", ":"))
    conn.execute("INSERT OR REPLACE INTO retrain_deployment VALUES ('demo', 1, ?, ?, 1)", (state, "0" * 64))


ATTACKS = (
    Attack("edit", "another actor in an entry", _edit),
    Attack("edit, digest fits", "the same, its digest computed anew", _edit_and_rehash),
    Attack("delete", "an entry from the middle", _delete),
    Attack("reorder", "two entries swapped", _swap),
    Attack("duplicate", "the last entry again", _double),
    Attack("truncate", "the end cut off, its head row and signature with it", _truncate),
    Attack("fork", "another last entry, head row fits", _fork),
    Attack("rewrite", "every entry anew, all digests fit, no signatures", _rewrite),
    Attack("back-date", "an unsigned entry of last month at the end", _back_date),
    Attack("strip", "all signatures deleted", _strip),
    Attack("downgrade", "format 1, which knows no signatures", _downgrade),
    Attack("unknown key", "signatures by a key that nobody knows", _other_signature),
    Attack("deployment", "another champion written past the ledger", _serve),
)
