"""The retrain runs that Dagster knows, for the comparison with the ledger."""

from collections.abc import Iterable

import dagster as dg

from retrain_pipeline.assets.common import ALIVE, MODEL_TAG, SIDE_TAG
from retrain_pipeline.triggers.reconcile import KnownRun

_AT_ONCE = 500


def known_runs(instance: dg.DagsterInstance, started: Iterable[str]) -> list[KnownRun]:
    """Return the runs that were asked for as retrains, and those of `started` (launched by hand) that Dagster knows."""
    runs = {run.run_id: run for run in instance.get_runs(dg.RunsFilter(tags={SIDE_TAG: "model"}))}
    others = sorted(set(started) - runs.keys())
    for at in range(0, len(others), _AT_ONCE):
        found = instance.get_runs(dg.RunsFilter(run_ids=others[at : at + _AT_ONCE]))
        runs.update({run.run_id: run for run in found})
    return [
        KnownRun(run.tags.get(MODEL_TAG, ""), run.run_id, run.status in ALIVE, run.status.value.lower())
        for run in runs.values()
    ]
