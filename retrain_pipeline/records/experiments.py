"""Experiments: every retrain run that is on record as begun or failed, with what went in and what came out.

A run gets its record when it has ended. What it was expected to show was written when it started (`hypotheses`).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.records.agreed import differing, protocol_content, protocols
from retrain_pipeline.records.deviations import enter_deviations
from retrain_pipeline.records.hypotheses import hypothesis_of
from retrain_pipeline.records.kinds.experiment import Asked, Experiment, Learned, Outcome, Passed, Spent
from retrain_pipeline.records.kinds.hypothesis import Hypothesis
from retrain_pipeline.records.lessons import lesson, why_failed
from retrain_pipeline.records.record import RECORDED, Recorded, enter, entered, records
from retrain_pipeline.triggers.retrain import TERMINAL
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.gates.evidence import Evidence
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

STARTED, FAILED = "retrain_started", "retrain_failed"
STATES = (STARTED, "training_set_frozen", "candidate_built", "judged", *TERMINAL)
UNWRITTEN = "The run ended before its hypothesis was on record"


def retrain_runs(stores: "Stores", model: str) -> dict[str, bool]:
    """Return the retrain runs that the ledger knows, in the order in which it met them, and whether each has ended."""
    known = stores.ledger.entries(model=model, action=(STARTED, FAILED))
    ended = {entry.run_id for entry in stores.ledger.entries(model=model, action=TERMINAL)}
    return {entry.run_id: entry.run_id in ended for entry in known if entry.run_id}


def recorded_runs(stores: "Stores", model: str) -> list[str]:
    """Return the runs that have an experiment record, one for each record."""
    return [str(one.subject) for one in entered(stores, model, Experiment.KIND)]


def lacks_experiment(stores: "Stores", model: str) -> bool:
    """Return whether the newest retrain of a model has ended and has no experiment: two questions to the ledger."""
    ended = stores.ledger.latest(model, TERMINAL)
    if ended is None or ended.run_id is None:
        return False
    about = stores.ledger.entries(model=model, action=RECORDED, subject=ended.run_id)
    return all(one.payload["kind"] != Experiment.KIND for one in about)


def write_experiments(stores: "Stores", declaration: "Declaration", actor: str) -> None:
    """Enter the experiment of every ended run that has none, after what was otherwise in it: a step of `settle`.

    A run on record was compared with what was agreed, so a later settling need not read it again. A process that dies
    between the two is mended by the next, which finds the run without its experiment.
    """
    model = declaration.spec.name
    there, under = set(recorded_runs(stores, model)), cache(lambda: judged_under(stores, model))
    for run_id, ended in retrain_runs(stores, model).items():
        if ended and run_id not in there:
            run = experiment(stores, model, run_id, under)
            enter_deviations(stores, run, actor)
            enter(stores, run, actor=actor)


def judged_under(stores: "Stores", model: str) -> list[Recorded]:
    """Return the hypotheses of a model's runs: each says under which protocol its run began."""
    return list(records(stores, model, Hypothesis.KIND))


def experiment(
    stores: "Stores", model: str, run_id: str, under: Callable[[], Sequence[Recorded]] | None = None
) -> Experiment:
    """Return the record of a run that has ended, from what the stores know of it.

    Parameters
    ----------
    under
        Returns `judged_under` of the model, for whoever asks for many runs; called only where protocols differ.

    Raises
    ------
    PermanentError
        When the ledger has no end of it.
    """
    run = _run(stores, model, run_id)
    written = hypothesis_of(stores, model, run_id)
    hypothesis = written[1] if written else None
    declared = _declared(stores, run.manifest)
    own = hypothesis.protocol if hypothesis else digest_of(protocol_content(declared)) if declared else None
    links = run.links | ({"hypothesis": written[0].digest} if written else {})
    return Experiment.make(
        model=model,
        subject=run_id,
        run_id=run_id,
        hypothesis=hypothesis.words if hypothesis else UNWRITTEN,
        hypothesis_seq=written[0].entry.seq if written else None,
        success_criteria=_outcomes(hypothesis, run.evidence),
        failure_criterion=hypothesis.failure if hypothesis else "none was written",
        protocol=own,
        protocol_version=_version_of(stores, model, own),
        not_comparable=_others(stores, model, own, run.end, under or (lambda: judged_under(stores, model))),
        rationale_params=hypothesis.rationale if hypothesis else {},
        author=(run.started or run.end).actor,
        trigger=_asked(run.started),
        attempt=run.started.payload.get("attempt", 1) if run.started else 1,
        started_at=run.started.at_utc if run.started else None,
        ended_at=run.end.at_utc,
        **_inputs(stores, run),
        metrics=_metrics(run.evidence),
        verdict=run.end.action,
        failed_gates=_failed(run.evidence),
        why_failed=why_failed(run.end.action, run.end.payload),
        lesson=lesson(run.end.action, run.end.payload, run.evidence),
        state_history=[Passed(state=one.action, at=one.at_utc, by=one.actor, seq=one.seq) for one in run.states],
        version=run.manifest.version if run.manifest else None,
        links=links,
    )


@dataclass(frozen=True)
class _Run:
    """What the stores know of a run."""

    started: "Entry | None"
    end: "Entry"
    states: "list[Entry]"
    manifest: "VersionManifest | None"
    evidence: "Evidence | None"
    training_set: str | None
    links: dict[str, str]


def _run(stores: "Stores", model: str, run_id: str) -> _Run:
    from retrain_pipeline.gates.evidence import read_evidence
    from retrain_pipeline.learning.versions import read_manifest

    entries = stores.ledger.entries(model=model, run_id=run_id, action=STATES)
    end = next((one for one in entries if one.action in TERMINAL), None)
    if end is None:
        raise PermanentError(f"{model}: run {run_id} has no end on record; run `retrain ledger reconcile`")
    # What came after the end (a later attempt at the same step) is no part of it: the record is the same whenever made.
    states = [one for one in entries if one.seq <= end.seq]
    last = {one.action: one for one in states}
    links: dict[str, str] = {}
    manifest = evidence = None
    if "candidate_built" in last:
        manifest = read_manifest(stores, model, str(last["candidate_built"].subject))
        links["declaration"] = manifest.spec_digest
    if "judged" in last:
        links["evidence"] = str(last["judged"].payload["evidence"])
        evidence = read_evidence(stores.artifacts, links["evidence"])
        links["manifest"] = evidence.manifest
    frozen = last["training_set_frozen"].subject if "training_set_frozen" in last else None
    if frozen:
        links["training_set"] = frozen
    return _Run(last.get(STARTED), end, states, manifest, evidence, frozen, links)


def _declared(stores: "Stores", manifest: "VersionManifest | None") -> dict[str, Any] | None:
    return None if manifest is None else dict(stores.artifacts.get_json(manifest.spec_digest))


def _asked(started: "Entry | None") -> Asked | None:
    if started is None:
        return None
    said = started.payload
    reasons = tuple(said.get("reasons", ()))
    return Asked(
        id=said["trigger_id"], kind=said["kind"], mode=said["mode"], policy=said.get("policy", ""), reasons=reasons
    )


def _inputs(stores: "Stores", run: _Run) -> dict[str, Any]:
    """Return what went in, each None where the run did not come so far."""
    manifest = run.manifest
    surroundings = manifest.environment if manifest else None
    return {
        "data": _learned(stores, run.training_set),
        "code": manifest.code if manifest else None,
        "feature_digest": manifest.feature_code_digest if manifest else None,
        "config_digest": manifest.spec_digest if manifest else None,
        "seed": manifest.seed if manifest else None,
        "environment": surroundings.digest if surroundings else None,
        "lock": surroundings.lock_digest if surroundings else None,
        "hardware": surroundings.model_dump(mode="json", include={"cpu", "cores", "threads", "platform"})
        if surroundings
        else None,
        "budget": _spent(stores, manifest),
    }


def _learned(stores: "Stores", artifact: str | None) -> Learned | None:
    from retrain_pipeline.learning.frozen import recorded_training_set

    if artifact is None:
        return None
    frozen = recorded_training_set(stores, artifact)
    return Learned(
        artifact=artifact,
        digest=frozen.digest,
        rows=frozen.train_rows,
        evaluation_rows=frozen.evaluation_rows,
        train_from=frozen.train_from,
        train_until=frozen.train_until,
        evaluation_until=frozen.evaluation_until,
        periods=len(frozen.periods),
    )


def _spent(stores: "Stores", manifest: "VersionManifest | None") -> Spent | None:
    declared = _declared(stores, manifest)
    if manifest is None or declared is None:
        return None
    trials = stores.artifacts.get_json(manifest.leaderboard)["trials"]
    limit = declared["training"]["budget"]
    seconds = sum(float(one["wall_seconds"]) for one in trials)
    peak = max((float(one["peak_rss_mb"]) for one in trials), default=0.0)
    over = [name for name, used in (("wall_seconds", seconds), ("peak_rss_mb", peak)) if used > limit[name]]
    return Spent(
        wall_seconds_limit=limit["wall_seconds"],
        wall_seconds=round(seconds, 3),
        peak_rss_mb_limit=limit["peak_rss_mb"],
        peak_rss_mb=round(peak, 1),
        trials=len(trials),
        complete=manifest.search_complete,
        over=tuple(over),
    )


def _outcomes(hypothesis: "Hypothesis | None", evidence: "Evidence | None") -> list[Outcome]:
    found = []
    for one in hypothesis.success if hypothesis else ():
        result = evidence.result(one.gate) if evidence else None
        verdict = result.verdict if result else Verdict.INCONCLUSIVE
        found.append(Outcome(criterion=one, measured=result.statistic if result else None, verdict=verdict))
    return found


def _metrics(evidence: "Evidence | None") -> dict[str, float]:
    if evidence is None:
        return {}
    loss = evidence.validated_loss
    named = [("validated_loss/value", loss.value), ("validated_loss/mean", loss.mean)] if loss else []
    statistics = [(f"results/{at}/statistic", one.statistic) for at, one in enumerate(evidence.results)]
    return {f"/{place}": value for place, value in (*named, *statistics) if value is not None}


def _failed(evidence: "Evidence | None") -> tuple[str, ...]:
    return tuple(one.gate for one in evidence.results if one.verdict is not Verdict.PASS) if evidence else ()


def _version_of(stores: "Stores", model: str, digest: str | None) -> int | None:
    return next((one.version for _, one in protocols(stores, model) if one.digest == digest), None)


def _others(
    stores: "Stores", model: str, own: str | None, end: "Entry", under: Callable[[], Sequence[Recorded]]
) -> tuple[str, ...]:
    """Return how many runs began before this one ended under another protocol, with what differs."""
    known = {one.digest: one for _, one in protocols(stores, model)}
    if set(known) == {own}:
        return ()  # nothing runs under a protocol that is not on record (`agreed.check_agreed`)
    began = Counter(str(one.document["protocol"]) for one in under() if one.entry.seq < end.seq)
    told = []
    for digest, count in sorted(began.items(), key=lambda pair: known[pair[0]].version if pair[0] in known else 0):
        if digest == own:
            continue
        there = digest in known and own in known
        moved = ", ".join(differing(known[digest].content, known[own].content)) if there and own else "not on record"
        name = f"protocol {known[digest].version}" if digest in known else f"protocol {digest[:12]}"
        told.append(f"{count} experiments under {name}: {moved}"[:500])
    return tuple(told)
