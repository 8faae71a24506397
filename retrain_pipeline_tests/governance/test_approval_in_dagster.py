"""The same in Dagster: a release that waits fails with words, and the approval asset counts where roles let it."""

import dagster as dg
import pytest

from retrain_pipeline.assets.approval import approval_asset
from retrain_pipeline.assets.model import model_definitions
from retrain_pipeline.assets.release import release_asset
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.triggers.retrain import note_candidate
from retrain_pipeline_tests.gates.world import template, versions


@pytest.fixture
def launch(asking):
    """Materialize one asset of the model as Dagster's UI does; the newest version has been judged."""
    third = versions(asking.world)[2]
    assert asking.world.judge(third)[0].verdict == "PASS"
    note_candidate(asking.ledger, "toy", third, "run-8", "dagster")

    def run(build, **config):
        asset = build(asking.world.declaration)
        with dg.DagsterInstance.ephemeral() as instance:
            ops = {asset.key.to_python_identifier(): {"config": config}} if config else {}
            result = dg.materialize(
                [asset],
                instance=instance,
                resources={"stores": StoresResource(home=str(asking.world.home))},
                raise_on_error=False,
                run_config={"ops": ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
            if result.success:
                return "done"
            return next(e.step_failure_data.error.message for e in result.all_events if e.is_step_failure)

    return run


@pytest.mark.dagster_fact("K1", "K9")
@pytest.mark.requirement("B11")
def test_what_is_typed_in_dagster_counts_only_where_the_roles_say_so(asking, launch):
    because = "looked at slices and card"
    assert "no version waits" in launch(approval_asset, because=because, approver="alice")
    told = launch(release_asset)
    assert "approval is required" in told
    assert "retrain approve toy" in told
    assert "a person's word is signed" in launch(approval_asset, because=because, approver="alice")
    assert asking.ledger.entries(action="approved") == []
    asking.roles("people:", "unsigned_approvals: true\nmachines: []\npeople:")
    assert "dave has no role" in launch(approval_asset, because=because, approver="dave")
    assert launch(approval_asset, because=because, approver="alice") == "done"
    (entry,) = asking.ledger.entries(action="approved")
    assert (entry.actor, entry.subject, entry.payload["signature"]) == ("user:alice", versions(asking.world)[2], None)
    assert "lets machines nothing" in launch(release_asset)
    asking.roles("machines: []\n", "")
    assert launch(release_asset) == "done"
    assert asking.ledger.latest("toy", "released").payload["permit"]["by"] == "user:alice"


def test_a_reason_that_is_none_is_refused(asking, launch):
    launch(release_asset)
    asking.roles("people:", "unsigned_approvals: true\npeople:")
    assert "10 characters" in launch(approval_asset, because="ok", approver="alice")
    assert asking.ledger.entries(action="approved") == []


def test_only_a_model_that_asks_for_approvals_has_the_asset(asking):
    key = dg.AssetKey(["toy", "approval"])
    asks, does_not = (
        {asset.key for asset in model_definitions(one).assets or ()}
        for one in (asking.world.declaration, template().declaration)
    )
    assert key in asks
    assert asks - does_not == {key}
