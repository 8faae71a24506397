"""Measurements on record: of a version after its release, and of which feature comes from which source column."""

from typing import TYPE_CHECKING

from retrain_pipeline.insight.lineage import ColumnLineage, declared_digest, observe, probe_rows
from retrain_pipeline.insight.measure import measure
from retrain_pipeline.records.kinds.insight import InsightRecord
from retrain_pipeline.records.kinds.lineage import LineageRecord
from retrain_pipeline.records.record import enter, records

if TYPE_CHECKING:
    from retrain_pipeline.learning.team_code import FeatureCode
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

RELEASED = ("staged", "released")


def insight_of(stores: "Stores", model: str, version: str, *, until_seq: int | None = None) -> InsightRecord | None:
    """Return the newest measurements of a version, or None.

    Raises
    ------
    RecordRefused
        When the record is damaged.
    """
    found = None
    for one in records(stores, model, InsightRecord.KIND, subject=version, until_seq=until_seq):
        found = one.read(InsightRecord)
    return found


def record_insight(
    stores: "Stores", declaration: "Declaration", version: str, *, actor: str, refits: bool | None = None
) -> InsightRecord:
    """Measure a version, store the pictures and enter the record; the same measurements are entered once.

    Parameters
    ----------
    refits
        Whether to refit for ablation and sensitivity. Default: when `report.insight.every` says so.

    Raises
    ------
    PermanentError
        As `insight.measure.measure`.
    """
    from retrain_pipeline.insight.plots import plots
    from retrain_pipeline.learning.versions import read_manifest

    model = declaration.spec.name
    manifest = read_manifest(stores, model, version)
    if refits is None:
        refits = declaration.spec.report.insight.refits_due(released_before(stores, model, version))
    earlier = insight_of(stores, model, manifest.parent) if manifest.parent else None
    measured = measure(
        stores,
        model,
        version,
        refits=refits,
        lineage=lineage_of_code(stores, model, manifest.feature_code_digest),
        before=earlier.measured.groups if earlier else (),
    )
    pictures = {name: stores.artifacts.put(data) for name, data in plots(model, version, measured).items()}
    record = InsightRecord.make(model=model, subject=version, measured=measured, plots=pictures)
    enter(stores, record, actor=actor)
    return record


def released_before(stores: "Stores", model: str, version: str) -> int:
    """Return how many versions were released or staged before a version first was."""
    seen: dict[str, None] = {}
    for entry in stores.ledger.entries(model=model, action=RELEASED):
        if entry.subject == version:
            break
        seen[str(entry.subject)] = None
    return len(seen)


def lineage_of_code(stores: "Stores", model: str, code: str) -> ColumnLineage | None:
    """Return the newest lineage of a feature code, or None when it was never observed."""
    found = None
    for one in records(stores, model, LineageRecord.KIND, subject=code):
        found = one.read(LineageRecord).lineage
    return found


def observed_lineage(
    stores: "Stores", declaration: "Declaration", code: "FeatureCode", *, actor: str
) -> ColumnLineage | None:
    """Return the lineage of the present feature code: that on record, else observed now and entered.

    None while raw has no rows to observe it on.

    Raises
    ------
    FeatureContractBroken, FitFailed
        When the function does not work on the rows of raw.
    """
    spec = declaration.spec
    known = lineage_of_code(stores, spec.name, code.digest)
    if known is not None and known.declared == declared_digest(spec):
        return known
    probe = probe_rows(stores, spec)
    if probe is None:
        return None
    lineage = observe(code, spec, probe)
    enter(stores, LineageRecord.make(model=spec.name, subject=code.digest, lineage=lineage), actor=actor)
    return lineage
