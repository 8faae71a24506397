"""Where the lake keeps what was delivered: the bytes as they came, and a parquet copy of their rows."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_pipeline.files import private_folder, sync_folder
from retrain_pipeline.lake.tables import Lake

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_AREA = "inbox"
_CHUNK = 4 * 2**20


class Keep:
    """The delivery area of one model, on the storage of the lake."""

    def __init__(self, lake: Lake, model: str) -> None:
        self._files: Any = lake.filesystem(model, _AREA)
        self._folder = None if "://" in lake.url else Path(lake.url).absolute() / model / f"_{_AREA}"

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield a private folder that is gone afterwards; on the disk of the lake when that is a disk."""
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=self._folder) as folder:
            yield Path(folder)

    def has(self, name: str) -> bool:
        """Is a file of this name kept?"""
        import pyarrow.fs

        found = self._files.get_file_info([name])[0].type
        return bool(found == pyarrow.fs.FileType.File)

    def put(self, staged: Path, name: str) -> None:
        """Move a staged file to its name, whole or not at all; a name that is there already is left alone."""
        if self.has(name):
            staged.unlink()
        elif self._folder is not None:
            with staged.open("rb") as file:
                os.fsync(file.fileno())
            target = self._folder / name
            private_folder(target.parent)
            os.replace(staged, target)
            sync_folder(target.parent)
        else:
            with staged.open("rb") as file, self._files.open_output_stream(name) as stream:
                shutil.copyfileobj(file, stream, _CHUNK)
            staged.unlink()

    def fetch(self, name: str, target: Path) -> None:
        """Copy a kept file to a local path."""
        with self._files.open_input_stream(name) as stream, target.open("wb") as file:
            shutil.copyfileobj(stream, file, _CHUNK)

    def parquet(self, name: str) -> "pq.ParquetFile":
        """Open a kept parquet file; pages are checked against their checksums."""
        import pyarrow.parquet as pq

        return pq.ParquetFile(self._files.open_input_file(name), page_checksum_verification=True)
