"""A loop with gates played over the losses of its models, and the rules for who may serve.

A policy asks each period; a candidate is fitted without the newest `JUDGED` labelled batches, is judged on them by the
quality gate (`gates.quality`, at what `gates.budget` lets it spend), and serves from then on if it is let through. The
same candidates are judged by other rules.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd

from retrain_pipeline.gates.budget import level
from retrain_pipeline.gates.evidence import GateResult, Mode
from retrain_pipeline.gates.online import Trial, online_loss
from retrain_pipeline.gates.quality import Paired, all_of, quality
from retrain_pipeline.learning.paired import MeanInterval
from retrain_pipeline.replay.matrix import LossMatrix
from retrain_pipeline.spec.rollout import Rollout
from retrain_pipeline.triggers.course import Course, Policy
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.bench.window import BLOCKS_PER_BATCH

ALPHA, MARGIN, JUDGED = 0.05, 0.05, 2
LATER = 8
"""Batches over which a promotion is scored afterwards."""
ROLLOUT = Rollout(shadow_periods=1)


@dataclass(frozen=True)
class Judgement:
    """A candidate and the champion, by the batches before which they were fitted, and what judged before."""

    name: str
    matrix: LossMatrix
    champion: int
    candidate: int
    until: int
    """Batches before this one have labels: the newest `JUDGED` of them judge."""
    account: "Account"
    anchor: int
    """The model that was shown to be better last; the champion, where that is it."""
    kept: dict[Any, Any]
    """Comparisons that were made already: rules and policies ask the same of the same models again and again."""

    def losses(self, model: int, first: int, end: int) -> np.ndarray:
        """Return a model's row losses on batches."""
        return np.concatenate([self.matrix.of(model, k) for k in range(first, end)]).astype(float)

    def times(self, first: int, end: int) -> pd.Series:
        """Return times of the rows of batches, a batch a day."""
        rows = np.diff(self.matrix.history.starts)[first:end]
        inside = np.concatenate([first + at + np.arange(n) / n for at, n in enumerate(rows)])
        return pd.Series(pd.Timestamp("2000-01-01", tz="UTC") + pd.to_timedelta(inside, unit="D"))

    @property
    def block_hours(self) -> float:
        return 24 / BLOCKS_PER_BATCH[self.name]

    def paired(self, spent: float | None, margin: float = MARGIN, reference: int | None = None) -> Paired:
        """Return the comparison with the champion (or another) on the newest labelled batches, as the gates make it."""
        first, other = self.until - JUDGED, self.champion if reference is None else reference
        sides = [self.losses(model, first, self.until) for model in (self.candidate, other)]
        return Paired(
            *sides, self.times(first, self.until), self.matrix.history.metric, margin, ALPHA, self.block_hours,
            min_rows=100, seed=self.candidate, spent=spent,
        )  # fmt: skip

    def bounds(self) -> MeanInterval:
        """Return the bounds of the mean paired difference to the champion."""
        key = (self.candidate, self.champion, self.until)
        if key not in self.kept:
            self.kept[key] = self.paired(None).interval()
        return cast(MeanInterval, self.kept[key])

    def verdict(self, mode: Mode, spent: float, margin: float, reference: int) -> GateResult:
        """Return what the quality gate says."""
        key = (self.candidate, reference, self.until, mode, spent, margin)
        if key not in self.kept:
            self.kept[key] = quality(self.paired(spent, margin, reference), mode)
        return cast(GateResult, self.kept[key])


@dataclass
class Account:
    """Judgements of a life so far: the batch that each ended with, and whether it passed."""

    ends: list[int] = field(default_factory=list)
    passed: list[bool] = field(default_factory=list)

    def shared(self, until: int) -> list[int]:
        """Return the places of those that looked at batches of the judgement that ends with `until`."""
        return [at for at, end in enumerate(self.ends, 1) if abs(end - until) < JUDGED]

    def called(self, until: int) -> float:
        return ALPHA / 2 ** len(self.shared(until))

    def uncalled(self, until: int) -> float:
        places = [1, *(at + 1 for at, one in enumerate(self.passed, 1) if one)]
        return level(ALPHA, len(self.ends) + 2, places, [at + 1 for at in self.shared(until)])


Rule = Callable[[Judgement], Verdict]


def always(_: Judgement) -> Verdict:
    return Verdict.PASS


def never(_: Judgement) -> Verdict:
    return Verdict.FAIL


def new_or_better(one: Judgement) -> Verdict:
    made = one.paired(None)
    return Verdict.PASS if made.candidate.mean() <= made.reference.mean() else Verdict.FAIL


def by_gate(
    mode: Mode, charged: bool, margin: float = MARGIN, anchored: bool = True, unless_better: bool = False
) -> Rule:
    """Return the quality gate in a mode, charged to the error budget of retrains that nothing called for or not.

    `unless_better`: what is shown to be better than the champion is not held to the anchor.
    """

    def judged(one: Judgement) -> Verdict:
        spent = one.account.uncalled(one.until) if charged else one.account.called(one.until)
        held = one.verdict(mode, spent, margin, one.champion)
        if not anchored or one.anchor == one.champion or (unless_better and one.bounds().high < 0):
            return held.verdict
        return all_of(held, one.verdict("non_inferiority", spent, margin, one.anchor)).verdict

    return judged


def unless_worse(one: Judgement) -> Verdict:
    """Promote unless shown to be worse: "ship unless significant harm"."""
    return Verdict.PASS if one.bounds().low <= 0 else Verdict.FAIL


@dataclass
class Life:
    """What came of one loop. `harm`: of each promotion, the loss of the batches after it relative to the champion's."""

    losses: list[float] = field(default_factory=list)
    asked: int = 0
    harm: list[float] = field(default_factory=list)
    missed: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Loop:
    """A rule, and whether what it cannot tell goes on trial in the shadow of the champion."""

    rule: Rule
    trial: bool = False


LOOPS: dict[str, Loop] = {
    "no gates": Loop(always),
    "never retrained": Loop(never),
    "new ≥ old": Loop(new_or_better),
    "unless shown to be worse": Loop(unless_worse),
    "**within 5 %, α a call, held to the anchor: the product's where decay called**": Loop(
        by_gate("non_inferiority", False)
    ),
    "the same, and what it cannot tell goes to a shadow": Loop(by_gate("non_inferiority", False), True),
    "within 5 %, α a call, no anchor": Loop(by_gate("non_inferiority", False, anchored=False)),
    "within 3 %, α a call, held to the anchor": Loop(by_gate("non_inferiority", False, 0.03)),
    "within 1 %, α a call, no anchor": Loop(by_gate("non_inferiority", False, 0.01, anchored=False)),
    "**superiority, error budget: the product's where nothing called**": Loop(by_gate("superiority", True)),
    "superiority, and what it cannot tell goes to a shadow": Loop(by_gate("superiority", True), True),
}
UNLESS_BETTER = "within 5 %, α a call, held to the anchor unless shown to be better than the champion"
MORE_LOOPS = {**LOOPS, UNLESS_BETTER: Loop(by_gate("non_inferiority", False, unless_better=True))}


def live(
    name: str,
    matrix: LossMatrix,
    policy: Policy,
    loop: Loop,
    warm_up: int,
    kept: dict[Any, Any],
    truth: LossMatrix | None = None,
) -> Life:
    """Play one loop from the first batch on that a model can serve.

    Parameters
    ----------
    matrix
        Losses that the policy and the rule see.
    kept
        Comparisons between models of this matrix, which lives share.
    truth
        Losses that count, of the same models on the same rows; None: those that are seen.
    """
    known, mean, batches = matrix.history.known, (truth or matrix).mean, matrix.history.batches
    start = next(t for t in range(batches) if known[t] - JUDGED >= warm_up)
    champion, released, past = known[start] - JUDGED, start, list[tuple[float, ...]]()
    anchor = champion
    on_trial: tuple[int, int] | None = None
    life, account = Life(), Account()

    def course(t: int) -> Course:
        return _course(matrix, champion, released, t, tuple(past))

    def promote(candidate: int, t: int, shown: bool) -> None:
        nonlocal champion, released, anchor
        life.harm.append(_harm(mean, champion, candidate, t))
        past.append(course(t).excess)
        champion, released = candidate, t
        anchor = candidate if shown else anchor

    for t in range(start, batches):
        if on_trial is not None:
            candidate, since = on_trial
            verdict = _shadow(name, matrix, champion, candidate, since, known[t])
            if verdict is Verdict.PASS:
                promote(candidate, t, shown=False)
            if verdict is not Verdict.INCONCLUSIVE or t - since >= ROLLOUT.longest(t - known[t]):
                on_trial = None
        elif known[t] - JUDGED > champion and policy.look(course(t)).retrain:
            life.asked += 1
            candidate = known[t] - JUDGED
            judgement = Judgement(name, matrix, champion, candidate, known[t], account, anchor, kept)
            verdict = loop.rule(judgement)
            account.ends.append(known[t])
            account.passed.append(verdict is Verdict.PASS)
            if verdict is Verdict.PASS:
                promote(candidate, t, judgement.bounds().high < 0)
            else:
                life.missed.append(_harm(mean, champion, candidate, t))
                if loop.trial and verdict is Verdict.INCONCLUSIVE:
                    on_trial = candidate, t
        life.losses.append(float(mean[champion, t]))
    return life


def _harm(mean: np.ndarray, champion: int, candidate: int, t: int) -> float:
    return float(mean[candidate, t : t + LATER].mean() / mean[champion, t : t + LATER].mean() - 1)


def _shadow(name: str, matrix: LossMatrix, champion: int, candidate: int, since: int, until: int) -> Verdict:
    """Compare as the rollout does, on labelled batches since the trial began."""
    if until <= since:
        return Verdict.INCONCLUSIVE
    one = Judgement(name, matrix, champion, candidate, until, Account(), champion, {})
    blocks = BLOCKS_PER_BATCH[name]
    found = Trial(
        one.losses(candidate, since, until), one.losses(champion, since, until), one.times(since, until),
        matrix.history.metric, ROLLOUT.margin, ALPHA, one.block_hours, 100, ROLLOUT.longest(0) * blocks,
    )  # fmt: skip
    return online_loss(found, ("candidate", "champion")).verdict


def _course(matrix: LossMatrix, champion: int, released: int, t: int, past: tuple[tuple[float, ...], ...]) -> Course:
    """Return what monitoring knows of a champion fitted before batch `champion` (see `replay.episode.course_at`)."""
    until, mean = matrix.history.known[t], matrix.mean
    seen = range(champion, until)
    return Course(
        age=t - released,
        lag=t - until,
        first=champion,
        champion=tuple(float(mean[champion, k]) for k in seen),
        fresh=tuple(float(mean[k, k]) for k in seen),
        noise=tuple(matrix.noise(champion, k) for k in seen),
        past=past,
        validated=float(mean[champion - 1, champion - 1]),
    )
