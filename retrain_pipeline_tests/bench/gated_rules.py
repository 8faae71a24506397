"""The rules for who may serve in the loops of `gated_lives.py`: the quality gate as it ships, and others."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd

from retrain_pipeline.gates.anchor import held_to_anchor
from retrain_pipeline.gates.budget import level
from retrain_pipeline.gates.evidence import GateResult, Mode
from retrain_pipeline.gates.quality import Paired, all_of, quality
from retrain_pipeline.learning.paired import MeanInterval
from retrain_pipeline.replay.matrix import LossMatrix
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.bench.window import BLOCKS_PER_BATCH

ALPHA, MARGIN, JUDGED = 0.05, 0.05, 2


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

    def paired(self, spent: float | None, margin: float = MARGIN, *between: int) -> Paired:
        """Return the comparison of candidate and champion (or of two others) on the newest labelled batches, as the
        gates make it."""
        first, models = self.until - JUDGED, between or (self.candidate, self.champion)
        sides = [self.losses(model, first, self.until) for model in models]
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

    def verdict(self, mode: Mode, spent: float, margin: float, side: int, reference: int) -> GateResult:
        """Return what the quality gate says of one model beside another."""
        key = (side, reference, self.until, mode, spent, margin)
        if key not in self.kept:
            self.kept[key] = quality(self.paired(spent, margin, side, reference), mode)
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


@dataclass(frozen=True)
class ByGate:
    """The quality gate in a mode, charged to the error budget of retrains that nothing called for or not.

    `always`: what is shown to be better than the champion is held to the anchor too, and no champion gives way to it.
    """

    mode: Mode
    charged: bool
    margin: float = MARGIN
    anchored: bool = True
    always: bool = False

    def spent(self, one: Judgement) -> float:
        return one.account.uncalled(one.until) if self.charged else one.account.called(one.until)

    def beside(self, one: Judgement) -> GateResult | None:
        """Return what the candidate is beside the anchor; None where there is none."""
        if not self.anchored or one.anchor == one.champion:
            return None
        return one.verdict("non_inferiority", self.spent(one), self.margin, one.candidate, one.anchor)

    def __call__(self, one: Judgement) -> Verdict:
        held, beside = (
            one.verdict(self.mode, self.spent(one), self.margin, one.candidate, one.champion),
            self.beside(one),
        )
        if beside is None:
            return held.verdict
        return (all_of if self.always else held_to_anchor)(held, beside).verdict

    def founds(self, one: Judgement) -> bool:
        """Whether a candidate that passed is the anchor of later ones (`Evidence.next_anchor`)."""
        beside = self.beside(one)
        return one.bounds().high < 0 and (beside is None or beside.verdict is Verdict.PASS)

    def gives_way(self, one: Judgement) -> bool:
        """Whether the champion gives way to the anchor where the candidate is not let through (`release.anchor`)."""
        if self.always or self.beside(one) is None:
            return False
        found = one.verdict("superiority", self.spent(one), self.margin, one.anchor, one.champion)
        return found.verdict is Verdict.PASS


def unless_worse(one: Judgement) -> Verdict:
    """Promote unless shown to be worse: "ship unless significant harm"."""
    return Verdict.PASS if one.bounds().low <= 0 else Verdict.FAIL


def decided(rule: Rule, one: Judgement) -> tuple[Verdict, bool, bool]:
    """Return the verdict, whether a candidate that passes founds a new anchor, and whether else the old one serves."""
    verdict = rule(one)
    if not isinstance(rule, ByGate):
        return verdict, False, False
    passed = verdict is Verdict.PASS
    return verdict, passed and rule.founds(one), not passed and rule.gives_way(one)
