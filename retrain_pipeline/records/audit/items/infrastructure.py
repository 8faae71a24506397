"""The items about the infrastructure."""

from retrain_pipeline.gates.replay import contradictions
from retrain_pipeline.records.audit.examined import Answer, Examined, link, of_record
from retrain_pipeline.records.audit.items.testing import by_tests
from retrain_pipeline.verdicts import Verdict


def i1(seen: Examined) -> Answer:
    """Training is reproducible: gate `reproducible`, a refit of the champion that came out the same."""
    return seen.by_gate("reproducible", would="declare gates.refits of 1 or more")


def i2(seen: Examined) -> Answer:
    """The code of model specifications is unit-tested, on the champion's commit."""
    return by_tests(seen, "", "tests of units", without="e2e")


def i3(seen: Examined) -> Answer:
    """The full pipeline is integration-tested, on the champion's commit."""
    return by_tests(seen, "e2e", "end-to-end tests")


def i4(seen: Examined) -> Answer:
    """Quality is validated before serving: a PASS before the release, which follows from its evidence judged again."""
    if seen.judged is None or seen.evidence is None:
        return Answer(0, "no judgement of the champion is on record; judge and release one")
    if wrong := contradictions(seen.then, seen.judged, seen.evidence):
        return Answer(0, f"the judgement does not follow from its record: {'; '.join(wrong)}"[:500])
    words = f"judged {seen.evidence.verdict} on {seen.evidence.evaluation.rows} rows before its release, and again now"
    return Answer(
        1 if seen.evidence.verdict is Verdict.PASS else 0.5,
        words,
        (link("judgement", seen.judged, str(seen.judged.payload["evidence"])),),
    )


def i5(seen: Examined) -> Answer:
    """The model can be debugged step by step on one example: decision paths of rows on record."""
    for one in reversed(seen.records("insight", seen.champion)):
        paths = (one.document.get("measured") or {}).get("paths") or []
        if paths:
            words = f"{len(paths)} rows of {seen.champion} are followed from the mean answer to theirs"
            return Answer(1, words, (of_record("decision paths", one),))
    return Answer(0, "no row of the champion was followed step by step; measure it (report.insight)")


def i6(seen: Examined) -> Answer:
    """Models are canaried before they serve: the champion served a share on trial, and was looked at."""
    looks = seen.ledger.entries(model=seen.spec.name, action="rollout_looked", subject=seen.champion)
    if not seen.champion or not looks:
        return Answer(0, "the champion was never on trial; declare rollout.canary_shares")
    canaries = [one for one in looks if one.payload.get("share")]
    newest = (canaries or looks)[-1]
    where = link(f"look at {seen.champion} in {newest.payload['stage']}", newest, newest.payload.get("look"))
    if canaries:
        return Answer(1, f"{len(canaries)} looks at a share of {newest.payload['share']:.0%}", (where,))
    return Answer(0.5, f"{len(looks)} looks in shadow, and no canary; declare rollout.canary_shares", (where,))


def i7(seen: Examined) -> Answer:
    """Serving models can be rolled back: the newest drill succeeded."""
    drilled = seen.ledger.latest(seen.spec.name, ("drilled", "drill_failed"))
    if drilled is not None:
        passed = drilled.payload["verdict"] == Verdict.PASS
        words = str(drilled.payload["words"])[:400]
        return Answer(1, words, (link("drill", drilled),)) if passed else Answer(0, f"the newest drill: {words}")
    back = seen.newest("rolled_back")
    if back is not None:
        words = f"it was rolled back to {back.subject}, and never rehearsed: retrain drill {seen.spec.name}"
        return Answer(0.5, words, (link("rollback", back),))
    return Answer(0, f"the way back was never gone: retrain drill {seen.spec.name}")
