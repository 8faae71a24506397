"""Looking at a folder that others write to: which entries are deliveries, which are refused, which are left alone.

Nothing is opened here. A name is judged before its file is touched, and only regular files are files: a link could
point anywhere, and opening a FIFO would wait for ever.
"""

import errno
import hashlib
import os
import re
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from retrain_pipeline.lake.declared import CsvSource, ParquetSource
from retrain_pipeline.lake.errors import SourceMissing, SourceRefused, SourceUnsettled
from retrain_pipeline.periods import Calendar, PeriodRefused

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=@ -]{0,198}[A-Za-z0-9_]")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_TEMPORARY = (".tmp", ".part")
_KEY = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?:-\d{2})?(?!\d)")
SUFFIXES = {"csv": (".csv", ".csv.gz"), "parquet": (".parquet",)}


@dataclass(frozen=True)
class Entry:
    """One entry of a folder: `stamp` changes when its bytes do; `rule` and `reason` say why it is not taken."""

    path: Path
    stamp: str
    modified: float
    rule: str = ""
    reason: str = ""
    ignored: bool = False
    declared: bool = False
    """The declaration names this very path, so it may be a link."""

    @property
    def shown(self) -> str:
        """The name, short and printable."""
        name = os.fsencode(self.path.name).decode("utf-8", "backslashreplace")
        return name.encode("unicode_escape").decode("ascii")[:120]


def locate(source: CsvSource | ParquetSource, root: Path) -> Path:
    """Return the path of a declared source.

    Raises
    ------
    SourceMissing
        When nothing is there.
    """
    path = root / source.path
    if not path.exists():
        raise SourceMissing(
            f"data source {source.path!r} does not exist under {root}: put the file or folder there, or correct "
            "the path in the declaration (data.source.path, or data.label.source.path)"
        )
    return path


def look(path: Path, source: CsvSource | ParquetSource) -> list[Entry]:
    """Return the entries of a source: the file itself, or what is in the folder, oldest first; hidden ones left out."""
    if not path.is_dir():
        found = path.stat()
        return [Entry(path, stamp_of(found), found.st_mtime, declared=True)]
    with os.scandir(path) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".") and not entry.name.endswith(_TEMPORARY)]
    folded = Counter(entry.name.casefold() for entry in visible)
    judged = []
    for entry in visible:
        found = entry.stat(follow_symlinks=False)
        rule, reason, ignored = _judge(entry.name, found, source, folded[entry.name.casefold()] > 1)
        judged.append(Entry(path / entry.name, stamp_of(found), found.st_mtime, rule, reason, ignored))
    return sorted(judged, key=lambda entry: (entry.modified, entry.path.name))


def _judge(
    name: str, found: os.stat_result, source: CsvSource | ParquetSource, collides: bool
) -> tuple[str, str, bool]:
    if not stat.S_ISREG(found.st_mode):
        return "not_a_regular_file", "only regular files are read: links, pipes, devices and folders are not", True
    if not _NAME.fullmatch(name) or _DEVICE.fullmatch(name):
        return "name", "use 2 to 200 of A-Z a-z 0-9 . _ + = @ space -, first a letter or digit, no device name", False
    if collides:
        return "name_collision", "another name differs in upper and lower case only: keep one of them", False
    if not name.lower().endswith(SUFFIXES[source.kind]):
        return "suffix", f"a {source.kind} source takes {' and '.join(SUFFIXES[source.kind])} files", True
    return "", "", False


def stamp_of(found: os.stat_result) -> str:
    """Return what changes whenever a file is written, replaced or renamed over."""
    return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_ino}"


def copy_file(entry: Entry, target: Path) -> str:
    """Copy a regular file and return the SHA-256 of the copy.

    Raises
    ------
    SourceUnsettled
        When it changed since it was looked at or while it was copied.
    SourceRefused
        When it is no regular file any more.
    """
    # O_NONBLOCK: should a pipe have taken the file's place, opening it must not wait for a writer.
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if entry.declared else os.O_NOFOLLOW)
    try:
        descriptor = os.open(entry.path, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOENT, errno.ENXIO):
            raise SourceUnsettled(f"{entry.shown} was replaced or removed while it was looked at") from error
        raise
    with os.fdopen(descriptor, "rb") as file, target.open("wb") as copy:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SourceRefused("not_a_regular_file", f"{entry.shown} is no regular file any more")
        digest = hashlib.sha256()
        while block := file.read(4 * 2**20):
            digest.update(block)
            copy.write(block)
        after = stamp_of(os.fstat(descriptor))
    if after != entry.stamp or _stamp_now(entry) != entry.stamp:
        raise SourceUnsettled(f"{entry.shown} changed while it was copied: it is taken when nobody writes to it")
    return digest.hexdigest()


def _stamp_now(entry: Entry) -> str:
    try:
        return stamp_of(os.stat(entry.path, follow_symlinks=entry.declared))
    except FileNotFoundError:
        return "gone"


def period_in_name(name: str, calendar: Calendar) -> str:
    """Return the period whose key a file name carries, or an empty text."""
    for key in _KEY.findall(name):
        try:
            calendar.bounds(key)
        except PeriodRefused:
            continue
        return str(key)
    return ""
