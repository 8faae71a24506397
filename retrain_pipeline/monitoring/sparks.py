"""Numbers as a line of text, for tables: a bar each."""

import math
from collections.abc import Sequence

BARS = "▁▂▃▅▇"
GAP = "·"
"""Stands where there is no number."""
_RATIOS = (0.5, 0.8, 1.25, 2.0)
"""Between the bars of a share over what it was: less than half, less, about as it was, more, at least twice."""


def sparkline(values: Sequence[float | None], full: float = 1.0, width: int | None = None) -> str:
    """Return a bar per value: the highest from `full` on, so that 0 to `full` are told apart and nothing hides it.

    Parameters
    ----------
    values
        At least 0; a gap where None or not finite.
    width
        So many bars at most: of neighbours that share one the largest value is shown.

    Examples
    --------
    >>> sparkline([0.0, 0.3, None, 0.6, 0.9, 1.0, 7.0])
    '▁▂·▃▅▇▇'
    >>> sparkline([0.0, 0.9, 0.1, 0.2, 0.1], width=3)
    '▅▁▁'
    """
    step = max(math.ceil(len(values) / width), 1) if width else 1
    parts = [values[start : start + step] for start in range(0, len(values), step)]
    return "".join(_bar([one for one in part if one is not None and math.isfinite(one)], full) for part in parts)


def _bar(values: Sequence[float], full: float) -> str:
    if not values:
        return GAP
    top = len(BARS) - 1
    return BARS[max(min(math.floor(max(values) / full * top), top), 0)] if full > 0 else BARS[0]


def shape(now: Sequence[int], before: Sequence[int]) -> str:
    """Return a bar per cell of a distribution: the middle one where the share of rows is about what it was.

    Examples
    --------
    >>> shape([5, 25, 36, 60, 90, 0], [200, 200, 200, 200, 200, 0])
    '▁▂▃▅▇▃'
    >>> shape([], [])
    ''
    """
    scale = sum(now) / max(sum(before), 1)
    # a row more on both sides: of a cell that both hardly have nothing can be told
    return "".join(
        BARS[sum((a + 1) / (b * scale + 1) >= cut for cut in _RATIOS)] for a, b in zip(now, before, strict=True)
    )
