"""Feature code kept with the versions that it made: an old version's features can be computed on new rows.

Each file is an artifact, and so is the list of names and digests, whose own address is the digest of the code that
manifests name. So a version names its code, and what is read back is what ran.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.learning.team_code import FeatureCode, code_files, code_index, load_features
from retrain_pipeline.spec.model import Features

if TYPE_CHECKING:
    from retrain_pipeline.artifacts import Artifacts


class CodeNotKept(PermanentError):
    """Feature code whose bytes are not in the artifact store: what it would compute cannot be known."""


def keep_code(artifacts: "Artifacts", folder: Path) -> str:
    """Store the ``.py`` files of a model's folder and return their digest, `team_code.code_digest`."""
    files = code_files(folder)
    for data in files.values():
        artifacts.put(data)
    return artifacts.put(code_index(files))


def kept_files(artifacts: "Artifacts", digest: str) -> dict[str, str]:
    """Return the digests of the files of a kept code by name.

    Raises
    ------
    CodeNotKept
        When the code was never stored, or a part of it is gone or damaged.
    """
    try:
        lines = artifacts.get(digest).decode().splitlines()
        files = dict(line.split("\0", 1) for line in lines)
    except (PermanentError, ValueError) as error:
        raise CodeNotKept(
            f"the feature code {digest[:12]} is not in the artifact store: versions keep theirs since this release; "
            "put its files back into a folder and retrain to have it kept"
        ) from error
    for name in files:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or "\\" in name or ".." in parts:
            raise CodeNotKept(f"the feature code {digest[:12]} names a file outside its folder: {name!r:.80}")
    return files


@contextmanager
def kept_code(artifacts: "Artifacts", digest: str, features: Features) -> Iterator[FeatureCode]:
    """Give the feature function of a kept code; its files lie in a temporary folder meanwhile.

    Raises
    ------
    CodeNotKept
        As `kept_files`.
    FeatureCodeRefused
        When it does not load any more, for want of a package say.
    """
    files = kept_files(artifacts, digest)
    with tempfile.TemporaryDirectory(prefix="retrain-code-") as name:
        folder = Path(name)
        for file, content in files.items():
            place = folder.joinpath(*PurePosixPath(file).parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                place.write_bytes(artifacts.get(content))
            except PermanentError as error:
                raise CodeNotKept(f"the feature code {digest[:12]} lacks {file}: {error}") from error
        yield load_features(folder, features)
