"""What a version stands on, to the letter: each thing that may be missing or otherwise, and what is said of it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from retrain_pipeline.gates import beyond
from retrain_pipeline.gates.evidence import GateResult, read_evidence
from retrain_pipeline.gates.required import required_gates
from retrain_pipeline.learning import versions
from retrain_pipeline.learning.errors import VersionNotLoadable
from retrain_pipeline.learning.team_code import code_digest
from retrain_pipeline.learning.versions import register
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.proof import checked_evidence, loadable, not_passed, still_proved
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.handmade import manifest
from retrain_pipeline_tests.release.handmade import PLAIN, STAGED, Proof


@pytest.fixture(params=[PLAIN])
def proof(request, tmp_path):
    made = Proof(tmp_path, request.param)
    yield made
    made.stores.close()


def test_a_whole_pass_on_record_is_the_evidence(proof):
    digest = proof.judge()
    register(proof.stores, manifest(proof.stores.artifacts, "v2", model="doll"), actor="test")
    found = checked_evidence(proof.stores, proof.declaration, "v2", digest)
    assert found == read_evidence(proof.stores.artifacts, digest)


def test_evidence_that_cannot_be_read_is_refused(proof):
    words = proof.refusal("f" * 64)
    assert words.startswith(f"toy v2: evidence '{'f' * 64}' cannot be read")


@pytest.mark.parametrize("changed", [{"version": "v3"}, {"model": "doll"}])
def test_evidence_of_another_version_is_refused(proof, changed):
    of = {"model": "toy", "version": "v2"} | changed
    digest = proof.stored(proof.judge(), **changed)
    assert proof.refusal(digest) == (f"toy v2: the evidence is of {of['model']} {of['version']}; judge this version")


def test_evidence_that_no_judge_put_on_record_is_refused(proof):
    judged = proof.judge()
    other = proof.stored(judged, as_of="2024-02-20T00:00:00+00:00")
    for model, version in (("doll", "v2"), ("toy", "v3")):
        proof.ledger.append(NewEntry("judge", "judged", model, version, {"evidence": other}))
    proof.ledger.append(NewEntry("judge", "released", "toy", "v2", {"evidence": other}))
    words = f"toy v2: no judgement on record gave evidence {other[:12]}; judge it (no file makes a verdict)"
    assert proof.refusal(other) == words


def test_evidence_of_another_manifest_is_refused(proof):
    digest = proof.stored(proof.judge(), manifest="d" * 64)
    proof.enter(digest)
    words = f"toy v2: the evidence is of manifest {'d' * 12}, not of the registered one; judge it again"
    assert proof.refusal(digest) == words


def test_a_version_that_is_not_registered_has_no_manifest(proof):
    digest = proof.stored(proof.judge(), version="v3")
    proof.ledger.append(NewEntry("judge", "judged", "toy", "v3", {"evidence": digest}))
    assert proof.refusal(digest, "v3").startswith("toy v3: the evidence is of manifest ")
    others = manifest(proof.stores.artifacts, "v3", model="doll")
    register(proof.stores, others, actor="test")
    assert "not of the registered one" in proof.refusal(digest, "v3")


def test_gates_without_a_result_are_named(proof):
    digest = proof.judge(without=("size", "labels"))
    missing = [gate for gate in required_gates(proof.spec.gates) if gate in ("size", "labels")]
    assert proof.refusal(digest) == f"toy v2: no result of gate {', '.join(missing)}; judge it again"


def test_gates_that_did_not_pass_are_told_with_their_words(proof):
    digest = proof.judge(quality="INCONCLUSIVE", size="FAIL")
    told = not_passed(read_evidence(proof.stores.artifacts, digest))
    assert sorted(told.split("; ")) == ["quality INCONCLUSIVE: quality as found", "size FAIL: size as found"]
    assert proof.refusal(digest) == f"toy v2: the verdict is FAIL: {told}"
    unsure = proof.judge(quality="INCONCLUSIVE")
    assert "the verdict is INCONCLUSIVE: quality" in proof.refusal(unsure)


@pytest.mark.parametrize("proof", [STAGED], indirect=True)
def test_where_stages_answer_it_a_question_may_be_open(proof):
    digest = proof.judge(quality="INCONCLUSIVE")
    assert checked_evidence(proof.stores, proof.declaration, "v2", digest).verdict is Verdict.INCONCLUSIVE
    assert "the verdict is FAIL" in proof.refusal(proof.judge(size="FAIL"))


def test_a_judgement_that_does_not_follow_from_the_record_is_refused_and_a_second_that_does_is_not(proof):
    judged = proof.judge()
    budget = read_evidence(proof.stores.artifacts, judged).budget.model_copy(update={"alpha": 0.5})
    digest = proof.stored(judged, as_of="2024-02-20T00:00:00+00:00", budget=budget)
    proof.enter(digest, champion="v0")
    words = proof.refusal(digest)
    why = "its entry says something else; the record gives another error budget: "
    assert words.startswith(f"toy v2: the judgement does not follow from the record: {why}")
    assert words.endswith("; judge it again")
    assert checked_evidence(proof.stores, proof.declaration, "v2", judged).version == "v2"


def test_one_entry_that_follows_is_enough_whatever_another_says(proof):
    digest = proof.judge()
    proof.enter(digest, champion="v0")
    assert checked_evidence(proof.stores, proof.declaration, "v2", digest).version == "v2"


@pytest.mark.parametrize("verdict", list(Verdict))
def test_where_the_guard_is_required_it_is_asked_again(tmp_path, monkeypatch, verdict):
    made = Proof(tmp_path, PLAIN)
    gates = made.spec.gates.model_copy(update={"guard": "required"})
    made.declaration = SimpleNamespace(
        spec=made.spec.model_copy(update={"gates": gates}), folder=made.declaration.folder
    )
    made.spec = made.declaration.spec
    digest, asked = made.judge(), []

    def guard_now(*told):
        asked.append(told[:3])
        # the judgement itself is taken again as of then
        return GateResult(gate="guard", verdict=Verdict.PASS if len(told) > 3 else verdict, words="guard as found")

    monkeypatch.setattr(beyond, "guard_now", guard_now)
    if verdict is Verdict.PASS:
        assert checked_evidence(made.stores, made.declaration, "v2", digest).verdict is Verdict.PASS
    else:
        assert made.refusal(digest) == f"toy v2: guard is {verdict} now: guard as found"
    assert asked[0] == (made.stores, made.manifest, "v1")
    made.stores.close()


# --- bytes


@pytest.fixture
def loads(proof, monkeypatch):
    """The version loads; what it loads is not looked at here."""
    asked = []

    def load(*told):
        asked.append(told)
        return SimpleNamespace(manifest=proof.manifest)

    monkeypatch.setattr(versions, "load_version", load)
    yield proof
    assert {told[1:] for told in asked} == {("toy", "v2")}
    assert all(told[0] is proof.stores for told in asked)


def whole(proof):
    """Evidence all of whose artifacts are there."""
    digest = proof.judge()
    made = read_evidence(proof.stores.artifacts, digest).model_copy(update={"champion_manifest": None})
    assert all(proof.stores.artifacts.exists(one) for one in made.artifacts)
    return digest, made


def test_a_version_whose_bytes_are_there_is_loadable(loads):
    _, made = whole(loads)
    assert loadable(loads.stores, loads.declaration, made) == loads.manifest


@pytest.mark.parametrize("whose", ["evidence", "manifest"])
def test_a_part_that_is_gone_is_refused(loads, whose):
    _, made = whole(loads)
    lost = made.policy if whose == "evidence" else loads.manifest.leaderboard
    file = Path(loads.stores.artifacts.path(lost))
    file.chmod(0o600)
    file.unlink()
    with pytest.raises(ReleaseRefused) as refused:
        loadable(loads.stores, loads.declaration, made)
    words = str(refused.value)
    assert words.startswith("toy v2: part of its evidence is gone: ")
    assert lost in words
    assert words.endswith("; restore it, or retrain")


def test_code_that_changed_since_is_refused(loads):
    _, made = whole(loads)
    was = loads.manifest.feature_code_digest[:12]
    file = loads.declaration.folder / "features.py"
    file.write_text(file.read_text() + "\n# another\n")
    now = code_digest(loads.declaration.folder)[:12]
    words = f"^toy v2: trained on features of code {was}, the folder now holds {now}; retrain$"
    with pytest.raises(ReleaseRefused, match=words):
        loadable(loads.stores, loads.declaration, made)


def test_a_version_that_does_not_load_is_refused(proof, monkeypatch):
    def broken(*_):
        raise VersionNotLoadable("its bytes are damaged")

    _, made = whole(proof)
    monkeypatch.setattr(versions, "load_version", broken)
    with pytest.raises(ReleaseRefused, match=r"^toy v2: it does not load: its bytes are damaged$"):
        loadable(proof.stores, proof.declaration, made)


def test_a_version_on_trial_is_proved_as_long_as_all_of_it_holds(loads):
    champion = loads.stores.artifacts.put(b"a manifest")
    loads.deploy(loads.champion.model_copy(update={"manifest": champion}))
    digest = loads.judge()
    words = f"evidence {digest[:12]} passes, follows from the record, and its bytes are there"
    wanted = GateResult(gate="proof", verdict=Verdict.PASS, words=words)
    assert still_proved(loads.stores, loads.declaration, "v2", digest) == wanted
    gone = still_proved(loads.stores, loads.declaration, "v2", "f" * 64)
    assert gone == GateResult(gate="proof", verdict=Verdict.FAIL, words=loads.refusal("f" * 64))


def test_long_words_of_what_fails_are_cut(proof, monkeypatch):
    def broken(*_):
        raise VersionNotLoadable("x" * 3000)

    digest, _ = whole(proof)
    monkeypatch.setattr(versions, "load_version", broken)
    assert len(still_proved(proof.stores, proof.declaration, "v2", digest).words) == 2000
