"""Bytes that are whole, private, and what their name says; or an error that tells what to do."""

import errno
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrain_pipeline.artifacts import (
    ArtifactDamaged,
    ArtifactMissing,
    ArtifactRefused,
    Artifacts,
    ArtifactsUnreachable,
    DigestRefused,
    check_digest,
)
from retrain_pipeline.canonical import NotCanonical, sha256
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.files import write_whole

FORK = multiprocessing.get_context("fork")
OLD_SECONDS = 400 * 24 * 3600


def files_under(folder):
    return sorted(str(file.relative_to(folder)) for file in Path(folder).rglob("*") if file.is_file())


def make_old(path):
    os.utime(path, (time.time() - OLD_SECONDS,) * 2)


@pytest.fixture(scope="module")
def s3_url():
    """A bucket of a real S3 server (moto), credentials in the environment."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():  # fmt: skip
            patch.setenv(name, value)
        import boto3

        boto3.client("s3").create_bucket(Bucket="models")
        yield "s3://models/artifacts"
    server.stop()


@pytest.fixture(params=["folder", "file url", "memory", "s3"])
def any_artifacts(request, tmp_path):
    if request.param == "s3":
        return Artifacts(f"{request.getfixturevalue('s3_url')}/{tmp_path.name}")
    return Artifacts(
        {"folder": tmp_path, "file url": f"file://{tmp_path}", "memory": f"memory://{tmp_path.name}"}[request.param]
    )


def test_bytes_come_back_under_their_digest(any_artifacts):
    assert not any_artifacts.exists(sha256(b"model"))
    digest = any_artifacts.put(b"model")
    assert digest == sha256(b"model")
    assert any_artifacts.get(digest) == b"model"
    assert any_artifacts.exists(digest)
    assert any_artifacts.path(digest).endswith(f"/{digest[:2]}/{digest}")
    assert any_artifacts.put(b"model") == digest
    assert any_artifacts.put(b"") == sha256(b"")
    assert any_artifacts.get(sha256(b"")) == b""


def test_json_comes_back_in_one_spelling(any_artifacts):
    digest = any_artifacts.put_json({"b": 1, "a": [0.5, None]})
    assert any_artifacts.get(digest) == b'{"a":[0.5,null],"b":1}'
    assert any_artifacts.put_json({"a": [0.5, None], "b": 1}) == digest
    assert any_artifacts.get_json(digest) == {"a": [0.5, None], "b": 1}
    with pytest.raises(NotCanonical):
        any_artifacts.put_json({"x": float("nan")})


def test_what_is_not_there_is_missing(any_artifacts):
    with pytest.raises(ArtifactMissing, match=sha256(b"never put")):
        any_artifacts.get(sha256(b"never put"))


@pytest.mark.fault("P11")
@pytest.mark.parametrize("damage", [b"", b"mode", b"modem", b"model and more"])
def test_damaged_bytes_are_never_handed_out_and_a_new_put_repairs_them(any_artifacts, damage):
    digest = any_artifacts.put(b"model")
    any_artifacts._place(digest).write_bytes(damage)
    with pytest.raises(ArtifactDamaged, match=digest):
        any_artifacts.get(digest)
    assert any_artifacts.put(b"model") == digest
    assert any_artifacts.get(digest) == b"model"


def test_unreferenced_objects_are_swept_after_their_grace(any_artifacts):
    keep, drop = any_artifacts.put(b"keep"), any_artifacts.put(b"drop")
    assert any_artifacts.sweep({keep}, grace_hours=2) == []
    assert any_artifacts.exists(drop)
    with pytest.raises(ValueError, match="at least 2"):
        any_artifacts.sweep(set(), grace_hours=1)


@pytest.mark.fault("P32")
def test_a_sweep_keeps_what_is_reachable_young_or_put_again(artifacts):
    reachable, old, young, again = (artifacts.put(data) for data in (b"1", b"2", b"3", b"4"))
    for digest in (reachable, old, again):
        make_old(artifacts.path(digest))
    assert artifacts.put(b"4") == again
    assert artifacts.sweep({reachable}) == [old]
    assert [artifacts.exists(digest) for digest in (reachable, old, young, again)] == [True, False, True, True]


@pytest.mark.fault("P32")
def test_a_sweep_of_an_object_store_keeps_what_was_put_again(s3_url, monkeypatch):
    artifacts = Artifacts(f"{s3_url}/swept")
    old, again = artifacts.put(b"old"), artifacts.put(b"again")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + OLD_SECONDS)
    before = artifacts._place(again).fs.modified(artifacts._place(again).path)
    time.sleep(1.1)  # S3 counts in seconds
    artifacts.put(b"again")
    assert artifacts._place(again).fs.modified(artifacts._place(again).path) > before
    assert artifacts.sweep({again}) == [old]
    assert artifacts.exists(again)
    assert not artifacts.exists(old)


def test_sweeping_nothing_is_no_error(any_artifacts):
    assert any_artifacts.sweep(set()) == []
    assert any_artifacts.collect_garbage() == 0


@pytest.mark.parametrize(
    "digest", ["", "abc", "../" + "a" * 61, "A" * 64, "a" * 65, "a" * 64 + "\n", "%2e" + "a" * 61, None, b"a" * 64]
)
@pytest.mark.fault("S3")
def test_a_digest_that_could_be_a_path_is_refused(artifacts, digest):
    for use in (artifacts.get, artifacts.exists, artifacts.path, check_digest):
        with pytest.raises(DigestRefused):
            use(digest)


@given(data=st.binary(max_size=2000))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_come_back(artifacts, data):
    assert artifacts.get(artifacts.put(data)) == data


@pytest.mark.fault("S17")
def test_a_local_store_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        artifacts = Artifacts(tmp_path / "new" / "store")
        path = Path(artifacts.path(artifacts.put(b"x")))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert {folder.stat().st_mode & 0o777 for folder in list(path.parents)[:3]} == {0o700}


def test_equal_bytes_that_are_there_are_left_alone(artifacts):
    path = Path(artifacts.path(artifacts.put(b"x")))
    inode = path.stat().st_ino
    artifacts.put(b"x")
    assert path.stat().st_ino == inode


@pytest.mark.fault("S17")
def test_temporary_names_cannot_be_guessed(artifacts, monkeypatch):
    seen = []
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: (seen.append(Path(source)), real(source, target)))
    first, second = artifacts.put(b"1"), artifacts.put(b"2")
    assert [file.parent for file in seen] == [Path(artifacts.path(digest)).parent for digest in (first, second)]
    assert len({file.name for file in seen}) == 2
    assert all(file.name.startswith(".tmp-") and len(file.name) >= 12 for file in seen)


@pytest.mark.fault("P9")
def test_bytes_are_synced_before_their_rename_and_the_name_after_it(artifacts, monkeypatch):
    """The order that a power loss cannot break: no name without its bytes, no success without its name."""
    done = []
    sync, replace = os.fsync, os.replace

    def spied_sync(descriptor):
        done.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}"))))
        sync(descriptor)

    def spied_replace(source, target):
        done.append(("rename", Path(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", spied_sync)
    monkeypatch.setattr(os, "replace", spied_replace)
    path = Path(artifacts.path(artifacts.put(b"x")))
    (kind, temporary), *after = done[-3:]
    assert (kind, temporary.parent, temporary.name[:5]) == ("sync", path.parent, ".tmp-")
    assert after == [("rename", path), ("sync", path.parent)]
    assert ("sync", path.parents[1]) in done[:-3]  # the new folder has its name, too
    done.clear()
    artifacts.put(b"x")  # another writer put it, and may not have come to its last sync
    assert done == [("sync", path.parent)]


def put_and_die(artifacts, data, moment):
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(os, moment, die)
    artifacts.put(data)


@pytest.mark.fault("P1", "P2")
@pytest.mark.parametrize("moment", ["fsync", "replace"])
@pytest.mark.parametrize("before", [None, b"torn"])
def test_kill_nine_in_the_middle_of_a_write_leaves_only_a_temporary_file(artifacts, moment, before):
    old = artifacts.put(b"champion")
    digest = sha256(b"challenger")
    place = Path(artifacts.path(digest))
    place.parent.mkdir(exist_ok=True)
    if before is not None:
        place.write_bytes(before)
    child = FORK.Process(target=put_and_die, args=(artifacts, b"challenger", moment))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    (temporary,) = place.parent.glob(".tmp-*")
    assert artifacts.get(old) == b"champion"
    with pytest.raises(ArtifactMissing if before is None else ArtifactDamaged):
        artifacts.get(digest)
    assert artifacts.sweep({old, digest}) == []  # no object, so not swept as one
    assert artifacts.collect_garbage() == 0  # young: its writer may live
    assert artifacts.put(b"challenger") == digest
    make_old(temporary)
    assert artifacts.collect_garbage() == 1
    assert not temporary.exists()
    assert artifacts.get(digest) == b"challenger"


def put_for_ever(artifacts, acknowledged):
    number = 0
    while True:
        artifacts.put(b"%d " % number * 50_000)
        os.write(acknowledged, b".")
        number += 1


@pytest.mark.fault("P2")
def test_kill_nine_at_any_moment_loses_nothing_that_was_acknowledged(artifacts):
    for wait in (0.0, 0.004, 0.011, 0.02):
        reader, writer = os.pipe()
        child = FORK.Process(target=put_for_ever, args=(artifacts, writer))
        child.start()
        os.close(writer)
        acknowledged = len(os.read(reader, 1))
        time.sleep(wait)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        while more := os.read(reader, 4096):
            acknowledged += len(more)
        os.close(reader)
        assert acknowledged > 0
        for number in range(acknowledged):
            artifacts.get(sha256(b"%d " % number * 50_000))


@pytest.mark.fault("P33")
def test_eight_writers_of_the_same_bytes_and_a_reader_see_them_whole(artifacts):
    data = os.urandom(300_000)
    digest, torn = sha256(data), []
    Path(artifacts.path(digest)).parent.mkdir(parents=True)
    Path(artifacts.path(digest)).write_bytes(b"damaged: each writer repairs it")

    def read():
        while any(writer.is_alive() for writer in writers):
            seen = Path(artifacts.path(digest)).read_bytes()
            if seen not in (data, b"damaged: each writer repairs it"):
                torn.append(len(seen))

    writers = [FORK.Process(target=artifacts.put, args=(data,)) for _ in range(8)]
    for writer in writers:
        writer.start()
    read()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 8
    assert torn == []
    assert files_under(artifacts._folder) == [f"{digest[:2]}/{digest}"]


@pytest.mark.fault("P8")
def test_a_full_disk_is_a_clean_error_with_its_mend(small_disk):
    artifacts = Artifacts(small_disk)
    old = artifacts.put(b"champion")
    with pytest.raises(ArtifactRefused, match=r"No space left on device; free space") as refused:
        artifacts.put(os.urandom(500_000))
    assert str(small_disk) in str(refused.value)
    assert isinstance(refused.value, PermanentError)
    assert files_under(small_disk) == [f"{old[:2]}/{old}"]
    assert artifacts.get(old) == b"champion"
    assert artifacts.get(artifacts.put(b"challenger")) == b"challenger"


@pytest.mark.fault("P8")
def test_a_disk_without_inodes_is_a_clean_error(small_disk):
    artifacts = Artifacts(small_disk)
    stored = []

    def put_on():
        while True:
            stored.append(artifacts.put(b"%d" % len(stored)))

    with pytest.raises(ArtifactRefused, match="inodes"):
        put_on()
    assert stored
    assert all(".tmp-" not in name for name in files_under(small_disk))
    assert [artifacts.get(digest) for digest in stored] == [b"%d" % number for number in range(len(stored))]


def put_with_a_size_limit(artifacts, queue):
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    try:
        artifacts.put(b"x" * 20_000)
    except ArtifactRefused as error:
        queue.put((str(error), error.__cause__.errno))


@pytest.mark.fault("P8")
def test_a_file_beyond_the_size_limit_is_a_clean_error(artifacts):
    queue = FORK.SimpleQueue()
    child = FORK.Process(target=put_with_a_size_limit, args=(artifacts, queue))
    child.start()
    words, number = queue.get()
    child.join()
    assert number == errno.EFBIG
    assert words.endswith("raise the limit on file sizes")
    assert files_under(artifacts._folder) == []


@pytest.mark.fault("P8", "P9")
@pytest.mark.parametrize(
    ("number", "mend"),
    [(errno.EDQUOT, "raise the quota"), (errno.EIO, "replace the disk"), (errno.EBUSY, "see its cause")],
)
def test_an_fsync_that_fails_is_a_clean_error(artifacts, monkeypatch, number, mend):
    # A quota and a dying disk cannot be had here for real, so the system call fails in their place.
    old = artifacts.put(b"champion")

    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(ArtifactRefused, match=mend):
            artifacts.put(b"challenger")
    assert [name for name in files_under(artifacts._folder) if old not in name] == []
    assert artifacts.get(old) == b"champion"
    assert artifacts.get(artifacts.put(b"challenger")) == b"challenger"


def use_as_nobody(artifacts, digest, queue):
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    for use in (lambda: artifacts.put(b"new"), lambda: artifacts.get(digest), lambda: artifacts.get(sha256(b"free"))):
        try:
            queue.put(use())
        except ArtifactRefused as error:
            queue.put(str(error))


@pytest.mark.fault("P10")
def test_a_store_that_may_only_be_read_goes_on_serving():
    home = Path(tempfile.mkdtemp())
    try:
        artifacts = Artifacts(home)
        private, free = artifacts.put(b"private"), artifacts.put(b"free")
        Path(artifacts.path(private)).chmod(0)
        Path(artifacts.path(free)).chmod(0o444)
        for folder in (home, *home.iterdir()):
            folder.chmod(0o555)
        queue = FORK.SimpleQueue()
        child = FORK.Process(target=use_as_nobody, args=(artifacts, private, queue))
        child.start()
        child.join()
        assert "not written: Permission denied; give this user the permission" in queue.get()
        assert "not read: Permission denied" in queue.get()
        assert queue.get() == b"free"
    finally:
        for folder in (home, *home.iterdir()):
            folder.chmod(0o755)
        shutil.rmtree(home)


def test_a_failed_write_keeps_the_old_bytes(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"old")
    with pytest.raises(TypeError):
        write_whole(path, "text")
    assert path.read_bytes() == b"old"
    assert files_under(tmp_path) == ["file"]


def test_a_store_shows_where_it_is_and_no_secret(tmp_path):
    assert repr(Artifacts(tmp_path)) == f"Artifacts({tmp_path})"
    artifacts = Artifacts("sftp://user:secret@host/models/")
    assert "secret" not in repr(artifacts)
    assert artifacts.path("a" * 64) == "sftp://…@host/models/aa/" + "a" * 64


def put_in_child(artifacts, queue):
    queue.put(artifacts.put(b"from the child"))


def test_an_object_store_serves_a_child_after_a_fork_and_threads(s3_url):
    artifacts = Artifacts(f"{s3_url}/forked")
    artifacts.put(b"from the parent")
    queue = FORK.SimpleQueue()
    child = FORK.Process(target=put_in_child, args=(artifacts, queue))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert artifacts.get(queue.get()) == b"from the child"
    threads = [threading.Thread(target=artifacts.put, args=(b"%d" % n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(artifacts.exists(sha256(b"%d" % n)) for n in range(4))


@pytest.mark.fault("P34")
def test_an_object_store_that_cannot_be_reached_is_an_error_with_its_address(s3_url):
    with pytest.raises(ArtifactRefused, match="s3://no-such-bucket"):
        Artifacts("s3://no-such-bucket/x").put(b"x")
    quick = {
        "endpoint_url": "http://127.0.0.1:1",
        "config_kwargs": {"retries": {"max_attempts": 1}, "connect_timeout": 1},
    }
    nowhere = Artifacts("s3://models/x", storage_options=quick)
    for use in (lambda: nowhere.put(b"x"), lambda: nowhere.get("a" * 64), lambda: nowhere.exists("a" * 64)):
        with pytest.raises(ArtifactsUnreachable, match="s3://models/x"):
            use()


def test_an_object_store_without_credentials_is_a_permanent_error(s3_url, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ArtifactRefused, match="credentials"):
        Artifacts(s3_url, storage_options={"skip_instance_cache": True}).put(b"x")
