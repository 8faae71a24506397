"""Rehearsing the way back: a real rollback in a copy, its answers compared and its time measured.

What was never rehearsed does not work when it is needed. So a drill that failed, or one that is overdue where
`rollout.drill_periods` declares it, stops every release until one has succeeded.
"""

import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.ledger.entries import DEPLOYMENT, NewEntry
from retrain_pipeline.release.lineage import CHANGES, STAGED, WITHDRAWN, reigns, standing
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.release.state import current
from retrain_pipeline.stores import Stores, open_stores
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

    from retrain_pipeline.learning.versions import LoadedVersion
    from retrain_pipeline.ledger.past import Asked
    from retrain_pipeline.spec.model import ModelSpec

DRILLED, DRILL_FAILED = "drilled", "drill_failed"
RESTORED_SECONDS = 1.0
"""From the decision to the record of the earlier champion, checked; what a person who rolls back waits for."""
GOLDEN_ROWS = 200


@dataclass(frozen=True)
class DrillReport:
    """How a drill went. `seconds`: from the decision to the restored record; None where it did not get there."""

    model: str
    verdict: Verdict
    words: str
    champion: str | None = None
    target: str | None = None
    seconds: float | None = None
    golden_rows: int = 0


def drill(stores: Stores, spec: "ModelSpec", *, run_id: str | None = None, actor: str) -> DrillReport:
    """Roll the model back in a copy of its record and bytes, and forward again; enter how it went.

    PASS: the earlier champion served again within a second, its record was the one it had, its answers to the newest
    rows were the same, going forward again gave the record of now, and nothing of this changed production. FAIL: one
    of these did not hold. INCONCLUSIVE: there is no earlier champion.
    """
    before = stores.ledger.deployment(spec.name)
    stack = standing(reigns(stores.ledger, spec.name))
    if before is None or len(stack) < 2:
        words = "no earlier champion to go back to: there is nothing to rehearse yet"
        return DrillReport(spec.name, Verdict.INCONCLUSIVE, words)
    champion, target = stack[-1].version, stack[-2].version
    report = DrillReport(spec.name, Verdict.FAIL, "", champion, target)
    try:
        with TemporaryDirectory(prefix="drill-") as folder:
            report = _rehearsed(stores, spec, Path(folder), report)
    except PermanentError as error:
        report = replace(report, words=f"{target} did not come back: {error}")
    after = stores.ledger.deployment(spec.name)
    if after is not None and after.epoch == before.epoch and after != before:
        report = replace(report, verdict=Verdict.FAIL, words="the rehearsal changed the deployment of production")
    _enter(stores, spec, report, run_id, actor)
    return report


def _rehearsed(stores: Stores, spec: "ModelSpec", folder: Path, report: DrillReport) -> DrillReport:
    """Return how the way back and forward went in a copy."""
    champion, target = str(report.champion), str(report.target)
    golden = _golden(stores, spec)
    wanted = [_answers(stores, spec, version, golden) for version in (target, champion)]
    sandbox = _copied(stores, spec.name, (champion, target), folder)
    try:
        _, now = current(sandbox.ledger, spec.name)
        started = time.perf_counter()
        # The reason is one that nobody gave before: to a rollback the same reason again is the same command once more.
        restored = rollback(sandbox, spec.name, because=f"{folder.name}: the way back", actor="drill")
        seconds = time.perf_counter() - started
        found = _answers(sandbox, spec, restored.champion, golden)
        forward = rollback(sandbox, spec.name, to=champion, because="drill: and forward", actor="drill")
        again = _answers(sandbox, spec, forward.champion, golden)
    finally:
        sandbox.close()
    troubles = []
    if restored.champion != target:
        troubles.append(f"{restored.champion} came back instead of {target}")
    if not found.equals(wanted[0]) or not again.equals(wanted[1]):
        troubles.append(f"answers to {len(golden)} newest rows are not what they were")
    if now is None or forward.serving_digest != now.model_copy(update={"challenger": None}).serving_digest:
        troubles.append("going forward again did not give the record of now")
    if seconds > RESTORED_SECONDS:
        troubles.append(f"it took {seconds:.2f} s, {RESTORED_SECONDS:g} s are allowed")
    words = "; ".join(troubles) or f"{target} served again after {seconds * 1000:.0f} ms, with the same answers"
    verdict = Verdict.FAIL if troubles else Verdict.PASS
    return replace(report, verdict=verdict, words=words, seconds=seconds, golden_rows=len(golden))


def _golden(stores: Stores, spec: "ModelSpec") -> "pd.DataFrame":
    """Return the newest rows of features, to be answered before and after."""
    periods = stores.lake.periods(spec.name, "features")
    return stores.lake.read(spec.name, "features", periods=periods[-1:]).tail(GOLDEN_ROWS)


def _answers(stores: Stores, spec: "ModelSpec", version: str, rows: "pd.DataFrame") -> "pd.DataFrame":
    from retrain_pipeline.learning.prediction import predict
    from retrain_pipeline.learning.versions import load_version

    loaded: LoadedVersion = load_version(stores, spec.name, version)
    return predict(loaded.pipeline, spec.data.label.task, rows).frame


def _copied(stores: Stores, model: str, versions: tuple[str, ...], folder: Path) -> Stores:
    """Return a copy of a model's deployments and of the bytes of some versions; the lake is read where it is."""
    from retrain_pipeline.learning.versions import REGISTERED, read_manifest, registered_manifest

    copy = open_stores(folder)
    for entry in stores.ledger.entries(model=model, action=(REGISTERED, *CHANGES, STAGED, WITHDRAWN)):
        payload = dict(entry.payload)
        made = payload.pop(DEPLOYMENT, None)
        new = NewEntry(entry.actor, entry.action, entry.model, entry.subject, payload, entry.run_id, entry.epoch)
        if made is None:
            copy.ledger.append(new)
        else:
            copy.ledger.change_deployment(model, made["epoch"] - 1, made["state"], new)
    for version in versions:
        manifest = read_manifest(stores, model, version)
        digests = registered_manifest(stores, model, version), manifest.model_artifact, manifest.probe.artifact
        for digest in digests:
            copy.artifacts.put(stores.artifacts.get(digest))
    return Stores(stores.lake, copy.artifacts, copy.ledger)


def _enter(stores: Stores, spec: "ModelSpec", report: DrillReport, run_id: str | None, actor: str) -> None:
    payload = {
        "verdict": report.verdict.value,
        "words": report.words[:2000],
        "champion": report.champion,
        "target": report.target,
        "seconds": report.seconds,
        "golden_rows": report.golden_rows,
        "as_of": _now(stores.ledger, spec).isoformat(),
    }
    key = f"{DRILLED}:{spec.name}:{run_id}" if run_id else None
    action = DRILL_FAILED if report.verdict is Verdict.FAIL else DRILLED
    stores.ledger.append(NewEntry(actor, action, spec.name, report.target, payload, run_id=run_id, key=key))


def _now(ledger: "Asked", spec: "ModelSpec") -> datetime:
    """Return how far the record of data reaches: drills are due by periods, also where history is played."""
    monitored = ledger.latest(spec.name, "monitored")
    return datetime.fromisoformat(monitored.payload["as_of"]) if monitored else spec.data.time.calendar().origin


def rehearsed(ledger: "Asked", spec: "ModelSpec") -> GateResult:
    """Judge that the way back was rehearsed: the newest drill succeeded, and not too long ago where that is declared.

    A model without an earlier champion has nothing to rehearse; one that was never rehearsed, where nothing is
    declared, passes. (G23)
    """
    newest, limit = ledger.latest(spec.name, (DRILLED, DRILL_FAILED)), spec.rollout.drill_periods
    row = ledger.deployment(spec.name)
    if newest is not None and newest.payload["verdict"] != Verdict.PASS:
        words = f"the newest drill did not succeed: {newest.payload['words']}; mend it, then: retrain drill {spec.name}"
        return GateResult(gate="drill", verdict=Verdict.FAIL, words=words[:2000])
    if row is None or row.state.get("previous") is None:
        return GateResult(gate="drill", verdict=Verdict.PASS, words="no earlier champion: nothing to rehearse yet")
    if limit is None:
        words = "drills are not declared to be due (rollout.drill_periods)"
        return GateResult(gate="drill", verdict=Verdict.PASS, words=words)
    if newest is None:
        words = f"the way back was never rehearsed: retrain drill {spec.name}"
        return GateResult(gate="drill", verdict=Verdict.FAIL, words=words)
    calendar = spec.data.time.calendar()
    age = calendar.periods_since(datetime.fromisoformat(newest.payload["as_of"]), _now(ledger, spec))
    verdict = Verdict.PASS if age <= limit else Verdict.FAIL
    words = f"rehearsed {age} periods ago, rollout.drill_periods is {limit}"
    mend = "" if verdict is Verdict.PASS else f": retrain drill {spec.name}"
    return GateResult(
        gate="drill", verdict=verdict, statistic=float(age), threshold=float(limit), words=f"{words}{mend}"
    )


def is_due(ledger: "Asked", spec: "ModelSpec") -> bool:
    """Return whether a drill should be held now: declared, and the next period would find it overdue or failed."""
    limit, row = spec.rollout.drill_periods, ledger.deployment(spec.name)
    if limit is None or row is None or row.state.get("previous") is None:
        return False
    newest = ledger.latest(spec.name, (DRILLED, DRILL_FAILED))
    if newest is None or newest.payload["verdict"] != Verdict.PASS:
        return True
    drilled = datetime.fromisoformat(newest.payload["as_of"])
    return spec.data.time.calendar().periods_since(drilled, _now(ledger, spec)) >= limit
