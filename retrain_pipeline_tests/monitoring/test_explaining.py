"""Reasons: estimates before labels come, their reconciliation, and faults that no retrain must learn."""

import json
from pathlib import Path

import pytest

from retrain_pipeline.alerts import raise_alerts
from retrain_pipeline.monitoring.diagnosis import Cause
from retrain_pipeline.monitoring.late import known_rows, late_labels, read_triangle
from retrain_pipeline.monitoring.looking import read_champion
from retrain_pipeline.verdicts import Verdict


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """Nine weeks with labels three weeks late, then a champion and five weeks of it, each monitored."""
    from retrain_pipeline_tests.monitoring.conftest import new_world

    world = new_world(tmp_path_factory.mktemp("late"), label={"delay_hours": 24 * 21}, report={"every": 1000})
    for week in range(9):
        world.pass_week(week)
    world.release(8)
    world.reports = {}
    for week in range(9, 14):
        world.pass_week(week)
        world.reports[week] = world.monitor(week)
    yield world
    world.stores.close()


@pytest.mark.requirement("D20")
def test_an_estimate_stands_beside_the_loss_that_came_true(late):
    first, last = late.reports[9], late.reports[13]
    assert first.performance.verdict is Verdict.INCONCLUSIVE
    guess = first.late.guess
    assert guess.method == "dle"
    assert guess.low < guess.estimate < guess.high
    assert "blind to concept drift" in guess.words
    assert first.late.reconciled == ()
    (past,) = [one for one in last.late.reconciled if one.period == late.period(9)]
    assert past.estimate == pytest.approx(guess.estimate)
    assert past.version == late.champion.manifest.version
    rows = late.stores.lake.read("small", "feedback")
    came = rows.loc[rows["predicted_period"] == late.period(9), "loss"]
    assert (past.realized, past.n) == (pytest.approx(came.mean()), 168)
    assert past.inside
    assert f"came out {past.realized:.4g}" in past.words


def test_the_record_holds_curve_estimate_reconciliation_and_diagnosis(late):
    rows = late.stores.lake.read("small", "monitoring", periods=[late.period(13)])
    parts = set(rows["part"])
    assert {"labels_known", "estimated_loss", "reconciled", "diagnosis", "maturing"} <= parts
    entry = late.stores.ledger.latest("small", "monitored").payload
    assert entry["diagnosis"]["cause"] == late.reports[13].diagnosis.cause.value
    assert entry["estimated_loss"]["reconciled"] == len(late.reports[13].late.reconciled) > 0
    json.dumps(entry, allow_nan=False)
    stored = late.stores.artifacts.get_json(entry["report"])
    assert stored["checks"]["explained"]["late"]["curve"]["known"][-1] == 1.0


@pytest.mark.fault("P31")
def test_the_past_is_explained_by_what_was_known_then(late):
    again = late.monitor(10)
    assert again.seq == late.reports[10].seq  # the same finding enters nothing
    champion = read_champion(late.stores.ledger, late.spec)
    then = late_labels(late.stores, late.spec, champion, late.period(9), late.end(9), lambda: None)
    assert then.curve.known[-1] == 0.0  # no prediction had its label yet
    triangle = read_triangle(late.stores.lake, late.spec, late.end(9))
    assert triangle.cells == {}
    known = known_rows(late.stores, late.spec, champion, late.end(9))
    assert known.event_time.max() < champion.as_of.replace(tzinfo=None)


def test_before_the_first_release_nothing_is_explained_and_nothing_passes(make_world):
    world = make_world()
    for week in range(3):
        world.pass_week(week)
    report = world.monitor(2)
    assert report.diagnosis.cause is Cause.UNCLEAR
    assert report.late is None


@pytest.mark.fault("I7")
def test_labels_that_turn_round_in_production_are_named_as_a_fault(world):
    for week in (6, 7):
        world.pass_week(week, slope=2.0)
        flipped = world.raw[week].assign(y=-world.raw[week]["y"])
        world.raw[week] = flipped
        world.know_labels(week)
        from retrain_pipeline.monitoring.feedback import update_feedback

        update_feedback(world.stores, world.spec, world.period(week))
    report = world.monitor(7)
    assert report.performance.verdict is Verdict.FAIL
    assert report.diagnosis.cause is Cause.LABEL_FAULT, report.diagnosis.words
    assert world.stores.ledger.latest("small", "monitored").payload["diagnosis"]["cause"] == "label_fault"
    alerts, seq, _ = raise_alerts(world.stores.ledger, [], 0)
    assert [one.words for one in alerts if one.kind == "data_doubted"] == [
        f"data doubted {world.period(7)}: {report.diagnosis.words}"
    ]
    world.monitor(7)
    assert raise_alerts(world.stores.ledger, [], seq)[0] == []  # once


def test_labels_that_stopped_are_a_fault(make_world):
    world = make_world(label={"delay_hours": 24 * 7})
    for week in range(7):
        world.pass_week(week)
    world.release(6)
    for week in (7, 8, 9):
        world.pass_week(week)
    empty = world.stores.lake.read("small", "labels", periods=[world.period(9)]).head(0)
    world.stores.lake.replace_partition("small", "labels", world.period(9), empty.drop(columns="_period"))
    feedback = world.stores.lake.read("small", "feedback", periods=[world.period(9)]).head(0)
    world.stores.lake.replace_partition("small", "feedback", world.period(9), feedback.drop(columns="_period"))
    report = world.monitor(9)
    assert report.diagnosis.cause is Cause.LABEL_FAULT, report.diagnosis.words
    assert "labels stopped: 168 should be known, none is" in report.diagnosis.words


@pytest.mark.fault("P34")
def test_a_store_that_is_down_gives_no_verdict_and_so_no_retrain(world):
    """Whatever could not be looked at is an error of the run, never a pass; the trigger waits for what it can read."""
    from dataclasses import replace

    from retrain_pipeline.lake.tables import Lake
    from retrain_pipeline.monitoring.errors import MonitoringUnread
    from retrain_pipeline.monitoring.monitor import monitor_period
    from retrain_pipeline.triggers.policy import decide
    from retrain_pipeline.triggers.state import read_state

    world.pass_week(6, slope=-2.0)  # a retrain would be asked for, if it could be seen
    nowhere = {
        "endpoint_url": "http://127.0.0.1:1", "allow_http": "true", "region": "us-east-1",
        "access_key_id": "a", "secret_access_key": "b", "max_retries": "0", "retry_timeout": "1s", "timeout": "1s",
    }  # fmt: skip
    down = replace(world.stores, lake=Lake("s3://lake/x", nowhere))
    with pytest.raises(MonitoringUnread, match=r"(?s)not monitored.*127\.0\.0\.1"):
        monitor_period(down, world.spec, world.period(6))
    assert world.stores.ledger.latest("small", "monitored") is None
    state = read_state(world.stores.ledger, world.spec, in_flight=False)
    assert decide(state).action == "wait"
    assert world.monitor(6).performance.verdict is Verdict.FAIL  # once the store is back


@pytest.mark.fault("P34")
@pytest.mark.parametrize("table", ["features", "predictions", "feedback", "labels"])
def test_a_table_that_lost_its_files_gives_no_verdict(world, table):
    from retrain_pipeline.errors import TransientError

    world.pass_week(6)
    files = [file for file in Path(world.stores.lake.url).rglob("*.parquet") if f"/{table}/" in str(file)]
    assert files
    for file in files:
        file.rename(file.with_suffix(".away"))
    with pytest.raises(TransientError, match="not monitored"):
        world.monitor(6)
    assert world.stores.ledger.latest("small", "monitored") is None
    for file in files:
        file.with_suffix(".away").rename(file)
    assert world.monitor(6).drift.verdict is Verdict.PASS


@pytest.mark.fault("P34")
def test_a_reference_that_cannot_be_read_gives_no_verdict(world, monkeypatch):
    from retrain_pipeline.artifacts import Artifacts, ArtifactsUnreachable

    def down(self, digest):
        raise ArtifactsUnreachable("the store does not answer")

    world.pass_week(6)
    with monkeypatch.context() as broken:
        broken.setattr(Artifacts, "get", down)
        with pytest.raises(ArtifactsUnreachable):
            world.monitor(6)
    assert world.stores.ledger.latest("small", "monitored") is None


def test_of_a_large_period_every_k_th_row_is_looked_at_and_no_other_is_read(late, monkeypatch):
    import retrain_pipeline.monitoring.late as module

    champion, end = read_champion(late.stores.ledger, late.spec), late.end(13)
    whole = module._served(late.stores.lake, late.spec, champion, end)
    monkeypatch.setattr(module, "MOST_ROWS", 100)
    some = module._served(late.stores.lake, late.spec, champion, end)
    assert 50 < len(some) <= 100 < len(whole)
    times = some["_event_time"].sort_values()
    assert times.diff().dropna().nunique() == 1  # spread over the whole time, evenly
    both = some.merge(whole, how="inner")
    assert len(both) == len(some)
    assert (both.dtypes == whole.dtypes).all()
    held = {"features": 0}
    monkeypatch.setattr(late.stores.lake, "read", lambda *asked, **how: held.update(features=1) or whole)
    keys = some[[*late.spec.data.key, "_event_time"]]
    found = module.with_features(late.stores.lake, late.spec, [late.period(9)], end, keys)
    assert held["features"] == 0
    assert len(found) == keys.merge(found, how="inner").shape[0] > 0


def test_an_estimate_of_every_k_th_row_is_near_that_of_all(late, monkeypatch):
    import retrain_pipeline.monitoring.late as module

    champion, end = read_champion(late.stores.ledger, late.spec), late.end(9)

    def guessed():
        return late_labels(
            late.stores,
            late.spec,
            champion,
            late.period(9),
            end,
            lambda: known_rows(late.stores, late.spec, champion, end),
        ).guess

    whole = guessed()
    monkeypatch.setattr(module, "MOST_ROWS", 80)
    some = guessed()
    assert (whole.n, some.n) == (168, 56)
    assert some.estimate == pytest.approx(whole.estimate, rel=0.3)
    assert some.high - some.low > whole.high - whole.low
