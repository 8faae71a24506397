"""A champion that fell behind its anchor gives way to it, on the evidence of a judgement that let nobody through."""

import os

import pytest
from rich.console import Console

from retrain_pipeline.cli.show import show_explanation
from retrain_pipeline.release.anchor import ANCHOR, give_way
from retrain_pipeline.release.release import reject
from retrain_pipeline.release.state import current
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.release.season import make_season

# --- after a season in which `b` stood still


@pytest.fixture(scope="module")
def returned(tmp_path_factory):
    world, first, second, third = make_season(tmp_path_factory.mktemp("season"))
    evidence, digest = world.judge(third)
    return world, first, second, third, evidence, digest


@pytest.mark.requirement("D26", "D29")
@pytest.mark.fault("G25")
def test_a_champion_that_fell_behind_the_first_gives_way_to_it(returned, tmp_path):
    whole, first, second, third, evidence, digest = returned
    assert (evidence.verdict, evidence.champion, evidence.anchor) == (Verdict.FAIL, second, first)
    world = whole.copy(tmp_path)
    reject(world.stores, world.declaration, third, evidence_digest=digest, run_id="run-20", actor="test")
    gave = give_way(world.stores, "toy", third, evidence_digest=digest)
    words = f"judging {third}: anchor {first} in the candidate's place: mean mae row loss minus the champion's: -"
    assert gave.moved
    assert gave.champion == first
    assert gave.words.startswith(words)
    epoch, deployment = current(world.stores.ledger, "toy")
    assert (epoch, deployment.champion, deployment.previous) == (3, first, None)
    entry = world.stores.ledger.latest("toy", "rolled_back", first)
    assert (entry.actor, entry.payload["from"], entry.payload["because"]) == (ANCHOR, second, gave.words)
    # the next is judged against the first alone, and the same judgement moves nothing twice
    assert give_way(world.stores, "toy", third, evidence_digest=digest) is None
    assert current(world.stores.ledger, "toy")[0] == 3
    again = world.judge(third)[0]
    assert (again.champion, again.anchor) == (first, None)


def test_an_anchor_that_cannot_serve_leaves_the_champion_and_says_why(returned, tmp_path):
    whole, first, second, third, _, digest = returned
    world = whole.copy(tmp_path)
    manifest = world.stores.ledger.latest("toy", "candidate_registered", first).payload["manifest"]
    model = world.stores.artifacts.get_json(manifest)["model_artifact"]
    os.unlink(world.stores.artifacts.path(model))
    gave = give_way(world.stores, "toy", third, evidence_digest=digest)
    assert (gave.moved, gave.champion) == (False, second)
    assert f"; but toy: {first} cannot serve: " in gave.words
    assert current(world.stores.ledger, "toy")[1].champion == second


def test_explain_tells_what_both_are_beside_the_anchor(returned, capsys):
    world, first, _, third, _, _ = returned
    show_explanation(Console(width=200), world.stores, "toy", third)
    assert (
        f"  anchor   {first}: candidate not worse FAIL, it better than the champion PASS\n" in capsys.readouterr().out
    )
