"""Anchors in a file and in git: what only they show, and that a rewritten chain gets no fresh one."""

import json
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from retrain_pipeline.ledger.anchors import (
    Anchor,
    anchor_to_file,
    anchor_to_git,
    parse_anchor,
    read_anchors,
    read_git_anchors,
)
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.errors import AnchorRefused
from retrain_pipeline.verdicts import Verdict

pytestmark = [pytest.mark.fault("G7"), pytest.mark.requirement("D39")]


@pytest.fixture
def told(ledger):
    """A ledger with three entries."""
    for _ in range(3):
        ledger.append(NewEntry("daemon", "judged", "bike", payload={"verdict": "FAIL"}))
    return ledger


@pytest.fixture
def repository(tmp_path):
    """A git repository with one commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for arguments in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q",
                                       "--allow-empty", "-m", "start"]):  # fmt: skip
        subprocess.run(["git", "-C", folder, *arguments], check=True)
    return folder


def cut_off(tamperer, last):
    """Delete what comes after an entry, the head row with it, and leave no trace."""
    digest = tamperer.row(last)["sha256"]
    tamperer.do(
        "DELETE FROM retrain_entry WHERE seq > :last",
        "UPDATE retrain_head SET seq = :last, sha256 = :digest",
        last=last,
        digest=digest,
    )


def test_the_head_is_appended_to_a_file_once(told, tmp_path):
    file = tmp_path / "kept" / "anchors.jsonl"
    first = anchor_to_file(told, file)
    assert anchor_to_file(told, file)[:2] == first[:2]
    told.append(NewEntry("daemon", "judged"))
    second = anchor_to_file(told, file)
    assert read_anchors(file) == [first, second]
    assert [one[:2] for one in read_anchors(file)] == [(3, told.entries()[2].sha256), tuple(told.head())]
    assert file.stat().st_mode & 0o077 == 0
    assert told.verify(anchors=read_anchors(file)).verdict is Verdict.PASS


def test_an_end_cut_off_is_shown_by_the_file_and_gets_no_new_anchor(told, tmp_path, tamperer):
    file = tmp_path / "anchors.jsonl"
    anchor_to_file(told, file)
    cut_off(tamperer, 2)
    assert told.verify().verdict is Verdict.PASS
    assert "entry 3 of the anchor is missing" in told.verify(anchors=read_anchors(file)).problems[0]
    before = file.read_bytes()
    with pytest.raises(AnchorRefused, match="anchor of entry 3"):
        anchor_to_file(told, file)
    assert file.read_bytes() == before


def test_a_fork_is_shown_by_the_tags_of_a_repository(told, repository, tamperer):
    anchor, tag = anchor_to_git(told, repository)
    assert anchor_to_git(told, repository)[1] == tag
    assert read_git_anchors(repository) == [anchor]
    assert told.verify(anchors=read_git_anchors(repository)).verdict is Verdict.PASS
    digest = tamperer.rewrite(3, payload='{"verdict":"PASS"}')
    tamperer.do("UPDATE retrain_head SET sha256 = :digest", digest=digest)
    assert told.verify().verdict is Verdict.PASS
    assert "entry 3 is not the one of the anchor" in told.verify(anchors=read_git_anchors(repository)).problems[0]
    with pytest.raises(AnchorRefused, match="anchor of entry 3"):
        anchor_to_git(told, repository)


def test_anchors_of_two_chains_contradict_each_other(told):
    other = Anchor(2, "f" * 64)
    real = Anchor(*told.head())
    found = told.verify(anchors=[real, Anchor(2, told.entries()[1].sha256), other])
    assert found.verdict is Verdict.FAIL
    assert "two anchors name entry 2 differently" in found.problems[0]


@pytest.mark.fault("G8")
def test_an_entry_dated_before_the_anchor_of_an_earlier_one_is_found(told, tamperer):
    anchor = Anchor(*told.head(), datetime.now(UTC).isoformat())
    told.append(NewEntry("person:eve", "judged", "bike", payload={"verdict": "PASS"}))
    assert told.verify(anchors=[anchor]).verdict is Verdict.PASS
    digest = tamperer.rewrite(4, at_utc=(datetime.now(UTC) - timedelta(days=3)).isoformat(timespec="microseconds"))
    tamperer.do("UPDATE retrain_head SET sha256 = :digest", digest=digest)
    found = told.verify(anchors=[anchor])
    assert found.verdict is Verdict.FAIL
    assert "before the anchor of entry 3 was made" in found.problems[0]


@pytest.mark.fault("P18")
def test_a_clock_that_jumps_back_is_told_and_is_no_damage(told, tamperer):
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="microseconds")
    digest = tamperer.rewrite(3, at_utc=past)
    tamperer.do("UPDATE retrain_head SET sha256 = :digest", digest=digest)
    found = told.verify()
    assert found.verdict is Verdict.PASS
    assert found.notes == [f"entry 3 is dated {past[:19]}, before an earlier entry ({found.notes[0][-20:-1]})"]


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", '{"schema":"anchor/1","seq":1,"sha256":"zz","at_utc":"x"}'])
def test_a_damaged_anchor_is_refused(tmp_path, text):
    file = tmp_path / "anchors.jsonl"
    file.write_text(text + "\n")
    with pytest.raises(AnchorRefused, match="no anchor"):
        read_anchors(file)


def test_an_anchor_survives_its_line():
    anchor = Anchor(7, "a" * 64, "2026-01-01T00:00:00+00:00")
    assert parse_anchor(anchor.line().decode(), "here") == anchor
    assert json.loads(anchor.line())["schema"] == "anchor/1"


def test_an_empty_ledger_and_a_folder_without_git_have_no_anchor(ledger, told, tmp_path):
    with pytest.raises(AnchorRefused, match="git"):
        anchor_to_git(told, tmp_path)
    with pytest.raises(AnchorRefused, match="anchor"):
        read_anchors(tmp_path / "missing.jsonl")
