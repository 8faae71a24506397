"""Verifying what is written about the champion before another takes its place, and entering what was found."""

from typing import TYPE_CHECKING

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.records.settle import settle
from retrain_pipeline.records.truth.context import Context
from retrain_pipeline.records.truth.looked import LOOKED
from retrain_pipeline.records.truth.verify import CHECKS, verify
from retrain_pipeline.release.documents import VERIFIED

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

STOPPING = (
    "schema",
    "placeholders",
    "rationale",
    "options",
    "numbers",
    "commits",
    "digests",
    "current",
    "graph",
    "regenerate",
)
"""Checks that stop a release where they fail. A date that passed, or an owner who left, does not: it would keep a model
that decays from being replaced."""
MAY_BE_OPEN = ("placeholders", "rationale", "options", "commits", "graph")
"""Checks that a project may have nothing for: one outside git, one whose decisions are yet to be written, which is what
the gate `documentation` asks for."""


def verify_before_release(
    stores: "Stores", declaration: "Declaration", *, actor: str, run_id: str | None
) -> "Entry | None":
    """Bring the records up to date, verify those of champion and the one before, and enter what was found.

    Does nothing where `gates.documentation` is off or nobody is champion. Done again on the same record it enters
    nothing new.
    """
    spec = declaration.spec
    row = stores.ledger.deployment(spec.name)
    if not spec.gates.documentation or row is None:
        return None
    settle(stores, declaration, actor)
    champion, previous = str(row.state["champion"]), row.state.get("previous")
    lineage = tuple(dict.fromkeys(str(one) for one in (previous, champion) if one))
    context = Context(stores, declaration, only=lineage)
    found = verify(context, [check for check in CHECKS if check.name in STOPPING])
    report = stores.artifacts.put_json(found.document())
    verdict = found.verdict_allowing(MAY_BE_OPEN)
    bad = [f"{one.check.name} {one.verdict.value}: {one.words}" for one in found.answers if one.problems]
    newest = max((entry.seq for entry in context.entries if entry.action not in (VERIFIED, LOOKED)), default=0)
    payload = {
        "verdict": verdict.value,
        "words": ("; ".join(bad) or f"{len(found.answers)} checks of {', '.join(lineage)} pass")[:2000],
        "checks": {one.check.name: one.verdict.value for one in found.answers},
        "versions": list(lineage),
        "report": report,
    }
    key = f"{VERIFIED}:{spec.name}:{champion}:{newest}:{report}"
    return stores.ledger.append(NewEntry(actor, VERIFIED, spec.name, champion, payload, run_id, key=key))
