"""The whole loop on real sets with gates on: what gates cost where retraining helps, and save where it hurts.

The loops are those of `gated_lives.py`, the rules those of `gated_rules.py`. Needs the folder of real sets
(RETRAIN_SHARED_DATA); losses of models are kept in data/bench, as in `triggers.py`.
"""

import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from rich.progress import Progress

from retrain_pipeline.replay.history import delayed
from retrain_pipeline.replay.matrix import LossMatrix
from retrain_pipeline.triggers.course import Policy
from retrain_pipeline_tests.bench import gated_faults, gated_hurts
from retrain_pipeline_tests.bench.gated_hurts import ALLOWED, DELAYS
from retrain_pipeline_tests.bench.gated_lives import LATER, LOOPS, Life, live
from retrain_pipeline_tests.bench.gated_rules import JUDGED
from retrain_pipeline_tests.bench.tables import markdown_table, write_page
from retrain_pipeline_tests.bench.triggers import SETS, matrix_of

BADLY = 0.01
"""A promotion that loses more than this later was a bad one, a refusal that would have gained more a missed one."""
POLICIES = {name: make for name, make in gated_hurts.POLICIES.items() if name != "every"}

Lives = dict[str, list[Life]]


def lives(progress: Progress, delay: int, make: Callable[[], Policy]) -> dict[str, Lives]:
    """Return by set, then by loop, the lives with a window and with all history."""
    found: dict[str, Lives] = {}
    for name, one in SETS.items():
        found[name] = {label: [] for label in LOOPS}
        for windowed in (True, False):
            plain = matrix_of(name, one.window if windowed else None, progress)
            late = LossMatrix(replace(plain.history, known=delayed(plain.history.batches, delay)), plain.rows)
            kept: dict[Any, Any] = {}
            for label, loop in LOOPS.items():
                found[name][label].append(live(name, late, make(), loop, one.warm_up, kept))
    return found


def table(found: dict[str, Lives]) -> str:
    """Return a loop a line: its loss relative to the loop without gates by set, and what its promotions came to."""
    rows = []
    for label in LOOPS:
        cells = [f"{relative(found[name], label):+.1%} ({_count(found[name][label])})" for name in found]
        every = [one for sets in found.values() for one in sets[label]]
        harm = [one for life in every for one in life.harm]
        missed = [one for life in every for one in life.missed]
        gains = sum(one < -BADLY for one in missed)
        shares = (
            f"{np.mean([one > BADLY for one in harm]):.0%}" if harm else "—",
            f"{gains / max(1, gains + sum(one < -BADLY for one in harm)):.0%}",
        )
        rows.append([label, *cells, *shares])
    return markdown_table(["loop", *found, "promotions worse by over 1 % later", "gains over 1 % refused"], rows)


def relative(sets: Lives, label: str) -> float:
    """Return the mean loss of a loop relative to the one without gates, of window and all history together."""
    loss, free = (statistics.mean(statistics.mean(one.losses) for one in sets[key]) for key in (label, "no gates"))
    return loss / free - 1


def _count(lived: list[Life]) -> str:
    return f"{sum(len(one.harm) for one in lived)} of {sum(one.asked for one in lived)}"


def targets(found: dict[str, Lives]) -> str:
    """Return what each loop with gates comes to, where retraining helps and where it hurts."""
    helped = [name for name in found if relative(found[name], "never retrained") > 0]
    hurt = [name for name in found if name not in helped]
    lines = []
    for label in list(LOOPS)[2:]:
        worst = max(helped, key=lambda name: relative(found[name], label))
        most = relative(found[worst], label)
        told = f"{most:+.1%} ({worst}), {'met' if most <= ALLOWED else f'missed by {most - ALLOWED:.1%}'}"
        below = ", ".join(f"{name} {relative(found[name], label):+.1%}" for name in hurt) or "none"
        lines.append(f"- {label.strip('*')}: where retraining helps at most {told}; where it hurts: {below}")
    return "\n".join(lines)


WORDS = f"""\
Each line is the same loop with another rule for who may serve: a policy asks each period, a candidate is fitted without
the {JUDGED} newest labelled batches and judged on them, and serves from then on if it is let through; what is refused
is asked for again. In the cells: mean loss relative to the loop without gates, which promotes every candidate, and
promotions of candidates; window and all history together. Wanted: at most {ALLOWED:+.0%} where retraining helps (never
retraining loses more), below 0 where it hurts. *Promotions worse by over 1 % later*: over the {LATER} batches after the
promotion. In these settings retraining hurts nowhere; the last two sections have settings in which it does."""


def section(kind: str, delay: int, progress: Progress) -> str:
    """Play every loop with one policy and label delay and return the section."""
    found = lives(progress, delay, POLICIES[kind])
    return f"## {kind[0].upper()}{kind[1:]}, labels {delay} batches late\n\n{table(found)}\n\n{targets(found)}"


def main() -> None:
    """Play every loop and write the page."""
    parts = [WORDS]
    with Progress(disable=not sys.stdout.isatty()) as progress:
        parts += [section(kind, delay, progress) for kind in POLICIES for delay in DELAYS]
    parts += [gated_hurts.part(), gated_faults.part()]
    print(write_page("gated_loop", "The whole loop with gates on", parts).read_text())


if __name__ == "__main__":
    main()
