"""What each truth check must reject: a documented world, with one thing made untrue."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.records.cards import card_record
from retrain_pipeline.records.kinds.experiment import Experiment
from retrain_pipeline.records.kinds.release_note import ReleaseNote
from retrain_pipeline.records.record import RECORDED, enter
from retrain_pipeline.records.truth.context import Context
from retrain_pipeline.triggers.reconcile import KnownRun
from retrain_pipeline.triggers.retrain import close_retrain, retrain_of, start_retrain
from retrain_pipeline_tests.gates.world import World, enter_again, versions
from retrain_pipeline_tests.records.truth.documented import begun, commit, context_of, edited, git

PAGE = """<!doctype html><html><head>
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>toy</title></head><body><h1 id="top">toy</h1>{body}</body></html>
"""
POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:"


@dataclass(frozen=True)
class Bad:
    """One thing made untrue, and words that the finding must hold."""

    check: str
    untrue: Callable[[World, Path], Context]
    words: str

    @property
    def name(self) -> str:
        """Name of the case."""
        return f"{self.check}-{self.untrue.__name__}"


CASES: list[Bad] = []


def bad(check: str, words: str):
    """Return a decorator that makes a function a known-bad of a check."""

    def made(function):
        CASES.append(Bad(check, function, words))
        return function

    return made


def decision_of(world: World) -> Path:
    """Return the one decision file."""
    return world.declaration.folder / "decisions" / "0001-tree.md"


def replaced(world: World, before: str, after: str) -> None:
    """Edit the decision file."""
    text = decision_of(world).read_text()
    assert before in text
    decision_of(world).write_text(text.replace(before, after))


def damaged(world: World, digest: str) -> None:
    """Write over stored bytes."""
    file = Path(world.stores.artifacts.path(digest))
    file.write_bytes(b"x" + file.read_bytes()[1:])


def portal(folder: Path, body: str, policy: str = POLICY) -> Path:
    """Write a portal of one page and return its folder."""
    site = folder / "site"
    site.mkdir()
    (site / "index.html").write_text(PAGE.format(policy=policy, body=body))
    return site


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


@bad("schema", "front matter")
def decision_has_no_front_matter(world, folder):
    decision_of(world).write_text("# Why\n\nBecause.\n")
    return context_of(world)


@bad("schema", "review_by")
def decision_has_no_review_date(world, folder):
    replaced(world, "review_by: 2024-12-31\n", "")
    return context_of(world)


@bad("schema", "risks.0.owner")
def risk_is_nobodys(world, folder):
    one = "{id: a, risk: b, impact: c, likelihood: low, severity: low, mitigation: d}"
    text = f"schema: 1\nassessed: 2024-01-01\nby: [x]\nreview_by: 2025-01-01\nrisks: [{one}]\n"
    (world.declaration.folder / "risks.yaml").write_text(text)
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


@bad("reviews", "due by 2024-12-31")
def review_date_has_passed(world, folder):
    return context_of(world, given_as_of=datetime(2025, 1, 1, tzinfo=UTC))


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


@bad("links", "there is no decision toy-0000")
def superseded_decision_is_not_there(world, folder):
    replaced(world, "review_by:", "supersedes: toy-0000\nreview_by:")
    return context_of(world)


@bad("links", "'../notes.md' leads nowhere")
def decision_links_to_no_file(world, folder):
    replaced(world, "* Good, because one", "* Good ([notes](../notes.md)), because one")
    return context_of(world)


@bad("links", "'v/1.html' leads nowhere")
def portal_links_to_no_page(world, folder):
    return context_of(world, portal=portal(folder, '<a href="v/1.html">one</a>'))


@bad("links", "'#bottom' leads nowhere")
def portal_links_to_no_anchor(world, folder):
    return context_of(world, portal=portal(folder, '<a href="#bottom">down</a>'))


@bad("links", "leads nowhere")
def portal_links_out_of_its_folder(world, folder):
    return context_of(world, portal=portal(folder, '<a href="../../etc/passwd">x</a>'))


@bad("links", "there is no page")
def portal_is_empty(world, folder):
    (folder / "site").mkdir()
    return context_of(world, portal=folder / "site")


@bad("owners", "knows no 'team:toys'")
def owner_is_not_in_the_file(world, folder):
    (folder / "OWNERS.yaml").write_text("owners:\n  team:dolls: {contact: dolls@example.org}\n")
    return context_of(world)


@bad("owners", "until 2024-01-31 only")
def owner_has_left(world, folder):
    (folder / "OWNERS.yaml").write_text("owners:\n  team:toys: {contact: toys@example.org, until: 2024-01-31}\n")
    return context_of(world)


@bad("owners", "nobody is there any more")
def team_has_no_member_left(world, folder):
    text = "owners:\n  team:toys: {contact: x, members: [ann]}\n  ann: {contact: ann, until: 2024-01-31}\n"
    (folder / "OWNERS.yaml").write_text(text)
    return context_of(world)


@bad("owners", "knows no 'team:dolls'")
def owner_of_a_risk_is_nobody(world, folder):
    one = "{id: a, risk: b, impact: c, likelihood: low, severity: low, mitigation: d, owner: team:dolls}"
    text = f"schema: 1\nassessed: 2024-01-01\nby: [x]\nreview_by: 2025-01-01\nrisks: [{one}]\n"
    (world.declaration.folder / "risks.yaml").write_text(text)
    return context_of(world)


@bad("owners", "OWNERS.yaml is refused")
def owners_file_has_a_mistake(world, folder):
    (folder / "OWNERS.yaml").write_text("owners:\n  team:toys: {mail: toys@example.org}\n")
    return context_of(world)


@bad("owners", "nobody owns it")
def model_has_no_owner(world, folder):
    file = world.declaration.folder / "defs.yaml"
    file.write_text(file.read_text().replace('  owners: ["team:toys"]\n', ""))
    return context_of(world)


def _page(name: str, words: str, body: str, policy: str = POLICY) -> None:
    def page(world, folder):
        return context_of(world, portal=portal(folder, body, policy))

    page.__name__ = name
    CASES.append(Bad("escaped", page, words))


_page("page_has_a_handler", "a handler: img onerror", '<img src="x.png" onerror="alert(1)">')
_page("page_has_a_script", "a script that the policy does not name", "<script>alert(1)</script>")
_page("page_has_a_link_that_executes", "a link that executes", '<a href="javascript:alert(1)">x</a>')
_page("page_has_a_link_that_hides_what_it_does", "a link that executes", '<a href=" jav&#x61;script:alert(1)">x</a>')
_page("page_has_a_frame", "no business here: iframe", "<iframe></iframe>")
_page("page_sends_elsewhere", "a form that sends elsewhere", '<form action="https://evil.invalid/"></form>')
_page("page_loads_from_elsewhere", "loaded from elsewhere", '<img src="https://example.org/x.png">')
_page("page_has_no_policy", "no content policy", "text", "")
_page("page_lets_everything_in", "does not begin from default-src 'none'", "text", "default-src *")
_page("page_lets_inline_scripts_in", "'unsafe-inline'", "text", "default-src 'none'; script-src 'unsafe-inline'")
_page("page_shows_a_secret", "a secret in line", "<p>password: correct-horse-battery</p>")


@bad("escaped", "text of people as markup")
def page_shows_markup_that_somebody_wrote(world, folder):
    replaced(world, "* Good, because one", "* Good <b>indeed</b>, because one")
    line = "* Good <b>indeed</b>, because one split tells the whole story to whoever pays."
    return context_of(world, portal=portal(folder, f"<p>{line}</p>"))


@bad("placeholders", "Decision Outcome: TODO or TBD")
def decision_says_that_it_is_to_do(world, folder):
    replaced(world, "while a line would charge small toys too much", "TODO say why")
    return context_of(world)


@bad("placeholders", r"\[More Information Needed\]")
def decision_needs_more_information(world, folder):
    replaced(world, "its answers jump at the border of a leaf", "[More Information Needed]")
    return context_of(world)


@bad("placeholders", "problem.statement: lorem ipsum")
def problem_is_lorem_ipsum(world, folder):
    file = world.declaration.folder / "defs.yaml"
    said = "How much a toy weighs by its size, so that the post is paid right."
    file.write_text(file.read_text().replace(said, "Lorem ipsum dolor sit amet, consectetur."))
    return context_of(world)


@bad("rationale", "distinct words, fewer than")
def because_is_short(world, folder):
    text = decision_of(world).read_text()
    before, after = text.index("because the weight"), text.index("### Consequences")
    decision_of(world).write_text(f"{text[:before]}because it is better.\n\n{text[after:]}")
    return context_of(world)


@bad("rationale", "is that of 0001-tree.md")
def because_was_copied(world, folder):
    text = decision_of(world).read_text().replace("toy-0001", "toy-0002").replace("one split finds", "a split finds")
    (decision_of(world).parent / "0002-tree.md").write_text(text)
    return context_of(world)


@bad("rationale", "no 'Chosen option: …, because …'")
def outcome_has_no_because(world, folder):
    replaced(world, "because the weight", "and the weight")
    return context_of(world)


@bad("options", "fewer than two")
def there_was_one_option(world, folder):
    replaced(world, "* A straight line\n", "")
    return context_of(world)


@bad("options", "nothing speaks against what was chosen")
def nothing_speaks_against_it(world, folder):
    replaced(world, "* Bad, because its answers jump", "* Good, because its answers jump")
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


def second(world, front: str = "") -> Path:
    """Write a second decision, with a reason of its own."""
    text = decision_of(world).read_text().replace("toy-0001", "toy-0002").replace("review_by:", f"{front}review_by:")
    before, after = text.index("because the weight"), text.index("### Consequences")
    because = "because since the new shelf was opened large toys are sent from another place, whose scale nobody reads."
    file = decision_of(world).parent / "0002-tree.md"
    file.write_text(f"{text[:before]}{because}\n\n{text[after:]}")
    return file


@bad("graph", "which does not say superseded_by: toy-0002")
def supersession_is_said_on_one_side(world, folder):
    second(world, "supersedes: toy-0001\n")
    return context_of(world)


@bad("graph", "circle|superseded_by")
def decisions_supersede_each_other(world, folder):
    second(world, "supersedes: toy-0001\nsuperseded_by: toy-0001\n")
    replaced(world, "review_by:", "supersedes: toy-0002\nsuperseded_by: toy-0002\nreview_by:")
    return context_of(world)


@bad("graph", "toy-0001 is superseded by toy-0002: cite that")
def newest_version_rests_on_a_decision_that_ended(world, folder):
    second(world, "supersedes: toy-0001\n")
    replaced(world, "status: accepted", "status: superseded")
    replaced(world, "review_by:", "superseded_by: toy-0002\nreview_by:")
    return context_of(world)


@bad("graph", "text was changed after it was accepted")
def accepted_decision_was_edited(world, folder):
    replaced(world, "one split finds", "two splits find")
    return context_of(world)
