"""The measurements under Dagster: after the release, and never in its way."""

import dagster as dg
import pytest

from retrain_pipeline.records.insights import insight_of


def newest(project, asset: str) -> dg.AssetMaterialization:
    event = project.instance.get_latest_materialization_event(dg.AssetKey(["toy", asset]))
    return event.asset_materialization


@pytest.mark.requirement("A16", "D32")
def test_a_release_is_measured_and_its_lineage_shown(released):
    shown = newest(released, "insight").metadata
    champion = released.stores.ledger.deployment("toy").state["champion"]
    record = insight_of(released.stores, "toy", champion)
    assert shown["version"].value == champion
    assert {one.feature for one in record.measured.importances} == {"a", "b", "ab", "kind"}
    assert [one.which for one in record.measured.paths] == ["typical", "worst", "borderline"]
    assert record.measured.ablation  # the first release is due
    assert "| a |" in shown["importances"].value
    deps = newest(released, "features").metadata["dagster/column_lineage"].value.deps_by_column
    raw = dg.AssetKey(["toy", "raw"])
    assert deps["ab"] == [dg.TableColumnDep(raw, "a"), dg.TableColumnDep(raw, "b")]
    assert deps["kind"] == [dg.TableColumnDep(raw, "kind")]
    frozen = newest(released, "training_set").metadata["dagster/column_lineage"].value.deps_by_column
    assert frozen["ab"] == [dg.TableColumnDep(dg.AssetKey(["toy", "features"]), "ab")]
    assert frozen["label"] == [dg.TableColumnDep(raw, "y")]


def test_measurements_that_fail_fail_no_retrain(make_project, monkeypatch):
    from retrain_pipeline.records import insights

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a fault of the measuring")

    monkeypatch.setattr(insights, "measure", broken)
    project = make_project()
    for week in range(4):
        assert project.player.data(project.period(week)).success
    assert project.materialize("training_set", "candidate", "evaluation", "release", "insight", "model_card").success
    assert project.stores.ledger.deployment("toy") is not None
    assert newest(project, "model_card").metadata["version"].value
    assert "a fault of the measuring" in newest(project, "insight").metadata["not_measured"].value
    key = dg.AssetCheckKey(dg.AssetKey(["toy", "insight"]), "measured")
    found = project.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    evaluation = found.event.dagster_event.asset_check_evaluation_data
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.WARN


def test_measurements_without_any_importance_are_no_pass(released, monkeypatch):
    from retrain_pipeline.records import insights

    champion = released.stores.ledger.deployment("toy").state["champion"]
    known = insight_of(released.stores, "toy", champion)
    empty = known.model_copy(update={"measured": known.measured.model_copy(update={"importances": ()})})
    monkeypatch.setattr(insights, "record_insight", lambda *_, **__: empty)
    assert released.materialize("insight").success
    key = dg.AssetCheckKey(dg.AssetKey(["toy", "insight"]), "measured")
    found = released.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert not found.event.dagster_event.asset_check_evaluation_data.passed
