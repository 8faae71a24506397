"""One schedule a cadence: at the end of a period, the data side of every model of it; and those of single assets."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from retrain_pipeline.assets.common import MODEL_TAG, SIDE_TAG, asset_keys, data_side, is_in_flight
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.lanes import Lane, ended
from retrain_pipeline.periods import Cadence, as_utc
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.spec.model import ModelSpec

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger

# A quarter past, so that what arrives at the turn of the hour is there.
CRON: dict[Cadence, str] = {"hour": "15 * * * *", "day": "15 0 * * *", "week": "15 0 * * *", "month": "15 0 * * *"}
# A job of our own cannot hold assets of different partitions (Dagster refuses it), and a job a model would make
# loading slow; the job that Dagster has for all assets takes any selection of one model's.
ALL_ASSETS_JOB = "__ASSET_JOB"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


def due_periods(ledger: "Ledger", spec: ModelSpec, now: datetime) -> tuple[str, str] | None:
    """Return the first and last complete period that the data side has not seen, or None when it has seen all.

    A daemon that was down for a while asks once for everything that it missed.
    """
    calendar = spec.data.time.calendar()
    newest = calendar.newest_complete(now)
    if newest is None:
        return None
    monitored = ledger.latest(spec.name, "monitored")
    start = as_utc(datetime.fromisoformat(monitored.payload["as_of"])) if monitored else calendar.origin
    missing = calendar.keys_between(start, calendar.bounds(newest)[1])
    return (missing[0], missing[-1]) if missing else None


def reached(ledger: "Ledger", spec: ModelSpec, lane: Lane | None, now: datetime) -> datetime:
    """Return until when there are rows to work on: for a lane as far as its model has come, so one tick later."""
    if lane is None:
        return now
    monitored = ledger.latest(lane.of, "monitored")
    if monitored is None:
        return spec.data.time.calendar().origin
    return min(now, as_utc(datetime.fromisoformat(monitored.payload["as_of"])))


def data_schedule(cadence: Cadence, declarations: Sequence[Declaration]) -> dg.ScheduleDefinition:
    """Return the schedule of all models of a cadence."""

    @dg.schedule(
        name=f"data_every_{cadence}",
        cron_schedule=CRON[cadence],
        job_name=ALL_ASSETS_JOB,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Runs the data side of every model with periods of a {cadence}, for the newest complete period.",
    )
    def data(context: dg.ScheduleEvaluationContext, stores: StoresResource) -> Iterator[dg.RunRequest | dg.SkipReason]:
        ledger = stores.open().ledger
        now = as_utc(context.scheduled_execution_time)
        asked, busy = False, []
        for declaration in declarations:
            spec = declaration.spec
            due = due_periods(ledger, spec, reached(ledger, spec, declaration.lane, now))
            if due is None or ended(ledger, declaration.lane):
                continue
            if is_in_flight(context.instance, spec.name, "data"):  # a long back-fill, say: its end will tell
                busy.append(spec.name)
                continue
            asked = True
            first, last = due
            span = {"dagster/partition": last} if first == last else {RANGE_START: first, RANGE_END: last}
            yield dg.RunRequest(
                # a failed period is asked for again at the next tick
                run_key=f"{spec.name}-{first}-{last}-{now:%Y%m%dT%H}",
                asset_selection=data_side(declaration),
                tags={MODEL_TAG: spec.name, SIDE_TAG: "data", **span},
            )
        if not asked:
            looked = f"no complete {cadence} that is not yet monitored, in {len(declarations)} models"
            running = f"; in flight: {', '.join(busy)}" if busy else ""
            yield dg.SkipReason(looked + running)

    return data


def side_schedule(
    name: str,
    asset: str,
    cron: str,
    description: str,
    declarations: Sequence[Declaration],
    is_due: "Callable[[Ledger, ModelSpec], bool]",
) -> dg.ScheduleDefinition:
    """Return a schedule that asks for one asset of each model of which it is due, in a run of its own."""

    @dg.schedule(
        name=name,
        cron_schedule=cron,
        job_name=ALL_ASSETS_JOB,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )
    def side(context: dg.ScheduleEvaluationContext, stores: StoresResource) -> Iterator[dg.RunRequest | dg.SkipReason]:
        ledger = stores.open().ledger
        due = [one.spec.name for one in declarations if is_due(ledger, one.spec)]
        for model in due:
            yield dg.RunRequest(
                run_key=f"{asset}-{model}-{context.scheduled_execution_time:%Y%m%d}",
                asset_selection=asset_keys(model, [asset]),
                tags={MODEL_TAG: model, SIDE_TAG: asset},
            )
        if not due:
            yield dg.SkipReason(f"no {asset} is due, in {len(declarations)} models")

    return side
