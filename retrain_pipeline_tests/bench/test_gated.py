"""The loop of the benchmark with broken labels: where they are planted, and which losses count."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.replay.history import History, delayed
from retrain_pipeline.replay.matrix import LossMatrix
from retrain_pipeline.triggers.policies import Periodic
from retrain_pipeline_tests.bench.gated_faults import FAULTS, Fault
from retrain_pipeline_tests.bench.gated_hurts import BEFORE, FREE, NEVER, PRODUCT, Played
from retrain_pipeline_tests.bench.gated_lives import LOOPS, MORE_LOOPS, live
from retrain_pipeline_tests.bench.gated_rules import JUDGED

BATCHES, ROWS, WARM_UP = 44, 140, 12


def history() -> History:
    rng, rows = np.random.default_rng(1), BATCHES * ROWS
    return History(
        "made", "regression", "mae", pd.DataFrame({"x": rng.normal(size=rows)}), rng.normal(10, 1, rows),
        tuple(range(0, rows + 1, ROWS)), tuple(map(str, range(BATCHES))), delayed(BATCHES, 0), 1.0,
    )  # fmt: skip


def losses(level: dict[int, float]) -> LossMatrix:
    """Return a matrix in which each model has one level of loss, with noise of the row that all models share."""
    whole = history()
    noise = np.random.default_rng(2).normal(0, 0.05, BATCHES * ROWS)
    rows = {s: (level.get(s, 1.0) + noise[whole.starts[s] :]).astype(np.float32) for s in range(2, BATCHES)}
    return LossMatrix(whole, rows)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_only_batches_after_the_first_models_training_are_broken(fault: Fault) -> None:
    whole = history()
    broken = fault.batches(whole, WARM_UP)
    changed = np.flatnonzero(fault.planted(whole, WARM_UP).y != whole.y) // ROWS
    assert sorted(set(changed)) == broken
    assert min(broken) >= WARM_UP + JUDGED
    assert len(broken) == 3 * fault.in_a_row


def test_half_of_the_ones_are_lost_and_no_zero_becomes_one() -> None:
    y = np.random.default_rng(3).integers(0, 2, BATCHES * ROWS)
    whole = replace(history(), task="binary", metric="error", y=y)
    planted, rows = FAULTS[1].planted(whole, WARM_UP).y, np.repeat(np.arange(BATCHES), ROWS)
    inside = np.isin(rows, FAULTS[1].batches(whole, WARM_UP))
    assert planted[inside & (y == 1)].mean() == pytest.approx(0.5, abs=0.08)
    assert not planted[y == 0].any()


def test_the_rule_sees_one_loss_and_the_other_counts() -> None:
    # From model 20 on retrains look better on the labels that came in, and are worse on the true ones.
    seen = losses(dict.fromkeys(range(20, BATCHES), 0.5))
    true = losses(dict.fromkeys(range(20, BATCHES), 2.0))
    loss = {
        label: float(np.mean(live("bike_demand", seen, Periodic(4), LOOPS[label], WARM_UP, {}, true).losses))
        for label in (FREE, NEVER, PRODUCT)
    }
    assert loss[NEVER] == pytest.approx(1.0, abs=0.01)
    assert loss[FREE] > 1.4
    assert loss[PRODUCT] > 1.4


def test_a_gate_that_sees_the_truth_keeps_a_worse_retrain_out() -> None:
    true = losses(dict.fromkeys(range(20, BATCHES), 2.0))
    loss = {
        label: float(np.mean(live("bike_demand", true, Periodic(4), LOOPS[label], WARM_UP, {}).losses))
        for label in (FREE, NEVER, PRODUCT)
    }
    one = Played("bike_demand", (), loss)
    assert one.hurts
    assert one.relative(PRODUCT) < -0.2


def test_a_champion_that_fell_behind_the_anchor_gives_way_to_it() -> None:
    # Retrains of before batch 20 lose 3 % more than the first model, within the margin; those after it 10 %.
    level = {s: 1.0 if s <= WARM_UP else 1.03 if s < 20 else 1.1 for s in range(2, BATCHES)}
    now, before = (
        live("bike_demand", losses(level), Periodic(4), MORE_LOOPS[label], WARM_UP, {}) for label in (PRODUCT, BEFORE)
    )
    assert (len(now.harm), now.returns) == (1, 1)
    assert now.losses[-1] == pytest.approx(1.0, abs=0.01)
    assert (len(before.harm), before.returns) == (1, 0)
    assert before.losses[-1] == pytest.approx(1.03, abs=0.01)


def test_what_is_better_than_a_fallen_champion_serves_until_the_anchor_is_back() -> None:
    # As above, but the refresh loses half as much again from batch 20 on, and retrains after it a fifth more.
    level = {s: 1.0 if s <= WARM_UP else 1.03 if s < 20 else 1.2 for s in range(2, BATCHES)}
    matrix = losses(level)
    for s in range(WARM_UP + 1, 20):
        matrix.rows[s][(20 - s) * ROWS :] += 0.47
    now, before = (
        live("bike_demand", matrix, Periodic(4), MORE_LOOPS[label], WARM_UP, {}) for label in (PRODUCT, BEFORE)
    )
    assert before.losses[-1] == pytest.approx(1.5, abs=0.01)
    assert [round(one, 1) for one in now.losses if one > 1.1] == [1.5] * 2 + [1.2] * 4
    assert (now.returns, now.losses[-1]) == (1, pytest.approx(1.0, abs=0.01))
