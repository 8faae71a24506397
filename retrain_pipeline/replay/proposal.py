"""A change of policy as a page for its review: what came of its replay, and which past decisions would be others."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from retrain_pipeline.files import write_whole
from retrain_pipeline.replay.decisions import Redecided
from retrain_pipeline.replay.picture import frontier_plot
from retrain_pipeline.replay.report import Replay

_MOST = 20


def write_proposal(file: Path, found: Replay, declared: str, decisions: Mapping[str, Sequence[Redecided]]) -> None:
    """Write the page, and its picture beside it.

    Parameters
    ----------
    file
        Markdown; the picture gets the same name with ``.png``.
    declared
        The policy of today.
    decisions
        What each policy would have decided on the record, the declared one first.
    """
    history, picture = found.matrix.history, file.with_suffix(".png")
    rows = found.rows()
    served = len(found.outcomes[0].episode.losses)
    parts = [
        f"# When to retrain {history.name}",
        f"Declared today: `{declared}`. Replayed: {served} periods up to {history.keys[-1]}, labels as late as they "
        f"came; rows and labels `{history.digest[:16]}`.",
        "\n".join(_table(list(rows[0]), [list(row.values()) for row in rows])),
        f"![loss by number of retrains]({picture.name})",
        *(_told(name, one) for name, one in decisions.items()),
    ]
    write_whole(picture, frontier_plot(found.frontier, found.outcomes, f"{history.name}: loss by number of retrains"))
    write_whole(file, ("\n\n".join(parts) + "\n").encode())


def _told(policy: str, decisions: Sequence[Redecided]) -> str:
    other = [one for one in decisions if not one.same]
    head = f"## `{policy}` on the record\n\n{len(decisions)} decisions, {len(other)} would be others"
    if not other:
        return f"{head}."
    rows = [[one.period, one.taken or "wait", _again(one), one.again.reasons[-1].replace("|", "/")] for one in other]
    more = f"\n\nand {len(other) - _MOST} more" if len(other) > _MOST else ""
    words = "; after the first the record is that of another history."
    return f"{head}{words}\n\n" + "\n".join(_table(["period", "then", "now", "because"], rows[:_MOST])) + more


def _again(one: Redecided) -> str:
    return one.again.trigger_id if one.again.action == "retrain" else "wait"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (names, ["---"] * len(names), *rows)]
