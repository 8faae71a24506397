"""Groups, calibration and operation to the letter: gaps by their definition, limits that are met, and words."""

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates.calibration import (
    binary_calibration,
    expected_calibration_error,
    not_calibrated,
    residual_bias,
)
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.groups import groups
from retrain_pipeline.gates.operation import fingerprint, latency, latency_of, p95_ms, size
from retrain_pipeline.learning.paired import block_mean_interval
from retrain_pipeline.verdicts import Verdict

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
RNG = np.random.default_rng(8)


# --- groups

SEX = np.tile(["f", "m"], 100)
SHOP = pd.Series(["a"] * 30 + ["b"] * 31 + ["c"] * 29 + [None] * 110, dtype=object)
BOTH = pd.DataFrame({"sex": SEX, "shop": SHOP})


def gap(values, parts):
    means = [values[one].mean() for one in parts]
    return max(means) - min(means)


def wider(own, theirs, parts, level, seed=4):
    """By how much a gap is wider, with the quantiles of 500 resamples of the rows of each group."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(500):
        chosen = [rows[rng.integers(0, len(rows), len(rows))] for rows in parts]
        drawn.append(gap(own, chosen) - gap(theirs, chosen))
    return gap(own, parts) - gap(theirs, parts), *np.quantile(drawn, [level, 1 - level])


def by(column, *values):
    texts = BOTH[column].fillna("(missing)").to_numpy()
    return [np.flatnonzero(texts == value) for value in values]


def grouped(measures, declared=("sex",), margin=0.05, values=BOTH):
    return groups(measures, values, declared, margin=margin, alpha=0.1, seed=4)


def of_groups(verdict, words, **numbers):
    return GateResult(gate="groups", verdict=verdict, words=words, **numbers)


RATE = np.where(SEX == "f", RNG.random(200), RNG.random(200) * 0.2)
EVEN = RNG.random(200)


def test_a_gap_is_told_with_the_quantiles_of_resampled_rows():
    grew, low, high = wider(RATE, EVEN, by("sex", "f", "m"), 0.1)
    words = f"the gap in loss by sex grew by {grew:.4g} [{low:.4g}, {high:.4g}], at most 0.05 is allowed; proven: "
    assert grouped({"loss": (RATE, EVEN)}) == of_groups(
        FAIL, f"{words}loss by sex", statistic=grew, threshold=0.05, n=200, interval=(low, high)
    )


def test_of_several_gaps_the_widest_is_told_at_a_level_that_is_shared():
    sides = {"loss": (RATE, EVEN), "positive rate": (EVEN, RATE)}
    grew, low, high = wider(RATE, EVEN, by("sex", "f", "m"), 0.1 / 4)
    parts = by("shop", "(missing)", "a", "b")  # 29 rows of c are too few to be compared
    found = grouped(sides, ("shop", "sex"))
    assert (found.statistic, found.interval) == (grew, (low, high))
    shops = wider(RATE, EVEN, parts, 0.1 / 4)
    assert shops[0] < grew
    only = grouped({"loss": (RATE, EVEN)}, ("shop",))
    assert only.statistic == shops[0]
    assert found.words.endswith("proven: loss by sex")


@pytest.mark.parametrize(("room", "verdict"), [(1e-9, INCONCLUSIVE), (0.0, PASS), (-1e-9, PASS)])
def test_a_gap_that_grew_as_far_as_the_margin_passes_and_beyond_it_must_be_proven(room, verdict):
    grew, low, _ = wider(RATE, EVEN, by("sex", "f", "m"), 0.1)
    found = grouped({"loss": (RATE, EVEN)}, margin=grew - room)
    assert (found.verdict, "proven" in found.words) == (verdict, False)
    assert grouped({"loss": (RATE, EVEN)}, margin=low).verdict is INCONCLUSIVE, "a bound at the margin proves nothing"
    assert grouped({"loss": (RATE, EVEN)}, margin=low - 1e-9).verdict is FAIL


def test_all_that_is_proven_is_named():
    found = grouped({"loss": (RATE, EVEN), "rate": (RATE * 2, EVEN)})
    assert found.words.endswith("; proven: loss by sex, rate by sex")


def test_groups_that_cannot_be_compared_say_why():
    one = {"loss": (RATE, EVEN)}
    words = "no values of age, town for these rows"
    assert grouped(one, ("age", "sex", "town")) == of_groups(INCONCLUSIVE, words)
    assert grouped({}) == of_groups(INCONCLUSIVE, "nothing to compare groups by")
    small = BOTH.assign(shop=["a"] * 171 + ["b"] * 29)
    words = "shop: fewer than two values have 30 rows"
    assert grouped(one, ("shop",), values=small) == of_groups(INCONCLUSIVE, words, n=200)
    numbers = BOTH.assign(sex=(SEX == "f").astype(int))
    assert grouped(one, values=numbers).verdict is FAIL


# --- calibration

HOURS = pd.date_range("2024-01-01", periods=200, freq="h", tz="UTC")
SCORE = RNG.random(200)
TRUTH = (RNG.random(200) < SCORE).astype(float)


def calibrated(verdict, words, **numbers):
    return GateResult(gate="calibration", verdict=verdict, n=200, words=words, **numbers)


def by_chance(score, seed=6):
    """The 99 % quantile of the error of 200 draws of what the probabilities say."""
    rng = np.random.default_rng(seed)
    drawn = [expected_calibration_error(score, (rng.random(len(score)) < score).astype(float)) for _ in range(200)]
    return float(np.quantile(drawn, 0.99))


def test_the_calibration_error_is_that_of_ten_bins_of_equal_count():
    order = np.argsort(SCORE)
    bins = [abs((TRUTH - SCORE)[part].mean()) for part in np.array_split(order, 10)]
    assert expected_calibration_error(SCORE, TRUTH) == pytest.approx(np.mean(bins))
    assert expected_calibration_error(np.full(4, 0.5), np.array([1.0, 0.0, 1.0, 1.0])) == pytest.approx(0.5)
    # rows of one probability stay in their order
    assert expected_calibration_error(np.full(400, 0.5), np.repeat([1.0, 0.0], 200)) == 0.5
    tied = np.random.default_rng(0).integers(0, 3, 400) / 4
    truth = np.repeat([1.0, 0.0], 200)
    rows = sorted(range(400), key=lambda row: tied[row])
    bins = [abs((truth - tied)[part].sum()) for part in np.array_split(rows, 10)]
    assert expected_calibration_error(tied, truth) == pytest.approx(sum(bins) / 400)


def test_probabilities_are_held_to_a_limit_to_chance_and_to_the_champion():
    chance = by_chance(SCORE)
    assert chance > 0.1
    found = expected_calibration_error(SCORE, TRUTH)
    words = f"expected calibration error {found:.3f} (limit 0.1, by chance {chance:.3f})"
    wanted = calibrated(PASS, words, statistic=found, threshold=chance)
    assert binary_calibration(SCORE, TRUTH, None, seed=6) == wanted
    assert binary_calibration(SCORE, TRUTH, np.full(200, np.nan), seed=6) == wanted
    off = 1 - SCORE
    error, theirs = expected_calibration_error(off, TRUTH), expected_calibration_error(SCORE / 2, TRUTH)
    against = f"limit 0.1, by chance {by_chance(off):.3f}, champion {theirs:.3f}"
    assert error > theirs > by_chance(off)
    assert binary_calibration(off, TRUTH, SCORE / 2, seed=6) == calibrated(
        FAIL, f"expected calibration error {error:.3f} ({against})", statistic=error, threshold=theirs
    )
    assert binary_calibration(off, TRUTH, off, seed=6).verdict is PASS, "no worse than the champion"


def test_where_chance_alone_is_small_the_limit_counts():
    sure = np.where(np.arange(200) < 100, 0.0, 1.0)
    assert by_chance(sure) == 0.0
    found = binary_calibration(sure, np.where(np.arange(200) < 20, 1 - sure, sure), None, seed=6)
    assert (found.verdict, found.statistic, found.threshold) == (PASS, 0.1, 0.1)
    assert binary_calibration(sure, np.where(np.arange(200) < 21, 1 - sure, sure), None, seed=6).verdict is FAIL


@pytest.mark.parametrize("score", [SCORE - 0.5, SCORE + 0.5, np.where(SCORE < 0.1, np.nan, SCORE)])
def test_what_is_no_probability_cannot_be_calibrated(score):
    words = "the candidate gives no probabilities for these rows: calibration cannot be told"
    assert binary_calibration(score, TRUTH, None, seed=6) == calibrated(INCONCLUSIVE, words)
    none = binary_calibration(score[:0], TRUTH[:0], None, seed=6)
    assert (none.verdict, none.n, none.words) == (INCONCLUSIVE, 0, words)


NOISE = RNG.normal(size=200)


def biased(residual, champion=None, block_hours=10.0):
    times = HOURS[: len(residual)]
    return residual_bias(residual, champion, times, alpha=0.08, block_hours=block_hours, seed=6)


def test_a_bias_is_its_share_of_the_mean_absolute_residual():
    residual = NOISE + 2
    found = block_mean_interval(residual, HOURS, block_hours=10.0, alpha=0.04, seed=6)
    share = residual.mean() / np.abs(residual).mean()
    told = f"mean residual {found.mean:.4g}, {share:.2f} of the mean absolute one"
    bounds = (found.low, found.high)
    assert biased(residual) == calibrated(FAIL, f"{told} (limit 0.5)", statistic=share, threshold=0.5, interval=bounds)
    assert biased(residual, np.where(NOISE > 2, np.inf, 1.0)) == biased(residual)
    worse = NOISE + 3
    theirs = worse.mean() / np.abs(worse).mean()
    assert biased(residual, worse) == calibrated(
        PASS, f"{told} (limit 0.5, champion {theirs:.2f})", statistic=share, threshold=theirs, interval=bounds
    )
    assert biased(residual, NOISE).threshold == 0.5
    for unit in (-1.0, 0.01, -0.01):
        assert biased(residual * unit).verdict is FAIL, "a share has no unit"


def test_a_bias_of_half_is_allowed_and_more_must_be_proven():
    half = np.tile([3.0, 3.0, 3.0, -3.0], 50)
    assert (biased(half).statistic, biased(half).verdict) == (0.5, PASS)
    assert biased(np.tile([3.0, 3.0, 3.0, -2.9], 50)).verdict is FAIL
    few = biased(np.full(70, 3.0))
    assert (few.verdict, few.interval, few.statistic) == (INCONCLUSIVE, None, 1.0)
    rare = np.where(np.arange(200) == 17, 1.0, 0.0)
    for sign in (1, -1):
        assert biased(rare * sign).verdict is INCONCLUSIVE, "one row far off is no proof"
    assert biased(np.zeros(200)).statistic == 0.0


def test_residuals_that_are_no_numbers_have_no_bias():
    words = "the candidate's residuals are not finite: bias cannot be told"
    assert biased(np.where(NOISE > 2, np.nan, NOISE)) == calibrated(INCONCLUSIVE, words)
    none = biased(NOISE[:0])
    assert (none.gate, none.verdict, none.n, none.words) == ("calibration", INCONCLUSIVE, 0, words)
    named = "class names carry no single probability: calibration is not looked at"
    assert not_calibrated(200) == calibrated(PASS, named)


# --- operation


def test_a_latency_at_the_limit_is_within_it():
    words = "p95 of 100 single-row predictions here: 20.00 ms, limit 20 ms"
    wanted = GateResult(gate="latency", verdict=PASS, statistic=20.0, threshold=20.0, n=100, words=words)
    assert latency_of(20.0, 20.0, "here") == wanted
    assert latency_of(20.01, 20.0, "here").verdict is FAIL


def ticking(monkeypatch, milliseconds):
    """Let the n-th call take so many milliseconds on the clock."""
    import time

    ticks = iter(tick for spent in milliseconds for tick in (0, int(spent * 1e6)))
    monkeypatch.setattr(time, "perf_counter_ns", lambda: next(ticks))


ROWS = pd.DataFrame({"a": range(7)})


def test_the_95th_percentile_is_that_of_100_rows_in_turn_after_five_to_warm_up(monkeypatch):
    ticking(monkeypatch, [999.0] * 5 + list(range(100)))
    called = []
    assert p95_ms(lambda row: called.append(row["a"].tolist()), ROWS) == pytest.approx(94.05)
    assert called == [[n % 7] for n in range(105)]


@pytest.mark.parametrize(("looks", "p95", "verdict"), [
    ([9.0], 9.0, PASS), ([10.0], 10.0, PASS), ([12.0, 9.0], 9.0, PASS), ([12.0, 11.0, 13.0], 11.0, FAIL),
])  # fmt: skip
def test_a_look_over_the_limit_is_repeated_twice_at_most_and_the_fastest_counts(monkeypatch, looks, p95, verdict):
    ticking(monkeypatch, [spent for spent in looks for _ in range(105)])
    found = latency(lambda row: None, ROWS, limit_ms=10.0)
    assert (found.statistic, found.verdict) == (p95, verdict)
    assert " in this process: " in found.words


def test_no_rows_have_no_latency():
    none = GateResult(gate="latency", verdict=INCONCLUSIVE, n=0, words="no rows to predict")
    assert latency(lambda row: None, ROWS[:0], limit_ms=1) == none


def test_a_size_is_in_megabytes_of_a_million():
    found = GateResult(gate="size", verdict=PASS, statistic=2.5, threshold=2.5, words="2.500 MB, limit 2.5 MB")
    assert size(2_500_000, max_size_mb=2.5) == found
    assert size(2_500_001, max_size_mb=2.5).verdict is FAIL
    gone = GateResult(gate="size", verdict=INCONCLUSIVE, words="the model's bytes are missing")
    assert size(None, max_size_mb=1) == gone


def test_a_fingerprint_says_how_the_model_came_back():
    words = "loaded again, within tolerance answers (aaaaaaaaaaaa)"
    assert fingerprint("a" * 64, "within tolerance") == GateResult(gate="fingerprint", verdict=PASS, words=words)
    words = "the model does not load as what was fitted: no reason given"
    assert fingerprint("a", None) == GateResult(gate="fingerprint", verdict=FAIL, words=words)
    assert fingerprint("a", None, "its bytes are gone").words.endswith("as what was fitted: its bytes are gone")
    assert len(fingerprint("a", None, "x" * 3000).words) == 2000
