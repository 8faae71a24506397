"""The loop on real sets into which broken labels are planted, as pipelines break them.

Models are fitted, watched and judged on the labels as they came in; what counts is their loss on the true ones. Both
are kept in data/bench, one file a model. Of the gates only the quality gate plays, with its budget and anchor.
"""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.progress import Progress

from retrain_pipeline.gates.labels import far_off
from retrain_pipeline.learning.losses import row_losses
from retrain_pipeline.learning.prediction import predict
from retrain_pipeline.replay.history import History
from retrain_pipeline.replay.matrix import MIN_FIRST, LossMatrix, Recipe, fit_at
from retrain_pipeline_tests.bench.gated_hurts import (
    FREE,
    NEVER,
    POLICIES,
    PRODUCT,
    Played,
    by_set,
    counted,
    hurt_targets,
    looked_at,
    played,
    says,
    where_it_hurts,
)
from retrain_pipeline_tests.bench.gated_lives import LOOPS, live
from retrain_pipeline_tests.bench.tables import FOLDER
from retrain_pipeline_tests.bench.triggers import CACHE, SETS, matrix_of, recipe, shared_folder
from retrain_pipeline_tests.bench.window import JUDGED

EVERY = 10
"""In each so many batches one fault begins, at a place that is drawn."""
ROWS_LATE = 6
"""Hours (half-hours, days) by which labels are joined to the wrong rows: local time taken for UTC."""
LOST = 0.5
"""Share of the ones that are recorded as zeros: events that did not arrive."""
UNIT = 0.001
"""Numbers that came in another unit."""
SEED = 0
WINDOW = 8
"""Batches that models learn from."""
SHOWN, SHOWN_POLICY, SHOWN_BATCHES = "metro_traffic", "every 4th", 40


@dataclass(frozen=True)
class Fault:
    """Labels broken in one way, so many batches in a row."""

    kind: str
    in_a_row: int

    def batches(self, history: History, warm_up: int) -> list[int]:
        """Return the batches with broken labels; the first model learned before them."""
        rng, first = np.random.default_rng(SEED), warm_up + JUDGED
        starts = [at + int(rng.integers(EVERY - self.in_a_row + 1)) for at in range(first, history.batches, EVERY)]
        return [b for start in starts for b in range(start, start + self.in_a_row) if b < history.batches]

    def planted(self, history: History, warm_up: int) -> History:
        """Return the history as a pipeline with the fault would have stored it."""
        y, rng = history.y.copy(), np.random.default_rng(SEED)
        for b in self.batches(history, warm_up):
            first, end = history.starts[b], history.starts[b + 1]
            y[first:end] = KINDS[self.kind](history, first, end, rng)
        return replace(history, y=y)


def _shifted(history: History, first: int, end: int, _: np.random.Generator) -> np.ndarray:
    return history.y[first - ROWS_LATE : end - ROWS_LATE]


def _values(history: History, first: int, end: int, rng: np.random.Generator) -> np.ndarray:
    told = history.y[first:end]
    if history.task == "regression":
        return told * UNIT
    return np.where(rng.random(len(told)) < LOST, 0, told)


KINDS: dict[str, Callable[[History, int, int, np.random.Generator], np.ndarray]] = {
    "shifted": _shifted,
    "wrong values": _values,
}


FAULTS = (Fault("shifted", 2), Fault("wrong values", 2), Fault("wrong values", 4))


def matrices(name: str, fault: Fault | None, window: int) -> tuple[LossMatrix, LossMatrix]:
    """Return the losses on the labels that came in and on the true ones, of models that learned from the former."""
    true = SETS[name].history(shared_folder())
    if fault is None:
        with Progress(disable=True) as progress:
            return (matrix_of(name, window, progress),) * 2
    seen, way = fault.planted(true, SETS[name].warm_up), recipe(true, window)
    folder = CACHE / "faults" / way.digest(seen)
    folder.mkdir(parents=True, exist_ok=True)
    models = range(MIN_FIRST, true.batches)
    missing = [s for s in models if not (folder / f"{s:05d}.npy").exists()]
    if missing:
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("fork")) as pool:
            list(pool.map(partial(_store, seen, true, way, folder), missing, chunksize=8))
    both = {s: np.load(folder / f"{s:05d}.npy", allow_pickle=False) for s in models}
    return LossMatrix(seen, {s: one[0] for s, one in both.items()}), LossMatrix(
        true, {s: one[1] for s, one in both.items()}
    )


def _store(seen: History, true: History, way: Recipe, folder: Path, s: int) -> None:
    """Fit model s on the labels that came in and store its row losses on both."""
    from threadpoolctl import threadpool_limits

    pipeline, begin = fit_at(seen, way, s), seen.starts[s]
    with threadpool_limits(1):
        answers = predict(pipeline, seen.task, seen.features.iloc[begin:]).frame
    sides = [row_losses(seen.metric, seen.task, one.y[begin:], answers) / true.scale for one in (seen, true)]
    part = folder / f"{s:05d}.part.npy"
    np.save(part, np.array(sides, dtype=np.float32), allow_pickle=False)
    part.replace(folder / f"{s:05d}.npy")


def with_fault(name: str, fault: Fault | None) -> list[Played]:
    """Play one set with one fault, or without."""
    seen, true = matrices(name, fault, WINDOW)
    told = ("none", "") if fault is None else (fault.kind, f"{fault.in_a_row} in {EVERY}")
    return played(name, told, seen, SETS[name].warm_up, {}, true)


def planted(name: str) -> list[Played]:
    """Play one set with each fault, and without."""
    return [one for fault in (None, *FAULTS) for one in with_fault(name, fault)]


def level_moved(name: str, fault: Fault) -> tuple[int, int]:
    """Return at how many batches with broken labels the `labels` gate's first question of level says yes, and of all.

    Against the true labels of the window before. (The gate asks two things more before it fails.)
    """
    true, warm_up = SETS[name].history(shared_folder()), SETS[name].warm_up
    seen, batches, far = fault.planted(true, warm_up), fault.batches(true, warm_up), 0
    for b in batches:
        before = true.y[true.starts[max(b - WINDOW, 0)] : true.starts[b]].astype(float)
        far += far_off(true.task, seen.y[seen.starts[b] : seen.starts[b + 1]].astype(float), before)
    return far, len(batches)


def picture() -> None:
    """Draw the loss that counts, batch by batch, through the first faults of one set."""
    from matplotlib.figure import Figure

    fault, name = FAULTS[1], SHOWN
    seen, true = matrices(name, fault, WINDOW)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    for label, told, colour in (
        (FREE, "without gates", "#b5541c"),
        (PRODUCT, "with the product's gate", "#0b6e99"),
        (NEVER, "never retrained", "#8a8a8a"),
    ):
        losses = live(name, seen, POLICIES[SHOWN_POLICY](), LOOPS[label], SETS[name].warm_up, {}, true).losses
        first = true.history.batches - len(losses)
        axes.plot(range(first, first + SHOWN_BATCHES), losses[:SHOWN_BATCHES], color=colour, label=told, linewidth=1.4)
    for at, b in enumerate(b for b in fault.batches(true.history, SETS[name].warm_up) if b < first + SHOWN_BATCHES):
        axes.axvspan(b - 0.5, b + 0.5, color="#e8d9a8", linewidth=0, label=None if at else "labels broken", zorder=0)
    axes.set(xlabel="batch", ylabel="loss, share of the mean label", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    figure.savefig(FOLDER / "gated_loop.png", dpi=100, metadata={"Software": None})


WORDS = f"""\
Asked: labels break from time to time; does the gate by itself keep the loop below the loop without it? In every
{EVERY} batches, 2 or 4 in a row at drawn places (after those of the first model) have broken labels that nobody mends.
*shifted*: each row has the label of the row {ROWS_LATE} before (local time taken for UTC). *wrong values*: numbers are
{UNIT:g} of what they were (another unit); of two classes, {LOST:.0%} of the ones are zeros (events that did not
arrive). *none*: the same loop with whole labels. Models, the first one too, learn from the newest {WINDOW} batches, in
which a broken one weighs much, and are watched and judged on the labels that came in; what counts is their loss on the
true ones. The rows that judge are broken when their turn comes, and then the gate errs like everybody: 2 batches in a
row are as many as judge; of 4 in a row the first two train what the others judge. Only the quality gate plays, with
error budget and anchor. The contract's ranges, the gate `labels` and the alert on poisoned labels do not play; what
they stop would not get here. These are all the settings that were looked at, with one draw of places; longer windows
and other faults were not. Cells as above."""


def part() -> str:
    """Play the sets with faults, draw the picture and return the section."""
    found = by_set(planted)
    picture()
    broken = [one for one in found if one.setting[0] != "none"]
    moved = [f"{name} {far} of {batches}" for name in SETS for far, batches in [level_moved(name, FAULTS[1])]]
    return "\n\n".join(
        [
            "## Where labels break",
            WORDS,
            looked_at(found, ["labels broken", "batches", "policy", "labels"]),
            f"Retraining hurts in: {counted(broken)} settings with a fault. In the cells: in how many of them the loop "
            "loses less than without gates (its median, and its worst).",
            where_it_hurts(broken),
            says(broken),
            hurt_targets(broken),
            f"![loss through faults](gated_loop.png)\n\nLoss on the true labels of {SHOWN}, wrong values 2 in {EVERY}, "
            f"{SHOWN_POLICY} batch, labels on time: the first {SHOWN_BATCHES} batches.",
            "Would the gate `labels` have stopped the wrong values by their level? Its first question (of another "
            "unit; for two classes nearer to the mirror image) says yes at: "
            f"{', '.join(moved)} broken batches. Of two classes half the ones do not make a mirror image.",
        ]
    )
