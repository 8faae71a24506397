"""Data sheets: what a training set is, counted by machine; and what only people know, with who said it and when."""

from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.learning.frozen import recorded_training_set
from retrain_pipeline.records.kinds.data_sheet import (
    Collection,
    Column,
    Composition,
    DataSheet,
    Distribution,
    Maintenance,
    Motivation,
    Preprocessing,
    Said,
    Uses,
)
from retrain_pipeline.records.record import enter, entered, read_recorded, records
from retrain_pipeline.records.risks import sensitive_columns

if TYPE_CHECKING:
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.learning.training_set import TrainingSet
    from retrain_pipeline.monitoring.summaries import Profile
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

FROZEN, BUILT, DOUBTED = "training_set_frozen", "candidate_built", "data_doubted"
QUESTIONS = ("consent", "sensitive", "not_for", "licence", "retention")
"""What a machine cannot know."""
_LEVELS = 50


class SheetRefused(PermanentError):
    """A statement about data that cannot be entered."""


def write_data_sheets(stores: "Stores", declaration: "Declaration", actor: str) -> None:
    """Enter the sheet of every training set that a version learned from and that has none: a step of `settle`.

    What people said of the sheet before is carried over, with their names and dates: it is about the source.
    """
    model = declaration.spec.name
    known = entered(stores, model, DataSheet.KIND)
    there = {one.subject for one in known}
    said: DataSheet | None = None
    runs: dict[str, list[str]] = {}
    for entry in stores.ledger.entries(model=model, action=FROZEN):
        runs.setdefault(str(entry.subject), []).append(entry.run_id or "")
    built = {one.run_id: str(one.subject) for one in stores.ledger.entries(model=model, action=BUILT)}
    for artifact, names in runs.items():
        versions = sorted({built[run_id] for run_id in names if run_id in built})
        if artifact in there or not versions:
            continue
        sheet = data_sheet(stores, declaration.spec, artifact, versions, names)
        if known:
            said = said or read_recorded(stores, known[-1]).read(DataSheet)
            sheet = sheet.model_copy(update={name: getattr(said, name) for name in QUESTIONS})
        enter(stores, sheet, actor=actor)


def say(stores: "Stores", model: str, question: str, words: str, *, owner: str, date: str, actor: str) -> DataSheet:
    """Enter the newest sheet again with what somebody says of the data, and return it.

    Raises
    ------
    SheetRefused
        When there is no sheet yet, no words or owner, or no such question.
    """
    known = list(records(stores, model, DataSheet.KIND))
    if not known:
        raise SheetRefused(
            f"{model}: no training set has a sheet yet; retrain it, or run `retrain docs update {model}`"
        )
    if question not in QUESTIONS or not words.strip() or not owner.strip():
        raise SheetRefused(f"{model}: say one of {', '.join(QUESTIONS)}, in words, with an owner")
    said = Said(words=words, owner=owner, date=date)
    record = known[-1].read(DataSheet).model_copy(update={question: said})
    enter(stores, record, actor=actor)
    return record


def data_sheet(stores: "Stores", spec: "ModelSpec", artifact: str, versions: list[str], runs: list[str]) -> DataSheet:
    """Return the sheet of a training set, from its description, the profile of a version of it, and the ledger."""
    from retrain_pipeline.learning.versions import read_manifest
    from retrain_pipeline.monitoring.errors import ReferenceMissing
    from retrain_pipeline.monitoring.reference import read_reference

    frozen, manifest = recorded_training_set(stores, artifact), read_manifest(stores, spec.name, versions[0])
    try:
        profile = read_reference(stores, spec.name, versions[0]).features
    except ReferenceMissing:
        profile = None
    return DataSheet.make(
        model=spec.name,
        subject=artifact,
        motivation=Motivation(purpose=spec.problem.statement, owners=spec.owners),
        composition=_composition(spec, frozen, profile, sensitive_columns(stores, spec.name)),
        collection=_collection(spec, frozen),
        preprocessing=_preprocessing(stores, spec, frozen, manifest),
        uses=Uses(versions=tuple(versions), runs=tuple(sorted(set(runs)))),
        distribution=Distribution(
            tables=(f"{frozen.features.model}/features", f"{frozen.labels.model}/labels"), digest=frozen.digest
        ),
        maintenance=Maintenance(
            cadence=f"a new set with each retrain; rows by {spec.data.time.period}", owners=spec.owners
        ),
    )


def _composition(
    spec: "ModelSpec", frozen: "TrainingSet", profile: "Profile | None", sensitive: dict[str, str]
) -> Composition:
    columns = [_column(name, one, profile.rows) for name, one in profile.columns.items()] if profile else []
    groups = {name: counted for name, one in profile.columns.items() if (counted := _levels(one))} if profile else {}
    return Composition(
        rows=frozen.train_rows,
        evaluation_rows=frozen.evaluation_rows,
        label=spec.data.label.model_dump(mode="json"),
        label_stats=frozen.label_stats,
        columns=tuple(columns),
        groups=groups,
        train_from=frozen.train_from,
        train_until=frozen.train_until,
        evaluation_until=frozen.evaluation_until,
        periods=len(frozen.periods),
        sensitive=sensitive,
    )


def _column(name: str, one: Any, rows: int) -> Column:
    from retrain_pipeline.monitoring.summaries import NumericProfile

    known = {"name": name, "missing": one.nulls, "missing_share": one.nulls / rows if rows else 0.0}
    if isinstance(one, NumericProfile):
        return Column(**known, kind="number", low=one.min, high=one.max)
    return Column(**known, kind="category", levels=len(one.edges))


def _levels(one: Any) -> dict[str, int]:
    from retrain_pipeline.monitoring.summaries import CategoryProfile

    if not isinstance(one, CategoryProfile):
        return {}
    counted = sorted(zip(one.edges, one.counts, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return dict(counted[:_LEVELS])


def _collection(spec: "ModelSpec", frozen: "TrainingSet") -> Collection:
    declared = spec.model_dump(mode="json")["data"]
    return Collection(
        source=declared["source"],
        time=declared["time"],
        label_delay_hours=declared["label"].get("delay_hours"),
        as_of=frozen.as_of,
        known_by=frozen.as_of,
    )


def _preprocessing(
    stores: "Stores", spec: "ModelSpec", frozen: "TrainingSet", manifest: "VersionManifest"
) -> Preprocessing:
    set_aside = stores.lake.partitions(spec.name, "quarantine")
    doubts = [
        f"{entry.payload['period']}: {entry.payload['cause']}: {entry.payload['words']}"[:500]
        for entry in stores.ledger.entries(model=spec.name, action=DOUBTED)
        if entry.payload["period"] in frozen.periods
    ]
    window = manifest.window
    return Preprocessing(
        features=spec.features.build,
        feature_code=manifest.feature_code_digest,
        features_version=frozen.features.version,
        labels_version=frozen.labels.version,
        dropped=dict(manifest.columns.dropped),
        quarantined_rows=sum(one.rows for period, one in set_aside.items() if period in frozen.periods),
        sampling=f"the newest {window.train_rows} rows of it were fitted"
        if window
        else "every labelled row of the window",
        quality=tuple(doubts),
    )
