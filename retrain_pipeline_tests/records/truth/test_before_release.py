"""A release is refused while what is written about the champion does not verify, where that is declared."""

import pytest

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.records.truth.before_release import verify_before_release
from retrain_pipeline.release import documents
from retrain_pipeline.release.documents import VERIFIED
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.rollout import roll
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.records.truth.documented import commit, context_of
from retrain_pipeline_tests.records.truth.known_bad import damaged, decision_of

WHY = """\
---
id: toy-0002
schema: 1
status: accepted
date: 2024-02-01
decision-makers: ["team:toys"]
subject: {kind: threshold, covers: [gates.documentation]}
review_by: 2024-12-31
---
# Write down why, before anything is released

## Context and Problem Statement
Half of the team is new, and nobody remembers why the tree has eight rows a leaf.

## Considered Options
* Refuse a release whose reasons are not written
* Trust to memory

## Decision Outcome
Chosen option: Refuse a release whose reasons are not written, because people leave, and a refusal comes at the one
moment at which somebody who knows is still there to write a sentence about it.

### Consequences
* Bad, because a release may wait for a sentence.

## Edge Cases
The first release has no champion whose documents could be wrong.
"""


@pytest.fixture
def asking(documented):
    """A world that asks for documents, with a version that waits for its release, and the evidence on it."""
    folder = documented.declaration.folder
    file = folder / "defs.yaml"
    file.write_text(file.read_text().replace("latency_ms_p95: 500}", "latency_ms_p95: 500, documentation: true}"))
    (folder / "decisions" / "0002-why.md").write_text(WHY)
    commit(folder, "Ask for reasons")
    world = documented.again()
    version = world.build(7, parent=versions(world)[0])
    evidence, digest = world.judge(version)
    assert evidence.verdict is Verdict.PASS, [one for one in evidence.results if one.verdict is not Verdict.PASS]
    return world, version, digest


def verified(world):
    return verify_before_release(world.stores, world.declaration, actor="test", run_id=None)


@pytest.mark.requirement("A14", "A31")
@pytest.mark.fault("G1", "G12")
def test_a_release_is_refused_until_the_documents_of_the_champion_verify(asking):
    world, version, digest = asking
    first = versions(world)[0]
    with pytest.raises(ReleaseRefused, match=f"about {first} was never verified"):
        world.release(version, digest)
    [card] = context_of(world).cards.values()
    markdown = world.stores.artifacts.get(card.record.card_markdown)
    damaged(world, card.record.card_markdown)
    entry = verified(world)
    assert (entry.action, entry.subject, entry.payload["verdict"]) == (VERIFIED, first, "FAIL")
    with pytest.raises(ReleaseRefused, match="does not verify: current FAIL"):
        world.release(version, digest)
    world.stores.artifacts.put(markdown)
    assert verified(world).payload["verdict"] == "PASS"
    assert verified(world).seq == verified(world).seq
    assert world.release(version, digest).released
    assert (
        documents.documented(world.stores.ledger, world.declaration.spec).verdict is Verdict.FAIL
    )  # another is champion


@pytest.mark.fault("G1", "G13")
def test_a_decision_that_was_edited_after_it_was_accepted_stops_a_release(asking):
    world, version, digest = asking
    verified(world)
    text = decision_of(world).read_text()
    decision_of(world).write_text(text.replace("one split finds", "two splits find"))
    assert "text was changed after it was accepted" in verified(world).payload["words"]
    with pytest.raises(ReleaseRefused, match=r"decision files were edited|does not verify"):
        world.release(version, digest)


def test_what_was_entered_about_the_champion_since_is_verified_anew(asking):
    world, *_ = asking
    first = versions(world)[0]
    seq = verified(world).seq
    assert documents.documented(world.stores.ledger, world.declaration.spec).verdict is Verdict.PASS
    world.stores.ledger.append(NewEntry("test", "recorded", "toy", first, {"kind": "x", "record": "0" * 64}))
    result = documents.documented(world.stores.ledger, world.declaration.spec)
    assert result.verdict is Verdict.FAIL
    assert f"(entry {seq})" in result.words


def test_nothing_is_asked_where_nothing_is_declared(documented):
    world = documented
    assert verified(world) is None
    assert world.stores.ledger.latest("toy", VERIFIED) is None


@pytest.mark.requirement("A14", "A31")
def test_a_trial_is_held_while_the_documents_of_the_champion_are_not_verified(asking):
    world, version, _ = asking
    file = world.declaration.folder / "defs.yaml"
    file.write_text(file.read_text() + "  rollout: {shadow_periods: 1, canary_shares: [0.5]}\n")
    staged = WHY.replace("toy-0002", "toy-0003").replace("gates.documentation", "rollout")
    because = "because a model that weighs wrong costs a day of parcels, and a week in the shadow shows it to nobody."
    start, end = staged.index("because people leave"), staged.index("### Consequences")
    staged = f"{staged[:start]}{because}\n\n{staged[end:]}"
    (world.declaration.folder / "decisions" / "0003-stages.md").write_text(staged)
    commit(world.declaration.folder, "Release by stages")
    world = world.again()
    version = world.build(7, parent=versions(world)[0])
    digest = world.judge(version)[1]
    verified(world)
    assert world.release(version, digest).stage == "shadow"

    def looked(period):
        report = roll(world.stores, world.declaration, period, run_id=f"roll-{period}", actor="test")
        return report, {one.gate: one for one in report.results}.get("documents")

    assert looked("2024-02-19")[1].verdict is Verdict.PASS
    first = versions(world)[0]
    world.stores.ledger.append(NewEntry("test", "recorded", "toy", first, {"kind": "odd", "schema": "odd/1"}))
    report, found = looked("2024-02-26")
    assert (found.verdict, report.move) == (Verdict.INCONCLUSIVE, "hold")
    assert "recorded" in found.words


def test_where_nobody_asks_for_documents_a_trial_is_not_held_for_them(documented):
    assert documents.documented_on_trial(documented.stores.ledger, documented.declaration.spec) is None
