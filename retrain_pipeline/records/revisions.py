"""What a git revision, or the work tree, declares of models: read as text, nothing of it is executed."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrain_pipeline.canonical import sha256
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.learning.environment import git
from retrain_pipeline.spec.decision import Decision, DecisionRefused, read_decisions
from retrain_pipeline.spec.declaration import FILE
from retrain_pipeline.spec.errors import YamlRefused
from retrain_pipeline.spec.yaml import read_yaml

_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./~^@{}+-]{0,199}")
_LARGEST = 1 << 20


class NoSuchRevision(PermanentError):
    """A revision that git does not know, or a folder that is in no repository."""


@dataclass(frozen=True)
class Declared:
    """A model's folder at a revision."""

    attributes: Mapping[str, Any]
    code: Mapping[str, str]
    """Digests of its Python files, by path in the folder."""
    decisions: Mapping[str, Decision]
    """Decision files that read, by name."""
    refused: tuple[str, ...]
    """What does not read, in words."""


def declared_at(folder: Path, revision: str | None) -> dict[str, Declared]:
    """Return the models declared under a folder of a repository, by name.

    Parameters
    ----------
    revision
        As git spells it; None for the work tree.

    Raises
    ------
    NoSuchRevision
        When git does not know it.
    """
    files = _work_tree(folder) if revision is None else _committed(folder, revision)
    homes = sorted({name.rpartition("/")[0] for name in files if name.rpartition("/")[2] == FILE})
    found = dict[str, Declared]()
    for home in homes:
        prefix = f"{home}/" if home else ""
        own = {name.removeprefix(prefix): data for name, data in files.items() if name.startswith(prefix)}
        name, declared = _declared(own)
        found[name or home] = declared
    return found


def check_revision(folder: Path, revision: str) -> str:
    """Return the commit of a revision.

    Raises
    ------
    NoSuchRevision
        When git does not know it.
    """
    known = None
    if _REVISION.fullmatch(revision):
        known = git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if known is None:
        raise NoSuchRevision(f"{revision!r:.120} is no commit that git knows in {folder}; fetch it, or mend the name")
    return known.decode().strip()


def _declared(files: Mapping[str, bytes]) -> tuple[str | None, Declared]:
    refused, attributes = list[str](), dict[str, Any]()
    try:
        document = read_yaml(files[FILE].decode(errors="replace"), FILE)
        found = document.at(("attributes",))
        attributes = dict(found) if isinstance(found, Mapping) else {}
    except YamlRefused as error:
        refused.append(f"{FILE} is refused: {error}")
    code = {name: sha256(data) for name, data in sorted(files.items()) if name.endswith(".py")}
    decisions, bad = _decisions(files)
    name = attributes.get("name")
    refused += [str(one) for one in bad]
    return (name if isinstance(name, str) else None), Declared(attributes, code, decisions, tuple(refused))


def _decisions(files: Mapping[str, bytes]) -> tuple[dict[str, Decision], list[DecisionRefused]]:
    with tempfile.TemporaryDirectory(prefix="retrain-revision-") as place:
        (Path(place) / "decisions").mkdir()
        for name, data in files.items():
            folder, _, file = name.rpartition("/")
            if folder == "decisions" and file.endswith(".md"):
                (Path(place) / "decisions" / file).write_bytes(data)
        found, refused = read_decisions(Path(place))
    return {one.file: one for one in found}, refused


def _wanted(name: str) -> bool:
    return name.endswith((".py", ".md", ".yaml")) and "\n" not in name


def _work_tree(folder: Path) -> dict[str, bytes]:
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if _wanted(name) and file.is_file() and not file.is_symlink() and file.stat().st_size <= _LARGEST:
            found[name] = file.read_bytes()
    return found


def _committed(folder: Path, revision: str) -> dict[str, bytes]:
    commit, found = check_revision(folder, revision), dict[str, bytes]()
    listed = git(folder, "ls-tree", "-r", "-z", "--long", commit, "--", ".") or b""
    for line in listed.decode(errors="replace").split("\0"):
        head, _, name = line.partition("\t")
        parts = head.split()
        # mode, type, object, size: a regular file
        if len(parts) == 4 and parts[0] in ("100644", "100755") and _wanted(name) and int(parts[3]) <= _LARGEST:
            found[name] = git(folder, "cat-file", "blob", parts[2]) or b""
    return found
