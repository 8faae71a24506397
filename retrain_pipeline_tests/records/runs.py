"""Retrain runs over a small world, step by step as the assets of the model side do them, without Dagster."""

import atexit
import functools
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from retrain_pipeline.learning.build import build_candidate
from retrain_pipeline.learning.frozen import record_training_set
from retrain_pipeline.learning.manifest import TriggerRef, fit_seconds
from retrain_pipeline.learning.training_set import freeze_training_set
from retrain_pipeline.monitoring.reference import store_reference
from retrain_pipeline.records.agreed import register
from retrain_pipeline.records.hypotheses import begin
from retrain_pipeline.records.record import records
from retrain_pipeline.records.settle import settle
from retrain_pipeline.release.release import reject
from retrain_pipeline.triggers.request import retrain_requested
from retrain_pipeline.triggers.retrain import close_retrain, note_candidate
from retrain_pipeline_tests.gates.world import START, World, template


def start(world: World, week: int, run_id: str, kind: str = "drift", mode: str = "", register_first: bool = True):
    """Start a retrain, under a protocol that is on record, and return it."""
    spec = world.declaration.spec
    if register_first:
        register(world.stores, spec, "dagster")
    as_of = (START + timedelta(weeks=week)).isoformat()
    return retrain_requested(
        world.stores.ledger, spec, run_id=run_id, as_of=as_of, kind=kind, mode=mode, trigger_id=f"t{week}", attempt=1,
        actor="sensor:toy_retrain", reasons=["loss rose"],
    )  # fmt: skip


def run(world: World, week: int, run_id: str, kind: str = "drift", mode: str = "") -> str:
    """Go through a whole retrain and return its version."""
    stores, declaration = world.stores, world.declaration
    spec, retrain = declaration.spec, start(world, week, run_id, kind, mode)
    begin(stores, declaration, retrain, "sensor:toy_retrain")
    frozen = freeze_training_set(stores, spec, retrain.as_of)
    record_training_set(stores, frozen, run_id=run_id, actor="dagster")
    row = stores.ledger.deployment(spec.name)
    manifest = build_candidate(
        stores, declaration, frozen, trigger=TriggerRef(kind=retrain.kind, id=retrain.trigger_id),
        parent=row.state["champion"] if row else None, run_id=run_id, actor="dagster",
    )  # fmt: skip
    store_reference(stores, spec, manifest.version)
    seconds = fit_seconds(stores, manifest)
    note_candidate(stores.ledger, spec.name, manifest.version, run_id, "dagster", fit_seconds=seconds)
    evidence, digest = world.judge(manifest.version, retrain.mode, run_id)
    if evidence.verdict == "PASS":
        world.release(manifest.version, digest, run_id)
    else:
        reject(stores, declaration, manifest.version, evidence_digest=digest, run_id=run_id, actor="dagster")
    return manifest.version


def crash(world: World, week: int, run_id: str, cause="oom", words="the fit was killed"):
    """Start a retrain that fails before it has a candidate."""
    begin(world.stores, world.declaration, start(world, week, run_id), "dagster")
    close_retrain(world.stores.ledger, "toy", run_id, words, "dagster", cause)


def settled(world: World) -> None:
    settle(world.stores, world.declaration, "dagster")


def documents(world: World, kind: str) -> list[dict]:
    return [one.document for one in records(world.stores, "toy", kind)]


@functools.cache
def retrained() -> World:
    """Return a world, made once, to be copied: one retrain crashed, and one was judged."""
    folder = Path(tempfile.mkdtemp(prefix="retrained-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    world = template().copy(folder)
    crash(world, 6, "run-crashed")
    run(world, 7, "run-judged", mode="superiority")
    return world
