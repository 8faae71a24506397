"""What measurements on record add to a card: numbers with their places, lineage, limitations, what is not measured."""

from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.insight.limits import limitations, not_measured, served
from retrain_pipeline.records.insights import insight_of

if TYPE_CHECKING:
    from retrain_pipeline.records.kinds.insight import InsightRecord
    from retrain_pipeline.stores import Stores

MOST = 10
"""Numbers of each kind; the record has all."""


def with_measurements(stores: "Stores", document: dict[str, Any], model: str, version: str) -> dict[str, Any]:
    """Return a card's document with the measurements of its version; without any on record it says so.

    Raises
    ------
    RecordRefused
        When the record is damaged.
    """
    record, seen = insight_of(stores, model, version), served(stores.ledger, model, version)
    measured = record.measured if record else None
    said = [one.model_dump(mode="json") for one in not_measured(measured, seen)]
    return {
        **document,
        "limitations_from_evidence": [*document["limitations_from_evidence"], *limitations(measured, seen)],
        "not_measured": [*document["not_measured"], *said],
        "measurements": _section(record) if record else None,
    }


def _section(record: "InsightRecord") -> dict[str, Any]:
    """Return the numbers of a record, each with its place in it."""
    measured = record.measured
    numbers = [
        (f"importance of {one.feature}: rise of the row loss", one.rise, f"importances/{at}/rise")
        for at, one in enumerate(measured.importances[:MOST])
    ]
    for kind, effects in (("ablation", measured.ablation), ("sensitivity", measured.sensitivity)):
        numbers += [
            (f"{'without' if one.kind == 'without' else 'with'} {one.name}: {one.words}", one.difference,
             f"{kind}/{at}/difference")
            for at, one in enumerate(effects[:MOST]) if one.difference is not None
        ]  # fmt: skip
    if measured.split is not None:
        since = f"change of {measured.split.metric} since {measured.split.old}"
        numbers += [
            (f"{since} by {one.cause}", one.moved, f"split/parts/{at}/moved")
            for at, one in enumerate(measured.split.parts)
        ]
    return {
        "record": digest_of(record.document()),
        "numbers": [
            {"name": name, "value": value, "pointer": f"insight.json#/measured/{place}"}
            for name, value, place in numbers
        ],
        "lineage": {name: list(columns) for name, columns in measured.lineage.sources.items()}
        if measured.lineage
        else {},
        "plots": dict(record.plots),
    }
