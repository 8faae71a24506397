"""What a run teaches, said by machine: what would have changed its end, or what to do about what stopped it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrain_pipeline.gates.evidence import Evidence

_OF_CAUSE = {
    "oom": "It needs more memory than there is: fewer rows (training.window_periods), a smaller candidate, or more of "
    "training.budget.peak_rss_mb on a machine that has it",
    "killed": "Something killed the process: look at who did, before the same run is asked for again",
    "cancelled": "Somebody stopped it: nothing is known about the model that it would have made",
    "timeout": "It took longer than the orchestrator allows: a smaller search, or a longer limit",
    "refused": "It was refused before it could judge; the words say what to mend",
    "no_verdict": "Dagster saw it succeed, and no step of it gave a verdict: see which assets were selected",
    "died": "Nobody knows how it ended: look at the machine of that hour",
    "error": "An error that nothing foresaw: see the run's log for the trace",
}


def lesson(ended: str, payload: dict[str, Any], evidence: "Evidence | None") -> str:
    """Return the lesson of a run from how it ended, its last entry's payload and its evidence."""
    if ended == "retrain_failed":
        cause = str(payload.get("cause", "died"))
        return f"{_OF_CAUSE.get(cause, _OF_CAUSE['error'])}: {payload.get('reason', '')}"[:2000].rstrip(": ")
    if ended == "superseded":
        return "Somebody was faster: what it was judged against serves no more, so its verdict says nothing of now"
    if evidence is None:
        return "It was never judged, so it teaches nothing about the model"
    turns = "; ".join(f"{one.gate}: {one.words}" for one in evidence.turning)
    if not turns:
        return "No gate was near to another verdict"
    return (f"What would have changed the verdict: {turns}")[:4000]


def why_failed(ended: str, payload: dict[str, Any]) -> str | None:
    """Return why a run did not end well, in the words of its last entry; None where it did."""
    if ended in ("released", "staged", "awaiting_approval"):
        return None
    words = payload.get("reason") or payload.get("words") or ended
    return str(words)[:4000]
