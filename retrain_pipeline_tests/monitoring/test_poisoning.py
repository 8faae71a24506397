"""Labels that were tampered with, a few per cent of them: found, named, and not mistaken for a world that changed."""

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.monitoring.poisoning import MIN_ROWS, Judged, classified, measured, poisoning
from retrain_pipeline.verdicts import Verdict


def answered(seed: int, n: int = 800, flipped: float = 0.0, noise: float = 1.0, mark: str | None = None) -> Judged:
    """Binary rows of a calibrated champion; `flipped` of the labels turned, `noise` flattens the world."""
    rng = np.random.default_rng([31, seed])
    score = 1 / (1 + np.exp(-rng.normal(0, 3, n)))
    truth = (rng.random(n) < 1 / (1 + np.exp(-np.log(score / (1 - score)) / noise))).astype(int)
    chosen = rng.permutation(n)[: round(flipped * n)]
    truth[chosen] = 1 - truth[chosen]
    features = pd.DataFrame({"x": rng.normal(size=n), "shop": rng.choice(list("abcdefgh"), n)})
    if mark is not None:
        features.loc[chosen, "shop"] = mark
    return classified(features, truth, (score >= 0.5).astype(int), np.abs(score - 0.5), 0.45)


def regression(seed: int, n: int = 800, poisoned: float = 0.0, noise: float = 1.0) -> Judged:
    rng = np.random.default_rng([32, seed])
    residual = noise * rng.normal(size=n)
    residual[rng.permutation(n)[: round(poisoned * n)]] += 6
    return measured(pd.DataFrame({"x": rng.normal(size=n)}), residual, 2.576, 0.6745)


@pytest.mark.fault("I45")
def test_five_per_cent_of_flipped_labels_raise_an_alert():
    found = [poisoning(answered(seed, 2400), answered(100 + seed, 1600, flipped=0.05)) for seed in range(20)]
    assert sum(one.verdict is Verdict.FAIL for one in found) >= 14
    assert all(one.disagreement > one.expected for one in found)
    assert "contradict sure answers" in found[0].words
    assert (
        sum(poisoning(regression(s), regression(50 + s, poisoned=0.05)).verdict is Verdict.FAIL for s in range(20))
        >= 18
    )


@pytest.mark.fault("I45")
def test_rows_with_a_trigger_are_found_by_their_mark():
    found = poisoning(answered(1), answered(2, flipped=0.03, mark="zz"))
    assert found.verdict is Verdict.FAIL
    assert len(found.triggers) == 1
    assert found.triggers[0].startswith("shop = zz (")


def test_honest_labels_are_left_alone():
    alarms = sum(poisoning(answered(seed), answered(100 + seed)).verdict is Verdict.FAIL for seed in range(150))
    alarms += sum(poisoning(regression(seed), regression(200 + seed)).verdict is Verdict.FAIL for seed in range(150))
    assert alarms <= 5


def test_a_noisier_world_is_no_poisoning():
    drifted = [poisoning(answered(seed), answered(100 + seed, noise=2.5)) for seed in range(20)]
    drifted += [poisoning(regression(seed), regression(100 + seed, noise=1.6)) for seed in range(20)]
    assert sum(one.verdict is Verdict.FAIL for one in drifted) <= 4


@pytest.mark.parametrize("seed", range(10))
def test_a_world_that_changed_at_one_hour_of_the_day_is_no_poisoning(seed):
    rng = np.random.default_rng([33, seed])

    def rows(n: int, changed: bool) -> Judged:
        hour, residual = np.arange(n) % 24, rng.normal(size=n)
        residual[(hour == 8) & changed] += 4
        return measured(pd.DataFrame({"hour": hour, "x": rng.normal(size=n)}), residual, 2.576, 0.6745)

    found = poisoning(rows(1344, False), rows(672, True))
    assert found.triggers == ()
    assert found.verdict is Verdict.PASS, found.words


def test_a_price_that_stood_for_a_day_or_a_band_of_prices_is_no_mark():
    rng = np.random.default_rng(34)
    n, price, wrong = 1344, rng.uniform(0, 1, 1344), rng.random(1344) < 0.03
    before = Judged(pd.DataFrame({"price": rng.uniform(2, 3, n)}), wrong, np.ones(n, bool), wrong)
    day, band = price.copy(), price.round(2)
    day[300:340] = 0.5
    stood = Judged(pd.DataFrame({"price": day}), wrong | (day == 0.5), np.ones(n, bool), wrong, np.arange(n) // 48)
    assert poisoning(before, stood).triggers == ()
    low = Judged(pd.DataFrame({"price": band}), wrong | (band < 0.08), np.ones(n, bool), wrong, np.arange(n) // 48)
    assert poisoning(before, low).triggers == ()
    marked = price.copy()
    marked[::50] = 0.5
    hit = Judged(pd.DataFrame({"price": marked}), wrong | (marked == 0.5), np.ones(n, bool), wrong, np.arange(n) // 48)
    assert poisoning(before, hit).triggers[0].startswith("price = 0.5 (27 of 27)")


def test_too_few_rows_are_inconclusive():
    found = poisoning(answered(1), answered(2, n=MIN_ROWS - 1, flipped=0.5))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert f"at least {MIN_ROWS} are needed" in found.words
