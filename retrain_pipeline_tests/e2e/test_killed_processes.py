"""The daemon, the webserver and the code server of the shipped configuration, killed where it hurts."""

import http.client
import os
import signal
import urllib.error
from collections import Counter

import psutil
import pytest

from retrain_pipeline.triggers.retrain import TERMINAL
from retrain_pipeline_tests.e2e.dying import LAUNCH, SENSOR, TICK
from retrain_pipeline_tests.e2e.process_models import copied
from retrain_pipeline_tests.e2e.shipped import CHECKOUT, Shipped
from retrain_pipeline_tests.e2e.shipped import LAUNCH as LAUNCH_RUN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
DYING = str(CHECKOUT / "retrain_pipeline_tests" / "e2e" / "dying.py")


@pytest.fixture
def alone(ingested, tmp_path):
    """A function that gives the project with some of its models, of which nothing runs yet."""
    made: list[Shipped] = []

    def make(*models: str) -> Shipped:
        made.append(copied(ingested, tmp_path / "alone", *models))
        return made[0]

    yield make
    for shipped in made:
        shipped.stop()
        print(shipped.logs())  # pytest shows it only of a test that failed
        assert shipped.processes() == []


def retrains(shipped: Shipped, model: str = "toy"):
    return shipped.runs(**{"retrain/model": model, "retrain/side": "model"})


@pytest.mark.fault("P5")
def test_a_daemon_killed_at_every_place_of_a_tick_asks_for_exactly_one_run(alone):
    """Killed at the first place; the next daemon at the second, and so on; the last one is left alone."""
    shipped = alone("toy")
    seen = []
    for place in TICK:
        daemon = shipped.start("daemon", DYING, place, "dagster._daemon", "run", "-w", "workspace.yaml")
        shipped.until(lambda daemon=daemon: daemon.poll() is not None, f"the daemon is killed at {place}")
        assert daemon.returncode == -signal.SIGKILL
        seen.append(len(retrains(shipped)))
        assert not shipped.entries(action="rejected")
    assert seen == sorted(seen)
    assert set(seen) <= {0, 1}
    shipped.start("daemon", DYING, "nowhere", "dagster._daemon", "run", "-w", "workspace.yaml")
    shipped.until(lambda: shipped.entries(model="toy", action="released"), "the model is released")
    before = ticks(shipped)
    shipped.until(lambda: ticks(shipped)["SKIPPED"] > before["SKIPPED"], "the sensor looked again and had no reason")
    [run] = retrains(shipped)
    assert shipped.ended(run.run_id) == "SUCCESS"
    for action in ("retrain_started", "released"):
        [entry] = shipped.entries(action=action)
        assert entry.run_id == run.run_id


def ticks(shipped: Shipped) -> Counter[str]:
    """Return how the ticks of the sensor ended."""
    with shipped.instance() as instance:
        states = [one for one in instance.all_instigator_state() if one.instigator_name == SENSOR]
        found = [instance.get_ticks(one.instigator_origin_id, one.selector_id) for one in states]
    return Counter(tick.status.value for one in found for tick in one)


@pytest.mark.fault("P6")
@pytest.mark.dagster_fact("K1")
def test_a_webserver_killed_during_a_launch_gives_one_run_or_none_and_a_read_only_one_none(alone):
    shipped = alone("toy")
    expected = dict(zip(LAUNCH, (0, 1, 1), strict=True))
    options = ("-h", "127.0.0.1", "-p", str(shipped.port), "-w", "workspace.yaml")
    for place in LAUNCH:
        webserver = shipped.start("webserver", DYING, place, "dagster_webserver", *options)
        shipped.await_server()
        with pytest.raises((ConnectionError, http.client.HTTPException, urllib.error.URLError)):
            shipped.launch("toy", "drill", tags={"place": place.replace(" ", "-")})
        shipped.until(lambda server=webserver: server.poll() is not None, f"the webserver is killed: {place}")
        assert webserver.returncode == -signal.SIGKILL
    shipped.start_webserver("--read-only")
    answer = shipped.graphql(LAUNCH_RUN, **shipped.asked("toy", ["drill"], {"place": "read-only"}))
    assert answer["launchRun"]["__typename"] == "UnauthorizedError"
    found = {place: shipped.runs(place=place.replace(" ", "-")) for place in LAUNCH}
    assert {place: len(runs) for place, runs in found.items()} == expected
    assert [run.status.value for place in LAUNCH for run in found[place]] == ["NOT_STARTED", "QUEUED"]
    assert not shipped.runs(place="read-only")
    # What was asked for by nobody who still waits is run once by the daemon; what was never submitted is not.
    shipped.start_daemon()
    [queued], [unsubmitted] = found[LAUNCH[2]], found[LAUNCH[1]]
    shipped.ended(queued.run_id)
    assert steps_started(shipped, queued.run_id) == 1
    assert steps_started(shipped, unsubmitted.run_id) == 0


def steps_started(shipped: Shipped, run_id: str) -> int:
    return sum(bool(one.dagster_event and one.dagster_event.is_step_start) for one in shipped.events(run_id))


@pytest.mark.fault("P30", "P4", "P22")
@pytest.mark.dagster_fact("K3", "K4")
def test_a_run_whose_code_server_died_and_whose_worker_hangs_frees_its_slot_and_releases_nothing(alone):
    """Two models want the one slot of the pool. The run that has it hangs, is given up, and wakes up after that."""
    shipped = alone("toy", "twin")
    order = shipped.order("hold")
    shipped.start_daemon()
    worker, model = shipped.worker_at(order)
    other = "twin" if model == "toy" else "toy"
    [hanging] = retrains(shipped, model)
    [waiting] = shipped.until(lambda: retrains(shipped, other), f"{other} is asked for")
    shipped.until(
        lambda: shipped.entries(run_id=waiting.run_id, action="training_set_frozen"), f"{other} is at the pool"
    )
    worker.send_signal(signal.SIGSTOP)
    for server in shipped.code_servers():
        os.kill(server.pid, signal.SIGKILL)
    order.unlink()
    assert slot_holders(shipped) == {hanging.run_id}
    assert shipped.status(hanging.run_id) == "STARTED"  # for ever, but for the run monitor
    with shipped.instance() as instance:
        instance.add_run_tags(hanging.run_id, {"dagster/max_runtime": "1"})  # instead of the shipped two hours
    assert shipped.ended(hanging.run_id) == "FAILURE"
    shipped.until(lambda: shipped.entries(run_id=waiting.run_id, action="released"), f"{other} got the slot")
    # The daemon has no code server, so no sensor, until it starts itself another: once a minute it looks after them.
    [alert] = shipped.until(lambda: shipped.alerts(hanging.run_id), "the run that was given up is in the alert log")
    assert alert["words"].startswith("retrain failed timeout: Dagster run failure")
    [entry] = shipped.entries(run_id=hanging.run_id, action=TERMINAL)
    assert (entry.action, entry.payload["cause"]) == ("retrain_failed", "timeout")
    worker.send_signal(signal.SIGCONT)
    shipped.until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, "the orphan has ended")
    assert shipped.entries(run_id=hanging.run_id, action="judged"), "it came as far as its release"
    assert len(shipped.entries(run_id=hanging.run_id, action=TERMINAL)) == 1
    assert shipped.champion(model) is None
    assert slot_holders(shipped) == set()


def slot_holders(shipped: Shipped) -> set[str]:
    with shipped.instance() as instance:
        slots = instance.event_log_storage.get_concurrency_info("training").claimed_slots
    return {slot.run_id for slot in slots}
