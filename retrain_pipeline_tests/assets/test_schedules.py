"""The schedule of a cadence: the newest complete period, all that was missed at once, and why nothing is asked."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from retrain_pipeline.assets.model import project_definitions
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.assets.schedules import RANGE_END, RANGE_START, due_periods
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline_tests.assets.conftest import DEFS, write_model

MODELS = {"monday": ("week", "2024-01-01"), "thursday": ("week", "2024-01-04"), "hourly": ("hour", "2024-02-01")}


class Fleet:
    """Three models in one project, with stores and an instance."""

    def __init__(self, folder) -> None:
        self.declarations = [
            read_declaration(
                write_model(
                    folder / "models" / name,
                    DEFS.replace("name: toy", f"name: {name}").replace(
                        "period: week, start: 2024-01-01", f"period: {cadence}, start: {start}"
                    ),
                )
            )
            for name, (cadence, start) in MODELS.items()
        ]
        self.instance = dg.DagsterInstance.local_temp(str(folder / "dagster"))
        self.resource = StoresResource(home=str(folder / "state"))
        self.ledger = self.resource.open().ledger
        self.repository = project_definitions(self.declarations, self.resource).get_repository_def()

    def monitored(self, model: str, as_of: str) -> None:
        self.ledger.append(NewEntry("test", "monitored", model, payload={"as_of": as_of}))

    def tick(self, cadence: str, *moment: int) -> tuple[dict[str, dg.RunRequest], str | None]:
        with dg.build_schedule_context(
            instance=self.instance,
            repository_def=self.repository,
            scheduled_execution_time=datetime(*moment, tzinfo=UTC),
            resources={"stores": self.resource},
        ) as context:
            found = self.repository.get_schedule_def(f"data_every_{cadence}").evaluate_tick(context)
        return {request.tags["retrain/model"]: request for request in found.run_requests}, found.skip_message


@pytest.fixture
def fleet(tmp_path):
    (tmp_path / "dagster").mkdir()
    made = Fleet(tmp_path)
    yield made
    made.instance.dispose()
    made.ledger.close()


def span(request: dg.RunRequest) -> tuple[str, ...]:
    return tuple(request.tags[tag] for tag in ("dagster/partition", RANGE_START, RANGE_END) if tag in request.tags)


@pytest.mark.dagster_fact("K14")
def test_one_schedule_a_cadence_covers_models_of_every_start_date(fleet):
    assert sorted(schedule.name for schedule in fleet.repository.schedule_defs) == [
        "audits",
        "data_every_hour",
        "data_every_week",
        "drills",
    ]
    fleet.monitored("monday", "2024-02-05T00:00:00+00:00")
    fleet.monitored("thursday", "2024-02-01T00:00:00+00:00")
    asked, _ = fleet.tick("week", 2024, 2, 12, 0, 15)  # a Monday: one week is complete for each
    assert {model: span(request) for model, request in asked.items()} == {
        "monday": ("2024-02-05",),
        "thursday": ("2024-02-01",),
    }
    keys = {key.to_user_string() for key in asked["monday"].asset_selection}
    assert keys == {
        f"monday/{asset}" for asset in ("raw", "features", "predictions", "feedback", "monitoring", "rollout")
    }
    assert asked["monday"].tags["retrain/side"] == "data"


def test_what_was_missed_while_the_daemon_was_down_is_one_request(fleet):
    asked, _ = fleet.tick("week", 2024, 1, 25, 0, 15)
    assert span(asked["monday"]) == ("2024-01-01", "2024-01-15")
    assert span(asked["thursday"]) == ("2024-01-04", "2024-01-18")
    fleet.monitored("monday", "2024-01-15T00:00:00+00:00")
    asked, _ = fleet.tick("week", 2024, 3, 1, 0, 15)
    assert span(asked["monday"]) == ("2024-01-15", "2024-02-19")
    assert len(asked) == 2


def test_a_skip_says_what_was_looked_at(fleet):
    fleet.monitored("monday", "2024-01-08T00:00:00+00:00")
    asked, words = fleet.tick("week", 2024, 1, 9, 0, 15)
    assert asked == {}
    assert words == "no complete week that is not yet monitored, in 2 models"
    asked, words = fleet.tick("hour", 2024, 2, 1, 0, 15)
    assert asked == {}
    assert "1 models" in words


def test_a_model_whose_data_side_is_running_is_not_asked_for_again(fleet):
    tags = {"retrain/model": "monday", "retrain/side": "data"}
    fleet.instance.add_run(dg.DagsterRun("__ASSET_JOB", status=dg.DagsterRunStatus.STARTED, tags=tags))
    asked, _ = fleet.tick("week", 2024, 1, 25, 0, 15)
    assert set(asked) == {"thursday"}
    fleet.monitored("thursday", "2024-01-25T00:00:00+00:00")
    asked, words = fleet.tick("week", 2024, 1, 25, 0, 15)
    assert asked == {}
    assert words.endswith("; in flight: monday")


@pytest.mark.dagster_fact("K6")
def test_a_period_that_failed_is_asked_for_again_under_another_key(fleet):
    first = fleet.tick("week", 2024, 1, 9, 0, 15)[0]["monday"]
    again = fleet.tick("week", 2024, 1, 10, 0, 15)[0]["monday"]
    same = fleet.tick("week", 2024, 1, 9, 0, 15)[0]["monday"]
    assert span(first) == span(again) == ("2024-01-01",)
    assert first.run_key == same.run_key != again.run_key
    hours = [fleet.tick("hour", 2024, 2, 2, hour, 15)[0]["hourly"].run_key for hour in range(3)]
    assert len(set(hours)) == 3
    assert len({first.run_key, *(r.run_key for r in fleet.tick("week", 2024, 1, 30, 0, 15)[0].values())}) == 3


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ((2024, 1, 7, 23, 59), None),
        ((2024, 1, 8, 0, 0), ("2024-01-01", "2024-01-01")),
        ((2024, 1, 14, 23, 59), ("2024-01-01", "2024-01-01")),
        ((2023, 6, 1), None),
        ((2024, 1, 22), ("2024-01-01", "2024-01-15")),
    ],
)
def test_only_complete_periods_are_due(fleet, now, due):
    spec = fleet.declarations[0].spec
    assert due_periods(fleet.ledger, spec, datetime(*now, tzinfo=UTC)) == due
    fleet.monitored("monday", "2024-01-22T00:00:00+00:00")
    assert due_periods(fleet.ledger, spec, datetime(*now, tzinfo=UTC)) is None


def test_the_run_that_is_asked_for_can_be_made(fleet):
    """Dagster's own job for all assets takes the selection and the partitions of one model."""
    request = fleet.tick("week", 2024, 1, 9, 0, 15)[0]["monday"]
    job = fleet.repository.get_job("__ASSET_JOB").get_subset(asset_selection=set(request.asset_selection))
    assert job.partitions_def.get_partition_keys(datetime(2024, 1, 9, tzinfo=UTC)) == ["2024-01-01"]
