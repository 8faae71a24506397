"""Performance: is the champion's loss on mature labels still what was validated, or has it risen?

The newest labelled periods (four of them, and the last one alone) are compared, one-sided, with two things: the
**validated** loss, with its own standard error since it was measured on a few weeks too; and, once the champion has
served long enough, with its own loss in the periods before. The first finds a model that was never as good as promised;
a baseline learned after release would not. The second finds decay from a level that a validation on hard weeks had put
too high. The long window finds the steady rise, the short one the jump.

What the test assumes, and what was measured. Blocks of `gates.block_hours` are the observations, weighted by their
rows (ratio estimator), so dependence inside a block does no harm. Dependence from one block to the next is allowed for
by the lag-1 autocorrelation ρ of the blocks: the variance is multiplied by (1 + ρ)/(1 − ρ), ρ at least 0 and with its
small-sample bias 1/blocks added (Kendall 1954, *Biometrika* 41:403). Student's t has Welch and Satterthwaite's degrees
of freedom. A look has level `LOOKS_SHARE`/run length, shared by the comparisons: windows overlap from look to look and
the validated loss is one draw for all of them, so false alarms come in clusters, and one in 100 looks is less than one
cluster in 200. In simulation (lives of 26 weekly looks, blocks of a day, validation on 14 blocks, run length 200
declared) there was one false alarm in 300 looks for normal losses, 320 for exponential ones, 120 where days have
ρ = 0.3 and 65 where ρ = 0.5: the validated loss comes without ρ. So the declared run length is kept where days are
independent and missed by a factor of two to three where they are strongly dependent.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from retrain_pipeline.periods import Calendar
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONG_PERIODS = 4
LONG_BLOCKS = 8
"""The long window reaches over at least so many blocks: four hours of an hourly model are no sample."""
SHORT_BLOCKS = 4
"""The short window reaches over a period, and at least so many blocks."""
SHORT_SHARE = 0.1
"""The short window's share of the level: it is there for jumps, which need no more."""
MIN_BLOCKS = 2
MIN_ROWS = 50
MIN_RISE = 0.05
"""Smaller relative rises are no reason to retrain, however significant."""
LOOKS_SHARE = 2.0
_OWN_WINDOWS = 2
"""The champion's own past is a baseline once it has served two windows."""
_OWN_BLOCKS = 8


@dataclass(frozen=True)
class LossEstimate:
    """A mean loss over blocks of dependent rows, with standard error and its degrees of freedom."""

    mean: float
    se: float
    dof: float
    n: int
    blocks: int


@dataclass(frozen=True)
class Performance:
    """The champion's loss now against what it should be. `relative_rise` is against the validated loss."""

    verdict: Verdict
    words: str
    n: int = 0
    mean: float | None = None
    validated: float | None = None
    se: float | None = None
    blocks: int = 0
    relative_rise: float | None = None
    statistic: float | None = None
    threshold: float | None = None
    against: str | None = None
    """`validated` or `own_past`: the comparison that `statistic` and `threshold` (in standard errors) are of."""


def estimate(losses: "NDArray[np.float64]", event_time: Any, block_hours: float) -> LossEstimate:
    """Return the mean of row losses with a standard error over blocks of time.

    Parameters
    ----------
    losses
        Finite, shape (n,), n ≥ 1.
    event_time
        datetime64 of each row, shape (n,). Blocks begin at multiples of `block_hours` since 1970, UTC.
    """
    import numpy as np

    hours = np.asarray(event_time).astype("datetime64[us]").astype(np.int64) / 3.6e9
    _, blocks = np.unique(np.floor(hours / block_hours).astype(np.int64), return_inverse=True)
    rows, sums = np.bincount(blocks), np.bincount(blocks, weights=losses)
    count, mean = len(rows), float(losses.mean())
    if count < MIN_BLOCKS:
        return LossEstimate(mean, float("inf"), 1.0, len(losses), count)
    residual = (sums - rows * mean) / rows.mean()
    total = float(residual @ residual)
    variance, dof = total / (count - 1) / count, float(count - 1)
    if count > MIN_BLOCKS and total > 0:
        rho = min(max(float(residual[1:] @ residual[:-1]) / total + 1 / count, 0.0), 0.9)
        variance *= (1 + rho) / (1 - rho)
        dof = max(1.0, dof * (1 - rho) / (1 + rho))
    return LossEstimate(mean, float(np.sqrt(variance)), dof, len(losses), count)


def window_starts(newest: datetime, calendar: Calendar, block_hours: float) -> tuple[datetime, ...]:
    """Return the starts of the windows that end with the newest mature row: the long one and, if it differs, the short.

    The long one holds the steady rise, the short one the jump: in a window that holds both sides of a jump the jump
    itself is taken for noise between blocks.
    """
    last = calendar.floor(newest)
    end = calendar.shift(last, 1)
    long = min(calendar.shift(last, 1 - LONG_PERIODS), end - timedelta(hours=block_hours * LONG_BLOCKS))
    short = min(last, newest - timedelta(hours=block_hours * SHORT_BLOCKS))
    return (long, short) if short > long else (long,)


def performance(
    losses: "NDArray[np.float64]",
    event_time: "NDArray[np.datetime64]",
    validated: LossEstimate | None,
    calendar: Calendar,
    *,
    block_hours: float,
    run_length_periods: float,
) -> Performance:
    """Judge a champion by its row losses since release, labels mature.

    Parameters
    ----------
    losses, event_time
        One a row, shape (n,); all since the champion's release.
    validated
        The validated loss; None when the champion has none on record.
    run_length_periods
        Looks (one a period) per false alarm.

    Returns
    -------
    Performance
        INCONCLUSIVE without a validated loss or with fewer than 50 rows or 2 blocks; FAIL on a significant rise of at
        least 5 %; else PASS.
    """
    import numpy as np

    if validated is None:
        return Performance(Verdict.INCONCLUSIVE, "the champion has no validated loss on record", n=len(losses))
    told = f"validated {validated.mean:.4g}"
    if not len(losses):
        words = f"no mature label since the release ({told})"
        return Performance(Verdict.INCONCLUSIVE, words, validated=validated.mean)
    times = np.asarray(event_time).astype("datetime64[us]")
    starts = window_starts(_moment(times.max()), calendar, block_hours)
    recent = [times >= np.datetime64(start.replace(tzinfo=None), "us") for start in starts]
    windows = [estimate(losses[rows], times[rows], block_hours) for rows in recent]
    long = windows[0]
    if not _enough(long):
        words = (
            f"{long.n} mature labels in {long.blocks} blocks since the release ({told}): "
            f"at least {MIN_ROWS} in {MIN_BLOCKS} are needed"
        )
        return Performance(Verdict.INCONCLUSIVE, words, n=long.n, validated=validated.mean, blocks=long.blocks)
    baselines = {"validated": validated}
    before = ~recent[0]
    own = _own_past(losses[before], times[before], times[recent[0]].min(), calendar, block_hours)
    if own is not None:
        baselines["own_past"] = own
    level = LOOKS_SHARE / run_length_periods / len(baselines)
    levels = [(long, level)]
    if len(windows) > 1 and _enough(windows[1]):
        levels = [(long, level * (1 - SHORT_SHARE)), (_no_surer(windows[1], validated), level * SHORT_SHARE)]
    return _judged(levels, baselines)


def _no_surer(window: LossEstimate, validated: LossEstimate) -> LossEstimate:
    """Return a short window whose blocks vary at least as those of the validation: a few alike are no evidence."""
    return replace(window, se=max(window.se, validated.se * (validated.blocks / window.blocks) ** 0.5))


def _enough(window: LossEstimate) -> bool:
    return window.n >= MIN_ROWS and window.blocks >= MIN_BLOCKS


def _own_past(
    losses: "NDArray[np.float64]",
    times: "NDArray[np.datetime64]",
    window: "np.datetime64",
    calendar: Calendar,
    block_hours: float,
) -> LossEstimate | None:
    if len(losses) < MIN_ROWS:
        return None
    served = calendar.periods_since(_moment(times.min()), _moment(window))
    past = estimate(losses, times, block_hours)
    enough = served >= LONG_PERIODS * (_OWN_WINDOWS - 1) and past.blocks >= _OWN_BLOCKS
    return past if enough else None


def _judged(windows: list[tuple[LossEstimate, float]], baselines: dict[str, LossEstimate]) -> Performance:
    """Return FAIL when a window has risen over a baseline, each window at its level."""
    compared = [
        (window, name, *_compare(window, one, level)) for name, one in baselines.items() for window, level in windows
    ]
    risen = [
        found for found in compared if found[2] > found[3] and found[0].mean > baselines[found[1]].mean * (1 + MIN_RISE)
    ]
    now, against, statistic, threshold = (risen or compared)[0]
    validated = baselines["validated"].mean
    rise = (now.mean - validated) / validated if validated > 0 else None
    shown = "" if rise is None else f" ({rise:+.0%})"
    words = f"loss {now.mean:.4g} against {validated:.4g} validated{shown}, n={now.n}"
    if against == "own_past":
        past = baselines["own_past"]
        words += f"; it was {past.mean:.4g} over the {past.n} rows before"
    if not risen:
        words += ": no rise beyond noise and 5 %"
    return Performance(
        verdict=Verdict.FAIL if risen else Verdict.PASS,
        words=words,
        n=now.n,
        mean=now.mean,
        validated=validated,
        se=now.se,
        blocks=now.blocks,
        relative_rise=rise,
        statistic=statistic,
        threshold=threshold,
        against=against,
    )


def _compare(now: LossEstimate, before: LossEstimate, level: float) -> tuple[float, float]:
    """Return the rise in standard errors and the least that is significant (Welch and Satterthwaite's t)."""
    from scipy.stats import t

    variance = now.se**2 + before.se**2
    if variance == 0:  # losses that never vary: any difference is beyond noise
        return (1.0 if now.mean > before.mean else 0.0), 0.5
    dof = variance**2 / (now.se**4 / now.dof + before.se**4 / before.dof)
    return (now.mean - before.mean) / variance**0.5, float(t.isf(level, max(dof, 1.0)))


def _moment(value: "np.datetime64") -> datetime:
    from datetime import UTC

    moment: datetime = value.astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC)
