"""The lake on object storage: a real S3 protocol, served by moto."""

import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from retrain_pipeline.lake.declared import Data
from retrain_pipeline.lake.deliveries import deliveries
from retrain_pipeline.lake.ingest import ingest_labels, ingest_period
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline_tests.lake.conftest import PERIOD, deliver, rows


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server of its own process: delta-rs waits for answers with the interpreter's lock held."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert server.poll() is None, "the S3 server ended"
            assert time.monotonic() < deadline, "the S3 server did not start"
            time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()


@pytest.fixture
def bucket(endpoint: str, request: pytest.FixtureRequest) -> str:
    import requests

    name = f"lake-{zlib.crc32(request.node.name.encode())}"
    requests.put(f"{endpoint}/{name}", timeout=10).raise_for_status()
    return name


@pytest.fixture
def lake(endpoint: str, bucket: str) -> Lake:
    options = {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONDITIONAL_PUT": "etag", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    return Lake(f"s3://{bucket}/lake", options)


def frame_of(*values: float) -> pd.DataFrame:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    events = pd.Series([start + timedelta(hours=hour) for hour in range(len(values))], dtype="datetime64[us, UTC]")
    return pd.DataFrame({"x": values, "_event_time": events, "_known_time": events})


@pytest.mark.requirement("D38")
def test_versions_on_object_storage_are_written_replaced_and_read_again(lake: Lake) -> None:
    first = lake.replace_partition("m", "raw", PERIOD, frame_of(1.0, 2.0))
    assert not lake.replace_partition("m", "raw", PERIOD, frame_of(1.0, 2.0)).changed
    lake.replace_partition("m", "raw", "2024-01-02", pd.DataFrame())
    snapshot = lake.snapshot("m", "raw", periods=[PERIOD])
    lake.replace_partition("m", "raw", PERIOD, frame_of(3.0))
    assert lake.read("m", "raw")["x"].tolist() == [3.0]
    assert lake.read("m", "raw", version=first.version)["x"].tolist() == [1.0, 2.0]
    assert lake.read_snapshot(snapshot)["x"].tolist() == [1.0, 2.0]
    assert lake.periods("m", "raw") == [PERIOD, "2024-01-02"]
    assert lake.version("m", "features") is None
    streamed = lake.lazy("m", "raw", [PERIOD, "2024-01-02"])
    assert streamed is not None
    assert streamed.collect(engine="streaming")["x"].to_list() == [3.0]


def test_an_inbox_is_taken_into_object_storage(lake: Lake, root: Path, declare: Callable[..., Data]) -> None:
    path = deliver(root / "inbox", "a.csv", rows(30).assign(temp=[999.0] + [1.0] * 29))
    data = declare()
    report = ingest_period(lake, data, "m", PERIOD, root=root)
    assert (report.rows, report.rejected) == (29, 1)
    assert ingest_labels(lake, data, "m", PERIOD, root=root).rows == 29
    whole = path.read_bytes()
    path.unlink()
    again = ingest_period(lake, data, "m", PERIOD, root=root)
    assert again.write is not None
    assert not again.write.changed
    (one,) = deliveries(lake, "m")
    with lake.filesystem("m", "inbox").open_input_file(f"{one.digest}/original") as file:
        assert file.read() == whole
    mild = declare(
        source={"kind": "csv", "path": "inbox", "settle_seconds": 0, "missing": ("", "999.0")}, max_rejected_share=1
    )
    assert ingest_period(lake, mild, "m", PERIOD, root=root).rows == 29  # read again from the kept bytes
