"""Chains of called refreshes: what margins add up to over a life, with and without the anchor.

A world that stands still; each refresh is judged by the quality gate on two weeks of hourly row losses, as a refresh
that decay called for. Each fit errs in its own way on each row. What serves in the end is compared with the first.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rich.progress import Progress

from retrain_pipeline.gates.anchor import held_to_anchor
from retrain_pipeline.gates.evidence import GateResult, Mode, shown_better
from retrain_pipeline.gates.quality import Paired, quality
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.bench.tables import markdown_table, write_page

LIVES, REFRESHES, ALPHA = 40, 30, 0.05
TIMES = pd.Series(pd.date_range("2024-01-01", periods=336, freq="h", tz="UTC"))
DAY_SD, FIT_SD = 0.2, 0.35
"""Of the logarithm of a row's loss: what a day shares, and what a fit has for its own."""

Candidate = Callable[[np.random.Generator, float, int], float]
"""From the champion's level and the number of the refresh to the candidate's level."""


@dataclass(frozen=True)
class Rule:
    """A margin (None: whatever has the smaller mean), and whether the first is held against the candidate too."""

    margin: float | None
    anchored: bool = False


WORLDS: dict[str, Candidate] = {
    "each fit as good as the first, give or take 2 %": lambda rng, _, __: float(np.exp(rng.normal(0, 0.02))),
    "each fit as good as the first, give or take 5 %": lambda rng, _, __: float(np.exp(rng.normal(0, 0.05))),
    "the recipe loses 0.5 % with each refresh": lambda _, __, t: 1.005**t,
    "the recipe loses 1 % with each refresh": lambda _, __, t: 1.01**t,
    "each is 1 % worse than who serves": lambda _, level, __: 1.01 * level,
    "each is 3 % worse than who serves": lambda _, level, __: 1.03 * level,
    "each is 5 % worse than who serves": lambda _, level, __: 1.05 * level,
}
RULES = {
    "new ≥ old": Rule(None),
    "within 1 %": Rule(0.01),
    "within 2 %": Rule(0.02),
    "within 5 %": Rule(0.05),
    "**within 5 % of the champion and of the anchor: the product's**": Rule(0.05, anchored=True),
}


def losses(rng: np.random.Generator, day: np.ndarray, level: float) -> np.ndarray:
    """Return row losses of a model of a level, on rows whose difficulty is given."""
    own = np.exp(rng.normal(0, FIT_SD, len(day)) - FIT_SD**2 / 2)
    return np.asarray(level * day * own)


@dataclass(frozen=True)
class Judged:
    """What came of one refresh: it passes, it is the anchor of later ones, the anchor serves in its place."""

    passes: bool
    founds: bool = False
    back: bool = False


def judged(rng: np.random.Generator, rule: Rule, candidate: float, champion: float, anchor: float) -> Judged:
    """Judge one refresh as `gates.anchor` and `release.anchor` do."""
    day = np.exp(np.repeat(rng.normal(0, DAY_SD, 14), 24)) * np.abs(rng.normal(0, 1.2533, len(TIMES)))
    own, *others = (losses(rng, day, level) for level in (candidate, champion, anchor))
    if rule.margin is None:
        return Judged(bool(own.mean() <= others[0].mean()))
    seed = int(rng.integers(2**31))

    def compared(side: np.ndarray, reference: np.ndarray, mode: Mode) -> GateResult:
        return quality(Paired(side, reference, TIMES, "mae", rule.margin or 0, ALPHA, 24, 100, seed, ALPHA), mode)

    held, beside = (compared(own, one, "non_inferiority") for one in others)
    better = shown_better(held)
    if not rule.anchored or champion == anchor:
        return Judged(held.verdict is Verdict.PASS, better)
    passes = held_to_anchor(held, beside).verdict is Verdict.PASS
    back = not passes and compared(others[1], others[0], "superiority").verdict is Verdict.PASS
    return Judged(passes, better and beside.verdict is Verdict.PASS, back)


def life(rng: np.random.Generator, world: Candidate, rule: Rule) -> tuple[float, int]:
    """Return how much worse than the first who serves in the end is, and how many refreshes went through."""
    champion, anchor, promoted = 1.0, 1.0, 0
    for t in range(1, REFRESHES + 1):
        candidate = world(rng, champion, t)
        found = judged(rng, rule, candidate, champion, anchor)
        if found.passes:
            champion, promoted = candidate, promoted + 1
            anchor = candidate if found.founds else anchor
        elif found.back:
            champion = anchor
    return champion - 1, promoted


def main() -> None:
    """Play every life and write the page."""
    rows = []
    with Progress(disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task("lives", total=len(WORLDS) * len(RULES))
        for label, rule in RULES.items():
            cells = [label]
            for world in WORLDS.values():
                rng = np.random.default_rng(7)
                made = [life(rng, world, rule) for _ in range(LIVES)]
                worse = np.asarray([one for one, _ in made])
                promoted = np.mean([count for _, count in made])
                cells.append(f"{worse.mean():+.1%} ({np.quantile(worse, 0.95):+.1%}; {promoted:.1f})")
                progress.advance(task)
            rows.append(cells)
            print(cells, flush=True)
    words = (
        f"{LIVES} lives of {REFRESHES} refreshes each that evidence of decay called for, in a world that stands still; "
        "each is judged by the quality gate on 336 hourly rows. In the cells: how much more who serves in the end "
        "loses than the first model (mean; the 95th percentile of lives; refreshes that went through). The anchor is "
        "the version that was shown to be better last, at first the first. What is shown to be better than the "
        "champion is let through beyond the margin of the anchor; a champion that the anchor is shown to be better "
        "than gives way to it where a refresh is not let through."
    )
    parts = [words, markdown_table(["rule", *WORLDS], rows)]
    print(write_page("creep", "Chains of refreshes: what margins add up to", parts).read_text())


if __name__ == "__main__":
    main()
