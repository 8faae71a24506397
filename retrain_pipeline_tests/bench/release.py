"""Rollouts of models that are better, equal and worse: who gets through, and what it costs until a worse one is gone.

Lives are simulated: row losses of champion and candidate over half a year of weeks, with days that are hard for both
and days that suit one of them. The rollouts are played by the project's own comparison and state machine
(`gates.online`, `release.look`); the peers are rules in use.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.progress import Progress

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.online import Trial, online_loss
from retrain_pipeline.release.look import Look, next_step
from retrain_pipeline.spec.rollout import Rollout
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.bench.tables import markdown_table, write_page

LIVES = 200
PERIODS = 26
HOURS, PER_HOUR = 168, 6
ROWS = HOURS * PER_HOUR
MARGIN, ALPHA = 0.05, 0.05
TURNS = 5
"""The period from which a model that turns is bad: soon after it serves all, by every rule."""
CASES = ((-0.1, 0), (0.0, 0), (0.02, 0), (0.1, 0), (0.3, 0), (1.0, 0), (0.1, TURNS), (0.3, TURNS))
"""Mean loss of the candidate relative to the champion's, less 1, and the period from which it is so; before it, 0."""
ROLLOUT = Rollout(shadow_periods=1, canary_shares=(0.05, 0.25), margin=MARGIN, watch_periods=4)
SHARES = (0.05, 0.25)


@dataclass(frozen=True)
class Life:
    """Row losses of both models by period, shape (PERIODS, ROWS), and the time of each row."""

    champion: np.ndarray
    candidate: np.ndarray
    time: np.ndarray


@dataclass(frozen=True)
class Course:
    """How a rollout went: the share of the entities that the candidate served, by period until the end or till it went
    back."""

    seen: list[float]

    @property
    def shares(self) -> list[float]:
        """The share by period, to the end."""
        return self.seen + [0.0] * (PERIODS - len(self.seen))

    @property
    def champion(self) -> bool:
        """It serves everybody in the end."""
        return self.shares[-1] == 1.0

    @property
    def gone_after(self) -> int | None:
        """Periods after which it went back."""
        return len(self.seen) if len(self.seen) < PERIODS else None

    def missed(self, excess: float, since: int) -> float:
        """Loss above the better of the two models in each period, in mean losses of the champion over a period."""
        served = np.asarray(self.shares[since:])
        return abs(excess) * float((served if excess > 0 else 1 - served).sum())

    @property
    def exposed(self) -> float:
        """Share of all rows of the half-year that it served."""
        return float(np.mean(self.shares))

    @property
    def periods_to_all(self) -> int | None:
        """Periods until it served everybody."""
        return self.shares.index(1.0) if self.champion else None


def make_life(excess: float, since: int, seed: int) -> Life:
    """Return a life; a day is good or bad for both (sd 20 %), and suits one more than the other (sd 4 %)."""
    rng = np.random.default_rng(seed)  # the same days and rows, whatever the excess
    n = PERIODS * ROWS
    hour = np.arange(n) // PER_HOUR
    day = hour // 24
    both, apart = rng.normal(1, 0.2, day[-1] + 1)[day], rng.normal(0, 0.04, day[-1] + 1)[day]
    champion = rng.gamma(2, 0.5, n) * np.maximum(both, 0.1)
    candidate = champion * (1 + excess * (np.arange(n) >= since * ROWS) + apart + rng.normal(0, 0.5, n))
    time = np.datetime64("2024-01-01", "us") + hour * np.timedelta64(3_600_000_000, "us")
    shape = (PERIODS, ROWS)
    return Life(champion.reshape(shape), candidate.reshape(shape), time.reshape(shape))


def at_once(life: Life, rng: np.random.Generator) -> Course:
    """It serves everybody from the first period on, and nobody looks again."""
    return Course([1.0] * PERIODS)


def watched(life: Life, rng: np.random.Generator) -> Course:
    """It serves everybody; for four periods the one before answers beside it (ours, without stages)."""
    return _then_watched(life, [])


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
            return Course(shares)
        if step.move == "promote":
            return _then_watched(life, shares)
        if step.move == "advance":
            stage, share, since = step.stage, step.share, period + 1
    return Course(shares)


def _then_watched(life: Life, before: list[float]) -> Course:
    first, shares = len(before), list(before)
    for last in range(first, min(first + ROLLOUT.watch_periods, PERIODS)):
        shares.append(1.0)
        if (
            _compared(life, [(p, slice(None)) for p in range(first, last + 1)], ROLLOUT.watch_periods).verdict
            is Verdict.FAIL
        ):
            return Course(shares)
    return Course(shares + [1.0] * (PERIODS - len(shares)))


def _look(life: Life, rows: list, stage: str, share: float, in_stage: int, on_trial: int) -> Look:
    good = [GateResult(gate=gate, verdict=Verdict.PASS, words="seen") for gate in ("serves", "proof", "terms", "drill")]
    split = [GateResult(gate=gate, verdict=Verdict.PASS, words="seen") for gate in ("sample_ratio", "exposure")]
    return Look(
        model="m", version="v2", reference="v1", evidence="0" * 64, epoch=1, stage=stage, share=share, period="p",
        as_of="", periods_in_stage=in_stage, periods_on_trial=on_trial, longest=ROLLOUT.longest(0), rollout=ROLLOUT,
        results=(*good, *split, _compared(life, rows, ROLLOUT.longest(0))),
    )  # fmt: skip


def _compared(life: Life, rows: list, longest: int) -> GateResult:
    trial, reference, moments = (
        np.concatenate([one[period, chosen] for period, chosen in rows])
        for one in (life.candidate, life.champion, life.time)
    )
    found = Trial(
        trial=trial, reference=reference, event_time=moments, metric="mae", margin=MARGIN, alpha=ALPHA,
        block_hours=24, min_rows=100, expected_blocks=longest * HOURS // 24,
    )  # fmt: skip
    return online_loss(found, ("v2", "v1"))


def _arms(life: Life, periods: int, share: float, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what the arms of a canary lost so far: of each row only the loss of the model that served it."""
    canary, control = place < share, place >= 1 - share
    return life.candidate[:periods, canary].ravel(), life.champion[:periods, control].ravel()


def unless_significant(life: Life, rng: np.random.Generator) -> Course:
    """Canaries of 5 and 25 %, a period each; on unless a t test of the arms, at 5 %, says that it is worse."""
    return _by_arms(life, rng, lambda canary, control: _t(canary, control) < 1.645)


def no_worse_mean(life: Life, rng: np.random.Generator) -> Course:
    """The same; on when its mean loss is not higher than the control's."""
    return _by_arms(life, rng, lambda canary, control: canary.mean() <= control.mean())


def within_threshold(life: Life, rng: np.random.Generator) -> Course:
    """The same; on when its mean loss is within the margin of the control's: a fixed threshold."""
    return _by_arms(life, rng, lambda canary, control: canary.mean() <= (1 + MARGIN) * control.mean())


def _t(canary: np.ndarray, control: np.ndarray) -> float:
    error = np.sqrt(canary.var(ddof=1) / len(canary) + control.var(ddof=1) / len(control))
    return float((canary.mean() - control.mean()) / error)


def _by_arms(life: Life, rng: np.random.Generator, goes_on: Callable[[np.ndarray, np.ndarray], bool]) -> Course:
    place, shares = rng.random(ROWS), list[float]()
    for period, share in enumerate(SHARES):
        shares.append(share)
        if not goes_on(*_arms(life, period + 1, share, place)):
            return Course(shares)
    return Course(shares + [1.0] * (PERIODS - len(shares)))


RULES: dict[str, Callable[[Life, np.random.Generator], Course]] = {
    "at once, never looked at again": at_once,
    "canary, on unless significantly worse": unless_significant,
    "canary, on when the mean is no worse": no_worse_mean,
    "canary, on when the mean is within the margin": within_threshold,
    "**ours: at once, watched for 4 periods**": watched,
    "**ours: shadow, canaries, watched**": staged,
}


def played(progress: Progress) -> dict[tuple[float, int], dict[str, list[Course]]]:
    """Play every rule on the same lives of each case."""
    task = progress.add_task("rollouts", total=len(CASES) * LIVES)
    found: dict[tuple[float, int], dict[str, list[Course]]] = {}
    for case in CASES:
        courses = found[case] = {name: [] for name in RULES}
        for seed in range(LIVES):
            life = make_life(*case, seed)
            for name, rule in RULES.items():
                courses[name].append(rule(life, np.random.default_rng([1, seed])))
            progress.advance(task)
    return found


def table(case: tuple[float, int], courses: dict[str, list[Course]]) -> str:
    """Return the table of a case, a rule a line."""
    excess, since = case
    rows = []
    for name, made in courses.items():
        through = [one.periods_to_all for one in made if one.periods_to_all is not None]
        gone = [one.gone_after - since for one in made if one.gone_after is not None and one.gone_after > since]
        missed = [one.missed(excess, since) for one in made]
        rows.append(
            [
                name,
                f"{np.mean([one.champion for one in made]):.1%}",
                f"{np.median(through):.0f}" if through else "—",
                f"{np.median(gone):.0f}; {np.quantile(gone, 0.95):.0f}" if gone else "—",
                f"{np.mean([sum(one.shares[since:]) for one in made]) * ROWS:,.0f}",
                f"{np.mean(missed):.2f}",
                f"{np.quantile(missed, 0.95):.2f}",
            ]
        )
    header = ["rule", "serves all in the end", "periods until then", "gone after (median; 95 %)", "rows it served",
              "loss missed", "the same, worst 5 %"]  # fmt: skip
    return markdown_table(header, rows)


def _title(excess: float, since: int) -> str:
    size = "as good as the champion" if not excess else f"{'worse' if excess > 0 else 'better'} by {abs(excess):.0%}"
    return f"## {size[0].upper()}{size[1:]}" + (f" from period {since + 1} on, as good before" if since else "")


def main() -> None:
    """Play every rule on the same lives and write the page."""
    words = (
        f"{LIVES} simulated lives a table, {PERIODS} periods (weeks) of {ROWS} rows, the same lives for every rule; "
        f"margin {MARGIN:.0%}, alpha {ALPHA:g}, labels at the end of their period. What is worse within the margin "
        f"(+2 %) may go through. *Rows it served*, of {PERIODS * ROWS:,}, and *gone after* count from the moment that "
        "the candidate is as bad as the title says. *Loss missed*: above the better of the two models, in the "
        "champion's mean losses of a period; of a better candidate it is what waiting for it costs."
    )
    with Progress(disable=not sys.stdout.isatty()) as progress:
        parts = [f"{_title(*case)}\n\n{table(case, courses)}" for case, courses in played(progress).items()]
    title = "Rollouts: who gets through, and what a worse model costs until it is gone"
    print(write_page("release", title, [words, *parts]).read_text())


if __name__ == "__main__":
    main()
