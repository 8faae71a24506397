"""A frozen training set on record: its description as an artifact, named by one ledger entry."""

from retrain_pipeline.learning.training_set import TrainingSet
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.stores import Stores


def record_training_set(stores: Stores, frozen: TrainingSet, *, run_id: str, actor: str) -> str:
    """Store a training set's description and enter it; return the artifact's digest. Doing it again changes nothing."""
    digest = stores.artifacts.put_json(frozen.to_json())
    stores.ledger.append(
        NewEntry(
            actor=actor,
            action="training_set_frozen",
            model=frozen.model,
            subject=digest,
            payload={
                "as_of": frozen.as_of,
                "digest": frozen.digest,
                "train_rows": frozen.train_rows,
                "evaluation_rows": frozen.evaluation_rows,
            },
            run_id=run_id,
            key=f"training_set_frozen:{run_id}:{digest}",
        )
    )
    return digest


def recorded_training_set(stores: Stores, digest: str) -> TrainingSet:
    """Return the training set that an artifact describes."""
    return TrainingSet.from_json(stores.artifacts.get_json(digest))
