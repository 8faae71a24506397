"""Check 9: decisions do not contradict each other or what was accepted, and none that was superseded is still cited."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.records.decisions import check_decisions, stale_citations
from retrain_pipeline.records.kinds.experiment import Experiment
from retrain_pipeline.records.truth.finding import Finding, right, wrong

if TYPE_CHECKING:
    from retrain_pipeline.records.truth.context import Context

_MEND = "a decision that is replaced says superseded_by, the one that replaces it supersedes"


def decisions_agree(context: "Context") -> Iterator[Finding]:
    """Look at the graph of the decision files, at what was accepted, and at what the newest experiment cites."""
    try:
        found = check_decisions(context.stores, context.declaration)
    except PermanentError as error:
        yield wrong("decisions", "records", str(error), "restore the artifacts from a backup")
        return
    for words in found.problems:
        place, _, rest = words.partition(": ")
        yield wrong("decision", place, rest or words, _MEND)
    bad = {words.partition(": ")[0] for words in found.problems}
    for decision in context.decisions:
        place = f"decisions/{decision.file}"
        if place not in bad:
            yield right(f"decision {decision.front.id}", place)
    yield from _cited(context)


def _cited(context: "Context") -> Iterator[Finding]:
    """Look at the newest experiment: what it rests on was current when it was entered, and is so still."""
    for experiment in context.records(Experiment.KIND)[-1:]:
        thing, place = f"experiment {experiment.subject}", f"ledger entry {experiment.entry.seq}"
        sections = experiment.document.get("rationale_params") or {}
        cited = sorted({name for names in sections.values() for name in names})
        stale = stale_citations(cited, context.decisions)
        for words in stale:
            yield wrong(thing, place, words, "retrain, so that the newest version rests on what is decided now")
        if not stale:
            yield right(thing, place)
