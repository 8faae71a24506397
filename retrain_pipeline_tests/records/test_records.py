"""Cards and stories: every number is the evidence's, the same bytes every time, and text stays text."""

import re

import pytest
from markdown_it import MarkdownIt

from retrain_pipeline.records.card import card_document, write_card
from retrain_pipeline.records.history import UnknownVersion, explain, history
from retrain_pipeline.records.render import escape_markdown, render
from retrain_pipeline.records.status import status
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.release import newest_evidence, reject
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline_tests.gates.world import versions


def at(document, pointer):
    for part in pointer.removeprefix("evidence.json#/").split("/"):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


@pytest.mark.requirement("A10")
@pytest.mark.fault("G10", "G12")
def test_every_number_of_a_card_is_where_it_says_in_the_evidence(world):
    version = versions(world)[0]
    card = write_card(world.stores, world.declaration, version)
    document = world.stores.artifacts.get_json(card.json)
    evidence = world.stores.artifacts.get_json(document["judgement"]["evidence"])
    assert document["model_details"]["version"] == evidence["version"] == version
    numbers = document["judgement"]["numbers"]
    assert len(numbers) == 6
    for one in numbers:
        assert at(evidence, one["pointer"]) == one["value"]
    markdown = world.stores.artifacts.get(card.markdown).decode()
    for one in numbers:
        assert f"| {one['value']} |" in markdown


@pytest.mark.requirement("A18", "B5")
def test_a_card_names_what_restores_the_version_and_it_is_all_there(world):
    card = write_card(world.stores, world.declaration, versions(world)[1])
    made = card.document["reproducibility"]
    for name in ("manifest", "evidence", "model_artifact"):
        assert world.stores.artifacts.get(made[name])
    for name in ("prediction_fingerprint", "training_set", "declaration", "feature_code", "environment"):
        assert re.fullmatch("[0-9a-f]{64}", made[name])


def test_the_same_stores_give_the_same_card(world):
    version = versions(world)[1]
    one, two = (write_card(world.stores, world.declaration, version) for _ in range(2))
    assert (one.markdown, one.json) == (two.markdown, two.json)


def test_a_version_that_was_never_judged_has_a_card_that_says_so(world):
    unjudged = world.build(6, parent=versions(world)[1])
    card = write_card(world.stores, world.declaration, unjudged)
    assert card.document["judgement"] is None
    assert "Never judged." in world.stores.artifacts.get(card.markdown).decode()
    with pytest.raises(UnknownVersion, match="there are"):
        write_card(world.stores, world.declaration, "20200101-00000000")


def test_limitations_come_from_what_did_not_pass(world):
    twin = world.build(6, parent=versions(world)[0])
    world.judge(twin, "superiority")
    document = write_card(world.stores, world.declaration, twin).document
    assert any(words.startswith("quality:") for words in document["limitations_from_evidence"])
    assert document["not_measured"]


HOSTILE = [
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![x](http://example.invalid/x.png)",
    "{{ 7919 * 7907 }} {% for x in y %}",
    "a | b\n\n# Heading",
    "`code` *bold* __under__ ~~gone~~ \\[",
    "<http://example.invalid>",
    "x\u202etxt\u200b.exe\x07",
]


@pytest.mark.fault("S6", "S7", "I34")
@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_people_stays_text(world, text):
    version = versions(world)[0]
    story = explain(world.stores, "toy", version)
    from retrain_pipeline.learning.versions import read_manifest

    problem = world.declaration.spec.problem.model_copy(update={"statement": f"{text} and enough words around it"})
    spec = world.declaration.spec.model_copy(update={"problem": problem, "owners": (text,)})
    markdown = render("card.md.j2", card_document(spec, read_manifest(world.stores, "toy", version), story))
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)
    for tag in ("<script", "<a ", "<img", "<code", "<em>", "<strong>", "<s>"):
        assert tag not in html
    assert str(7919 * 7907) not in html
    assert html.count("<h1>") == 1
    assert "Heading</h1>" not in html
    assert not set(markdown) & set("\u202e\u200b\x07")


def test_escaping_keeps_the_words():
    assert escape_markdown("plain words, 1.5 - fine") == "plain words, 1.5 - fine"
    assert escape_markdown("a_b") == r"a\_b"
    html = MarkdownIt("commonmark").render(escape_markdown('the dummy\'s "loss" & <more> #1'))
    assert html == "<p>the dummy's &quot;loss&quot; &amp; &lt;more&gt; #1</p>\n"


def test_a_version_explains_itself(world):
    first, second, _ = versions(world)
    story = explain(world.stores, "toy", first)
    assert story.serves.startswith("champion since")
    assert story.mode == "first"
    assert "no champion to beat" in story.judged
    assert story.gates[0].gate == "contract"
    assert story.trigger["id"] == "week-6"
    assert story.why == "scheduled retrain as of 2024-02-12T00:00:00+00:00"
    waiting = explain(world.stores, "toy", second)
    assert "never released" in waiting.serves
    assert f"against {first}" in waiting.judged
    world.release(second, newest_evidence(world.stores, "toy", second))
    assert f"{second} serves now" in explain(world.stores, "toy", first).serves
    with pytest.raises(UnknownVersion, match=first):
        explain(world.stores, "toy", "20200101-00000000")


def test_the_reason_of_a_retrain_is_what_was_monitored(world):
    from retrain_pipeline.ledger.entries import NewEntry

    first, ledger = versions(world)[0], world.stores.ledger
    as_of = "2024-02-12T00:00:00+00:00"
    started = {"trigger_id": "t", "kind": "performance", "attempt": 2, "as_of": as_of, "mode": "first"}
    ledger.append(NewEntry("test", "retrain_started", "toy", payload=started, run_id="run-6"))
    ledger.append(NewEntry("test", "monitored", "toy", payload={"as_of": as_of, "words": "loss rose by half"}))
    ledger.append(NewEntry("test", "monitored", "toy", payload={"as_of": "2024-03-04T00:00:00+00:00", "words": "no"}))
    why = explain(world.stores, "toy", first).why
    assert why == f"performance retrain as of {as_of}, attempt 2: loss rose by half"


def test_what_asked_for_a_version_without_a_manifest_is_not_made_up(world):
    import os

    from retrain_pipeline.ledger.entries import NewEntry

    entry = world.stores.ledger.latest("toy", "candidate_registered")
    os.unlink(world.stores.artifacts.path(entry.payload["manifest"]))
    assert "not on record" in explain(world.stores, "toy", entry.subject).why
    world.stores.ledger.append(NewEntry("test", "candidate_registered", "toy", "v0", {"manifest": "0" * 64}))
    assert explain(world.stores, "toy", "v0").judged == "never judged"


def test_evidence_that_cannot_be_read_is_told(world):
    first = versions(world)[0]
    with open(world.stores.artifacts.path(newest_evidence(world.stores, "toy", first)), "r+b") as file:
        file.write(b"damaged!")
    story = explain(world.stores, "toy", first)
    assert "cannot be read" in story.judged
    assert (story.verdict, story.gates) == (None, [])


def test_a_history_tells_every_entry_in_words(world):
    first, second, _ = versions(world)
    twin = world.build(6, parent=first)
    _, digest = world.judge(twin, "superiority")
    reject(world.stores, world.declaration, twin, evidence_digest=digest, run_id="run-t", actor="test")
    world.release(second, newest_evidence(world.stores, "toy", second))
    with pytest.raises(ReleaseRefused):
        world.release(versions(world)[2], newest_evidence(world.stores, "toy", versions(world)[2]))
    rollback(world.stores, "toy", because="it was far off everywhere", actor="person:test")
    events = history(world.stores, "toy")
    words = {event.action: event.words for event in events}
    assert words["released"] == f"{second} is champion after {first} (non_inferiority)"
    assert words["rolled_back"] == f"back to {first} from {second}: it was far off everywhere"
    assert "quality INCONCLUSIVE" in words["rejected"]
    assert "epoch 2" in words["superseded"]
    assert any(event.words == "INCONCLUSIVE (quality INCONCLUSIVE)" for event in events)
    assert all(event.words for event in events)
    assert [event.seq for event in events] == sorted(event.seq for event in events)
    with pytest.raises(UnknownVersion, match="knows nothing"):
        history(world.stores, "other")


def test_the_status_of_a_fleet(world):
    [one] = status(world.stores)
    first, second, _ = versions(world)
    assert (one.model, one.champion, one.previous, one.epoch) == ("toy", first, None, 1)
    assert one.as_of == "2024-02-12T00:00:00+00:00"
    assert (one.metric, one.last_verdict) == ("mae", "PASS")
    assert 0.3 < one.validated_loss < 0.9
    world.release(second, newest_evidence(world.stores, "toy", second))
    [one] = status(world.stores)
    assert (one.champion, one.previous, one.last_action) == (second, first, "released")


def test_a_model_without_a_champion_has_a_status(stores):
    from retrain_pipeline.ledger.entries import NewEntry

    assert status(stores) == []
    stores.ledger.append(
        NewEntry("test", "retrain_requested", "new", payload={"reasons": ["no champion", "labels are in"]})
    )
    [one] = status(stores)
    assert (one.champion, one.epoch, one.validated_loss, one.last_action) == (None, 0, None, "retrain_requested")
    assert history(stores, "new")[0].words == "no champion; labels are in"
