"""Impact briefs: what was claimed of a release beside what came, and what the business metric did.

A claim is the 95 % interval of the mean row loss on the rows that judged. It is an overclaim when even the lower bound
of the loss that came is above its upper end; too few labels tell nothing.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.records.kinds.impact_brief import BeforeAfter, Claim, ImpactBrief, Saved
from retrain_pipeline.records.record import enter, records
from retrain_pipeline.records.releases import Z95, expected_loss, releases
from retrain_pipeline.triggers.scoring import SCORED
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

KEPT_CURRENT = 2
"""The newest releases, of which a brief is written again when more is known; older ones have had their time."""
MIN_PERIODS = 2


def write_briefs(stores: "Stores", declaration: "Declaration", actor: str) -> None:
    """Enter a brief of every release that has none, and of the newest two where more is known: a step of `settle`."""
    model, done = declaration.spec.name, releases(stores, declaration.spec.name)
    on_record = {
        (one.subject, one.document["epoch"]): one.read(ImpactBrief) for one in records(stores, model, ImpactBrief.KIND)
    }
    claims: list[Claim | None] = []
    for at, entry in enumerate(done):
        known = on_record.get((str(entry.subject), entry.epoch or 0))
        if known is not None and at < len(done) - KEPT_CURRENT:
            claims.append(known.claim)
            continue
        brief = impact_brief(stores, declaration.spec, entry, claims)
        claims.append(brief.claim)
        if known is not None:
            brief = brief.model_copy(update={"owner": known.owner, "decided": known.decided})
        if known != brief:
            enter(stores, brief, actor=actor)


def impact_brief(
    stores: "Stores", spec: "ModelSpec", entry: "Entry", before: "Sequence[Claim | None]" = ()
) -> ImpactBrief:
    """Return the brief of a release, as far as its worth is known now.

    Parameters
    ----------
    before
        The claims of the releases before it, which count in the overclaim rate.
    """
    own = _claim(stores, spec, entry)
    told = [one for one in (*before, own) if one is not None and one.verdict is not Verdict.INCONCLUSIVE]
    over = sum(one.verdict is Verdict.FAIL for one in told)
    monitored = stores.ledger.latest(spec.name, "monitored")
    worth = _saved(stores, spec.name, entry)
    business = _business(stores, spec, entry)
    return ImpactBrief.make(
        model=spec.name,
        subject=str(entry.subject),
        as_of=monitored.payload["as_of"] if monitored else None,
        epoch=entry.epoch or 0,
        previous=entry.payload.get("previous"),
        claim=own,
        business=business,
        worth=worth,
        overclaims=over,
        claims=len(told),
        overclaim_rate=over / len(told) if told else None,
        next_steps=_next_steps(own, worth, business),
    )


def _reign(stores: "Stores", model: str, entry: "Entry") -> tuple[datetime, datetime | None]:
    """Return from when on a release serves, and until when: the start of what the next champion serves."""
    from retrain_pipeline.release.lineage import reigns

    history = reigns(stores.ledger, model)
    at = next(place for place, one in enumerate(history) if one.entry.seq == entry.seq)
    until = history[at + 1].deployment.since if at + 1 < len(history) else None
    return history[at].deployment.since, until


def _claim(stores: "Stores", spec: "ModelSpec", entry: "Entry") -> Claim | None:
    from retrain_pipeline.monitoring.feedback import champion_losses
    from retrain_pipeline.monitoring.performance import MIN_ROWS, estimate

    claimed = expected_loss(read_evidence(stores.artifacts, str(entry.payload["evidence"])))
    monitored = stores.ledger.latest(spec.name, "monitored")
    if claimed is None:
        return None
    since, _ = _reign(stores, spec.name, entry)
    known = {"metric": claimed.metric, "claimed_mean": claimed.mean}
    known |= {"claimed_low": claimed.low, "claimed_high": claimed.high}
    rows = 0
    if monitored is not None:
        as_of = datetime.fromisoformat(monitored.payload["as_of"])
        losses, moments = champion_losses(stores.lake, spec, str(entry.subject), since, as_of)
        rows = len(losses)
    if monitored is None or rows < MIN_ROWS:
        words = f"{rows} labelled rows since the release, {MIN_ROWS} are needed"
        empty = {"realised_mean": None, "realised_low": None, "realised_high": None}
        return Claim(**known, **empty, rows=rows, verdict=Verdict.INCONCLUSIVE, words=words)
    found = estimate(losses, moments, spec.gates.block_hours)
    half = Z95 * found.se if found.se is not None else None
    low, high = (None, None) if half is None else (found.mean - half, found.mean + half)
    verdict, words = _compared(claimed.high, found.mean, low, high)
    return Claim(
        **known, realised_mean=found.mean, realised_low=low, realised_high=high, rows=rows, verdict=verdict, words=words
    )


def _compared(claimed_high: float | None, mean: float, low: float | None, high: float | None) -> tuple[Verdict, str]:
    if claimed_high is None or low is None or high is None:
        return Verdict.INCONCLUSIVE, "one of the two has no interval, so they cannot be compared"
    if low > claimed_high:
        words = f"overclaimed: the loss is {mean:.4g}, at least {low:.4g}, and at most {claimed_high:.4g} was claimed"
        return Verdict.FAIL, words
    words = f"the loss is {mean:.4g} ({low:.4g} to {high:.4g}), at most {claimed_high:.4g} was claimed"
    return Verdict.PASS, f"as claimed: {words}"


def _saved(stores: "Stores", model: str, entry: "Entry") -> Saved | None:
    scores = stores.ledger.entries(model=model, action=SCORED, subject=entry.subject)
    own = [one.payload for one in scores if one.payload["judged"] == entry.seq]
    if not own:
        return None
    newest = own[-1]
    names = ("saved", "low", "high", "cost", "periods", "words")
    return Saved(**{name: newest[name] for name in names}, verdict=Verdict(newest["verdict"]))


def _business(stores: "Stores", spec: "ModelSpec", entry: "Entry") -> BeforeAfter:
    """Compare the business metric over as many periods before a release as it has served since."""
    import numpy as np

    metric = spec.problem.business_metric
    since, until = _reign(stores, spec.name, entry)
    known = {"name": metric.name, "direction": metric.direction}
    nothing = {"before": None, "before_se": None, "before_periods": 0}
    nothing |= {"after": None, "after_se": None, "after_periods": 0}
    if metric.name not in spec.signals:
        words = f"not measured: signals.{metric.name} is not declared, so nobody knows what it did"
        return BeforeAfter(**known, unit=None, **nothing, words=words)
    unit = spec.signals[metric.name].unit
    table = stores.lake.read(spec.name, "signals")
    rows = table[(table["signal"] == metric.name) & ~table["imputed"].astype(bool)] if len(table) else table
    if not len(rows):
        return BeforeAfter(**known, unit=unit, **nothing, words="no value of it is known yet")
    at, values = rows["_event_time"], rows["value"].to_numpy(dtype=np.float64)
    is_after = (at >= since).to_numpy() & ((at < until).to_numpy() if until is not None else True)
    after = values[is_after & np.isfinite(values)]
    before = values[(at < since).to_numpy() & np.isfinite(values)][-max(len(after), 1) :]
    first, second = _mean(list(before)), _mean(list(after))
    sides = {"before": first[0], "before_se": first[1], "before_periods": len(before)}
    sides |= {"after": second[0], "after_se": second[1], "after_periods": len(after)}
    return BeforeAfter(**known, unit=unit, **sides, words=_moved(first, second, metric.direction))


def _mean(values: list[float]) -> tuple[float | None, float | None]:
    """Return mean and standard error of periods; a single one has no error."""
    if not values:
        return None, None
    mean = math.fsum(values) / len(values)
    if len(values) < MIN_PERIODS:
        return mean, None
    variance = math.fsum((one - mean) ** 2 for one in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))


def _moved(before: tuple[float | None, float | None], after: tuple[float | None, float | None], wanted: str) -> str:
    if before[0] is None or after[0] is None or before[1] is None or after[1] is None:
        return "too few periods on one of the two sides to say how far it moved"
    change, half = after[0] - before[0], Z95 * math.hypot(before[1], after[1])
    words = f"moved by {change:.4g} ({change - half:.4g} to {change + half:.4g}), wanted {wanted}"
    return f"{words}; other things than the model changed, too"


def _next_steps(claim: Claim | None, worth: Saved | None, business: BeforeAfter) -> tuple[str, ...]:
    steps = []
    if claim is None or claim.verdict is Verdict.INCONCLUSIVE:
        steps.append("wait for labels: what it claims cannot be compared yet")
    elif claim.verdict is Verdict.FAIL:
        steps.append("find out why it does worse than claimed: drift since, or rows that judged it too kindly")
    if worth is not None and worth.verdict is Verdict.FAIL:
        steps.append("it did not pay for its retrain: look at what asked for it, and at trigger.retrain_cost")
    if business.after is None and "not declared" in business.words:
        steps.append(f"declare signals.{business.name}, so that the metric that counts is measured")
    return tuple(steps) or ("nothing to do: it does as was claimed",)
