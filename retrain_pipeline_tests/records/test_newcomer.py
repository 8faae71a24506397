"""What somebody new reads is short, explains every word that it uses, and is the same every time."""

from dataclasses import replace
from typing import get_args

import pytest

from retrain_pipeline.gates.required import required_gates
from retrain_pipeline.records.glossary import GATES, METRICS
from retrain_pipeline.records.newcomer import SUMMARY_WORDS, as_markdown, glossary, newcomer, policy_diagram
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.spec.escalate import Escalate
from retrain_pipeline.spec.gates import Gates
from retrain_pipeline.spec.model import Metric
from retrain_pipeline_tests.gates.world import versions


@pytest.mark.requirement("B27")
def test_every_gate_and_metric_that_there_is_has_its_word():
    everything = Gates(
        groups=("shop",), refits=2, max_rss_mb=100, documentation=True, guard="required", escalate=Escalate()
    )
    assert set(required_gates(everything)) == set(GATES)
    assert set(get_args(Metric)) == set(METRICS)


@pytest.mark.requirement("A27", "B25", "B28")
def test_the_summary_is_short_and_says_purpose_and_state(world):
    found = newcomer(world.stores, world.declaration)
    assert found["summary"].startswith(world.declaration.spec.problem.statement)
    assert f"{versions(world)[0]} serves; it was judged PASS" in found["summary"]
    long = world.declaration.spec.problem.model_copy(update={"statement": "word " * 300})
    spec = world.declaration.spec.model_copy(update={"problem": long})
    told = newcomer(world.stores, replace(world.declaration, spec=spec))["summary"]
    assert len(told.split()) <= SUMMARY_WORDS
    assert "…" in told


@pytest.mark.requirement("B26", "B27")
def test_gates_that_it_names_are_explained_and_drawn(world):
    spec = world.declaration.spec
    words = {one["word"] for one in glossary(spec)}
    drawn = policy_diagram(spec)
    for gate in required_gates(spec.gates):
        assert gate in words
        assert gate in drawn
    assert "canary" not in drawn
    rollout = spec.rollout.model_copy(update={"canary_shares": (0.05,), "approval": "required"})
    drawn = policy_diagram(spec.model_copy(update={"rollout": rollout}))
    assert 'approval --> s0["canary 5%"]' in drawn


@pytest.mark.requirement("A27")
def test_the_document_follows_the_stores_and_is_the_same_again(world):
    first, second, _ = versions(world)
    one, two = (as_markdown(newcomer(world.stores, world.declaration)) for _ in range(2))
    assert one == two
    assert f"retrain explain toy {first}" in one
    world.release(second, newest_evidence(world.stores, "toy", second))
    assert f"retrain explain toy {second}" in as_markdown(newcomer(world.stores, world.declaration))


@pytest.mark.fault("S6")
def test_text_of_people_stays_text(world):
    problem = world.declaration.spec.problem.model_copy(
        update={"statement": "<script>alert(1)</script> [x](y) and so on"}
    )
    spec = world.declaration.spec.model_copy(update={"problem": problem})
    told = as_markdown(newcomer(world.stores, replace(world.declaration, spec=spec)))
    assert "<script" not in told
    assert "[x](y)" not in told
