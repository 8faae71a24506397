"""A lane beside its model: what both answered on the same later rows, paired, with bounds that hold at every look."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lanes import Lane
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

HEADER = ("compared", "rows", "blocks", "lane", "model", "lane minus model", "bounds", "verdict")


@dataclass(frozen=True)
class Beside:
    """Mean row losses of a lane and its model on the same rows. PASS: the lane is better; FAIL: it is worse."""

    compared: str
    rows: int
    blocks: int
    lane_loss: float | None = None
    model_loss: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: Verdict = Verdict.INCONCLUSIVE

    def cells(self) -> tuple[str, ...]:
        """Return a table's row, as `HEADER` names it."""
        numbers = (self.lane_loss, self.model_loss, self.difference)
        bounds = "—" if self.low is None or self.high is None else f"[{self.low:.4g}, {self.high:.4g}]"
        told = ("—" if value is None else f"{value:.4g}" for value in numbers)
        return (self.compared, str(self.rows), str(self.blocks), *told, bounds, self.verdict.value)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain JSON values."""
        return {**self.__dict__, "verdict": self.verdict.value}


def side_by_side(stores: "Stores", spec: "ModelSpec", lane: Lane) -> list[Beside]:
    """Compare a lane with its model as of the newest moment that both were monitored: the champions of now, and the
    loops, each by who was champion at the time.

    Nobody is scored on rows that they have seen: a period is answered by a version whose data ended before it
    (`release.serving.score_period`), also where it is played later.

    Parameters
    ----------
    spec
        The lane's declaration.
    """
    as_of = _newest_common(stores, spec.name, lane.of)
    if as_of is None:
        words = f"{spec.name} or {lane.of} was never monitored"
        return [Beside(words, 0, 0)]
    rows = _paired(stores, spec, lane, as_of)
    found = [_compared("loops, each by its champion of the time", rows, spec)]
    champions = [row.state["champion"] for row in map(stores.ledger.deployment, (spec.name, lane.of)) if row]
    if len(champions) == 2:
        now = rows[(rows["lane_version"] == champions[0]) & (rows["model_version"] == champions[1])]
        found.insert(0, _compared(f"{champions[0]} beside {champions[1]}, the champions of now", now, spec))
    return found


def as_markdown(found: list[Beside]) -> str:
    """Return the comparison as a Markdown table."""
    lines = [HEADER, ("---",) * len(HEADER), *(one.cells() for one in found)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _newest_common(stores: "Stores", lane: str, model: str) -> datetime | None:
    moments = []
    for name in (lane, model):
        monitored = stores.ledger.latest(name, "monitored")
        if monitored is None:
            return None
        moments.append(datetime.fromisoformat(monitored.payload["as_of"]))
    return min(moments)


def _paired(stores: "Stores", spec: "ModelSpec", lane: Lane, as_of: datetime) -> "pd.DataFrame":
    """Return the rows that both answered and whose label is mature, with each side's loss and version."""
    import pandas as pd

    from retrain_pipeline.monitoring.feedback import mature_feedback, mature_until

    identity = list(dict.fromkeys([*spec.data.key, "_event_time"]))
    sides = []
    for side, name in (("lane", spec.name), ("model", lane.of)):
        rows = mature_feedback(stores.lake, spec.model_copy(update={"name": name}), as_of)
        if rows.empty:
            return pd.DataFrame({"lane_version": [], "model_version": []})
        rows = rows[rows["_event_time"] < mature_until(spec, as_of)].drop_duplicates(identity, keep="last")
        told = rows[identity].assign(**{f"{side}_loss": rows["loss"], f"{side}_version": rows["model_version"]})
        sides.append(told)
    both = sides[0].merge(sides[1], on=identity, how="inner")
    return both.sort_values("_event_time", kind="stable").reset_index(drop=True)


def _compared(what: str, rows: "pd.DataFrame", spec: "ModelSpec") -> Beside:
    """Return the paired difference with a confidence sequence over blocks: a look costs nothing, at any time."""
    from retrain_pipeline.gates.online import block_means, mean_sequence

    if rows.empty:
        return Beside(what, 0, 0)
    gates, calendar = spec.gates, spec.data.time.calendar()
    ours, theirs = rows["lane_loss"].to_numpy(), rows["model_loss"].to_numpy()
    blocks = block_means(ours - theirs, rows["_event_time"], gates.block_hours)
    hours = (calendar.shift(calendar.origin, 1) - calendar.origin).total_seconds() / 3600
    # tightest when the lane has run for as long as a training window: said beforehand, not when it looks well
    expected = max(int(spec.training.window_periods * hours / gates.block_hours), 1)
    bounds = mean_sequence(blocks.values, alpha=gates.alpha, expected=expected, effective=blocks.effective)
    mean, reference = float(ours.mean()), float(theirs.mean())
    told = Beside(what, len(rows), bounds.blocks, mean, reference, mean - reference)
    if len(rows) < gates.min_rows or not bounds.enough:
        return told
    verdict = Verdict.PASS if bounds.high < 0 else Verdict.FAIL if bounds.low > 0 else Verdict.INCONCLUSIVE
    return Beside(**{**told.__dict__, "low": bounds.low, "high": bounds.high, "verdict": verdict})
