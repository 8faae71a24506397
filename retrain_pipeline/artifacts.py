"""Bytes by their SHA-256: models, evidence, reports. Written once, whole; handed out only with the right digest."""

import errno
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from retrain_pipeline.canonical import canonical_json, parse_json, sha256
from retrain_pipeline.errors import PermanentError, TransientError
from retrain_pipeline.files import TEMPORARY_PREFIX, sync_folder, write_whole

if TYPE_CHECKING:
    from upath import UPath

T = TypeVar("T")

_DIGEST = re.compile(r"[0-9a-f]{64}")
# No writer takes an hour between creating its temporary file and renaming it.
_TEMPORARY_SECONDS = 3600.0
_FRESH_SECONDS = 3600.0
"""An object in an object store that is put again is written again after this time; a sweep takes only older ones."""
_REMOTE = re.compile(r"^(?!file:)[a-z][a-z0-9+.-]+:")

_MENDS = {
    errno.ENOSPC: "free space (or inodes) on its disk",
    errno.EDQUOT: "free space or raise the quota",
    errno.EFBIG: "raise the limit on file sizes",
    errno.EACCES: "give this user the permission",
    errno.EPERM: "give this user the permission",
    errno.EROFS: "mount it writable",
    errno.EIO: "replace the disk",
}


class DigestRefused(PermanentError):
    """A text that is no SHA-256 of 64 lower-case hex digits."""


class ArtifactMissing(PermanentError):
    """No bytes of that digest are here."""


class ArtifactDamaged(PermanentError):
    """The bytes under a digest are others; they are never handed out. Putting the right ones again repairs it."""


class ArtifactsUnreachable(TransientError):
    """The object store does not answer."""


class ArtifactRefused(PermanentError):
    """The disk or the object store refuses to write or read: full, over quota, no permission, broken."""


def check_digest(digest: str) -> str:
    """Return `digest` if it is 64 lower-case hex digits, so that it may become a path.

    Raises
    ------
    DigestRefused
        When it is anything else.
    """
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise DigestRefused(f"artifact digest {digest!r:.80}: expected 64 lower-case hex digits")
    return digest


class Artifacts:
    """A content-addressed store in a folder, or behind any fsspec URL (``s3://…``, ``memory://…``).

    An object lies at ``ab/ab…`` (64 hex digits). In a folder it is private (0600), written to a temporary name, synced
    and renamed; on an object store a put is whole by nature. Whatever is torn nevertheless does not have its digest and
    is refused.

    Parameters
    ----------
    url
        A path or URL.
    storage_options
        Options of the fsspec file system, for example ``endpoint_url`` of an S3; not for a folder.
    """

    def __init__(self, url: str | Path, *, storage_options: dict[str, Any] | None = None) -> None:
        text = str(url)
        self._url, self._options = text, storage_options or {}
        self._folder = None if _REMOTE.match(text) else Path(re.sub(r"^file:(//)?", "", text)).absolute()
        self._remotes: dict[int, UPath] = {}

    def __repr__(self) -> str:
        return f"Artifacts({self._shown(self._url if self._folder is None else str(self._folder))})"

    def put(self, data: bytes) -> str:
        """Store bytes and return their SHA-256. Equal bytes that are there stay; damaged ones are replaced whole.

        Raises
        ------
        ArtifactRefused
            When the disk or the object store refuses; no half-written file is left.
        ArtifactsUnreachable
            When the object store does not answer.
        """
        digest = sha256(data)
        path = self.path(digest)
        self._guarded(path, "written", lambda: self._put(digest, data))
        return digest

    def put_json(self, value: Any) -> str:
        """Store the canonical JSON of a value and return its SHA-256."""
        return self.put(canonical_json(value))

    def get(self, digest: str) -> bytes:
        """Return the bytes, after hashing them again.

        Raises
        ------
        ArtifactMissing, ArtifactDamaged, ArtifactRefused, DigestRefused
            When there are none, others, unreadable ones, or the digest is none.
        ArtifactsUnreachable
            When the object store does not answer.
        """
        path = self.path(digest)
        data = self._guarded(path, "read", lambda: self._read(digest))
        if data is None:
            raise ArtifactMissing(f"{path}: no such artifact; restore the store from a backup or build it anew")
        if sha256(data) != digest:
            raise ArtifactDamaged(f"{path}: {len(data)} bytes with another digest; put the original again to repair it")
        return data

    def get_json(self, digest: str) -> Any:
        """Return the value of stored JSON."""
        return parse_json(self.get(digest))

    def exists(self, digest: str) -> bool:
        """Return whether something is stored under a digest. Only `get` can tell whether it is whole."""
        return self._guarded(self.path(digest), "read", lambda: self._modified(digest)) is not None

    def path(self, digest: str) -> str:
        """Return where the bytes of a digest are (or would be): a path or URL."""
        check_digest(digest)
        base = self._url.rstrip("/") if self._folder is None else str(self._folder)
        return self._shown(f"{base}/{digest[:2]}/{digest}")

    def collect_garbage(self) -> int:
        """Remove temporary files that are older than an hour (a killed writer left them); return how many."""
        if self._folder is None:
            return 0
        oldest = time.time() - _TEMPORARY_SECONDS
        removed = 0
        for file in sorted(self._folder.glob(f"??/{TEMPORARY_PREFIX}*")):
            if _modified_file(file, default=time.time()) < oldest:
                file.unlink(missing_ok=True)
                removed += 1
        return removed

    def remove(self, digest: str) -> bool:
        """Take the bytes of a digest away and return whether there were any; whoever does it has said on record why.

        Raises
        ------
        ArtifactRefused, ArtifactsUnreachable, DigestRefused
            When the disk or object store refuses or does not answer, or the digest is none.
        """
        path = self.path(digest)
        if self._guarded(path, "read", lambda: self._modified(digest)) is None:
            return False
        self._guarded(path, "removed", self._place(digest).unlink)
        return True

    def sweep(self, reachable: Set[str], *, grace_hours: float = 168.0) -> list[str]:
        """Remove objects that nothing refers to and that were put (or put again) longer than `grace_hours` ago.

        Parameters
        ----------
        reachable
            Digests to keep whatever their age.
        grace_hours
            At least 2: bytes are put before the ledger names them, so young ones may be on their way.

        Returns
        -------
        list of str
            Digests that were removed.
        """
        if grace_hours < 2:
            raise ValueError(f"grace_hours {grace_hours}: at least 2, writers need time to name what they put")
        oldest = time.time() - grace_hours * 3600
        removed = []
        for digest in sorted(set(self._digests()) - set(reachable)):
            modified = self._modified(digest)
            if modified is not None and modified < oldest:
                self._guarded(self.path(digest), "removed", self._place(digest).unlink)
                removed.append(digest)
        return removed

    def _put(self, digest: str, data: bytes) -> None:
        place = self._place(digest)
        if self._read(digest) != data:
            self._write(place, data)
        elif isinstance(place, Path):
            # Its writer may still be on the way to its own fsync, and a sweep must see that it is wanted again.
            os.utime(place)
            sync_folder(place.parent)
        elif time.time() - (self._modified(digest) or 0.0) > _FRESH_SECONDS:
            self._write(place, data)  # the only way to tell a sweep of an object store that it is wanted again

    def _write(self, place: "Path | UPath", data: bytes) -> None:
        if isinstance(place, Path):
            write_whole(place, data)
        else:
            place.fs.pipe_file(place.path, data)  # one request, where open() would make three

    def _read(self, digest: str) -> bytes | None:
        place = self._place(digest)
        try:
            return place.read_bytes() if isinstance(place, Path) else bytes(place.fs.cat_file(place.path))
        except FileNotFoundError:
            return None

    def _modified(self, digest: str) -> float | None:
        """Seconds since 1970 of the last put, None when there is no object."""
        place = self._place(digest)
        try:
            if isinstance(place, Path):
                return place.stat().st_mtime
            place.fs.invalidate_cache()  # other processes write too
            # Not UPath.stat: where it does not find a time it says 1970, and a sweep would take the youngest.
            return float(place.fs.modified(place.path).timestamp())
        except FileNotFoundError:
            return None

    def _digests(self) -> Iterator[str]:
        root = self._root()
        if root.exists():
            for folder in root.iterdir():
                yield from (file.name for file in folder.iterdir() if _DIGEST.fullmatch(file.name))

    def _place(self, digest: str) -> "Path | UPath":
        return self._root() / check_digest(digest)[:2] / digest

    def _root(self) -> "Path | UPath":
        if self._folder is not None:
            return self._folder
        # By process: the clients of object stores do not survive a fork.
        if os.getpid() not in self._remotes:
            from upath import UPath

            self._remotes[os.getpid()] = UPath(self._url, **self._options)
        return self._remotes[os.getpid()]

    def _shown(self, text: str) -> str:
        return re.sub(r"//[^/@]*@", "//…@", text)

    def _guarded(self, path: str, done: str, work: Callable[[], T]) -> T:
        try:
            return work()
        except _errors_of_clients()[0] as error:
            raise ArtifactsUnreachable(f"{path}: not {done}: {error}; try again when the store answers") from error
        except _errors_of_clients()[1] as error:
            number, words = getattr(error, "errno", None), getattr(error, "strerror", None) or error
            raise ArtifactRefused(f"{path}: not {done}: {words}; {_MENDS.get(number or 0, 'see its cause')}") from error


def _errors_of_clients() -> tuple[tuple[type[Exception], ...], tuple[type[Exception], ...]]:
    """Return the errors that mean "no answer", and those that mean "no".

    Those of botocore (S3) are no OSErrors; nobody can raise them before it is loaded.
    """
    botocore = sys.modules.get("botocore.exceptions")
    if botocore is None:
        return (ConnectionError, TimeoutError), (OSError,)
    no_answer = (ConnectionError, TimeoutError, botocore.HTTPClientError, botocore.ConnectionError)
    return no_answer, (OSError, botocore.BotoCoreError)


def _modified_file(file: Path, default: float) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # its writer has just finished
        return default
