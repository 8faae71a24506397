"""Open tables, kept for the next reader: opening one reads its whole log, and a period's step opens it dozens of times.

A handle that is kept is one version, and is never written with or moved on. It is handed out again only while the log
file of that version is the very file that it was, and for the newest version while no later one is there: two looks at
the disk in place of reading a log. Tables in object storage are opened each time.
"""

import os
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deltalake import DeltaTable

Identity = tuple[int, int, int, int]
_MOST = 64
"""Handles that a process keeps; each holds the list of its table's files."""
_kept: "OrderedDict[tuple[str, int | None], tuple[DeltaTable, Identity]]" = OrderedDict()
_lock = Lock()


def opened(uri: str, version: int | None, options: "Mapping[str, str]") -> "DeltaTable":
    """Return a table at a version, by default the newest, to be read.

    Raises
    ------
    TableNotFoundError, DeltaError
        As `DeltaTable`.
    """
    from deltalake import DeltaTable

    if options or "://" in uri:
        return DeltaTable(uri, version=version, storage_options=dict(options) or None)
    key = (uri, version)
    with _lock:
        known = _kept.get(key)
        if known is not None:
            _kept.move_to_end(key)
    if known is not None and _is_so_still(uri, version, *known):
        return known[0]
    handle = DeltaTable(uri, version=version)
    identity = _identity(uri, handle.version())
    if identity is not None:  # else a checkpoint has taken the place of its log file
        with _lock:
            _kept[key] = handle, identity
            while len(_kept) > _MOST:
                _kept.popitem(last=False)
    return handle


def _is_so_still(uri: str, version: int | None, handle: "DeltaTable", identity: Identity) -> bool:
    at = handle.version()
    return _identity(uri, at) == identity and (version is not None or _identity(uri, at + 1) is None)


def _identity(uri: str, version: int) -> Identity | None:
    """Return what tells the log file of a version from any other; None when it is not there."""
    try:
        found = os.stat(Path(uri) / "_delta_log" / f"{version:020d}.json")
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
