"""The audit under Dagster: its checks say three things, its findings are a table, and a schedule asks for it."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from retrain_pipeline.assets.audit import audit_schedule
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.records.audit.checks import CHECKS
from retrain_pipeline.records.kinds.audit import Audit
from retrain_pipeline.records.record import records


@pytest.mark.requirement("A36", "A11")
def test_an_audit_shows_what_it_found(released):
    run = released.materialize("audit")
    assert run.success
    checks = {one.check_name: one for one in run.get_asset_check_evaluations()}
    assert set(checks) == set(CHECKS)
    told = {name: one.metadata["verdict"].value for name, one in checks.items()}
    # the decision of this folder has no front matter, and no retention is declared
    assert told["reviews"] == "FAIL"
    assert told["references"] == "PASS"
    assert told["retention"] == "INCONCLUSIVE"
    assert not checks["retention"].passed
    [shown] = run.get_asset_materialization_events()
    page = shown.materialization.metadata["audit"].value
    assert page.startswith("#### Audit of toy, ")
    assert "| reviews | FAIL |" in page
    assert "Annex IV" in shown.materialization.metadata["annex_iv"].value
    assert 0 <= shown.materialization.metadata["ml_test_score"].value <= 7
    [recorded] = records(released.stores, "toy", Audit.KIND)
    assert recorded.entry.run_id == run.run_id
    assert recorded.read(Audit).result("references").n > 10


def test_the_schedule_asks_for_models_that_the_ledger_knows(released):
    schedule = audit_schedule([released.declaration])
    moment = datetime(2026, 6, 1, 6, 15, tzinfo=UTC)
    resource = StoresResource(home=str(released.folder / "state"))
    context = dg.build_schedule_context(scheduled_execution_time=moment, resources={"stores": resource})
    [asked] = schedule.evaluate_tick(context).run_requests
    assert asked.run_key == "audit-toy-20260601"
    assert [key.to_user_string() for key in asked.asset_selection] == ["toy/audit"]
    empty = StoresResource(home=str(released.folder / "empty"))
    tick = schedule.evaluate_tick(
        dg.build_schedule_context(scheduled_execution_time=moment, resources={"stores": empty})
    )
    assert tick.skip_message == "no audit is due, in 1 models"
