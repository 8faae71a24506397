"""The releases of a model: what each replaced, what changed, what came of it, and a story of 120 words at most."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from retrain_pipeline.records.history import told
from retrain_pipeline.records.portal.book import Shelf
from retrain_pipeline.records.portal.changes import STREAMS, changes
from retrain_pipeline.records.portal.past import Past, Version
from retrain_pipeline.records.portal.words import day, number, story_of
from retrain_pipeline.release.lineage import Reign


@dataclass
class Release:
    """A version that became champion, by a release (not by a rollback)."""

    reign: Reign
    version: Version | None
    """None where the version itself is not on record."""
    before: Version | None
    """The champion that it replaced."""
    ended: str
    """What ended it, in words; that it serves where nothing did."""
    past: Past = field(repr=False)

    @property
    def name(self) -> str:
        """The version's name."""
        return self.reign.version

    @cached_property
    def story(self) -> str:
        """The release in 120 words at most: that of its release note, else what is least needed is left out first."""
        note = self.past.notes.get(self.name)
        return str(note.facts["story"]) if note is not None and note.facts.get("story") else _story(self.past, self)


def releases(past: Past) -> list[Release]:
    """Return every release of a model, oldest first."""
    found = []
    for at, reign in enumerate(past.reigns):
        if reign.entry.action != "released":
            continue
        before = past.version.get(past.reigns[at - 1].version) if at else None
        following = past.reigns[at + 1] if at + 1 < len(past.reigns) else None
        if following is None:
            ended = "It serves now."
        elif following.entry.action == "rolled_back":
            because = str(following.entry.payload.get("because") or "no reason on record")
            ended = f"It was rolled back on {day(following.entry.at_utc)}: {because.rstrip('.')}."
        else:
            ended = f"{following.version} replaced it on {day(following.entry.at_utc)}."
        found.append(Release(reign, past.version.get(reign.version), before, ended, past))
    return found


def _story(past: Past, one: Release) -> str:
    at = day(one.reign.entry.at_utc)
    first = f"{one.name} became champion on {at}" + (f", after {one.before.name}." if one.before else ", the first.")
    sentences = [(0, first), (2, _asked(past, one))]
    if one.version is not None:
        sentences += _made(one.version)
        told_changes = _changed(past, one)
        if told_changes:
            sentences.append((5, told_changes))
    return story_of(sentences)


def _asked(past: Past, one: Release) -> str:
    facts = one.version.facts if one.version else {}
    as_of = str(facts.get("as_of") or "")
    kind = str((facts.get("trigger") or {}).get("kind") or "unknown").replace("_", " ")
    monitored = past.monitored.get(as_of)
    seen = told(monitored) if monitored is not None else ""
    heard = f": {_short(seen)}" if seen and seen != "monitored" else ""
    return f"A retrain ({kind}) as of {day(as_of)} asked for it{heard}."


def _short(words: str, most: int = 30) -> str:
    parts = words.split()
    return " ".join(parts if len(parts) <= most else [*parts[:most], "…"]).rstrip(".")


def _made(version: Version) -> list[tuple[int, str]]:
    facts, judged = version.facts, version.judged
    estimator = str(facts.get("estimator") or "").rpartition(".")[2]
    found = [
        (4, f"{estimator or 'It'} learned from {number(facts.get('rows'))} rows, {day(facts.get('from'))} to "
            f"{day(facts.get('until'))}."),
    ]  # fmt: skip
    loss = judged.get("loss") or {}
    if loss:
        rows, value = number(loss.get("n")), number(loss.get("value"))
        words = f"On {rows} rows that it had not seen its {loss.get('metric')} was {value}"
        low, high = judged.get("interval") or (None, None)
        if judged.get("champion") and low is not None and high is not None:
            words += f", its loss beside the champion's {low:+.4g} to {high:+.4g}"
        found.append((3, f"{words}."))
    gates = judged.get("gates") or []
    good = sum(verdict == "PASS" for _, verdict, _ in gates)
    if gates:
        found.append((6, f"{good} of {len(gates)} gates passed."))
    return found


def _changed(past: Past, one: Release) -> str:
    if one.version is None or one.before is None:
        return ""
    streams = changes(past, one.before, one.version)
    # New rows come with every release; what people want to hear of is the rest.
    news = [
        change.what
        for name in STREAMS
        for change in streams[name]
        if change.what not in ("training rows", "evaluation rows", "project code", "environment")
    ]
    return f"Changed since: {', '.join(news[:5])}{' and more' if len(news) > 5 else ''}." if news else ""


def release_lines(shelf: Shelf, found: list[Release]) -> list[dict[str, Any]]:
    """Return releases as values for pages, newest first, each with its story and what people wrote of it."""
    lines = []
    for one in reversed(found):
        note = shelf.past.notes.get(one.name)
        lines.append(
            {
                "version": one.name,
                "path": shelf.book.page(one.name),
                "at": one.reign.entry.at_utc,
                "as_of": one.reign.deployment.effective_as_of,
                "story": one.story,
                "ended": one.ended,
                "note": shelf.book.page(note.digest) if note else None,
            }
        )
    return lines


def changelog(past: Past, one: Release) -> dict[str, Any]:
    """Return what changed with a release, by stream, as values for a page."""
    streams = changes(past, one.before, one.version) if one.version else {name: [] for name in STREAMS}
    return {
        "version": one.name,
        "before": one.before.name if one.before else None,
        "at": one.reign.entry.at_utc,
        "streams": {name: [change.__dict__ for change in streams[name]] for name in STREAMS},
    }
