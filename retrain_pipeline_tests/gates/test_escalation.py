"""Where the gates alone are not enough, a second validator of other code judges other rows; disagreement halts."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates import looking
from retrain_pipeline.gates.escalation import answer, far, halt_entry, near, signs, since_second, unanswered, unwatched
from retrain_pipeline.gates.evidence import Escalation, Evidence, GateResult, policy_document, read_evidence
from retrain_pipeline.gates.kept import kept_back
from retrain_pipeline.gates.material import read_material
from retrain_pipeline.gates.replay import _replayed, contradictions
from retrain_pipeline.gates.second import _losses, flipped, second_look
from retrain_pipeline.governance.halting import ESCALATION_HALTED, disagreement
from retrain_pipeline.learning.losses import row_losses
from retrain_pipeline.learning.training_set import read_row_digests
from retrain_pipeline.learning.versions import load_version, read_manifest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.records.history import explain
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.spec.gates import Gates
from retrain_pipeline.triggers.halts import resume
from retrain_pipeline.triggers.state import read_state
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.escalated import declared, escalated_world
from retrain_pipeline_tests.gates.world import World, versions

pytestmark = pytest.mark.requirement("D44")
PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.fixture
def escalated(tmp_path):
    """A copy of that world."""
    made = escalated_world().copy(tmp_path)
    yield made
    made.stores.close()


def judged(world: World) -> Evidence:
    return read_evidence(world.stores.artifacts, newest_evidence(world.stores, "toy", versions(world)[1]))


def of(gate, verdict=PASS, **more) -> GateResult:
    return GateResult(gate=gate, verdict=verdict, words="known", **more)


def test_both_validators_agree_and_all_of_it_is_in_the_evidence_and_replayed(escalated):
    version, evidence = versions(escalated)[1], judged(escalated)
    found = evidence.escalation
    assert (evidence.verdict, evidence.schema_, found.called) == (PASS, "evidence/3", ("near",))
    assert (evidence.result("escalation").verdict, found.second.verdict) == (PASS, PASS)
    assert found.rows.digest in evidence.artifacts
    entry = escalated.stores.ledger.latest("toy", "judged", version)
    assert entry.payload["escalated"] == ["near"]
    assert contradictions(escalated.stores, entry, evidence) == []
    story = explain(escalated.stores, "toy", version)
    assert story.replayed == "same verdict: PASS"
    assert "the second validator agrees" in next(one.words for one in story.gates if one.gate == "escalation")
    again = _replayed(escalated.stores, escalated.declaration.spec, escalated.stores.ledger.entries(model="toy"), entry)
    assert (again.flips, again.changed) == (False, ())
    assert since_second(escalated.stores.ledger, "toy") == 1
    assert escalated.release(version, newest_evidence(escalated.stores, "toy", version)).released
    assert since_second(escalated.stores.ledger, "toy") == 0


@pytest.mark.fault("I30")
def test_the_second_validator_judges_rows_that_the_first_has_never_seen(escalated):
    version, spec = versions(escalated)[1], escalated.declaration.spec
    champion = escalated.stores.ledger.deployment("toy").state["champion"]
    material = read_material(escalated.stores, spec, load_version(escalated.stores, "toy", version), champion, None)
    rows = judged(escalated).escalation.rows
    second = read_row_digests(escalated.stores, rows.digest)
    whole = read_row_digests(escalated.stores, material.frozen.evaluation_row_digests_artifact)
    assert len(second) == rows.rows > 80
    assert set(second) | set(material.digests) == set(whole)
    assert not set(second) & set(material.digests)
    for one in (version, champion):
        trained = read_manifest(escalated.stores, "toy", one).frozen.row_digests_artifact
        assert not set(second) & set(read_row_digests(escalated.stores, trained))


def test_who_is_kept_back_is_the_same_at_every_judgement_and_another_for_another_model():
    many = pd.DataFrame({"customer": [f"c{one}" for one in range(4000)]})
    kept = kept_back(many, 0.3, "lending")
    assert abs(kept.mean() - 0.3) < 0.03
    assert np.array_equal(kept[::-7], kept_back(many.iloc[::-7], 0.3, "lending"))
    assert not np.array_equal(kept, kept_back(many, 0.3, "churn"))
    assert (kept <= kept_back(many, 0.5, "lending")).all()


def spec_of(world: World, **gates):
    spec = world.declaration.spec
    return spec.model_copy(update={"gates": spec.gates.model_copy(update=gates)})


HOURS = pd.date_range("2024-01-01", periods=14 * 24, freq="h", tz="UTC")


def flip(world, own, theirs, mode="superiority", **gates):
    return flipped(own, theirs, HOURS[: len(own)], spec=spec_of(world, **gates), mode=mode)


@pytest.mark.requirement("D26")
def test_the_second_test_keeps_its_level_and_sees_a_real_difference(escalated):
    rng, found = np.random.default_rng(3), []
    for _ in range(200):
        shock = np.repeat(rng.normal(size=14), 24)  # what is common to all rows of a day
        found.append(flip(escalated, 5 + shock + rng.normal(size=336), np.full(336, 5.0)).verdict)
    assert found.count(PASS) <= 20
    assert found.count(FAIL) <= 20
    reference = 5 + rng.normal(size=336)
    assert flip(escalated, reference - 0.5, reference).verdict is PASS
    assert flip(escalated, reference + 0.5, reference).verdict is FAIL
    assert flip(escalated, reference, reference).verdict is INCONCLUSIVE
    assert flip(escalated, reference, reference, "non_inferiority", margin=0.1).verdict is PASS
    assert flip(escalated, reference * 1.2, reference, "non_inferiority", margin=0.1).verdict is FAIL


@pytest.mark.fault("G19", "P27")
def test_what_the_second_validator_cannot_look_at_it_does_not_judge(escalated):
    ones = np.ones(336)
    for own in (ones * np.nan, ones[: 5 * 24]):
        told = flip(escalated, own, ones[: len(own)])
        assert (told.verdict, told.statistic) == (INCONCLUSIVE, None)


@pytest.mark.parametrize(
    ("task", "metric", "classes"),
    [
        ("regression", "mae", None), ("regression", "rmse", None), ("binary", "brier", [0, 1]),
        ("binary", "log_loss", [0, 1]), ("binary", "error", [0, 1]), ("binary", "brier", [0]),
        ("multiclass", "brier", ["a", "b"]), ("multiclass", "log_loss", ["a", "b"]),
        ("multiclass", "error", ["a", "b"]),
    ],
)  # fmt: skip
def test_its_own_losses_are_those_of_the_first(escalated, task, metric, classes):
    rng = np.random.default_rng(1)
    spec = escalated.declaration.spec
    success = spec.problem.success.model_copy(update={"metric": metric})
    label = spec.data.label.model_copy(update={"task": task})
    spec = spec.model_copy(
        update={
            "problem": spec.problem.model_copy(update={"success": success}),
            "data": spec.data.model_copy(update={"label": label}),
        }
    )
    if task == "regression":
        y, answers = rng.normal(size=50), rng.normal(size=50)
        told = pd.DataFrame({"prediction": answers, "score": np.nan})
    else:
        chances = rng.dirichlet(np.ones(len(classes)), size=50)
        y = rng.integers(0, 2, 50) if task == "binary" else rng.choice(["a", "b", "new"], 50)
        score = (chances[:, 1] if len(classes) > 1 else np.zeros(50)) if task == "binary" else chances.max(axis=1)
        said = (score >= 0.5).astype(int) if task == "binary" else np.array(classes)[chances.argmax(axis=1)]
        told = pd.DataFrame({"prediction": said, "score": score})
        if task == "multiclass":
            told = told.assign(**{f"p:{name}": chances[:, at] for at, name in enumerate(classes)})
        answers = chances
    assert _losses(spec, (classes, answers), y) == pytest.approx(row_losses(metric, task, y, told))


def test_the_second_reads_the_stored_bytes_and_says_why_where_it_cannot(escalated):
    spec, keep = escalated.declaration.spec, escalated.stores.artifacts.put
    champion, version, newest = versions(escalated)
    candidate = read_manifest(escalated.stores, "toy", version)
    rows, told = second_look(escalated.stores, spec, candidate, champion, "non_inferiority", keep)
    assert (rows, told) == (judged(escalated).escalation.rows, judged(escalated).escalation.second)
    gone = candidate.model_copy(update={"model_artifact": "0" * 64})
    for manifest, reference in ((gone, champion), (candidate, "20200101-00000000")):
        rows, told = second_look(escalated.stores, spec, manifest, reference, "non_inferiority", keep)
        assert (rows, told.verdict, told.statistic) == (None, INCONCLUSIVE, None)
        assert "could not look" in told.words
    backwards = second_look(
        escalated.stores, spec, read_manifest(escalated.stores, "toy", champion), newest, "superiority", keep
    )
    assert "0 rows are kept back and unseen" in backwards[1].words, "the newer version has seen them"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (PASS, of("second", PASS, statistic=0.01), PASS),
        (PASS, of("second", FAIL, statistic=0.99), FAIL),
        (PASS, of("second", INCONCLUSIVE, statistic=0.3), INCONCLUSIVE),
        (PASS, of("second", INCONCLUSIVE), INCONCLUSIVE),
        (INCONCLUSIVE, of("second", INCONCLUSIVE, statistic=0.3), PASS),
        (INCONCLUSIVE, of("second", PASS, statistic=0.01), PASS),
        (INCONCLUSIVE, of("second", FAIL, statistic=0.99), FAIL),
        (INCONCLUSIVE, of("second", INCONCLUSIVE), INCONCLUSIVE),
    ],
)
def test_what_two_answers_come_to(first, second, said):
    """Nothing passes that quality does not pass: the second can only take away."""
    found = Escalation(looked=(of("near", FAIL),), rows=None, second=second)
    assert answer(found, [of("quality", first)]).verdict is said


def test_what_is_not_called_for_is_not_asked_and_what_is_stopped_already_neither():
    quiet = Escalation(looked=(of("near"), of("far")), rows=None, second=None)
    assert answer(quiet, [of("quality")]).verdict is PASS
    stopped = Escalation(looked=(of("near", FAIL),), rows=None, second=None)
    told = answer(stopped, [of("quality"), of("labels", FAIL)])
    assert (told.verdict, "labels stops it already" in told.words) == (INCONCLUSIVE, True)
    assert answer(None, []).verdict is INCONCLUSIVE


def test_crossed_thresholds_call():
    close = of("quality", statistic=-0.01, threshold=0.0, interval=(-0.2, 0.0))
    assert near([close], 0.04).verdict is PASS
    assert near([close], 0.06).verdict is FAIL
    assert near([of("quality", INCONCLUSIVE)], 0.1).verdict is INCONCLUSIVE
    assert near([], 0.1).verdict is INCONCLUSIVE
    assert unanswered([of("quality"), of("slices", INCONCLUSIVE)]).verdict is FAIL
    assert unanswered([of("quality"), of("slices")]).verdict is PASS
    assert (unwatched(4, 5).verdict, unwatched(5, 5).verdict) == (PASS, FAIL)


def test_answers_far_from_the_champions_call(escalated):
    version, spec = versions(escalated)[1], escalated.declaration.spec
    champion = escalated.stores.ledger.deployment("toy").state["champion"]
    material = read_material(escalated.stores, spec, load_version(escalated.stores, "toy", version), champion, None)
    assert far(material, 0.5).verdict is PASS
    assert far(material, 0.01).verdict is FAIL
    assert far(replace(material, champion=None), 0.01).verdict is PASS
    mute = replace(material, candidate=replace(material.candidate, predictions=None))
    assert far(mute, 0.5).verdict is INCONCLUSIVE
    assert "no probabilities" in signs(material).words


def test_probabilities_that_contradict_the_labels_call(escalated):
    """A candidate that is surer and more often wrong: by its own word better, by the labels worse."""
    version, spec, rng = versions(escalated)[1], escalated.declaration.spec, np.random.default_rng(2)
    champion = escalated.stores.ledger.deployment("toy").state["champion"]
    made = read_material(escalated.stores, spec, load_version(escalated.stores, "toy", version), champion, None)
    success = spec.problem.success.model_copy(update={"metric": "brier"})
    spec = spec.model_copy(update={"problem": spec.problem.model_copy(update={"success": success})})
    y = (rng.random(len(made.frames.eval_y)) < 0.5).astype(int)

    def side(scores):
        losses = np.square(scores - y)
        return replace(made.candidate, predictions=pd.DataFrame({"prediction": 0, "score": scores}), losses=losses)

    def asked(scores):
        honest = np.where(y == 1, 0.6, 0.4) + rng.normal(0, 0.01, len(y))
        return signs(replace(made, spec=spec, candidate=side(scores), champion=side(honest)))

    assert asked(np.where(y == 1, 0.9, 0.1)).verdict is PASS
    over = asked(np.where(y == 1, 0.001, 0.999))
    assert over.verdict is FAIL
    assert "by labels the candidate is worse, by probabilities alone better" in over.words


@pytest.mark.fault("G28")
def test_a_broken_first_validator_is_caught_and_promotions_halt_until_a_person_has_looked(world, monkeypatch):
    """`quality` lets anything through here; the candidate is worse on the rows that it did not show anybody."""
    world = declared(world, "{share: 0.4}", "margin: 0.0, slice_margin: 9, robustness: 99, alpha: 0.2,")
    champion, good = versions(world)[:2]
    path = world.declaration.folder / "defs.yaml"
    path.write_text(path.read_text().replace("min_samples_leaf: 8", "min_samples_leaf: 150"))
    bad = world.again().build(7, parent=champion)
    path.write_text(path.read_text().replace("min_samples_leaf: 150", "min_samples_leaf: 8"))
    world, passing = world.again(), of("quality", statistic=-0.01, threshold=0.0, n=200, interval=(-0.2, 0.0))
    monkeypatch.setattr(looking, "quality", lambda *_, **__: passing)
    monkeypatch.setattr(looking, "baseline", lambda *_, **__: of("baseline"))
    monkeypatch.setattr(looking, "binary_calibration", None)
    monkeypatch.setattr(looking, "residual_bias", lambda *_, **__: of("calibration"))
    evidence, digest = world.judge(bad)
    assert [one.gate for one in evidence.results if one.verdict is not PASS] == ["escalation"]
    assert evidence.result("escalation").verdict is FAIL
    ledger = world.stores.ledger
    [halted] = ledger.entries(action=ESCALATION_HALTED)
    assert (halted.subject, halted.payload["evidence"], halted.payload["called"]) == (bad, digest, ["near"])
    monkeypatch.undo()
    with pytest.raises(ReleaseRefused, match="the verdict is FAIL: escalation"):
        world.release(bad, digest)
    plain = newest_evidence(world.stores, "toy", good)
    with pytest.raises(ReleaseRefused):
        world.release(good, plain)
    assert "validators do not agree" in read_state(ledger, world.declaration.spec, False).halted[0]
    assert disagreement(ledger, "toy").seq == halted.seq
    resume(ledger, "toy", "looked at both: the first gate was broken", "person:alice")
    assert disagreement(ledger, "toy") is None
    assert read_state(ledger, world.declaration.spec, False).halted == ()
    ledger.append(halt_entry(evidence, digest, None, "a judge who repeats it"))
    assert disagreement(ledger, "toy") is None, "the same judgement halts nothing anew"
    with pytest.raises(ReleaseRefused):
        world.release(bad, digest)


@pytest.mark.fault("G19")
def test_without_rows_for_the_second_validator_nothing_is_promoted_and_all_promotions_halt(world):
    third = versions(world)[2]
    world = declared(world, "{share: 0.02, near: 9}", "margin: 0.3,")
    evidence, digest = world.judge(versions(world)[1])
    told = evidence.result("escalation")
    assert (evidence.verdict, told.verdict, evidence.escalation.rows) == (INCONCLUSIVE, INCONCLUSIVE, None)
    assert "rows are kept back and unseen, 50 are needed" in told.words
    assert {one.gate for one in evidence.results if one.verdict is not PASS} == {"escalation"}
    with pytest.raises(ReleaseRefused, match="the verdict is INCONCLUSIVE"):
        world.release(versions(world)[1], digest)
    quiet = declared_as(world, "{share: 0.02, near: 9}", "{share: 0.02, near: 0.0}")
    other, digest = quiet.judge(third)
    assert (other.verdict, other.escalation.called) == (PASS, ())
    with pytest.raises(ReleaseRefused, match="validators do not agree on"):
        quiet.release(third, digest)
    resume(quiet.stores.ledger, "toy", "more rows are kept back from now on", "person:alice")
    assert quiet.release(third, digest).released


def declared_as(world: World, old: str, new: str) -> World:
    path = world.declaration.folder / "defs.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return world.again()


@pytest.mark.fault("P12")
def test_a_disagreement_that_comes_between_the_look_and_the_commit_stops_the_release(escalated, monkeypatch):
    import retrain_pipeline.release.release as module

    version, real = versions(escalated)[1], module._state

    def meanwhile(*arguments):
        escalated.stores.ledger.append(NewEntry("judge", ESCALATION_HALTED, "toy", "other", {"words": "FAIL"}))
        return real(*arguments)

    monkeypatch.setattr(module, "_state", meanwhile)
    before = escalated.stores.ledger.deployment("toy")
    with pytest.raises(ReleaseRefused, match="validators do not agree on other"):
        escalated.release(version, newest_evidence(escalated.stores, "toy", version))
    assert escalated.stores.ledger.deployment("toy") == before


@pytest.mark.requirement("D15")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda found: {"looked": found.looked[1:]}, "did not look at all that may call"),
        (lambda found: {"looked": (of("near", statistic=-99.0, threshold=-9.0), *found.looked[1:])}, "what called"),
        (lambda found: {"second": None, "rows": None}, "a second validator was called for and is not there"),
        (
            lambda found: {"second": found.second.model_copy(update={"threshold": 0.5})},
            "the second validator's level is 0.05",
        ),
        (
            lambda found: {"looked": (*found.looked[:3], of("far", statistic=0.2, threshold=7.0), found.looked[4])},
            "far is 0.5 by the policy",
        ),
        (lambda found: {"rows": None}, "the rows of the second validator are not named"),
        (lambda found: {"second": found.second.model_copy(update={"verdict": FAIL})}, "its answer to the escalation"),
    ],
)
def test_an_escalation_that_does_not_follow_from_the_record_is_told(escalated, change, words):
    version, evidence = versions(escalated)[1], judged(escalated)
    entry = escalated.stores.ledger.latest("toy", "judged", version)
    forged = evidence.model_copy(
        update={"escalation": evidence.escalation.model_copy(update=change(evidence.escalation))}
    )
    assert words in "; ".join(contradictions(escalated.stores, entry, forged))
    assert halt_entry(evidence, "0" * 64, None, "x") is None


@pytest.mark.fault("P25")
def test_a_policy_that_declares_nothing_new_has_the_digest_that_it_always_had(world):
    """Escalation and guard came after policies were on record: their digests must stay what they are."""
    document = policy_document(world.declaration.spec)
    assert not {"escalate", "guard"} & document["gates"].keys()
    assert Gates.model_validate(document["gates"], strict=False) == world.declaration.spec.gates
    more = world.declaration.spec.gates.model_copy(update={"guard": "required"})
    assert more.model_dump()["guard"] == "required"
    assert judged(world).schema_ == "evidence/2"
