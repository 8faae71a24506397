"""What accepted decisions rest on, looked at again at each retrain; what holds no more opens a review."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.records.decisions import Registered, registered
from retrain_pipeline.records.facts import Facts, NotKnown
from retrain_pipeline.records.kinds.decision import Answer, Checked, DecisionCheck
from retrain_pipeline.records.record import Recorded, enter, newest_records
from retrain_pipeline.records.reviews import REVIEW_WITHIN, open_review
from retrain_pipeline.spec.decision import Assumption, EvidenceRef, read_decisions
from retrain_pipeline.spec.predicate import PredicateRefused, Seen, judge, parse_predicate
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores


def check_assumptions(stores: "Stores", declaration: "Declaration", actor: str) -> None:
    """Look at what each accepted decision rests on, once a version and whenever an answer changes; enter what came.

    What failed and did not before opens a review, due 30 days after the check, with an alert.
    """
    facts, model = Facts(stores, declaration), declaration.spec.name
    version = facts.version
    if version is None:
        return
    known = registered(stores, model)
    for decision in read_decisions(declaration.folder)[0]:
        front, on_record = decision.front, known.get(decision.front.id)
        if not decision.accepted or on_record is None or not (front.assumptions or front.evidence):
            continue
        checks = newest_records(stores, model, DecisionCheck.KIND, front.id, 2)
        _open_review(stores, model, checks, actor)  # of a process that died between a check and its review
        made = _check(stores, facts, version, on_record, checks[0] if checks else None)
        if made is not None:
            enter(stores, made, actor=actor)
            _open_review(stores, model, newest_records(stores, model, DecisionCheck.KIND, front.id, 2), actor)


def _check(
    stores: "Stores", facts: Facts, version: str, on_record: Registered, before: Recorded | None
) -> DecisionCheck | None:
    """Return a check, or None where the one before it says the same of the same version."""
    front = on_record.record.front
    looked = [_assumed(facts, one) for one in front.assumptions]
    looked += [resolve(stores, on_record.record.model, one) for one in front.evidence]
    made = DecisionCheck.make(
        model=on_record.record.model,
        subject=front.id,
        version=version,
        decision=on_record.newest.digest,
        checked=tuple(looked),
        verdict=worst(one.verdict for one in looked),
        previous=before.digest if before else None,
    )
    if before is None:
        return made
    last = before.read(DecisionCheck)
    return None if (last.version, _answers(last)) == (version, _answers(made)) else made


def _answers(check: DecisionCheck) -> dict[str, Verdict]:
    return {f"{one.what}: {one.text}": one.verdict for one in check.checked}


def _assumed(facts: Facts, one: Assumption) -> Checked:
    try:
        predicate = parse_predicate(one.predicate)
        seen = facts.look(predicate.name)
    except (NotKnown, PredicateRefused) as error:
        return Checked(
            what="assumption", text=one.predicate, verdict=Verdict.INCONCLUSIVE, seen=None, words=str(error)[:500]
        )
    verdict = judge(predicate, seen)
    told = {Verdict.PASS: "holds", Verdict.FAIL: "does not hold", Verdict.INCONCLUSIVE: "cannot be told"}
    words = f"{one.text}: {told[verdict]}, {predicate.name} is {_spoken(seen)}"
    return Checked(what="assumption", text=one.predicate, verdict=verdict, seen=_answer(seen), words=words[:500])


def resolve(stores: "Stores", model: str, one: EvidenceRef) -> Checked:
    """Return whether a reference still gives the value that the decision rests on, as far as that was rounded.

    Its `id` is the digest of an artifact (evidence, a record), or a version, of which the newest evidence is meant.
    """
    text = f"{one.id}#{one.pointer}"
    text += f" = {one.value}" if one.value is not None else ""
    try:
        seen = _pointed(_document(stores, model, one.id), one.pointer)
    except PermanentError as error:
        words = f"the reference is dead: {error}"
        return Checked(what="evidence", text=text, verdict=Verdict.FAIL, seen=None, words=words[:500])
    same = one.value is None or same_rounded(one.value, seen)
    words = f"it says {_spoken(_shown(seen))}" + ("" if same else f", the decision rests on {one.value}")
    verdict = Verdict.PASS if same else Verdict.FAIL
    return Checked(what="evidence", text=text, verdict=verdict, seen=_answer(_shown(seen)), words=words[:500])


class DeadReference(PermanentError):
    """A reference to evidence that leads nowhere."""


def _document(stores: "Stores", model: str, name: str) -> Any:
    if len(name) == 64:
        return stores.artifacts.get_json(name)
    judged = stores.ledger.latest(model, "judged", name)
    if judged is None:
        raise DeadReference(f"{name!r:.80} is neither a digest nor a version of {model} that was judged")
    return stores.artifacts.get_json(str(judged.payload["evidence"]))


def _pointed(document: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) leads to."""
    value = document
    for part in pointer.removeprefix("#").strip("/").split("/") if pointer.strip("#/") else []:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, Mapping) and key in value:
            value = value[key]
        else:
            raise DeadReference(f"nothing is at {pointer!r:.120}")
    return value


def same_rounded(said: float | str | bool, seen: Any) -> bool:
    """Return whether a value is what was said of it, rounded to as many digits.

    >>> same_rounded(0.14, 0.1377), same_rounded(0.138, 0.1372)
    (True, False)
    """
    if isinstance(said, bool | str) or isinstance(seen, bool) or not isinstance(seen, float | int):
        return type(said) is type(seen) and bool(said == seen)
    last = Decimal(f"{said!r}".removesuffix(".0")).as_tuple().exponent
    return abs(Decimal(f"{seen!r}") - Decimal(f"{said!r}")) <= Decimal(5).scaleb(int(last) - 1)


def _shown(value: Any) -> Seen:
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)[:200]


def _answer(seen: Seen) -> Answer:
    if seen is None or isinstance(seen, str | bool):
        return seen
    return float(seen) if isinstance(seen, int | float) else tuple(seen)


def _spoken(seen: Seen) -> str:
    if seen is None:
        return "not known"
    if isinstance(seen, bool | str):
        return str(seen)
    return f"{seen:.6g}" if isinstance(seen, int | float) else ", ".join(seen)


def _open_review(stores: "Stores", model: str, checks: list[Recorded], actor: str) -> None:
    """Open the review that the newest check, the first of two, calls for, if it is not open yet."""
    if not checks:
        return
    newest = checks[0].read(DecisionCheck)
    before = _answers(checks[1].read(DecisionCheck)) if len(checks) > 1 else {}
    failed = [
        f"{one.words} ({one.text}; as of {newest.version}, check {checks[0].digest[:12]})"
        for one in newest.checked
        if one.verdict is Verdict.FAIL and before.get(f"{one.what}: {one.text}") is not Verdict.FAIL
    ]
    if failed:
        due = datetime.fromisoformat(checks[0].entry.at_utc).date() + REVIEW_WITHIN
        open_review(stores, model, newest.subject, tuple(failed), due, actor)
