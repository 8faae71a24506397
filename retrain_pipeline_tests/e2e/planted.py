"""One untruth for each of the sixteen checks, planted in what a real history left behind: a copy of its stores, its
model's folder in a git repository of its own, and the portal that is built of both."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.records.kinds.experiment import Experiment
from retrain_pipeline.records.kinds.release_note import ReleaseNote
from retrain_pipeline.records.portal.build import build_portal
from retrain_pipeline.records.record import RECORDED, Recorded, enter
from retrain_pipeline.records.render import render
from retrain_pipeline.records.truth.context import Context
from retrain_pipeline.records.truth.verify import CHECKS, verify
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.spec.declaration import Declaration, read_declaration
from retrain_pipeline.stores import Stores, open_stores
from retrain_pipeline.triggers.retrain import close_retrain, retrain_of, start_retrain
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.records.truth.documented import commit, git


@dataclass(frozen=True)
class Past:
    """A copy of a real history, to be spoilt."""

    stores: Stores
    folder: Path
    """Of the model."""
    portal: Path
    policy: Path
    """The folder of `OWNERS.yaml`."""

    @property
    def declaration(self) -> Declaration:
        return read_declaration(self.folder)

    @property
    def model(self) -> str:
        return self.folder.name

    def context(self, **more: Any) -> Context:
        return Context(self.stores, self.declaration, portal=self.portal, **more)

    def newest(self, kind: str) -> Recorded:
        return self.context().records(kind)[-1]

    def decision(self, change: Callable[[str], str]) -> None:
        """Edit the first decision file."""
        file = min((self.folder / "decisions").iterdir())
        text = file.read_text()
        file.write_text(change(text))
        assert file.read_text() != text

    def card(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Enter the newest version's card once more, its document changed, and rendered as it then is."""
        context = self.context()
        card = context.cards[context.versions[-1]]
        document = change(dict(card.document))
        digest = self.stores.artifacts.put_json(document)
        markdown = self.stores.artifacts.put(render("card.md.j2", document).encode())
        record = card.record.model_copy(update={"card_json": digest, "card_markdown": markdown})
        enter(self.stores, record, actor="test")


Plant = Callable[[Past], Context]


def copied(state: Path, folder: Path, policy: Path, to: Path) -> Past:
    """Return a copy of a history: its stores, the model's folder as a repository, the owners, and the portal of all."""
    to.mkdir(parents=True)
    shutil.copytree(state, to / "state")
    shutil.copytree(folder, to / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    (to / "policy").mkdir()
    shutil.copyfile(policy / "OWNERS.yaml", to / "policy" / "OWNERS.yaml")
    git(to, "init", "-q", "-b", "main", str(to / folder.name))
    commit(to / folder.name, "Declare the model")
    stores = open_stores(to / "state")
    build_portal(stores, to / "portal")
    return Past(stores, to / folder.name, to / "portal", to / "policy")


def cloned(past: Past, to: Path) -> Past:
    """Return a copy of a copy that nothing was planted in: the portal of a long history takes seconds to build."""
    shutil.copytree(past.folder.parent, to)
    return Past(open_stores(to / "state"), to / past.folder.name, to / past.portal.name, to / past.policy.name)


def note_was_written_by_hand(past: Past) -> Context:
    note = past.newest(ReleaseNote.KIND)
    digest = past.stores.artifacts.put_json({**note.document, "story_words": 0})
    payload = {"kind": note.kind, "schema": note.document["schema"], "record": digest}
    past.stores.ledger.append(NewEntry("test", RECORDED, past.model, note.subject, payload))
    return past.context()


def consequence_is_to_do(past: Past) -> Context:
    past.decision(lambda text: re.sub(r"(\* Bad, because) [^.]*\.", r"\1 TODO.", text, count=1))
    return past.context()


def because_says_nothing(past: Past) -> Context:
    past.decision(lambda text: re.sub(r", because .*?\n\n", ", because it is better.\n\n", text, count=1, flags=re.S))
    return past.context()


def there_was_one_option(past: Past) -> Context:
    def alone(text: str) -> str:
        chosen = re.search(r"Chosen option: ([^,]+),", text)
        assert chosen
        return re.sub(r"(## Considered Options\n).*?\n\n", rf"\1* {chosen[1]}\n\n", text, flags=re.S)

    past.decision(alone)
    return past.context()


def loss_is_prettier_than_the_evidence(past: Past) -> Context:
    def prettier(document: dict[str, Any]) -> dict[str, Any]:
        [first, *rest] = document["judgement"]["numbers"]
        first = {**first, "value": first["value"] - 0.01}
        return {**document, "judgement": {**document["judgement"], "numbers": [first, *rest]}}

    past.card(prettier)
    return past.context()


def commits_are_of_another_history(past: Past) -> Context:
    past.decision(lambda text: text.replace("\nreview_by:", "\ncommits: [abcdef0123]\nreview_by:", 1))
    return past.context()


def model_was_changed_on_the_disk(past: Past) -> Context:
    manifest = read_manifest(past.stores, past.model, past.context().versions[-1])
    file = Path(past.stores.artifacts.path(manifest.model_artifact))
    file.write_bytes(b"x" + file.read_bytes()[1:])
    return past.context()


def cards_do_not_know_of_a_rollback(past: Past) -> Context:
    rollback(past.stores, past.model, because="planted: nobody settles after it", actor="test")
    return past.context()


def accepted_decision_was_edited(past: Past) -> Context:
    past.decision(lambda text: text.replace("* Good, because", "* Good, as ever, because", 1))
    return past.context()


def nobody_reviewed(past: Past) -> Context:
    return past.context(given_as_of=datetime.fromisoformat("2040-01-01T00:00:00+00:00"))


def begun(past: Past) -> None:
    """Begin the newest retrain once more, as a run of another name."""
    ledger = past.stores.ledger
    real = ledger.entries(model=past.model, action="retrain_started")[-1]
    start_retrain(ledger, replace(retrain_of(ledger, past.model, str(real.run_id)), run_id="planted"), "test")


def failed_run_was_not_written_down(past: Past) -> Context:
    begun(past)
    close_retrain(past.stores.ledger, past.model, "planted", "it came out badly", "test")
    return past.context()


def protocol_of_a_run_is_on_no_record(past: Past) -> Context:
    begun(past)
    document = {**past.newest(Experiment.KIND).document, "subject": "planted", "run_id": "planted"}
    enter(past.stores, Experiment.model_validate(document | {"protocol": "0" * 64}, strict=False), actor="test")
    return past.context()


def card_was_typed(past: Past) -> Context:
    better = {"statement": "The best model that there ever was, of its kind."}
    past.card(lambda document: {**document, "intended_use": {**document["intended_use"], **better}})
    return past.context()


def page_of_the_portal_is_gone(past: Past) -> Context:
    page = max(page for page in past.portal.rglob("*.html") if page.name != "index.html")
    page.unlink()
    return past.context()


def owner_has_left(past: Past) -> Context:
    file = past.policy / "OWNERS.yaml"
    file.write_text(re.sub(r'"\}', '", until: 2000-01-31}', file.read_text()))
    return past.context()


def page_runs_what_somebody_wrote(past: Past) -> Context:
    page = past.portal / "index.html"
    page.write_text(page.read_text().replace("</main>", "<script>alert(1)</script></main>", 1))
    assert "alert(1)" in page.read_text()
    return past.context()


PLANTED: dict[str, Plant] = {
    "schema": note_was_written_by_hand,
    "placeholders": consequence_is_to_do,
    "rationale": because_says_nothing,
    "options": there_was_one_option,
    "numbers": loss_is_prettier_than_the_evidence,
    "commits": commits_are_of_another_history,
    "digests": model_was_changed_on_the_disk,
    "current": cards_do_not_know_of_a_rollback,
    "graph": accepted_decision_was_edited,
    "reviews": nobody_reviewed,
    "experiments": failed_run_was_not_written_down,
    "protocol": protocol_of_a_run_is_on_no_record,
    "regenerate": card_was_typed,
    "links": page_of_the_portal_is_gone,
    "owners": owner_has_left,
    "escaped": page_runs_what_somebody_wrote,
}
"""By the check that must find it."""


def found(check: str, past: Past) -> tuple[Verdict, Verdict, list[str]]:
    """Return the verdict of a check before and after its untruth is planted, and what it then says."""
    [asked] = [one for one in CHECKS if one.name == check]
    before = verify(past.context(), [asked]).of(check)
    after = verify(PLANTED[check](past), [asked]).of(check)
    return before.verdict, after.verdict, [one.told() for one in after.problems]
