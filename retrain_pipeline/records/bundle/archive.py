"""The file that holds a bundle: a zip archive, written the same from the same bytes, and read without trust."""

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from retrain_pipeline.artifacts import ArtifactMissing, check_digest
from retrain_pipeline.canonical import parse_json, sha256
from retrain_pipeline.records.bundle.manifest import BundleRefused, Item, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold: times of files are no part of a bundle."""
_MODE = 0o100600 << 16
_LARGEST_JSON = 64 * 2**20
_LARGEST = 2**32
"""Bytes of a file that may be asked for whole, whatever an inventory says."""
_CHUNK = 2**20
_UNPACKING = (zipfile.BadZipFile, zlib.error)


class Writer:
    """Adds files to an archive, each once, and keeps the inventory."""

    def __init__(self, file: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(file, "w", compression=zipfile.ZIP_DEFLATED)
        self.inventory: dict[str, Item] = {}

    def add(self, path: str, role: Role, data: bytes) -> None:
        """Add a file; one that is there stays."""
        if path not in self.inventory:
            self.inventory[path] = Item(path=path, role=role, sha256=sha256(data), bytes=len(data))
            self.put(path, data)

    def put(self, path: str, data: bytes) -> None:
        """Write a file that the inventory does not list: the inventory itself, the signature."""
        info = zipfile.ZipInfo(path, _EPOCH)
        info.external_attr, info.create_system, info.compress_type = _MODE, 3, zipfile.ZIP_DEFLATED
        self._zip.writestr(info, data)

    def close(self) -> None:
        """Finish the archive."""
        self._zip.close()


class Reader:
    """Reads files of an archive by name, each no longer than it may be."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._zip = archive
        self.names = [one.filename for one in archive.infolist()]
        self.links = [one.filename for one in archive.infolist() if (one.external_attr >> 16) & 0o170000 == 0o120000]

    def read(self, path: str, most: int = _LARGEST_JSON) -> bytes:
        """Return a file of at most `most` bytes, whatever the archive says of its size.

        Raises
        ------
        BundleRefused
            When it is not there, is longer, or does not unpack.
        """
        return b"".join(self._chunks(path, min(most, _LARGEST)))

    def digest(self, path: str, most: int) -> str:
        """Return the SHA-256 of a file of at most `most` bytes, without holding it.

        Raises
        ------
        BundleRefused
            As `read`.
        """
        found = hashlib.sha256()
        for chunk in self._chunks(path, most):
            found.update(chunk)
        return found.hexdigest()

    def _chunks(self, path: str, most: int) -> Iterator[bytes]:
        left = most
        try:
            with self._zip.open(path) as file:
                while chunk := file.read(min(_CHUNK, left + 1)):
                    left -= len(chunk)
                    if left < 0:
                        raise BundleRefused(f"{path}: longer than the {most} bytes that it may have")
                    yield chunk
        except (KeyError, OSError, EOFError, NotImplementedError, RuntimeError, ValueError, *_UNPACKING) as error:
            raise BundleRefused(f"{path}: not in the archive, or it does not unpack: {error}") from error


@contextmanager
def opened(file: Path) -> Iterator[Reader]:
    """Give the files of an archive.

    Raises
    ------
    BundleRefused
        When it is no zip archive.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            yield Reader(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise BundleRefused(f"{file}: no bundle can be read from it: {error}") from error


class Packed:
    """The artifacts of a bundle, to read as if they lay in a store; what is read has its digest."""

    def __init__(self, reader: Reader, items: "Mapping[str, Item]") -> None:
        self._reader, self._items = reader, items

    def get(self, digest: str) -> bytes:
        """Return the bytes of a digest.

        Raises
        ------
        ArtifactMissing
            When the bundle has none such, or other ones.
        """
        item = self._items.get(check_digest(digest))
        data = self._reader.read(item.path, item.bytes) if item else b""
        if item is None or sha256(data) != digest:
            raise ArtifactMissing(f"{self.path(digest)}: not in the bundle")
        return data

    def get_json(self, digest: str) -> Any:
        """Return the value of packed JSON."""
        return parse_json(self.get(digest))

    def exists(self, digest: str) -> bool:
        """Return whether the inventory lists a digest."""
        return check_digest(digest) in self._items

    def path(self, digest: str) -> str:
        """Return where the bytes of a digest are (or would be)."""
        return f"artifacts/{check_digest(digest)}"
