"""Guardrails in a canary: held against its control, or the whole service held against itself a period before.

Simulated customers with refunds; seasons move everybody's. The canary multiplies the refunds of those whom it serves.
Losses are in order throughout, so that the guardrail alone decides. Values by arm, their comparison and what follows
from a look are the project's own (`release.arms`, `release.guardrails`, `release.look`).
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from rich.progress import Progress

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.release.arms import Arm, Told, arms_of
from retrain_pipeline.release.guardrails import beyond, compared
from retrain_pipeline.release.look import Look, next_step
from retrain_pipeline.release.router import CANARY, Route, Routing, Share
from retrain_pipeline.spec.rollout import Guardrail, Rollout
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.bench.tables import markdown_table, write_page

LIVES, CUSTOMERS, ACTIVE = 200, 4_000, 0.5
RATE, BOUND = 0.03, Guardrail(at_most=0.04)
SEASON, CARRIED = 0.2, 0.6
"""Of the service's refunds from week to week: standard deviation of their logarithm, and its autocorrelation."""
EFFECTS = (0.0, 0.5, 1.0, 3.0)
"""By how much more of those whom the canary serves are refunded."""
ALPHA = 0.05
ROLLOUT = Rollout(canary_shares=(0.05, 0.25), canary_periods=2, guardrails={"refunds": BOUND})
PERIODS = ROLLOUT.longest(0) + 2
PASSED = tuple(
    GateResult(gate=gate, verdict=Verdict.PASS, words="in order")
    for gate in ("serves", "proof", "terms", "drill", "online_loss", "sample_ratio", "exposure")
)


@dataclass(frozen=True)
class Kept(Routing):
    """A routing that remembers where it put each entity."""

    known: dict[tuple, Route] = field(default_factory=dict)

    def route(self, entity):
        return self.known.get(entity) or self.known.setdefault(entity, super().route(entity))


@dataclass(frozen=True)
class World:
    """Customers, and the weeks of a life: who came, and a draw and a rate of each, shape (PERIODS + 1, CUSTOMERS)."""

    came: np.ndarray
    draw: np.ndarray
    rate: np.ndarray
    routings: dict[float, Kept]
    """By share of the canary."""

    def served(self, share: float, week: int) -> np.ndarray:
        """Return of those who came in a week who was in the canary."""
        routing = self.routings[share]
        return np.array([routing.route((int(one),)).arm == CANARY for one in np.flatnonzero(self.came[week])])


def make_world(seed: int) -> World:
    """Return a life; week 0 is that before the trial."""
    rng, weeks = np.random.default_rng(seed), PERIODS + 1
    season, shocks = np.zeros(weeks), rng.normal(0, SEASON * (1 - CARRIED**2) ** 0.5, weeks)
    season[0] = rng.normal(0, SEASON)
    for week in range(1, weeks):
        season[week] = CARRIED * season[week - 1] + shocks[week]
    own = rng.beta(1, 1 / RATE - 1, CUSTOMERS)  # some are refunded often, most never
    shape = (weeks, CUSTOMERS)
    routings = {share: Kept("v1", Share("v2", share, f"life {seed}")) for share in ROLLOUT.canary_shares}
    return World(rng.random(shape) < ACTIVE, rng.random(shape), np.exp(season)[:, None] * own, routings)


@dataclass(frozen=True)
class Stage:
    """A stage of a life: its share, and the week that it began in."""

    world: World
    effect: float
    share: float
    since: int

    def refunds(self, week: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the customers who came in a week, and whether each was refunded."""
        came = np.flatnonzero(self.world.came[week])
        rate = self.world.rate[week, came]
        if week:
            rate = rate * (1 + self.effect * self.world.served(self.share, week))
        return came, (self.world.draw[week, came] < rate).astype(float)

    def arms(self, week: int) -> tuple[Arm, Arm]:
        """Return the refunds of canary and control from the stage's beginning to the end of a week."""
        told = [self.refunds(one) for one in range(self.since, week + 1)]
        who, value = (np.concatenate(parts) for parts in zip(*told, strict=True))
        rows = pd.DataFrame({"entity": [(int(one),) for one in who], "value": value})
        return arms_of(Told(rows, "mean", len(told), 168), self.world.routings[self.share])


def whole(stage: Stage, week: int) -> GateResult:
    """The whole service against the week before the stage, as it is where a signal names no entity."""
    now, then = (float(stage.refunds(one)[1].mean()) for one in (week, stage.since - 1))
    excess = beyond(BOUND, now)
    broken = Verdict.INCONCLUSIVE if beyond(BOUND, then) > 0 else Verdict.FAIL
    verdict = Verdict.PASS if excess <= 0 else broken
    return GateResult(gate="guardrail:refunds", verdict=verdict, statistic=excess, threshold=0.0, words="whole")


def by_arm(stage: Stage, week: int) -> GateResult:
    """The canary against its control, as it is where a signal names its entity."""
    return compared("refunds", BOUND, *stage.arms(week), ALPHA / ROLLOUT.longest(0))


def arm_alone(stage: Stage, week: int) -> GateResult:
    """Back when the canary's own value is beyond the bound: a threshold on the arm."""
    excess = beyond(BOUND, stage.arms(week)[0].value)
    verdict = Verdict.PASS if excess <= 0 else Verdict.FAIL
    return GateResult(gate="guardrail:refunds", verdict=verdict, statistic=excess, threshold=0.0, words="arm")


def t_each_week(stage: Stage, week: int) -> GateResult:
    """Back when the canary is worse than its control by a test at 5 % each week, whatever the bound."""
    canary, control = stage.arms(week)
    error = np.hypot(canary.se, control.se)
    z = (canary.value - control.value) / error if error else 0.0
    verdict = Verdict.FAIL if z > 1.645 else Verdict.PASS
    return GateResult(gate="guardrail:refunds", verdict=verdict, words=f"z {z:.2f}")


Rule = Callable[[Stage, int], GateResult]
RULES: dict[str, Rule] = {
    "the canary's value beyond the bound": arm_alone,
    "canary against control, 5 % each week, no bound": t_each_week,
    "**ours, signal without entity: the whole service, before and after**": whole,
    "**ours, signal with entity: canary against control**": by_arm,
}


@dataclass(frozen=True)
class Course:
    """What came of a trial: the move that ended it, its weeks, and customers that the canary served, each week's."""

    move: str
    weeks: int
    served: int


def play(world: World, effect: float, rule: Rule) -> Course:
    """Play a trial by the project's state machine until it is promoted or goes back."""
    share, since, served = ROLLOUT.canary_shares[0], 1, 0
    for week in range(1, PERIODS):
        stage = Stage(world, effect, share, since)
        served += int(world.served(share, week).sum())
        look = Look(
            model="m", version="v2", reference="v1", evidence="0" * 64, epoch=1, stage="canary", share=share,
            period=str(week), as_of="", periods_in_stage=week - since + 1, periods_on_trial=week,
            longest=ROLLOUT.longest(0), rollout=ROLLOUT, results=(*PASSED, rule(stage, week)),
        )  # fmt: skip
        step = next_step(look)
        if step.move in ("promote", "withdraw"):
            return Course(step.move, week, served)
        if step.move == "advance":
            share, since = step.share, week + 1
    raise AssertionError("a hold has an end")


def table(courses: dict[str, list[Course]]) -> str:
    """Return the table of an effect, a rule a line."""
    rows = []
    for name, made in courses.items():
        back = [one.weeks for one in made if one.move == "withdraw"]
        rows.append(
            [
                name,
                f"{len(back) / len(made):.1%}",
                f"{np.median(back):.0f}; {np.quantile(back, 0.95):.0f}" if back else "—",
                f"{np.mean([one.served for one in made]):,.0f}",
            ]
        )
    header = ["rule", "goes back", "after weeks (median; 95 %)", "customers served by it while on trial, times weeks"]
    return markdown_table(header, rows)


def main() -> None:
    """Play every rule on the same lives and write the page."""
    words = (
        f"{LIVES} lives a table, the same for every rule: {CUSTOMERS:,} customers, of whom {ACTIVE:.0%} come in a "
        f"week, {RATE:.0%} of these refunded, unequally; the bound is {BOUND.at_most:.0%}. Seasons move everybody's "
        f"refunds (sd of the logarithm {SEASON:g}, autocorrelation {CARRIED:g}), so that the service is beyond its "
        "bound in some weeks whoever serves. Canaries of 5 and 25 %, two weeks each; nothing else is wrong with the "
        f"model. Where it harms nobody, going back is a false alarm: {ALPHA:.0%} is declared of being *shown* worse, "
        "and what is held to the end goes back, too."
    )
    parts = []
    with Progress(disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task("canaries", total=len(EFFECTS) * LIVES)
        for effect in EFFECTS:
            courses: dict[str, list[Course]] = {name: [] for name in RULES}
            for seed in range(LIVES):
                world = make_world(seed)
                for name, rule in RULES.items():
                    courses[name].append(play(world, effect, rule))
                progress.advance(task)
            title = f"Refunds of its customers {effect:+.0%}" if effect else "It harms nobody"
            parts.append(f"## {title}\n\n{table(courses)}")
    title = "Guardrails in a canary: against the control, or before and after"
    print(write_page("canary_signals", title, [words, *parts]).read_text())


if __name__ == "__main__":
    main()
