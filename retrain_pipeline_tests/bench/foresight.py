"""Where a retraining policy loses, and how much of that could have been foreseen: plans that know more than is known.

The sets, ways of training and delays are those of `bench.triggers`, and so are the losses, in data/bench. Needs the
folder of real sets (RETRAIN_SHARED_DATA).
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise

import numpy as np
from rich.progress import Progress

from retrain_pipeline.replay.compare import PERIODS, Frontier, frontier
from retrain_pipeline.replay.episode import Episode, play_policy
from retrain_pipeline.replay.history import delayed
from retrain_pipeline.replay.matrix import LossMatrix
from retrain_pipeline.replay.oracle import Hindsight, best_at_cost
from retrain_pipeline.triggers.course import Course, Opinion, Policy
from retrain_pipeline.triggers.policies import Adaptive, CumulativeExcess, ErrorThreshold, Periodic, present_rate
from retrain_pipeline_tests.bench.forecasts import Forecast, expected, foreseen_share, halves
from retrain_pipeline_tests.bench.peers import Recorded
from retrain_pipeline_tests.bench.tables import markdown_table, write_page
from retrain_pipeline_tests.bench.triggers import COSTS, DELAYS, SETS, matrix_of

LIMITS = (0.0, 0.1, 0.15, *np.geomspace(0.2, 6, 22))
"""Thresholds, in costs of a retrain."""
CRON = (*range(1, 21), 24, 26, 30, 40)
PEERS: tuple[Policy, ...] = (
    *map(Periodic, PERIODS),
    *(kind(x) for kind, xs in ((CumulativeExcess, (0.05, 0.2)), (ErrorThreshold, (0.1, 0.25))) for x in xs),
)
"""The peers among which the best single one is found on `triggers.md` too, in all four settings."""
Seen = Callable[[Course], float]


@dataclass(frozen=True, eq=False)
class Case:
    """One set, one way of training, one delay of labels."""

    name: str
    matrix: LossMatrix
    warm_up: int
    reached: Frontier

    @cache  # noqa: B019 - twenty cases, which live as long as the program
    def best(self, cost: float) -> Hindsight:
        return best_at_cost(self.matrix, self.reached.cron[0].start, cost)

    def play(self, policy: Policy) -> Episode:
        return play_policy(self.matrix, policy, self.warm_up)

    def regret(self, episode: Episode, cost: float) -> float:
        return episode.mean_cost(cost) - self.best(cost).mean_cost


@dataclass(frozen=True)
class Threshold:
    """Asks once what is seen of the saving reaches a limit, which may be another one at each batch."""

    seen: Seen
    limit: Callable[[int], float]
    name: str = "threshold"

    def look(self, course: Course) -> Opinion:
        return Opinion(self.seen(course) >= self.limit(batch_of(course)), ())


def batch_of(course: Course) -> int:
    """Return the batch that is about to be served."""
    return course.first + len(course.champion) + course.lag


def coming(matrix: LossMatrix, course: Course) -> float:
    """Return what a retrain now saves in the batch about to be served: nobody knows that."""
    t = batch_of(course)
    return float(matrix.mean[course.first, t] - matrix.mean[matrix.history.known[t], t])


Knower = Callable[[Case, float], list[Episode]]
Rule = Callable[[Case, float], tuple[Seen, Sequence[float]]]
"""What is seen, and the limits that it is held against."""


def adaptive(case: Case, cost: float) -> list[Episode]:
    return [case.play(Adaptive(cost))]


def tried(case: Case, seen: Seen, limits: Sequence[float]) -> list[Episode]:
    return [case.play(Threshold(seen, lambda _, x=limit: x)) for limit in limits]


def best_limit(rule: Rule, case: Case, cost: float) -> list[Episode]:
    return [min(tried(case, *rule(case, cost)), key=lambda one: one.mean_cost(cost))]


def other_half_limit(rule: Rule, case: Case, cost: float) -> list[Episode]:
    """Return the rule whose limit in each half of the batches was the best one in the other half."""
    seen, limits = rule(case, cost)
    found = tried(case, seen, limits)
    start, end = found[0].start, case.matrix.history.batches
    middle = (start + end) // 2

    def best_in(low: int, high: int) -> float:
        spent = [
            one.losses[low - start : high - start].sum() + cost * sum(low <= t < high for t in one.retrains)
            for one in found
        ]
        return limits[int(np.argmin(spent))]

    early, late = best_in(start, middle), best_in(middle, end)
    return [case.play(Threshold(seen, lambda t: late if t < middle else early))]


def planned(knows: Callable[[LossMatrix], LossMatrix], case: Case, cost: float) -> list[Episode]:
    """Return the best plan for losses that are not quite those to come, on those to come."""
    plan = best_at_cost(knows(case.matrix), case.reached.cron[0].start, cost)
    return [case.play(Recorded("plan", list(plan.retrains)))]


def half_coming(case: Case, cost: float) -> list[Episode]:
    """Return who sees half of the coming batch's rows, with their labels, and is scored on the other half."""
    return [
        play_policy(other, Threshold(partial(coming, known), lambda _: cost), case.warm_up)
        for known, other in _both_ways(case.matrix)
    ]


def half_planned(case: Case, cost: float) -> list[Episode]:
    """Return the plan of hindsight for one half of every batch's rows, on the other half."""
    start, found = case.reached.cron[0].start, []
    for known, other in _both_ways(case.matrix):
        plan = Recorded("plan", list(best_at_cost(known, start, cost).retrains))
        found.append(play_policy(other, plan, case.warm_up))
    return found


def _both_ways(matrix: LossMatrix) -> list[tuple[LossMatrix, LossMatrix]]:
    one, other = halves(matrix)
    return [(one, other), (other, one)]


def exactly_coming(case: Case, cost: float) -> list[Episode]:
    return [case.play(Threshold(partial(coming, case.matrix), lambda _: cost))]


def cron_job(case: Case, cost: float) -> tuple[Seen, Sequence[float]]:
    return (lambda course: course.age), CRON


def newest_excess(case: Case, cost: float) -> tuple[Seen, Sequence[float]]:
    return (lambda course: present_rate(course.excess)), [cost * limit for limit in LIMITS]


def regression(case: Case, cost: float, other_blocks: bool) -> tuple[Seen, Sequence[float]]:
    forecast = Forecast(case.matrix, case.reached.cron[0].start, other_blocks)
    return forecast.saving, [cost * limit for limit in LIMITS]


KNOWERS: dict[str, Knower] = {
    "`adaptive`": adaptive,
    "the best of 24 cron jobs for each case": partial(best_limit, cron_job),
    "the same, the interval chosen on the other half of the batches": partial(other_half_limit, cron_job),
    "newest excess above a limit, the best for each case": partial(best_limit, newest_excess),
    "the same, the limit chosen on the other half of the batches": partial(other_half_limit, newest_excess),
    "regression on age and excess, and its limit, fitted to the case itself": partial(
        best_limit, partial(regression, other_blocks=False)
    ),
    "the same, each forecast by coefficients from other batches": partial(
        best_limit, partial(regression, other_blocks=True)
    ),
    "the best plan for the excess to be expected, ± 8 batches about": partial(planned, partial(expected, batches=8)),
    "± 4 batches about": partial(planned, partial(expected, batches=4)),
    "sees half of the coming batch's rows with labels": half_coming,
    "plan of hindsight for the other half of the rows": half_planned,
    "sees all of the coming batch": exactly_coming,
}


def lost(case: Case, policy: Policy, cost: float) -> tuple[float, float, float]:
    """Return the regret of a policy by what it did between two retrains of the best plan; the three add up to it.

    From such a retrain on: later than the plan (until the first retrain, or without any until the plan's next one:
    missed), and retrains beyond the first, from each on with its cost.
    """
    episode, plan = case.play(policy), case.best(cost)
    more = episode.losses - case.play(Recorded("plan", list(plan.retrains))).losses
    ends = [episode.start, *plan.retrains, case.matrix.history.batches]
    extra = late = missed = 0.0
    for number, (low, high) in enumerate(pairwise(ends)):
        within = [t for t in episode.retrains if low <= t < high]
        between = more[low - episode.start : high - episode.start]
        if number and not within:
            missed += between.sum() - cost
            continue
        beyond = within[1:] if number else within
        turn = (beyond[0] if beyond else high) - low
        late += between[:turn].sum()
        extra += between[turn:].sum() + cost * len(beyond)
    return extra / len(more), late / len(more), missed / len(more)


def cases_of(delay: int, progress: Progress) -> list[Case]:
    found = []
    for name, one in SETS.items():
        for windowed in (True, False):
            matrix = matrix_of(name, windowed, progress)
            known = delayed(matrix.history.batches, delay)
            late = LossMatrix(replace(matrix.history, known=known), matrix.rows, matrix.fit_seconds)
            found.append(Case(name, late, one.warm_up, frontier(late, one.warm_up)))
    return found


def lost_rows(cases: dict[int, list[Case]], cost: float) -> list[list[str]]:
    rows = []
    for delay, group in cases.items():
        for policy in (Adaptive(cost), Periodic(2), Periodic(4)):
            parts = np.mean([lost(case, policy, cost) for case in group], axis=0)
            name = policy.name.split(":")[0] if isinstance(policy, Adaptive) else policy.name
            rows.append([str(delay), f"`{name}`", *(f"{part:.4f}" for part in (*parts, parts.sum()))])
    return rows


def known_rows(cases: dict[int, list[Case]], cost: float) -> list[list[str]]:
    peers = {delay: best_peer(group, cost) for delay, group in cases.items()}
    rows = []
    for words, knower in KNOWERS.items():
        cells = [words]
        for delay, group in cases.items():
            played = [(case, knower(case, cost)) for case in group]
            regret = statistics.mean(case.regret(one, cost) for case, ones in played for one in ones)
            gains = [statistics.mean(map(case.reached.gain, ones)) for case, ones in played]
            cells += [f"{regret:.4f}", f"{regret / peers[delay]:.2f} ×", f"{statistics.median(gains):+.3f}"]
        rows.append(cells)
    return rows


def best_peer(group: Sequence[Case], cost: float) -> float:
    """Return the least mean regret of a single peer."""
    return min(statistics.mean(case.regret(case.play(peer), cost) for case in group) for peer in PEERS)


def share_rows(cases: dict[int, list[Case]]) -> list[list[str]]:
    rows = []
    for name in SETS:
        cells = [name]
        for group in cases.values():
            for other_blocks in (False, True):
                both = [
                    foreseen_share(Forecast(case.matrix, case.reached.cron[0].start, other_blocks))
                    for case in group
                    if case.name == name
                ]
                cells.append(f"{statistics.mean(both):.2f}")
        rows.append(cells)
    return rows


def main() -> None:
    """Measure and write the page."""
    with Progress() as progress:
        cases = {delay: cases_of(delay, progress) for delay in DELAYS}

    def each(*columns: str) -> list[str]:
        return [f"D = {delay}: {column}" for delay in DELAYS for column in columns]

    parts = [INTRODUCTION]
    for cost in COSTS:
        table = markdown_table(["who decides", *each("regret", "of the peer's", "gain")], known_rows(cases, cost))
        parts.append(f"## What knowing is worth, a retrain costs {cost}\n\n{table}")
        table = markdown_table(["D", "policy", *PARTS, "regret"], lost_rows(cases, cost))
        parts.append(f"## Where regret comes from, a retrain costs {cost}\n\n{table}")
    table = markdown_table(["set", *each("fitted to it", "from other batches")], share_rows(cases))
    parts.append(f"## How much of the coming saving can be foreseen\n\n{SHARES}\n\n{table}")
    print(write_page("foresight", "When to retrain: what could be foreseen", parts).read_text())


PARTS = ("retrains that hindsight does not make", "late", "missed")
INTRODUCTION = (
    "The sets, models, costs and delays of [triggers.md](triggers.md), and its regret (mean loss plus cost above the "
    "best plan of hindsight, mean over 10 sets; as a multiple of the best single peer's) and gain (median). Whoever "
    "knows more than a policy can is scored like one. Those that see one half of a batch's rows (every second of eight "
    "stretches) are scored on the other half, so that they cannot profit from its noise. Those that see the coming "
    "batch retrain when it alone pays: little help where a retrain is dear."
)
SHARES = (
    "Share of the variance of what a retrain saves in the next two batches that a linear regression on the champion's "
    "age and newest known excess (of the last batch, the last two, the last four) explains: fitted to the same set, "
    "and to batches at least 12 away from those forecast. Below 0 it is worse than the mean."
)


if __name__ == "__main__":
    main()
