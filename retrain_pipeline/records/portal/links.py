"""Where each thing of the portal has its page: paths relative to the site's folder."""

import re

from retrain_pipeline.canonical import sha256

_SEGMENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def segment(name: str) -> str:
    """Return a name as a part of a path: itself where it is in our grammar, else a digest of it.

    Examples
    --------
    >>> segment("20250414-a3183f2b"), segment("../etc")
    ('20250414-a3183f2b', 'x-40a3c44a4dca8dd6')
    """
    return name if _SEGMENT.fullmatch(name) else f"x-{sha256(name.encode('utf-8', 'surrogatepass'))[:16]}"


def page_of(model: str, name: str = "index") -> str:
    """Return the path of one of a model's own pages."""
    return f"m/{segment(model)}/{name}.html"


def version_page(model: str, version: str) -> str:
    """Return the path of a version's page."""
    return f"m/{segment(model)}/v/{segment(version)}.html"


def evidence_page(model: str, digest: str) -> str:
    """Return the path of the page of one evidence, whole; its places are anchors (``#/results/3/statistic``)."""
    return f"m/{segment(model)}/e/{digest[:16]}.html"


def record_page(model: str, kind: str, digest: str) -> str:
    """Return the path of a record's page."""
    return f"m/{segment(model)}/r/{segment(kind)}-{digest[:16]}.html"


def moment_page(model: str, seq: int) -> str:
    """Return the path of the page of what was known of a model after an entry of the ledger."""
    return f"m/{segment(model)}/t/{seq}.html"


def chunk_page(model: str, name: str, number: int, of: int) -> str:
    """Return the path of a part of a long list; the last part, the newest, has the list's own name."""
    return page_of(model, name if number == of - 1 else f"{name}-{number + 1}")
