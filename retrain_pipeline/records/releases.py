"""Release notes: for every version that became champion by a release, what changed, why, and what is expected of it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import Evidence, read_evidence
from retrain_pipeline.ledger.entries import DEPLOYMENT
from retrain_pipeline.records.agreed import differing
from retrain_pipeline.records.history import explain
from retrain_pipeline.records.hypotheses import hypothesis_of, rationale
from retrain_pipeline.records.kinds.release_note import STORY_WORDS, Expected, Pointed, ReleaseNote
from retrain_pipeline.records.record import enter, records
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

RELEASED = "released"
Z95 = 1.959963984540054


def releases(stores: "Stores", model: str) -> "list[Entry]":
    """Return the entries that made a version champion by a release, oldest first."""
    return [one for one in stores.ledger.entries(model=model, action=RELEASED) if DEPLOYMENT in one.payload]


def write_release_notes(stores: "Stores", declaration: "Declaration", actor: str) -> None:
    """Enter the note of every release that has none: a step of `settle`."""
    model = declaration.spec.name
    there = {(one.subject, one.document["epoch"]) for one in records(stores, model, ReleaseNote.KIND)}
    for entry in releases(stores, model):
        if (entry.subject, entry.epoch) not in there:
            enter(stores, release_note(stores, declaration, entry), actor=actor)


def release_note(stores: "Stores", declaration: "Declaration", entry: "Entry") -> ReleaseNote:
    """Return the note of one release, from its entry, its evidence and the two manifests.

    Raises
    ------
    PermanentError
        When evidence or manifest are not what they were.
    """
    from retrain_pipeline.learning.versions import read_manifest

    model, version, said = declaration.spec.name, str(entry.subject), entry.payload
    evidence = read_evidence(stores.artifacts, str(said["evidence"]))
    manifest = read_manifest(stores, model, version)
    before = read_manifest(stores, model, str(said["previous"])) if said.get("previous") else None
    run_id = said.get("retrain_run") or manifest.run_id
    why = explain(stores, model, version).why
    changed = _changed(stores, before, manifest)
    story = _story(version, said.get("previous"), why, evidence, changed)
    return ReleaseNote.make(
        model=model,
        subject=version,
        epoch=entry.epoch or 0,
        released_at=entry.at_utc,
        released_by=entry.actor,
        run_id=run_id,
        previous=said.get("previous"),
        why=why,
        story=story,
        story_words=len(story.split()),
        improvement=_improvement(evidence),
        trade_offs=tuple(_trade_offs(evidence)),
        expected=expected_loss(evidence),
        changed=changed,
        decisions=_decisions(stores, declaration, run_id, changed),
        evidence=said["evidence"],
        manifest=said["manifest"],
        permit=said.get("permit") or {},
    )


def expected_loss(evidence: Evidence) -> Expected | None:
    """Return what a release claims: the mean row loss of the rows that judged, with its 95 % interval."""
    loss = evidence.validated_loss
    if loss is None:
        return None
    half = Z95 * loss.se if loss.se is not None else None
    return Expected(
        metric=loss.metric,
        mean=loss.mean,
        low=None if half is None else loss.mean - half,
        high=None if half is None else loss.mean + half,
        value=loss.value,
        rows=loss.n,
        pointer="evidence.json#/validated_loss/mean",
    )


def _improvement(evidence: Evidence) -> list[Pointed]:
    found = []
    for at, one in enumerate(evidence.results):
        if one.gate != "quality" or one.interval is None:
            continue
        reference = evidence.champion or "the dummy"
        for place, (side, value) in enumerate(zip(("lower", "upper"), one.interval, strict=True)):
            if value is not None:
                name = f"mean row loss minus that of {reference}, {side} bound"
                found.append(Pointed(name=name, value=value, pointer=f"evidence.json#/results/{at}/interval/{place}"))
    return found


def _trade_offs(evidence: Evidence) -> Iterator[str]:
    """Yield what a release is worse at, or what nobody could tell, in the words of the gates."""
    for one in evidence.results:
        if one.verdict is not Verdict.PASS:
            yield f"{one.gate} ({one.verdict}): {one.words}"[:600]
        elif one.gate in ("slices", "groups", "latency", "footprint") and one.statistic is not None:
            bound = f" of {one.threshold:.4g}" if one.threshold is not None else ""
            yield f"{one.gate}: {one.statistic:.4g}{bound}: {one.words}"[:600]
    if evidence.mode == "non_inferiority":
        yield "judged to be no worse within the margin, not to be better: it was wanted for its freshness"


def _changed(stores: "Stores", before: "VersionManifest | None", now: "VersionManifest") -> dict[str, tuple[str, ...]]:
    if before is None:
        return {}
    then, since = (stores.artifacts.get_json(one.spec_digest) for one in (before, now))
    parts = {
        "declaration": tuple(differing(then, since)),
        "features": ("feature code",) if before.feature_code_digest != now.feature_code_digest else (),
        "code": tuple(_named({"commit": (before.code.commit, now.code.commit),
                              "local changes": (before.code.diff_digest, now.code.diff_digest)})),
        "environment": tuple(_named({"packages": (before.environment.lock_digest, now.environment.lock_digest),
                                     "machine": (before.environment.digest, now.environment.digest)})),
        "data": ("training set",) if before.frozen.digest != now.frozen.digest else (),
        "model": tuple(_named({"candidate": (before.candidate, now.candidate),
                               "parameters": (before.params, now.params), "seed": (before.seed, now.seed)})),
    }  # fmt: skip
    return {name: places for name, places in parts.items() if places}


def _named(pairs: dict[str, tuple[Any, Any]]) -> Iterator[str]:
    yield from (name for name, (before, now) in pairs.items() if before != now)


def _decisions(
    stores: "Stores", declaration: "Declaration", run_id: str | None, changed: dict[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the decisions that answer for the sections that changed; of a first version for all of them."""
    answers = answers_of(stores, declaration, run_id)
    moved = {place.split(".")[0] for place in changed.get("declaration", ())}
    moved |= {"features"} if "features" in changed else set()
    sections = sorted(moved) if changed else sorted(answers)
    return tuple(sorted({one for section in sections for one in answers.get(section, ())}))


def answers_of(stores: "Stores", declaration: "Declaration", run_id: str | None) -> Mapping[str, tuple[str, ...]]:
    """Return the decisions that answer for each section, as a run found them; of no run as they lie there now."""
    written = hypothesis_of(stores, declaration.spec.name, run_id) if run_id else None
    return written[1].rationale if written else rationale(declaration)


def _story(
    version: str, previous: str | None, why: str, evidence: Evidence, changed: dict[str, tuple[str, ...]]
) -> str:
    """Return the story of a release in at most 120 words, each number from the evidence."""
    parts = [f"{version} serves after {previous}." if previous else f"{version} is the first model to serve."]
    parts.append(f"Asked for by a {' '.join(why.partition(';')[0].split()[:24]).rstrip('.,;:')}.")
    quality = evidence.result("quality")
    if quality is not None and quality.interval is not None and None not in quality.interval:
        low, high = quality.interval
        reference = evidence.champion or "the dummy"
        rows = evidence.evaluation.rows
        parts.append(f"On {rows} later rows its mean row loss minus that of {reference} is {low:.4g} to {high:.4g}.")
    claim = expected_loss(evidence)
    if claim is not None:
        between = f", {claim.low:.4g} to {claim.high:.4g}" if claim.low is not None else ""
        parts.append(f"Expect a mean row loss ({claim.metric}) of {claim.mean:.4g}{between}.")
    if changed:
        parts.append(f"What differs: {', '.join(changed)}.")
    open_gates = [one.gate for one in evidence.results if one.verdict is not Verdict.PASS]
    parts.append(f"Still open: {', '.join(open_gates)}." if open_gates else "Every required gate passed.")
    words = " ".join(parts).split()
    return " ".join(words if len(words) <= STORY_WORDS else [*words[: STORY_WORDS - 1], "…"])


def note_of(stores: "Stores", model: str, version: str) -> ReleaseNote:
    """Return the newest note of a version.

    Raises
    ------
    PermanentError
        When it was never released, or nobody has settled the records since.
    """
    newest = None
    for one in records(stores, model, ReleaseNote.KIND, subject=version):
        newest = one
    if newest is None:
        words = "no release note on record; run `retrain docs update` if it was released"
        raise PermanentError(f"{model} {version}: {words}")
    return newest.read(ReleaseNote)
