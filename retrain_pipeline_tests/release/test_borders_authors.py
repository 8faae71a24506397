"""Whose hand was in a version, to the letter: by a real git, and by entries that a test wrote."""

import os
import shutil
import subprocess

import pytest

from retrain_pipeline.governance.roles import Person, Roles
from retrain_pipeline.learning.environment import CodeRevision
from retrain_pipeline.learning.versions import register
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.release.authors import Authors, authors_of_file, authors_of_version
from retrain_pipeline.release.errors import ApprovalRefused
from retrain_pipeline.stores import open_stores
from retrain_pipeline_tests.gates.handmade import manifest
from retrain_pipeline_tests.gates.world import write_folder


class Repository:
    """A project in git with a model's folder in it; every commit touches one file."""

    def __init__(self, folder):
        self.folder = folder
        self.run("init", "-q")

    def run(self, *arguments, author="test", committer=None):
        who = {"AUTHOR": author, "COMMITTER": committer or author}
        names = {f"GIT_{role}_{what}": value for role, name in who.items()
                 for what, value in (("NAME", name), ("EMAIL", f"{name.lower()}@example.org"))}  # fmt: skip
        done = subprocess.run(
            ["git", "-C", self.folder, *arguments], check=True, capture_output=True, env={**os.environ, **names}
        )
        return done.stdout.decode().strip()

    def commit(self, author, file="toy/features.py", committer=None, message="Change"):
        path = self.folder / file
        path.write_text((path.read_text() if path.exists() else "") + "\n# more\n")
        self.run("add", file)
        self.run("commit", "-q", "-m", message, author=author, committer=committer)
        return self.run("rev-parse", "HEAD")


def people(*names):
    return {spelled for name in names for spelled in (name, f"{name.lower()}@example.org")}


class Made:
    """A model's folder, a ledger, and versions whose code is of a commit that the test names."""

    def __init__(self, folder):
        self.declaration = write_folder(folder / "project" / "toy")
        self.stores = open_stores(folder / "home")

    def version(self, version="v2", commit=None, *, dirty=False, run_id="run-2", model="toy", on_record=True):
        code = CodeRevision(commit=commit, dirty=dirty if commit else None, diff_digest=None)
        made = manifest(self.stores.artifacts, version, code=code, run_id=run_id, model=model)
        return register(self.stores, made, actor="dagster") if on_record else made

    def names(self, made, champion=None):
        found = authors_of_version(self.stores, self.declaration, made, champion).names
        assert list(found) == sorted(found)
        return set(found) - {"team:toys"} if "team:toys" in found else "the owner is missing"

    def refusal(self, made, champion=None):
        with pytest.raises(ApprovalRefused) as refused:
            authors_of_version(self.stores, self.declaration, made, champion)
        return str(refused.value)


@pytest.fixture
def made(tmp_path):
    one = Made(tmp_path)
    yield one
    one.stores.close()


@pytest.fixture
def git(made):
    return Repository(made.declaration.folder.parent)


# --- who asked


def test_who_asked_for_the_retrain_or_registered_it_is_an_author_and_a_sensor_is_none(made):
    def enter(actor, action, model="toy", version=None, run_id=None):
        made.stores.ledger.append(NewEntry(actor, action, model, version, run_id=run_id))

    version = made.version()
    enter("person:built", "candidate_built", version="v2", run_id="run-3")
    enter("user:registered", "candidate_registered", version="v2")
    enter("person:asked", "retrain_started", run_id="run-2")
    enter("user:asked-again", "retrain_started", run_id="run-3")
    enter("sensor", "retrain_started", run_id="run-3")
    for other in (
        ("person:a", "candidate_built", "toy", "v3", "run-4"),
        ("person:b", "candidate_built", "doll", "v2", "run-5"),
        ("person:c", "judged", "toy", "v2", "run-6"),
        ("person:d", "retrain_started", "doll", None, "run-2"),
        ("person:e", "retrain_ended", "toy", None, "run-2"),
        ("person:f", "retrain_started", "toy", None, "run-4"),
        ("person:g", "retrain_started", "toy", None, None),
    ):
        enter(*other)
    assert made.names(version) == {"person:built", "user:registered", "person:asked", "user:asked-again"}


def test_the_run_of_the_manifest_counts_where_no_entry_names_one(made):
    for run_id in ("run-2", None):
        made.stores.ledger.append(NewEntry(f"person:{run_id}", "retrain_started", "toy", run_id=run_id))
    assert made.names(made.version(on_record=False)) == {"person:run-2"}
    assert made.names(made.version(run_id=None, on_record=False)) == set()


# --- who wrote


def test_since_the_champion_everybody_who_committed_anywhere_in_the_project_is_an_author(made, git):
    before = git.commit("Zoe")
    git.commit("Alice", committer="Carol", message="Tune\n\nCo-authored-by: Bob B. <bob@MAX>\nCo-authored-by: Eve")
    after = git.commit("Dave", "shared.py")
    git.commit("Late")
    made.version("v1", before)
    made.version("v1", git.commit("Later"), model="doll")
    wanted = people("Alice", "Carol", "Dave") | {"Bob B.", "bob@MAX", "Eve"}
    assert made.names(made.version(commit=after), "v1") == wanted
    assert made.names(made.version("v3", before), "v1") == set(), "the champion's own code"


@pytest.mark.parametrize("champion", [None, "v0", "v1"])
def test_without_code_of_a_champion_all_who_touched_the_folder_and_the_last_commit_are_authors(made, git, champion):
    made.version("v1", None)  # a champion from outside git; v0 is not on record
    git.commit("Elsewhere", "shared.py")
    git.commit("Founder")
    git.commit("Between", "other.py")
    git.commit("Alice", "toy/defs.yaml")
    last = git.commit("Last", "shared.py", committer="Merger")
    git.commit("Late")
    assert made.names(made.version(commit=last), champion) == people("Founder", "Alice", "Last", "Merger")


def test_outside_git_those_who_own_remain(made):
    assert authors_of_version(made.stores, made.declaration, made.version(), None) == Authors(("team:toys",))


def test_uncommitted_code_has_no_known_authors(made, git):
    commit = git.commit("Alice")
    words = "toy v2: built from uncommitted code, so its authors are unknown; commit it and retrain"
    assert made.refusal(made.version(commit=commit, dirty=True)) == words


def test_a_commit_that_git_does_not_have_has_no_known_authors(made, git):
    git.commit("Alice")
    words = made.refusal(made.version(commit="c" * 40))
    assert words == f"toy v2: its authors are unknown: git says fatal: bad object {'c' * 40}; fetch its commits"
    made.version("v1", "d" * 40)
    words = made.refusal(made.version(commit="c" * 40), "v1")
    assert words.startswith(f"toy v2: its authors are unknown: git says fatal: Invalid revision range {'d' * 40}..")


def test_long_words_of_git_are_cut_and_its_absence_is_told(made, git, monkeypatch):
    commit = git.commit("Alice")
    bare = made.version(commit="x" * 300)
    (said,) = made.refusal(bare).partition("git says ")[2:]
    assert said.startswith("fatal: ")
    assert len(said) == 200 + len("; fetch its commits")
    monkeypatch.setenv("PATH", "/nonexistent")
    words = "toy v3: its authors are unknown: git says [Errno 2] No such file or directory: 'git'; fetch its commits"
    assert made.refusal(made.version("v3", commit)) == words


# --- a file


@pytest.mark.parametrize("name", ["plan.yaml", "-plan.yaml"])
def test_a_file_has_its_committers_and_the_owners(made, git, name):
    git.commit("Zoe", "toy/other.yaml")
    git.commit("Bob", f"toy/{name}", committer="Carol")
    git.commit("Alice", f"toy/{name}")
    file = made.declaration.folder / name
    wanted = people("Alice", "Bob", "Carol") | {"team:toys"}
    assert authors_of_file(file, ("team:toys",)) == Authors(tuple(sorted(wanted)))
    (made.declaration.folder / "other.yaml").write_text("changed\n")
    assert authors_of_file(file, ()).names == tuple(sorted(people("Alice", "Bob", "Carol")))
    for unknown in (file, made.declaration.folder / "new.yaml"):
        unknown.write_text("changed\n")
        with pytest.raises(ApprovalRefused) as refused:
            authors_of_file(unknown, ())
        assert str(refused.value) == f"{unknown}: not committed, so its authors are unknown; commit it first"


@pytest.mark.parametrize("broken", ["status", "log"])
def test_a_file_of_which_git_cannot_tell_has_no_known_authors(made, git, tmp_path, monkeypatch, broken):
    git.commit("Alice", "toy/plan.yaml")
    file, real = made.declaration.folder / "plan.yaml", shutil.which("git")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text(
        f'#!/bin/sh\ncase "$*" in *" {broken} "*) echo " it broke " >&2; exit 1;; esac\nexec "{real}" "$@"\n'
    )
    (tmp_path / "bin" / "git").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ApprovalRefused) as refused:
        authors_of_file(file, ())
    assert str(refused.value) == f"{file}: its authors are unknown: git says it broke; fetch its commits"


def test_a_file_outside_git_has_its_owners(tmp_path):
    (tmp_path / "plan.yaml").write_text("id: one\n")
    assert authors_of_file(tmp_path / "plan.yaml", ("team:b", "team:a")) == Authors(("team:a", "team:b"))


def test_somebody_is_an_author_by_any_name_of_theirs():
    roles = Roles(roles={}, people={"alice": Person(roles=(), aliases=("al",)), "bob": Person(roles=())})
    authors = Authors(("zoe", "al"))
    assert authors.include("person:alice", roles)
    assert not authors.include("person:bob", roles)
    assert authors.include("person:Zoe", None)
    assert not authors.include("person:alice", None)
