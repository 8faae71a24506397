"""A rollout for people: the results of a look as a table, and its course as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.release.look import read_look
from retrain_pipeline.release.rollout import LOOKED

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

_SHOWN = 64


@dataclass(frozen=True)
class Point:
    """One look at a trial: the bounds of what the version loses more than it may."""

    period: str
    stage: str
    low: float | None
    high: float | None
    move: str


def results_table(results: Sequence[GateResult]) -> str:
    """Return results as a Markdown table."""
    lines = ["| check | verdict | words |", "|---|---|---|"]
    for one in results:
        words = " ".join(one.words.replace("|", "/").split())
        lines.append(f"| {one.gate} | {one.verdict} | {words} |")
    return "\n".join(lines)


def trial_points(stores: "Stores", model: str) -> tuple[str, list[Point]]:
    """Return the version that was looked at last, and its looks, the oldest first."""
    newest = stores.ledger.latest(model, LOOKED)
    if newest is None or newest.subject is None:
        return "", []
    entries = stores.ledger.entries(model=model, action=LOOKED, subject=newest.subject, limit=_SHOWN, newest_first=True)
    points = []
    for entry in reversed(entries):
        found = read_look(stores.artifacts, str(entry.payload["look"])).result("online_loss")
        low, high = found.interval if found is not None and found.interval is not None else (None, None)
        share = f" {entry.payload['share']:.0%}" if entry.payload["share"] else ""
        points.append(
            Point(str(entry.payload["period"]), f"{entry.payload['stage']}{share}", low, high, entry.payload["move"])
        )
    return newest.subject, points


def stored_trial_plot(stores: "Stores", model: str) -> str | None:
    """Draw the newest trial, store the picture and return its digest; None where nothing was ever on trial."""
    version, points = trial_points(stores, model)
    return stores.artifacts.put(trial_plot(f"{model} {version}", points)) if points else None


def trial_plot(title: str, points: Sequence[Point]) -> bytes:
    """Return a PNG of the bounds of the excess loss by period; on the good side of 0 it goes on."""
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.add_subplot()
    colours = {"advance": "tab:green", "promote": "tab:green", "withdraw": "tab:red"}
    for at, point in enumerate(points):
        colour = colours.get(point.move, "tab:blue")
        if point.low is not None and point.high is not None:
            axes.plot([at, at], [point.low, point.high], color=colour, linewidth=4, solid_capstyle="round")
        else:
            axes.plot(at, 0, marker="x", color="tab:gray")
        axes.annotate(point.stage, (at, 0), xytext=(4, 4), textcoords="offset points", fontsize=7, color="tab:gray")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(points)), [point.period for point in points], rotation=45, ha="right", fontsize=7)
    axes.set_ylabel("excess loss beyond the margin")
    axes.set_title(f"{title}: bounds that hold at every look (below 0: no worse; x: no label yet)", fontsize=9)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    return data.getvalue()
