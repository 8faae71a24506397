"""Pictures of lines and boxes, written as SVG by us: seen without scripts, printed, in the colours of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.records.portal.words import number, several, shown

if TYPE_CHECKING:
    from markupsafe import Markup

MOST_POINTS = 260
_WIDTH, _HEIGHT, _EDGE = 640, 110, 10
_POINT, _SHAPES = "h0", {"open": "m0 -8v16"}
"""A dot that is open is a bar, another a point whose line is drawn round or square: who sees no colours sees the shape.
Only lines keep theirs when a picture is stretched to the width of its place.
"""
_COLUMNS = 5
"""Columns of boxes that a page holds side by side."""


@dataclass(frozen=True)
class Dot:
    """A point of a line: its label, its value (None leaves a gap), and a class that colours it; "" draws no dot."""

    label: str
    value: float | None
    kind: str = ""


def sparkline(title: str, points: Sequence[Dot], marks: Sequence[str] = ()) -> "Markup":
    """Return a line through the newest points. `marks` are labels at which a vertical line stands.

    The words that a screen reader reads have the range, the last value and how many points there are.
    """
    from markupsafe import Markup, escape

    used = list(points)[-MOST_POINTS:]
    values = [one.value for one in used if one.value is not None]
    if not values:
        return Markup("")
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = (_WIDTH - 2 * _EDGE) / max(len(used) - 1, 1)

    def x(at: int) -> float:
        return _EDGE + at * step if len(used) > 1 else _WIDTH / 2

    def y(value: float) -> float:
        return _HEIGHT - _EDGE - (value - low) / span * (_HEIGHT - 2 * _EDGE) if high > low else _HEIGHT / 2

    parts, pen = [], False
    for at, one in enumerate(used):
        if one.value is not None:
            parts.append(f"{'L' if pen else 'M'}{x(at):.1f} {y(one.value):.1f}")
        pen = one.value is not None
    told = shown(
        f"{title}: {len(values)} values from {used[0].label} to {used[-1].label}, "
        f"lowest {number(low)}, highest {number(high)}, last {number(values[-1])}"
    )
    wanted = set(marks)
    lines = "".join(
        f'<line class="mark" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="0" y2="{_HEIGHT}"/>'
        for at, one in enumerate(used)
        if one.label in wanted
    )
    alone = _alone([one.value for one in used])
    dots = "".join(
        f'<path class="dot {escape(one.kind)}" d="M{x(at):.1f} {y(one.value):.1f}{_SHAPES.get(one.kind, _POINT)}">'
        f"<title>{escape(shown(one.label))}: {number(one.value)}</title></path>"
        for at, one in enumerate(used)
        if one.value is not None and (one.kind or at in alone)
    )
    return Markup(  # noqa: S704 # nosec B704 - texts are escaped, the rest are numbers
        f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(told)}" '
        f'preserveAspectRatio="none"><title>{escape(told)}</title>{lines}<path d="{"".join(parts)}"/>{dots}</svg>'
    )


def _alone(values: Sequence[float | None]) -> set[int]:
    """Return where a value has no neighbour: no line goes through it, so it needs a dot."""
    there = [value is not None for value in (None, *values, None)]
    return {at for at in range(len(values)) if there[at + 1] and not there[at] and not there[at + 2]}


@dataclass(frozen=True)
class Box:
    """A node of a diagram: two lines of text, a link, and a class that colours it."""

    key: str
    text: str
    under: str = ""
    href: str = ""
    kind: str = ""


def diagram(title: str, boxes: Sequence[Box], edges: Sequence[tuple[str, str]]) -> "Markup":
    """Return boxes in columns, each right of all that it is made from, with lines between them.

    A chain too long for a page goes down instead. Edges that close a circle are drawn, but move nobody on. It is a
    group, since nobody gets at links in an image; who sees no picture hears each box with those that lead to it.
    """
    from markupsafe import Markup, escape

    known = {one.key: one for one in boxes}
    drawn = sorted({(a, b) for a, b in edges if a in known and b in known and a != b})
    places, columns, rows = _places(list(known), drawn)
    wide, high, gap_x, gap_y, down = 176, 46, 40, 18, columns > _COLUMNS
    if down:
        places = {key: (row, column) for key, (column, row) in places.items()}
        columns, rows, gap_x, gap_y = rows, columns, 24, 32
    size_x, size_y = columns * (wide + gap_x) - gap_x + 8, rows * (high + gap_y) - gap_y + 8

    def corner(key: str) -> tuple[int, int]:
        column, row = places[key]
        return 4 + column * (wide + gap_x), 4 + row * (high + gap_y)

    tip = "tip-" + "-".join(title.lower().split())
    told = shown(f"{title}: {several(len(known), 'box', 'boxes')}, {several(len(drawn), 'arrow')}")
    parts = [
        f'<svg class="diagram" width="{size_x}" height="{size_y}" viewBox="0 0 {size_x} {size_y}" role="group" '
        f'aria-label="{escape(told)}"><title>{escape(told)}</title><defs><marker id="{tip}" viewBox="0 0 8 8" refX="8" '
        'refY="4" markerWidth="8" markerHeight="8" orient="auto"><path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>'
    ]
    for a, b in drawn:
        (ax, ay), (bx, by) = corner(a), corner(b)
        if down:
            x1, y1, x2, y2 = ax + wide / 2, float(ay + high), bx + wide / 2, float(by - 1)
            bend = max((y2 - y1) / 2, 12)
            course = f"C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g}"
        else:
            x1, y1, x2, y2 = float(ax + wide), ay + high / 2, float(bx - 1), by + high / 2
            bend = max((x2 - x1) / 2, 24)
            course = f"C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g}"
        parts.append(f'<path class="edge" marker-end="url(#{tip})" d="M{x1:g} {y1:g}{course} {x2:g} {y2:g}"/>')
    for one in known.values():
        x, y = corner(one.key)
        text = (
            f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" rx="8"/>'
            f'<text x="{x + 10}" y="{y + 19}">{escape(_cut(shown(one.text), 22))}</text>'
            f'<text class="under" x="{x + 10}" y="{y + 36}">{escape(_cut(shown(one.under), 27))}</text>'
        )
        inner = f'<a href="{escape(one.href)}">{text}</a>' if one.href else text
        sources = [known[a].text for a, b in drawn if b == one.key]
        name = shown(f"{one.text}, after {', '.join(sources)}" if sources else one.text)
        parts.append(f'<g class="box {escape(one.kind)}" role="group"><title>{escape(name)}</title>{inner}</g>')
    return Markup("".join(parts) + "</svg>")  # noqa: S704 # nosec B704 - texts are escaped, the rest are numbers


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _places(keys: Sequence[str], edges: Sequence[tuple[str, str]]) -> tuple[dict[str, tuple[int, int]], int, int]:
    """Return (column, row) of each key, and how many columns and rows there are."""
    sources: dict[str, list[str]] = {key: [] for key in keys}
    for a, b in edges:
        sources[b].append(a)
    column: dict[str, int] = {}

    def depth(key: str, path: frozenset[str]) -> int:
        if key not in column:
            above = [depth(one, path | {key}) for one in sources[key] if one not in path]
            column[key] = 1 + max(above, default=-1)
        return column[key]

    for key in keys:
        depth(key, frozenset({key}))
    lists: dict[int, list[str]] = {}
    for key in keys:
        lists.setdefault(column[key], []).append(key)
    row: dict[str, int] = {}
    for at in sorted(lists):
        lists[at].sort(key=lambda key: (_middle(sources[key], row), keys.index(key)))
        row.update({key: place for place, key in enumerate(lists[at])})
    tallest = max((len(one) for one in lists.values()), default=0)
    return {key: (column[key], row[key]) for key in keys}, max(lists, default=-1) + 1, tallest


def _middle(sources: Sequence[str], row: Mapping[str, int]) -> float:
    placed = [row[one] for one in sources if one in row]
    return sum(placed) / len(placed) if placed else 0.0
