"""(n) Two real histories from their first week to their last: what a machine has documented of them, and is it true?

Each is played through real Dagster runs in a process of its own, the sensor doing the asking. Then the truth checks
look at what is on record, and one untruth for each of them is planted in copies.
"""

import os
import shutil
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import dagster as dg

from retrain_pipeline.assets.model import project_definitions
from retrain_pipeline.assets.playback import Player
from retrain_pipeline.assets.reconcile import known_runs
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.cli.play import quiet_dagster
from retrain_pipeline.records.audit.look import look
from retrain_pipeline.records.experiments import retrain_runs
from retrain_pipeline.records.kinds.card import ModelCard
from retrain_pipeline.records.kinds.experiment import Experiment
from retrain_pipeline.records.kinds.release_note import ReleaseNote
from retrain_pipeline.records.record import records
from retrain_pipeline.records.settle import settle
from retrain_pipeline.records.truth.context import Context
from retrain_pipeline.records.truth.verify import NAMES, verify
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.bench.tables import markdown_table, write_page
from retrain_pipeline_tests.e2e.planted import cloned, copied, found

CHECKOUT = Path(__file__).parents[2]
MODELS = CHECKOUT / "retrain_pipeline_tests" / "e2e" / "models"
WEEKS = {"bike_demand": 104, "electricity": 134}
"""Whole weeks of the files."""


def documented(name: str, weeks: int, data: str) -> dict[str, Any]:
    """Play a history and return what is on record of it, what the checks say, and which planted untruths they find."""
    quiet_dagster()
    with tempfile.TemporaryDirectory() as folder:
        home, policy = Path(folder) / "dagster", str(MODELS)
        home.mkdir()
        shutil.copyfile(CHECKOUT / "dagster.yaml", home / "dagster.yaml")
        os.environ.update(RETRAIN_ROOT=data, DAGSTER_HOME=str(home), RETRAIN_POLICY=policy)
        declaration = read_declaration(MODELS / name)
        state = Path(folder) / "state"
        resource = StoresResource(home=str(state))
        with dg.DagsterInstance.get() as instance:
            player = Player(project_definitions([declaration], resource), instance, declaration)
            calendar = declaration.spec.data.time.calendar()
            periods = calendar.keys_between(calendar.origin, calendar.shift(calendar.origin, weeks))
            history = declaration.spec.training.min_periods
            player.backfill(periods[0], periods[history - 1])
            for period in periods[history:]:
                player.step(period)
            stores = resource.open()
            settle(stores, declaration, "bench")
            runs = tuple(known_runs(instance, retrain_runs(stores, name)))
        told = verify(Context(stores, declaration, runs=runs))
        audited = look(stores, declaration, today=datetime.now(UTC).date())
        counts = Counter(one.kind for one in records(stores, name))
        ends = {action: len(stores.ledger.entries(model=name, action=action)) for action in ("released", "rejected")}
        stores.close()
        caught = []
        whole = copied(state, declaration.folder, MODELS, Path(folder) / "planted" / "whole")
        whole.stores.close()
        for check in NAMES:
            past = cloned(whole, Path(folder) / "planted" / check)
            os.environ["RETRAIN_POLICY"] = str(past.policy)
            before, after, _ = found(check, past)
            past.stores.close()
            if after is Verdict.FAIL and (before is Verdict.PASS or check == "commits"):
                caught.append(check)
    return {
        "name": name,
        "weeks": weeks,
        "runs": len(runs),
        **ends,
        "experiments": counts[Experiment.KIND],
        "notes": counts[ReleaseNote.KIND],
        "cards": counts[ModelCard.KIND],
        "records": sum(counts.values()),
        "machine": audited.machine_share,
        "passed": [one.check.name for one in told.answers if one.verdict is Verdict.PASS],
        "otherwise": [
            f"{one.check.name}: {one.words}"[:300] for one in told.answers if one.verdict is not Verdict.PASS
        ],
        "caught": caught,
    }


def main() -> None:
    """Play, look and write the table."""
    data = os.environ["RETRAIN_SHARED_DATA"]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        asked = [pool.submit(documented, name, weeks, data) for name, weeks in WEEKS.items()]
        rows = sorted((one.result() for one in as_completed(asked)), key=lambda row: str(row["name"]))
    header = [
        "history", "weeks", "retrain runs", "released", "rejected", "experiments", "release notes", "cards", "records",
        "filled in by machine", "checks that pass", "planted, and found",
    ]  # fmt: skip
    table = [
        [
            row["name"], row["weeks"], row["runs"], row["released"], row["rejected"], row["experiments"], row["notes"],
            row["cards"], row["records"], f"{row['machine']:.0%}", f"{len(row['passed'])} of {len(NAMES)}",
            f"{len(row['caught'])} of {len(NAMES)}",
        ]
        for row in rows
    ]  # fmt: skip
    others = [f"- {row['name']}: {words}" for row in rows for words in row["otherwise"]]
    parts = [
        "Each history from its first whole week to its last, through real Dagster runs. People wrote the declaration, "
        "six decisions and the risks beforehand; there may be more cards than versions: one is written again when "
        "something happened to its version. Then one untruth for each check is planted in a copy: found means that the "
        "check passed before (`commits`, whose copy is no clone, aside) and fails after.",
        markdown_table(header, table),
        "Checks that did not pass:\n\n" + ("\n".join(others) if others else "none."),
    ]
    write_page("documented", "Two whole histories, documented", parts)


if __name__ == "__main__":
    main()
