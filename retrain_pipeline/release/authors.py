"""Who made a change: nobody approves what they made themselves."""

import subprocess  # nosec B404
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.governance.roles import Roles, is_person, same_person
from retrain_pipeline.release.errors import ApprovalRefused

if TYPE_CHECKING:
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

# Names and addresses of author and committer, and of co-authors, a line each.
_FORMAT = "%an%n%ae%n%cn%n%ce%n%(trailers:key=Co-authored-by,valueonly)"


@dataclass(frozen=True)
class Authors:
    """Everybody who had a hand in a version, by every name that they used there."""

    names: tuple[str, ...]

    def include(self, actor: str, roles: Roles | None) -> bool:
        """Return whether somebody may be one of them."""
        return any(same_person(roles, actor, name) for name in self.names)


def authors_of_version(
    stores: "Stores", declaration: "Declaration", manifest: "VersionManifest", champion: str | None
) -> Authors:
    """Return who made a version what it is: who asked for it, who owns it, who wrote what changed since the champion.

    Without a champion that is everybody who touched the model's folder, and whoever made its last commit. Outside git
    nobody wrote anything, and those who asked and own remain.

    Raises
    ------
    ApprovalRefused
        When the version was built from uncommitted code, or git does not know its commit: then nobody can say who
        wrote it.
    """
    names = _requesters(stores, manifest) | set(declaration.spec.owners)
    code, what = manifest.code, f"{manifest.model} {manifest.version}"
    if code.dirty:
        raise ApprovalRefused(f"{what}: built from uncommitted code, so its authors are unknown; commit it and retrain")
    if code.commit is not None:
        before = _commit_of(stores, manifest.model, champion)
        if before is None:
            names |= _git_names(declaration.folder, what, "-1", code.commit)
            names |= _git_names(declaration.folder, what, code.commit, "--", ".")
        elif before != code.commit:
            names |= _git_names(declaration.folder, what, f"{before}..{code.commit}")
    return Authors(tuple(sorted(names)))


def authors_of_file(file: Path, owners: tuple[str, ...]) -> Authors:
    """Return who wrote a file: everybody who committed it, and the owners.

    Raises
    ------
    ApprovalRefused
        When it differs from its last commit.
    """
    from retrain_pipeline.learning.environment import code_revision

    names = set(owners)
    if code_revision(file.parent)[0].commit is not None:
        if _git(file.parent, str(file), "status", "--porcelain", "--", file.name).strip():
            raise ApprovalRefused(f"{file}: not committed, so its authors are unknown; commit it first")
        names |= _git_names(file.parent, str(file), "HEAD", "--", file.name)
    return Authors(tuple(sorted(names)))


def _requesters(stores: "Stores", manifest: "VersionManifest") -> set[str]:
    """Return the people who asked for the retrain or registered what came of it; sensors are no authors."""
    entries = stores.ledger.entries(
        model=manifest.model, action=("candidate_registered", "candidate_built"), subject=manifest.version
    )
    runs = {entry.run_id for entry in entries if entry.run_id} | ({manifest.run_id} if manifest.run_id else set())
    for run_id in sorted(runs):
        entries += stores.ledger.entries(model=manifest.model, action="retrain_started", run_id=run_id)
    return {entry.actor for entry in entries if is_person(entry.actor)}


def _commit_of(stores: "Stores", model: str, version: str | None) -> str | None:
    from retrain_pipeline.learning.versions import read_manifest

    try:
        return read_manifest(stores, model, version).code.commit if version else None
    except PermanentError:
        return None


def _git_names(folder: Path, what: str, *arguments: str) -> set[str]:
    lines = _git(folder, what, "log", f"--format={_FORMAT}", *arguments).splitlines()
    names = set()
    for line in filter(None, map(str.strip, lines)):
        name, _, address = line.rstrip(">").partition(" <")  # a co-author is spelled Name <address>
        names |= {name, address} if address else {line}
    return names


def _git(folder: Path, what: str, *arguments: str) -> str:
    try:
        # By a list of arguments, never through a shell.
        done = subprocess.run(  # noqa: S603 # nosec B603 B607
            ["git", "-C", str(folder), "--no-optional-locks", *arguments],  # noqa: S607
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        words = (getattr(error, "stderr", "") or str(error)).strip()
        raise ApprovalRefused(f"{what}: its authors are unknown: git says {words:.200}; fetch its commits") from error
    return done.stdout
