"""Retrains that end without a release, to the letter: what is entered of one that did not pass, or died."""

import pytest

from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.release import close_failed, reject
from retrain_pipeline_tests.release.fitted import Fitted
from retrain_pipeline_tests.release.handmade import PLAIN, STAGED


@pytest.fixture(params=[PLAIN])
def shop(request, tmp_path):
    return Fitted(tmp_path, request.param)


def rejected(shop, digest, version="v2", run_id="run-8"):
    return reject(shop.stores, shop.declaration, version, evidence_digest=digest, run_id=run_id, actor="somebody")


@pytest.mark.parametrize("run_id", ["run-8", None])
def test_a_candidate_that_did_not_pass_has_an_entry_with_the_gates_that_stopped_it(shop, run_id):
    digest = shop.judge(quality="INCONCLUSIVE", size="FAIL")
    entry = rejected(shop, digest, run_id=run_id)
    order = [one.gate for one in read_evidence(shop.stores.artifacts, digest).results]
    words = {"quality": "quality INCONCLUSIVE: quality as found", "size": "size FAIL: size as found"}
    payload = {
        "version": "v2", "evidence": digest, "verdict": "FAIL", "failed": ["size"], "inconclusive": ["quality"],
        "words": "; ".join(words[gate] for gate in order if gate in words),
    }  # fmt: skip
    assert entry == shop.ledger.latest("toy", "rejected")
    key = f"rejected:toy:{digest}:{run_id or ''}"
    assert shop.newest() == NewEntry("somebody", "rejected", "toy", "v2", payload, run_id, 1, key)


def test_long_words_of_a_rejection_are_cut(shop):
    made = read_evidence(shop.stores.artifacts, shop.judge(size="FAIL"))
    long = tuple(one.model_copy(update={"words": "x" * 5000}) if one.gate == "size" else one for one in made.results)
    digest = shop.stored(shop.judge(size="FAIL"), results=long)
    assert len(rejected(shop, digest).payload["words"]) == 4000


@pytest.mark.parametrize(("shop", "is_open"), [(PLAIN, False), (STAGED, False), (STAGED, True)], indirect=["shop"])
def test_what_may_be_released_or_tried_is_not_rejected(shop, is_open):
    digest = shop.judge(**{"quality": "INCONCLUSIVE"} if is_open else {})
    with pytest.raises(ReleaseRefused) as caught:
        rejected(shop, digest)
    words = "toy v2: the evidence passes, or lets it go to trial; there is nothing to reject"
    assert str(caught.value) == words


@pytest.mark.parametrize("changed", [{"version": "v3"}, {"model": "doll"}])
def test_only_evidence_of_this_version_rejects_it(shop, changed):
    of = {"model": "toy", "version": "v2"} | changed
    digest = shop.stored(shop.judge(size="FAIL"), **changed)
    with pytest.raises(ReleaseRefused, match=f"^toy v2: the evidence is of {of['model']} {of['version']}$"):
        rejected(shop, digest)
    with pytest.raises(ReleaseRefused, match=f"^toy v2: evidence '{'f' * 64}' cannot be read"):
        rejected(shop, "f" * 64)


def test_a_retrain_that_died_is_closed_once(shop):
    entry = close_failed(shop.stores, "toy", "run-8", "out of memory", actor="somebody")
    payload = {"reason": "out of memory", "cause": "error"}
    assert shop.newest() == NewEntry(
        "somebody", "retrain_failed", "toy", None, payload, "run-8", None, "retrain_failed:run-8"
    )
    assert entry == shop.ledger.latest("toy", "retrain_failed")
    assert close_failed(shop.stores, "toy", "run-8", "out of memory", actor="somebody") is None
