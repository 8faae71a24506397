"""Whose hand was in a change: git's authors, committers and co-authors, who asked, and who owns."""

import subprocess

import pytest

from retrain_pipeline.learning.environment import code_revision
from retrain_pipeline.learning.manifest import VersionManifest
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.release import authors as module
from retrain_pipeline.release.authors import authors_of_file, authors_of_version
from retrain_pipeline.release.errors import ApprovalRefused

pytestmark = [pytest.mark.fault("G2"), pytest.mark.requirement("B11")]


@pytest.fixture
def git(asking):
    """Make the model's folder a repository and return a function that commits as somebody."""
    folder = asking.world.declaration.folder

    def run(*arguments):
        subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)

    def commit(author, committer=None, message="Change", file="features.py"):
        (folder / file).write_text(((folder / file).read_text() if (folder / file).exists() else "") + "\n")
        name, address = committer or author, f"{(committer or author).lower()}@example.org"
        run("add", file)
        run("-c", f"user.name={name}", "-c", f"user.email={address}", "commit", "-m", message, "--author",
            f"{author} <{author.lower()}@example.org>")  # fmt: skip
        return code_revision(folder)[0]

    run("init", "-q")
    run("add", ".")
    commit("Founder")
    return commit


def names(asking, code, champion_code=None, monkeypatch=None):
    manifest = read_manifest(asking.world.stores, "toy", asking.version)
    if monkeypatch is not None:
        monkeypatch.setattr(module, "_commit_of", lambda *_: champion_code.commit if champion_code else None)
    changed: VersionManifest = manifest.model_copy(update={"code": code})
    return set(authors_of_version(asking.world.stores, asking.world.declaration, changed, "champion").names)


def test_everybody_who_committed_since_the_champion_is_an_author(asking, git, monkeypatch):
    before = git("Zoe")
    git("Alice", committer="Carol", message="Tune\n\nCo-authored-by: Bob B. <bob@example.org>")
    after = git("Dave", file="defs.yaml")
    found = names(asking, after, before, monkeypatch)
    assert {"Alice", "alice@example.org", "Carol", "carol@example.org", "Bob B.", "bob@example.org", "Dave"} <= found
    assert not {"Zoe", "Founder"} & found
    assert "team:toys" in found


def test_a_retrain_of_unchanged_code_has_no_author_in_git(asking, git, monkeypatch):
    code = git("Alice")
    assert names(asking, code, code, monkeypatch) == {"team:toys"}


def test_without_a_champion_everybody_who_made_the_model_is_an_author(asking, git, monkeypatch):
    git("Alice")
    found = names(asking, git("Bob", file="defs.yaml"), None, monkeypatch)
    assert {"Founder", "Alice", "Bob"} <= found


def test_uncommitted_code_and_commits_that_git_does_not_know_have_no_authors_and_no_approval(asking, git, monkeypatch):
    code = git("Alice")
    with pytest.raises(ApprovalRefused, match="uncommitted code"):
        names(asking, code.model_copy(update={"dirty": True}), code, monkeypatch)
    with pytest.raises(ApprovalRefused, match="authors are unknown"):
        names(asking, code.model_copy(update={"commit": "c" * 40}), code, monkeypatch)


def test_outside_git_who_asked_and_who_owns_remain(asking):
    manifest = read_manifest(asking.world.stores, "toy", asking.version)
    assert manifest.code.commit is None
    assert authors_of_version(asking.world.stores, asking.world.declaration, manifest, None).names == ("team:toys",)


def test_a_file_has_the_authors_of_its_commits_and_none_before_it_is_committed(asking, git):
    folder = asking.world.declaration.folder
    git("Alice", file="change_plan.yaml")
    found = authors_of_file(folder / "change_plan.yaml", ("team:toys",))
    assert set(found.names) == {"Alice", "alice@example.org", "team:toys"}
    assert found.include("person:alice", None)
    (folder / "change_plan.yaml").write_text("id: other\n")
    with pytest.raises(ApprovalRefused, match="not committed"):
        authors_of_file(folder / "change_plan.yaml", ())
