"""What monitoring found of a period as Markdown, for those who look at it in a browser."""

import json
from collections import Counter
from collections.abc import Sequence

from retrain_pipeline.monitoring.columns import ColumnLine
from retrain_pipeline.monitoring.sparks import sparkline
from retrain_pipeline.records.render import escape_markdown

MAX_LINES = 20
MAX_BYTES = 5500
"""An orchestrator keeps every table for good, at every period: it stays below 6 KiB as it is stored, in ASCII."""
_HEAD = (
    "| column | verdict | moved | statistic | threshold | missing | unseen | past | now |\n|"
    + "---|---|---|--:|--:|--:|--:|---|---|\n"
)
_NAME, _WORDS, _BARS = 60, 80, 13
_LEGEND = (
    "\n*past*: how far it had moved in the last 26 periods, ▇ at its threshold or beyond; "
    "*now*: rows per cell against training, ▃ as many, ▁ under half, ▇ over twice"
)


def columns_table(lines: Sequence[ColumnLine]) -> str:
    """Return the first columns as a Markdown table, as many as 20 and 6 KiB allow, and how many others there are."""
    told: list[str] = []
    size = len(json.dumps(_HEAD + _LEGEND)) + 100
    for one in lines[:MAX_LINES]:
        told.append(_line(one))
        size += len(json.dumps(told[-1]))
        if size > MAX_BYTES:
            told.pop()
            break
    others = lines[len(told) :]
    counted = Counter(one.verdict.value for one in others)
    counts = ", ".join(f"{n} {verdict}" for verdict, n in counted.items())
    rest = f"\nand {len(others)} more: {counts}\n" if others else ""
    return _HEAD + "".join(told) + rest + _LEGEND


def _line(one: ColumnLine) -> str:
    name, moved = (escape_markdown(_cut(text, most)) for text, most in ((one.column, _NAME), (one.moved, _WORDS)))
    numbers = ("" if value is None else f"{value:.3g}" for value in (one.statistic, one.threshold))
    shares = (share(one.missing), share(one.unseen))
    cells = (name, one.verdict.value, moved, *numbers, *shares, sparkline(one.trend, width=_BARS), one.shape)
    return f"| {' | '.join(cells)} |\n"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def share(value: float) -> str:
    """Return a share as a percentage; what is not nothing does not look like it.

    Examples
    --------
    >>> share(0.0), share(0.0004), share(0.265)
    ('', '<1%', '26%')
    """
    if value == 0:
        return ""
    return "<1%" if value < 0.01 else f"{value:.0%}"
