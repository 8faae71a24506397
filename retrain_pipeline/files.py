"""Files that are private, whole and durable: 0600 in 0700 folders, old bytes or new bytes and never half."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

TEMPORARY_PREFIX = ".tmp-"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power loss (a rename is durable only after this)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_folder(folder: Path) -> None:
    """Create a folder and its missing parents, readable by this user only; folders that exist stay as they are."""
    for one in reversed([folder, *folder.parents]):
        if not one.exists():
            one.mkdir(mode=0o700, exist_ok=True)
            sync_folder(one.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path` at once, as `written_whole` does.

    Raises
    ------
    OSError
        When the disk refuses; what was at `path` before is still there.
    """
    with written_whole(path) as file:
        file.write(data)


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write that is at `path` once all is well: a temporary name in the same folder, fsync, rename,
    fsync of the folder.

    A reader sees what was there before or all that was written. A crash leaves at most a file named ``.tmp-…``; an
    error leaves nothing.

    Raises
    ------
    OSError
        When the disk refuses; what was at `path` before is still there.
    """
    private_folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
