"""The items about features and data."""

from datetime import datetime
from typing import Any

from retrain_pipeline.records.audit.examined import AUDITED, Answer, Examined, Link, link, of_record
from retrain_pipeline.records.audit.items.testing import by_tests
from retrain_pipeline.verdicts import Verdict


def d1(seen: Examined) -> Answer:
    """Expectations of features are captured in a schema: gate `contract`, on declared columns."""
    return seen.by_gate("contract", would="declare data.columns and judge a candidate")


def d2(seen: Examined) -> Answer:
    """All features are beneficial: an ablation of the champion in which no group does harm beyond noise."""
    found = _ablation(seen)
    if found is None:
        return Answer(0, "the champion's features were never left out by group; measure it (report.insight)")
    effects, where = found
    harmful = [one["name"] for one in effects if one.get("high") is not None and one["high"] < 0]
    if harmful:
        return Answer(0, f"it does better without {', '.join(harmful)}; leave that out", (where,))
    return Answer(1, f"{len(effects)} groups were left out, and none does harm beyond noise", (where,))


def d3(seen: Examined) -> Answer:
    """No feature's cost is too much: what each group is worth is known, and answers are quick with all of them."""
    quick, found = seen.by_gate("latency", would="declare gates.latency_ms_p95"), _ablation(seen)
    if quick.score < 1 or found is None:
        lacking = "no ablation says what each group is worth" if quick.score else quick.words
        return Answer(quick.score / 2, f"{lacking}; both together give it", quick.links if quick.score else ())
    return Answer(1, f"{quick.words}; each of {len(found[0])} groups is weighed", (*quick.links, found[1]))


def d4(seen: Examined) -> Answer:
    """Features adhere to what is required of all of them: none knows the label (gate `leakage`), rows are apart."""
    return seen.by_gate("leakage", "disjoint", would="judge a candidate")


def d5(seen: Examined) -> Answer:
    """The pipeline has privacy controls: this audit looked for personal data in texts and columns, and found none."""
    found = seen.personal
    if found is None or found.verdict is Verdict.INCONCLUSIVE:
        return Answer(0, "nobody looked for personal data; run an audit")
    if found.verdict is Verdict.FAIL:
        return Answer(0, f"personal data was found: {found.words}"[:500])
    newest = seen.entries[-1]
    what = f"{found.n} texts and columns up to entry {newest.seq}"
    return Answer(1, f"no e-mail address and no payment card in {what}", (
        Link(what=what, seq=newest.seq, action=AUDITED, at_utc=newest.at_utc),
    ))  # fmt: skip


def d6(seen: Examined) -> Answer:
    """New features can be added quickly: the time from the start of a retrain with new feature code to its release."""
    codes: set[str] = set()
    newest: Answer | None = None
    for entry in seen.ledger.entries(model=seen.spec.name, action="released"):
        code = str(entry.payload["deployment"]["state"]["feature_code"])
        run = entry.payload.get("retrain_run") or entry.run_id
        started = seen.ledger.entries(model=seen.spec.name, action="retrain_started", run_id=run) if run else []
        if codes and code not in codes and started:
            took = datetime.fromisoformat(entry.at_utc) - datetime.fromisoformat(started[0].at_utc)
            words = f"{entry.subject} with new features served {took.total_seconds() / 3600:.2f} hours after its start"
            newest = Answer(1, words, (link("retrain with new features", started[0]), link("its release", entry)))
        codes.add(code)
    return newest or Answer(0, "no release changed the feature code yet; the next that does is the timed example")


def d7(seen: Examined) -> Answer:
    """All input feature code is tested: tests about features passed on the commit that made the champion."""
    told = by_tests(seen, "feature", "tests about features")
    made = seen.manifest
    if told.score == 0 and made is not None and seen.registered and made.feature_agreement.startswith("PASS"):
        where = link("feature code run again on frozen rows", seen.registered, str(seen.registered.payload["manifest"]))
        return Answer(0.5, f"{made.feature_agreement}; and {told.words}"[:500], (where,))
    return told


def _ablation(seen: Examined) -> tuple[list[dict[str, Any]], Link] | None:
    for one in reversed(seen.records("insight", seen.champion)):
        effects = (one.document.get("measured") or {}).get("ablation") or []
        if effects:
            return effects, of_record(f"ablation of {seen.champion}", one)
    return None
