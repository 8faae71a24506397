"""The model side step by step, as the assets call it, with no Dagster: what is killed and stopped at its writes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from retrain_pipeline.gates.judge import judge
from retrain_pipeline.learning.build import build_candidate
from retrain_pipeline.learning.frozen import record_training_set, recorded_training_set
from retrain_pipeline.learning.manifest import TriggerRef
from retrain_pipeline.learning.training_set import freeze_training_set
from retrain_pipeline.monitoring.reference import store_reference
from retrain_pipeline.records.card import write_card
from retrain_pipeline.release.release import newest_evidence, reject, release
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.stores import Stores
from retrain_pipeline.triggers.request import retrain_requested
from retrain_pipeline.triggers.retrain import note_candidate, retrain_of, subject_of
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import START

MODEL, ACTOR = "toy", "run"


@dataclass(frozen=True)
class Asked:
    """A retrain to run."""

    run_id: str
    week: int
    kind: str
    mode: str
    attempt: int = 1


def training_set(stores: Stores, declaration: Declaration, asked: Asked) -> None:
    retrain = retrain_requested(
        stores.ledger,
        declaration.spec,
        run_id=asked.run_id,
        as_of=(START + timedelta(weeks=asked.week)).isoformat(),
        kind=asked.kind,
        mode=asked.mode,
        trigger_id=f"{asked.kind}-{asked.week}",
        attempt=asked.attempt,
        actor=ACTOR,
    )
    frozen = freeze_training_set(stores, declaration.spec, retrain.as_of)
    record_training_set(stores, frozen, run_id=asked.run_id, actor=ACTOR)


def candidate(stores: Stores, declaration: Declaration, asked: Asked) -> None:
    deployed = stores.ledger.deployment(MODEL)
    retrain = retrain_of(stores.ledger, MODEL, asked.run_id)
    frozen = recorded_training_set(stores, subject_of(stores.ledger, MODEL, "training_set_frozen", asked.run_id))
    manifest = build_candidate(
        stores,
        declaration,
        frozen,
        trigger=TriggerRef(kind=retrain.kind, id=retrain.trigger_id, attempt=retrain.attempt),
        parent=deployed.state["champion"] if deployed else None,
        run_id=asked.run_id,
        actor=ACTOR,
    )
    store_reference(stores, declaration.spec, manifest.version)
    note_candidate(stores.ledger, MODEL, manifest.version, asked.run_id, ACTOR)


def evaluation(stores: Stores, declaration: Declaration, asked: Asked) -> None:
    retrain = retrain_of(stores.ledger, MODEL, asked.run_id)
    version = subject_of(stores.ledger, MODEL, "candidate_built", asked.run_id)
    evidence, digest = judge(stores, declaration, version, mode=retrain.mode, run_id=asked.run_id, actor=ACTOR)
    if evidence.verdict is not Verdict.PASS:
        reject(stores, declaration, version, evidence_digest=digest, run_id=asked.run_id, actor=ACTOR)


def releasing(stores: Stores, declaration: Declaration, asked: Asked) -> None:
    version = subject_of(stores.ledger, MODEL, "candidate_built", asked.run_id)
    evidence = newest_evidence(stores, MODEL, version)
    release(stores, declaration, version, evidence_digest=evidence, run_id=asked.run_id, actor=ACTOR)


def model_card(stores: Stores, declaration: Declaration, asked: Asked) -> None:
    card = write_card(stores, declaration, subject_of(stores.ledger, MODEL, "released", asked.run_id))
    assert stores.artifacts.get(card.markdown)
    assert stores.artifacts.get_json(card.json)["model_details"]["version"] == card.version


STEPS = {
    "training_set": training_set,
    "candidate": candidate,
    "evaluation": evaluation,
    "release": releasing,
    "model_card": model_card,
}


def bound(stores: Stores, declaration: Declaration, asked: Asked) -> dict[str, Callable[[], None]]:
    """Return the steps of a retrain, to be called."""
    return {name: partial(work, stores, declaration, asked) for name, work in STEPS.items()}
