"""Measurements as pictures: importances, effects, decision paths, causes, and the declared groups by stage."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrain_pipeline.insight.measure import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from retrain_pipeline.insight.effects import Effect
    from retrain_pipeline.insight.split import Split

MOST = 20
"""Bars of a picture."""
WORSE, BETTER, OPEN = "tab:red", "tab:green", "tab:gray"


def plots(model: str, version: str, measured: Measured) -> dict[str, bytes]:
    """Return a PNG by name for everything that was measured."""
    title = f"{model} {version}"
    found = {}
    if measured.importances:
        found["importances"] = importance_plot(title, measured)
    if drawn := [one for one in (*measured.ablation, *measured.sensitivity) if one.difference is not None]:
        found["effects"] = effect_plot(title, measured.metric, drawn)
    if measured.paths:
        found["paths"] = path_plot(title, measured)
    if measured.split:
        found["causes"] = split_plot(title, measured.split)
    return found


def importance_plot(title: str, measured: Measured) -> bytes:
    """Return bars of the rise of the loss by feature, with their intervals."""
    shown = measured.importances[:MOST][::-1]
    figure, axes = _panel(len(shown))
    off = [[one.rise - one.low for one in shown], [one.high - one.rise for one in shown]]
    axes.barh(range(len(shown)), [one.rise for one in shown], xerr=off, color="tab:blue", height=0.7)
    _named(axes, [one.feature for one in shown])
    axes.set_xlabel(f"rise of the mean {measured.metric} row loss when the values are mixed", fontsize=8)
    figure.suptitle(f"{title}: what the model listens to ({measured.rows} evaluation rows)", fontsize=9)
    return _png(figure)


def effect_plot(title: str, metric: str, effects: "Sequence[Effect]") -> bytes:
    """Return the differences of refits with their intervals; right of 0 the recipe as it is does better."""
    shown = list(effects)[: 2 * MOST][::-1]
    figure, axes = _panel(len(shown))
    colours = {"worse": WORSE, "better": BETTER, "not shown": OPEN}
    for at, one in enumerate(shown):
        if one.low is not None and one.high is not None:
            axes.hlines(at, one.low, one.high, color=colours[one.shown], linewidth=3)
        axes.plot(one.difference or 0.0, at, marker="o", color=colours[one.shown], markersize=4)
    axes.axvline(0, color="black", linewidth=0.8)
    _named(axes, [f"without {one.name}" if one.kind == "without" else one.name for one in shown])
    axes.set_xlabel(f"mean {metric} row loss of the refit minus that of the recipe", fontsize=8)
    figure.suptitle(f"{title}: fitted again with one thing changed (red: worse beyond noise)", fontsize=9)
    return _png(figure)


def path_plot(title: str, measured: Measured) -> bytes:
    """Return a panel for each row that is explained, features by what they moved."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(measured.paths), 3.6))
    figure.subplots_adjust(left=0.1, right=0.99, bottom=0.14, top=0.84, wspace=0.45)
    for at, path in enumerate(measured.paths):
        axes = figure.add_subplot(1, len(measured.paths), at + 1)
        steps = path.steps[:8][::-1]
        colours = ["tab:orange" if one.moved >= 0 else "tab:blue" for one in steps]
        axes.barh(range(len(steps)), [one.moved for one in steps], xerr=[one.se for one in steps], color=colours)
        axes.axvline(0, color="black", linewidth=0.8)
        _named(axes, [f"{one.feature} = {one.value}" for one in steps])
        words = f"{path.which}: {path.start:.4g} on average, {path.answer:.4g} here, truth {path.truth}"
        axes.set_title(_plain(words), fontsize=8)
        axes.set_xlabel(_plain(f"moved {path.asked} by"), fontsize=8)
    figure.suptitle(_plain(f"{title}: what moved the answer"), fontsize=9)
    return _png(figure)


def split_plot(title: str, split: "Split") -> bytes:
    """Return a bar for each cause of the change of the metric, with the range over seeds."""
    shown = split.parts[::-1]
    figure, axes = _panel(len(shown))
    for at, one in enumerate(shown):
        colour = OPEN if one.verdict != "PASS" else WORSE if one.moved > 0 else BETTER
        axes.barh(at, one.moved, color=colour, height=0.7)
        if one.low is not None and one.high is not None:
            axes.hlines(at, one.low, one.high, color="black", linewidth=1)
    axes.axvline(0, color="black", linewidth=0.8)
    _named(axes, [one.cause for one in shown])
    words = f"{split.metric} {split.old_value:.4g} ({split.old}) to {split.new_value:.4g}: {split.total:+.4g}"
    axes.set_xlabel("part of the change (line: the range over seeds)", fontsize=8)
    figure.suptitle(_plain(f"{title}: {words}"), fontsize=9)
    return _png(figure)


def _panel(bars: int) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    height = 1.2 + 0.26 * max(bars, 3)
    figure = Figure(figsize=(8, height))
    # Fixed margins: an engine that fits them to the texts takes as long as the drawing.
    figure.subplots_adjust(left=0.28, right=0.98, bottom=0.6 / height, top=1 - 0.32 / height)
    return figure, figure.add_subplot()


def _named(axes: "Axes", names: Sequence[str]) -> None:
    short = [_plain(name if len(name) <= 40 else f"{name[:39]}…") for name in names]
    axes.set_yticks(range(len(short)), short, fontsize=7)
    axes.tick_params(axis="x", labelsize=7)


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # a name is no formula


def _png(figure: Any) -> bytes:
    import io

    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    return data.getvalue()
