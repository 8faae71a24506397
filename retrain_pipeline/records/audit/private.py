"""Personal data where it does not belong: e-mail addresses and payment cards in free text. Told redacted."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.records.audit.references import is_digest

if TYPE_CHECKING:
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

MAX_ROWS = 20_000
"""Rows of the newest period that are looked at."""
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})*\.[A-Za-z]{2,24}(?![\w-])")
# The lengths and first digits that card issuers have; a digit, a letter or a point before it makes it another number.
_CARD = re.compile(r"(?<![\w.])(?:\d[ -]?){12,18}\d(?![\w])(?!\.\d)")
_ISSUED = re.compile(r"4\d{12}|4\d{15}|4\d{18}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[068]\d{12}|6\d{15}")


@dataclass(frozen=True)
class Private:
    """One find: of what kind, where, and a sample that says no more than it must."""

    kind: str
    place: str
    sample: str


def found_in(text: str, place: str, allowed: Iterable[str] = ()) -> Iterator[Private]:
    """Yield e-mail addresses and card numbers of a text, redacted; those that are declared (owners) are left out.

    Examples
    --------
    >>> [one.sample for one in found_in("ask ann.doe@example.org, card 4111 1111 1111 1111", "note")]
    ['a…@…', '4… (16 digits)']
    >>> list(found_in("loss 4111111111111112, 0.4111111111111111", "note"))
    []
    """
    known = {one.casefold() for one in allowed}
    for match in _EMAIL.finditer(text):
        if match[0].casefold() not in known:
            yield Private("e-mail", place, f"{match[0][0]}…@…")
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _ISSUED.fullmatch(digits) and luhn(digits):
            yield Private("payment card", place, f"{digits[0]}… ({len(digits)} digits)")


def luhn(digits: str) -> bool:
    """Return whether the check digit is right.

    Examples
    --------
    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    doubled = [int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield every text of JSON values with its place, digests left out."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from texts(one, f"{place}/{name}")
            yield from texts(name, place)
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from texts(one, f"{place}/{at}")
    elif isinstance(value, str) and not is_digest(value):
        yield value, place


def in_rows(stores: "Stores", spec: "ModelSpec") -> tuple[int, list[Private]]:
    """Return how many text columns of the newest raw period were looked at, and one find a column and kind."""
    periods = stores.lake.periods(spec.name, "raw")
    if not periods:
        return 0, []
    rows = stores.lake.read(spec.name, "raw", periods=periods[-1:]).head(MAX_ROWS)
    found: dict[tuple[str, str], Private] = {}
    columns = [name for name in rows.columns if not str(name).startswith("_") and not _is_number(rows[name].dtype)]
    for name in columns:
        for text in rows[name].dropna().astype(str).unique():
            for one in found_in(text, f"raw {periods[-1]}, column {name}"):
                found.setdefault((name, one.kind), one)
    return len(columns), list(found.values())


def _is_number(dtype: Any) -> bool:
    from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

    return bool(is_numeric_dtype(dtype) or is_bool_dtype(dtype) or is_datetime64_any_dtype(dtype))
