"""Performance: is the champion's loss on mature labels still what was validated, or has it risen?

An e-detector (`edetector`) bets on a rise of the loss over the **validated** one, block by block since the release,
and alarms once in `run_length_periods` periods if nothing changes, with the validated loss itself estimated from a few
weeks. Over a baseline learned after release it would miss a model that was never as good as promised; and as blocks of
production join the validated ones, decay from a level that a validation on hard weeks had put too high is found too.

An alarm is FAIL when the loss has risen by 5 % as well: of the newest four periods, or of the last one alone where that
tells more (a window with a jump inside takes the jump for noise). Compared with Welch's t of those windows against the
validated loss and against the champion's own past, which this replaces, on lives of 26 weekly looks with 14 validated
days: `docs/benchmarks/loss_calibration.md`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from retrain_pipeline.monitoring.edetector import NORMAL_ROWS, Detector, Pay, advance, start
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
MIN_BLOCKS = 2
MIN_ROWS = 50
MIN_RISE = 0.05
"""Smaller relative rises are no reason to retrain, however significant."""
_NORMAL_CV = 0.5
"""Means of blocks that vary by more than half of themselves are not near normal: five errors in a block do."""


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
    """Evidence (the sum of the e-detector) and what it takes for an alarm."""
    against: str | None = None
    """What the loss is above, if it has risen: `validated`, or its `own_past` where that is lower."""
    detector: dict[str, Any] | None = None
    """State of the e-detector after the newest whole block: `edetector.Detector.to_json`."""


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


def loss_blocks(
    losses: "NDArray[np.float64]", event_time: Any, block_hours: float, usual_rows: float, until: datetime | None = None
) -> list[tuple[float, float]]:
    """Return mean loss and rows (as a share of the usual number) of each block that is over by `until`, in order.

    Parameters
    ----------
    losses, event_time
        As for `estimate`; also n = 0.
    until
        Labels of events before then are known: a block that is not over would be another at the next look.
    """
    import numpy as np

    hours = np.asarray(event_time).astype("datetime64[us]").astype(np.int64) / 3.6e9
    numbers = np.floor(hours / block_hours).astype(np.int64)
    if until is not None:
        over = numbers < int(until.timestamp() / 3600 // block_hours)
        numbers, losses = numbers[over], losses[over]
    _, blocks = np.unique(numbers, return_inverse=True)
    rows, sums = np.bincount(blocks), np.bincount(blocks, weights=losses)
    return [(float(total / n), float(n / usual_rows)) for total, n in zip(sums, rows, strict=True)]


def detector(validated: LossEstimate, run_length_periods: float) -> Detector:
    """Return the e-detector of a champion at its release."""
    variance = validated.se**2 * validated.blocks
    normal = validated.mean > 0 and variance <= (_NORMAL_CV * validated.mean) ** 2
    pay: Pay = "blocks" if normal and usual_rows(validated) >= NORMAL_ROWS else "rows"
    return start(validated.mean, validated.se, validated.blocks, run_length_periods, pay)


def usual_rows(validated: LossEstimate) -> float:
    """Return the rows that a block had in the validation."""
    return max(validated.n / max(validated.blocks, 1), 1.0)


def restart_weight(calendar: Calendar, block_hours: float) -> float:
    """Return the share of a period that a block is: the restarts of a period have weight 1 together."""
    return block_hours * 3600 / (calendar.shift(calendar.origin, 1) - calendar.origin).total_seconds()


def performance(
    losses: "NDArray[np.float64]",
    event_time: "NDArray[np.datetime64]",
    validated: LossEstimate | None,
    calendar: Calendar,
    *,
    block_hours: float,
    run_length_periods: float,
    until: datetime | None = None,
) -> Performance:
    """Judge a champion by its row losses since release, labels mature.

    Parameters
    ----------
    losses, event_time
        One a row, shape (n,); all since the champion's release.
    validated
        The validated loss; None when the champion has none on record.
    run_length_periods
        Periods (one look each) per false alarm.
    until
        As for `loss_blocks`.

    Returns
    -------
    Performance
        INCONCLUSIVE without a validated loss or with fewer than 50 rows or 2 blocks; FAIL on an alarm and a rise of at
        least 5 %; else PASS.
    """
    import numpy as np

    if validated is None:
        return Performance(Verdict.INCONCLUSIVE, "the champion has no validated loss on record", n=len(losses))
    told = f"validated {validated.mean:.4g}"
    if not len(losses):
        words = f"no mature label since the release ({told})"
        return Performance(Verdict.INCONCLUSIVE, words, validated=validated.mean)
    if strange := int((~np.isfinite(losses)).sum()):  # their mean would compare as no rise
        words = f"{strange} of {len(losses)} losses are not finite ({told}): see the answers and labels of these rows"
        return Performance(Verdict.INCONCLUSIVE, words, n=len(losses), validated=validated.mean)
    times = np.asarray(event_time).astype("datetime64[us]")
    starts = window_starts(_moment(times.max()), calendar, block_hours)
    recent = [times >= np.datetime64(start.replace(tzinfo=None), "us") for start in starts]
    windows = [estimate(losses[rows], times[rows], block_hours) for rows in recent]
    if not _enough(windows[0]):
        long = windows[0]
        words = (
            f"{long.n} mature labels in {long.blocks} blocks since the release ({told}): "
            f"at least {MIN_ROWS} in {MIN_BLOCKS} are needed"
        )
        return Performance(Verdict.INCONCLUSIVE, words, n=long.n, validated=validated.mean, blocks=long.blocks)
    blocks = loss_blocks(losses, times, block_hours, usual_rows(validated), until)
    state = advance(detector(validated, run_length_periods), blocks, restart_weight(calendar, block_hours))
    past = losses[~recent[0]]
    own = float(past.mean()) if len(past) >= MIN_ROWS else None
    return _judged([window for window in windows if _enough(window)], validated, own, state)


def _enough(window: LossEstimate) -> bool:
    return window.n >= MIN_ROWS and window.blocks >= MIN_BLOCKS


def _judged(windows: list[LossEstimate], validated: LossEstimate, own: float | None, state: Detector) -> Performance:
    """Return FAIL for an alarm with a rise over the validated loss or over the champion's own past."""
    baselines = {"validated": validated.mean} | ({} if own is None else {"own_past": own})
    risen = [
        ((now.mean - loss) / now.se if now.se else float("inf"), now, name)
        for name, loss in baselines.items()
        for now in windows
        if now.mean > loss * (1 + MIN_RISE)
    ]
    over = [one for one in risen if one[2] == "validated"] or risen
    _, now, against = max(over, key=lambda one: one[0]) if over else (0.0, windows[0], None)
    rise = (now.mean - validated.mean) / validated.mean if validated.mean > 0 else None
    shown = "" if rise is None else f" ({rise:+.0%})"
    words = f"loss {now.mean:.4g} against {validated.mean:.4g} validated{shown}, n={now.n}"
    if against == "own_past":
        words += f"; it was {own:.4g} before"
    words += f"; evidence {state.evidence:.3g}, alarm at {state.threshold:.3g}"
    failed = state.alarmed and against is not None
    if not failed:
        words += ": no rise beyond noise and 5 %"
    return Performance(
        verdict=Verdict.FAIL if failed else Verdict.PASS,
        words=words,
        n=now.n,
        mean=now.mean,
        validated=validated.mean,
        se=now.se if now.blocks >= MIN_BLOCKS else None,
        blocks=now.blocks,
        relative_rise=rise,
        statistic=state.evidence,
        threshold=state.threshold,
        against=against,
        detector=state.to_json(),
    )


def _moment(value: "np.datetime64") -> datetime:
    from datetime import UTC

    moment: datetime = value.astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC)
