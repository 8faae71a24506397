"""Promotion rules: lives of retrains that gain nothing, power where they do, and real pairs of models.

Needs the folder of real sets (RETRAIN_SHARED_DATA, by default beside the checkout). Losses of models on later batches
are kept in data/bench, as in `triggers.py`.
"""

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise

import numpy as np
import pandas as pd
from rich.progress import Progress
from scipy import stats
from scipy.special import stdtr, stdtrit

from retrain_pipeline.gates.quality import loss_margin
from retrain_pipeline.learning.paired import MIN_BLOCKS, _cells, _expanded, _resampled_means
from retrain_pipeline.replay.matrix import LossMatrix
from retrain_pipeline_tests.bench.gate_levels import ALPHA, LEVELS, Level, ours
from retrain_pipeline_tests.bench.tables import markdown_table, write_page
from retrain_pipeline_tests.bench.triggers import SETS, matrix_of
from retrain_pipeline_tests.bench.window import BLOCKS_PER_BATCH

HOURS = pd.date_range("2024-01-01", periods=336, freq="h", tz="UTC")
CELLS = _cells(HOURS, 24)
DAY_SD, ROW_SD = 0.3, 1.0
STANDARD_ERROR = float(np.sqrt(DAY_SD**2 / 14 + ROW_SD**2 / 336))
NULL_LIVES, NULL_RETRAINS = 240, 100
LIVES, RETRAINS = 30, 40
JUDGED, SERVED, EVERY = 2, 8, 4
"""Batches that judge a candidate; that it then serves; from one retrain to the next."""
MARGIN, BADLY = 0.05, 0.01
"""The gate's margin; and by how much a promotion must lose later to be a bad one."""


@dataclass(frozen=True)
class Look:
    """One paired comparison: candidate's row losses minus the champion's, resampled once as the gate resamples."""

    difference: np.ndarray
    times: pd.Series
    block_hours: float
    seed: int
    cells: tuple[np.ndarray, int] | None = None
    """Cells of the rows, where many looks have the same."""

    @cached_property
    def _drawn(self) -> tuple[np.ndarray, int]:
        cells, blocks = self.cells or _cells(self.times, self.block_hours)
        sums, counts = np.bincount(cells, self.difference).astype(float), np.bincount(cells)
        return _resampled_means(sums, counts, draws=-(-len(sums) // 4), seed=self.seed, resamples=2000), blocks

    @cached_property
    def _whole(self) -> tuple[float, float, int]:
        """The mean, its standard error by whole blocks, and how many there are."""
        cells, _ = self.cells or _cells(self.times, self.block_hours)
        _, block = np.unique(cells // 4, return_inverse=True)
        sums, counts, mean = np.bincount(block, self.difference), np.bincount(block), float(self.difference.mean())
        apart = np.square(sums - mean * counts).sum() * len(counts) / (len(counts) - 1)
        return mean, float(np.sqrt(apart)) / len(self.difference), len(counts)

    def resampled(self, alpha: float) -> float:
        """Return the upper bound of resampled blocks alone."""
        means, blocks = self._drawn
        if blocks < MIN_BLOCKS:
            return float("inf")
        return _expanded(means, float(self.difference.mean()), len(self.difference), blocks, alpha).high

    def high(self, alpha: float) -> float:
        """Return the gate's upper bound at a level (`gates.quality.Paired.charged_bound`)."""
        mean, error, blocks = self._whole
        return max(self.resampled(alpha), mean + float(stdtrit(blocks - 1, 1 - alpha)) * error)

    @cached_property
    def p(self) -> float:
        """The level at which the bound of whole blocks would be at 0."""
        mean, error, blocks = self._whole
        return float(stdtr(blocks - 1, mean / error)) if error else 1.0


def life_of(looks: Sequence[Look], level: Level) -> list[bool]:
    """Return which looks after a first release pass, at the levels of a rule."""
    passed, p, answers = [1], [0.0], []
    for t, look in enumerate(looks, 2):
        answers.append(look.high(level(t, passed, p)) < 0)
        passed += [t] if answers[-1] else []
        p.append(look.p)
    return answers


def simulated(rng: np.random.Generator, gain: float) -> Look:
    """Return two weeks of hourly differences: an effect of the day, noise of the row, and a gain."""
    day = np.repeat(rng.normal(0, DAY_SD, 14), 24)
    return Look(day + rng.normal(0, ROW_SD, 336) - gain, pd.Series(HOURS), 24, int(rng.integers(2**31)), CELLS)


def null_lives(progress: Progress) -> str:
    """Return the table of lives in which no retrain gains anything."""
    rng, task = np.random.default_rng(0), progress.add_task("null lives", total=NULL_LIVES)
    alone = "5 % at every look, resampled blocks alone"
    false: dict[str, list[int]] = {name: [] for name in ("new ≥ old", alone, *LEVELS)}
    for _ in range(NULL_LIVES):
        looks = [simulated(rng, 0.0) for _ in range(NULL_RETRAINS)]
        false["new ≥ old"].append(sum(look.difference.mean() <= 0 for look in looks))
        false[alone].append(sum(look.resampled(ALPHA) < 0 for look in looks))
        for name, level in LEVELS.items():
            false[name].append(sum(life_of(looks, level)))
        progress.advance(task)
    rows = [
        [name, f"{np.mean([one > 0 for one in counts]):.1%}", f"{np.mean(counts):.2f}"]
        for name, counts in false.items()
    ]
    return markdown_table(["rule", "lives with a false promotion", "false promotions a life, mean"], rows)


def powers(progress: Progress) -> str:
    """Return the table of lives in which a share of the retrains gain something."""
    cases = [(share, size) for share in (0.2, 0.5, 0.9) for size in (2.5, 3.5, 5.0)]
    task = progress.add_task("lives with gains", total=len(cases) * LIVES)
    cells: dict[str, list[str]] = {name: [name] for name in LEVELS}
    for share, size in cases:
        rng = np.random.default_rng([1, int(10 * share), int(10 * size)])
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in LEVELS}
        for _ in range(LIVES):
            good = rng.random(RETRAINS) < share
            looks = [simulated(rng, size * STANDARD_ERROR * one) for one in good]
            for name, level in LEVELS.items():
                answers = np.asarray(life_of(looks, level))
                power = answers[good].mean() if good.any() else np.nan
                found[name].append((power, (answers & ~good).sum() / max(1, answers.sum())))
            progress.advance(task)
        for name, made in found.items():
            power, false = np.nanmean(made, axis=0)
            cells[name].append(f"{power:.0%} ({false:.1%})")
    header = ["rule", *(f"{share:.0%} gain {size:g} s.e." for share, size in cases)]
    return markdown_table(header, list(cells.values()))


@dataclass(frozen=True)
class Pair:
    """A candidate and a champion on the rows that judge, and what came of them afterwards."""

    look: Look
    candidate: np.ndarray
    champion: np.ndarray
    anchor: np.ndarray
    """Of the version that was shown to be better last, else of the first model of the life (`Evidence.next_anchor`)."""
    later: tuple[float, float]
    metric: str

    @property
    def harm(self) -> float:
        """How much worse the candidate then is, as a share of the champion's loss."""
        return self.later[0] / self.later[1] - 1


Rule = Callable[[Pair, int, list[int], list[float]], bool]


def new_or_better(pair: Pair, *_: object) -> bool:
    return bool(pair.look.difference.mean() <= 0)


def mcnemar(pair: Pair, *_: object) -> bool:
    """One-sided at 5 %; of a regression the sign test, on which of the two errs more in a row."""
    better, worse = int((pair.look.difference < 0).sum()), int((pair.look.difference > 0).sum())
    return better + worse > 0 and bool(stats.binomtest(better, better + worse, alternative="greater").pvalue <= ALPHA)


def bootstrap(pair: Pair, *_: object) -> bool:
    """The percentile bootstrap over rows as if they were independent, upper bound at 5 % below 0."""
    rng, d = np.random.default_rng(pair.look.seed), pair.look.difference
    means = d[rng.integers(0, len(d), size=(1000, len(d)))].mean(axis=1)
    return bool(np.quantile(means, 1 - ALPHA) < 0)


def superiority(pair: Pair, t: int, passed: list[int], p: list[float]) -> bool:
    return pair.look.high(ours(t, passed, p)) < 0


def _within(pair: Pair, reference: np.ndarray, margin: float, alpha: float) -> bool:
    beyond = pair.candidate - reference * (1 + loss_margin(pair.metric, margin))
    return Look(beyond, pair.look.times, pair.look.block_hours, pair.look.seed).high(alpha) <= 0


def non_inferiority(margin: float, pair: Pair, *_: object) -> bool:
    return _within(pair, pair.champion, margin, ALPHA)


@dataclass(frozen=True)
class Anchored:
    """Within a margin of champion and anchor, or within that of the champion and shown to be better than it."""

    margin: float

    def __call__(self, pair: Pair, *_: object) -> bool:
        held = _within(pair, pair.champion, self.margin, ALPHA)
        return held and (pair.look.high(ALPHA) < 0 or self.reaches(pair))

    def reaches(self, pair: Pair) -> bool:
        """Whether the candidate is within the margin of the anchor, so that it founds a new one where it is better."""
        return _within(pair, pair.anchor, self.margin, ALPHA)

    def gives_way(self, pair: Pair) -> bool:
        """Whether the anchor serves in the champion's place where the candidate is refused (`release.anchor`)."""
        better = Look(pair.anchor - pair.champion, pair.look.times, pair.look.block_hours, pair.look.seed)
        return better.high(ALPHA) < 0


def charged_non_inferiority(pair: Pair, t: int, passed: list[int], p: list[float]) -> bool:
    return _within(pair, pair.champion, MARGIN, ours(t, passed, p))


def blocks_at(alpha: float, pair: Pair, *_: object) -> bool:
    return pair.look.resampled(alpha) < 0


RULES: dict[str, Rule] = {
    "new ≥ old": new_or_better,
    "McNemar, or sign test, 5 %": mcnemar,
    "bootstrap of rows, 5 %": bootstrap,
    "bootstrap of blocks, 5 % at every look": partial(blocks_at, ALPHA),
    "the same, 15 %: as many missed as McNemar": partial(blocks_at, 0.15),
    "the same, 20 %: as many missed as the bootstrap of rows": partial(blocks_at, 0.2),
    "non-inferiority within 5 %, charged to the budget": charged_non_inferiority,
    "non-inferiority within 1 %, 5 % a call": partial(non_inferiority, 0.01),
    "non-inferiority within 5 %, 5 % a call": partial(non_inferiority, MARGIN),
    "non-inferiority within 3 %, 5 % a call, held to the anchor": Anchored(0.03),
    "**non-inferiority within 5 %, 5 % a call, held to the anchor: the product's where decay called**": Anchored(
        MARGIN
    ),
    "**superiority, error budget: the product's where nothing called**": superiority,
}


@dataclass
class Tally:
    """What came of one rule: harm of each promotion and of each refusal, and the loss of who served."""

    promoted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    served: list[float] = field(default_factory=list)


def pair_at(name: str, matrix: LossMatrix, champion: int, candidate: int, anchor: int) -> Pair:
    """Return a candidate that was fitted before batch `candidate`, judged on that batch and the next."""
    starts, end = matrix.history.starts, min(candidate + JUDGED + SERVED, matrix.history.batches)
    judged = [np.concatenate([matrix.of(s, t) for t in range(candidate, candidate + JUDGED)]).astype(float)
              for s in (candidate, champion, anchor)]  # fmt: skip
    later = tuple(float(matrix.mean[s, candidate + JUDGED : end].mean()) for s in (candidate, champion))
    rows = np.diff(starts)[candidate : candidate + JUDGED]
    inside = np.concatenate([t + np.arange(n) / n for t, n in enumerate(rows)])
    times = pd.Series(pd.Timestamp("2000-01-01", tz="UTC") + pd.to_timedelta(inside, unit="D"))
    look = Look(judged[0] - judged[1], times, 24 / BLOCKS_PER_BATCH[name], candidate)
    return Pair(look, *judged, later, matrix.history.metric)


def live(name: str, matrix: LossMatrix, rule: Rule, first: int, tally: Tally) -> None:
    """Retrain every few batches from a first model on; the rule says who serves until the next retrain."""
    champion, anchor, passed, p = first, first, [1], [0.0]
    looks = range(first + EVERY, matrix.history.batches - JUDGED - SERVED, EVERY)
    for t, (candidate, following) in enumerate(pairwise([*looks, looks.stop]), 2):
        pair = pair_at(name, matrix, champion, candidate, anchor)
        if rule(pair, t, passed, p):
            tally.promoted.append(pair.harm)
            passed.append(t)
            champion = candidate
            founds = pair.look.high(ALPHA) < 0 and (not isinstance(rule, Anchored) or rule.reaches(pair))
            anchor = candidate if founds else anchor
        else:
            tally.refused.append(pair.harm)
            champion = anchor if isinstance(rule, Anchored) and rule.gives_way(pair) else champion
        p.append(pair.look.p)
        tally.served.append(float(matrix.mean[champion, candidate + JUDGED : following + JUDGED].mean()))


def real_lives(progress: Progress) -> list[str]:
    """Return the tables of rules on real sets."""
    tallies: dict[str, dict[str, Tally]] = {rule: {} for rule in RULES}
    for name, one in SETS.items():
        for windowed in (True, False):
            matrix = matrix_of(name, one.window if windowed else None, progress)
            for label, rule in RULES.items():
                tally = tallies[label].setdefault(name, Tally())
                for offset in range(EVERY):
                    live(name, matrix, rule, one.warm_up + offset, tally)
    return [_all_sets(tallies), _by_set(tallies)]


def _counts(tallies: Sequence[Tally]) -> tuple[int, int, int, int, int]:
    promoted = [harm for one in tallies for harm in one.promoted]
    refused = [harm for one in tallies for harm in one.refused]
    harmful, badly = sum(harm > 0 for harm in promoted), sum(harm > BADLY for harm in promoted)
    return len(promoted), harmful, badly, sum(harm < -BADLY for harm in refused), len(promoted) + len(refused)


def _all_sets(tallies: dict[str, dict[str, Tally]]) -> str:
    rows = []
    for label, sets in tallies.items():
        promoted, harmful, badly, missed, looks = _counts(list(sets.values()))
        gains = missed + sum(harm < -BADLY for one in sets.values() for harm in one.promoted)
        base = tallies["new ≥ old"]
        loss = statistics.mean(
            statistics.mean(one.served) / statistics.mean(base[name].served) for name, one in sets.items()
        )
        cells = (harmful / max(1, promoted), badly / max(1, promoted), badly / looks, missed / max(1, gains))
        rows.append([label, promoted, *(f"{cell:.1%}" for cell in cells), f"{loss - 1:+.1%}"])
    header = ["rule", "promotions", "of these worse later", "worse by over 1 %", "that, of all looks",
              "gains over 1 % missed", "loss of who served"]  # fmt: skip
    return markdown_table(header, rows)


def _by_set(tallies: dict[str, dict[str, Tally]]) -> str:
    rows = []
    for label, sets in tallies.items():
        cells = [_counts([sets[name]]) for name in SETS]
        rows.append([label, *(f"{c[0]} of {c[4]}; {c[2]}; {c[3]}" for c in cells)])
    return markdown_table(["rule", *SETS], rows)


def main() -> None:
    """Measure everything and write the page."""
    with Progress(disable=not sys.stdout.isatty()) as progress:
        parts = [
            "The rule that is shipped is told in `gates/budget.py`. In the simulated lives each look is two weeks of "
            "hourly losses of candidate and champion on the same rows, with an effect of the day; bounds are those of "
            "the quality gate.",
            f"## Lives of {NULL_RETRAINS} retrains that gain nothing ({NULL_LIVES} lives, a look at each retrain)\n\n"
            + null_lives(progress),
            f"## Power, and the false share of promotions ({LIVES} lives of {RETRAINS} retrains)\n\nA share of the "
            "retrains gain so many standard errors of a look, the others nothing. `5 % at every look` is the test of "
            "fixed size.\n\n" + powers(progress),
        ]
        real = real_lives(progress)
    parts += [
        f"## Real pairs\n\nFive real sets, window and all history, retrained every {EVERY} batches from {EVERY} "
        f"starting points each; judged on the {JUDGED} batches before the release, scored on the {SERVED} after it. "
        "A gain is missed for now: what is INCONCLUSIVE is judged again, or shown more evidence online. "
        "Loss of who served: mean over sets, against `new ≥ old`.\n\n" + real[0],
        "By set: promotions of looks; promotions that were worse by over 1 % later; gains over 1 % missed.\n\n"
        + real[1],
    ]
    print(write_page("gates", "Promotion rules: false, harmful and missed promotions", parts).read_text())


if __name__ == "__main__":
    main()
