"""Dagster's runs and the ledger's retrains say the same, or it is told and mended."""

import dagster as dg
import pytest

from retrain_pipeline.assets.common import MODEL_TAG, SIDE_TAG
from retrain_pipeline.assets.reconcile import known_runs
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.assets.triggers import alerts_sensor
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.stores import open_stores
from retrain_pipeline.triggers.reconcile import KnownRun, reconcile
from retrain_pipeline.triggers.retrain import TERMINAL, close_retrain
from retrain_pipeline.verdicts import Verdict

pytestmark = [pytest.mark.fault("G9"), pytest.mark.requirement("A7")]

TAGS = {SIDE_TAG: "model", MODEL_TAG: "toy"}


def start(ledger, run_id):
    ledger.append(NewEntry("sensor", "retrain_started", "toy", run_id=run_id, key=f"retrain_started:{run_id}"))


def run(run_id, alive=False):
    return KnownRun("toy", run_id, alive, "started" if alive else "failure")


def test_a_run_without_an_end_is_told_and_then_closed_once(ledger):
    for run_id in ("good", "dead", "alive"):
        start(ledger, run_id)
    ledger.append(NewEntry("dagster", "rejected", "toy", "v1", run_id="good"))
    runs = [run("good"), run("dead"), run("alive", True), run("never-started")]
    found = reconcile(ledger, runs, "test", close=False)
    assert found.verdict is Verdict.FAIL
    assert [words.split(":")[0] for words in found.problems] == ["toy dead", "toy never-started"]
    found = reconcile(ledger, runs, "test")
    assert (found.verdict, found.runs, found.closed) == (Verdict.PASS, 4, ("dead", "never-started"))
    again = reconcile(ledger, runs, "test", close=False)
    assert (again.verdict, again.closed) == (Verdict.PASS, ())
    ended = {entry.run_id: entry.payload.get("reason") for entry in ledger.entries(action=TERMINAL)}
    assert ended == {
        "good": None,
        "dead": "the run ended without a verdict (failure)",
        "never-started": "the run ended without a verdict (failure)",
    }


def test_two_ends_of_one_run_are_told(ledger):
    start(ledger, "r")
    for action in ("rejected", "released"):
        ledger.append(NewEntry("dagster", action, "toy", "v1", run_id="r"))
    found = reconcile(ledger, [run("r")], "test")
    assert (found.verdict, found.problems) == (Verdict.FAIL, ("toy r: 2 terminal entries, expected one",))


def test_a_run_that_was_deleted_in_dagster_is_closed_only_when_asked(ledger):
    start(ledger, "gone")
    found = reconcile(ledger, [], "test")
    assert "not known to the orchestrator" in found.problems[0]
    assert reconcile(ledger, [], "test", close_unknown=True).closed == ("gone",)
    close_retrain(ledger, "toy", "gone", "again", "test")
    assert len(ledger.entries(action=TERMINAL)) == 1


def test_no_run_at_all_is_no_pass(ledger):
    assert reconcile(ledger, [], "test").verdict is Verdict.INCONCLUSIVE


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def job_of(fails):
    @dg.op
    def step():
        if fails:
            raise dg.Failure("no")

    @dg.job(logger_defs={}, executor_def=dg.in_process_executor)
    def job():
        step()

    return job


def played(instance, fails=False, tags=TAGS):
    """Run a job that leaves nothing in the ledger, and return its id."""
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return job_of(fails).execute_in_process(
        instance=instance, tags=tags, raise_on_error=False, run_config=quiet
    ).run_id  # fmt: skip


def test_dagster_knows_its_retrains_and_those_launched_by_hand(instance):
    asked, failed = played(instance), played(instance, fails=True)
    by_hand, other = played(instance, tags={}), played(instance, tags={SIDE_TAG: "data"})
    waiting = instance.create_run_for_job(job_of(False), tags=TAGS).run_id
    found = {one.run_id: one for one in known_runs(instance, [by_hand, "unknown"])}
    assert set(found) == {asked, failed, by_hand, waiting}
    assert other not in found
    assert [found[one].alive for one in (asked, failed, waiting)] == [False, False, True]
    assert (found[failed].model, found[failed].status, found[by_hand].model) == ("toy", "failure", "")


@pytest.mark.dagster_fact("K10")
def test_a_retrain_that_succeeds_in_dagster_and_says_nothing_is_closed_by_the_alerts(instance, tmp_path):
    silent = played(instance)
    stores = open_stores(tmp_path)
    with dg.build_sensor_context(
        instance=instance, resources={"stores": StoresResource(home=str(tmp_path))}
    ) as context:  # fmt: skip
        alerts_sensor(["toy"]).evaluate_tick(context)
    (entry,) = stores.ledger.entries(action="retrain_failed")
    assert (entry.run_id, entry.model) == (silent, "toy")
    assert stores.ledger.entries(action="alerted")
    stores.close()
