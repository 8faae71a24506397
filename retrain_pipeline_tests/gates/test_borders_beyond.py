"""Gates that need a fit, a process or the team's folder, to the letter: which are asked, and about what."""

import os

import pytest

from retrain_pipeline.artifacts import ArtifactMissing
from retrain_pipeline.gates import beyond, known
from retrain_pipeline.gates.beyond import look_beyond
from retrain_pipeline.gates.documentation import decision_digests, documentation
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.fresh import Footprint, footprint
from retrain_pipeline.gates.guard import guard
from retrain_pipeline.gates.operation import latency_of
from retrain_pipeline.gates.refits import reproducible, seed_noise_of
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.small import Small

INCONCLUSIVE = Verdict.INCONCLUSIVE


@pytest.fixture
def small(tmp_path):
    made = Small(tmp_path)
    yield made
    made.stores.close()


def look(small, mode="superiority", champion="v1", **gates):
    small.declare(**gates)
    deployed = small.ledger.deployment("toy") if champion else None
    return look_beyond(small.stores, small.declaration, small.material(champion=champion), mode, deployed)


def test_nothing_is_asked_for_that_is_not_declared(small):
    assert look(small) == ()


def test_the_version_is_fitted_again_with_its_seed_and_with_others(small):
    own = reproducible(small.stores, small.declaration, "v2")
    assert look(small, refits=1) == (own,)
    wanted = seed_noise_of(small.material(), small.material().champion, "non_inferiority", 2)
    assert (wanted.n, own.verdict) == (3, Verdict.PASS)
    assert look(small, "non_inferiority", refits=3) == (own, wanted)
    first = small.material(champion=None)
    assert look(small, "first", None, refits=2)[1] == seed_noise_of(first, first.baselines["dummy"], "first", 1)


MEASURED = Footprint(latency_ms_p95=3.5, peak_rss_mb=120.0, load_seconds=0.25)


def test_where_memory_is_limited_the_same_process_measures_the_latency(small, monkeypatch):
    """The process itself takes seconds, and is tried where `measure` is."""
    asked = []
    monkeypatch.setattr(beyond, "measure", lambda *given: asked.append(given) or MEASURED)
    found = look(small, max_rss_mb=100.0, latency_ms_p95=4.0)
    assert found == (latency_of(3.5, 4.0, "in a fresh process"), footprint(MEASURED, max_rss_mb=100.0))
    [(model, rows, task)] = asked
    assert (model, task) == (small.artifacts.get(small.manifest.model_artifact), "regression")
    assert rows.equals(small.material().frames.eval_x)


def test_a_process_that_measures_nothing_leaves_the_latency_to_the_other_look(small, monkeypatch):
    def failing(*_):
        raise OSError("no memory")

    monkeypatch.setattr(beyond, "measure", failing)
    assert look(small, max_rss_mb=100.0) == (footprint(None, max_rss_mb=100.0, why_not="no memory"),)


def test_all_of_them_come_in_the_order_of_what_is_required(small, monkeypatch):
    monkeypatch.setattr(beyond, "measure", lambda *_: MEASURED)
    found = look(small, refits=2, documentation=True, guard="required", max_rss_mb=100.0)
    names = ("latency", "reproducible", "seed_noise", "footprint", "documentation", "guard")
    assert tuple(one.gate for one in found) == names


# --- the guard


def test_guard_evidence_is_asked_for_of_the_version_as_it_is_registered_and_against_the_champion(small):
    registered = small.registered("v2")
    for champion in ("v1", None):
        wanted = guard(small.ledger, small.artifacts, small.manifest, registered, champion)
        assert look(small, champion=champion, guard="required") == (wanted,)
    small.version("v3", leaf=9)
    small.version("v2", leaf=9, model="doll")
    asked = []

    def heard(*given):
        asked.append(given)
        return wanted

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(beyond, "guard", heard)
        look(small, guard="required")
        beyond.guard_now(small.stores, small.manifest, "v1", "a ledger of then")
    own = (small.artifacts, small.manifest, registered, "v1")
    assert asked == [(small.ledger, *own), ("a ledger of then", *own)]


# --- the reasons


def test_a_first_model_is_held_to_the_decisions_that_there_are(small):
    wanted = documentation(small.declaration.folder, None, [], "toy")
    assert look(small, champion=None, documentation=True) == (wanted,)


def decided(small):
    """Make v1 champion by evidence that names the decisions that stand now: one that answers for every section."""
    folder = small.declaration.folder / "decisions"
    (folder / "0001-tree.md").unlink()
    (folder / "0001.md").write_text(known._DECISION.format(covers="features, gates", because=known._REASON))
    digest = small.released_on("v1", decisions=decision_digests(small.declaration.folder))
    small.deploy("v1", digest)
    return digest


def test_what_changed_since_the_champion_is_held_to_decisions_that_are_new(small):
    decided(small)
    before = decision_digests(small.declaration.folder)
    same = look(small, documentation=True)
    assert same == (documentation(small.declaration.folder, before, [], "toy"),)
    assert "changed since the champion: nothing" in same[0].words
    small.declare(documentation=False, alpha=0.04)
    small.manifest = small.version("v2x", leaf=7, feature_code_digest="6" * 64)
    material = small.material("v2x")
    small.declare(documentation=True)
    deployed = small.ledger.deployment("toy")
    [found] = look_beyond(small.stores, small.declaration, material, "superiority", deployed)
    wanted = documentation(small.declaration.folder, before, ["features.code", "gates.alpha"], "toy")
    assert (found, found.verdict) == (wanted, Verdict.FAIL)
    assert found.words.endswith("retrain decide toy")


@pytest.mark.parametrize("lost", ["manifest", "evidence", "declaration"])
def test_what_stood_then_and_cannot_be_read_is_told(small, lost):
    digest = decided(small)
    gone = {"manifest": small.registered("v1"), "evidence": digest, "declaration": small.before.spec_digest}[lost]
    os.unlink(small.artifacts.path(gone))
    with pytest.raises(ArtifactMissing):
        small.artifacts.get(gone)
    material = small.material(champion=None)
    small.declare(documentation=True)
    deployed = small.ledger.deployment("toy")
    [found] = look_beyond(small.stores, small.declaration, material, "superiority", deployed)
    words = "what stood when the champion was judged cannot be read: "
    assert found == GateResult(gate="documentation", verdict=INCONCLUSIVE, words=found.words)
    assert found.words.startswith(words)


def test_why_it_cannot_be_read_is_cut(small):
    state = dict(small.ledger.deployment("toy").state, champion="v" * 3000)
    deployed = type("Row", (), {"state": state})()
    small.declare(documentation=True)
    [found] = look_beyond(small.stores, small.declaration, small.material(), "superiority", deployed)
    assert len(found.words) == 2000
