"""Drift: silent by chance, loud when something moved, and never about what does not matter."""

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.monitoring.drift import BLIND, MIN_EFFECT, drift, missing, out_of_range, unseen
from retrain_pipeline.monitoring.null import MIN_PERIODS, learned_null
from retrain_pipeline.monitoring.profile import profile
from retrain_pipeline.verdicts import Verdict

RUN_LENGTH = 200.0


def numbers(rng, rows, columns=10):
    return pd.DataFrame(rng.normal(size=(rows, columns)), columns=[f"x{i}" for i in range(columns)])


def in_periods(frame: pd.DataFrame, periods: int):
    """The profile of a frame, and those of its rows cut into periods."""
    whole = profile(frame)
    size = len(frame) // periods
    return whole, [profile(frame.iloc[i * size : (i + 1) * size], whole.edges) for i in range(periods)]


def drift_of(before: pd.DataFrame, now: pd.DataFrame, periods: int = 10):
    whole, parts = in_periods(before, periods)
    return drift(whole, profile(now, whole.edges).columns, RUN_LENGTH, periods=parts)


def autocorrelated(rng, rows, rho, columns=1):
    """Rows of AR(1) columns of unit variance."""
    from scipy.signal import lfilter

    noise = rng.normal(size=(rows + 200, columns)) * (1 - rho**2) ** 0.5
    return pd.DataFrame(lfilter([1], [1, -rho], noise, axis=0)[200:], columns=[f"x{i}" for i in range(columns)])


@pytest.mark.requirement("D16", "B32")
@pytest.mark.parametrize("rows", [50, 168, 1000])
def test_no_drift_is_rarely_called_drift(rows):
    rng = np.random.default_rng(1)
    shares = [0.6, 0.2, 0.1, 0.05, 0.03, 0.01, 0.005, 0.005]

    def draw(n):
        return numbers(rng, n).assign(c=rng.choice(list("abcdefgh"), n, p=shares))

    alarms = 0
    for _ in range(10):
        whole, parts = in_periods(draw(13 * rows), 13)
        for _ in range(20):
            now = profile(draw(rows), whole.edges).columns
            alarms += drift(whole, now, RUN_LENGTH, periods=parts).verdict is Verdict.FAIL
    # one alarm in 200 looks is promised over all columns; with that rate, more than 5 of 200 has probability 0.06 %
    assert alarms <= 5


@pytest.mark.requirement("B32")
def test_rows_that_depend_on_each_other_are_no_drift_either():
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(10):
        stream = autocorrelated(rng, 46 * 168, 0.9, 5)
        whole, parts = in_periods(stream.head(26 * 168), 26)
        for look in range(26, 46):
            now = profile(stream.iloc[look * 168 : (look + 1) * 168], whole.edges).columns
            alarms += drift(whole, now, RUN_LENGTH, periods=parts).verdict is Verdict.FAIL
    assert alarms <= 5


@pytest.mark.requirement("B32")
def test_a_quarter_of_a_deviation_in_one_of_ten_columns_is_mostly_found_in_336_rows():
    """Each column is judged by itself, so ten that have moved are ten trials."""
    rng = np.random.default_rng(12)
    found = 0
    for _ in range(20):
        whole, parts = in_periods(numbers(rng, 26 * 336), 26)
        now = numbers(rng, 336) + 0.25
        found += len(drift(whole, profile(now, whole.edges).columns, RUN_LENGTH, periods=parts).columns)
    # the power is 0.74, of which fewer than 130 of 200 have probability 0.2 %; a t test over the periods has 0.65, and
    # of it they have 55 %
    assert found >= 130


@pytest.mark.requirement("B32")
@pytest.mark.parametrize("columns", [3, 10])
def test_periods_that_depend_on_each_other_beside_the_chance_of_rows_are_no_drift(columns):
    """The level of a period is AR(1) 0.9 around that of independent rows: the probability of an alarm 16 periods on."""
    from scipy.stats import norm

    rng, rates = np.random.default_rng(14), []
    for _ in range(40):
        state = autocorrelated(rng, 26, 0.9, 10).to_numpy() * 3**0.5 * (np.arange(10) < columns)
        past = (state + rng.normal(size=(26, 10))) / 100**0.5
        limit = learned_null(past, np.full(26, 100.0), np.full(10, 100.0)).quantile(np.full(10, 0.8 / RUN_LENGTH / 10))
        centre = 0.9**16 * state[-1] / 100**0.5 - past.mean(axis=0)
        spread = np.sqrt((3 * (np.arange(10) < columns) * (1 - 0.9**32) + 1) / 100)
        rates.append((norm.cdf((-limit - centre) / spread) + norm.sf((limit - centre) / spread)).sum())
    assert np.mean(rates) <= 2 / RUN_LENGTH  # on average; a null without the chance of rows beside it has 4 and 7


def test_the_null_holds_its_level_whatever_the_design_effect():
    rng = np.random.default_rng(2)
    for effect in (1.0, 5.0, 20.0):
        past = rng.normal(size=(26, 300)) * (effect / 100) ** 0.5
        now = rng.normal(size=300) * (effect / 100) ** 0.5 - past.mean(axis=0)
        tail = learned_null(past, np.full(26, 100.0), np.full(300, 100.0)).tail(now)
        assert (tail < 0.05).mean() <= 0.09
        assert (tail < 0.5).mean() > 0.3  # and is not blind


def test_a_threshold_is_the_shift_of_which_the_tail_is_the_level():
    past = np.random.default_rng(3).normal(size=(8, 4)) / 10
    null = learned_null(past, np.full(8, 100.0), np.full(4, 100.0))
    levels = np.array([0.1, 0.01, 1e-4, 1e-6])
    assert null.tail(null.quantile(levels)) == pytest.approx(levels, rel=1e-6)


@pytest.mark.requirement("B32")
def test_a_shift_of_one_column_among_ten_is_found_and_named():
    rng = np.random.default_rng(3)
    before, now = numbers(rng, 4000), numbers(rng, 336)
    now["x3"] += 0.6
    found = drift_of(before, now, 20)
    assert found.verdict is Verdict.FAIL
    assert found.columns == ("x3",)
    assert "1 of 10 columns drifted: x3: level up by 0." in found.words
    result = next(r for r in found.results if r.column == "x3")
    assert result.statistic > result.threshold
    assert found.max_effect == result.effect > MIN_EFFECT
    down = drift_of(before, now.assign(x3=now["x3"] - 1.2), 20)
    assert "x3: level down by" in down.words
    assert down.max_effect > MIN_EFFECT > -MIN_EFFECT > down.results[3].effect


def test_few_periods_widen_the_null_and_the_words_say_so():
    rng = np.random.default_rng(9)
    before, now = numbers(rng, 4000, 1), numbers(rng, 336, 1)
    assert drift_of(before, now + 0.5).verdict is Verdict.FAIL
    few = drift_of(before, now + 0.5, periods=MIN_PERIODS - 1)
    assert few.verdict is Verdict.PASS
    assert "too few to learn from" in few.results[0].words
    assert drift_of(before, now + 1.5, periods=MIN_PERIODS - 1).verdict is Verdict.FAIL


@pytest.mark.requirement("D20")
def test_a_column_whose_season_hides_everything_is_inconclusive_not_passed():
    rng = np.random.default_rng(10)
    year = pd.DataFrame({"x": 3 * np.sin(np.arange(4368) * 2 * np.pi / 8736) + rng.normal(size=4368)})
    found = drift_of(year, year.tail(168), 26)
    assert found.results[0].threshold > BLIND
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "within what the reference periods did" in found.words


def test_a_significant_trifle_is_no_drift():
    rng = np.random.default_rng(4)
    before, now = numbers(rng, 200_000, 1), numbers(rng, 200_000, 1) + 0.05
    found = drift_of(before, now)
    assert found.verdict is Verdict.PASS
    assert found.results[0].statistic > 10 * 200_000**-0.5  # far beyond chance
    assert "none of 1 columns drifted" in found.words


@pytest.mark.fault("G20")
@pytest.mark.parametrize("window", [28, 91])
def test_seasons_are_not_mistaken_for_drift(window):
    """Days of a week and of a year, on another phase each time: the measured rate stays below the declared one."""
    rng = np.random.default_rng(20)
    looks = alarms = 0
    for _ in range(15):
        hours = np.arange((window + 20) * 24)
        week, year = rng.uniform(0, 2 * np.pi, 2)
        season = np.sin(hours * 2 * np.pi / 168 + week) + 2 * np.sin(hours * 2 * np.pi / 8766 + year)
        sunday = (hours // 24) % 7 == 6
        stream = pd.DataFrame(
            {
                "load": season + rng.normal(size=len(hours)),
                "open": np.where(sunday & (rng.uniform(size=len(hours)) < 0.8), 0.0, 1.0),
            }
        )
        # a look a day would have 24 rows: three days at a time
        whole, parts = in_periods(stream.head(window // 3 * 72), window // 3)
        for look in range(window // 3, window // 3 + 5):
            now = profile(stream.iloc[look * 72 : (look + 1) * 72], whole.edges).columns
            looks += 1
            alarms += drift(whole, now, RUN_LENGTH, periods=parts).verdict is Verdict.FAIL
    assert looks == 75
    assert alarms <= 3  # at the declared rate more than 3 of 75 have probability 0.06 %


@pytest.mark.fault("G20")
@pytest.mark.parametrize(("season", "columns"), [(52, 1), (60, 10), (104, 10)])
def test_a_season_of_which_the_reference_saw_a_part_is_not_mistaken_for_drift(season, columns):
    """The level of 26 periods of 336 rows, one standard deviation of season: alarms a look over the 52 after them."""
    from scipy.stats import norm

    rng, rates = np.random.default_rng(21), []
    for _ in range(10):
        height, phase = np.where(np.arange(10) < columns, 1.0, 0.0), rng.uniform(0, 2 * np.pi, 10)
        levels = height * np.sin(2 * np.pi * np.arange(78)[:, None] / season + phase)
        past = levels[:26] + rng.normal(size=(26, 10)) / 336**0.5
        limit = learned_null(past, np.full(26, 336.0), np.full(10, 336.0)).quantile(np.full(10, 0.8 / RUN_LENGTH / 10))
        centre = levels[26:] - past.mean(axis=0)
        alarm = norm.cdf((-limit - centre) * 336**0.5) + norm.sf((limit - centre) * 336**0.5)
        rates.append(1 - np.prod(1 - alarm, axis=1))
    assert np.mean(rates) <= 1 / RUN_LENGTH  # a null that knows autocorrelation alone has 0.6 at 104 periods


@pytest.mark.fault("G20")
def test_a_season_that_the_reference_did_not_show_is_told_by_the_year_before():
    rng = np.random.default_rng(22)
    whole, parts = in_periods(numbers(rng, 26 * 336, 2), 26)
    moved = pd.DataFrame({"x0": [0.8], "x1": [0.0]}).to_numpy()

    def found(shift, season):
        now, then = numbers(rng, 336, 2) + shift, numbers(rng, 336, 2) + season
        past = profile(then, whole.edges).columns
        return drift(whole, profile(now, whole.edges).columns, RUN_LENGTH, periods=parts, season=past)

    assert found(moved, 0 * moved).columns == ("x0",)  # without a season it is drift, whatever is known
    assert found(moved, moved).verdict is Verdict.PASS
    assert " sd beyond the +0." in next(r.words for r in found(moved, moved).results if r.column == "x0")
    assert found(moved, -moved).columns == ("x0",)  # nor does a year that went the other way explain it
    assert found(2 * moved, moved).columns == ("x0",)
    assert found(0 * moved, moved).verdict is Verdict.PASS


@pytest.mark.fault("I6")
@pytest.mark.parametrize(("factor", "told"), [(100, "100 times"), (0.01, "1/100 of"), (0.621, "0.6")])
def test_a_changed_unit_of_a_seasonal_column_is_found_and_named(factor, told):
    rng = np.random.default_rng(5)
    hours = np.arange(27 * 168)
    season = 10 * np.sin(hours * 2 * np.pi / 8736) + 5 * np.sin(hours * 2 * np.pi / 24)
    stream = pd.DataFrame({"temp": 15 + season + rng.normal(size=len(hours)), "other": rng.normal(size=len(hours))})
    now = stream.tail(168)
    assert drift_of(stream.head(26 * 168), now, 26).verdict is not Verdict.FAIL
    found = drift_of(stream.head(26 * 168), now.assign(temp=now["temp"] * factor), 26)
    assert found.verdict is Verdict.FAIL
    assert found.columns == ("temp",)
    assert f"is {told}" in found.words
    assert "a changed unit?" in found.words


def test_an_outlier_is_no_changed_unit():
    rng = np.random.default_rng(15)
    before, now = numbers(rng, 2600, 1), numbers(rng, 200, 1)
    now.loc[7, "x0"] = 1e4
    assert drift_of(before, now).verdict is Verdict.PASS


def test_missing_values_constants_and_new_levels_are_drift():
    rng = np.random.default_rng(6)
    before = numbers(rng, 1000, 1).assign(k=1.0, c=rng.choice(list("ab"), 1000))
    gaps = before.head(300).copy()
    gaps.loc[:100, "x0"] = np.nan
    assert drift_of(before, gaps).columns == ("x0",)
    assert drift_of(before, before.head(300).assign(k=2.0)).columns == ("k",)
    assert drift_of(before, before.head(300).assign(c="new")).columns == ("c",)


def test_a_column_that_is_gone_has_drifted():
    rng = np.random.default_rng(7)
    reference = profile(numbers(rng, 500, 2))
    now = {"x0": profile(numbers(rng, 200, 1)[["x0"]], {"x0": reference.edges["x0"]}).columns["x0"]}
    found = drift(reference, now, RUN_LENGTH)
    assert found.columns == ("x1",)
    assert "not there any more" in found.words


@pytest.mark.requirement("D20")
def test_too_few_rows_are_inconclusive_never_a_pass():
    rng = np.random.default_rng(8)
    found = drift_of(numbers(rng, 500, 2), numbers(rng, 49, 2))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "49 rows against 500; at least 50" in found.words
    assert found.max_effect is None
    assert drift_of(numbers(rng, 30, 2), numbers(rng, 100, 2)).verdict is Verdict.INCONCLUSIVE
    assert drift(profile(pd.DataFrame()), {}, RUN_LENGTH).verdict is Verdict.INCONCLUSIVE


@pytest.mark.fault("I27")
def test_unseen_levels_missing_and_outlying_values_are_counted_per_column():
    before = pd.DataFrame({"c": list("abab"), "x": [0.0, 1.0, 2.0, 3.0], "many": list("wxyz")})
    reference = profile(before)
    now = profile(
        pd.DataFrame({"c": ["a", "new", "newer", None], "x": [None, -1.0, 9.0, 1.0], "many": list("wwww")}),
        reference.edges,
    )
    assert unseen(reference.columns, now.columns) == {"c": 2}
    assert missing(now.columns) == {"c": 1, "x": 1}
    assert out_of_range(now.columns) == {"x": 2}


def test_a_reference_that_names_only_its_top_levels_cannot_tell_what_is_unseen():
    reference = profile(pd.DataFrame({"id": [f"u{i}" for i in range(500)]}))
    now = profile(pd.DataFrame({"id": ["brand new"] * 10}), reference.edges)
    assert unseen(reference.columns, now.columns) == {}
