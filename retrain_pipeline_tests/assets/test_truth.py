"""The truth checks on the asset `records` under Dagster: what they show, and that they stop nothing."""

from pathlib import Path

import dagster as dg
import pytest

from retrain_pipeline.assets.truth import GROUPS
from retrain_pipeline.records.kinds.card import ModelCard
from retrain_pipeline.records.record import records
from retrain_pipeline.records.truth.verify import NAMES
from retrain_pipeline_tests.records.truth.documented import DECISION


def test_every_truth_check_is_in_one_group():
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(NAMES)


@pytest.mark.requirement("A12", "A14", "A31")
@pytest.mark.fault("G12")
def test_the_records_of_a_release_are_verified_and_a_card_that_is_lost_shows(released):
    (released.declaration.folder / "decisions" / "0001-why.md").write_text(DECISION)
    run = released.materialize("records")
    assert run.success
    found = {one.check_name: one for one in run.get_asset_check_evaluations() if one.check_name in GROUPS}
    assert set(found) == set(GROUPS)
    said = {name: one.value for group in found.values() for name, one in group.metadata.items() if name in NAMES}
    passed = {name for name, verdict in said.items() if verdict == "PASS"}
    assert {"schema", "numbers", "digests", "current", "regenerate", "experiments", "protocol", "escaped"} <= passed, (
        said
    )
    # the folder is in no repository: whether its commits exist nobody can tell, which is no pass and no error
    assert said["commits"] == "INCONCLUSIVE"
    assert (found["documents_true"].passed, found["documents_true"].severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found["documents_complete"].passed
    card = list(records(released.stores, "toy", ModelCard.KIND))[-1].read(ModelCard)
    Path(released.stores.artifacts.path(card.card_markdown)).write_bytes(b"# The best model\n")
    run = released.materialize("records")
    assert run.success
    [found] = [one for one in run.get_asset_check_evaluations() if one.check_name == "documents_true"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "current: 1 of 1: card of" in found.description
