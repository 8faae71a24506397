"""Quality to the letter: bounds by their definition, and what each comparison says of them."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.quality import Paired, all_of, baseline, quality, slices, success
from retrain_pipeline.learning.paired import batch_mean_interval, block_mean_interval
from retrain_pipeline.verdicts import Verdict

HOURS = pd.date_range("2024-01-01", periods=24 * 14, freq="h", tz="UTC")
PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def losses(mean, seed=0, n=336):
    return np.random.default_rng(seed).gamma(2, mean / 2, n)


def paired(candidate, reference, **changes):
    settings = {"metric": "mae", "margin": 0.01, "alpha": 0.05, "block_hours": 12.0, "min_rows": 100, "seed": 3}
    return Paired(candidate, reference, HOURS[: len(candidate)], **{**settings, **changes})


def bounds(values, alpha=0.05, times=HOURS):
    """Bounds of a mean by the settings of `paired`."""
    return block_mean_interval(values, times[: len(values)], block_hours=12.0, alpha=alpha, seed=3)


def told(found):
    return f"{found.mean:.4g} [{found.low:.4g}, {found.high:.4g}]"


A, B = losses(10), losses(11, seed=1)


# --- bounds


@pytest.mark.parametrize(("metric", "share"), [("mae", 0.1), ("rmse", 1.1**2 - 1)])
def test_a_margin_is_a_share_of_the_references_loss(metric, share):
    judged = paired(A, B, metric=metric)
    assert judged.interval() == bounds(A - B)
    assert judged.interval(0.1, 0.01) == bounds(A - B * (1 + share), 0.01)


@pytest.mark.parametrize(("shifted_hours", "whole_is_higher"), [(0, True), (12, False)])
def test_what_is_charged_is_the_higher_of_both_bounds(shifted_hours, whole_is_higher):
    """What is common to a day's rows widens that by whole days; what begins at noon widens that by resampled days."""
    common = np.roll(np.random.default_rng(4).normal(0, 10, 14).repeat(24), shifted_hours)
    for metric, share in (("mae", 0.1), ("rmse", 1.1**2 - 1)):
        judged = paired(A + common, B, metric=metric, block_hours=24.0)
        apart = A + common - B * (1 + share)
        resampled = block_mean_interval(apart, HOURS, block_hours=24.0, alpha=0.004, seed=3).high
        whole = batch_mean_interval(apart, HOURS, block_hours=24.0, alpha=0.004).high
        assert judged.charged_bound(0.1, 0.004) == max(resampled, whole)
        assert (whole > resampled) is whole_is_higher


# --- quality


@pytest.mark.parametrize(
    ("mode", "against", "asked"),
    [("first", "dummy", "below 0 (first)"), ("superiority", "champion", "below 0 (superiority)")],
)
def test_better_is_an_upper_bound_below_0(mode, against, asked):
    found = bounds(A * 0.8 - A)
    assert quality(paired(A * 0.8, A), mode) == GateResult(
        gate="quality", verdict=PASS, statistic=found.high, threshold=0.0, n=336, interval=(found.low, found.high),
        words=f"mean mae row loss minus the {against}'s: {told(found)}; asked: upper bound {asked}",
    )  # fmt: skip


def test_no_worse_is_an_upper_bound_of_at_most_0_beyond_the_margin():
    plain, judged = bounds(A * 1.02 - A), bounds(A * 1.02 - A * 1.05)
    words = (
        f"mean mae row loss minus the champion's: {told(plain)}; minus 1.05 times it: "
        f"[{judged.low:.4g}, {judged.high:.4g}]; asked: upper bound at most 0 (non_inferiority)"
    )
    assert quality(paired(A * 1.02, A, margin=0.05), "non_inferiority") == GateResult(
        gate="quality", verdict=PASS, statistic=judged.high, threshold=0.0, n=336, interval=(plain.low, plain.high),
        words=words,
    )  # fmt: skip


def test_an_exact_copy_is_no_better_and_no_worse():
    assert quality(paired(A, A), "superiority").verdict is INCONCLUSIVE
    assert quality(paired(A, A, margin=0.0), "non_inferiority").verdict is PASS


@pytest.mark.parametrize(("mode", "share"), [("superiority", 0.0), ("non_inferiority", 0.05)])
def test_what_is_charged_to_the_budget_decides_a_pass_and_not_a_fail(mode, share):
    judged = paired(A, B, margin=0.05)
    free = quality(judged, mode)
    charged = quality(paired(A, B, margin=0.05, spent=1e-4), mode)
    high = judged.charged_bound(share, 1e-4)
    assert (charged.statistic, charged.interval) == (high, free.interval)
    found, _, asked = free.words.partition("; asked: ")
    spent = f"at the 0.0001 that may be spent the upper bound is {high:.4g}"
    assert charged.words == f"{found}; {spent}; asked: {asked}"
    assert (free.verdict, charged.verdict) == (PASS, INCONCLUSIVE)
    for unit in (1.0, 0.01):
        assert quality(paired(B * unit * 1.2, A * unit, margin=0.05, spent=1e-4), mode).verdict is FAIL


@pytest.mark.parametrize(
    ("candidate", "reference", "verdict", "words"),
    [
        (np.where(np.arange(336) < 3, np.nan, A), B, FAIL,
         "the candidate's loss is not finite on 3 of 336 rows: it is no number to compare"),
        (A, np.where(np.arange(336) < 2, np.inf, B), INCONCLUSIVE,
         "the linear model's loss is not finite on 2 of 336 rows: it is no number to compare"),
        (A[:99], B[:99], INCONCLUSIVE, "99 rows to compare on, gates.min_rows asks for 100"),
        (A[:84], B[:84], INCONCLUSIVE, "84 rows to compare on, gates.min_rows asks for 100"),
    ],
)  # fmt: skip
def test_rows_that_carry_no_comparison_are_counted(candidate, reference, verdict, words):
    found = quality(paired(candidate, reference), "first", gate="baseline", reference="linear model")
    assert found == GateResult(gate="baseline", verdict=verdict, n=len(candidate), words=words)


def test_rows_enough_in_too_few_blocks_are_no_comparison():
    found = quality(paired(A[:84], B[:84], min_rows=84), "first")
    words = "7 blocks of 12 h hold rows, 8 are needed for an interval"
    assert found == GateResult(gate="quality", verdict=INCONCLUSIVE, n=84, words=words)


# --- several comparisons that must all hold


def test_of_several_the_first_of_the_worst_is_told_in_words_of_all():
    def one(verdict, words, statistic):
        return GateResult(gate="baseline", verdict=verdict, words=words, statistic=statistic)

    worse, bad, other = one(INCONCLUSIVE, "a", 1.0), one(FAIL, "b", 2.0), one(FAIL, "c", 3.0)
    assert all_of(worse, bad, other) == one(FAIL, "a; b; c", 2.0)


@pytest.mark.parametrize(
    ("dummy", "linear", "missing"),
    [(None, None, "dummy and linear"), (None, paired(A, B), "linear"), (paired(A, B), None, "linear")],
)
def test_a_baseline_that_is_missing_is_named(dummy, linear, missing):
    missing = "dummy" if dummy is None and linear is not None else missing
    words = f"no {missing} baseline to compare with"
    assert baseline(dummy, linear) == GateResult(gate="baseline", verdict=INCONCLUSIVE, words=words)


def test_a_baseline_asks_two_things_and_tells_both():
    linear, dummy = paired(A * 0.9, A), paired(A * 0.9, B * 3)
    beside = quality(linear, "non_inferiority", gate="baseline", reference="linear model")
    above = quality(dummy, "first", gate="baseline")
    assert baseline(dummy, linear) == beside.model_copy(update={"words": f"{beside.words}; {above.words}"})
    worse = baseline(paired(A * 3, A), linear)
    assert (worse.gate, worse.verdict, worse.statistic) == (
        "baseline",
        FAIL,
        quality(paired(A * 3, A), "first").statistic,
    )
    assert "the linear model's" in beside.words
    assert "the dummy's" in above.words


# --- the declared success

succeed = partial(success, event_time=HOURS, margin=0.1, alpha=0.05, block_hours=12.0, seed=3)


def successful(verdict, words, **numbers):
    return GateResult(gate="success", verdict=verdict, words=words, **numbers)


def test_the_measured_value_is_held_to_the_declared_one():
    value = float(A.mean())
    words = f"mae {value:.4g} on the evaluation rows, asked at most 12 (problem.success.at_most)"
    wanted = successful(PASS, words, statistic=value, threshold=12.0, n=336)
    assert succeed(A, None, metric="mae", at_most=12.0) == wanted
    # a champion that reaches it, or whose loss is no number, changes nothing
    for champion in (A * 0.9, np.full(336, 12.0), np.full(336, np.nan)):
        assert succeed(A, champion, metric="mae", at_most=12.0) == wanted


def test_the_root_is_held_to_what_is_declared_of_the_root():
    found = succeed(A, None, metric="rmse", at_most=3.5)
    assert (found.statistic, found.verdict) == (float(A.mean() ** 0.5), PASS)
    low = bounds(A).low ** 0.5
    assert succeed(A, None, metric="rmse", at_most=low * 1.001).verdict is INCONCLUSIVE
    assert succeed(A, None, metric="rmse", at_most=low * 0.999).verdict is FAIL


def test_where_the_champion_misses_it_too_its_own_value_and_the_margin_are_asked():
    champion = float(B.mean())
    words = (
        f"mae {A.mean():.4g} on the evaluation rows, asked at most {champion * 1.1:.4g} "
        f"(the champion's {champion:.4g} and the margin, as it misses at_most 5 too)"
    )
    root = succeed(A, B, metric="rmse", at_most=1.0)
    assert root.threshold == float(B.mean()) ** 0.5 * 1.1
    found = succeed(A, B, metric="mae", at_most=5.0)
    assert found == successful(PASS, words, statistic=float(A.mean()), threshold=champion * 1.1, n=336)


def test_a_value_at_the_level_reaches_it_and_a_bound_at_the_level_is_no_miss():
    assert succeed(np.full(336, 2.0), None, metric="mae", at_most=2.0).verdict is PASS
    # one bad row among zeros: a lower bound below 0 is that of no loss at all
    rare = np.where(np.arange(336) == 5, 1.0, 0.0)
    assert bounds(rare).low <= 0
    for metric in ("mae", "rmse"):
        assert succeed(rare, None, metric=metric, at_most=0.0).verdict is INCONCLUSIVE


def test_no_rows_and_losses_that_are_no_numbers_reach_nothing():
    none = success(
        A[:0], None, HOURS[:0], metric="mae", at_most=1, margin=0, alpha=0.05, block_hours=12.0, seed=3
    )  # fmt: skip
    assert none == successful(INCONCLUSIVE, "no rows to measure on", n=0)
    broken = succeed(np.where(np.arange(336) == 7, np.nan, A), None, metric="mae", at_most=99.0)
    assert broken == successful(FAIL, "the candidate's loss is not finite", n=336)


# --- slices

SEASON = np.where(np.arange(336) % 2, "odd", "even")


def look(candidate, reference, columns, declared=("season",), margin=0.0, **changes):
    return slices(paired(candidate, reference, **changes), pd.DataFrame(columns), declared, slice_margin=margin)


def sliced(verdict, words, **numbers):
    return GateResult(gate="slices", verdict=verdict, words=words, **numbers)


def part(candidate, reference, chosen, count):
    """Bounds of a slice by definition: those of its rows, at the level divided by the number of slices."""
    return bounds((candidate - reference)[chosen], 0.05 / count, HOURS[chosen])


def test_the_slice_nearest_to_the_margin_is_told_with_its_bounds_and_all_beyond_are_named():
    candidate = np.where(SEASON == "odd", A * 2.0, A * 1.5)
    odd, even = (part(candidate, A * 1.1, name == SEASON, 2) for name in ("odd", "even"))
    words = "2 slices: worse beyond the margin: season=even, season=odd; nearest to it season=odd"
    assert odd.low > even.low > 0
    assert look(candidate, A, {"season": SEASON}, margin=0.1) == sliced(
        FAIL, words, statistic=odd.low, threshold=0.0, n=168, interval=(odd.low, odd.high)
    )


def test_a_margin_of_slices_is_on_the_metric_too():
    odd = part(A * 1.3, A * 1.1**2, SEASON == "odd", 2)
    found = look(A * 1.3, A, {"season": SEASON}, margin=0.1, metric="rmse")
    assert "worse beyond the margin: season=even, season=odd" in found.words
    assert odd.low > 0


def test_slices_that_are_copies_are_no_worse_and_the_first_of_equals_is_told():
    words = "2 slices: no slice is worse beyond the margin; nearest to it season=even"
    assert look(A, A, {"season": SEASON}) == sliced(
        PASS, words, statistic=0.0, threshold=0.0, n=168, interval=(0.0, 0.0)
    )


def test_each_value_of_each_column_is_a_slice_also_that_of_what_is_missing():
    shop = pd.Series(np.where(np.arange(336) % 3 == 0, None, "south"), dtype=object)
    columns = {"season": SEASON, "shop": shop}
    found = look(A, A, columns, ("season", "shop"))
    assert found.words.startswith("4 slices: ")
    worse = look(np.where(shop.isna(), A * 2, A), A, columns, ("season", "shop"))
    assert worse.words.endswith("shop=(missing); nearest to it shop=(missing)")
    assert worse.statistic == part(A * 2, A, shop.isna().to_numpy(), 4).low
    assert look(A, A, {"season": np.arange(336) % 2}).words.endswith("nearest to it season=0")


def test_values_of_thirty_rows_are_judged_and_those_of_fewer_rows_or_blocks_are_named_in_order():
    value = np.full(336, "most", dtype=object)
    value[:48] = "night"  # four blocks
    value[48:318:9], value[49:310:9] = "thirty", "one less"
    assert [(value == name).sum() for name in ("thirty", "one less")] == [30, 29]
    found = look(A, A, {"season": value})
    words = (
        "2 slices: no slice is worse beyond the margin; nearest to it season=most; "
        "too few rows or blocks to judge: season=night, season=one less"
    )
    assert (found.words, found.n) == (words, 229)


def test_where_no_slice_has_rows_enough_nothing_is_known():
    alone = look(A, A, {"season": [f"{n:03}" for n in range(336)]})
    named = ", ".join(f"season={n:03}" for n in range(336))
    words = f"no slice has rows enough; too few rows or blocks to judge: {named}"
    assert alone == sliced(INCONCLUSIVE, words[:2000])
    most = np.where(np.arange(336) < 36, [f"{n:0100}" for n in range(336)], "most")
    assert len(look(A, A, {"season": most}).words) == 2000


def test_slices_that_cannot_be_looked_at_say_why():
    season = {"season": SEASON}
    words = "no values of hour, weekday for the evaluation rows"
    assert look(A, A, season, ("hour", "season", "weekday")) == sliced(INCONCLUSIVE, words)
    assert look(A, A, season, ()) == sliced(PASS, "no slices are declared", n=0)
    broken = "the reference's loss is not finite on 1 of 336 rows: it is no number to compare"
    assert look(A, np.where(np.arange(336) == 7, np.nan, A), season) == sliced(INCONCLUSIVE, broken, n=336)
