"""Two pictures of a judgement, as PNG bytes: are the numbers right, and where does the candidate win or lose?"""

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from retrain_pipeline.learning.paired import MeanInterval

_CANDIDATE, _CHAMPION, _GREY = "#0b6e99", "#b5541c", "#8a8a8a"
_MAX_POINTS = 4000


def calibration_plot(
    score: "NDArray[np.float64]", truth: "NDArray[np.float64]", champion_score: "NDArray[np.float64] | None", title: str
) -> bytes:
    """Draw observed frequency over predicted probability, in ten bins of equal count."""
    figure, axes = _canvas(title)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, label="perfect")
    for name, color, told in (("candidate", _CANDIDATE, score), ("champion", _CHAMPION, champion_score)):
        if told is not None:
            x, y = _bins(told, truth, 10)
            axes.plot(x, y, marker="o", color=color, label=name)
    axes.set(xlabel="predicted probability (mean of bin)", ylabel="share of positive labels", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False)
    return _png(figure)


def residual_plot(predicted: "NDArray[np.float64]", truth: "NDArray[np.float64]", title: str) -> bytes:
    """Draw residuals (label − prediction) over predictions, with the mean of twenty bins of equal count."""
    figure, axes = _canvas(title)
    shown = slice(None, None, max(1, len(truth) // _MAX_POINTS))
    residual = truth - predicted
    axes.scatter(predicted[shown], residual[shown], s=6, alpha=0.25, color=_CANDIDATE, linewidths=0)
    x, y = _bins(predicted, residual, 20)
    axes.plot(x, y, color="black", marker="o", markersize=3, label="mean of bin")
    axes.axhline(0, color=_GREY, linewidth=1)
    axes.set(xlabel="prediction", ylabel="label − prediction")
    axes.legend(frameon=False)
    return _png(figure)


def difference_plot(
    difference: "NDArray[np.float64]", event_time: Any, block_hours: float, interval: "MeanInterval", title: str
) -> bytes:
    """Draw the mean paired loss difference of each block over time, the overall mean and its bounds."""
    import numpy as np
    import pandas as pd

    figure, axes = _canvas(title)
    frame = pd.DataFrame({"time": pd.to_datetime(np.asarray(event_time), utc=True), "difference": difference})
    width = pd.Timedelta(hours=block_hours)
    means = frame.groupby((frame["time"] - frame["time"].min()) // width)["difference"].mean()
    starts = frame["time"].min() + means.index.to_numpy() * width
    colors = np.where(means > 0, _CHAMPION, _CANDIDATE)
    axes.bar(starts, means, width=width * 0.9, align="edge", color=colors)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.axhline(interval.mean, color=_GREY, linestyle="--", label=f"mean {interval.mean:.4g}")
    if np.isfinite([interval.low, interval.high]).all():
        axes.axhspan(
            interval.low, interval.high, color=_GREY, alpha=0.2, label=f"bounds, each at level {interval.alpha:g}"
        )
    axes.set(xlabel="event time (UTC)", ylabel="loss minus reference's\n(below 0: candidate better)")
    axes.legend(frameon=False)
    figure.autofmt_xdate()
    return _png(figure)


def _bins(x: "NDArray[np.float64]", y: "NDArray[np.float64]", count: int) -> "tuple[list[float], list[float]]":
    import numpy as np

    parts = [part for part in np.array_split(np.argsort(x, kind="stable"), count) if len(part)]
    return [float(x[part].mean()) for part in parts], [float(y[part].mean()) for part in parts]


def _canvas(title: str) -> "tuple[Figure, Any]":
    # The object-oriented interface needs no display and leaves no global state, unlike pyplot.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title.replace("$", r"\$"), fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: "Figure") -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=120)
    return target.getvalue()
