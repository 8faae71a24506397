"""The report card of trigger policies: how many of the retrains that each asked for were worth their cost."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.triggers.judged import Judged, judged_retrains
from retrain_pipeline.triggers.scoring import SCORED

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger

HEADER = (
    "policy", "asked by", "retrains", "released", "worth it", "not", "unsure",
    "rejected", "rightly", "wrongly", "unsure", "saved", "cost",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CardRow:
    """What came of the retrains of one policy and one kind of reason.

    `saved` is over those released, with one-sided bounds, and `cost` over all, in the unit of `trigger.retrain_cost`.
    Unsure are those within noise and those whose labels have not matured yet.
    """

    policy: str
    kind: str
    released: int
    worth: int
    not_worth: int
    rejected: int
    rightly: int
    wrongly: int
    saved: float
    low: float
    high: float
    cost: float

    def cells(self) -> tuple[str, ...]:
        """Return the row of a table under `HEADER`."""
        unsure = (self.released - self.worth - self.not_worth, self.rejected - self.rightly - self.wrongly)
        saved = f"{self.saved:.4g} [{self.low:.4g}, {self.high:.4g}]"
        counts = (self.released + self.rejected, self.released, self.worth, self.not_worth, unsure[0],
                  self.rejected, self.rightly, self.wrongly, unsure[1])  # fmt: skip
        return (self.policy, self.kind, *map(str, counts), saved, f"{self.cost:.4g}")


def report_card(ledger: "Ledger", spec: ModelSpec) -> tuple[CardRow, ...]:
    """Return a row per policy and kind of reason, from the newest score of each retrain.

    Retrains that crashed or were superseded were never judged and are not in it.
    """
    scores = {entry.payload["judged"]: entry.payload for entry in ledger.entries(model=spec.name, action=SCORED)}
    groups: dict[tuple[str, str], list[Judged]] = {}
    for one in judged_retrains(ledger, spec.name):
        groups.setdefault((one.policy, one.kind), []).append(one)
    return tuple(_row(spec, *name, group, scores) for name, group in sorted(groups.items()))


def _row(spec: ModelSpec, policy: str, kind: str, group: list[Judged], scores: dict[int, dict[str, Any]]) -> CardRow:
    released = [scores.get(one.seq, {}) for one in group if one.outcome == "released"]
    rejected = [scores.get(one.seq, {}) for one in group if one.outcome == "rejected"]
    known = [one for one in released if one.get("se") is not None]
    saved = math.fsum(one["saved"] for one in known)
    # Retrains serve one after the other: what they saved are sums over rows of different periods.
    half = NormalDist().inv_cdf(1 - spec.gates.alpha) * math.sqrt(math.fsum(one["se"] ** 2 for one in known))
    return CardRow(
        policy=policy,
        kind=kind,
        released=len(released),
        worth=_count(released, "PASS"),
        not_worth=_count(released, "FAIL"),
        rejected=len(rejected),
        rightly=_count(rejected, "PASS"),
        wrongly=_count(rejected, "FAIL"),
        saved=saved,
        low=saved - half,
        high=saved + half,
        cost=math.fsum(one.get("cost", spec.trigger.retrain_cost) for one in (*released, *rejected)),
    )


def _count(found: Iterable[dict[str, Any]], verdict: str) -> int:
    return sum(one.get("verdict") == verdict for one in found)


def as_markdown(rows: Iterable[CardRow]) -> str:
    """Return the report card as a Markdown table."""
    lines = [HEADER, ("---",) * len(HEADER), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
