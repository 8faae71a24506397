"""The loop of the benchmark with broken labels: where they are planted, and which losses count."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.replay.history import History, delayed
from retrain_pipeline.replay.matrix import LossMatrix
from retrain_pipeline.triggers.policies import Periodic
from retrain_pipeline_tests.bench.gated_faults import FAULTS, Fault
from retrain_pipeline_tests.bench.gated_hurts import FREE, NEVER, PRODUCT, Played
from retrain_pipeline_tests.bench.gated_lives import JUDGED, LOOPS, live

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
