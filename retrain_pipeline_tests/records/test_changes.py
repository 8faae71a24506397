"""Each change that a release brought is on record with why it was made and what tested it."""

import pytest

from retrain_pipeline.learning.environment import code_revision
from retrain_pipeline.records.audit.expected import changes_found
from retrain_pipeline.records.kinds.change import ChangeRecord
from retrain_pipeline.records.record import newest_records, records
from retrain_pipeline.records.test_runs import enter_tests
from retrain_pipeline.records.truth.context import Context
from retrain_pipeline.records.truth.verify import CHECKS
from retrain_pipeline.records.truth.verify import verify as truth
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.records.truth.documented import DECISION, begun, commit, document, template

GATES = (
    DECISION.replace("toy-0001", "toy-0002")
    .replace("kind: architecture", "kind: threshold")
    .replace("# A tree, at every retrain", "# A wider margin")
)
PASSED = b'<testsuite><testcase classname="toys" name="test_columns"/></testsuite>'
FAILED = b'<testsuite><testcase classname="toys" name="test_columns"><failure/></testcase></testsuite>'


@pytest.fixture
def world(tmp_path):
    made = template().copy(tmp_path)
    yield made
    made.stores.close()


def released(world, week=7):
    """Retrain and release as the assets would, from the folder as it is; return the version."""
    begun(world, week, "non_inferiority")
    parent = world.stores.ledger.deployment("toy").state["champion"]
    version = world.build(week, parent)
    world.judged_release(version, "non_inferiority", f"run-{week}")
    document(world)
    return version


def edit(world, name, before, after):
    file = world.declaration.folder / name
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    return world.again()


def changes(world, version):
    [newest] = newest_records(world.stores, "toy", ChangeRecord.KIND, version, 1)
    return {one.part: one for one in newest.read(ChangeRecord).changes}


@pytest.mark.requirement("C1", "A2")
def test_of_a_first_release_the_whole_model_is_the_change(world):
    [only] = records(world.stores, "toy", ChangeRecord.KIND)
    [change] = only.read(ChangeRecord).changes
    assert (change.part, change.verdict, change.decisions) == ("the whole model", Verdict.PASS, ("toy-0001",))
    assert {one.id for one in change.tests} >= {"gate quality", "gate contract"}
    assert changes_found(world.stores, "toy").verdict is Verdict.PASS


@pytest.mark.requirement("C1")
def test_each_part_that_differs_has_its_decisions_its_commits_and_its_tests(world):
    (world.declaration.folder / "decisions" / "0002-margin.md").write_text(GATES)
    edit(world, "features.py", "Return the columns.", "Return the columns that the scales and the ruler give.")
    again = edit(world, "defs.yaml", "margin: 0.08", "margin: 0.09")
    after = commit(world.declaration.folder, "A wider margin")
    version = released(again)
    found = changes(again, version)
    assert set(found) >= {"gates", "features", "code", "data"}
    assert (found["gates"].places, found["gates"].decisions) == (("gates.margin",), ("toy-0002",))
    assert found["gates"].verdict is Verdict.PASS
    assert found["data"].because.startswith("scheduled retrain as of 2024-02-19")
    assert found["code"].commits[-1] == after
    # nobody decided on features, and nobody ran the tests
    assert (found["features"].verdict, found["code"].verdict) == (Verdict.FAIL, Verdict.INCONCLUSIVE)
    result = changes_found(again.stores, "toy")
    assert result.verdict is Verdict.FAIL
    assert "features: no decision and no commit says why" in result.words
    evidence = again.stores.artifacts.get_json(again.stores.ledger.deployment("toy").state["evidence"])
    for test in found["gates"].tests:
        place = int(test.pointer.rpartition("/")[2])
        assert test.pointer == f"evidence.json#/results/{place}"
        assert f"gate {evidence['results'][place]['gate']}" == test.id


@pytest.mark.requirement("C1")
@pytest.mark.parametrize(("report", "verdict"), [(PASSED, Verdict.PASS), (FAILED, Verdict.FAIL)])
def test_tests_that_come_later_are_added_once(world, report, verdict):
    (world.declaration.folder / "notes.txt").write_text("The scales were moved.")
    commit(world.declaration.folder, "Move the scales")
    version = released(world)
    assert changes(world, version)["code"].verdict is Verdict.INCONCLUSIVE
    assert changes_found(world.stores, "toy").verdict is (
        Verdict.FAIL if changes(world, version)["data"].verdict is Verdict.FAIL else Verdict.INCONCLUSIVE
    )
    revision, _ = code_revision(world.declaration.folder)
    enter_tests(world.stores, "toy", report, revision, actor="ci")
    for _ in range(2):
        document(world)
    written = list(records(world.stores, "toy", ChangeRecord.KIND, subject=version))
    assert len(written) == 2
    assert changes(world, version)["code"].verdict is verdict
    run = newest_records(world.stores, "toy", "test_run", revision.commit, 1)[0]
    assert run.digest in [one.pointer for one in changes(world, version)["code"].tests]


@pytest.mark.requirement("C1")
def test_code_that_no_commit_holds_is_unexplained_whatever_tested_it(world):
    (world.declaration.folder / "more.py").write_text("SCALES = 2\n")
    version = released(world)
    code = changes(world, version)["code"]
    assert (code.verdict, code.commits) == (Verdict.FAIL, ())
    assert "local changes that are in no commit" in code.because


@pytest.mark.requirement("C1")
def test_nothing_is_written_twice_and_what_is_written_is_of_its_schema(world):
    released(world)
    before = world.stores.ledger.head()
    document(world)
    assert world.stores.ledger.head() == before
    [schema] = [one for one in CHECKS if one.name == "schema"]
    found = truth(Context(world.stores, world.declaration), [schema]).answers
    assert [one.verdict for one in found] == [Verdict.PASS]


@pytest.mark.requirement("C1")
def test_without_a_release_there_is_no_pass(tmp_path):
    from retrain_pipeline_tests.gates.world import make_world

    empty = make_world(tmp_path)
    assert changes_found(empty.stores, "toy").verdict is Verdict.INCONCLUSIVE
    empty.stores.close()
