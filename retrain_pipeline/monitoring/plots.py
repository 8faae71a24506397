"""Pictures of monitoring, as PNG bytes."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.monitoring.joint import CalibrationBin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LOSS, _VALIDATED, _GREY, _OUTSIDE = "#0b6e99", "#b5541c", "#8a8a8a", "#b00020"
_Z = 1.96


@dataclass(frozen=True)
class LossPoint:
    """The labels that became known in a period: their mean loss, half its 95 % interval, the champion's validated."""

    start: datetime
    loss: float
    half: float | None = None
    validated: float | None = None


@dataclass(frozen=True)
class GuessPoint:
    """A period as estimated without labels, half the 95 % interval of that, and the loss that came true (None: yet)."""

    start: datetime
    estimate: float
    half: float
    realized: float | None = None


def loss_plot(
    losses: Sequence[LossPoint],
    releases: Sequence[datetime],
    title: str,
    *,
    guesses: Sequence[GuessPoint] = (),
    bins: Sequence[CalibrationBin] = (),
) -> bytes:
    """Draw the loss over time; below it, what was estimated without labels beside what came true; and calibration.

    Parameters
    ----------
    losses
        One a period, in order.
    releases
        Moments from which a new champion served.
    guesses
        One a predicted period, in order; the panel is left out when there is none.
    bins
        Of the newest labelled rows, in order of the prediction; likewise.
    """
    # The object-oriented interface needs no display and leaves no global state, unlike pyplot.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = ["loss", *(["guess"] if guesses else [])]
    mosaic: Any = [[one, one, *(["bins"] if bins else [])] for one in rows]
    figure = Figure(figsize=(11.5 if bins else 7.5, 2.5 * len(rows) + 0.7), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplot_mosaic(mosaic)
    _loss_panel(panels["loss"], losses)
    if guesses:
        panels["guess"].sharex(panels["loss"])
        _guess_panel(panels["guess"], guesses)
    if bins:
        _calibration_panel(panels["bins"], bins)
    for name in rows:
        _over_time(panels[name], releases, first=name == rows[0])
    for name in rows[:-1]:
        panels[name].tick_params(labelbottom=False)
    panels[rows[-1]].set_xlabel("period (UTC)")
    figure.suptitle(title.replace("$", r"\$"), fontsize=11, x=0.01, ha="left")
    return _png(figure)


def _loss_panel(axes: Any, losses: Sequence[LossPoint]) -> None:
    at = [one.start for one in losses]
    axes.plot(at, [one.loss for one in losses], color=_LOSS, marker="o", markersize=3, label="loss of labels as known")
    low, high = ([one.loss + side * _or_nan(one.half) for one in losses] for side in (-1, 1))
    if any(one.half is not None for one in losses):
        axes.fill_between(at, low, high, color=_LOSS, alpha=0.18, linewidth=0, label="95 % interval")
    promised = [_or_nan(one.validated) for one in losses]
    axes.step(at, promised, color=_VALIDATED, linestyle="--", where="post", label="validated loss")


def _guess_panel(axes: Any, guesses: Sequence[GuessPoint]) -> None:
    at = [one.start for one in guesses]
    axes.plot(at, [one.estimate for one in guesses], color=_GREY, label="estimated without labels")
    low, high = ([one.estimate + side * one.half for one in guesses] for side in (-1, 1))
    axes.fill_between(at, low, high, color=_GREY, alpha=0.25, linewidth=0, label="95 % interval")
    for inside, color in ((True, _LOSS), (False, _OUTSIDE)):
        came = [
            (one.start, one.realized)
            for one in guesses
            if one.realized is not None and (abs(one.realized - one.estimate) <= one.half) is inside
        ]
        if came:
            label = f"came true {'inside' if inside else 'outside'} ({len(came)})"
            axes.plot(*zip(*came, strict=True), "o", color=color, markersize=4, label=label)


def _over_time(axes: Any, releases: Sequence[datetime], *, first: bool) -> None:
    for number, moment in enumerate(releases):
        label = "release" if first and number == 0 else None
        axes.axvline(moment, color="black", linewidth=0.8, linestyle=":", label=label)
    axes.set_ylabel("mean loss" if first else "by predicted period")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", labelrotation=20)
    # above the axes, where it hides no point
    axes.legend(frameon=False, fontsize=8, ncols=5, columnspacing=1.2, loc="lower left", bbox_to_anchor=(-0.01, 1.0))


def _calibration_panel(axes: Any, bins: Sequence[CalibrationBin]) -> None:
    """Draw what came true over what was predicted, a point a bin, with Wilson's 95 % interval."""
    told, came = [one.predicted for one in bins], [one.observed for one in bins]
    bounds = [wilson(one.observed, one.rows) for one in bins]
    arms = [[max(y - low, 0.0) for y, (low, _) in zip(came, bounds, strict=True)],
            [max(high - y, 0.0) for y, (_, high) in zip(came, bounds, strict=True)]]  # fmt: skip
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, label="perfect")
    axes.errorbar(told, came, yerr=arms, fmt="o-", color=_LOSS, markersize=4, capsize=2, label="95 % intervals")
    rows = sum(one.rows for one in bins)
    axes.set(xlabel="predicted probability (mean of bin)", ylabel="share of positive labels", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"calibration of the newest {rows} labels", fontsize=10, loc="left")
    axes.set_aspect("equal", anchor="N")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Wilson 1927, *JASA* 22:209): within 0 and 1, also where none or all came.

    Examples
    --------
    >>> tuple(round(one, 3) for one in wilson(0.0, 10))
    (0.0, 0.278)
    """
    weight = _Z**2 / n
    centre = (share + weight / 2) / (1 + weight)
    half = _Z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _png(figure: "Figure") -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=120)
    return target.getvalue()
