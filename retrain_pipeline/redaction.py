"""Secrets in what is shown: found by their form, and never shown again.

By form alone, not by what the environment of a process holds: the same record must read the same everywhere.
"""

import re
from typing import Any

SHOWN = "[redacted: {}]"

_FORMS = (
    ("private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.S)),
    ("GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255})")),
    ("GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,255}")),
    ("AWS key id", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    ("Slack token", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,255}")),
    ("Google API key", re.compile(r"\bAIza[A-Za-z0-9_-]{35}")),
    ("API key", re.compile(r"\bsk-[A-Za-z0-9_-]{20,255}")),
    ("Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{30,255}")),
    ("JSON web token", re.compile(r"\beyJ[A-Za-z0-9_-]{10,4096}\.eyJ[A-Za-z0-9_-]{10,4096}\.[A-Za-z0-9_-]{10,1024}")),
)
# What is named as a secret is one whatever its form; what is left is its name.
_NAMED = re.compile(
    r"(?P<name>\b[A-Za-z0-9_.-]{0,60}(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|credential)s?"
    r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?)(?P<value>[^\s\"',;|<>()\[\]{}]{8,4096})",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(?P<name>[a-zA-Z][a-zA-Z0-9+.-]{0,20}://[^/\s:@]{0,255}:)(?P<value>[^/\s@]{1,255})(?=@)")


def redacted(text: str) -> str:
    """Return a text with what looks like a secret left out, and said so.

    Examples
    --------
    >>> print(redacted("postgresql://retrain:hunter2@db/retrain"))
    postgresql://retrain:[redacted: password]@db/retrain
    """
    for kind, form in _FORMS:
        text = form.sub(SHOWN.format(kind), text)
    text = _USERINFO.sub(lambda found: found["name"] + SHOWN.format("password"), text)
    return _NAMED.sub(_named, text)


def redacted_values(value: Any) -> Any:
    """Return JSON values with every text, keys too, as `redacted` gives it."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {redacted(name): _named_value(name, one) for name, one in value.items()}
    return [redacted_values(one) for one in value] if isinstance(value, list | tuple) else value


def _named(found: re.Match[str]) -> str:
    # a digest or a number that stands beside such a name is no secret
    return found[0] if _HARMLESS.fullmatch(found["value"]) else found["name"] + SHOWN.format("value of a secret")


_HARMLESS = re.compile(r"[0-9.+-]+|[0-9a-f]{64}")
_WORD = re.compile(r"[a-z_]+")
_SECRET_NAME = re.compile(
    r"(?:.*[_.-])?(?:password|passwd|secret|token|api_?key|access_?key|credentials?)", re.IGNORECASE
)


def _named_value(name: str, value: Any) -> Any:
    # of a column named token the type is a word, and no secret
    secret = isinstance(value, str) and len(value) >= 8 and _SECRET_NAME.fullmatch(name)
    if secret and not _HARMLESS.fullmatch(value) and not _WORD.fullmatch(value):
        return SHOWN.format("value of a secret")
    return redacted_values(value)
