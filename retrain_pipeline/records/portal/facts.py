"""What pages of many things need of each stored document, read once and kept by digest between two builds."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.records.audit.fields import filled_fields, record_kinds
from retrain_pipeline.records.portal.prose import sections_of
from retrain_pipeline.records.schemas import by_person

if TYPE_CHECKING:
    from retrain_pipeline.artifacts import Artifacts

_NAME_LIKE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{2,99}")
_FILE = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"[0-9a-f]{40,64}")
_MOST_NAMES = 400
_MOST_TEXT = 6000
_FORMAT = 2
"""Raised when what is kept of a document changes."""


def whose(document: dict[str, Any]) -> dict[str, bool]:
    """Return the filled fields of a record by JSON pointer, and whether people filled each in, as the audit counts.

    Nothing of a kind that this release does not know.
    """
    kind = record_kinds().get(str(document.get("schema")).partition("/")[0])
    return dict(filled_fields(kind, document)) if kind else {}


class Facts:
    """A reader of stored documents that remembers, between builds, what it told of each.

    Parameters
    ----------
    before
        What the last build kept.
    """

    def __init__(self, artifacts: "Artifacts", before: dict[str, Any]) -> None:
        self._artifacts, self._before = artifacts, before
        self._format = f"{_FORMAT}-{digest_of({name: by_person(kind) for name, kind in record_kinds().items()})[:8]}"
        self.used: dict[str, Any] = {}
        """What this build was told: what the next one may have."""

    def document(self, digest: str) -> dict[str, Any]:
        """Return a stored JSON document whole; what cannot be read is told in its field `unreadable`."""
        try:
            found = self._artifacts.get_json(digest)
        except PermanentError as error:
            return {"unreadable": f"{type(error).__name__}: {error}"}
        return found if isinstance(found, dict) else {"value": found}

    def manifest(self, digest: str) -> dict[str, Any]:
        """Return what a version's manifest says of its making."""
        return self._told("manifest", digest, _manifest)

    def evidence(self, digest: str) -> dict[str, Any]:
        """Return what a judgement came to."""
        return self._told("evidence", digest, _evidence)

    def record(self, digest: str) -> dict[str, Any]:
        """Return the short fields of a record, all its text, and whatever in it may be the name of something."""

        def tell(document: dict[str, Any]) -> dict[str, Any]:
            written = " ".join(f"{heading} {text}" for heading, text in self.sections(document))
            told = _record(document)
            return {**told, "text": f"{told['text']} {written}"[:_MOST_TEXT]}

        return self._told("record", digest, tell)

    def sections(self, document: dict[str, Any]) -> list[list[str]]:
        """Return what people wrote in a file that a record names by digest, as (heading, Markdown)."""
        digest = document.get("text")
        if not isinstance(digest, str) or not _FILE.fullmatch(digest):
            return []
        try:
            return sections_of(self._artifacts.get(digest).decode("utf-8", "replace"))
        except PermanentError as error:
            return [["", f"The file cannot be read: {error}"]]

    def declaration(self, digest: str) -> dict[str, Any]:
        """Return what overviews need of a declaration."""
        return self._told("declaration", digest, _declaration)

    def undeclared(self) -> dict[str, Any]:
        """Return what overviews are told where there is no declaration."""
        return _declaration({})

    def changed(self, before: str, after: str, what: str = "") -> list[list[str]]:
        """Return (place, value before, value after) of each field in which two documents differ, places sorted."""
        if before == after:
            return []
        key = digest_of([what, before, after])

        def compare(_: dict[str, Any]) -> dict[str, Any]:
            one, two = self.document(before), self.document(after)
            return {"rows": differences(one.get(what, {}) if what else one, two.get(what, {}) if what else two)}

        rows: list[list[str]] = self._told("changed", key, compare, read=False)["rows"]
        return rows

    def _told(
        self, kind: str, digest: str, tell: Callable[[dict[str, Any]], dict[str, Any]], *, read: bool = True
    ) -> dict[str, Any]:
        key = f"{kind}/{self._format}:{digest}"
        if key not in self.used:
            kept = self._before.get(key)
            if kept is None:
                document = self.document(digest) if read else {}
                kept = document if "unreadable" in document else tell(document)
            if "unreadable" in kept:
                return {**tell({}), **kept}  # not remembered: it may be mended
            self.used[key] = kept
        found: dict[str, Any] = self.used[key]
        return found


def differences(before: Any, after: Any, place: str = "") -> list[list[str]]:
    """Return (place, before, after) of each leaf in which two JSON values differ.

    Examples
    --------
    >>> differences({"a": {"b": 1}, "c": [1]}, {"a": {"b": 2}, "c": [1]})
    [['a.b', '1', '2']]
    """
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted({*before, *after})
        return [
            row
            for name in names
            for row in differences(before.get(name), after.get(name), f"{place}.{name}" if place else str(name))
        ]
    return [[place, _short(before), _short(after)]]


def _short(value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, dict):
        inner = ", ".join(f"{name}: {_short(one)}" for name, one in value.items())
    elif isinstance(value, list):
        inner = ", ".join(_short(one) for one in value)
    else:
        inner = str(value)
    return inner if len(inner) <= 200 else f"{inner[:199]}…"


_OF_MANIFEST = ("candidate", "estimator", "parent", "as_of", "task", "seed", "run_id", "size_bytes")


def _manifest(document: dict[str, Any]) -> dict[str, Any]:
    frozen, window = document.get("training_set") or {}, document.get("window") or {}
    columns = document.get("columns") or {}
    return {
        **{
            name: document.get(name) for name in ("candidate", "estimator", "parent", "as_of", "task", "seed", "run_id")
        },
        "params": {name: str(value) for name, value in sorted((document.get("params") or {}).items())},
        "created_at": document.get("created_at"),
        "spec": document.get("spec_digest"),
        "feature_code": document.get("feature_code_digest"),
        "commit": (document.get("code") or {}).get("commit"),
        "dirty": (document.get("code") or {}).get("dirty"),
        "environment": digest_of(document.get("environment") or {}),
        "features": sorted([*columns.get("numeric", []), *columns.get("categorical", [])]),
        "dropped": columns.get("dropped") or {},
        "rows": window.get("train_rows", frozen.get("train_rows")),
        "from": window.get("train_from", frozen.get("train_from")),
        "until": frozen.get("train_until"),
        "periods": len(frozen.get("periods") or ()),
        "training_set": frozen.get("digest"),
        "model_artifact": document.get("model_artifact"),
        "validation": document.get("validation") or {},
        "trigger": document.get("trigger") or {},
    }


def _evidence(document: dict[str, Any]) -> dict[str, Any]:
    results = document.get("results") or []
    quality: dict[str, Any] = next((one for one in results if one.get("gate") == "quality"), {})
    return {
        **{name: document.get(name) for name in ("verdict", "mode", "champion", "as_of", "policy", "required")},
        "gates": [[one.get("gate"), one.get("verdict"), one.get("words")] for one in results],
        "loss": document.get("validated_loss") or {},
        "interval": quality.get("interval"),
        "rows": (document.get("evaluation") or {}).get("rows"),
        "from": (document.get("evaluation") or {}).get("from"),
        "until": (document.get("evaluation") or {}).get("until"),
        "decisions": document.get("decisions") or {},
        "turning": [one.get("words") for one in document.get("turning") or []],
    }


def _declaration(document: dict[str, Any]) -> dict[str, Any]:
    data, problem = document.get("data") or {}, document.get("problem") or {}
    return {
        "owners": document.get("owners") or [],
        "problem": problem,
        "sources": [(data.get("source") or {}).get("kind") or "unknown"],
        "metric": (problem.get("success") or {}).get("metric"),
        "label": data.get("label") or {},
        "period": (data.get("time") or {}).get("period"),
        "gates": document.get("gates") or {},
        "rollout": document.get("rollout") or {},
    }


def _record(document: dict[str, Any]) -> dict[str, Any]:
    head = {name: value for name, value in document.items() if isinstance(value, str | int | float | bool)}
    return {
        "head": {name: value[:400] if isinstance(value, str) else value for name, value in head.items()},
        "names": sorted(set(_names(document)))[:_MOST_NAMES],
        "text": " ".join(_texts(document))[:_MOST_TEXT],
        "whose": whose(document),
        **({"front": document["front"]} if isinstance(document.get("front"), dict) else {}),
        **{name: document[name] for name in _KEPT if name in document},
    }


_KEPT = (
    "id", "title", "status", "date", "problem_domain", "data_sources", "model_type", "evaluation_criteria", "kind",
    "supersedes", "superseded_by", "review_by", "why_failed", "failed_gates", "lesson", "verdict", "run_id", "version",
    "hypothesis", "outcome", "due", "words", "story", "statement",
)  # fmt: skip
"""Fields that overviews show, whatever the kind of the record."""


def _texts(value: Any) -> list[str]:
    """Return all text in a document but digests, for search."""
    if isinstance(value, dict):
        return [text for one in value.values() for text in _texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) and not _DIGEST.fullmatch(value) else []


def _names(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [name for one in value.values() for name in _names(one)]
    if isinstance(value, list):
        return [name for one in value for name in _names(one)]
    return [value] if isinstance(value, str) and _NAME_LIKE.fullmatch(value) else []
