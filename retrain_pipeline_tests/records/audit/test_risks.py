"""Risks are written by people, kept, and held against the model: dated, reviewed, owned, their monitors holding."""

import re

import pytest

from retrain_pipeline.learning.frozen import record_training_set
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.records.audit.annex import annex
from retrain_pipeline.records.audit.look import examined, look
from retrain_pipeline.records.data_sheets import data_sheet
from retrain_pipeline.records.kinds.risks import RiskRecord
from retrain_pipeline.records.record import records
from retrain_pipeline.records.risks import register_risks
from retrain_pipeline.records.truth.context import Context
from retrain_pipeline.records.truth.verify import CHECKS, verify
from retrain_pipeline.spec.risks import FILE, RisksRefused, read_risks
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.records.audit.conftest import TODAY

RISKS = """\
schema: 1
assessed: 2026-02-01
by: ["team:toys"]
review_by: 2027-02-01
sensitive: {shop: "tells where a child lives"}
regulation: ["the toy safety directive"]
risks:
  - id: heavy-toys
    risk: Toys get heavier than any that was weighed.
    impact: Postage is paid twice, by whoever gets the parcel.
    likelihood: medium
    severity: low
    mitigation: The tree is learned anew each month.
    owner: team:toys
    monitor: champion.validated_loss <= 5
  - id: no-toys
    risk: Nobody buys toys.
    impact: The shop closes.
    likelihood: low
    severity: high
    mitigation: None here.
    owner: team:toys
"""


@pytest.fixture
def assess(world):
    """Return a function that writes the risks file, with one thing in it changed."""

    def write(before: str = "", after: str = "") -> None:
        assert before in RISKS
        (world.declaration.folder / FILE).write_text(RISKS.replace(before, after, 1) if before else RISKS)

    return write


def checked(world, today=TODAY):
    found = look(world.stores, world.declaration, today=today)
    return found.result("risks"), [one for one in found.findings if one.check == "risks"]


@pytest.mark.requirement("D45", "B10")
def test_an_assessment_is_on_record_once_and_again_when_it_changes(world, assess):
    register_risks(world.stores, world.declaration, "test")
    assert list(records(world.stores, "toy", RiskRecord.KIND)) == []
    assess()
    for _ in range(2):
        register_risks(world.stores, world.declaration, "test")
    assess("severity: low", "severity: high")
    register_risks(world.stores, world.declaration, "test")
    first, second = (one.read(RiskRecord) for one in records(world.stores, "toy", RiskRecord.KIND))
    assert [one.severity for one in first.said.risks] == ["low", "high"]
    assert [one.severity for one in second.said.risks] == ["high", "high"]
    assert first.champion == world.stores.ledger.deployment("toy").state["champion"]
    assert world.stores.artifacts.get(first.text).decode() == RISKS


@pytest.mark.requirement("D45", "B2", "B10")
def test_an_assessment_that_stands_passes_and_none_at_all_is_no_pass(world, assess):
    result, findings = checked(world)
    assert (result.verdict, findings) == (Verdict.INCONCLUSIVE, [])
    assert "no risks.yaml" in result.words
    assess()
    assert checked(world)[0].verdict is Verdict.PASS


@pytest.mark.requirement("D45", "B2", "B10")
@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("review_by: 2027-02-01", "review_by: 2026-05-31", "its review was due by 2026-05-31"),
        ("assessed: 2026-02-01", "assessed: 2026-01-04", "before decision tree-1 of 2026-01-05: assess again"),
        ("champion.validated_loss <= 5", "champion.validated_loss <= 0.001", "does not hold"),
        ("champion.validated_loss <= 5", "monitored.loss <= 5", "cannot be told"),
        ("{shop:", "{address:", "no column 'address'"),
        ("likelihood: medium", "likelihood: maybe", "risks.0.likelihood"),
        ("id: no-toys", "id: heavy-toys", "given twice"),
        ("review_by: 2027-02-01", "review_by: 2026-02-01", "not after assessed"),
        ("champion.validated_loss <= 5", "the loss is small", "risks.0.monitor"),
        ("schema: 1", "schema: 1\nschema: 1", "schema"),
    ],
)
def test_an_assessment_that_does_not_stand_is_a_finding(world, assess, decide, before, after, words):
    decide("tree-1")
    assess(before, after)
    result, findings = checked(world)
    assert result.verdict is Verdict.FAIL
    assert any(re.search(words, one.words) for one in findings), findings


def test_a_file_that_does_not_read_is_refused_with_its_places_and_not_entered(world, assess):
    assess("severity: low", "severity: mild\n    colour: red")
    with pytest.raises(RisksRefused, match=r"risks\.0\.severity.*risks\.0\.colour"):
        read_risks(world.declaration.folder)
    register_risks(world.stores, world.declaration, "test")
    assert list(records(world.stores, "toy", RiskRecord.KIND)) == []


@pytest.mark.requirement("B10")
def test_what_is_sensitive_is_said_of_the_data_and_the_annex_points_at_the_risks(world, assess):
    assess()
    register_risks(world.stores, world.declaration, "test")
    version = versions(world)[0]
    frozen = read_manifest(world.stores, "toy", version).frozen
    artifact = record_training_set(world.stores, frozen, run_id="run", actor="test")
    sheet = data_sheet(world.stores, world.declaration.spec, artifact, [version], ["run"])
    assert sheet.composition.sensitive == {"shop": "tells where a child lives"}
    found = {one.number: one for one in annex(examined(world.stores, world.declaration), world.declaration.folder)}
    for number in ("3c", "5"):
        assert found[number].status == "human"
        assert found[number].where[0].file == FILE


def test_the_owner_of_a_risk_must_be_somebody(world, assess, tmp_path, monkeypatch):
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path))
    (tmp_path / "OWNERS.yaml").write_text("owners:\n  team:toys: {contact: toys@example.org}\n")
    [owners] = [one for one in CHECKS if one.name == "owners"]

    def asked():
        return verify(Context(world.stores, world.declaration), [owners]).of("owners").verdict

    assess()
    assert asked() is Verdict.PASS
    assess("owner: team:toys", "owner: team:dolls")
    assert asked() is Verdict.FAIL
