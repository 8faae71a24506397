"""The picture of a replay: mean loss by number of retrains."""

import io
from collections.abc import Sequence

from retrain_pipeline.replay.compare import Frontier, Outcome

_CRON, _HINDSIGHT, _POLICY, _OTHER = "#8a8a8a", "#2c7a4b", "#0b6e99", "#b5541c"


def frontier_plot(reached: Frontier, outcomes: Sequence[Outcome], title: str) -> bytes:
    """Draw cron jobs as a line, hindsight as the limit, and each policy as a point with its interval; PNG bytes."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    cron = sorted((len(one.retrains), one.mean_loss) for one in reached.cron)
    axes.plot(*zip(*cron, strict=True), color=_CRON, marker="o", markersize=4, label="cron jobs")
    most = max([x for x, _ in cron] + [len(one.episode.retrains) for one in outcomes])
    best = np.minimum.accumulate(reached.hindsight[: most + 1])
    axes.plot(range(len(best)), best, color=_HINDSIGHT, linestyle="--", label="hindsight, as many retrains")
    for outcome in outcomes:
        x, y = len(outcome.episode.retrains), outcome.episode.mean_loss
        color = _POLICY if outcome.episode.policy.startswith("adaptive") else _OTHER
        low, high = outcome.regret - outcome.regret_low, outcome.regret_high - outcome.regret
        axes.errorbar(x, y, yerr=[[max(low, 0)], [max(high, 0)]], color=color, marker="D", markersize=5, capsize=2)
        axes.annotate(outcome.episode.policy, (x, y), textcoords="offset points", xytext=(6, 5), fontsize=8)
    axes.set(xlabel="retrains", ylabel="mean loss", title=title.replace("$", r"\$"))
    axes.set_xscale("symlog", linthresh=4)
    axes.set_xlim(left=-0.3)
    axes.set_xticks([x for x in (0, 1, 2, 4, 8, 16, 32, 64, 128) if x <= most * 1.3])
    axes.set_xticklabels([str(x) for x in (0, 1, 2, 4, 8, 16, 32, 64, 128) if x <= most * 1.3])
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()
