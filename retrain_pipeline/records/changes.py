"""Records of change: what each release changed, which decision or commit says why, and which tests looked at it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from retrain_pipeline.gates.evidence import Evidence, read_evidence
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.records.kinds.change import Change, ChangeRecord, Test
from retrain_pipeline.records.kinds.release_note import ReleaseNote
from retrain_pipeline.records.kinds.test_run import TestRun
from retrain_pipeline.records.record import RECORDED, enter, newest_records
from retrain_pipeline.records.releases import answers_of, release_note, releases
from retrain_pipeline.spec.rationale import KINDS
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.learning.environment import CodeRevision
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

FIRST = "the whole model"
SECTION_OF = {"features": "features", "data": "trigger", "model": "training"}
"""Whose decisions answer for a part: newer data are asked for by the trigger, a model is chosen as training says."""
BY_CODE = ("code", "features")
"""Parts that the project's tests look at; gates look at every part."""


def write_changes(stores: "Stores", declaration: "Declaration", actor: str) -> None:
    """Enter the changes of every release that has none on record, and of the newest again once its tests are: a step
    of `settle`.
    """
    model = declaration.spec.name
    told = {one.subject: one.seq for one in stores.ledger.entries(model=model, action=RECORDED) if _is_change(one)}
    found = releases(stores, model)
    for entry in found:
        if told.get(entry.subject, 0) < entry.seq or (entry is found[-1] and _untested(stores, model, entry)):
            enter(stores, change_record(stores, declaration, entry), actor=actor)


def change_record(stores: "Stores", declaration: "Declaration", entry: "Entry") -> ChangeRecord:
    """Return what one release changed.

    Raises
    ------
    PermanentError
        When evidence or manifests are not what they were.
    """
    note = release_note(stores, declaration, entry)
    model = declaration.spec.name
    evidence = read_evidence(stores.artifacts, note.evidence)
    now = read_manifest(stores, model, note.subject)
    before = read_manifest(stores, model, note.previous) if note.previous else None
    answers = answers_of(stores, declaration, note.run_id)
    tests = {"gates": _gates(evidence), "code": _code_tests(stores, model, now.code)}
    return ChangeRecord.make(
        model=model,
        subject=note.subject,
        epoch=note.epoch,
        previous=note.previous,
        evidence=note.evidence,
        changes=tuple(_changes(note, before, now, answers, tests)),
    )


def _changes(
    note: ReleaseNote,
    before: "VersionManifest | None",
    now: "VersionManifest",
    answers: Mapping[str, Sequence[str]],
    tests: Mapping[str, tuple[Test, ...]],
) -> Iterator[Change]:
    if before is None:
        decisions = sorted({one for ids in answers.values() for one in ids})
        yield _change(FIRST, (), "there was no model before it", decisions, (), tests)
        return
    commits = tuple(str(one.code.commit) for one in (before, now) if one.code.commit)
    for part, places in sorted(_parts(note.changed).items()):
        section = SECTION_OF.get(part, part)
        if section in KINDS:
            because = note.why if part == "data" else f"decisions on {section}"
            yield _change(part, places, because, answers.get(section, ()), (), tests)
        else:
            dirty = " and local changes that are in no commit" if now.code.dirty else ""
            told = () if now.code.dirty else commits
            yield _change(part, places, f"commits of the code{dirty}", (), told, tests)


def _parts(changed: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the places that changed by part; those of the declaration by section.

    >>> _parts({"declaration": ("gates.alpha", "gates.margin"), "code": ("commit",)})
    {'gates': ('gates.alpha', 'gates.margin'), 'code': ('commit',)}
    """
    found: dict[str, tuple[str, ...]] = {}
    for place in changed.get("declaration", ()):
        section = place.partition(".")[0]
        found[section] = (*found.get(section, ()), place)
    for part, places in changed.items():
        if part != "declaration":
            found[part] = (*found.get(part, ()), *places)
    return found


def _change(
    part: str,
    places: tuple[str, ...],
    because: str,
    decisions: Sequence[str],
    commits: tuple[str, ...],
    tests: Mapping[str, tuple[Test, ...]],
) -> Change:
    ran = (*tests["gates"], *(tests["code"] if part in BY_CODE else ()))
    failed = [one.id for one in ran if one.verdict is Verdict.FAIL]
    verdict, words = Verdict.PASS, "explained and tested"
    if not (decisions or commits):
        verdict, words = Verdict.FAIL, "no decision and no commit says why"
    elif failed:
        verdict, words = Verdict.FAIL, f"failed: {', '.join(failed)}"
    elif part in BY_CODE and not tests["code"]:
        words = "no run of the project's tests on this commit is on record: retrain tests MODEL REPORT"
        verdict = Verdict.INCONCLUSIVE
    elif not any(one.verdict is Verdict.PASS for one in ran):
        verdict, words = Verdict.INCONCLUSIVE, "nothing that looked at it could tell"
    return Change(
        part=part,
        places=places,
        because=because[:1000],
        decisions=tuple(decisions),
        commits=commits,
        tests=ran,
        verdict=verdict,
        words=words,
    )


def _gates(evidence: Evidence) -> tuple[Test, ...]:
    return tuple(
        Test(id=f"gate {one.gate}", verdict=one.verdict, pointer=f"evidence.json#/results/{at}")
        for at, one in enumerate(evidence.results)
    )


def _code_tests(stores: "Stores", model: str, code: "CodeRevision") -> tuple[Test, ...]:
    """Return the newest run of the tests on a commit, and none of a tree that no commit holds."""
    if code.commit is None or code.dirty:
        return ()
    for one in newest_records(stores, model, TestRun.KIND, code.commit, 1):
        run = one.read(TestRun)
        if run.dirty:
            return ()
        verdict = Verdict.FAIL if run.failed else Verdict.PASS if run.passed else Verdict.INCONCLUSIVE
        return (Test(id=f"tests on {code.commit[:12]}: {len(run.passed)}", verdict=verdict, pointer=one.digest),)
    return ()


def _is_change(entry: "Entry") -> bool:
    return bool(entry.payload.get("kind") == ChangeRecord.KIND)


def _untested(stores: "Stores", model: str, entry: "Entry") -> bool:
    """Return whether a change of a release waits for its tests."""
    known = newest_records(stores, model, ChangeRecord.KIND, str(entry.subject), 1)
    changes = known[0].read(ChangeRecord).changes if known else ()
    return any(one.verdict is Verdict.INCONCLUSIVE for one in changes)
