"""The shipped configuration under `make serve`, with real processes: what is forged, told to stop, killed."""

import os
import signal

import psutil
import pytest

from retrain_pipeline.triggers.retrain import TERMINAL
from retrain_pipeline_tests.e2e.process_models import copied
from retrain_pipeline_tests.e2e.shipped import TERMINATE, Shipped

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def served(ingested, tmp_path_factory):
    """What `make serve` starts, after its own sensor asked for the first model and the gates released it."""
    shipped = copied(ingested, tmp_path_factory.mktemp("served"), "toy", "greedy")
    try:
        shipped.start_as_make_does()
        shipped.until(lambda: shipped.entries(model="toy", action="released"), "the first model is released")
        yield shipped
    finally:
        shipped.stop()
        assert shipped.processes() == []


@pytest.fixture(autouse=True)
def logs(request):
    """Print the logs after each test; pytest shows them only of one that failed."""
    yield
    if "served" in request.fixturenames:
        print(request.getfixturevalue("served").logs())


def residue(shipped: Shipped) -> list[str]:
    """Return what a write that was cut off would leave: temporary files."""
    return sorted(str(path) for path in shipped.state.rglob("*") if path.name.startswith(".tmp"))


def lake(shipped: Shipped) -> set[tuple[str, int]]:
    return {(str(path), path.stat().st_size) for path in (shipped.state / "lake").rglob("*") if path.is_file()}


def pool_is_free(shipped: Shipped) -> bool:
    with shipped.instance() as instance:
        return instance.event_log_storage.get_concurrency_info("training").active_slot_count == 0


def mid_training(shipped: Shipped, model: str = "toy", **tags: str) -> tuple[str, psutil.Process]:
    """Launch the model side and return its run and worker when it holds the pool's slot, in the `candidate` step."""
    order = shipped.order("hold")
    run_id = shipped.launch(model, tags=tags)
    worker, found = shipped.worker_at(order)
    assert found == model
    assert not pool_is_free(shipped)
    return run_id, worker


def let_go(shipped: Shipped) -> None:
    (shipped.state / "orders" / "hold").unlink(missing_ok=True)


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def closed(shipped: Shipped, run_id: str):
    """Wait for the one terminal entry of a run and return it."""
    shipped.until(lambda: shipped.entries(run_id=run_id, action=TERMINAL), f"run {run_id} is closed in the ledger")
    [entry] = shipped.entries(run_id=run_id, action=TERMINAL)
    return entry


@pytest.mark.dagster_fact("K1")
def test_what_make_serve_starts_listens_on_loopback_only(served):
    listening = [
        (one.name(), socket.laddr.ip, socket.laddr.port)
        for one in served.processes()
        for socket in one.net_connections("tcp")
        if socket.status == psutil.CONN_LISTEN
    ]
    assert {port for _, _, port in listening} >= {served.port}
    assert {address for _, address, _ in listening} == {"127.0.0.1"}, listening


@pytest.mark.dagster_fact("K2", "K9")
@pytest.mark.fault("S9")
def test_checks_and_materializations_forged_over_http_release_nothing(served):
    """Built and never judged; every gate forged as passed from outside, then the release asset alone."""
    before = served.champion("toy")
    built = served.launch("toy", "training_set", "candidate")
    assert served.ended(built) == "SUCCESS"
    [candidate] = served.entries(run_id=built, action="candidate_built")
    [judged] = served.entries(model="toy", action="judged", limit=1)
    gates = judged.payload["gates"]
    assert len(gates) > 10
    for gate in gates:
        forged = {"check_name": gate, "passed": True}
        status, answer = served.post("/report_asset_check/toy/evaluation", forged)
        assert status == 200, answer  # Dagster believes it
    status, answer = served.post("/report_asset_materialization/toy/evaluation", {})
    assert status == 200, answer
    run_id = served.launch("toy", "release")
    assert served.ended(run_id) == "FAILURE"
    told = [event.dagster_event.step_failure_data.error_display_string for event in served.events(run_id)
            if event.dagster_event and event.dagster_event.is_step_failure]  # fmt: skip
    assert "never judged" in told[0]
    assert candidate.subject in told[0]
    assert served.champion("toy") == before
    assert not served.entries(run_id=run_id, action="released")


@pytest.mark.dagster_fact("K10")
def test_a_failed_gate_is_told_by_the_shipped_alert_sensor(served):
    """The same model again is no better: rejected, and Dagster's own alerts know nothing of why."""
    before = served.champion("toy")
    run_id = served.launch("toy")
    served.ended(run_id)
    entry = closed(served, run_id)
    assert entry.action == "rejected"
    [alert] = served.until(lambda: served.alerts(run_id), "the rejection is in the alert log")
    assert (alert["kind"], alert["model"]) == ("rejected", "toy")
    assert "quality" in alert["words"]
    assert served.champion("toy") == before


@pytest.mark.fault("P7")
def test_a_fit_without_end_of_memory_is_recorded_as_such_and_releases_nothing(served):
    """The sensor asked for it: RLIMIT_DATA ends the fit with a MemoryError, not the machine with a killed daemon."""
    [started] = served.until(lambda: served.entries(model="greedy", action="retrain_started"), "greedy is asked for")
    entry = closed(served, started.run_id)
    assert (entry.action, entry.payload["cause"]) == ("retrain_failed", "oom")
    assert "greedy: out of memory" in entry.payload["reason"]
    assert served.ended(started.run_id) == "FAILURE"
    assert served.champion("greedy") is None
    [alert] = served.until(lambda: served.alerts(started.run_id), "it is in the alert log")
    assert (alert["kind"], alert["words"].split(":")[0]) == ("retrain_failed", "retrain failed oom")
    assert served.until(lambda: pool_is_free(served), "the pool is free")


@pytest.mark.fault("P36")
@pytest.mark.parametrize("how", ["SIGTERM", "Terminate"])
def test_a_run_that_is_told_to_stop_in_mid_step_is_cancelled_on_record_and_leaves_nothing(served, how):
    before, table_files = served.champion("toy"), lake(served)
    run_id, worker = mid_training(served)
    if how == "SIGTERM":
        os.kill(worker.pid, signal.SIGTERM)
    else:
        assert served.graphql(TERMINATE, run=run_id)["terminateRun"]["__typename"] == "TerminateRunSuccess"
    try:
        assert served.ended(run_id) == ("FAILURE" if how == "SIGTERM" else "CANCELED")
        entry = closed(served, run_id)
        assert (entry.action, entry.payload["cause"], entry.actor) == ("retrain_failed", "cancelled", "dagster")
        assert entry.payload["reason"].startswith("toy/candidate: told to stop")
        served.until(lambda: gone(worker), "the worker is gone")
    finally:
        let_go(served)
    assert residue(served) == []
    assert lake(served) == table_files
    assert served.champion("toy") == before
    assert [one.action for one in served.entries(run_id=run_id)][:2] == ["retrain_started", "training_set_frozen"]
    assert not served.entries(run_id=run_id, action=("candidate_registered", "candidate_built"))
    assert served.until(lambda: pool_is_free(served), "the pool is free")


@pytest.mark.fault("P7")
@pytest.mark.dagster_fact("K3")
def test_a_worker_killed_in_training_leaves_no_process_and_is_closed_with_its_cause(served):
    """SIGKILL is what the kernel sends when memory is out; where it counted no such kill, the record claims none."""
    before = served.champion("toy")
    run_id, worker = mid_training(served, **{"retrain/model": "toy", "retrain/side": "model"})
    family = [worker, *worker.children(recursive=True)]
    os.kill(worker.pid, signal.SIGKILL)
    try:
        assert served.ended(run_id) == "FAILURE"
        served.until(lambda: all(gone(one) for one in family), "no process of the run is left")
        entry = closed(served, run_id)
        assert (entry.action, entry.payload["cause"]) == ("retrain_failed", "killed")
        assert "signal 9 (SIGKILL)" in entry.payload["reason"]
    finally:
        let_go(served)
    assert served.until(lambda: served.alerts(run_id), "it is in the alert log")[0]["kind"] == "retrain_failed"
    assert served.champion("toy") == before
    assert not served.entries(run_id=run_id, action=("candidate_registered", "candidate_built", "released"))
    assert served.until(lambda: pool_is_free(served), "the pool is free")
