"""What would have changed a judgement: what stopped it, and how far the nearest passing gate is from stopping it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retrain_pipeline.strict import Strict
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.gates.evidence import GateResult


class Turning(Strict):
    """One gate on which the verdict turns, and what it would have needed."""

    gate: str
    verdict: Verdict
    words: str


def turning(results: "Sequence[GateResult]") -> tuple[Turning, ...]:
    """Return each gate that did not pass with what it would have needed; where all passed, the one nearest to failing.

    Nearness is (threshold − statistic), in widths of the interval where there is one, else in thresholds. A gate that
    counts faults (threshold 0, no interval) is always one fault away, and is named only where it did not pass.
    """
    stopped = [result for result in results if result.verdict is not Verdict.PASS]
    if stopped:
        return tuple(Turning(gate=one.gate, verdict=one.verdict, words=_needed(one)) for one in stopped)
    measured = [(room, one) for one in results if (room := _room(one)) is not None]
    if not measured:
        return ()
    room, one = min(measured, key=lambda pair: pair[0])
    words = (
        f"passed with {one.statistic:.4g} where {one.threshold:.4g} is allowed; a threshold below {one.statistic:.4g} "
        f"would have stopped it (room {room:.2g} {'interval widths' if _width(one) else 'of the threshold'})"
    )
    return (Turning(gate=one.gate, verdict=one.verdict, words=words),)


def _needed(result: "GateResult") -> str:
    if result.statistic is None or result.threshold is None:
        return f"evidence that it could judge: {result.words}"[:2000]
    if result.statistic <= result.threshold:
        return f"its statistic {result.statistic:.4g} is within {result.threshold:.4g}, but {result.words}"[:2000]
    return (
        f"statistic {result.statistic:.4g} where at most {result.threshold:.4g} is allowed: it needed to be lower by "
        f"{result.statistic - result.threshold:.4g}, or the threshold as much higher"
    )


def _room(result: "GateResult") -> float | None:
    if result.statistic is None or result.threshold is None:
        return None
    scale = _width(result) or abs(result.threshold)
    return (result.threshold - result.statistic) / scale if scale else None


def _width(result: "GateResult") -> float:
    low, high = result.interval or (None, None)
    return high - low if low is not None and high is not None else 0.0
