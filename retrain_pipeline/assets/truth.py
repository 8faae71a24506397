"""The truth checks as asset checks: of what is written about who serves, in groups that Dagster's UI has room for."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores
    from retrain_pipeline.triggers.reconcile import KnownRun

GROUPS = {
    "documents_true": ("schema", "numbers", "commits", "digests", "current", "regenerate"),
    "documents_reasoned": ("placeholders", "rationale", "options", "graph", "reviews", "owners"),
    "documents_complete": ("experiments", "protocol"),
    "documents_readable": ("links", "escaped"),
}
CHECKS = {
    "documents_true": "Cards are the stores' own words: numbers, commits and digests as named, the same bytes again.",
    "documents_reasoned": "Reasons are written, weighed, not contradicted, not overdue, and somebody stands for them.",
    "documents_complete": "Every retrain has its experiment, and what judges was agreed before.",
    "documents_readable": "Links lead somewhere, what people wrote is text, and no secret is shown.",
}
"""What each asks; `retrain docs verify` has them one by one."""


def truth_results(
    stores: "Stores",
    declaration: Declaration,
    asset: dg.AssetKey,
    known: "Sequence[KnownRun]",
    *,
    actor: str,
    run_id: str,
) -> Iterator[dg.AssetCheckResult]:
    """Yield the result of each group, of what is written about champion, its predecessor and the version on trial.

    Of older records and rows that an earlier look found well it is not asked again; what was found well is entered.
    """
    from retrain_pipeline.records.truth.context import Context
    from retrain_pipeline.records.truth.looked import looked_at, note_look, serving
    from retrain_pipeline.records.truth.verify import verify

    model = declaration.spec.name
    context = Context(stores, declaration, only=serving(stores, model), runs=known, looked=looked_at(stores, model))
    found = verify(context)
    note_look(context, found, actor=actor, run_id=run_id)
    for group, names in GROUPS.items():
        answers = [found.of(name) for name in names]
        verdict = worst(one.verdict for one in answers)
        bad = [one for one in answers if one.verdict is not Verdict.PASS]
        yield dg.AssetCheckResult(
            check_name=group,
            asset_key=asset,
            passed=verdict is Verdict.PASS,
            severity=dg.AssetCheckSeverity.ERROR if verdict is Verdict.FAIL else dg.AssetCheckSeverity.WARN,
            description="; ".join(f"{one.check.name}: {one.words}" for one in bad or answers)[:4000],
            metadata={"verdict": verdict.value, **{one.check.name: one.verdict.value for one in answers}},
        )
