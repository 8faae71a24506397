"""Pictures of monitoring, as PNG bytes."""

import io
from collections.abc import Sequence
from datetime import datetime

_LOSS, _VALIDATED, _RELEASE = "#0b6e99", "#b5541c", "#8a8a8a"


def loss_plot(
    periods: Sequence[datetime],
    losses: Sequence[float],
    validated: Sequence[float | None],
    releases: Sequence[datetime],
    title: str,
) -> bytes:
    """Draw the loss of each period against the validated loss of its champion, releases marked.

    Parameters
    ----------
    periods, losses, validated
        One a period: its start, the mean loss of the labels that became known in it, the champion's validated loss.
    releases
        Moments from which a new champion served.
    """
    # The object-oriented interface needs no display and leaves no global state, unlike pyplot.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(periods, losses, color=_LOSS, marker="o", markersize=3, label="loss of labels as they came")  # type: ignore[arg-type]
    promised = [float("nan") if value is None else value for value in validated]
    axes.step(periods, promised, color=_VALIDATED, linestyle="--", where="post", label="validated loss")  # type: ignore[arg-type]
    for number, moment in enumerate(releases):
        axes.axvline(moment, color=_RELEASE, linewidth=1, label="release" if number == 0 else None)  # type: ignore[arg-type]
    axes.set_title(title.replace("$", r"\$"), fontsize=11, loc="left")
    axes.set(xlabel="period (UTC)", ylabel="mean loss")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.autofmt_xdate()
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=120)
    return target.getvalue()
