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

from retrain_pipeline.gates.quality import Paired, all_of, quality
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


def judged(rng: np.random.Generator, rule: Rule, candidate: float, champion: float, anchor: float) -> tuple[bool, bool]:
    """Judge one refresh: whether it passes, and whether it was shown to be better."""
    day = np.exp(np.repeat(rng.normal(0, DAY_SD, 14), 24)) * np.abs(rng.normal(0, 1.2533, len(TIMES)))
    own, *others = (losses(rng, day, level) for level in (candidate, champion, anchor))
    if rule.margin is None:
        return bool(own.mean() <= others[0].mean()), False
    seed, held = int(rng.integers(2**31)), others if rule.anchored else others[:1]
    made = [Paired(own, one, TIMES, "mae", rule.margin, ALPHA, 24, 100, seed, ALPHA) for one in held]
    found = all_of(*(quality(one, "non_inferiority") for one in made))
    return found.verdict is Verdict.PASS, made[0].interval().high < 0


def life(rng: np.random.Generator, world: Candidate, rule: Rule) -> tuple[float, int]:
    """Return how much worse than the first who serves in the end is, and how many refreshes went through."""
    champion, anchor, promoted = 1.0, 1.0, 0
    for t in range(1, REFRESHES + 1):
        candidate = world(rng, champion, t)
        passed, better = judged(rng, rule, candidate, champion, anchor)
        if passed:
            champion, promoted = candidate, promoted + 1
            anchor = candidate if better else anchor
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
        "the version that was shown to be better last, at first the first."
    )
    parts = [words, markdown_table(["rule", *WORLDS], rows)]
    print(write_page("creep", "Chains of refreshes: what margins add up to", parts).read_text())


if __name__ == "__main__":
    main()
