"""Where retraining itself hurts: settings in which never retraining loses less, and what rules come to there.

Real sets as they are, with short windows and first models of more history. `gated_faults.py` judges its settings by
the same measures.
"""

import os
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

from rich.progress import Progress

from retrain_pipeline.replay.history import delayed
from retrain_pipeline.replay.matrix import LossMatrix
from retrain_pipeline.triggers.course import Policy
from retrain_pipeline.triggers.policies import Adaptive, Periodic
from retrain_pipeline_tests.bench.gated_lives import BEFORE, MORE_LOOPS, live
from retrain_pipeline_tests.bench.tables import markdown_table
from retrain_pipeline_tests.bench.triggers import CONTROL, SETS, matrix_of

FREE, NEVER = list(MORE_LOOPS)[:2]
PRODUCT = next(label for label in MORE_LOOPS if label.endswith("decay called**"))
ALLOWED = 0.01
"""What gates may cost where retraining helps, as a share of the loss."""
DELAYS = (0, 4)
POLICIES: dict[str, Callable[[], Policy]] = {
    "adaptive": lambda: Adaptive(0.02),
    "every 4th": lambda: Periodic(4),
    "every": lambda: Periodic(1),
}
SHORT = (4, 8)
SIZES: dict[str, int | None] = {f"{size} batches": size for size in SHORT}


@dataclass(frozen=True)
class Played:
    """What came of one setting of a set, by loop: the mean loss of all batches that were served."""

    name: str
    setting: tuple[str, ...]
    loss: dict[str, float]

    def relative(self, label: str) -> float:
        """Return the loss of a loop relative to the one without gates."""
        return self.loss[label] / self.loss[FREE] - 1

    @property
    def hurts(self) -> bool:
        """Never retraining loses less than retraining without gates."""
        return self.relative(NEVER) < 0


def played(
    name: str,
    setting: tuple[str, ...],
    matrix: LossMatrix,
    warm_up: int,
    kept: dict[Any, Any],
    truth: LossMatrix | None = None,
) -> list[Played]:
    """Play a matrix with each policy and label delay: every loop where retraining hurts, else the product's."""
    found = []
    for delay in DELAYS:
        late = LossMatrix(replace(matrix.history, known=delayed(matrix.history.batches, delay)), matrix.rows)
        for called, make in POLICIES.items():

            def loss(label: str, late: LossMatrix = late, make: Callable[[], Policy] = make) -> float:
                return statistics.mean(live(name, late, make(), MORE_LOOPS[label], warm_up, kept, truth).losses)

            one = Played(name, (*setting, called, f"{delay} late"), {label: loss(label) for label in (FREE, NEVER)})
            labels = list(MORE_LOOPS)[2:] if one.hurts else [PRODUCT, BEFORE]
            one.loss.update({label: loss(label) for label in labels})
            found.append(one)
    return found


def real(name: str) -> list[Played]:
    """Play one set as it is: first models of the warm-up or of half the batches, retrains on windows or all history."""
    own = SETS[name]
    return _as_it_is(name, {"half": 2}, {**SIZES, "declared window": own.window, "all history": None})


def unseen(name: str) -> list[Played]:
    """Play one set in settings that nobody had looked at when the rule was chosen."""
    return _as_it_is(name, {"third": 3}, {"6 batches": 6, "12 batches": 12})


def _as_it_is(name: str, shares: dict[str, int], sizes: dict[str, int | None]) -> list[Played]:
    own, found = SETS[name], list[Played]()
    with Progress(disable=True) as progress:
        everything = matrix_of(name, None, progress)
        windows = {told: matrix_of(name, size, progress) for told, size in sizes.items()}
    firsts = {"warm-up": own.warm_up}
    firsts |= {told: max(own.warm_up, everything.history.batches // share) for told, share in shares.items()}
    for first, warm_up in firsts.items():
        for window, matrix in windows.items():
            rows = {**matrix.rows, warm_up: everything.rows[warm_up]}
            found += played(name, (first, window), LossMatrix(matrix.history, rows), warm_up, {})
    return found


def by_set(play: Callable[[str], list[Played]]) -> list[Played]:
    """Play all sets, a process each as far as there are cores."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("fork")) as pool:
        return [one for found in pool.map(play, SETS) for one in found]


def looked_at(found: Sequence[Played], header: Sequence[str]) -> str:
    """Return every setting that was looked at: what never retraining and the product's gate come to, by set."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for one in found:
        cell = f"{one.relative(NEVER):+.1%} / {one.relative(PRODUCT):+.1%}"
        rows.setdefault(one.setting, {})[one.name] = f"**{cell}**" if one.hurts else cell
    return markdown_table([*header, *SETS], [[*key, *(cells[name] for name in SETS)] for key, cells in rows.items()])


def where_it_hurts(found: Sequence[Played]) -> str:
    """Return a loop a line: in how many settings that hurt it stays below 0, its median and its worst, by set."""
    rows = []
    for label in list(MORE_LOOPS)[1:]:
        cells = []
        for name in SETS:
            shares = [one.relative(label) for one in found if one.name == name and one.hurts]
            below = sum(share < 0 for share in shares)
            told = f"{below} of {len(shares)}"
            cells.append(f"{told} ({statistics.median(shares):+.1%}, {max(shares):+.1%})" if shares else "none hurts")
        rows.append([label, *cells])
    return markdown_table(["loop", *SETS], rows)


def hurt_targets(found: Sequence[Played]) -> str:
    """Return whether each loop with gates is below 0 where retraining hurts, and what gates cost where it helps."""
    hurt, helped = [one for one in found if one.hurts], [one for one in found if not one.hurts]
    lines = [_target(label, hurt, "where retraining hurts", lambda share: share < 0) for label in list(MORE_LOOPS)[2:]]
    for label in (PRODUCT, BEFORE):
        lines.append(_target(label, helped, "where it helps", lambda share: share <= ALLOWED))
    return "\n".join(lines)


def _target(label: str, found: Sequence[Played], where: str, aim: Callable[[float], bool]) -> str:
    """Return what a loop comes to by set, in how many settings it reaches the aim, and its worst."""
    shares = {name: [one.relative(label) for one in found if one.name == name] for name in SETS}
    means = {name: statistics.mean(own) for name, own in shares.items() if own}
    told = ", ".join(f"{name} {mean:+.1%}" for name, mean in means.items())
    worst, reached = max(found, key=lambda one: one.relative(label)), sum(aim(one.relative(label)) for one in found)
    verdict = "met" if aim(max(means.values())) else "missed"
    return (
        f"- {label.strip('*')}, {where}, mean of the settings: {told}: {verdict}; "
        f"single settings: {reached} of {len(found)}, at worst {worst.relative(label):+.1%} ({_told(worst)})"
    )


def _told(one: Played) -> str:
    return ", ".join(part for part in (one.name, *one.setting) if part)


def says(found: Sequence[Played]) -> str:
    """Return in a sentence what the product's rule saves of what retraining costs where it hurts."""
    hurt = [one for one in found if one.hurts]
    below = sum(one.relative(PRODUCT) < 0 for one in hurt)
    saved = statistics.median(one.relative(PRODUCT) / one.relative(NEVER) for one in hurt)
    own = [one for one in hurt if one.name == CONTROL]
    own_below = sum(one.relative(PRODUCT) < 0 for one in own)
    return (
        f"Retraining hurts in {len(hurt)} of {len(found)} settings. The product's rule is below the loop without gates "
        f"in {below} of them ({CONTROL}: {own_below} of {len(own)}), and saves a median {saved:.0%} of what never "
        "retraining would have saved."
    )


def counted(found: Sequence[Played]) -> str:
    """Return how many settings hurt, by set."""
    by = {name: [one.hurts for one in found if one.name == name] for name in SETS}
    return ", ".join(f"{name} {sum(hurts)} of {len(hurts)}" for name, hurts in by.items())


WORDS = f"""\
Asked: does retraining hurt anywhere, and are gates below 0 there? It hurts where never retraining loses less than
retraining without gates. Five sets, each by itself: first models fitted on the warm-up of `triggers.md` or on all of
the first half of the batches; retrains on the newest {" or ".join(map(str, SHORT))} batches, on the declared window,
or on all history; three policies (`adaptive`, every 4th batch, every batch); labels on time or 4 batches late. These
are all the settings that were looked at. In the cells: never retraining / the product's rule where decay called,
relative to no gates; bold where retraining hurts."""
READ = """\
The same rules as above in the settings that hurt, and one more. In the cells: in how many of them the loop loses less
than without gates (its median, and its worst). Settings are picked by the loss without gates itself, so chance alone
puts any other rule a little below 0. The last rule is the product's before: it kept a champion that had become far
worse than the anchor as long as no candidate was shown to be within 5 % of the anchor too, though the anchor did not
serve. Now what is shown to be better than the champion is let through, and the champion gives way to an anchor that is
shown to be better. These settings are those in which that was seen and mended."""


UNSEEN = """\
The rule was chosen in the settings above. These are others: first models of the warm-up or of a third of the batches,
retrains on the newest 6 or 12; nobody had looked at them before, and nothing was chosen by them."""


def part() -> str:
    """Play the real sets and return the section."""
    found, later = by_set(real), by_set(unseen)
    head = ["first model", "retrains learn from", "policy", "labels"]
    return "\n\n".join(
        [
            "## Where retraining hurts, on the sets as they are",
            WORDS,
            looked_at(found, head),
            f"Retraining hurts in: {counted(found)}. {READ}",
            where_it_hurts(found),
            says(found),
            hurt_targets(found),
            f"### In settings that were not looked at before\n\n{UNSEEN}\n\n{says(later)}",
            f"Retraining hurts in: {counted(later)}.",
            hurt_targets(later),
        ]
    )
