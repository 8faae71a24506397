"""Records, cards, evidence, experiments and commits that are not what they say."""

import os
import shutil
from dataclasses import replace

from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.records.cards import card_record
from retrain_pipeline.records.kinds.experiment import Experiment
from retrain_pipeline.records.kinds.release_note import ReleaseNote
from retrain_pipeline.records.record import RECORDED, enter
from retrain_pipeline.triggers.reconcile import KnownRun
from retrain_pipeline.triggers.retrain import close_retrain, retrain_of, start_retrain
from retrain_pipeline_tests.gates.world import enter_again, versions
from retrain_pipeline_tests.records.truth.documented import begun, commit, context_of, edited, git
from retrain_pipeline_tests.records.truth.known_bad import (
    bad,
    damaged,
    replaced,
)


@bad("schema", "no model_card|unreadable|no evidence|another digest")
def evidence_is_damaged(world, folder):
    damaged(world, world.stores.ledger.latest("toy", "judged").payload["evidence"])
    return context_of(world)


@bad("schema", "no such artifact")
def record_is_gone(world, folder):
    os.unlink(world.stores.artifacts.path(world.stores.ledger.latest("toy", RECORDED).payload["record"]))
    return context_of(world)


@bad("schema", "model_details")
def card_has_lost_a_section(world, folder):
    [card] = context_of(world).cards.values()
    document = {name: one for name, one in card.document.items() if name != "model_details"}
    digest = world.stores.artifacts.put_json(document)
    enter(world.stores, card.record.model_copy(update={"card_json": digest}), actor="test")
    return context_of(world)


@bad("schema", "release_note|no release_note|story_words")
def record_was_written_by_hand(world, folder):
    [note] = context_of(world).records(ReleaseNote.KIND)
    digest = world.stores.artifacts.put_json({**note.document, "story_words": 0})
    payload = {"kind": "release_note", "schema": "release_note/1", "record": digest}
    world.stores.ledger.append(NewEntry("test", RECORDED, "toy", note.subject, payload))
    return context_of(world)


def _number(document, **changes):
    number = {**document["judgement"]["numbers"][0], **changes}
    return {**document, "judgement": {**document["judgement"], "numbers": [number]}}


@bad("numbers", "it says value 0.001, the evidence")
def number_is_prettier_than_the_evidence(world, folder):
    edited(world, lambda document: _number(document, value=0.001))
    return context_of(world)


@bad("numbers", "leads nowhere")
def pointer_leads_nowhere(world, folder):
    edited(world, lambda document: _number(document, pointer="evidence.json#/results/99/statistic"))
    return context_of(world)


@bad("numbers", "does not say where it comes from")
def number_has_no_pointer(world, folder):
    edited(world, lambda document: _number(document, pointer=""))
    return context_of(world)


@bad("numbers", "which the document does not name")
def number_comes_from_elsewhere(world, folder):
    edited(world, lambda document: _number(document, pointer="wishes.json#/loss"))
    return context_of(world)


@bad("numbers", "it says value 0, the evidence")
def number_is_rounded_away(world, folder):
    edited(world, lambda document: _number(document, value=0.0, decimals=1))
    return context_of(world)


@bad("numbers", "it says low")
def interval_is_narrower_than_the_evidence(world, folder):
    narrow = {"low": 0.0}
    edited(world, lambda found: {**found, "champion_vs_challenger": {**found["champion_vs_challenger"], **narrow}})
    return context_of(world)


@bad("numbers", "it says achieved")
def target_was_reached_by_writing_so(world, folder):
    def better(found):
        return {**found, "target_vs_achieved": [{**found["target_vs_achieved"][0], "achieved": 0.0}]}

    edited(world, better)
    return context_of(world)


@bad("numbers", "release note of .*it says")
def release_note_promises_more(world, folder):
    [note] = context_of(world).records(ReleaseNote.KIND)
    [first, *rest] = note.document["improvement"]
    document = {**note.document, "improvement": [{**first, "value": -9.0}, *rest]}
    enter(world.stores, ReleaseNote.model_validate(document, strict=False), actor="test")
    return context_of(world)


@bad("commits", "is on no branch and no tag")
def history_was_rewritten(world, folder):
    toy = world.declaration.folder
    git(toy, "checkout", "-q", "--orphan", "rewritten")
    commit(toy, "Say that it was always so")
    git(toy, "branch", "-D", "main")
    return context_of(world)


@bad("commits", "is on no branch and no tag")
def decision_names_a_commit_that_never_was(world, folder):
    replaced(world, "review_by:", "commits: [abcdef0123]\nreview_by:")
    return context_of(world)


@bad("commits", "with local changes")
def version_was_made_of_local_changes(world, folder):
    (world.declaration.folder / "helpers.py").write_text("X = 1\n")
    version = world.build(7, parent=versions(world)[0])
    return context_of(world, only=(version,))


@bad("digests", "another digest")
def model_bytes_were_changed(world, folder):
    damaged(world, read_manifest(world.stores, "toy", versions(world)[0]).model_artifact)
    return context_of(world)


@bad("digests", "no such artifact")
def evidence_rows_are_gone(world, folder):
    evidence = world.stores.artifacts.get_json(world.stores.ledger.latest("toy", "judged").payload["evidence"])
    os.unlink(world.stores.artifacts.path(evidence["evaluation"]["digest"]))
    return context_of(world)


@bad("digests", "features")
def table_was_removed(world, folder):
    shutil.rmtree(world.home / "lake" / "toy" / "features")
    return context_of(world)


@bad("digests", "names no or another training_set")
def card_names_another_training_set(world, folder):
    made = {"training_set": "0" * 64}
    edited(world, lambda document: {**document, "reproducibility": {**document["reproducibility"], **made}})
    return context_of(world)


@bad("current", "there is none")
def version_has_no_card(world, folder):
    world.judged_release(world.build(7, parent=versions(world)[0]))
    return context_of(world)


@bad("current", "older than entry")
def card_is_older_than_its_release(world, folder):
    version = world.build(7, parent=versions(world)[0])
    digest = world.judge(version)[1]
    card = card_record(world.stores, world.declaration, version, world.stores.ledger.entries(model="toy"))
    enter(world.stores, card, actor="test")
    world.release(version, digest)
    return context_of(world, only=(version,))


@bad("current", "it is older than entry")
def card_says_champion_of_one_that_was_replaced(world, folder):
    first = versions(world)[0]
    world.judged_release(world.build(7, parent=first))
    return context_of(world, only=(first,))


@bad("current", "it cannot be read")
def card_bytes_are_damaged(world, folder):
    [card] = context_of(world).cards.values()
    damaged(world, card.record.card_markdown)
    return context_of(world)


@bad("current", "it describes version '20200101-00000000'")
def card_is_of_another_version(world, folder):
    other = {"version": "20200101-00000000"}
    edited(world, lambda document: {**document, "model_details": {**document["model_details"], **other}})
    return context_of(world)


@bad("regenerate", "/intended_use/statement")
def card_was_typed(world, folder):
    better = {"statement": "The best model that there ever was, of its kind."}
    edited(world, lambda document: {**document, "intended_use": {**document["intended_use"], **better}})
    return context_of(world)


@bad("regenerate", "its Markdown is not what its document renders to")
def card_markdown_was_typed(world, folder):
    [card] = context_of(world).cards.values()
    typed = world.stores.artifacts.put(card.markdown.replace("PASS", "PASS, brilliantly").encode())
    enter(world.stores, card.record.model_copy(update={"card_markdown": typed}), actor="test")
    return context_of(world)


@bad("regenerate", "names an entry that was not there")
def card_is_of_the_future(world, folder):
    [card] = context_of(world).cards.values()
    enter(world.stores, card.record.model_copy(update={"until_seq": 99}), actor="test")
    return context_of(world)


@bad("experiments", "retrain_failed|but no experiment")
def failed_run_has_no_experiment(world, folder):
    begun(world, 7, "non_inferiority")
    close_retrain(world.stores.ledger, "toy", "run-7", "it came out badly", "test")
    return context_of(world)


@bad("experiments", "an experiment without a run")
def experiment_was_made_up(world, folder):
    [real] = context_of(world).records(Experiment.KIND)
    document = {**real.document, "subject": "run-0", "run_id": "run-0"}
    enter(world.stores, Experiment.model_validate(document, strict=False), actor="test")
    return context_of(world)


@bad("experiments", "success, but no experiment")
def orchestrator_knows_a_run_that_nobody_wrote_down(world, folder):
    return context_of(world, runs=(KnownRun("toy", "run-99", False, "success"),))


def _moved(world, name, before):
    """Enter again, in a new ledger, everything with the entries of one kind moved behind another entry."""
    entries = world.stores.ledger.entries()
    moved = [one for one in entries if one.payload.get("kind") == name]
    at = next(number for number, one in enumerate(entries) if before(one)) + 1
    order = (
        [one for one in entries[:at] if one not in moved] + moved + [one for one in entries[at:] if one not in moved]
    )
    ledger = Ledger(f"sqlite:///{world.home / 'other.db'}")
    for entry in order:
        enter_again(ledger, entry)
    return replace(world, stores=replace(world.stores, ledger=ledger))


@bad("protocol", "registered in entry 3, after the run began in entry 2")
def protocol_was_registered_after_the_run_began(world, folder):
    return context_of(_moved(world, "protocol", lambda one: one.action == "retrain_started"))


@bad("protocol", "after judged in entry|after candidate_built in entry")
def hypothesis_was_written_after_the_result(world, folder):
    return context_of(_moved(world, "hypothesis", lambda one: one.action == "judged"))


@bad("protocol", "is not on record")
def protocol_is_not_on_record(world, folder):
    [real] = context_of(world).records(Experiment.KIND)
    document = {**real.document, "subject": "run-6b", "run_id": "run-6b", "protocol": "0" * 64}
    start_retrain(
        world.stores.ledger, replace(retrain_of(world.stores.ledger, "toy", "run-6"), run_id="run-6b"), "test"
    )
    enter(world.stores, Experiment.model_validate(document, strict=False), actor="test")
    return context_of(world)
