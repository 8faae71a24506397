"""Take any item of evidence away, or alter it, and nothing is promoted.

The items are found by walking what is there (the evidence document, every artifact that it and the manifest name, the
ledger's rows, the policy), so an item that is added later is in these tests from that day on.
"""

import contextlib
import copy
import json
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from retrain_pipeline.canonical import canonical_json
from retrain_pipeline.errors import RetrainError
from retrain_pipeline.gates.errors import EvidenceRefused
from retrain_pipeline.gates.evidence import policy_document, read_evidence
from retrain_pipeline.gates.judge import judged_entry
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline_tests.gates.escalated import escalated_world
from retrain_pipeline_tests.gates.world import versions

pytestmark = [pytest.mark.fault("G19"), pytest.mark.requirement("D6")]


@pytest.fixture
def case(world):
    """The world, a version that passed, and the digest of its evidence; at the end it is released, as it deserved."""
    version = versions(world)[1]
    digest = newest_evidence(world.stores, "toy", version)
    yield world, version, digest
    assert world.release(version, digest).released


@pytest.fixture(params=["plain", "escalated"])
def either(request, tmp_path):
    """A world as `case`, and one whose version a second validator confirmed: what it found is evidence, too."""
    if request.param == "plain":
        yield request.getfixturevalue("case")
        return
    world = escalated_world().copy(tmp_path)
    version = versions(world)[1]
    digest = newest_evidence(world.stores, "toy", version)
    assert evidence_of(world, digest)["escalation"]["second"]["verdict"] == "PASS"
    yield world, version, digest
    assert world.release(version, digest).released
    world.stores.close()


def promotes(world, version, digest) -> bool:
    """Try to release; return whether the deployment moved."""
    before = world.stores.ledger.deployment("toy")
    with contextlib.suppress(RetrainError):
        world.release(version, digest)
    return world.stores.ledger.deployment("toy") != before


def walk(value, path=()):
    """Yield the path of every key and element, at any depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from walk(inner, (*path, key))


def at(document, path):
    for step in path:
        document = document[step]
    return document


def without(document, path):
    changed = copy.deepcopy(document)
    del at(changed, path[:-1])[path[-1]]
    return changed


def altered(document, path):
    """Return the document with the value at a path replaced by another of its kind."""
    changed = copy.deepcopy(document)
    value = at(changed, path)
    match value:
        case bool():
            other = not value
        case int() | float():
            other = value + (1 if isinstance(value, int) else 0.01)
        case str():
            other = "0" * 64 if len(value) == 64 else {"none": "required", "mae": "rmse"}.get(value, f"{value}x")
        case None:
            other = 0.5
        case _:
            other = [] if isinstance(value, dict) else {}
    at(changed, path[:-1])[path[-1]] = other
    return changed


def evidence_of(world, digest):
    return read_evidence(world.stores.artifacts, digest).document()


@pytest.mark.fault("P11")
@pytest.mark.requirement("D44")
@pytest.mark.parametrize("change", [without, altered])
def test_evidence_that_lost_or_changed_any_item_where_it_lies_promotes_nothing(either, change):
    world, version, digest = either
    document, file = evidence_of(world, digest), Path(world.stores.artifacts.path(digest))
    whole = file.read_bytes()
    paths = list(walk(document))
    assert len(paths) > 100
    promoted = []
    for path in paths:
        file.write_bytes(canonical_json(change(document, path)))
        promoted += [path] if promotes(world, version, digest) else []
    file.write_bytes(whole)
    assert promoted == []


@pytest.mark.requirement("D44")
@pytest.mark.dagster_fact("K2")
def test_evidence_without_any_one_item_promotes_nothing_though_an_entry_names_it(either):
    """Somebody stores a shorter document under its own digest, and enters it as its judge would have.

    Pictures are left out here: nothing follows from them, so a judgement without one is a judgement.
    """
    world, version, digest = either
    document, promoted = evidence_of(world, digest), []
    for path in (one for one in walk(document) if one[:2] != ("plots", one[-1])):
        forged = world.stores.artifacts.put_json(without(document, path))
        try:
            entry = judged_entry(read_evidence(world.stores.artifacts, forged), forged, None, "mallory")
        except EvidenceRefused:
            entry = replace(
                judged_entry(read_evidence(world.stores.artifacts, digest), forged, None, "mallory"),
                key=f"f{path}"[:99],
            )
        world.stores.ledger.append(entry)
        promoted += [path] if promotes(world, version, forged) else []
    assert promoted == []


@pytest.mark.dagster_fact("K2")
def test_evidence_with_any_item_changed_promotes_nothing_without_a_judges_entry(case):
    world, version, digest = case
    document, promoted = evidence_of(world, digest), []
    for path in walk(document):
        forged = world.stores.artifacts.put_json(altered(document, path))
        promoted += [path] if promotes(world, version, forged) else []
    assert promoted == []


@pytest.mark.fault("P11", "P20")
def test_any_artifact_that_is_gone_or_damaged_promotes_nothing(either):
    world, version, digest = either
    evidence = read_evidence(world.stores.artifacts, digest)
    manifest = read_manifest(world.stores, "toy", version)
    named = {digest, *evidence.artifacts, *manifest.artifacts}
    assert len(named) > 10
    promoted = []
    for one in sorted(named):
        file = Path(world.stores.artifacts.path(one))
        whole, aside = file.read_bytes(), file.with_suffix(".aside")
        os.rename(file, aside)
        promoted += [(one, "gone")] if promotes(world, version, digest) else []
        os.rename(aside, file)
        file.chmod(0o600)
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        promoted += [(one, "damaged")] if promotes(world, version, digest) else []
        file.write_bytes(whole)
    assert promoted == []


class Rows:
    """The rows of a SQLite ledger, for a tamperer who puts everything back."""

    def __init__(self, home):
        self.connection = sqlite3.connect(home / "ledger.db", isolation_level=None)
        self.connection.row_factory = sqlite3.Row

    def of(self, subject, *actions):
        marks = ",".join("?" * len(actions))
        query = f"SELECT * FROM retrain_entry WHERE subject = ? AND action IN ({marks})"
        return [dict(row) for row in self.connection.execute(query, (subject, *actions))]

    def put(self, row):
        names = ", ".join(row)
        self.connection.execute(
            f"INSERT OR REPLACE INTO retrain_entry ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
        )

    def take(self, row):
        self.connection.execute("DELETE FROM retrain_entry WHERE seq = ?", (row["seq"],))


@pytest.mark.fault("G7")
@pytest.mark.parametrize("action", ["judged", "candidate_registered"])
def test_an_entry_that_is_gone_or_that_lost_or_changed_any_item_promotes_nothing(case, action):
    world, version, digest = case
    rows, promoted = Rows(world.home), []
    [row] = rows.of(version, action)
    payload = json.loads(row["payload"])
    changes = [("payload", canonical_json(change(payload, path)).decode())
               for change in (without, altered) for path in walk(payload)]  # fmt: skip
    changes += [(name, altered(row, (name,))[name]) for name in row if name not in ("seq", "payload")]
    assert len(changes) > 15
    for name, value in changes:
        rows.put({**row, name: value})
        promoted += [(name, value)] if promotes(world, version, digest) else []
    rows.take(row)
    promoted += ["gone"] if promotes(world, version, digest) else []
    rows.put(row)
    assert promoted == []


@pytest.mark.fault("P25", "G15")
def test_a_policy_with_any_item_changed_promotes_nothing(case):
    world, version, digest = case
    spec, promoted, tried = world.declaration.spec, [], 0
    for path in walk(policy_document(spec)):
        declared = spec.model_dump(mode="json", by_alias=True)
        place = ("problem", *path) if path[0] == "success" else path
        try:
            other = ModelSpec.model_validate(altered(declared, place), strict=False)
        except ValidationError:
            continue  # such a declaration does not load
        tried += 1
        changed = replace(world, declaration=replace(world.declaration, spec=other))
        promoted += [path] if promotes(changed, version, digest) else []
    assert tried > 10
    assert promoted == []
