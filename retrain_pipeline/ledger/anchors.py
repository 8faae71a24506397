"""Anchors: the head of the chain, kept where whoever can write the database cannot write.

A hash chain alone does not show that its end was cut off together with the head row, nor that all of it was written
anew. A head that was kept elsewhere does: the chain must still pass through it.
"""

import os
import subprocess  # nosec B404
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from retrain_pipeline.canonical import NotCanonical, canonical_json, parse_json
from retrain_pipeline.files import private_folder, sync_folder
from retrain_pipeline.ledger.errors import AnchorRefused

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger

SCHEMA = "anchor/1"
TAGS = "refs/tags/retrain-ledger/"
"""Git tags of anchors: ``retrain-ledger/<seq>-<12 hex>``, annotated with the anchor as JSON."""

_HEX = frozenset("0123456789abcdef")


class Anchor(NamedTuple):
    """A head, and when it was kept."""

    seq: int
    sha256: str
    at_utc: str = ""

    def line(self) -> bytes:
        """Return the anchor as one line of canonical JSON."""
        return canonical_json({"schema": SCHEMA, **self._asdict()}) + b"\n"


def parse_anchor(text: str, where: str) -> Anchor:
    """Return the anchor of a line.

    Raises
    ------
    AnchorRefused
        When the line is none: a damaged anchor proves nothing, and must not pass for one that holds.
    """
    try:
        found = parse_json(text)
        seq, sha256, at_utc = found["seq"], found["sha256"], found["at_utc"]
        moment = datetime.fromisoformat(at_utc)
        whole = found["schema"] == SCHEMA and isinstance(seq, int) and seq > 0 and moment.tzinfo is not None
        if whole and isinstance(sha256, str) and len(sha256) == 64 and set(sha256) <= _HEX:
            return Anchor(seq, sha256, at_utc)
    except (NotCanonical, KeyError, TypeError, ValueError):
        pass
    raise AnchorRefused(f"{where}: {text.strip()!r:.120} is no anchor; take the file from where its copies are kept")


def read_anchors(file: Path) -> list[Anchor]:
    """Return the anchors of a file, one a line.

    Raises
    ------
    AnchorRefused
        When the file is missing or empty, or a line is no anchor.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AnchorRefused(f"{file}: {error}; `retrain ledger anchor --to {file}` makes it") from error
    anchors = [parse_anchor(line, f"{file}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not anchors:
        raise AnchorRefused(f"{file}: no anchor in it, so it proves nothing; `retrain ledger anchor --to {file}`")
    return anchors


def read_git_anchors(repository: Path) -> list[Anchor]:
    """Return the anchors in the tags of a git repository.

    Raises
    ------
    AnchorRefused
        When there is no repository, no anchor in it, or a tag that is none.
    """
    names = _git(repository, "for-each-ref", "--format=%(refname)", TAGS).split()
    if not names:
        raise AnchorRefused(f"{repository}: no tag under {TAGS}; `retrain ledger anchor --git` makes one")
    texts = ((name, _git(repository, "for-each-ref", "--format=%(contents:subject)", name)) for name in names)
    return sorted(parse_anchor(text, name) for name, text in texts)


def anchor_to_file(ledger: "Ledger", file: Path) -> Anchor:
    """Append the head to a file, durably, and return it; a head that is there already is not written twice.

    Raises
    ------
    AnchorRefused
        When the ledger has no entry, or does not pass through the anchors that the file has: a rewritten chain gets
        no fresh anchor to hide behind.
    """
    earlier = read_anchors(file) if file.exists() and file.stat().st_size else []
    anchor = _anchor(ledger, earlier, str(file))
    if (anchor.seq, anchor.sha256) in {one[:2] for one in earlier}:
        return anchor
    private_folder(file.absolute().parent)
    with os.fdopen(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "wb") as out:
        out.write(anchor.line())
        out.flush()
        os.fsync(out.fileno())
    sync_folder(file.absolute().parent)
    return anchor


def anchor_to_git(ledger: "Ledger", repository: Path) -> tuple[Anchor, str]:
    """Keep the head in an annotated tag of a git repository, and return it with the tag's name.

    The tag protects from the moment that it is pushed to where the database's administrators cannot delete it.

    Raises
    ------
    AnchorRefused
        As `anchor_to_file`; also when there is no repository or it has no commit.
    """
    names = _git(repository, "for-each-ref", "--format=%(refname)", TAGS).split()
    anchor = _anchor(ledger, read_git_anchors(repository) if names else [], str(repository))
    tag = f"{TAGS.removeprefix('refs/tags/')}{anchor.seq}-{anchor.sha256[:12]}"
    if f"refs/tags/{tag}" not in names:
        who = ("-c", "user.name=retrain ledger", "-c", "user.email=retrain@localhost")
        _git(repository, *who, "tag", "--no-sign", "-a", "-m", anchor.line().decode().strip(), tag, "HEAD")
    return anchor, tag


def _anchor(ledger: "Ledger", earlier: list[Anchor], where: str) -> Anchor:
    head = ledger.head()
    if head.seq == 0:
        raise AnchorRefused(f"{ledger.place}: no entry yet, so there is nothing to anchor")
    for kept in earlier:
        found = ledger.entries(after_seq=kept.seq - 1, limit=1)
        if not found or (found[0].seq, found[0].sha256) != (kept.seq, kept.sha256):
            raise AnchorRefused(
                f"{where}: the ledger does not pass through its anchor of entry {kept.seq}, so it gets no new one; "
                "run retrain ledger verify with these anchors"
            )
    return Anchor(head.seq, head.sha256, datetime.now(UTC).isoformat(timespec="seconds"))


def _git(repository: Path, *arguments: str) -> str:
    environment: dict[str, Any] = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        # By a list of arguments, never through a shell.
        done = subprocess.run(  # noqa: S603 # nosec B603 B607
            ["git", "-C", str(repository), *arguments],  # noqa: S607
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
            env=environment,
        )
    except subprocess.CalledProcessError as error:
        raise AnchorRefused(f"{repository}: git {arguments[0]}: {error.stderr.strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AnchorRefused(f"{repository}: git: {error}") from error
    return done.stdout
