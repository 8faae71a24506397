"""A period of a rollout: the model on trial is looked at, the look is put on record, and what follows from it is done.

Where nothing is on trial, the champion that followed another is watched (`release.watch`), and rolled back where that
is called for.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import GateResult, policy_digest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.errors import StaleEpoch
from retrain_pipeline.release.comparison import Pair, compared_loss, serves, split_results
from retrain_pipeline.release.documents import documented_on_trial
from retrain_pipeline.release.drills import rehearsed
from retrain_pipeline.release.guardrails import CanaryLook, canary_results
from retrain_pipeline.release.guess import label_free
from retrain_pipeline.release.look import Look, next_step, read_look
from retrain_pipeline.release.moment import permitted
from retrain_pipeline.release.proof import still_proved
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.release.stages import apply
from retrain_pipeline.release.state import Challenger, Deployment, current
from retrain_pipeline.release.watch import delay_periods, watch
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

LOOKED = "rollout_looked"
GUARD = "guardrail"
"""The actor of a rollback that nobody asked for."""


@dataclass(frozen=True)
class RolloutReport:
    """What a period's look did: the move, in words, with the results that it rests on."""

    model: str
    period: str
    move: str
    words: str
    champion: str | None = None
    challenger: str | None = None
    stage: str | None = None
    share: float = 0.0
    results: tuple[GateResult, ...] = ()
    look: str | None = None
    """Digest of the stored look."""


def roll(
    stores: "Stores",
    declaration: "Declaration",
    period: str,
    *,
    run_id: str | None = None,
    actor: str = "rollout",
    root: Path = Path(),
) -> RolloutReport:
    """Look at the model on trial, or at the champion that was released last, at the end of a period; act on it.

    Doing it again changes nothing: the look of a period is entered once, and what it says is done once.

    Parameters
    ----------
    root
        The folder that declared paths of signals are relative to.

    Raises
    ------
    PeriodRefused
        When the period is none of the calendar.
    """
    spec = declaration.spec
    end = spec.data.time.calendar().bounds(period)[1]
    epoch, deployment = current(stores.ledger, spec.name)
    if deployment is None:
        return RolloutReport(spec.name, period, "none", "no champion yet")
    on = deployment.challenger
    if on is None:
        return _watched(stores, spec, period, epoch, deployment, run_id, actor)
    if datetime.fromisoformat(on.stage_from) >= end:
        words = f"{on.version} goes on trial after this period"
        return RolloutReport(spec.name, period, "none", words, deployment.champion, on.version, on.stage, on.share)
    digest = _entered(stores, declaration, period, end, epoch, deployment, on, root, run_id, actor)
    try:
        step, after = apply(stores, declaration, digest, deployment, run_id, actor)
    except StaleEpoch as stale:
        words = f"the deployment moved on to epoch {stale.found} meanwhile; the next period will tell"
        return RolloutReport(spec.name, period, "overtaken", words, deployment.champion, on.version, on.stage, on.share)
    now = after.challenger
    return RolloutReport(
        spec.name,
        period,
        step.move,
        step.words,
        after.champion,
        now.version if now else None,
        now.stage if now else None,
        now.share if now else 0.0,
        read_look(stores.artifacts, digest).results,
        digest,
    )


def _entered(
    stores: "Stores",
    declaration: "Declaration",
    period: str,
    end: datetime,
    epoch: int,
    deployment: Deployment,
    on: Challenger,
    root: Path,
    run_id: str | None,
    actor: str,
) -> str:
    """Return the digest of this period's look at a challenger; the one on record, where there is one."""
    spec = declaration.spec
    key = f"{LOOKED}:{spec.name}:{epoch}:{on.version}:{period}"
    look = _look(stores, declaration, period, end, epoch, deployment, on, root)
    digest = stores.artifacts.put_json(look.document())
    step = next_step(look)
    payload: dict[str, Any] = {
        "look": digest,
        "period": period,
        "as_of": look.as_of,
        "stage": on.stage,
        "share": on.share,
        "move": step.move,
        "results": {result.gate: result.verdict.value for result in look.results},
        "words": step.words[:2000],
    }
    new = NewEntry(actor, LOOKED, spec.name, on.version, payload, run_id=run_id, epoch=epoch, key=key)
    return str(stores.ledger.append(new).payload["look"])


def _look(
    stores: "Stores",
    declaration: "Declaration",
    period: str,
    end: datetime,
    epoch: int,
    deployment: Deployment,
    on: Challenger,
    root: Path,
) -> Look:
    spec = declaration.spec
    calendar = spec.data.time.calendar()
    trial_from, stage_from = datetime.fromisoformat(on.effective_as_of), datetime.fromisoformat(on.stage_from)
    longest = spec.rollout.longest(delay_periods(spec))
    pair = Pair(on.version, deployment.champion, trial_from)
    results = [
        serves(stores, spec.name, on.version),
        still_proved(stores, declaration, on.version, on.evidence),
        _same_terms(stores, spec, on),
        rehearsed(stores.ledger, spec),
    ]
    results += [compared_loss(stores, spec, pair, end, longest)]
    if not results[-1].n:
        results.append(label_free(stores, spec, pair, end))
    if on.stage == "canary":
        split = split_results(stores, spec, deployment.routing(), stage_from, end)
        holds = all(one.verdict is Verdict.PASS for one in split)
        seen = CanaryLook(period, stage_from, end, longest, holds)
        results += [*split, *canary_results(stores, spec, deployment.routing(), seen, root)]
    asked = (permitted(stores, declaration, on), documented_on_trial(stores.ledger, spec))
    results += [one for one in asked if one is not None]
    return Look(
        model=spec.name,
        version=on.version,
        reference=deployment.champion,
        evidence=on.evidence,
        epoch=epoch,
        stage=on.stage,
        share=on.share,
        period=period,
        as_of=end.isoformat(),
        periods_in_stage=calendar.periods_since(stage_from, end),
        periods_on_trial=calendar.periods_since(trial_from, end),
        longest=longest,
        rollout=spec.rollout,
        results=tuple(results),
    )


def _same_terms(stores: "Stores", spec: "ModelSpec", on: Challenger) -> GateResult:
    """Judge that the declaration still says what the challenger was judged by (P25)."""
    from retrain_pipeline.gates.evidence import read_evidence

    try:
        judged, now = read_evidence(stores.artifacts, on.evidence).policy, policy_digest(spec)
    except PermanentError as error:
        return GateResult(gate="terms", verdict=Verdict.FAIL, words=str(error)[:2000])
    verdict = Verdict.PASS if judged == now else Verdict.FAIL
    said = "the declaration is as it was judged by"
    changed = f"judged under policy {judged[:12]}, the declaration now says {now[:12]}: retrain, or judge it again"
    return GateResult(gate="terms", verdict=verdict, words=said if judged == now else changed)


def _watched(
    stores: "Stores",
    spec: "ModelSpec",
    period: str,
    epoch: int,
    deployment: Deployment,
    run_id: str | None,
    actor: str,
) -> RolloutReport:
    """Look at a champion that followed another, and roll it back where that is called for."""
    found = watch(stores, spec, period, epoch, deployment, run_id, actor)
    if found is None:
        return RolloutReport(spec.name, period, "none", "nothing is on trial or watched", deployment.champion)
    seen, digest = found
    move, champion = "watched", deployment.champion
    if seen.broken:
        try:
            back = rollback(stores, spec.name, because=seen.words[:2000], actor=GUARD, at_epoch=epoch)
            move, champion = "rolled_back", back.champion
        except StaleEpoch:
            move = "overtaken"
    return RolloutReport(spec.name, period, move, seen.words, champion, results=seen.results, look=digest)
