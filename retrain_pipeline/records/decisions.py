"""Decisions on record: entered when they are first seen, frozen once they are accepted, and consistent as a graph."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.records.kinds.decision import DecisionRecord
from retrain_pipeline.records.record import Recorded, enter, records
from retrain_pipeline.spec.decision import Decision, read_decisions
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

TOMBSTONE = "tombstone"
"""The kind of record that stands where something was retired: a decision that has one may be gone."""


@dataclass(frozen=True)
class Graph:
    """What is wrong with a model's decisions. INCONCLUSIVE: there are none, so nothing was looked at."""

    verdict: Verdict
    problems: tuple[str, ...]
    decisions: int

    @property
    def words(self) -> str:
        """The problems, or what was looked at."""
        return "; ".join(self.problems) or f"{self.decisions} decisions, no contradiction"


@dataclass(frozen=True)
class Registered:
    """What is on record of one decision: the newest record, and what froze it when it was accepted."""

    newest: Recorded
    record: DecisionRecord
    accepted: DecisionRecord | None


def register_decisions(stores: "Stores", declaration: "Declaration", actor: str) -> None:
    """Enter each decision that is new, or whose status or supersession changed; a proposed one whatever changed.

    An accepted decision that was edited is not entered: what was accepted stays on record, and `check_decisions` names
    it.
    """
    model = declaration.spec.name
    known = registered(stores, model)
    for decision in read_decisions(declaration.folder)[0]:
        before = known.get(decision.front.id)
        if before is None or _may_enter(before, decision):
            data = (declaration.folder / "decisions" / decision.file).read_bytes()
            record = DecisionRecord.make(
                model=model,
                subject=decision.front.id,
                file=decision.file,
                title=decision.title,
                front=decision.front,
                body=decision.body_digest,
                frozen=decision.frozen_digest,
                text=stores.artifacts.put(data),
                previous=before.newest.digest if before else None,
            )
            enter(stores, record, actor=actor)


def _may_enter(before: Registered, decision: Decision) -> bool:
    if before.record.text == decision.digest:
        return False
    return before.accepted is None or not _unlawful(before.accepted, decision)


def registered(stores: "Stores", model: str, *, until_seq: int | None = None) -> dict[str, Registered]:
    """Return what is on record of each decision of a model, by id, as the ledger was at an entry."""
    found: dict[str, Registered] = {}
    for one in records(stores, model, DecisionRecord.KIND, until_seq=until_seq):
        record = one.read(DecisionRecord)
        before = found.get(one.subject)
        accepted = before.accepted if before else None
        if accepted is None and record.front.status == "accepted":
            accepted = record
        found[one.subject] = Registered(one, record, accepted)
    return found


def check_decisions(stores: "Stores", declaration: "Declaration") -> Graph:
    """Look at all decisions of a model: the files, the graph that they form, and that what was accepted still stands.

    PASS: nothing is wrong. FAIL: something is, and each problem is named. INCONCLUSIVE: there is no decision.
    """
    model = declaration.spec.name
    decisions, refused = read_decisions(declaration.folder)
    known = registered(stores, model)
    gone = {one.subject for one in records(stores, model, TOMBSTONE)}
    problems = [str(one) for one in refused]
    problems += graph_problems(decisions)
    problems += sorted(_changed(decisions, known))
    unreadable = {one.name for one in (declaration.folder / "decisions").glob("*.md")} - {one.file for one in decisions}
    problems += sorted(_gone(decisions, known, gone, unreadable))
    n = len(decisions) + len(refused)
    verdict = Verdict.FAIL if problems else Verdict.PASS if n else Verdict.INCONCLUSIVE
    return Graph(verdict, tuple(problems), n)


def graph_problems(decisions: Sequence[Decision]) -> list[str]:
    """Return what contradicts itself between decisions: supersession that one side does not say, cycles, citations."""
    by_id = {one.front.id: one for one in decisions}
    found = [words for one in decisions for words in _supersession(one, by_id)]
    found += _rivals(decisions)
    found += _cycles(by_id)
    for one in decisions:
        if one.accepted:
            cited = stale_citations([ref.id for ref in one.front.evidence], decisions)
            found += [f"{_name(one)}: evidence: {words}" for words in cited]
    return found


def stale_citations(cited: Sequence[str], decisions: Sequence[Decision]) -> list[str]:
    """Return which of some citations (ids, or digests of files) are of superseded decisions: of a card, of evidence."""
    ended = {one.front.id: one for one in decisions if one.front.status == "superseded"}
    ended |= {one.digest: one for one in ended.values()}
    return [
        f"{name} is superseded by {ended[name].front.superseded_by or 'another'}: cite that"
        for name in cited
        if name in ended
    ]


def _name(decision: Decision) -> str:
    return f"decisions/{decision.file}"


def _supersession(decision: Decision, by_id: Mapping[str, Decision]) -> Iterator[str]:
    front, name = decision.front, _name(decision)
    if front.supersedes is not None:
        older = by_id.get(front.supersedes)
        if older is None:
            yield f"{name}: supersedes {front.supersedes}, and there is no such decision"
        elif front.status == "accepted" and older.front.superseded_by != front.id:
            yield f"{name}: supersedes {front.supersedes}, which does not say superseded_by: {front.id}"
    if front.superseded_by is not None:
        newer = by_id.get(front.superseded_by)
        if newer is None:
            yield f"{name}: superseded_by {front.superseded_by}, and there is no such decision"
        elif newer.front.supersedes != front.id:
            yield f"{name}: superseded_by {front.superseded_by}, which does not say supersedes: {front.id}"
        if front.status != "superseded":
            yield f"{name}: superseded_by {front.superseded_by}, but its status is {front.status}"
    elif front.status == "superseded":
        yield f"{name}: superseded, but superseded_by does not say by which"


def _rivals(decisions: Sequence[Decision]) -> Iterator[str]:
    heirs: dict[str, str] = {}
    for one in decisions:
        if one.front.supersedes is not None and one.accepted:
            other = heirs.setdefault(one.front.supersedes, one.front.id)
            if other != one.front.id:
                yield f"{_name(one)}: {one.front.supersedes} is superseded by {other} already"


def _cycles(by_id: Mapping[str, Decision]) -> Iterator[str]:
    """Yield each ring of supersession once, by the decision of it that comes first."""
    for start in sorted(by_id):
        path, at = [start], by_id[start].front.supersedes
        while at is not None and at in by_id and at not in path:
            path.append(at)
            at = by_id[at].front.supersedes
        if at == start and start == min(path):
            yield f"{_name(by_id[start])}: supersession goes in a circle: {' -> '.join([*path, start])}"


def _unlawful(accepted: DecisionRecord, decision: Decision) -> str:
    """Return what was changed of an accepted decision that may not be; nothing where nothing was."""
    if accepted.body != decision.body_digest:
        return "its text was changed after it was accepted"
    if accepted.frozen != decision.frozen_digest:
        was, now = accepted.front.frozen, decision.front.frozen
        fields = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
        return f"its {', '.join(fields)} changed after it was accepted"
    if decision.front.status == "proposed":
        return "it was accepted, and is only proposed again"
    return ""


def _changed(decisions: Sequence[Decision], known: Mapping[str, Registered]) -> Iterator[str]:
    for one in decisions:
        on_record = known.get(one.front.id)
        accepted = on_record.accepted if on_record else None
        if accepted is not None and (words := _unlawful(accepted, one)):
            mend = f"restore it (artifact {accepted.text}) and write a new one that supersedes it"
            yield f"{_name(one)}: {words}: {mend}"


def _gone(
    decisions: Sequence[Decision], known: Mapping[str, Registered], tombs: set[str], unreadable: set[str]
) -> Iterator[str]:
    here = {one.front.id for one in decisions}
    for name, one in known.items():
        # a file that does not read is named already
        if name not in here and name not in tombs and one.record.file not in unreadable:
            yield (
                f"decisions/{one.record.file}: {name} is on record and its file is gone: restore it "
                f"(artifact {one.record.text})"
            )


@dataclass(frozen=True)
class Step:
    """One version in a line of champions, and the decisions that came with it."""

    version: str
    champion: str | None
    decisions: tuple[str, ...]
    """Files that were new or edited when it was judged."""
    statement: str
    """The problem statement that it was declared for."""


def chain(stores: "Stores", model: str, version: str) -> list[Step]:
    """Return the line of champions that a judged version stands on, newest first, back to the first.

    Each names the decisions that came with it, so that from any release the reasons can be followed to the problem
    statement.

    Raises
    ------
    PermanentError
        When a version was never judged, or its evidence cannot be read.
    """
    from retrain_pipeline.gates.evidence import read_evidence
    from retrain_pipeline.learning.versions import read_manifest
    from retrain_pipeline.release.release import newest_evidence

    steps: list[Step] = []
    at: str | None = version
    while at is not None and at not in {one.version for one in steps}:
        manifest = read_manifest(stores, model, at)
        evidence = read_evidence(stores.artifacts, newest_evidence(stores, model, at))
        before: Mapping[str, str] = {}
        if evidence.champion is not None:
            theirs = newest_evidence(stores, model, evidence.champion)
            before = read_evidence(stores.artifacts, theirs).decisions
        new = tuple(sorted(file for file, digest in evidence.decisions.items() if before.get(file) != digest))
        declared = stores.artifacts.get_json(manifest.spec_digest)
        steps.append(Step(at, evidence.champion, new, str(declared["problem"]["statement"])))
        at = evidence.champion
    return steps
