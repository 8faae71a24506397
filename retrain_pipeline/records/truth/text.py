"""Checks 2, 3 and 4: what people wrote is written, is a reason of its own, and weighed something against something."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from retrain_pipeline.records.record import Recorded
from retrain_pipeline.records.schemas import by_person
from retrain_pipeline.records.truth.finding import Finding, right, wrong
from retrain_pipeline.records.truth.schemas import kinds
from retrain_pipeline.spec.rationale_text import (
    because_of,
    chosen_option,
    copied,
    has_con,
    options_of,
    placeholders,
    thin,
    unfilled,
)

if TYPE_CHECKING:
    from retrain_pipeline.records.truth.context import Context
    from retrain_pipeline.spec.decision import Decision

_REWRITE = "write it, or withdraw the decision"


def no_placeholder(context: "Context") -> Iterator[Finding]:
    """Look at every decision that is not only proposed, the declared problem, and what people wrote into records."""
    for decision in context.decisions:
        if decision.front.status != "proposed":
            yield _told(f"decision {decision.front.id}", _place(decision), placeholders(decision), _REWRITE)
    problem = context.declaration.spec.problem
    texts = {"problem.statement": problem.statement, "problem.business_metric.name": problem.business_metric.name}
    words = [f"{place}: {one}" for place, text in texts.items() for one in unfilled(text)]
    yield _told(context.model, "defs.yaml", words, "declare what the model is for")
    known = kinds()
    for one in context.recorded:
        if isinstance(one, Recorded) and one.kind in known:
            written = [(name, text) for name in by_person(known[one.kind]) for text in _texts(one.document.get(name))]
            words = [f"{name}: {told}" for name, text in written for told in unfilled(text)]
            if written:
                place = f"ledger entry {one.entry.seq}"
                yield _told(f"{one.kind} of {one.subject}", place, words, "enter it again, with the words")


def rationale_own(context: "Context") -> Iterator[Finding]:
    """Look at the because of every accepted decision: long enough, and not that of another of the model."""
    for decision in _accepted(context):
        earlier = [other for other in context.decisions if other.file < decision.file]
        words = [*thin(decision), *copied(decision, earlier)]
        if not because_of(decision):
            words.append("Decision Outcome: no 'Chosen option: …, because …'")
        mend = "say what speaks for it here, in words of its own; a reason that stays says unchanged_because"
        yield _told(f"decision {decision.front.id}", _place(decision), words, mend)


def options_weighed(context: "Context") -> Iterator[Finding]:
    """Look for two options in every accepted decision, the chosen among them, and for what speaks against that."""
    for decision in _accepted(context):
        words = list[str]()
        if len(options_of(decision)) < 2:
            words.append("Considered Options: fewer than two")
        if not chosen_option(decision):
            words.append("Decision Outcome: no option is chosen")
        if not has_con(decision):
            words.append("nothing speaks against what was chosen")
        mend = "list what else could have been done, if only nothing, and a line '* Bad, because …'"
        yield _told(f"decision {decision.front.id}", _place(decision), words, mend)


def _accepted(context: "Context") -> list["Decision"]:
    return [decision for decision in context.decisions if decision.accepted]


def _place(decision: "Decision") -> str:
    return f"decisions/{decision.file}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _told(thing: str, place: str, problems: list[str], mend: str) -> Finding:
    return wrong(thing, place, "; ".join(problems), mend) if problems else right(thing, place)
