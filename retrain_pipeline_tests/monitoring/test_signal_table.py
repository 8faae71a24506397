"""Signals of monitored periods over real stores: delays, gaps and outages injected, policies answering for them."""

import ast
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import retrain_pipeline
from retrain_pipeline.learning.training_set import freeze_training_set
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.monitoring.monitor import MonitoringReport, monitor_period
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.monitoring.conftest import START, World, new_world

COLUMNS = {
    "signal", "value", "low", "high", "se", "n", "unit", "imputed", "how", "age_periods",
    "_event_time", "_known_time", "_period",
}  # fmt: skip


def sales(**changes: Any) -> dict[str, Any]:
    declared: dict[str, Any] = {
        "source": {"kind": "csv", "path": "sales.csv"}, "time": "at", "column": "eur", "aggregate": "sum",
        "unit": "EUR", "direction": "up",
    }  # fmt: skip
    return {"sales": {**declared, **changes}}


def write_sales(folder: Path, values: dict[int, float | str], name: str = "sales.csv", **columns: str) -> None:
    """Write one row a week; `columns` are further ones, the same text in each row."""
    rows = [{"at": f"{START + timedelta(weeks=week):%Y-%m-%d}", "eur": value, **columns} for week, value in
            values.items()]  # fmt: skip
    pd.DataFrame(rows, columns=["at", "eur", *columns]).to_csv(folder / name, index=False)


@pytest.fixture
def with_signals(six_weeks: World, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Return a function that makes a copy of the world of six weeks and a champion, with declared signals."""
    made: list[World] = []

    def make(signals: dict[str, Any] | None = None, **changes: Any) -> World:
        shutil.copytree(six_weeks.declaration.folder.parents[1], tmp_path, dirs_exist_ok=True)
        world = new_world(tmp_path, signals=signals or {}, **changes)
        world.raw, world.champion = dict(six_weeks.raw), six_weeks.champion
        made.append(world)
        return world

    yield make
    for world in made:
        world.stores.close()


def monitor(world: World, week: int, root: Path) -> MonitoringReport:
    return monitor_period(world.stores, world.spec, world.period(week), root=root)


def pass_and_monitor(world: World, week: int, root: Path) -> MonitoringReport:
    world.pass_week(week)
    return monitor(world, week, root)


def row(world: World, week: int, signal: str = "sales") -> dict[str, Any]:
    frame = world.stores.lake.read("small", "signals", periods=[world.period(week)])
    (found,) = frame[frame["signal"] == signal].to_dict("records")
    return found


@pytest.mark.requirement("D5", "D17")
def test_every_model_has_signals_of_answers_speed_and_errors_in_one_table(with_signals, tmp_path):
    world = with_signals()
    report = pass_and_monitor(world, 6, tmp_path)
    table = world.stores.lake.read("small", "signals", periods=[world.period(6)])
    assert set(table.columns) == COLUMNS
    found = table.set_index("signal")["value"]
    answers = world.stores.lake.read("small", "predictions", periods=[world.period(6)])
    assert found["prediction_count"] == 168
    assert found["prediction_mean"] == pytest.approx(answers["prediction"].mean())
    assert found["throughput_rows_per_hour"] == 1.0
    assert (found["latency_ms_mean"], found["latency_ms_p95"], found["error_rate"]) == (0.5, 0.5, 0.0)
    assert "positive_share" not in found
    assert not table["imputed"].any()
    assert (table["low"].dropna() <= table["value"].dropna()).all()
    # the labels of the last day are due a day later
    assert row(world, 6, "label_arrival_share")["how"] == "not_due"
    assert report.signals.verdicts["label_arrival_share"] is Verdict.INCONCLUSIVE
    assert "| error_rate | 0 share |" in report.signals.markdown()
    world.pass_week(7)
    again = monitor(world, 7, tmp_path)
    assert row(world, 6, "label_arrival_share")["value"] == 1.0
    assert again.signals.verdict is Verdict.PASS
    assert again.signals.filled == (world.period(6),)


@pytest.mark.requirement("D17")
def test_rejected_and_unanswered_rows_are_errors(with_signals, tmp_path):
    from retrain_pipeline.lake.quarantine import Quarantine

    world = with_signals()
    world.pass_week(6)
    lake, start = world.stores.lake, world.end(5)
    for stage, rows in (("data", 30), ("labels", 5)):
        rejects = Quarantine(stage, start)
        for number in range(rows):
            rejects.reject("range", "too large", key=(number,), row={}, event_time=start)
        rejects.write(lake, "small", world.period(6))
    answers = lake.read("small", "predictions", periods=[world.period(6)]).drop(columns="_period")
    lake.replace_partition("small", "predictions", world.period(6), answers.head(160))
    monitor(world, 6, tmp_path)
    assert row(world, 6, "error_rate")["value"] == pytest.approx((30 + 8) / (168 + 30))


@pytest.mark.requirement("D17")
@pytest.mark.parametrize(
    ("aggregate", "value", "se"),
    [("sum", 6.0, 14**0.5), ("mean", 2.0, 3**-0.5), ("count", 3.0, 3**0.5), ("rate", 3 / 168, 3**0.5 / 168)],
)
def test_rows_of_a_signal_are_aggregated_by_period(with_signals, tmp_path, aggregate, value, se):
    column = None if aggregate in ("count", "rate") else "eur"
    changes = {"aggregate": aggregate, "column": column, "source": {"kind": "parquet", "path": "sales.parquet"}}
    world = with_signals(sales(**changes))
    at = pd.to_datetime([START + timedelta(weeks=6, hours=hours) for hours in (0, 1, 167)], utc=True)
    outside = pd.to_datetime([START + timedelta(weeks=7)], utc=True)
    pd.DataFrame({"at": at.append(outside), "eur": [1.0, 2.0, 3.0, 100.0]}).to_parquet(tmp_path / "sales.parquet")
    pass_and_monitor(world, 6, tmp_path)
    found = row(world, 6)
    assert found["value"] == pytest.approx(value)
    assert found["se"] == pytest.approx(se)
    assert (found["n"], found["unit"], found["how"]) == (3, "EUR", "observed")


@pytest.mark.requirement("D20")
def test_a_buffered_value_is_waited_for_and_filled_when_it_comes(with_signals, tmp_path):
    world = with_signals(sales())
    write_sales(tmp_path, dict.fromkeys(range(6), 100))
    first = pass_and_monitor(world, 6, tmp_path)
    assert first.signals.verdicts["sales"] is Verdict.INCONCLUSIVE
    assert first.signals.facts()["waiting"] == ["sales"]
    waiting = row(world, 6)
    assert (waiting["how"], waiting["imputed"]) == ("waiting", False)
    assert pd.isna(waiting["value"])
    write_sales(tmp_path, dict.fromkeys(range(8), 100))
    second = pass_and_monitor(world, 7, tmp_path)
    filled = row(world, 6)
    assert (filled["how"], filled["value"], filled["age_periods"]) == ("observed", 100.0, 0)
    # the source says that it was known a week before; that it was missing says otherwise
    assert filled["_known_time"] == world.end(7)
    assert second.signals.filled == (world.period(6),)
    assert second.signals.verdicts["sales"] is Verdict.PASS
    entries = world.stores.ledger.entries(model="small", action="monitored")
    assert [entry.payload["signals"]["waiting"] for entry in entries] == [["sales"], []]


@pytest.mark.requirement("D20")
@pytest.mark.fault("P26")
def test_monitoring_again_finds_and_writes_the_same_even_after_a_late_value(with_signals, tmp_path):
    world = with_signals(sales(missing={"policy": "interpolate"}))
    write_sales(tmp_path, {week: 100 + 10 * (week % 3) for week in range(6)})
    first = pass_and_monitor(world, 6, tmp_path)
    table = world.stores.lake.read("small", "signals")
    assert monitor(world, 6, tmp_path).seq == first.seq
    assert world.stores.lake.read("small", "signals").equals(table)
    version = world.stores.lake.version("small", "signals")
    write_sales(tmp_path, {week: 100 + 10 * (week % 3) for week in range(8)})
    second = pass_and_monitor(world, 7, tmp_path)
    filled = world.stores.lake.read("small", "signals")
    again = monitor(world, 6, tmp_path)
    assert (again.seq, again.signals.readings) == (first.seq, first.signals.readings)
    assert monitor(world, 7, tmp_path).seq == second.seq
    assert world.stores.lake.read("small", "signals").equals(filled)
    assert world.stores.lake.version("small", "signals") == version + 1  # both periods in one step


@pytest.mark.requirement("D20")
def test_an_interpolated_value_is_flagged_widens_and_gives_way(with_signals, tmp_path):
    world = with_signals(sales(missing={"policy": "interpolate", "max_periods": 2}))
    write_sales(tmp_path, {0: 100, 1: 110, 2: 100, 3: 120, 4: 100, 5: 90})
    for week in (6, 7, 8):
        pass_and_monitor(world, week, tmp_path)
    rows = [row(world, week) for week in (6, 7, 8)]
    assert [one["how"] for one in rows] == ["carried", "carried", "waiting"]
    assert [bool(one["imputed"]) for one in rows] == [True, True, False]
    assert rows[1]["high"] - rows[1]["low"] > rows[0]["high"] - rows[0]["low"] > 0
    write_sales(tmp_path, {0: 100, 1: 110, 2: 100, 3: 120, 4: 100, 5: 90, 8: 120, 9: 100})
    report = pass_and_monitor(world, 9, tmp_path)
    assert report.signals.filled == (world.period(6), world.period(7), world.period(8))
    rows = [row(world, week) for week in (6, 7, 8)]
    assert [one["how"] for one in rows] == ["interpolated", "interpolated", "observed"]
    assert [one["value"] for one in rows] == [100, 110, 120]
    assert [bool(one["imputed"]) for one in rows] == [True, True, False]


@pytest.mark.requirement("D20")
def test_a_delay_that_was_declared_or_is_in_the_rows_is_kept_to(with_signals, tmp_path):
    signals = sales(delay_hours=24.0) | {
        "late": sales(known_time="told", source={"kind": "csv", "path": "late.csv"})["sales"]
    }
    world = with_signals(signals)
    write_sales(tmp_path, dict.fromkeys(range(12), 100))
    write_sales(tmp_path, dict.fromkeys(range(12), 7), "late.csv", told=f"{world.end(8):%Y-%m-%d}T12:00:00Z")
    for week in (6, 7, 8):
        pass_and_monitor(world, week, tmp_path)
    assert [row(world, week)["how"] for week in (6, 7, 8)] == ["observed", "observed", "not_due"]
    assert row(world, 7)["_known_time"] == world.end(7) + timedelta(hours=24)
    assert [row(world, week, "late")["how"] for week in (6, 7, 8)] == ["waiting"] * 3
    pass_and_monitor(world, 9, tmp_path)
    assert row(world, 6, "late")["value"] == 7
    assert row(world, 6, "late")["_known_time"] == world.end(8) + timedelta(hours=12)


@pytest.mark.requirement("D20", "B24")
def test_a_halt_is_in_the_ledger_and_nothing_passes_beside_it(with_signals, tmp_path):
    world = with_signals(sales(missing={"policy": "halt", "max_periods": 1}))
    write_sales(tmp_path, dict.fromkeys(range(6), 100))
    borne = pass_and_monitor(world, 6, tmp_path)
    assert (borne.signals.halts, borne.verdict) == ((), Verdict.PASS)
    report = pass_and_monitor(world, 7, tmp_path)
    (words,) = report.signals.halts
    assert f"no value for 2 periods up to {world.period(7)}" in words
    assert "its source has no row of them" in words
    assert (report.signals.verdicts["sales"], report.verdict) == (Verdict.FAIL, Verdict.INCONCLUSIVE)
    assert words in report.words
    assert world.stores.ledger.latest("small", "monitored").payload["signals"]["halts"] == [words]
    write_sales(tmp_path, dict.fromkeys(range(9), 100))
    assert pass_and_monitor(world, 8, tmp_path).signals.halts == ()


def gone(path: Path) -> None:
    path.unlink()


def no_csv(path: Path) -> None:
    path.write_bytes(b"at,eur\n2024-01-01,1,2,3\n\x00\xff")


def no_column(path: Path) -> None:
    path.write_text("at,euros\n2024-02-12,1\n")


def a_folder_nobody_may_read(path: Path) -> None:
    path.unlink()
    path.mkdir()


OUTAGES = [
    (gone, "does not exist"), (no_csv, "refused"), (no_column, "the nearest is 'euros'"),
    (a_folder_nobody_may_read, "no row"),
]  # fmt: skip


@pytest.mark.requirement("D20", "B24")
@pytest.mark.parametrize(("breaks", "words"), OUTAGES)
def test_an_outage_is_told_and_its_policy_answers(with_signals, tmp_path, breaks, words):
    declared = sales()["sales"]
    policies = {
        "waits": {"policy": "buffer"}, "drawn": {"policy": "interpolate"}, "falls": {"policy": "fall_back"},
        "halts": {"policy": "halt"},
    }  # fmt: skip
    world = with_signals({name: {**declared, "missing": policy} for name, policy in policies.items()})
    write_sales(tmp_path, {week: 100 + week for week in range(7)})
    assert pass_and_monitor(world, 6, tmp_path).signals.verdicts["halts"] is Verdict.PASS
    before = {name: row(world, 6, name) for name in policies}
    breaks(tmp_path / "sales.csv")
    report = pass_and_monitor(world, 7, tmp_path)
    found = {name: row(world, 7, name) for name in policies}
    assert [found[name]["how"] for name in policies] == ["waiting", "carried", "fall_back", "waiting"]
    assert Verdict.PASS not in {report.signals.verdicts[name] for name in policies}
    assert report.verdict is Verdict.INCONCLUSIVE
    assert words in report.signals.halts[0]
    assert {name: row(world, 6, name) for name in policies} == before


@pytest.mark.requirement("D20")
def test_malformed_rows_are_quarantined_and_too_many_leave_no_value(with_signals, tmp_path):
    world = with_signals(sales())
    good = [f"{START + timedelta(weeks=6, hours=hour):%Y-%m-%dT%H:%M:%SZ},1" for hour in range(40)]
    few = [*good, "2024-02-12T05:00:00Z,a lot"]
    (tmp_path / "sales.csv").write_text("\n".join(["at,eur", *few]))
    report = pass_and_monitor(world, 6, tmp_path)
    assert row(world, 6)["value"] == 40
    assert "1 rows could not be read" in report.signals.trouble["sales"]
    kept = world.stores.lake.read("small", "quarantine", periods=[world.period(6)])
    assert kept[["stage", "column", "row_number"]].to_numpy().tolist() == [["signal:sales", "eur", 41]]
    (tmp_path / "sales.csv").write_text("\n".join(["at,eur", *good[:8], "2024-02-12T05:00:00Z,a lot"]))
    fresh = new_world(tmp_path / "other", signals=sales())
    fresh.pass_week(6)
    assert monitor(fresh, 6, tmp_path).signals.verdicts["sales"] is Verdict.INCONCLUSIVE
    assert row(fresh, 6)["how"] == "waiting"
    fresh.stores.close()
    (tmp_path / "sales.csv").write_text("\n".join(["at,eur", *good]))
    monitor(world, 6, tmp_path)
    assert world.stores.lake.partitions("small", "quarantine")[world.period(6)].rows == 0


def test_a_database_that_is_not_there_is_an_outage(with_signals, tmp_path):
    source = {"kind": "sql", "url": f"sqlite:///{tmp_path / 'no' / 'shop.db'}", "table": "sales"}
    world = with_signals(sales(source=source))
    report = pass_and_monitor(world, 6, tmp_path)
    assert "cannot be read" in report.signals.trouble["sales"]
    assert report.signals.verdicts["sales"] is Verdict.INCONCLUSIVE


def test_a_signal_that_is_declared_later_fills_the_periods_before_and_one_that_is_not_any_more_goes(
    with_signals, tmp_path
):
    world = with_signals()
    pass_and_monitor(world, 6, tmp_path)
    write_sales(tmp_path, dict.fromkeys(range(8), 100))
    more = new_world(tmp_path, signals=sales())
    more.raw, more.champion = world.raw, world.champion
    pass_and_monitor(more, 7, tmp_path)
    assert row(more, 6)["value"] == 100
    pass_and_monitor(world, 8, tmp_path)
    names = set(world.stores.lake.read("small", "signals", periods=[world.period(8)])["signal"])
    assert "sales" not in names
    assert row(world, 7)["value"] == 100
    more.stores.close()


@pytest.mark.requirement("D20")
def test_a_corrected_value_is_taken_when_its_period_is_monitored_again(with_signals, tmp_path):
    world = with_signals(sales())
    write_sales(tmp_path, dict.fromkeys(range(7), 100))
    first = pass_and_monitor(world, 6, tmp_path)
    write_sales(tmp_path, {**dict.fromkeys(range(7), 100), 6: 80})
    assert monitor(world, 6, tmp_path).seq == first.seq
    assert row(world, 6)["value"] == 80


@pytest.mark.requirement("D20")
def test_signals_never_become_labels_not_even_of_the_labels_own_column(with_signals, tmp_path):
    """Imputed or not: the training set, the labels and the answers are those of a model without signals."""
    plain = new_world(tmp_path / "plain")
    own = {"y": sales(source={"kind": "csv", "path": "y.csv"}, column="y", missing={"policy": "interpolate"})["sales"]}
    signalled = new_world(tmp_path / "signalled", signals=own)
    rows = [{"at": START + timedelta(weeks=week), "y": 1e6 * week} for week in range(4)]
    pd.DataFrame(rows).to_csv(tmp_path / "y.csv", index=False)
    frozen = []
    for world in (plain, signalled):
        for week in range(6):
            pass_and_monitor(world, week, tmp_path)
        frozen.append(freeze_training_set(world.stores, world.spec, world.end(5)))
    table = signalled.stores.lake.read("small", "signals")
    assert table.loc[table["signal"] == "y", "imputed"].sum() == 2
    assert frozen[0].labels.digest == frozen[1].labels.digest
    assert frozen[0].features.digest == frozen[1].features.digest
    assert plain.stores.lake.partitions("small", "labels") == signalled.stores.lake.partitions("small", "labels")
    assert plain.stores.lake.partitions("small", "feedback") == signalled.stores.lake.partitions("small", "feedback")
    for world in (plain, signalled):
        world.stores.close()


@pytest.mark.requirement("D20")
def test_no_part_that_makes_labels_or_models_names_the_table_of_signals():
    root = Path(retrain_pipeline.__file__).parent
    makers = [file for room in ("lake", "learning", "gates", "release") for file in (root / room).rglob("*.py")]
    naming = [
        str(file.relative_to(root))
        for file in [*makers, root / "monitoring" / "feedback.py"]
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value == "signals"
    ]
    assert naming == ["lake/tables.py"]


@pytest.mark.requirement("D47")
def test_a_linked_signal_tells_what_was_expected_beside_how_it_moved(with_signals, tmp_path):
    world = with_signals(sales(link="revenue", value_per_unit=50.0))
    write_sales(tmp_path, {week: 100.0 + week % 2 + (30 if week >= 6 else 0) for week in range(9)})
    evidence = {"results": [{"gate": "quality", "interval": [-0.4, -0.2]}]}
    version, promise = world.champion.manifest.version, {"mean": 0.4, "se": 0.01, "n": 100}
    as_of = world.end(5).isoformat()
    payload = {"validated_loss": promise, "as_of": as_of, "evidence": world.stores.artifacts.put_json(evidence)}
    world.stores.ledger.append(NewEntry("test", "released", "small", version, payload))
    (early,) = pass_and_monitor(world, 6, tmp_path).signals.values
    assert early.movement is None
    pass_and_monitor(world, 7, tmp_path)
    report = pass_and_monitor(world, 8, tmp_path)
    (told,) = report.signals.values
    assert told.gain == (0.2, 0.4)
    assert told.expected == (10.0, 20.0)
    assert told.movement.moved == pytest.approx(30, abs=1)
    assert told.movement.low > 25
    assert "10 to 20 EUR was expected" in report.signals.markdown()
    stored = world.stores.artifacts.get_json(report.report)
    assert stored["signals"]["values"][0]["movement"]["n_after"] == 3
