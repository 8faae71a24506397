"""A champion that followed another, looked at for as long as the one before it is kept.

Shown worse than that, or with a guardrail broken that held before, it is to go back. What was found is stored by digest
and entered once a period before anything is done on it.
"""

from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.release.comparison import Pair, compared_loss
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.guardrails import guardrail_results
from retrain_pipeline.release.lineage import CHANGES
from retrain_pipeline.strict import Strict
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.artifacts import Artifacts
    from retrain_pipeline.release.state import Deployment
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

WATCHED = "champion_watched"


class Watch(Strict):
    """What a period showed of a new champion, whole."""

    schema_: Literal["champion_watch/1"] = "champion_watch/1"
    model: str
    version: str
    reference: str
    """The champion before it."""
    epoch: int
    period: str
    as_of: str
    results: tuple[GateResult, ...]

    @property
    def broken(self) -> tuple[GateResult, ...]:
        """What it goes back for."""
        return tuple(result for result in self.results if result.verdict is Verdict.FAIL)

    @property
    def words(self) -> str:
        """What was found, or what was broken, in words."""
        if self.broken:
            return f"{self.period}: " + "; ".join(f"{result.gate}: {result.words}" for result in self.broken)
        return "; ".join(result.words for result in self.results)

    def document(self) -> dict[str, Any]:
        """Return the watch as JSON values."""
        return self.model_dump(mode="json")


def read_watch(artifacts: "Artifacts", digest: str) -> Watch:
    """Return a stored watch.

    Raises
    ------
    ReleaseRefused
        When it is gone, damaged, or none.
    """
    try:
        return Watch.model_validate(artifacts.get_json(digest))
    except (PermanentError, ValidationError) as error:
        raise ReleaseRefused(f"watch {digest[:12]} does not read: {error}") from error


def watch(
    stores: "Stores",
    spec: "ModelSpec",
    period: str,
    epoch: int,
    deployment: "Deployment",
    run_id: str | None,
    actor: str,
) -> tuple[Watch, str] | None:
    """Return what is found of the champion in a period, and its digest; entered once.

    A period that is looked at again, after rows came that were known by its end, is judged with them.

    None where there is nothing to look at: no champion before it, one that a rollback brought back, a period of before
    its time, or the time of being watched is over and no guardrail is declared.
    """
    start, end = spec.data.time.calendar().bounds(period)
    if deployment.previous is None or start < deployment.since:
        return None
    newest = stores.ledger.latest(spec.name, CHANGES)
    if newest is None or newest.action != "released":
        return None
    results = _results(stores, spec, period, start, end, deployment)
    if not results:
        return None
    found = Watch(
        model=spec.name,
        version=deployment.champion,
        reference=deployment.previous,
        epoch=epoch,
        period=period,
        as_of=end.isoformat(),
        results=tuple(results),
    )
    digest = stores.artifacts.put_json(found.document())
    payload = {
        "watch": digest,
        "period": period,
        "as_of": found.as_of,
        "reference": found.reference,
        "results": {result.gate: result.verdict.value for result in results},
        "words": found.words[:2000],
    }
    key = f"{WATCHED}:{spec.name}:{epoch}:{found.version}:{period}:{digest}"
    stores.ledger.append(
        NewEntry(actor, WATCHED, spec.name, found.version, payload, run_id=run_id, epoch=epoch, key=key)
    )
    return found, digest


def _results(
    stores: "Stores", spec: "ModelSpec", period: str, start: datetime, end: datetime, deployment: "Deployment"
) -> list[GateResult]:
    results = guardrail_results(stores, spec, period, deployment.since, end)
    age = spec.data.time.calendar().periods_since(deployment.since, start)
    if deployment.previous is not None and age < spec.rollout.watch_periods + ceil(delay_periods(spec)) + 1:
        pair = Pair(deployment.champion, deployment.previous, deployment.since)
        results.append(compared_loss(stores, spec, pair, end, spec.rollout.watch_periods))
    return results


def delay_periods(spec: "ModelSpec") -> float:
    """Return the delay of labels in periods."""
    calendar = spec.data.time.calendar()
    hours = (calendar.shift(calendar.origin, 1) - calendar.origin).total_seconds() / 3600
    return spec.data.label.delay_hours / hours
