"""One spelling of JSON (RFC 8785) and one digest (SHA-256, lower-case hex) for everything that is compared."""

import hashlib
import json
from typing import Any

import rfc8785

from retrain_pipeline.errors import PermanentError


class NotCanonical(PermanentError):
    """A value that JSON cannot hold: NaN, infinity, a huge integer, an object."""


def canonical_json(value: Any) -> bytes:
    """Return the RFC 8785 bytes of `value`.

    Raises
    ------
    NotCanonical
        For NaN, infinities, integers beyond 2**53 and anything that is not JSON.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [True, None]})
    b'{"a":[true,null],"b":1}'
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise NotCanonical(f"not canonical JSON: {error}") from error


def parse_json(data: bytes | str) -> Any:
    """Return the value of a JSON text, with NaN and infinities refused.

    Raises
    ------
    NotCanonical
        When the text is not JSON, holds NaN or an infinity, or is nested too deeply.
    """

    def refuse(constant: str) -> Any:
        raise NotCanonical(f"JSON holds {constant}: numbers must be finite")

    try:
        return json.loads(data, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"not JSON: {error}") from error


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of a value."""
    return sha256(canonical_json(value))
