"""A changed unit: the same column, the same schema, and every value multiplied (I6).

What a season or a real shift does to a column it does to where its values lie; multiplication also stretches how far
they lie from each other. So the logarithm of a period's standard deviation is held against a band: the least and the
most of the reference's periods, widened on both sides by the width of that range, and by `MARGIN` at least.
"""

import math
from collections.abc import Sequence

from retrain_pipeline.monitoring.distances import total_variation
from retrain_pipeline.monitoring.summaries import NumericProfile

MARGIN = math.log(1.5)
"""Miles for kilometres are a factor of 1.6; the standard deviations of samples of 50 rows differ by less than 1.5."""
MOVED = 0.15
"""A unit moves most rows; where fewer than this share changed their cell, an outlier stretched the spread."""
_MIN_PERIODS = 3
_ROUND = (10, 60, 100, 1000, 3600, 1_000_000)


def changed_unit(reference: NumericProfile, periods: Sequence[NumericProfile], current: NumericProfile) -> str | None:
    """Return in words that the spread has left its band, or None; without three periods that vary nothing is said."""
    past = [math.log(one.std) for one in periods if one.std > 0]
    if len(past) < _MIN_PERIODS or len(past) < len(periods) or not current.std > 0:
        return None
    now = math.log(current.std)
    width = max(max(past) - min(past), MARGIN)
    if min(past) - width <= now <= max(past) + width:
        return None
    if total_variation(reference, current) < MOVED:
        return None
    usual = math.exp(sum(past) / len(past))
    return (
        f"spread {current.std:.3g} is {_times(current.std / usual)} that of the reference's periods "
        f"({math.exp(min(past)):.3g} to {math.exp(max(past)):.3g}): a changed unit?"
    )


def _times(ratio: float) -> str:
    for factor in _ROUND:
        if abs(ratio / factor - 1) < 0.1:
            return f"{factor} times"
        if abs(ratio * factor - 1) < 0.1:
            return f"1/{factor} of"
    return f"{ratio:.3g} times"
