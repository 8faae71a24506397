"""Measurements as Markdown tables, for those who look at them in a browser."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retrain_pipeline.records.render import escape_markdown

if TYPE_CHECKING:
    from retrain_pipeline.insight.effects import Effect
    from retrain_pipeline.insight.measure import Measured
    from retrain_pipeline.insight.paths import Step
    from retrain_pipeline.insight.split import Split

MAX_LINES = 20
"""An orchestrator keeps every table for good; the record has all lines."""


def tables(measured: "Measured") -> dict[str, str]:
    """Return the tables that have lines as Markdown, by name."""
    return {name: table(HEADS[name], lines) for name, lines in lines_of(measured).items() if lines}


def lines_of(measured: "Measured") -> dict[str, list[tuple[str, ...]]]:
    """Return the lines of each table of `HEADS`."""
    return {
        "importances": [
            (one.feature, f"{one.rise:+.4g}", f"{one.low:.4g} to {one.high:.4g}") for one in measured.importances
        ],
        "ablation": _effects(measured.ablation),
        "sensitivity": _effects(measured.sensitivity),
        "paths": [
            (path.which, path.why, f"{path.start:.4g}", _told(path.steps[:3]), f"{path.answer:.4g}", path.truth)
            for path in measured.paths
        ],
        "groups": [
            (f"{one.column} {one.value}", one.stage, str(one.rows), f"{one.share:.1%}", _signed(one.moved_share),
             number(one.label_mean), number(one.prediction_mean), number(one.loss), f"{one.missing:.1%}")
            for one in measured.groups
        ],
        "out_of_range": [(one.feature, f"{one.share:.1%}", one.known) for one in measured.out_of_range],
        "causes": split_lines(measured.split) if measured.split else [],
        "open": [(one.what, one.why) for one in measured.not_measured],
    }  # fmt: skip


HEADS: dict[str, tuple[str, ...]] = {
    "importances": ("feature", "rise of the loss", "interval"),
    "ablation": ("without", "difference", "interval", "words"),
    "sensitivity": ("with", "difference", "interval", "words"),
    "paths": ("row", "why this one", "on average", "moved most by", "answer", "truth"),
    "groups": ("group", "stage", "rows", "share", "moved", "label", "prediction", "loss", "missing"),
    "out_of_range": ("feature", "evaluation rows beyond training", "known"),
    "causes": ("cause", "part", "over the seeds", "verdict", "words"),
    "open": ("not measured", "why"),
}


def split_lines(split: "Split") -> list[tuple[str, ...]]:
    """Return a line for each cause of the change of the metric."""
    return [
        (one.cause, f"{one.moved:+.4g}", span(one.low, one.high), one.verdict.value, one.words) for one in split.parts
    ]


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return lines as a Markdown table, the first `MAX_LINES`, and how many others there are."""
    rows = [list(head), ["---"] * len(head)]
    rows += [[escape_markdown(cell) for cell in line] for line in lines[:MAX_LINES]]
    rest = f"\nand {len(lines) - MAX_LINES} more" if len(lines) > MAX_LINES else ""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + rest


def number(value: float | None) -> str:
    """Return a number with four significant digits; nothing for none."""
    return "" if value is None else f"{value:.4g}"


def span(low: float | None, high: float | None) -> str:
    """Return an interval; nothing where there is none."""
    return "" if low is None or high is None else f"{low:.4g} to {high:.4g}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.1%}"


def _told(steps: "Sequence[Step]") -> str:
    return ", ".join(f"{one.feature} = {one.value} ({one.moved:+.4g})" for one in steps)


def _effects(effects: "Sequence[Effect]") -> list[tuple[str, ...]]:
    return [
        (one.name, f"{one.difference:+.4g}" if one.difference is not None else "", span(one.low, one.high), one.words)
        for one in effects
    ]
