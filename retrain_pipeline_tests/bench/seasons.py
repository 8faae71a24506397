"""Seasons longer than the reference: alarms of the level's null in a world that only turns with its year."""

import numpy as np

from retrain_pipeline.monitoring.drift import BLIND, MIN_EFFECT, SPENT
from retrain_pipeline.monitoring.null import learned_null
from retrain_pipeline.monitoring.readings import LEVEL_SHARE, Reading, less_season
from retrain_pipeline_tests.bench.streams import COLUMNS

HEADER = [
    "season, periods",
    "amplitude, sd",
    "columns with it",
    "alarms a look",
    "the season before known",
    "of a column with it: undecided",
    "finds +0.5 sd, the season before known",
]
SETTINGS = [
    (season, amplitude, columns)
    for season in (30, 52, 60, 104)
    for columns in (1, COLUMNS)
    for amplitude in (0.1, 0.2, 0.5, 1.0)
]


def season_rows(rows: int, periods: int, run_length: float, lives: int = 40) -> list[list[str]]:
    """Return, per season, alarms a look over the 52 looks after a reference of so many periods, of all columns."""
    found = []
    for season, amplitude, columns in SETTINGS:
        rng = np.random.default_rng([6, season, columns])
        lived = np.array([_life(season, amplitude, columns, rows, periods, run_length, rng) for _ in range(lives)])
        alone, known, undecided, power = lived.mean(axis=0)
        rates = [f"{alone:.4f}", f"{known:.4f}", f"{undecided:.2f}", f"{power:.2f}"]
        found.append([str(season), f"{amplitude:g}", str(columns), *rates])
        print(found[-1], flush=True)
    return found


def _life(
    season: int, amplitude: float, columns: int, rows: int, periods: int, run_length: float, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Return the rates of one reference: of looks with an alarm, alone and beside the season before; what is missed."""
    height = np.where(np.arange(COLUMNS) < columns, amplitude, 0.0)
    phase, spread = rng.uniform(0, 2 * np.pi, COLUMNS), np.sqrt(1 + height**2 / 2)
    at = np.arange(periods + 52)[:, None]
    levels = height * np.sin(2 * np.pi * at / season + phase) / spread
    past, before, now = (
        part + rng.normal(size=part.shape) / rows**0.5 / spread
        for part in (levels[:periods], levels[periods:], levels[periods:])
    )
    limit = {n: _limits(past, rows, n, run_length) for n in (rows, rows / 2)}
    alone = known = hits = 0
    for then, here in zip(before, now, strict=True):
        alarms = np.abs(here - past.mean(axis=0)) > limit[rows]
        alone += alarms.any()
        known += alarms.any() and _beside(past, then, here, rows, limit).any()
        moved = here.copy()
        moved[0] += 0.5
        hits += bool(abs(moved[0] - past[:, 0].mean()) > limit[rows][0] and _beside(past, then, moved, rows, limit)[0])
    return alone / len(now), known / len(now), float(limit[rows][0] > BLIND), hits / len(now)


def _limits(past: np.ndarray, rows: int, n: float, run_length: float) -> np.ndarray:
    level = np.full(COLUMNS, SPENT * LEVEL_SHARE / run_length / COLUMNS)
    null = learned_null(past, np.full(len(past), float(rows)), np.full(COLUMNS, n))
    return np.maximum(null.quantile(level), MIN_EFFECT)


def _beside(
    past: np.ndarray, then: np.ndarray, here: np.ndarray, rows: int, limit: dict[float, np.ndarray]
) -> np.ndarray:
    """Return which columns alarm once the season before is known."""
    mean = past.mean(axis=0)
    sides = [
        [Reading(str(i), "level", past[:, i], mean[i], side[i], rows, 1.0) for i in range(COLUMNS)]
        for side in (here, then)
    ]
    judged = less_season(*sides)
    return np.array([abs(one.shift) > limit[one.n][i] for i, one in enumerate(judged)])
