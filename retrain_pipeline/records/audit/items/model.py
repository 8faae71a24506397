"""The items about how the model is made."""

from collections.abc import Sequence
from statistics import StatisticsError, correlation

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.records.audit.examined import Answer, Examined, link
from retrain_pipeline.verdicts import Verdict

MIN_PAIRS = 5
"""Retrains with an offline difference and a later score, below which a correlation says nothing."""


def m1(seen: Examined) -> Answer:
    """Every specification is reviewed and checked in: a clean commit, and a person's approval or covering decisions."""
    made, entry = seen.manifest, seen.registered
    if made is None or entry is None or made.code.commit is None:
        return Answer(0, "the champion's code is in no commit; commit it, and retrain")
    if made.code.dirty:
        return Answer(0, f"the champion's code differs from commit {made.code.commit[:12]}; commit it, and retrain")
    where = link(f"made by commit {made.code.commit[:12]}, clean", entry, str(entry.payload["manifest"]))
    approved = seen.ledger.latest(seen.spec.name, "approved", seen.champion)
    if approved is not None:
        return Answer(1, f"a clean commit, approved by {approved.actor}", (where, link("approval", approved)))
    documented = seen.by_gate("documentation", would="declare gates.documentation or rollout.approval")
    if documented.score == 1:
        return Answer(1, f"a clean commit; {documented.words}", (where, *documented.links))
    accepted = [one.front.id for one in seen.decisions if one.front.status == "accepted"]
    if accepted:
        words = f"a clean commit and accepted decisions ({', '.join(accepted[:3])}); {documented.words}"
        return Answer(0.5, words[:500], (where,))
    return Answer(0, f"a clean commit, and no word of a person: {documented.words}")


def m2(seen: Examined) -> Answer:
    """The offline metric goes with online impact: rank correlation of judged differences with what retrains saved."""
    newest: dict[int, Entry] = {}
    for entry in seen.ledger.entries(model=seen.spec.name, action="retrain_scored"):
        newest[int(entry.payload["judged"])] = entry
    pairs = [(offline, one) for one in newest.values() if (offline := _offline(seen, one)) is not None]
    if len(pairs) < MIN_PAIRS:
        return Answer(0, f"{len(pairs)} retrains were judged and scored later; {MIN_PAIRS} can be compared")
    links = (link("newest score of a retrain", pairs[-1][1], str(pairs[-1][1].payload.get("evidence") or "") or None),)
    try:
        found = correlation(_ranks([one for one, _ in pairs]), _ranks([-one.payload["saved"] for _, one in pairs]))
    except StatisticsError:
        return Answer(0, f"{len(pairs)} retrains are all alike: nothing can be compared", links)
    words = f"rank correlation {found:.2f} of judged differences with later losses, over {len(pairs)} retrains"
    return Answer(1 if found > 0 else 0, words, links)


def m3(seen: Examined) -> Answer:
    """All hyper-parameters are tuned: the champion comes of a whole search that tried several settings of each."""
    made, entry = seen.manifest, seen.registered
    if made is None or entry is None:
        return Answer(0, "no champion is on record; release one")
    try:
        trials = seen.stores.artifacts.get_json(made.leaderboard)["trials"]
    except PermanentError as error:
        return Answer(0, f"the leaderboard cannot be read: {error}"[:500])
    settings = {str(sorted(one["params"].items())) for one in trials if one["candidate"] == made.candidate}
    where = link(f"leaderboard of {seen.champion}", entry, made.leaderboard)
    if len(settings) > 1 and made.search_complete:
        return Answer(1, f"{len(settings)} settings of {made.candidate} were tried", (where,))
    if len(trials) > 1:
        ended = "" if made.search_complete else ", and the search was cut short"
        words = f"{len(trials)} candidates were compared{ended}; declare training.candidates.{made.candidate}.search"
        return Answer(0.5, words, (where,))
    return Answer(0, f"one setting alone was tried; declare training.candidates.{made.candidate}.search")


def m4(seen: Examined) -> Answer:
    """The impact of staleness is known: replaced champions were scored beside their successors on later rows."""
    scored = [
        one
        for one in seen.ledger.entries(model=seen.spec.name, action="retrain_scored")
        if one.payload["verdict"] != Verdict.INCONCLUSIVE
    ]
    if not scored:
        return Answer(0, "no replaced champion was scored on later rows yet; it comes with mature labels")
    newest = scored[-1]
    where = link(
        f"{newest.payload['version']} beside {newest.payload['against']}", newest, newest.payload.get("evidence")
    )
    return Answer(1, f"{len(scored)} scores; the newest: {newest.payload['words']}"[:500], (where,))


def m5(seen: Examined) -> Answer:
    """A simpler model is not better: gate `baseline`, against a dummy and a linear model of the same training."""
    return seen.by_gate("baseline", would="judge a candidate")


def m6(seen: Examined) -> Answer:
    """Quality is sufficient on all important slices: gate `slices`, on declared ones."""
    if not seen.spec.gates.slices:
        return Answer(0, "no slice is declared (gates.slices)")
    return seen.by_gate("slices", would="bring enough rows of each slice")


def m7(seen: Examined) -> Answer:
    """It is tested for considerations of inclusion: gate `groups`, the gap between declared groups does not grow."""
    return seen.by_gate("groups", would="declare gates.groups")


def _offline(seen: Examined, scored: Entry) -> float | None:
    """Return the judged difference of row loss of a scored retrain (below 0: better), the middle of its interval."""
    judged = seen.ledger.entries(
        model=seen.spec.name, action="judged", subject=str(scored.payload["version"]), newest_first=True
    )
    before = [one for one in judged if one.seq < int(scored.payload["judged"])]
    if not before or scored.payload.get("saved") is None:
        return None
    try:
        quality = read_evidence(seen.stores.artifacts, str(before[0].payload["evidence"])).result("quality")
    except PermanentError:
        return None
    low, high = quality.interval if quality is not None and quality.interval else (None, None)
    return None if low is None or high is None else (low + high) / 2


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, ties at their middle."""
    order = sorted(values)
    return [(2 * order.index(one) + order.count(one) - 1) / 2 for one in values]
