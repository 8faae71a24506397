"""A version accounted for, in words with links: what changed, why, who decided, on what evidence, how it came out.

Every line says where it is from: an entry of the ledger by number, an artifact by digest, a place in it. A line without
a link says that something is not there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import canonical_json
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.coverage import CODE, changed_fields, leaves
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.records.decisions import chain
from retrain_pipeline.records.history import Story, explain, told
from retrain_pipeline.records.record import RECORDED

if TYPE_CHECKING:
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.stores import Stores

_PEOPLE = ("approved", "plan_approved", "override_granted", "approval_withdrawn", "dissented")
_OUTCOMES = ("rejected", "superseded", "withdrawn", "awaiting_approval", "retired")
_LONGEST = 80


@dataclass(frozen=True)
class Place:
    """Where a line is from: an entry, an artifact, a place in it."""

    seq: int | None = None
    digest: str | None = None
    pointer: str | None = None

    def words(self) -> str:
        """Return the place in words: ``entry 12, a1b2c3d4e5f6/results/3``."""
        found = [f"entry {self.seq}"] if self.seq is not None else []
        if self.digest is not None:
            found.append(f"{self.digest[:12]}{self.pointer or ''}")
        return ", ".join(found)


@dataclass(frozen=True)
class Line:
    """One fact, in words, and where it is from."""

    words: str
    places: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Account:
    """What is said of a version or a moment, by question."""

    model: str
    about: str
    sections: dict[str, tuple[Line, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: digests whole."""
        lines = {
            name: [{"words": one.words, "places": [place.__dict__ for place in one.places]} for one in section]
            for name, section in self.sections.items()
        }
        return {"schema": "account/1", "model": self.model, "about": self.about, **lines}


def account(stores: "Stores", model: str, version: str) -> Account:
    """Account for a version.

    Raises
    ------
    UnknownVersion
        When the ledger has no entry about it.
    """
    story = explain(stores, model, version)
    sections = {
        "what changed": _changed(stores, story),
        "why": _why(stores, story),
        "who decided": _decided(stores, story),
        "on what evidence": _evidence(story),
        "how it came out": _came(stores, story),
        "back to the problem": _chain(stores, story),
    }
    return Account(model, version, {name: tuple(lines) for name, lines in sections.items()})


def _changed(stores: "Stores", story: Story) -> Iterator[Line]:
    here = Place(digest=story.manifest)
    try:
        now = read_manifest(stores, story.model, story.version)
    except PermanentError as error:
        yield Line(f"not known: {error}")
        return
    if now.parent is None:
        yield Line(
            f"the first of its kind: {now.candidate} ({now.estimator}), nothing before it to compare with", (here,)
        )
        return
    try:
        then = read_manifest(stores, story.model, now.parent)
        specs = [stores.artifacts.get_json(one.spec_digest) for one in (then, now)]
    except PermanentError as error:
        yield Line(f"what stood before it, {now.parent}, cannot be read: {error}")
        return
    before = Place(digest=_manifest_of(stores, story.model, now.parent))
    moved = then.feature_code_digest != now.feature_code_digest
    declared = tuple(Place(digest=one.spec_digest) for one in (then, now))
    old, new = (dict(leaves(one)) for one in specs)
    for path in changed_fields(*specs, features_changed=moved):
        if path == CODE:
            words = f"feature code: {then.feature_code_digest[:12]} → {now.feature_code_digest[:12]}"
            yield Line(words, (before, here))
        else:
            yield Line(f"declared {path}: {_shown(old.get(path))} → {_shown(new.get(path))}", declared)
    yield from _manifests(then, now, (before, here))


def _manifests(then: "VersionManifest", now: "VersionManifest", where: tuple[Place, ...]) -> Iterator[Line]:
    a, b = then.frozen, now.frozen
    if a.digest == b.digest:
        yield Line(f"the same data: {b.train_rows} rows up to {b.train_until}", where)
    else:
        words = f"data: {a.train_rows} rows from {a.train_from} to {a.train_until} → "
        yield Line(f"{words}{b.train_rows} rows from {b.train_from} to {b.train_until}, known by {b.as_of}", where)
    if then.code != now.code:
        yield Line(f"code: {_commit(then)} → {_commit(now)}", where)
    if (then.candidate, then.params) != (now.candidate, now.params):
        yield Line(f"model: {then.candidate} {_shown(then.params)} → {now.candidate} {_shown(now.params)}", where)
    packages = sorted(
        f"{name} {then.environment.packages.get(name, 'none')} → {now.environment.packages.get(name, 'none')}"
        for name in then.environment.packages.keys() | now.environment.packages.keys()
        if then.environment.packages.get(name) != now.environment.packages.get(name)
    )
    if packages:
        yield Line(f"{len(packages)} packages: {', '.join(packages[:5])}", where)


def _why(stores: "Stores", story: Story) -> Iterator[Line]:
    ledger, trigger = stores.ledger, story.trigger
    registered = next(one for one in story.events if one.action == "candidate_registered")
    started = (
        ledger.entries(model=story.model, action="retrain_started", run_id=registered.run_id)
        if registered.run_id
        else []
    )
    yield Line(story.why, tuple(Place(seq=one.seq) for one in started[-1:]) or (Place(digest=story.manifest),))
    for reason in trigger.get("reasons") or ():
        yield Line(str(reason), tuple(Place(seq=one.seq) for one in started[-1:]))
    for entry in ledger.entries(model=story.model, action="monitored", newest_first=True):
        if trigger and entry.payload.get("as_of") == trigger.get("as_of"):
            yield Line(f"monitored {entry.payload.get('period')}: {seen_in(entry)}", (_of(entry, "report"),))
            return


def _decided(stores: "Stores", story: Story) -> Iterator[Line]:
    people = 0
    for event in story.events:
        if event.action in _PEOPLE:
            people += 1
            yield Line(f"{event.actor} {event.action.replace('_', ' ')}: {event.words}", (Place(seq=event.seq),))
    files = _files(stores, story)
    known = {one.document["file"]: one for one in _records(stores, story.model, "decision")}
    for file in files:
        one = known.get(file)
        who = ", ".join(one.document["front"]["decision-makers"]) if one else "see the file"
        title = f": {one.document['title']}" if one else ""
        yield Line(f"decisions/{file}{title} ({who})", (Place(one.entry.seq, one.digest),) if one else ())
    if story.found is None:
        yield Line("nobody: it was never judged")
    elif not people:
        words = f"the rule: {len(story.found.required)} gates ({', '.join(story.found.required)}); no person was asked"
        yield Line(words, (Place(digest=story.found.policy),))


def _evidence(story: Story) -> Iterator[Line]:
    found, digest = story.found, story.evidence
    if found is None:
        yield Line(story.judged, (Place(digest=digest),) if digest else ())
        return
    judged = [event.seq for event in story.events if event.action == "judged"]
    yield Line(f"{found.verdict} on {story.judged}", (Place(judged[-1], digest, "/verdict"),))
    if (loss := found.validated_loss) is not None:
        yield Line(
            f"{loss.metric} {loss.value:.6g} on {loss.n} rows", (Place(digest=digest, pointer="/validated_loss/value"),)
        )
    for at, one in enumerate(found.results):
        yield Line(f"{one.gate} {one.verdict}: {one.words}", (Place(digest=digest, pointer=f"/results/{at}"),))
    yield Line(f"taken again from the record: {story.replayed}", (Place(digest=found.policy),))


def _came(stores: "Stores", story: Story) -> Iterator[Line]:
    model, version, ledger = story.model, story.version, stores.ledger
    yield Line(story.serves)
    for event in story.events:
        if event.action in ("released", "rolled_back", *_OUTCOMES):
            yield Line(f"{event.action.replace('_', ' ')}: {event.words}", (Place(seq=event.seq),))
    for entry in ledger.entries(model=model, action="rolled_back"):
        if entry.payload.get("from") == version:
            yield Line(f"taken back: {told(entry)}", (Place(seq=entry.seq),))
    if (watched := ledger.latest(model, "champion_watched", version)) is not None:
        yield Line(f"watched after its release: {told(watched)}", (_of(watched, "watch"),))
    if (scored := ledger.latest(model, "retrain_scored", version)) is not None:
        yield Line(f"scored later beside {scored.payload['against']}: {told(scored)}", (_of(scored, "evidence"),))
    served = [
        one
        for one in ledger.entries(model=model, action="monitored", newest_first=True)
        if one.payload.get("champion") == version
    ]
    if served:
        performance = served[0].payload.get("performance") or {}
        words = performance.get("words") or told(served[0])
        yield Line(f"last monitored in {served[0].payload.get('period')}: {words}", (_of(served[0], "report"),))
    for one in _records(stores, model, "effect_score"):
        if one.document["version"] == version:
            words = (
                f"{one.subject} predicted {one.document['metric']}: {one.document['verdict']}, {one.document['words']}"
            )
            yield Line(words, (Place(one.entry.seq, one.digest),))


def _chain(stores: "Stores", story: Story) -> Iterator[Line]:
    try:
        steps = chain(stores, story.model, story.version)
    except PermanentError as error:
        yield Line(f"the line of champions cannot be followed: {error}")
        return
    for step in steps:
        came = f"with {', '.join(step.decisions)}" if step.decisions else "with no new decision"
        after = f"after {step.champion}" if step.champion else "the first"
        yield Line(f"{step.version}, {after}, {came}", (Place(digest=_manifest_of(stores, story.model, step.version)),))
    if steps:
        yield Line(
            f"the problem: {steps[-1].statement}", (Place(digest=_spec_of(stores, story.model, steps[-1].version)),)
        )


def _files(stores: "Stores", story: Story) -> tuple[str, ...]:
    try:
        return chain(stores, story.model, story.version)[0].decisions
    except (PermanentError, IndexError):
        return ()


@dataclass(frozen=True)
class _Read:
    entry: "Entry"
    subject: str
    digest: str
    document: dict[str, Any]


def _records(stores: "Stores", model: str, kind: str) -> Iterator[_Read]:
    """Yield the records of a kind that can be read: one that cannot hides nothing else here (the audit names it)."""
    for entry in stores.ledger.entries(model=model, action=RECORDED):
        if entry.payload["kind"] == kind:
            digest = str(entry.payload["record"])
            try:
                yield _Read(entry, entry.subject or "", digest, stores.artifacts.get_json(digest))
            except PermanentError:
                continue


def seen_in(entry: "Entry") -> str:
    """Return what a monitored period showed, in words."""
    parts = [(name, entry.payload.get(name) or {}) for name in ("performance", "drift")]
    words = [f"{name} {found['verdict']}: {found['words']}" for name, found in parts if found.get("words")]
    return "; ".join(words) or told(entry)


def _of(entry: "Entry", name: str) -> Place:
    digest = entry.payload.get(name)
    return Place(entry.seq, str(digest) if digest else None)


def _manifest_of(stores: "Stores", model: str, version: str) -> str | None:
    entry = stores.ledger.latest(model, "candidate_registered", version)
    return str(entry.payload["manifest"]) if entry else None


def _spec_of(stores: "Stores", model: str, version: str) -> str:
    return read_manifest(stores, model, version).spec_digest


def _commit(one: "VersionManifest") -> str:
    commit = one.code.commit
    return "no commit" if commit is None else commit[:12] + (" with local changes" if one.code.dirty else "")


def _shown(value: Any) -> str:
    text = "nothing" if value is None else canonical_json(value).decode()
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
