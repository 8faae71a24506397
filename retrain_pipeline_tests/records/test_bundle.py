"""A version goes into one file with all that speaks for it; what is not as it was is found from the file alone."""

import json
import shutil
import stat
import subprocess
import sys
import zipfile

import pytest

from retrain_pipeline.canonical import canonical_json, sha256
from retrain_pipeline.learning.environment import IMAGE_VARIABLE, environment, lock_text
from retrain_pipeline.learning.errors import VersionNotLoadable
from retrain_pipeline.learning.versions import load_version, read_manifest
from retrain_pipeline.ledger.entries import NewEntry, chain_digest, write_json
from retrain_pipeline.ledger.keyring import Keyring
from retrain_pipeline.ledger.signing import PublicKey, new_private_key
from retrain_pipeline.records.bundle import archive
from retrain_pipeline.records.bundle.export import export
from retrain_pipeline.records.bundle.manifest import ENTRIES, FILE, SIGNATURE, BundleRefused, identity
from retrain_pipeline.records.bundle.verify import restore, verify
from retrain_pipeline.records.retirement import retire
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.stores import open_stores
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.records.runs import retrained, settled

NOBODY = Keyring()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The bundle of a champion whose records are settled, made once; and its version."""
    world = retrained().copy(tmp_path_factory.mktemp("bundled"))
    settled(world)
    version = versions(world)[0]
    file = tmp_path_factory.mktemp("bundle") / "champion.zip"
    export(world.stores, "toy", version, file)
    world.stores.close()
    return file, version


@pytest.fixture
def bundle(made, tmp_path):
    """A copy of that bundle, to be spoilt."""
    return shutil.copy(made[0], tmp_path / "bundle.zip")


def checks(file, keyring=NOBODY):
    return {one.gate: one for one in verify(file, keyring).checks}


def failing(file):
    return sorted(name for name, one in checks(file).items() if one.verdict is Verdict.FAIL)


def contents(file):
    with zipfile.ZipFile(file) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def write(file, files):
    with zipfile.ZipFile(file, "w") as out:
        for name, data in files.items():
            out.writestr(name, data)


def change(file, how, *, again=False):
    """Change the files of a bundle; `again` makes inventory and identity anew, as a forger would."""
    files = contents(file)
    how(files)
    if again:
        files[FILE] = inventory_of(files)
    write(file, files)


def inventory_of(files):
    document = json.loads(files[FILE])
    roles = {one["path"]: one["role"] for one in document["inventory"]}
    document["inventory"] = [
        {"path": name, "role": roles.get(name, "artifact"), "sha256": sha256(data), "bytes": len(data)}
        for name, data in sorted(files.items())
        if name != FILE
    ]
    return canonical_json({**document, "bundle_id": identity(document)})


def entries(files):
    return [json.loads(line) for line in files[ENTRIES].splitlines()]


def put_entries(files, rows):
    files[ENTRIES] = b"".join(canonical_json(row) + b"\n" for row in rows)


@pytest.mark.requirement("A23", "D23")
def test_a_bundle_verifies_from_the_file_alone(made):
    file, version = made
    found = verify(file, NOBODY)
    assert (found.bundle.model, found.bundle.version) == ("toy", version)
    verdicts = {one.gate: one.verdict for one in found.checks}
    assert verdicts.pop("signature") is Verdict.INCONCLUSIVE
    asked = ["inventory", "digests", "entries", "references", "answers", "verdict"]
    assert verdicts == dict.fromkeys(asked, Verdict.PASS)
    names = contents(file)
    assert {"README.md", "card.md", "dashboard/index.html", "features/features.py"} <= {*names}
    assert sha256(names["environment/requirements.txt"]) == found.bundle.lock
    assert f"dashboard/m/toy/v/{version}.html" in names


@pytest.mark.requirement("A23")
def test_it_verifies_in_a_process_without_home_or_network(made, tmp_path):
    blocked = "import socket; socket.socket.connect = socket.create_connection = lambda *a, **k: 1 / 0; "
    code = blocked + "from retrain_pipeline.cli import app; app(['bundle', 'verify', *__import__('sys').argv[1:]])"
    arguments = [sys.executable, "-c", code, str(made[0]), "--json", "--allow-inconclusive", "signature"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {one["gate"] for one in json.loads(done.stdout)["checks"]} >= {"answers", "verdict"}
    assert not list(tmp_path.iterdir())


@pytest.mark.requirement("A23")
def test_the_same_record_gives_the_same_bytes(world, tmp_path):
    version = versions(world)[0]
    first, second = (export(world.stores, "toy", version, tmp_path / name) for name in ("one.zip", "two.zip"))
    assert first.bundle == second.bundle
    assert first.file.read_bytes() == second.file.read_bytes()
    world.stores.ledger.append(NewEntry("test", "alerted", "toy", version, {"kind": "drift", "words": "it drifts"}))
    assert export(world.stores, "toy", version, tmp_path / "three.zip").bundle.bundle_id != first.bundle.bundle_id


@pytest.mark.requirement("A23", "D39")
@pytest.mark.parametrize(
    ("how", "again", "found"),
    [
        (lambda files: files.update({"extra.txt": b"x"}), False, ["inventory"]),
        (lambda files: files.pop("README.md"), False, ["digests", "inventory"]),
        (lambda files: files.update({"card.md": b"it is the best of all models"}), False, ["digests"]),
        (lambda files: files.update({"card.md": files["card.md"] + b" "}), False, ["digests"]),
        (lambda files: files.update({FILE: files[FILE].replace(b"champion", b"chimpion")}), False, ["inventory"]),
        (lambda files: files.update({FILE: b"{"}), False, ["inventory"]),
        (lambda files: put_entries(files, entries(files)[::-1]), True, ["entries"]),
        (lambda files: put_entries(files, []), True, ["answers", "references"]),
        (lambda files: files.update({ENTRIES: files[ENTRIES].replace(b'"PASS"', b'"FAIL"', 1)}), True, ["entries"]),
    ],
    ids=["more", "less", "other", "longer", "identity", "no json", "order", "no entries", "an edited entry"],
)  # fmt: skip
def test_a_bundle_that_was_changed_is_found_out(bundle, how, again, found):
    change(bundle, how, again=again)
    assert set(found) <= set(failing(bundle))
    if not again:
        assert failing(bundle) == found


@pytest.mark.requirement("A23")
@pytest.mark.parametrize("name", ["../outside.txt", "/etc/outside.txt", "CARD.MD", "a\\..\\b", "artifacts/../card.md"])
def test_a_name_that_leads_elsewhere_is_no_bundle(bundle, name):
    def listed(files):
        files[name] = b"x"
        document = json.loads(files[FILE])
        document["inventory"].append({"path": name, "role": "card", "sha256": sha256(b"x"), "bytes": 1})
        files[FILE] = canonical_json({**document, "bundle_id": identity(document)})

    change(bundle, listed)
    assert failing(bundle) == ["inventory"]
    with pytest.raises(BundleRefused, match="not whole"):
        restore(bundle, NOBODY, None)


@pytest.mark.requirement("A23")
def test_links_doubles_and_bombs_are_found(bundle, made):
    with zipfile.ZipFile(bundle, "a") as out:
        link = zipfile.ZipInfo("dashboard/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(link, "/etc/passwd")
        with pytest.warns(UserWarning, match="Duplicate name"):
            out.writestr("card.md", contents(made[0])["card.md"])
    words = checks(bundle)["inventory"].words
    assert "is a link" in words
    assert "twice" in words
    change(bundle, lambda files: files.update({"card.md": b"0" * 2**24}))
    assert "longer than the" in checks(bundle)["digests"].words


@pytest.mark.requirement("A23")
def test_what_is_no_archive_is_refused(tmp_path, bundle):
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04 no archive")
    for file in (tmp_path / "no.zip", tmp_path / "absent.zip"):
        with pytest.raises(BundleRefused, match="no bundle can be read"):
            verify(file, NOBODY)
    data = bytearray(bundle.read_bytes())
    at = data.index(b"artifacts/") + 200
    data[at : at + 40] = bytes(40)
    bundle.write_bytes(data)
    assert "digests" in failing(bundle)


def replaced(files, digest, how):
    """Put other JSON in the place of an artifact; return its digest."""
    value = json.loads(files.pop(f"artifacts/{digest}"))
    how(value)
    data = json.dumps(value, sort_keys=True).encode()
    files[f"artifacts/{sha256(data)}"] = data
    return sha256(data)


def forged(files, action, version, key, how):
    """Change what an entry names by digest, and hash the entry anew: all that a forger without a key can do."""
    rows = entries(files)
    row = next(one for one in rows if one["action"] == action and one["subject"] == version)
    row["payload"][key] = replaced(files, row["payload"][key], how)
    stored = {**row, "payload": write_json(row["payload"], "payload"), "mono_ns": int(row["mono_ns"])}
    row["sha256"] = chain_digest(stored)
    put_entries(files, rows)


@pytest.mark.requirement("A23")
def test_another_model_in_its_place_answers_otherwise(bundle, made, world):
    other = world.stores.artifacts.get(read_manifest(world.stores, "toy", versions(world)[1]).model_artifact)

    def swap(files):
        files[f"artifacts/{sha256(other)}"] = other
        named = {"model_artifact": sha256(other)}
        forged(files, "candidate_registered", made[1], "manifest", lambda manifest: manifest.update(named))

    change(bundle, swap, again=True)
    found = checks(bundle)
    assert (found["inventory"].verdict, found["digests"].verdict) == (Verdict.PASS, Verdict.PASS)
    assert found["answers"].verdict is Verdict.FAIL
    assert "its answers to the probe set differ" in found["answers"].words


@pytest.mark.requirement("A23", "D15")
def test_a_verdict_that_does_not_follow_is_found(bundle, made):
    def soften(evidence):
        evidence["results"][0]["verdict"] = "FAIL"

    change(bundle, lambda files: forged(files, "judged", made[1], "evidence", soften), again=True)
    found = checks(bundle)
    assert (found["inventory"].verdict, found["digests"].verdict) == (Verdict.PASS, Verdict.PASS)
    assert found["verdict"].verdict is Verdict.FAIL


@pytest.mark.requirement("A23", "D39")
def test_a_signature_says_who_made_it(world, tmp_path):
    key = new_private_key(tmp_path / "keys" / "ann.pem")
    stores = open_stores(world.home, ledger_key=tmp_path / "keys" / "ann.pem")
    done = export(stores, "toy", versions(world)[0], tmp_path / "signed.zip")
    assert done.signed_by == key.id
    ann, bob = (PublicKey(name, name, public) for name, public in (("ann", key.public), ("bob", b"b" * 32)))
    assert checks(done.file, Keyring((ann,)))["signature"].verdict is Verdict.PASS
    assert checks(done.file, Keyring((bob,)))["signature"].verdict is Verdict.INCONCLUSIVE
    other = export(stores, "toy", versions(world)[1], tmp_path / "other.zip")
    signature = contents(other.file)[SIGNATURE]
    change(done.file, lambda files: files.update({SIGNATURE: signature}))
    assert checks(done.file, Keyring((ann,)))["signature"].verdict is Verdict.FAIL
    change(done.file, lambda files: files.update({SIGNATURE: b"{}"}))
    assert checks(done.file, Keyring((ann,)))["signature"].verdict is Verdict.FAIL
    stores.close()


@pytest.mark.requirement("A23", "D23", "B37")
def test_bytes_that_a_store_lost_come_back_and_the_version_serves_again(world, tmp_path):
    stores, (first, second, _) = world.stores, versions(world)
    file = export(stores, "toy", first, tmp_path / "first.zip").file
    world.release(second, world.judge(second, "non_inferiority", "run-again")[1])
    manifest = read_manifest(stores, "toy", first)
    gone = (manifest.model_artifact, manifest.probe.artifact)
    lost, damaged = (world.home / "artifacts" / one[:2] / one for one in gone)
    lost.unlink()
    damaged.write_bytes(b"others")
    with pytest.raises(VersionNotLoadable):
        load_version(stores, "toy", first)
    before = stores.ledger.head()
    verified, back = restore(file, NOBODY, stores.artifacts)
    assert verified.bundle.version == first
    assert sorted(back) == sorted(gone)
    assert stores.ledger.head() == before
    assert load_version(stores, "toy", first).fidelity == "same"
    assert rollback(stores, "toy", to=first, because="the new one is worse", actor="test").champion == first
    assert restore(file, NOBODY, stores.artifacts)[1] == []


@pytest.mark.requirement("A23")
def test_nothing_is_taken_from_a_bundle_that_is_not_whole(world, bundle):
    before = {one: one.stat().st_mtime_ns for one in (world.home / "artifacts").rglob("*")}
    change(bundle, lambda files: files.update({"card.md": b"other"}))
    with pytest.raises(BundleRefused, match="nothing is taken"):
        restore(bundle, NOBODY, world.stores.artifacts)
    assert {one: one.stat().st_mtime_ns for one in (world.home / "artifacts").rglob("*")} == before


@pytest.mark.requirement("A23", "A36")
def test_of_a_retired_version_the_tombstone_stands_for_the_model(world, tmp_path):
    version = versions(world)[1]
    world.stores.ledger.append(NewEntry("test", "rejected", "toy", version, {"words": "it was no better"}, "run-7"))
    retire(world.stores, "toy", version, why="nobody asks for it now", by="team:toys", actor="ann", remove=True)
    done = export(world.stores, "toy", version, tmp_path / "retired.zip")
    model = read_manifest(world.stores, "toy", version).model_artifact
    assert [one.what for one in done.bundle.absent] == [f"artifact {model}"]
    found = checks(done.file)
    assert (found["references"].verdict, found["answers"].verdict) == (Verdict.PASS, Verdict.INCONCLUSIVE)
    assert "tombstone" in contents(done.file)["README.md"].decode()


@pytest.mark.requirement("A23")
def test_what_is_gone_without_a_tombstone_stops_the_export_and_leaves_no_file(world, tmp_path):
    version = versions(world)[0]
    manifest = read_manifest(world.stores, "toy", version)
    (world.home / "artifacts" / manifest.leaderboard[:2] / manifest.leaderboard).unlink()
    with pytest.raises(BundleRefused, match=manifest.leaderboard):
        export(world.stores, "toy", version, tmp_path / "out" / "half.zip")
    assert not list((tmp_path / "out").iterdir())
    with pytest.raises(BundleRefused, match="no version"):
        export(world.stores, "toy", "20250101-00000000", tmp_path / "none.zip")


@pytest.mark.requirement("A6", "A23")
def test_a_version_names_the_image_and_the_lock_that_it_was_made_with(monkeypatch, world):
    monkeypatch.delenv(IMAGE_VARIABLE, raising=False)
    outside = environment()
    monkeypatch.setenv(IMAGE_VARIABLE, "registry.example/retrain@sha256:0123")
    inside = environment()
    assert (outside.image, inside.image) == (None, "registry.example/retrain@sha256:0123")
    assert outside.digest != inside.digest
    # what was on record before images were is the same environment still
    assert outside.digest == sha256(canonical_json(outside.model_dump(mode="json", exclude={"image"})))
    lock = read_manifest(world.stores, "toy", versions(world)[0]).environment.lock_digest
    assert world.stores.artifacts.get(lock) == lock_text()


def test_a_read_is_bounded_whatever_the_archive_says(made):
    with archive.opened(made[0]) as reader, pytest.raises(BundleRefused, match="longer than the 3 bytes"):
        reader.read("README.md", 3)
