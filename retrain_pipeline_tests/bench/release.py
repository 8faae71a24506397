"""Rollouts of models that are better, equal and worse: who gets through, and what it costs until a worse one is gone.

Lives are simulated: row losses of champion and candidate over half a year of weeks, with days that are hard for both
and days that suit one of them. The rollouts are played by the project's own comparison and state machine
(`gates.online`, `release.look`); the peers are rules in use.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.online import Trial, online_loss
from retrain_pipeline.release.look import Look, next_step
from retrain_pipeline.spec.rollout import Rollout
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.bench.tables import markdown_table, write_page

LIVES = 100
PERIODS = 26
HOURS, PER_HOUR = 168, 6
ROWS = HOURS * PER_HOUR
MARGIN, ALPHA = 0.05, 0.05
EXCESS = (-0.1, 0.0, 0.02, 0.1, 0.3)
"""Mean loss of the candidate, relative to the champion's."""
ROLLOUT = Rollout(shadow_periods=1, canary_shares=(0.05, 0.25), margin=MARGIN, watch_periods=4)
SHARES = (0.05, 0.25)


@dataclass(frozen=True)
class Life:
    """Row losses of both models by period, shape (PERIODS, ROWS), and the time of each row."""

    champion: np.ndarray
    candidate: np.ndarray
    time: pd.DatetimeIndex


@dataclass
class Course:
    """How a rollout went: the share of the entities that the candidate served, by period."""

    shares: list[float]

    @property
    def champion(self) -> bool:
        """It serves everybody in the end."""
        return self.shares[-1] == 1.0

    @property
    def exposed(self) -> float:
        """Share of all rows of the half-year that it served."""
        return float(np.mean(self.shares))

    @property
    def periods_to_all(self) -> int | None:
        """Periods until it served everybody."""
        return self.shares.index(1.0) if self.champion else None


def make_life(excess: float, seed: int) -> Life:
    """Return a life; a day is good or bad for both (sd 20 %), and suits one more than the other (sd 4 %)."""
    rng = np.random.default_rng([seed, int(1000 * (excess + 1))])
    n = PERIODS * ROWS
    time = pd.date_range("2024-01-01", periods=PERIODS * HOURS, freq="h", tz="UTC").repeat(PER_HOUR)
    day = np.arange(n) // (24 * PER_HOUR)
    both, apart = rng.normal(1, 0.2, day[-1] + 1)[day], rng.normal(0, 0.04, day[-1] + 1)[day]
    champion = rng.gamma(2, 0.5, n) * np.maximum(both, 0.1)
    candidate = champion * (1 + excess + apart + rng.normal(0, 0.5, n))
    shape = (PERIODS, ROWS)
    return Life(champion.reshape(shape), candidate.reshape(shape), time)


def at_once(life: Life, rng: np.random.Generator) -> Course:
    """It serves everybody from the first period on, and nobody looks again."""
    return Course([1.0] * PERIODS)


def watched(life: Life, rng: np.random.Generator) -> Course:
    """It serves everybody; for four periods the one before answers beside it (ours, without stages)."""
    for last in range(ROLLOUT.watch_periods):
        if _compared(life, [(p, slice(None)) for p in range(last + 1)]).verdict is Verdict.FAIL:
            return Course([1.0] * (last + 1) + [0.0] * (PERIODS - last - 1))
    return Course([1.0] * PERIODS)


def staged(life: Life, rng: np.random.Generator) -> Course:
    """Shadow, canaries of 5 and 25 %, everybody, watched (ours)."""
    stage, share, since, rows, shares = "shadow", 0.0, 0, [], list[float]()
    place = rng.random(ROWS)
    for period in range(PERIODS):
        shares.append(share)
        chosen = slice(None) if not share else np.flatnonzero((place < share) | (place >= 1 - share))
        rows.append((period, chosen))
        step = next_step(_look(life, rows, stage, share, period + 1 - since, period + 1))
        if step.move == "withdraw":
            return Course(shares + [0.0] * (PERIODS - len(shares)))
        if step.move == "promote":
            return _then_watched(life, shares)
        if step.move == "advance":
            stage, share, since = step.stage, step.share, period + 1
    return Course(shares)


def _then_watched(life: Life, shares: list[float]) -> Course:
    first = len(shares)
    for last in range(first, min(first + ROLLOUT.watch_periods, PERIODS)):
        shares.append(1.0)
        if _compared(life, [(p, slice(None)) for p in range(first, last + 1)]).verdict is Verdict.FAIL:
            return Course(shares + [0.0] * (PERIODS - len(shares)))
    return Course(shares + [1.0] * (PERIODS - len(shares)))


def _look(life: Life, rows: list, stage: str, share: float, in_stage: int, on_trial: int) -> Look:
    good = [GateResult(gate=gate, verdict=Verdict.PASS, words="seen") for gate in ("serves", "proof", "terms", "drill")]
    split = [GateResult(gate=gate, verdict=Verdict.PASS, words="seen") for gate in ("sample_ratio", "exposure")]
    return Look(
        model="m", version="v2", reference="v1", evidence="0" * 64, epoch=1, stage=stage, share=share, period="p",
        as_of="", periods_in_stage=in_stage, periods_on_trial=on_trial, longest=ROLLOUT.longest(0), rollout=ROLLOUT,
        results=(*good, *split, _compared(life, rows)),
    )  # fmt: skip


def _compared(life: Life, rows: list) -> GateResult:
    time = life.time.to_numpy().reshape(PERIODS, ROWS)
    parts = [np.concatenate([side[period, chosen] for period, chosen in rows]) for side in _sides(life)]
    moments = np.concatenate([time[period, chosen] for period, chosen in rows])
    found = Trial(
        trial=parts[0], reference=parts[1], event_time=pd.Series(moments), metric="mae", margin=MARGIN, alpha=ALPHA,
        block_hours=24, min_rows=100, expected_blocks=ROLLOUT.longest(0) * 7,
    )  # fmt: skip
    return online_loss(found, ("v2", "v1"))


def _sides(life: Life) -> tuple[np.ndarray, np.ndarray]:
    return life.candidate, life.champion


def _arms(life: Life, periods: int, share: float, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what the arms of a canary lost so far: of each row only the loss of the model that served it."""
    canary, control = place < share, place >= 1 - share
    return life.candidate[:periods, canary].ravel(), life.champion[:periods, control].ravel()


def unless_significant(life: Life, rng: np.random.Generator) -> Course:
    """Canaries of 5 and 25 %, a period each; on unless a t test of the arms, at 5 %, says that it is worse."""
    return _by_test(life, rng, lambda z: z < 1.645)


def no_worse_mean(life: Life, rng: np.random.Generator) -> Course:
    """The same; on when its mean loss is not higher than the control's."""
    return _by_test(life, rng, lambda z: z <= 0)


def _by_test(life: Life, rng: np.random.Generator, goes_on: Callable[[float], bool]) -> Course:
    place, shares = rng.random(ROWS), list[float]()
    for period, share in enumerate(SHARES):
        shares.append(share)
        canary, control = _arms(life, period + 1, share, place)
        error = np.sqrt(canary.var(ddof=1) / len(canary) + control.var(ddof=1) / len(control))
        if not goes_on(float((canary.mean() - control.mean()) / error)):
            return Course(shares + [0.0] * (PERIODS - len(shares)))
    return Course(shares + [1.0] * (PERIODS - len(shares)))


RULES: dict[str, Callable[[Life, np.random.Generator], Course]] = {
    "at once, never looked at again": at_once,
    "canary, on unless significantly worse": unless_significant,
    "canary, on when the mean is no worse": no_worse_mean,
    "ours: at once, watched for 4 periods": watched,
    "ours: shadow, canaries, watched": staged,
}


def rows() -> Iterator[list[str]]:
    """Yield the table: a rule and an excess a line."""
    for name, rule in RULES.items():
        for excess in EXCESS:
            courses = [rule(make_life(excess, seed), np.random.default_rng(seed)) for seed in range(LIVES)]
            through = [one.periods_to_all for one in courses if one.periods_to_all is not None]
            lost = np.mean([max(excess, 0) * PERIODS * one.exposed for one in courses])
            yield [
                name,
                f"{excess:+.0%}",
                f"{np.mean([one.champion for one in courses]):.1%}",
                f"{np.median(through):.0f}" if through else "—",
                f"{np.mean([one.exposed for one in courses]):.1%}",
                f"{lost:.2f}",
            ]


def main() -> None:
    """Play every rule on the same lives and write the page."""
    header = ["rule", "candidate's loss", "serves all in the end", "periods until then", "rows it served", "loss added"]
    words = (
        f"{LIVES} simulated lives a line, {PERIODS} periods of {ROWS} rows, the same lives for every rule; margin "
        f"{MARGIN:.0%}, alpha {ALPHA:g}. A candidate within the margin (+2 %) may go through. *Loss added* is in "
        "periods of the champion's mean loss."
    )
    title = "Rollouts: who gets through, and what a worse model costs until it is gone"
    print(write_page("release", title, [words, markdown_table(header, list(rows()))]))


if __name__ == "__main__":
    main()
