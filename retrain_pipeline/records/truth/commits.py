"""Check 6: the commits that versions, judgements and decisions name exist, are on a branch or tag, and were clean."""

from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.learning.environment import CodeRevision, git
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.records.truth.finding import Finding, right, unknown, wrong

if TYPE_CHECKING:
    from retrain_pipeline.records.truth.context import Context

_COMMIT_FIRST = "commit first, then retrain"


def commits_exist(context: "Context") -> Iterator[Finding]:
    """Look at the code of every documented version and judgement, and at the commits of decisions."""
    history = History.of(context.folder)
    for thing, place, code in _revisions(context):
        if code.commit is None:
            words = "it was made outside git: which code made it cannot be told"
            yield unknown(thing, place, words, "keep the project in a git repository, commit, then retrain")
        elif code.dirty:
            words = f"made by commit {code.commit[:12]} with local changes (patch {str(code.diff_digest)[:12]})"
            yield wrong(thing, place, words, _COMMIT_FIRST)
        else:
            yield history.look(thing, place, code.commit)
    for decision in context.decisions:
        for commit in decision.front.commits:
            yield history.look(f"commit of decision {decision.front.id}", f"decisions/{decision.file}", commit)


def _revisions(context: "Context") -> Iterator[tuple[str, str, CodeRevision]]:
    stores = context.stores
    for version in context.versions:
        try:
            yield f"code of {version}", "manifest", read_manifest(stores, context.model, version).code
        except PermanentError:
            continue  # check 7 says what is wrong with it
    for entry in context.entries:
        if entry.action == "judged" and entry.subject in context.versions:
            try:
                code = read_evidence(stores.artifacts, str(entry.payload.get("evidence"))).code
            except PermanentError:
                continue
            yield f"code that judged {entry.subject}", f"ledger entry {entry.seq}", code


class History:
    """The commits of a repository that a branch, a tag or the work tree still holds; none where there is no git."""

    def __init__(self, commits: list[str] | None, shallow: bool) -> None:
        self._commits, self._shallow = commits, shallow

    @classmethod
    def of(cls, folder: Path) -> "History":
        """Return the history of the repository that holds a folder."""
        listed = git(folder, "rev-list", "HEAD", "--branches", "--tags", "--remotes")
        if listed is None:
            return cls(None, False)
        shallow = git(folder, "rev-parse", "--is-shallow-repository")
        return cls(sorted(listed.decode("ascii", "replace").split()), shallow != b"false\n")

    def look(self, thing: str, place: str, commit: str) -> Finding:
        """Return whether a commit, whole or by its first digits, is there."""
        if self._commits is None:
            words = f"commit {commit[:12]} cannot be looked up: there is no git repository here"
            return unknown(thing, place, words, "verify in a clone of the repository")
        at = bisect_left(self._commits, commit)
        found = [one for one in self._commits[at : at + 2] if one.startswith(commit)]
        if len(found) == 1:
            return right(thing, place)
        if len(found) > 1:
            return wrong(thing, place, f"{commit} may be two commits", "write more of its digits")
        if self._shallow:
            words = f"commit {commit[:12]} is not in this clone, which is shallow"
            return unknown(thing, place, words, "fetch the whole history: git fetch --unshallow")
        words = f"commit {commit[:12]} is on no branch and no tag: it was never pushed, or history was rewritten"
        return wrong(thing, place, words, "push or restore it and keep it by a tag; else retrain and judge again")
