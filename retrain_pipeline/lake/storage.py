"""Side areas of the lake on the storage of its tables: a file system for a folder or an object-storage URL."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_pipeline.files import private_folder

if TYPE_CHECKING:
    import pyarrow.fs


def open_area(url: str, storage_options: Mapping[str, str]) -> "pyarrow.fs.FileSystem":
    """Return a file system rooted at `url`; a folder is made if it is not there.

    Parameters
    ----------
    storage_options
        As delta-rs takes them; so one set of options reaches tables and side areas.
    """
    import pyarrow.fs

    if "://" in url:
        return pyarrow.fs.PyFileSystem(_handler(url, storage_options))
    private_folder(Path(url).absolute())
    return pyarrow.fs.SubTreeFileSystem(str(Path(url).absolute()), pyarrow.fs.LocalFileSystem())


class _Bytes:
    """A stream of delta-rs, which takes nothing but `bytes`; pyarrow 26 hands it buffers."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def closed(self) -> bool:
        return bool(self._stream.closed)

    def write(self, data: Any) -> int:
        self._stream.write(bytes(data))
        return len(data)


def _handler(url: str, storage_options: Mapping[str, str]) -> Any:
    import pyarrow as pa
    from deltalake.fs import DeltaStorageHandler

    class Handler(DeltaStorageHandler):
        def open_output_stream(self, path: str, metadata: Any = None) -> pa.PythonFile:
            return pa.PythonFile(_Bytes(self._handler.open_output_stream(path, metadata)), "w")

    return Handler(url, dict(storage_options) or None)
