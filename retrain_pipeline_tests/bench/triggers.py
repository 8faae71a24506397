"""Triggers against a cron job, on real data with real drift: the protocol of the replay, all peers in one run.

Needs river and evidently, and the folder of real sets (RETRAIN_SHARED_DATA, by default beside the checkout). NannyML
joins where RETRAIN_BENCH_NANNYML_PYTHON names an interpreter that has it. What peers decided is kept in
data/bench/peers, so that they are asked once.
"""

import os
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.progress import Progress

from retrain_pipeline.replay.compare import PERIODS, Outcome, compare, frontier
from retrain_pipeline.replay.history import History, delayed, from_table
from retrain_pipeline.replay.matrix import LossMatrix, Recipe, loss_matrix
from retrain_pipeline.spec.model import Candidate
from retrain_pipeline.triggers.course import Policy
from retrain_pipeline.triggers.policies import Adaptive, CumulativeExcess, ErrorThreshold, Never, Periodic
from retrain_pipeline_tests.bench.peers import asked_once, peers
from retrain_pipeline_tests.bench.tables import FOLDER, markdown_table, write_page

CHECKOUT = Path(__file__).parents[2]
CACHE = CHECKOUT / "data" / "bench"
COSTS = (0.02, 0.1)
DELAYS = (0, 4)
TUNED_ON = ("bike_demand", "electricity")
CONTROL = "metro_traffic"
OURS = "adaptive"


@dataclass(frozen=True)
class RealSet:
    """One set: file, columns, and the batches of the protocol."""

    file: str
    time: str
    label: str
    task: str
    rows_per_batch: int
    warm_up: int
    window: int
    drop: tuple[str, ...] = ()

    def history(self, folder: Path) -> History:
        return from_table(
            folder / self.file,
            time=self.time,
            label=self.label,
            task=self.task,
            rows_per_batch=self.rows_per_batch,
            drop=self.drop,
        )


SETS = {
    "bike_demand": RealSet(
        "bike_demand/hour.csv", "dteday", "cnt", "regression", 168, 12, 52, ("instant", "casual", "registered")
    ),
    "electricity": RealSet("electricity/electricity.csv.gz", "timestamp", "price_up", "binary", 336, 8, 26),
    "noaa_weather": RealSet("noaa_weather/noaa_weather.csv.gz", "timestamp", "rain", "binary", 365, 4, 20),
    "beijing_pm25": RealSet("beijing_pm25/beijing_pm25.parquet", "time", "pm_data", "regression", 336, 12, 52, ("No",)),
    "metro_traffic": RealSet(
        "metro_traffic/metro_traffic.parquet", "date_time", "traffic_volume", "regression", 336, 12, 52
    ),
}


def recipe(history: History, window: int | None) -> Recipe:
    """Return gradient-boosted trees of 100 iterations, as in the sets' description."""
    kind = "Regressor" if history.task == "regression" else "Classifier"
    estimator = f"sklearn.ensemble.HistGradientBoosting{kind}"
    return Recipe(Candidate(estimator=estimator, params={"max_iter": 100, "early_stopping": False}), window)


def shared_folder() -> Path:
    """Return the folder of real sets."""
    folder = Path(os.environ.get("RETRAIN_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        sys.exit(f"{folder} is absent: set RETRAIN_SHARED_DATA to the folder of the real sets")
    return folder


def matrix_of(name: str, window: int | None, progress: Progress) -> LossMatrix:
    """Return the losses of a set with a window of batches, or None for all history; from data/bench where they are."""
    history = SETS[name].history(shared_folder())
    task = progress.add_task(f"{name}, {'all history' if window is None else f'window {window}'}")
    return loss_matrix(
        history,
        recipe(history, window),
        CACHE,
        workers=os.cpu_count() or 1,
        progress=lambda done, total: progress.update(task, completed=done, total=total),
    )


@dataclass(frozen=True)
class Measured:
    """An outcome, the seconds that deciding took, and the seconds of fitting what was released or compared with."""

    outcome: Outcome
    check_seconds: float
    fit_seconds: float


def measured(name: str, windowed: bool, delay: int, matrix: LossMatrix) -> list[Measured]:
    """Return what came of every policy on one set, one way of training and one label delay."""
    warm_up = SETS[name].warm_up
    late = LossMatrix(
        replace(matrix.history, known=delayed(matrix.history.batches, delay)), matrix.rows, matrix.fit_seconds
    )
    own = [Adaptive, lambda _: Never(), *(partial(_cron, every) for every in PERIODS)]
    own += [lambda _: ErrorThreshold(0.1), lambda _: ErrorThreshold(0.25)]
    own += [lambda _: CumulativeExcess(0.05), lambda _: CumulativeExcess(0.2)]
    window = SETS[name].window if windowed else None
    asked = [asked_once(key, make, late, window, warm_up, CACHE) for key, make in peers(late, window).items()]
    seconds = {peer.name: taken for peer, taken in asked}
    makers = [*own, *(partial(_same, peer) for peer, _ in asked)]
    return [
        Measured(one, seconds.get(one.episode.policy, one.episode.seconds), fit_seconds(one, late))
        for one in compare(late, makers, COSTS, warm_up, frontier(late, warm_up))
    ]


def fit_seconds(outcome: Outcome, matrix: LossMatrix) -> float:
    """Return what fitting took: the models that were released after the first, for ours one each labelled batch."""
    known, start = matrix.history.known, outcome.episode.start
    if called(outcome) == OURS:
        return sum(matrix.fit_seconds[s] for s in range(known[start] + 1, known[-2] + 1))
    return sum(matrix.fit_seconds[known[t]] for t in outcome.episode.retrains)


def _same(policy: Policy, _: float) -> Policy:
    return policy


def _cron(every: int, _: float) -> Periodic:
    return Periodic(every)


def called(outcome: Outcome) -> str:
    """Return a policy's name without its cost."""
    name = outcome.episode.policy
    return OURS if name.startswith(OURS) else name


def main() -> None:
    """Measure everything and write the page."""
    found: dict[tuple[int, float], dict[str, dict[str, Measured]]] = defaultdict(lambda: defaultdict(dict))
    with Progress() as progress:
        for name in SETS:
            for windowed in (True, False):
                matrix = matrix_of(name, SETS[name].window if windowed else None, progress)
                for delay in DELAYS:
                    for one in measured(name, windowed, delay, matrix):
                        key = f"{name} {'window' if windowed else 'all'}"
                        found[delay, one.outcome.cost][called(one.outcome)][key] = one
    write_page("triggers", "When to retrain: policies on real drift", _parts(found))
    print((FOLDER / "triggers.md").read_text())


def _parts(found: dict[tuple[int, float], dict[str, dict[str, Measured]]]) -> list[str]:
    parts = [
        "Five real sets, each with a training window and with all history; gradient-boosted trees of 100 iterations; "
        "labels with the end of their batch (D = 0) or four batches late (D = 4). Gain: matched-budget gain over a "
        "cron job with as many retrains, in shares of what choosing well can be worth; 10 sets (5 × 2). Regret: mean "
        f"loss plus cost above the best plan of hindsight. {OURS} was tuned on {' and '.join(TUNED_ON)} only; `always` "
        "and `never` fire at every batch and at none.",
        "Check seconds are what deciding took over a whole set; fit seconds what fitting the released models took, on "
        f"one thread. To ask what a model fitted anew would have saved, `{OURS}` fits one each batch, released or not: "
        "about what `always` trains, and the same whatever a retrain costs. Other work ran beside: "
        "seconds are compared within a column, no further.",
    ]
    for (delay, cost), policies in sorted(found.items()):
        rows = sorted((_row(name, sets) for name, sets in policies.items()), key=lambda row: float(row[3]))
        header = ["policy", "gain, median", "gain, mean", "regret, mean", "retrains, median"]
        header += ["check seconds, mean", "fit seconds, mean"]
        parts.append(f"## D = {delay}, a retrain costs {cost}\n\n{markdown_table(header, rows)}")
    parts.append(_targets(found))
    return parts


def _row(name: str, sets: dict[str, Measured]) -> list[str]:
    outcomes = [one.outcome for one in sets.values()]
    gains = [one.gain for one in outcomes]
    return [
        name,
        f"{statistics.median(gains):+.3f}",
        f"{statistics.mean(gains):+.3f}",
        f"{statistics.mean(one.regret for one in outcomes):.4f}",
        f"{statistics.median(len(one.episode.retrains) for one in outcomes):g}",
        f"{statistics.mean(one.check_seconds for one in sets.values()):.2f}",
        f"{statistics.mean(one.fit_seconds for one in sets.values()):.0f}",
    ]


def _targets(found: dict[tuple[int, float], dict[str, dict[str, Measured]]]) -> str:
    lines = []
    for delay, wanted in ((0, 0.08), (4, 0.05)):
        for part, keep in (
            ("all sets", lambda _: True),
            ("sets not tuned on", lambda key: key.split()[0] not in TUNED_ON),
        ):
            gains = {
                cost: statistics.median(one.outcome.gain for key, one in found[delay, cost][OURS].items() if keep(key))
                for cost in COSTS
            }
            told = ", ".join(f"{gain:+.3f} at cost {cost}" for cost, gain in gains.items())
            lines.append(f"- gain at D = {delay}, {part}: {told}; wanted {wanted:+.2f}")
    for (delay, cost), policies in sorted(found.items()):
        regrets = {
            name: statistics.mean(one.outcome.regret for one in sets.values()) for name, sets in policies.items()
        }
        ours = regrets.pop(OURS)
        best = min(regrets, key=regrets.__getitem__)
        lines.append(
            f"- regret at D = {delay}, cost {cost}: {ours:.4f}, {ours / regrets[best]:.2f} × the best single peer's "
            f"({best}, {regrets[best]:.4f}); wanted at most 0.6 ×"
        )
    for (delay, cost), policies in sorted(found.items()):
        control = [one.outcome for key, one in policies[OURS].items() if key.startswith(CONTROL)]
        per_50 = max(50 * len(one.episode.retrains) / len(one.episode.losses) for one in control)
        lines.append(
            f"- benign control ({CONTROL}), D = {delay}, cost {cost}: {per_50:.1f} retrains in 50 batches; wanted 2"
        )
    return "## Targets\n\n" + "\n".join(lines)


if __name__ == "__main__":
    main()
