"""One spelling of JSON (RFC 8785) and one digest (SHA-256, lower-case hex) for everything that is compared."""

import hashlib
import json
import math
from typing import Any

import rfc8785

from retrain_pipeline.errors import PermanentError

_EXACT = 2**53  # beyond it a JSON number is not exact


class NotCanonical(PermanentError):
    """A value that JSON cannot hold: NaN, infinity, a huge integer, an object, half of a surrogate pair."""


def canonical_json(value: Any) -> bytes:
    """Return the RFC 8785 bytes of `value`.

    Raises
    ------
    NotCanonical
        For NaN, infinities, integers beyond 2**53, text that is not Unicode and anything that is not JSON.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [True, None]})
    b'{"a":[true,null],"b":1}'
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise NotCanonical(f"not canonical JSON: {error}") from error


def parse_json(data: bytes | str) -> Any:
    """Return the value of a JSON text, with NaN and infinities refused.

    Canonical text comes back as a value that has the same canonical text: RFC 8785 spells the float 1e20 as an
    integer and refuses integers beyond 2**53, so those come back as floats.

    Raises
    ------
    NotCanonical
        When the text is not JSON, holds NaN, an infinity or a number beyond all floats, or is nested too deeply.

    Examples
    --------
    >>> parse_json('{"loss":100000000000000000000,"rows":3}')
    {'loss': 1e+20, 'rows': 3}
    """
    try:
        return json.loads(data, parse_constant=_refuse, parse_float=_finite, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"not JSON: {error}") from error


def _refuse(constant: str) -> Any:
    raise NotCanonical(f"JSON holds {constant:.40}: numbers must be finite")


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse(digits)


def _integer(digits: str) -> int | float:
    # Python refuses to read integers of thousands of digits, and these few are all that can be exact.
    exact = len(digits) <= len(f"-{_EXACT}") and abs(int(digits)) < _EXACT
    return int(digits) if exact else _finite(digits)


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of a value."""
    return sha256(canonical_json(value))
