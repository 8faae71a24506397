"""The items about monitoring."""

from datetime import datetime

from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.records.audit.examined import Answer, Examined, link
from retrain_pipeline.verdicts import Verdict

NOTIFIED = frozenset({"contract_failed", "data_doubted", "run_failed"})
"""Entries about what the model depends on, of which an alert tells."""


def o1(seen: Examined) -> Answer:
    """Changes of what it depends on lead to a notification: an alert on record that tells of one."""
    by_seq = {one.seq: one for one in seen.entries}
    for alert in reversed(seen.ledger.entries(model=seen.spec.name, action="alerted")):
        cause = by_seq.get(alert.payload.get("of_seq") or -1)
        if cause is not None and cause.action in NOTIFIED:
            words = f"entry {cause.seq} ({cause.action}) was told: {alert.payload.get('words', '')}"
            return Answer(1, words[:500], (link("alert", alert), link(cause.action, cause)))
    looked = seen.newest("monitored")
    if looked is not None:
        words = "every period is looked at, and nothing has changed upstream so far that an alert was of"
        return Answer(0.5, words, (link(f"period {looked.payload['period']}", looked, looked.payload.get("report")),))
    return Answer(0, "no period was monitored; run the data side")


def o2(seen: Examined) -> Answer:
    """Data invariants hold in training and serving inputs: gate `contract`, and the newest judged drift."""
    trained = seen.by_gate("contract", would="judge a candidate")
    served = _newest(seen, "drift")
    if served is None or trained.score < 1:
        lacking = "no period's inputs were judged yet" if trained.score else trained.words
        return Answer(trained.score / 2, lacking, trained.links if trained.score else ())
    return _told(served, "drift", "inputs", trained)


def o3(seen: Examined) -> Answer:
    """Training and serving features are the same values: the feature code was run again on frozen rows."""
    made, entry = seen.manifest, seen.registered
    if made is None or entry is None:
        return Answer(0, "no champion is on record; release one")
    if not made.feature_agreement.startswith("PASS"):
        return Answer(0, f"{made.feature_agreement}; compute the features again, and retrain"[:500])
    return Answer(1, made.feature_agreement, (link("manifest", entry, str(entry.payload["manifest"])),))


def o4(seen: Examined) -> Answer:
    """Models are not too stale: the champion's age at the newest monitored period, against trigger.max_age_periods."""
    looked, row = seen.newest("monitored"), seen.ledger.deployment(seen.spec.name)
    if looked is None or row is None:
        return Answer(0, "no champion was monitored yet; run the data side")
    start, now = (
        datetime.fromisoformat(one) for one in (row.state["effective_as_of"], looked.payload["as_of"])
    )  # fmt: skip
    age, limit = seen.spec.data.time.calendar().periods_since(start, now), seen.spec.trigger.max_age_periods
    words = f"{age} periods old, trigger.max_age_periods is {limit}"
    return Answer(1 if age <= limit else 0, words, (link(f"period {looked.payload['period']}", looked),))


def o5(seen: Examined) -> Answer:
    """The model is numerically stable: gate `robustness`, with missing and noisy inputs."""
    return seen.by_gate("robustness", would="judge a candidate")


def o6(seen: Examined) -> Answer:
    """No regression in speed, latency or memory: gates `latency` and `footprint`, in a fresh process."""
    both = seen.by_gate("latency", "footprint", would="declare gates.max_rss_mb")
    if both.score == 1:
        return both
    quick = seen.by_gate("latency", would="declare gates.latency_ms_p95")
    return Answer(quick.score / 2, both.words, quick.links)


def o7(seen: Examined) -> Answer:
    """Prediction quality on served data does not regress: the newest period whose labels were enough to judge."""
    found = _newest(seen, "performance")
    if found is None:
        return Answer(0, "no period's labels were enough to judge the loss; it comes with mature labels")
    return _told(found, "performance", "loss")


def _newest(seen: Examined, part: str) -> Entry | None:
    """Return the newest monitored period of which a part was judged at all."""
    for one in seen.ledger.entries(model=seen.spec.name, action="monitored", newest_first=True):
        if (one.payload.get(part) or {}).get("verdict") in (Verdict.PASS, Verdict.FAIL):
            return one
    return None


def _told(entry: Entry, part: str, what: str, also: Answer | None = None) -> Answer:
    found = entry.payload[part]
    words = f"period {entry.payload['period']}: {found['words']}"[:500]
    where = link(f"{what} of period {entry.payload['period']}", entry, entry.payload.get("report"))
    links = (*(also.links if also else ()), where)
    return Answer(1, words, links) if found["verdict"] == Verdict.PASS else Answer(0, words)
