"""A record for every run, however it ended, and none without a run; what was agreed and expected is older than it."""

import pytest

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.records.agreed import NotAgreed, check_agreed, protocol_digest, protocols, register
from retrain_pipeline.records.experiments import experiment, retrain_runs
from retrain_pipeline.records.hypotheses import begin, written_late
from retrain_pipeline.records.kinds.experiment import Experiment
from retrain_pipeline.records.kinds.hypothesis import Hypothesis
from retrain_pipeline.records.kinds.problem import Problem
from retrain_pipeline.records.reconciled import count_experiments
from retrain_pipeline.records.record import enter, records
from retrain_pipeline.triggers.reconcile import KnownRun
from retrain_pipeline.triggers.retrain import close_retrain
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import World
from retrain_pipeline_tests.records.runs import crash, documents, retrained, settled, start


def changed(world: World, **gates) -> World:
    """Return the world with other gates declared."""
    spec = world.declaration.spec
    update = {"gates": spec.gates.model_copy(update=gates)}
    declaration = type(world.declaration)(
        spec.model_copy(update=update), world.declaration.folder, world.declaration.file
    )  # fmt: skip
    return World(world.stores, declaration, world.home)


@pytest.fixture(scope="module")
def lived(tmp_path_factory) -> World:
    """A world in which one retrain was judged and one crashed, with all its records."""
    world = retrained().copy(tmp_path_factory.mktemp("lived"))
    settled(world)
    yield world
    world.stores.close()


@pytest.mark.requirement("A7", "A10", "A17", "A18", "A21", "A29")
def test_a_judged_run_has_what_went_in_and_what_came_out(lived):
    found = next(records(lived.stores, "toy", Experiment.KIND, subject="run-judged")).read(Experiment)
    evidence = lived.stores.artifacts.get_json(found.links["evidence"])
    assert found.verdict == "rejected" if found.failed_gates else "released"
    for pointer, value in found.metrics.items():
        place = evidence
        for part in pointer[1:].split("/"):
            place = place[int(part)] if isinstance(place, list) else place[part]
        assert place == value
    assert found.metrics
    assert (found.attempt, found.trigger.kind, found.trigger.reasons) == (1, "drift", ("loss rose",))
    assert found.code is not None
    assert (found.seed, found.hardware["threads"]) == (0, 1)
    assert found.data.rows > 0
    assert found.budget.trials >= 1
    assert found.budget.wall_seconds_limit == 600
    assert [one.state for one in found.state_history][:3] == [
        "retrain_started",
        "training_set_frozen",
        "candidate_built",
    ]
    assert [one.criterion.gate for one in found.success_criteria] == ["quality", "success"]
    for one in found.success_criteria:
        result = next(r for r in evidence["results"] if r["gate"] == one.criterion.gate)
        assert (one.verdict.value, one.measured) == (result["verdict"], result["statistic"])
    assert "better than" in found.hypothesis
    assert found.lesson.startswith("What would have changed the verdict")


@pytest.mark.requirement("A7")
def test_a_run_that_crashed_has_its_reason_and_a_lesson(lived):
    found = next(records(lived.stores, "toy", Experiment.KIND, subject="run-crashed")).read(Experiment)
    assert (found.verdict, found.why_failed) == ("retrain_failed", "the fit was killed")
    assert "memory" in found.lesson
    assert found.version is None
    assert found.success_criteria[0].verdict is Verdict.INCONCLUSIVE
    assert found.links.keys() == {"hypothesis"}


@pytest.mark.requirement("A7", "D11")
def test_settling_again_enters_nothing_and_the_record_made_later_is_the_same(lived):
    before = lived.stores.ledger.head()
    settled(lived)
    assert lived.stores.ledger.head() == before
    one = next(records(lived.stores, "toy", Experiment.KIND, subject="run-judged"))
    assert experiment(lived.stores, "toy", "run-judged").document() == one.document


@pytest.mark.requirement("A7")
@pytest.mark.fault("G9")
def test_a_run_without_record_and_a_record_without_run_are_named(world):
    run_ids = ("crashed", "alive")
    crash(world, 6, run_ids[0])
    start(world, 6, run_ids[1])
    known = [KnownRun("toy", "crashed", False, "failure"), KnownRun("toy", "alive", True, "started")]
    found = count_experiments(world.stores, "toy", known)
    assert found.verdict is Verdict.FAIL
    assert found.problems == (found.problems[0],)
    assert "toy crashed: failure, but no experiment" in found.problems[0]
    settled(world)
    found = count_experiments(world.stores, "toy", known)
    assert (found.verdict, found.runs, found.experiments, found.running) == (Verdict.PASS, 1, 1, 1)
    hidden = [*known, KnownRun("toy", "suppressed", False, "failure"), KnownRun("other", "theirs", False, "failure")]
    found = count_experiments(world.stores, "toy", hidden)
    assert [words.split(":")[0] for words in found.problems] == ["toy suppressed"]
    made_up = experiment(world.stores, "toy", "crashed").model_copy(update={"subject": "nobody", "run_id": "nobody"})
    enter(world.stores, made_up, actor="somebody")
    found = count_experiments(world.stores, "toy", known)
    assert found.problems == ("toy nobody: an experiment without a run",)


def test_no_run_at_all_is_no_pass(world):
    assert count_experiments(world.stores, "toy", []).verdict is Verdict.INCONCLUSIVE


@pytest.mark.requirement("A7")
def test_a_run_that_failed_before_it_started_has_a_record_that_says_so(world):
    close_retrain(world.stores.ledger, "toy", "never", "the run ended without a verdict (failure)", "sensor", "died")
    settled(world)
    (found,) = documents(world, Experiment.KIND)
    assert (found["started_at"], found["trigger"], found["hypothesis_seq"]) == (None, None, None)
    assert retrain_runs(world.stores, "toy") == {"never": True}


@pytest.mark.requirement("A4", "A5")
def test_a_retrain_without_protocol_on_record_is_refused_with_the_mend(world):
    retrain = start(world, 6, "early", register_first=False)
    with pytest.raises(NotAgreed, match=r"toy: the problem .*`retrain protocol register toy --by NAME`"):
        begin(world.stores, world.declaration, retrain, "dagster")
    assert not documents(world, Hypothesis.KIND)
    register(world.stores, world.declaration.spec, "dagster")
    with pytest.raises(NotAgreed, match="was not on record when this retrain started"):
        check_agreed(world.stores, world.declaration.spec, "early")  # agreed after the start: no better
    begin(world.stores, world.declaration, start(world, 6, "later"), "dagster")
    (problem,) = documents(world, Problem.KIND)
    assert (problem["success_metric"], problem["direction"]) == ("mae", "down")


@pytest.mark.requirement("A5")
def test_a_changed_protocol_is_a_new_version_and_old_runs_are_not_comparable(world):
    crash(world, 6, "under-one")
    settled(world)
    other = changed(world, margin=0.5)
    retrain = start(other, 6, "moved", register_first=False)
    with pytest.raises(NotAgreed, match=r"changed since the one on record: gates\.margin"):
        begin(other.stores, other.declaration, retrain, "dagster")
    crash(other, 6, "under-two")
    known = documents(world, "protocol")
    assert [(one["version"], one["changed"]) for one in known] == [(1, []), (2, ["gates.margin"])]
    settled(other)
    two = next(one for one in documents(world, Experiment.KIND) if one["subject"] == "under-two")
    assert two["protocol_version"] == 2
    assert two["not_comparable"] == ["1 experiments under protocol 1: gates.margin"]


@pytest.mark.requirement("A5", "A32")
def test_people_agree_beside_the_machine_and_the_first_time_counts(world):
    first = register(world.stores, world.declaration.spec, "dagster")
    seq = protocols(world.stores, "toy")[0][0].entry.seq
    agreed = register(world.stores, world.declaration.spec, "person:anna", agreed_by="Anna")
    register(world.stores, world.declaration.spec, "person:ben", agreed_by="Ben")
    register(world.stores, world.declaration.spec, "dagster")
    found = protocols(world.stores, "toy")
    assert [one.agreed_by for _, one in found] == [(), ("Anna",), ("Anna", "Ben")]
    assert {one.version for _, one in found} == {1}
    assert (first.digest, agreed.digest) == (protocol_digest(world.declaration.spec),) * 2
    assert found[0][0].entry.seq == seq


@pytest.mark.requirement("A6")
def test_config_and_environment_of_the_record_are_those_that_can_be_had_again(lived):
    from retrain_pipeline.canonical import digest_of
    from retrain_pipeline.learning.environment import environment

    found = next(records(lived.stores, "toy", Experiment.KIND, subject="run-judged")).read(Experiment)
    assert digest_of(lived.stores.artifacts.get_json(found.config_digest)) == found.config_digest
    assert found.config_digest == lived.declaration.spec.digest
    here = environment(threads=1)
    assert (found.lock, found.environment) == (here.lock_digest, here.digest)


@pytest.mark.requirement("A22")
def test_what_was_on_record_can_be_asked_as_of_any_entry(lived):
    everything = list(records(lived.stores, "toy"))
    middle = everything[len(everything) // 2].entry.seq
    then = list(records(lived.stores, "toy", until_seq=middle))
    assert [one.digest for one in then] == [one.digest for one in everything if one.entry.seq <= middle]
    assert 0 < len(then) < len(everything)


@pytest.mark.fault("G8")
def test_a_hypothesis_dated_before_a_result_that_is_older_in_the_chain_is_found(world, monkeypatch):
    from datetime import UTC, datetime

    from retrain_pipeline.ledger import writing

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2099, 1, 1, tzinfo=UTC)

    register(world.stores, world.declaration.spec, "dagster")
    retrain = start(world, 6, "r")
    with monkeypatch.context() as patched:
        patched.setattr(writing, "datetime", Later)
        begin(world.stores, world.declaration, retrain, "dagster")
    world.stores.ledger.append(NewEntry("dagster", "judged", "toy", "v1", run_id="r"))
    (problem,) = written_late(world.stores, "toy")
    assert "the clock went back between hypothesis and result" in problem


@pytest.mark.fault("G16")
def test_a_hypothesis_written_after_the_result_is_found(world):
    crash(world, 6, "honest")
    assert written_late(world.stores, "toy") == []
    register(world.stores, world.declaration.spec, "dagster")
    retrain = start(world, 6, "hindsight")
    world.stores.ledger.append(NewEntry("dagster", "judged", "toy", "v1", run_id="hindsight"))
    begin(world.stores, world.declaration, retrain, "somebody")
    (problem,) = written_late(world.stores, "toy")
    assert "hindsight: hypothesis written in entry" in problem
