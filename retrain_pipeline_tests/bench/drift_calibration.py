"""Does the drift check raise as few false alarms as it declares, and what does it find at that price?"""

import os
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise

import numpy as np
from scipy import stats

from retrain_pipeline.monitoring.drift import SPENT
from retrain_pipeline.monitoring.null import learned_null
from retrain_pipeline.monitoring.readings import LEVEL_SHARE
from retrain_pipeline_tests.bench import seasons
from retrain_pipeline_tests.bench.drift_peers import PEERS, PERIODS, RUN_LENGTH, alarms, looks_of
from retrain_pipeline_tests.bench.streams import COLUMNS, real_shuffles, stream
from retrain_pipeline_tests.bench.tables import FOLDER, markdown_table, write_page

LOOKS = 20
STREAMS = {100: 6, 336: 4, 2000: 2, 50_000: 1}
"""Streams by rows a period; of every stream 20 looks are taken."""
KINDS = ("iid", "ar0.5", "ar0.9", "periods0.9", "seasonal")
LONG = ("season30", "season52", "season60")
"""Seasons that the reference covers a part of, where there are power's rows a period."""
SHIFTS = (0.1, 0.2, 0.25, 0.3, 0.5)
POWER_ROWS = 336
# What is left of a shift by ten cells: the square root of the share of the variance between them.
_CELLS = 0.985


def null_rows(size: int) -> list[list[str]]:
    """Realized false alarms a look, per stream of one size."""
    rows = []
    for kind in (*KINDS, *(LONG if size == POWER_ROWS else ())):
        seen: dict[str, list[bool]] = {name: [] for name in PEERS}
        for seed in range(STREAMS[size]):
            looks = looks_of(stream(kind, size, PERIODS + LOOKS, np.random.default_rng([size, seed])))
            for name, peer in PEERS.items():
                # a peer's rate is high: a few looks tell it
                seen[name] += alarms(looks if name == "ours" else looks[:: LOOKS // 2], peer)
        rows.append([kind, f"{size:,}", str(len(seen["ours"])), *(rate(one) for one in seen.values())])
        print(rows[-1], flush=True)
    return rows


def real_table() -> list[list[str]]:
    """The same on shuffled real rows."""
    seen: dict[str, dict[str, list[bool]]] = {}
    for seed in range(2):
        for name, values in real_shuffles(POWER_ROWS, PERIODS + LOOKS, np.random.default_rng([9, seed])):
            looks = looks_of(values)
            for peer, function in PEERS.items():
                chosen = looks if peer == "ours" else looks[:: LOOKS // 2]
                seen.setdefault(name, {}).setdefault(peer, []).extend(alarms(chosen, function))
    return [
        [f"{name}, shuffled", f"{POWER_ROWS}", str(len(f["ours"])), *map(rate, f.values())] for name, f in seen.items()
    ]


def rate(hits: list[bool]) -> str:
    """Return a rate and, of a small one, the upper end of its 95 % interval (Clopper and Pearson 1934)."""
    k, n = sum(hits), len(hits)
    upper = stats.beta.ppf(0.95, k + 1, n - k) if k < n else 1.0
    return f"{k / n:.3f} (≤ {upper:.3f})" if k / n < 0.05 else f"{k / n:.2f}"


def power_table() -> tuple[list[list[str]], dict[str, list[float]]]:
    """Power at equal false alarms: each peer alarms at the quantile of its own null scores; `ours` as it is, too."""
    streams = 8
    makes = [lambda seed, s=shift: looks_of(_power_stream(seed), s)[:2] for shift in (0.0, *SHIFTS)]
    scores: dict[str, list[list[float]]] = {name: [] for name in PEERS}
    for make in makes:
        looks = [look for seed in range(streams) for look in make(seed)]
        for name, peer in PEERS.items():
            scores[name].append([peer(look) for look in looks])
    null = [look for seed in range(1000, 1004) for look in looks_of(_power_stream(seed))]
    curves: dict[str, list[float]] = {}
    for name, peer in PEERS.items():
        limit = float(np.quantile([peer(look) for look in null], 1 - 1 / RUN_LENGTH))
        curves[f"{name}, at equal false alarms"] = [float(np.mean(np.array(one) > limit)) for one in scores[name][1:]]
    curves["ours, as it declares"] = [float(np.mean(np.array(one) > 1)) for one in scores["ours"][1:]]
    rows = [[name, *(f"{p:.2f}" for p in curve), _delay(curve[SHIFTS.index(0.25)])] for name, curve in curves.items()]
    return rows, curves


def _power_stream(seed: int) -> np.ndarray:
    return stream("iid", POWER_ROWS, PERIODS + LOOKS, np.random.default_rng([77, seed]))


def _delay(power: float) -> str:
    return f"{1 / power:.1f}" if power > 0.005 else "> 200"


def plot(curves: dict[str, list[float]]) -> None:
    """Draw power, and the delay that follows from it, against the shift."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    power, delay = figure.subplots(1, 2)
    for name, curve in curves.items():
        power.plot(SHIFTS, curve, marker="o", markersize=3, label=name)
        delay.plot(SHIFTS, 1 / np.maximum(curve, 1 / RUN_LENGTH), marker="o", markersize=3)
    power.axhline(0.8, color="#8a8a8a", linewidth=1)
    power.set(ylabel=f"found in one look of {POWER_ROWS} rows")
    delay.set(ylabel="looks until found, mean", yscale="log")
    for axes in (power, delay):
        axes.set(xlabel="shift of one of ten columns, sd")
        axes.spines[["top", "right"]].set_visible(False)
    power.legend(frameon=False, fontsize=6)
    figure.savefig(FOLDER / "drift_calibration.png", dpi=100, metadata={"Software": None})


def evidently_rates(looks: int = 5) -> list[list[str]]:
    """Evidently's default preset on independent rows: how often any column, and how often half of them, "drift"."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    import pandas as pd
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset

    rows = []
    for kind, size, shift in (("iid", 100, 0.0), ("ar0.9", 336, 0.0), ("iid", 2000, 0.0), ("iid", 336, 0.25)):
        found = []
        for seed in range(looks):
            look = looks_of(stream(kind, size, PERIODS + 1, np.random.default_rng([5, size, seed])), shift)[0]
            sides = [Dataset.from_pandas(pd.DataFrame(x).rename(columns=str)) for x in (look.now, look.past[-size:])]
            metrics = Report([DataDriftPreset()]).run(*sides).dict()["metrics"]
            counted = next(m["value"] for m in metrics if "DriftedColumnsCount" in str(m["metric_name"]))
            found.append(counted["count"])
        some, half = np.mean([c > 0 for c in found]), np.mean([c >= COLUMNS / 2 for c in found])
        rows.append([kind, f"{size:,}", f"{shift:g}", str(looks), f"{some:.2f}", f"{half:.2f}"])
    return rows


def write(
    null: list[list[str]],
    real: list[list[str]],
    exact: list[list[str]],
    seasonal: list[list[str]],
    power: list[list[str]],
    evidently: list[list[str]],
) -> None:
    """Write the page from the rows of its tables."""
    header = ["stream", "rows a period", "looks (ours)", *PEERS]
    write_page(
        "drift_calibration",
        "The drift check: false alarms declared and realized, and power",
        [
            f"A champion of {PERIODS} reference periods, {COLUMNS} columns (a real set: all its numbers), {LOOKS} "
            f"looks after each. Declared: one false alarm in {RUN_LENGTH:g} looks over all columns. "
            "Share of looks with an alarm although nothing drifts; in brackets the upper end of the 95 % interval.",
            markdown_table(header, [*null, *real]),
            f"The null of the level alone, without the chance of looks: alarms a look over {COLUMNS} columns, of which "
            "some depend on the period before, and power at +0.25 sd, averaged over references.",
            markdown_table(["design effect", "AR(1) of periods", "columns with it", "alarms a look", "power"], exact),
            f"Seasons longer than the {PERIODS} periods of the reference, {POWER_ROWS} rows a period, nothing else "
            "moves: alarms a look of the level over the 52 looks after it, all columns together; the same where a look "
            "that alarms is held against the same part of the season before; how often a column with the season would "
            "be undecided, and how often a shift of it by half a standard deviation is found.",
            markdown_table(seasons.HEADER, seasonal),
            f"Power: +δ sd in one of ten independent columns, {POWER_ROWS} rows a look; delay in looks at +0.25 sd. "
            "At equal false alarms: each check alarms beyond the 99.5 % quantile of its own scores without drift.",
            markdown_table(["check", *(f"+{shift:g}" for shift in SHIFTS), "delay at +0.25"], power),
            _best(),
            "![power and delay](drift_calibration.png)",
            *_of_evidently(evidently),
            f"Targets: at most {1 / RUN_LENGTH:g} in every row of the first table; power of at least 0.8 at +0.25 sd.",
        ],
    )


def exact_rows(references: int = 50) -> list[list[str]]:
    """The level's null alone, with nothing left to chance but the reference: the probability of an alarm in a look.

    `effect`: the variance of a period's level in units of that of independent rows; of what exceeds 1 is AR(1).
    """
    rows = []
    settings = (
        (1, 0.0, 10),
        (1.5, 0.0, 10),
        (3, 0.0, 10),
        (3, 0.0, 3),
        (4, 0.9, 10),
        (4, 0.9, 3),
        (10, 0.9, 10),
        (10, 0.9, 3),
    )
    for effect, rho, dependent in settings:
        rng = np.random.default_rng(3)
        found = np.array([_exact(effect, rho, dependent, rng) for _ in range(references)])
        rate, power = found.mean(axis=0)
        off = found[:, 0].std() / references**0.5
        rows.append([f"{effect:g}", f"{rho:g}", str(dependent), f"{rate:.4f} ± {off:.4f}", f"{power:.2f}"])
        print(rows[-1], flush=True)
    return rows


def _exact(effect: float, rho: float, dependent: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return the expected alarms of a look up to 16 periods on, and the power at +0.25 sd, of one reference."""
    extra = np.where(np.arange(COLUMNS) < dependent, effect - 1.0, 0.0)
    state = rng.normal(size=(PERIODS + 100, COLUMNS)) * (1 - rho**2) ** 0.5
    for before, now in pairwise(state):
        now += rho * before
    kept = state[100:] * np.sqrt(extra / POWER_ROWS)
    past = kept + rng.normal(size=kept.shape) / POWER_ROWS**0.5
    rows, mean = np.full(PERIODS, float(POWER_ROWS)), past.mean(axis=0)
    level = SPENT * LEVEL_SHARE / RUN_LENGTH / COLUMNS
    limit = learned_null(past, rows, rows[:COLUMNS]).quantile(np.full(COLUMNS, level))
    rates = []
    for ahead in (1, 2, 4, 8, 16):
        centre = rho**ahead * kept[-1] - mean
        spread = np.sqrt((extra * (1 - rho ** (2 * ahead)) + 1) / POWER_ROWS)
        rates.append((stats.norm.cdf((-limit - centre) / spread) + stats.norm.sf((limit - centre) / spread)).sum())
        power = stats.norm.sf((limit - centre - 0.25 * _CELLS) / spread).mean()
    return float(np.mean(rates)), float(power)


def _best() -> str:
    """Say what a test of one column can have at the same level: with its variance known, and from its periods."""
    level = SPENT * LEVEL_SHARE / RUN_LENGTH / COLUMNS
    shift = 0.25 * (POWER_ROWS / (1 + 1 / PERIODS)) ** 0.5
    known, celled = (stats.norm.cdf(part * shift - stats.norm.isf(level / 2)) for part in (1.0, _CELLS))
    learned = stats.nct.sf(stats.t.isf(level / 2, PERIODS - 1), PERIODS - 1, shift)
    return (
        f"At +0.25 sd and this level a z test of the values, told that rows are independent, has {known:.2f}, and of "
        f"ten cells {celled:.2f}; a t test that learns the variance from the {PERIODS} periods of its column has "
        f"{learned:.2f}. Ours lies between: 0.8 can be had from ten cells only by who knows beforehand that rows "
        "are independent."
    )


def _of_evidently(rows: list[list[str]]) -> list[str]:
    header = ["stream", "rows", "shift, sd", "looks", "any column", "half of the columns (its verdict)"]
    said = "Evidently's default preset against the newest reference period, in looks:"
    return [said, markdown_table(header, rows)] if rows else []


def main() -> None:
    """Measure and write the page."""
    with ProcessPoolExecutor(2) as pool:  # the parts share nothing; the longest first
        powers = pool.submit(power_table)
        nulls = [pool.submit(null_rows, size) for size in STREAMS]
        reals, reports, exacts = pool.submit(real_table), pool.submit(evidently_rates), pool.submit(exact_rows)
        years = pool.submit(seasons.season_rows, POWER_ROWS, PERIODS, RUN_LENGTH)
        power, curves = powers.result()
        print(power, flush=True)
        null = [row for one in nulls for row in one.result()]
        real, evidently = reals.result(), reports.result()
    plot(curves)
    write(null, real, exacts.result(), years.result(), power, evidently)


if __name__ == "__main__":
    main()
