"""What one more run costs once its record is long: documents and frozen rows are read for what is new, not for all."""

from collections import Counter
from pathlib import Path

import dagster as dg
import pytest

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.assets.truth import truth_results
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.records.kinds.experiment import Experiment
from retrain_pipeline.records.record import entered
from retrain_pipeline.records.truth.looked import NOTHING, looked_at
from retrain_pipeline.records.truth.verify import verify
from retrain_pipeline_tests.records.runs import crash, run, settled
from retrain_pipeline_tests.records.truth.documented import context_of
from retrain_pipeline_tests.records.truth.documented import template as documented

pytestmark = pytest.mark.slow


@pytest.fixture
def reads(monkeypatch) -> Counter:
    """Counts documents and snapshots of rows that are read."""
    counted: Counter = Counter()

    def count(owner: type, name: str, what: str) -> None:
        real = getattr(owner, name)

        def counting(self, *given, **named):
            counted[what] += 1
            return real(self, *given, **named)

        monkeypatch.setattr(owner, name, counting)

    count(Artifacts, "get", "documents")
    count(Lake, "read_snapshot", "rows")
    return counted


@pytest.fixture
def world(tmp_path):
    return documented().copy(tmp_path)


def looked(world) -> dict[str, dg.AssetCheckResult]:
    """Do what the asset `records` does after a run, and return its checks by name."""
    settled(world)
    asset = dg.AssetKey(["toy", "records"])
    found = truth_results(world.stores, world.declaration, asset, [], actor="test", run_id="x")
    return {one.check_name: one for one in found}


@pytest.mark.requirement("A39")
def test_a_failed_run_costs_the_same_whatever_the_number_of_runs_before(world, reads):
    told = []
    for number in range(13):
        crash(world, 6, f"run-{number:03d}")
        reads.clear()
        looked(world)
        told.append(dict(reads))
    assert told[0]["rows"] > 0, "the first look hashed the rows"
    assert told[12] == told[3], "what a run reads does not grow"
    assert "rows" not in told[12], "rows that were hashed are looked for, not read"
    reads.clear()
    verify(context_of(world))
    assert reads["documents"] > told[12]["documents"] + 13, "whoever verifies by hand reads everything"
    assert reads["rows"] > 0


@pytest.mark.requirement("A39")
def test_a_version_more_costs_the_same_whatever_the_number_of_versions_before(world, reads):
    told = []
    for week in range(7, 12):
        run(world, week, f"run-{week}", mode="superiority")
        reads.clear()
        looked(world)
        told.append(dict(reads))
    assert told[4] == told[2], "what a version's records read does not grow"


def test_what_is_not_well_is_looked_at_again_until_it_is(world):
    assert looked(world)["documents_true"].passed
    well = looked_at(world.stores, "toy")
    assert well.until_seq > 0
    crash(world, 6, "run-broken")
    settled(world)
    (entry,) = [one for one in entered(world.stores, "toy", Experiment.KIND) if one.subject == "run-broken"]
    path = Path(str(world.stores.artifacts.path(str(entry.payload["record"]))))
    kept = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(b"{}")
    for number in range(2):
        crash(world, 6, f"run-after-{number}")
        found = looked(world)["documents_true"]
        assert not found.passed
        assert "schema" in found.description
        assert looked_at(world.stores, "toy").until_seq == well.until_seq
    path.write_bytes(kept)
    assert looked(world)["documents_true"].passed
    assert looked_at(world.stores, "toy").until_seq > entry.seq


def test_frozen_rows_that_are_not_the_same_are_found_at_the_first_look_and_asked_for_at_each(world, monkeypatch):
    from retrain_pipeline.lake.errors import SnapshotChanged

    def changed(self, snapshot):
        raise SnapshotChanged("other rows")

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "read_snapshot", changed)
        for _ in range(2):
            found = looked(world)["documents_true"]
            assert not found.passed
            assert "other rows" in found.description
            assert looked_at(world.stores, "toy").rows == NOTHING.rows
    assert looked(world)["documents_true"].passed
    assert len(looked_at(world.stores, "toy").rows) == 1
    monkeypatch.setattr(Lake, "partitions", lambda self, model, table, version=None: {})
    found = looked(world)["documents_true"]
    assert not found.passed
    assert "at version" in found.description
    assert looked_at(world.stores, "toy").rows == NOTHING.rows, "so its rows are read again next time"
