"""What we ship to start with: `dagster.yaml`, `workspace.yaml` and the Makefile's commands."""

import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import dagster as dg
import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def shipped_home(tmp_path, monkeypatch):
    shutil.copyfile(CHECKOUT / "dagster.yaml", tmp_path / "dagster.yaml")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.dagster_fact("K4", "K17")
def test_shipped_instance_watches_runs_frees_slots_and_sends_no_telemetry(shipped_home):
    with dg.DagsterInstance.get() as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert 0 < instance.run_monitoring_max_runtime_seconds <= 24 * 3600
        settings = instance.get_settings("run_monitoring")
        assert settings["free_slots_after_run_end_seconds"] <= 300
        pools = instance.get_concurrency_config().pool_config
        assert pools.default_pool_limit == 1
        assert instance.get_tick_retention_settings(dg._core.definitions.run_request.InstigatorType.SENSOR)


@pytest.mark.dagster_fact("K1")
def test_shipped_commands_bind_loopback():
    commands = re.findall(r"dagster (?:dev|-webserver)[^\n]*", (CHECKOUT / "Makefile").read_text())
    readme = re.findall(r"(?:dagster-webserver|dagster dev|dg dev)[^\n`]*", (CHECKOUT / "README.md").read_text())
    assert commands
    for command in commands:
        assert "-h 127.0.0.1" in command, command
    for command in readme:
        assert "0.0.0.0" not in command, command


def test_workspace_names_the_code_location():
    (location,) = yaml.safe_load((CHECKOUT / "workspace.yaml").read_text())["load_from"]
    assert location["python_module"] == {
        "module_name": "retrain_pipeline.definitions",
        "location_name": "retrain_pipeline",
    }


@pytest.mark.dagster_fact("K1")
@pytest.mark.slow
def test_a_read_only_server_refuses_to_launch(shipped_home, tmp_path):
    (tmp_path / "empty.py").write_text("import dagster as dg\ndefs = dg.Definitions()\n")
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "dagster_webserver",
        "--read-only",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-f",
        "empty.py",
    ]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        query = 'mutation { wipeAssets(assetPartitionRanges: [{assetKey: {path: ["x"]}}]) { __typename } }'
        url = f"http://127.0.0.1:{port}/graphql?query={urllib.parse.quote(query)}"
        for _ in range(120):
            try:
                answer = urllib.request.urlopen(url, timeout=5).read().decode()
                break
            except urllib.error.HTTPError as error:
                answer = error.read().decode()
                break
            except OSError:
                time.sleep(0.5)
        assert "UnauthorizedError" in answer or "unauthorized" in answer.lower(), answer
    finally:
        server.terminate()
        server.wait(20)
