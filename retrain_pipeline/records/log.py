"""The log of a model: every change of its state, searchable, as of any moment; exports that forge nothing."""

import csv
import io
import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from retrain_pipeline.canonical import canonical_json
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.records.history import UnknownVersion, told

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.stores import Stores

COLUMNS = ("seq", "at_utc", "as_of", "action", "subject", "words", "actor", "run_id", "sha256")
FORMATS = ("csv", "jsonl")
# What ends a line or steers a terminal, for some reader or other: C0 and C1 controls, line and paragraph separators,
# and marks that reorder text.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
# How a spreadsheet knows a formula. A tab or blank before it does not hide it.
_FORMULA = re.compile(r"^[\s']*[=+\-@\t\r]")


class ExportRefused(PermanentError):
    """A file that the log cannot be exported to."""


def log(stores: "Stores", model: str, *, grep: str = "", until: datetime | None = None) -> "list[Entry]":
    """Return the entries about a model that hold every word of a search, as of a moment, oldest first.

    Parameters
    ----------
    grep
        Words, of any case; they may stand anywhere in an entry: who, what, about what, reason, digests.

    Raises
    ------
    UnknownVersion
        When the ledger knows nothing of the model.
    """
    entries = stores.ledger.entries(model=model)
    if not entries:
        raise UnknownVersion(f"{model}: the ledger knows nothing of this model; `status` lists those that it knows")
    if until is not None:
        last = max((one.seq for one in entries if datetime.fromisoformat(one.at_utc) <= until), default=0)
        entries = [one for one in entries if one.seq <= last]
    wanted = grep.casefold().split()
    return [one for one in entries if all(word in _text(one) for word in wanted)]


def row(entry: "Entry") -> dict[str, str | int]:
    """Return an entry as one row under `COLUMNS`."""
    values = {**entry.__dict__, "as_of": entry.payload.get("as_of"), "words": told(entry)}
    return {name: "" if values[name] is None else values[name] for name in COLUMNS}


def exported(entries: "Sequence[Entry]", form: str) -> bytes:
    """Return entries as a CSV file or as lines of JSON.

    In CSV a cell that a spreadsheet would take for a formula begins with an apostrophe, and controls are spelt out, so
    that an entry is one line (I34). A line of JSON is canonical, but for controls beyond ASCII, which are spelt as
    ``\\u`` and four digits: no value ends a line or steers a terminal (S11).

    Raises
    ------
    ExportRefused
        When the form is neither ``csv`` nor ``jsonl``.
    """
    if form == "jsonl":
        lines = [canonical_json({**row(one), "payload": one.payload}).decode() for one in entries]
        return "".join(f"{spelt(line)}\n" for line in lines).encode()
    if form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([cell(value) for value in row(one).values()] for one in entries)
        return out.getvalue().encode()
    raise ExportRefused(f"export as {form!r:.20}: end the file's name in {' or '.join('.' + one for one in FORMATS)}")


def cell(value: str | int) -> str | int:
    r"""Return a value for a cell of CSV: text that begins as a formula does is told apart from one.

    Examples
    --------
    >>> [cell(one) for one in ("=cmd|' /C calc'!A0", " +1", "-1", "@x", "\t=1", "a\nb", "plain", -5)]
    ["'=cmd|' /C calc'!A0", "' +1", "'-1", "'@x", "'\\u0009=1", 'a\\u000ab', 'plain', -5]
    """
    if not isinstance(value, str):
        return value
    return f"'{spelt(value)}" if _FORMULA.match(value) else spelt(value)


def spelt(text: str) -> str:
    r"""Return a text with its controls spelt out, so that it is one line to whatever reads it.

    Examples
    --------
    >>> print(spelt("red \x1b[31m\n2 released"))
    red \u001b[31m\u000a2 released
    """
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _text(entry: "Entry") -> str:
    told_of = (entry.at_utc, entry.actor, entry.action, entry.subject or "", entry.run_id or "", told(entry))
    return "\n".join((*told_of, canonical_json(entry.payload).decode())).casefold()
