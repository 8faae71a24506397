"""What is agreed before a model is trained: its problem and its evaluation protocol, on record before the first run.

They are registered when data arrives under a declaration, or when people agree to it. A retrain whose protocol is not
in an earlier entry than its own start is refused: nobody chooses the yardstick after the race.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.records.kinds.problem import Problem
from retrain_pipeline.records.kinds.protocol import Protocol
from retrain_pipeline.records.record import Record, Recorded, enter, records

if TYPE_CHECKING:
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores


class NotAgreed(PermanentError):
    """A retrain whose problem or protocol was not on record when it started."""


def protocol_content(declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return by what a declaration, as JSON values, has its models judged."""
    data = declared["data"]
    return {
        "success": declared["problem"]["success"],
        "data": {name: data[name] for name in ("source", "key", "time", "label")},
        "evaluation_periods": declared["training"]["evaluation_periods"],
        "gates": declared["gates"],
    }


def protocol_digest(spec: "ModelSpec") -> str:
    """Return the digest of the content of the protocol that is declared."""
    return digest_of(protocol_content(spec.model_dump(mode="json")))


def protocols(stores: "Stores", model: str, *, until_seq: int | None = None) -> list[tuple[Recorded, Protocol]]:
    """Return the protocols of a model that are on record, oldest first."""
    found = records(stores, model, Protocol.KIND, subject=model, until_seq=until_seq)
    return [(one, one.read(Protocol)) for one in found]


def register(stores: "Stores", spec: "ModelSpec", actor: str, *, agreed_by: str | None = None) -> Protocol:
    """Enter problem and protocol of a declaration, where they are not on record yet; return the protocol.

    Parameters
    ----------
    agreed_by
        Who agrees to both. The same problem and protocol then stand again beside the earlier records, with one more
        name: their time is that of the first.
    """
    problem = _problem(stores, spec, agreed_by)
    protocol = _protocol(stores, spec, agreed_by)
    for record in (problem, protocol):
        enter(stores, record, actor=actor)
    return protocol


def check_agreed(stores: "Stores", spec: "ModelSpec", run_id: str) -> Protocol:
    """Return the protocol under which a run was started.

    Raises
    ------
    NotAgreed
        When problem or protocol, as declared now, are not in an entry before the start of the run.
    """
    started = stores.ledger.entries(model=spec.name, action="retrain_started", run_id=run_id, limit=1)
    if not started:
        raise NotAgreed(f"{spec.name}: run {run_id} never started; materialize {spec.name}/training_set")
    before = started[0].seq - 1
    problem = {name: value for name, value in _problem_fields(spec).items() if name != "owners"}
    known = records(stores, spec.name, Problem.KIND, subject=spec.name, until_seq=before)
    if not any(problem.items() <= one.document.items() for one in known):
        raise NotAgreed(_words(spec.name, "problem", started[0].seq, ()))
    digest = protocol_digest(spec)
    older = protocols(stores, spec.name, until_seq=before)
    for _, protocol in older:
        if protocol.digest == digest:
            return protocol
    content = protocol_content(spec.model_dump(mode="json"))
    changed = tuple(differing(older[-1][1].content, content)) if older else ()
    raise NotAgreed(_words(spec.name, "evaluation protocol", started[0].seq, changed))


def differing(before: Any, now: Any, place: str = "") -> Iterator[str]:
    """Yield the places at which two JSON values differ, as dotted paths.

    >>> list(differing({"gates": {"alpha": 0.05, "margin": 0.1}}, {"gates": {"alpha": 0.1, "margin": 0.1}}))
    ['gates.alpha']
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in sorted({*before, *now}):
            yield from differing(before.get(name), now.get(name), f"{place}.{name}" if place else str(name))
    elif before != now:
        yield place


def _words(model: str, what: str, seq: int, changed: tuple[str, ...]) -> str:
    moved = f" (changed since the one on record: {', '.join(changed)})" if changed else ""
    return (
        f"{model}: the {what} that is declared now{moved} was not on record when this retrain started (entry {seq}): "
        f"what a model is judged by is agreed before it is made. Bring in a period of data ({model}/raw; of a lane "
        f"features), or run `retrain protocol register {model} --by NAME`, then start the retrain again"
    )


def _problem_fields(spec: "ModelSpec") -> dict[str, Any]:
    problem = spec.problem
    return {
        "statement": problem.statement,
        "business_metric": problem.business_metric.name,
        "direction": problem.business_metric.direction,
        "success_metric": problem.success.metric,
        "success_at_most": problem.success.at_most,
        "owners": list(spec.owners),
    }


def _problem(stores: "Stores", spec: "ModelSpec", agreed_by: str | None) -> Record:
    fields = _problem_fields(spec)
    same = [
        one.read(Problem)
        for one in records(stores, spec.name, Problem.KIND, subject=spec.name)
        if fields.items() <= one.document.items()
    ]
    agreed = _agreed(same[-1].agreed_by if same else (), agreed_by)
    return Problem.make(model=spec.name, subject=spec.name, **fields, agreed_by=agreed)


def _protocol(stores: "Stores", spec: "ModelSpec", agreed_by: str | None) -> Protocol:
    content = protocol_content(spec.model_dump(mode="json"))
    digest, known = digest_of(content), [one for _, one in protocols(stores, spec.name)]
    same = [one for one in known if one.digest == digest]
    if same:
        agreed = _agreed(same[-1].agreed_by, agreed_by)
        return same[-1].model_copy(update={"agreed_by": agreed})
    last = max(known, key=lambda one: one.version) if known else None
    return Protocol.make(
        model=spec.name,
        subject=spec.name,
        version=last.version + 1 if last else 1,
        digest=digest,
        content=content,
        features=spec.features.model_dump(mode="json"),
        before=last.digest if last else None,
        changed=tuple(differing(last.content, content)) if last else (),
        agreed_by=_agreed((), agreed_by),
    )


def _agreed(already: tuple[str, ...], name: str | None) -> tuple[str, ...]:
    return already if name is None or name in already else (*already, name)
