"""What surrounded a training: the code's revision and the environment, as facts that can be compared later."""

import functools
import os
import platform
import re
import subprocess  # nosec B404
import sys
from pathlib import Path

from retrain_pipeline.canonical import canonical_json, digest_of, sha256
from retrain_pipeline.strict import Strict

_CODE = (".py", ".yaml", ".yml", ".toml", ".sql")
_LOCK = Path("requirements") / "run.txt"
IMAGE_VARIABLE = "DAGSTER_CURRENT_IMAGE"
"""Where Dagster's launchers for containers say which image a process runs in."""


class CodeRevision(Strict):
    """The commit of the work tree, and what differs from it. Without git all three are null."""

    commit: str | None
    dirty: bool | None
    diff_digest: str | None
    """SHA-256 of the patch that, on top of the commit, is the code that ran; null when the tree is clean."""


class Environment(Strict):
    """Where a model was trained. `lock_digest` is of the lock file, or of the installed packages when there is none:
    of `lock_text`, either way.
    """

    lock_digest: str
    python: str
    platform: str
    cpu: str
    cores: int
    threads: int
    packages: dict[str, str]
    image: str | None = None
    """The container image that the process says it runs in (`IMAGE_VARIABLE`); None outside of one."""

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: equal environments have equal digests."""
        return digest_of(self.model_dump(mode="json", exclude_none=True))  # as before there was an image


def environment(threads: int = 1, root: Path | None = None) -> Environment:
    """Return the environment of this process.

    Parameters
    ----------
    threads
        Threads that a fit may use.
    root
        Folder with ``requirements/run.txt``; default: the folder that holds the `retrain_pipeline` package.
    """
    packages = dict(_installed())
    return Environment(
        lock_digest=sha256(lock_text(root)),
        python=platform.python_version(),
        platform=f"{platform.system()}-{platform.machine()}-{'-'.join(platform.libc_ver())}".rstrip("-"),
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        threads=threads,
        packages=packages,
        image=os.environ.get(IMAGE_VARIABLE) or None,
    )


def lock_text(root: Path | None = None) -> bytes:
    """Return what an environment is made again from: the lock file, else the installed packages as canonical JSON."""
    lock = (root or Path(__file__).parents[2]) / _LOCK
    return lock.read_bytes() if lock.is_file() else canonical_json(dict(_installed()))


def code_revision(root: Path) -> tuple[CodeRevision, bytes]:
    """Return the revision of the work tree that holds `root`, and the patch on top of it (empty when clean).

    The patch names untracked code files by digest: ``untracked <sha256> <path>``.
    """
    head = git(root, "rev-parse", "HEAD")
    if head is None:
        return CodeRevision(commit=None, dirty=None, diff_digest=None), b""
    top = Path((git(root, "rev-parse", "--show-toplevel") or b"").decode().strip() or root)
    patch = git(top, "diff", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD", "--") or b""
    names = (git(top, "ls-files", "-z", "--others", "--exclude-standard") or b"").decode(errors="replace").split("\0")
    for name in sorted(name for name in names if name.endswith(_CODE) and (top / name).is_file()):
        patch += f"untracked {sha256((top / name).read_bytes())} {name}\n".encode()
    commit = head.decode().strip()
    return CodeRevision(commit=commit, dirty=bool(patch), diff_digest=sha256(patch) if patch else None), patch


@functools.cache
def _installed() -> tuple[tuple[str, str], ...]:
    """Return what is installed by the names of the ``.dist-info`` folders: reading their metadata takes seconds."""
    found: dict[str, str] = {}
    for place in sys.path:
        for folder in sorted(Path(place or ".").glob("*.dist-info")):
            name, _, version = folder.name.removesuffix(".dist-info").partition("-")
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)  # the first on the path is imported
    return tuple(sorted(found.items()))


@functools.cache
def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown"


def git(root: Path, *arguments: str) -> bytes | None:
    """Return what git says, or None when there is no git, no repository or no commit."""
    try:
        # By a list of arguments, never through a shell.
        done = subprocess.run(  # noqa: S603 # nosec B603 B607
            ["git", "-C", str(root), *arguments],  # noqa: S607
            capture_output=True,
            check=True,
            timeout=60,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        )
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return done.stdout
