"""How many labels are known by which age, and what early ones say of all: from what was known, and nothing later."""

import numpy as np
import pytest

from retrain_pipeline.monitoring.maturity import MaturityCurve, Triangle, maturing, maturity_curve


def triangle(
    delays: dict[str, list[int]], ages: dict[str, int], losses: dict[str, list[float]] | None = None
) -> Triangle:
    """Rows with a delay in periods each (-1: never a label), as they are known at the ages of their periods."""
    cells: dict[str, dict[int, tuple[int, float, float]]] = {}
    for period, each in delays.items():
        told = losses[period] if losses else [1.0] * len(each)
        for delay, loss in zip(each, told, strict=True):
            if 0 <= delay <= ages[period]:
                n, total, squares = cells.setdefault(period, {}).get(delay, (0, 0.0, 0.0))
                cells[period][delay] = (n + 1, total + loss, squares + loss**2)
    return Triangle({period: len(each) for period, each in delays.items()}, ages, cells)


@pytest.mark.requirement("D20")
def test_the_curve_is_that_of_the_delays_though_young_periods_are_cut_off():
    rng = np.random.default_rng(1)
    delays = {f"p{n:02d}": rng.choice([0, 1, 2, 3, -1], 400, p=[0.4, 0.3, 0.15, 0.1, 0.05]).tolist() for n in range(12)}
    curve = maturity_curve(triangle(delays, {period: 11 - n for n, period in enumerate(delays)}))
    assert curve.known[:4] == pytest.approx([0.4, 0.7, 0.85, 0.95], abs=0.02)
    assert curve.known[-1] == curve.known[3]
    assert curve.mature_age == 3
    assert all(0 < se < 0.02 for se in curve.se[:3])
    assert curve.share(50) == curve.known[-1]
    assert curve.share(-1) is None


@pytest.mark.fault("P31")
def test_an_age_that_no_period_has_reached_is_not_in_the_curve():
    curve = maturity_curve(triangle({"a": [0, 0, 5]}, {"a": 2}))
    assert len(curve.known) == 3
    assert curve.known == pytest.approx((2 / 3,) * 3)
    assert maturity_curve(Triangle({}, {}, {})) == MaturityCurve()
    assert MaturityCurve().mature_age is None


def world(late_worse: float, now_early: float = 1.0, periods: int = 10):
    """Half of the labels come at age 0, half at age 1 with a loss that is `late_worse` times as large."""
    rng = np.random.default_rng(2)
    delays, losses, ages = {}, {}, {}
    for n in range(periods):
        period, each = f"p{n:02d}", [0, 1] * 100
        ages[period] = periods - 1 - n
        delays[period] = each
        level = now_early if n == periods - 1 else 1.0
        losses[period] = [level * rng.exponential() * (late_worse if delay else 1.0) for delay in each]
    return triangle(delays, ages, losses)


@pytest.mark.fault("I25")
@pytest.mark.requirement("D20")
def test_early_labels_that_flatter_are_corrected_by_what_late_ones_were():
    seen = world(late_worse=3.0)
    (young,) = maturing(seen, maturity_curve(seen), worst=10.0)
    assert young.known_share == pytest.approx(0.5)
    assert young.early == pytest.approx(1.0, abs=0.25)
    assert young.low < 2.0 < young.high
    assert young.low > young.early  # what came early is outside what is believed of all
    assert young.bounds == pytest.approx((0.5 * young.early, 0.5 * young.early + 5.0))
    assert "if early labels are as they were" in young.words


def test_the_interval_is_wider_while_labels_are_missing_than_their_noise_alone():
    seen = world(late_worse=1.0)
    (young,) = maturing(seen, maturity_curve(seen))
    noise = 1.96 * 1.0 / 100**0.5
    assert young.high - young.estimate > noise
    assert young.bounds is None


def test_few_mature_periods_and_no_labels_say_nothing():
    seen = world(late_worse=1.0, periods=3)
    (young,) = maturing(seen, maturity_curve(seen))
    assert (young.estimate, young.low, young.high) == (None, None, None)
    assert "do not tell" in young.words
    silent = Triangle({**seen.rows, "p99": 50}, {**seen.ages, "p99": 0}, seen.cells)
    told = maturing(silent, maturity_curve(silent))[-1]
    assert (told.period, told.n, told.estimate) == ("p99", 0, None)
    assert "no label yet of 50 rows" in told.words
    assert maturing(Triangle({"a": 5}, {"a": 0}, {}), MaturityCurve((0.0,), (0.0,))) == ()
