"""The kinds of records: a file each."""

from retrain_pipeline.records.record import Record


def kinds() -> tuple[type[Record], ...]:
    """Return every kind of record that this project writes, by name."""
    from retrain_pipeline.records.kinds.audit import Audit
    from retrain_pipeline.records.kinds.card import ModelCard
    from retrain_pipeline.records.kinds.change import ChangeRecord
    from retrain_pipeline.records.kinds.checklist import ChecklistRecord, Ticked
    from retrain_pipeline.records.kinds.data_sheet import DataSheet
    from retrain_pipeline.records.kinds.decision import DecisionCheck, DecisionRecord, EffectScore
    from retrain_pipeline.records.kinds.deviation import Deviation
    from retrain_pipeline.records.kinds.experiment import Experiment
    from retrain_pipeline.records.kinds.hypothesis import Hypothesis
    from retrain_pipeline.records.kinds.impact_brief import ImpactBrief
    from retrain_pipeline.records.kinds.insight import InsightRecord
    from retrain_pipeline.records.kinds.lineage import LineageRecord
    from retrain_pipeline.records.kinds.postmortem import Postmortem
    from retrain_pipeline.records.kinds.problem import Problem
    from retrain_pipeline.records.kinds.protocol import Protocol
    from retrain_pipeline.records.kinds.release_note import ReleaseNote
    from retrain_pipeline.records.kinds.review import Review
    from retrain_pipeline.records.kinds.risks import RiskRecord
    from retrain_pipeline.records.kinds.test_run import TestRun
    from retrain_pipeline.records.kinds.tombstone import Tombstone

    return (
        Audit,
        ChangeRecord,
        ChecklistRecord,
        DataSheet,
        DecisionCheck,
        DecisionRecord,
        Deviation,
        EffectScore,
        Experiment,
        Hypothesis,
        ImpactBrief,
        InsightRecord,
        LineageRecord,
        ModelCard,
        Postmortem,
        Problem,
        Protocol,
        ReleaseNote,
        Review,
        RiskRecord,
        TestRun,
        Ticked,
        Tombstone,
    )
