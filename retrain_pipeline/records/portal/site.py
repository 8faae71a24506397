"""The folder of a portal: pages written whole, only those that changed; nothing else in it is touched or left over."""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrain_pipeline.canonical import sha256
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.files import TEMPORARY_PREFIX

STATE = "portal.json"
"""Names the pages of a portal, each with the digest of what it is made from and of its bytes."""
FORMAT = "portal/1"
_FACTS = "portal-facts.json"
_OURS = ("m", "static")
"""Folders in which nothing lies but pages of ours."""


class PortalRefused(PermanentError):
    """A folder that is no place for a portal: it holds something else."""


@dataclass(frozen=True)
class Page:
    """A file of the site: where it is, the digest of all that it is made from, and how it is made."""

    path: str
    inputs: str
    make: Callable[[], bytes]


@dataclass(frozen=True)
class Written:
    """What a build did to the folder."""

    pages: int
    made: int
    removed: int


class Site:
    """A folder that is empty or holds a portal.

    Raises
    ------
    PortalRefused
        When it holds anything else: a build removes files, and must not remove yours.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._before: dict[str, list[str]] = {}
        self.facts: dict[str, Any] = {}
        """What the last build read from the stores, by digest; it need not be read again."""
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise PortalRefused(f"{self.folder}: is a file; name a folder that is empty, new, or a portal")
        if any(True for _ in self.folder.iterdir()):
            state = _read(self.folder / STATE)
            if state.get("schema") != FORMAT:
                words = f"holds something that is no portal (no {STATE} of format {FORMAT})"
                raise PortalRefused(f"{self.folder}: {words}; name a folder that is empty, new, or a portal")
            self._before = state["pages"]
            self.facts = _read(self.folder / _FACTS).get("facts", {})

    def write(self, pages: list[Page], facts: dict[str, Any]) -> Written:
        """Write the pages whose inputs or bytes are not what they were, remove those that are gone, and say how many.

        The state is written last: a build that dies is done again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        # Before anything else, so that a first build that dies leaves a folder that is known as a portal.
        if not (self.folder / STATE).exists():
            self._put(STATE, _state({}))
        known, made = dict[str, list[str]](), 0
        for page in pages:
            if page.path in known:
                raise PortalRefused(f"two pages want {page.path}")
            before = self._before.get(page.path)
            if before is not None and before[0] == page.inputs and self._holds(page.path, before[1]):
                known[page.path] = before
                continue
            data = page.make()
            self._put(page.path, data)
            known[page.path] = [page.inputs, sha256(data)]
            made += 1
        removed = self._sweep(set(known))
        self._put(_FACTS, json.dumps({"facts": facts}, sort_keys=True).encode())
        self._put(STATE, _state(known))
        return Written(len(pages), made, removed)

    def _holds(self, path: str, digest: str) -> bool:
        try:
            return sha256((self.folder / path).read_bytes()) == digest
        except OSError:
            return False

    def _put(self, path: str, data: bytes) -> None:
        """Write a file at once. A power cut may lose it, and the next build finds that out: no fsync for each."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o644)  # nosec B103 - a site that others may read
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _sweep(self, known: set[str]) -> int:
        """Remove what is not of this build from the folders that are all ours, and what builds that died left."""
        removed = 0
        for name in _OURS:
            # from the leaves up: a folder that gets empty goes, too
            for folder, folders, files in os.walk(self.folder / name, topdown=False):
                here = Path(folder).relative_to(self.folder).as_posix()
                gone = [file for file in files if f"{here}/{file}" not in known]
                for file in gone:
                    (Path(folder) / file).unlink(missing_ok=True)
                removed += len(gone)
                if len(gone) == len(files) and not any((Path(folder) / one).exists() for one in folders):
                    Path(folder).rmdir()
        for left in self.folder.glob(f"{TEMPORARY_PREFIX}*"):
            left.unlink(missing_ok=True)
        return removed


def _state(pages: dict[str, list[str]]) -> bytes:
    return json.dumps({"schema": FORMAT, "pages": pages}, sort_keys=True, indent=0).encode()


def _read(file: Path) -> dict[str, Any]:
    """Return what a file of ours holds; what does not read counts as nothing."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
