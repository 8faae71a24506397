"""A rollout for people: the results of a look as a table, and its course as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.release.look import GUARDRAIL, read_look
from retrain_pipeline.release.rollout import LOOKED
from retrain_pipeline.release.watch import WATCHED, read_watch
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

_SHOWN = 64


@dataclass(frozen=True)
class Point:
    """One look at a trial: the bounds of what the version loses more than it may.

    arms: of each guardrail that was held against the control, what the canary has more of it, and the verdict.
    """

    period: str
    stage: str
    low: float | None
    high: float | None
    move: str
    arms: Mapping[str, GateResult] = field(default_factory=dict)


def results_table(results: Sequence[GateResult]) -> str:
    """Return results as a Markdown table."""
    lines = ["| check | verdict | words |", "|---|---|---|"]
    for one in results:
        words = " ".join(one.words.replace("|", "/").split())
        lines.append(f"| {one.gate} | {one.verdict} | {words} |")
    return "\n".join(lines)


def trial_points(stores: "Stores", model: str) -> tuple[str, list[Point]]:
    """Return the version that was looked at last, on trial or as a new champion, and its looks, the oldest first."""
    newest = stores.ledger.latest(model, (LOOKED, WATCHED))
    if newest is None or newest.subject is None:
        return "", []
    version = newest.subject
    entries = stores.ledger.entries(
        model=model, action=(LOOKED, WATCHED), subject=version, limit=_SHOWN, newest_first=True
    )
    return version, [_point(stores, entry) for entry in reversed(entries)]


def _point(stores: "Stores", entry: Entry) -> Point:
    payload, period = entry.payload, str(entry.payload["period"])
    if entry.action == WATCHED:
        seen = read_watch(stores.artifacts, str(payload["watch"]))
        return Point(period, "champion", *_bounds(seen.results), "withdraw" if seen.broken else "watched")
    look = read_look(stores.artifacts, str(payload["look"]))
    stage = f"{payload['stage']} {payload['share']:.0%}" if payload["share"] else str(payload["stage"])
    arms = {
        one.gate.removeprefix(GUARDRAIL): one
        for one in look.results
        if one.gate.startswith(GUARDRAIL) and one.interval is not None
    }
    return Point(period, stage, *_bounds(look.results), str(payload["move"]), arms)


def _bounds(results: Sequence[GateResult]) -> tuple[float | None, float | None]:
    found = next((one for one in results if one.gate == "online_loss"), None)
    return found.interval if found is not None and found.interval is not None else (None, None)


def stored_trial_plot(stores: "Stores", model: str) -> str | None:
    """Draw the newest trial, store the picture and return its digest; None where nothing was ever on trial."""
    version, points = trial_points(stores, model)
    return stores.artifacts.put(trial_plot(f"{model} {version}", points)) if points else None


_MOVES = {
    "advance": ("tab:green", "goes on"),
    "promote": ("tab:green", "goes on"),
    "withdraw": ("tab:red", "goes back"),
}
_STAYS = ("tab:blue", "stays")


def trial_plot(title: str, points: Sequence[Point]) -> bytes:
    """Return a PNG of the bounds of the excess loss by period, in bands of stages; on the good side of 0 it goes on.

    Below it, for each guardrail that was held against the control, what the canary has more of it.
    """
    import io
    from itertools import groupby

    from matplotlib.figure import Figure

    names = sorted({name for point in points for name in point.arms})
    figure = Figure(figsize=(8, 3.2 + 1.3 * len(names)), layout="constrained")
    panels = figure.subplots(
        1 + len(names), sharex=True, squeeze=False, gridspec_kw={"height_ratios": [2.4, *(1 for _ in names)]}
    )
    axes, *lower = panels[:, 0]
    _draw_losses(axes, points)
    for band, (stage, group) in enumerate(groupby(enumerate(points), key=lambda one: one[1].stage)):
        places = [at for at, _ in group]
        for panel in (axes, *lower):
            shade = 0.02 + 0.05 * (band % 2)
            panel.axvspan(places[0] - 0.5, places[-1] + 0.5, color="black", alpha=shade, linewidth=0)
        middle = (places[0] + places[-1]) / 2
        axes.text(middle, 1.01, stage, transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=7)
    axes.set_title(f"{title}: bounds that hold at every look (below 0: no worse)", fontsize=9, pad=16)
    for panel, name in zip(lower, names, strict=True):
        _draw_arms(panel, name, points)
    for panel in (axes, *lower):
        panel.axhline(0, color="black", linewidth=0.8)
    last = lower[-1] if lower else axes
    last.set_xlim(-0.5, len(points) - 0.5)
    last.set_xticks(range(len(points)), [point.period for point in points], rotation=45, ha="right", fontsize=7)
    named = {
        label: handle
        for panel in (axes, *lower)
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(named.values(), named.keys(), loc="outside right upper", fontsize=7, frameon=False)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    return data.getvalue()


def _draw_losses(axes: Any, points: Sequence[Point]) -> None:
    for at, point in enumerate(points):
        colour, words = _MOVES.get(point.move, _STAYS)
        if point.low is None or point.high is None:
            axes.plot(at, 0, marker="x", linestyle="", color="tab:gray", label="no label yet")
        else:
            axes.vlines(at, point.low, point.high, color=colour, linewidth=4, label=words)
    axes.set_ylabel("excess loss\nbeyond the margin", fontsize=8)


_ARMS = {
    Verdict.PASS: ("tab:olive", "within its bound"),
    Verdict.INCONCLUSIVE: ("tab:orange", "beyond it, not shown worse"),
    Verdict.FAIL: ("tab:red", "goes back"),
}


def _draw_arms(axes: Any, name: str, points: Sequence[Point]) -> None:
    for at, point in enumerate(points):
        if (found := point.arms.get(name)) is not None and found.interval is not None:
            colour, words = _ARMS[found.verdict]
            axes.vlines(at, *found.interval, color=colour, linewidth=4, label=words)
    axes.set_ylabel(f"{name}\ncanary − control", fontsize=7)
