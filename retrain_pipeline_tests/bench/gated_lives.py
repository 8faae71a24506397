"""A loop with gates played over the losses of its models.

A policy asks each period; a candidate is fitted without the newest `JUDGED` labelled batches, is judged on them by the
quality gate (`gates.quality`, at what `gates.budget` lets it spend), and serves from then on if it is let through. The
same candidates are judged by other rules (`gated_rules.py`).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrain_pipeline.gates.online import Trial, online_loss
from retrain_pipeline.replay.matrix import LossMatrix
from retrain_pipeline.spec.rollout import Rollout
from retrain_pipeline.triggers.course import Course, Policy
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.bench.gated_rules import (
    ALPHA,
    JUDGED,
    Account,
    ByGate,
    Judgement,
    Rule,
    always,
    decided,
    never,
    new_or_better,
    unless_worse,
)
from retrain_pipeline_tests.bench.window import BLOCKS_PER_BATCH

LATER = 8
"""Batches over which a promotion is scored afterwards."""
ROLLOUT = Rollout(shadow_periods=1)


@dataclass
class Life:
    """What came of one loop. `harm`: of each promotion, the loss of the batches after it relative to the champion's."""

    losses: list[float] = field(default_factory=list)
    asked: int = 0
    harm: list[float] = field(default_factory=list)
    missed: list[float] = field(default_factory=list)
    returns: int = 0
    """How often the champion gave way to the anchor."""


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
        ByGate("non_inferiority", False)
    ),
    "the same, and what it cannot tell goes to a shadow": Loop(ByGate("non_inferiority", False), True),
    "within 5 %, α a call, no anchor": Loop(ByGate("non_inferiority", False, anchored=False)),
    "within 3 %, α a call, held to the anchor": Loop(ByGate("non_inferiority", False, 0.03)),
    "within 1 %, α a call, no anchor": Loop(ByGate("non_inferiority", False, 0.01, anchored=False)),
    "**superiority, error budget: the product's where nothing called**": Loop(ByGate("superiority", True)),
    "superiority, and what it cannot tell goes to a shadow": Loop(ByGate("superiority", True), True),
}
BEFORE = "within 5 %, α a call, always held to the anchor: the product's before"
MORE_LOOPS = {**LOOPS, BEFORE: Loop(ByGate("non_inferiority", False, always=True))}


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
    known, batches = matrix.history.known, matrix.history.batches
    start = next(t for t in range(batches) if known[t] - JUDGED >= warm_up)
    first = known[start] - JUDGED
    served = _Served(matrix, (truth or matrix).mean, champion=first, anchor=first, released=start)
    on_trial: tuple[int, int] | None = None
    life, account = served.life, Account()
    for t in range(start, batches):
        if on_trial is not None:
            candidate, since = on_trial
            verdict = _shadow(name, matrix, served.champion, candidate, since, known[t])
            if verdict is Verdict.PASS:
                served.promote(candidate, t, founds=False)
            if verdict is not Verdict.INCONCLUSIVE or t - since >= ROLLOUT.longest(t - known[t]):
                on_trial = None
        elif known[t] - JUDGED > served.champion and policy.look(served.course(t)).retrain:
            candidate = known[t] - JUDGED
            judgement = Judgement(name, matrix, served.champion, candidate, known[t], account, served.anchor, kept)
            verdict, founds, back = decided(loop.rule, judgement)
            account.ends.append(known[t])
            account.passed.append(verdict is Verdict.PASS)
            if verdict is Verdict.PASS:
                served.promote(candidate, t, founds)
            elif loop.trial and verdict is Verdict.INCONCLUSIVE:
                served.refuse(candidate, t)
                on_trial = candidate, t
            else:
                served.refuse(candidate, t, back)
            life.asked += 1
        life.losses.append(float(served.mean[served.champion, t]))
    return life


@dataclass
class _Served:
    """Who serves in a life, since when, and what came of it so far."""

    matrix: LossMatrix
    mean: np.ndarray
    """Losses that count, by model and batch."""
    champion: int
    anchor: int
    released: int
    past: list[tuple[float, ...]] = field(default_factory=list)
    life: Life = field(default_factory=Life)

    def course(self, t: int) -> Course:
        return _course(self.matrix, self.champion, self.released, t, tuple(self.past))

    def promote(self, candidate: int, t: int, founds: bool) -> None:
        self.life.harm.append(self._harm(candidate, t))
        self._serve(candidate, t)
        self.anchor = candidate if founds else self.anchor

    def refuse(self, candidate: int, t: int, back: bool = False) -> None:
        """Let nobody through; `back`: the champion gives way to the anchor."""
        self.life.missed.append(self._harm(candidate, t))
        if back:
            self._serve(self.anchor, t)
            self.life.returns += 1

    def _serve(self, model: int, t: int) -> None:
        self.past.append(self.course(t).excess)
        self.champion, self.released = model, t

    def _harm(self, candidate: int, t: int) -> float:
        later = slice(t, t + LATER)
        return float(self.mean[candidate, later].mean() / self.mean[self.champion, later].mean() - 1)


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
