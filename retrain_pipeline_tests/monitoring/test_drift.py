"""Drift: silent by chance, loud when something moved, and never about what does not matter."""

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.monitoring.drift import MIN_EFFECT, drift, index_and_null, missing, out_of_range, unseen
from retrain_pipeline.monitoring.profile import profile
from retrain_pipeline.verdicts import Verdict

RUN_LENGTH = 200.0


def numbers(rng, rows, columns=10):
    return pd.DataFrame(rng.normal(size=(rows, columns)), columns=[f"x{i}" for i in range(columns)])


def drift_of(before: pd.DataFrame, now: pd.DataFrame):
    reference = profile(before)
    return drift(reference, profile(now, reference.edges).columns, RUN_LENGTH)


@pytest.mark.requirement("D16", "B32")
@pytest.mark.parametrize("rows", [50, 168, 1000])
def test_no_drift_is_rarely_called_drift(rows):
    rng = np.random.default_rng(1)
    shares = [0.6, 0.2, 0.1, 0.05, 0.03, 0.01, 0.005, 0.005]
    cut = profile(numbers(rng, 4000).assign(c=rng.choice(list("abcdefgh"), 4000, p=shares)))
    alarms = 0
    for _ in range(200):
        now = numbers(rng, rows).assign(c=rng.choice(list("abcdefgh"), rows, p=shares))
        alarms += drift(cut, profile(now, cut.edges).columns, RUN_LENGTH).verdict is Verdict.FAIL
    # one alarm in 200 looks is promised over all columns; with that rate, more than 5 of 200 has probability 0.06 %
    assert alarms <= 5


@pytest.mark.parametrize("cells", [2, 5, 11])
@pytest.mark.parametrize("rows", [100, 2000])
def test_the_null_distribution_of_the_index_is_the_one_used(cells, rows):
    rng = np.random.default_rng(2)
    p = np.ones(cells) / cells
    beyond, total = 0, 0.0
    for _ in range(3000):
        found, mean, quantile = index_and_null(rng.multinomial(4 * rows, p), rng.multinomial(rows, p), 0.05)
        beyond += found > quantile
        total += found - mean
    assert 0.02 <= beyond / 3000 <= 0.08
    assert abs(total / 3000) < 0.2 * mean


@pytest.mark.requirement("B32")
def test_a_shift_of_one_column_among_ten_is_found_and_named():
    rng = np.random.default_rng(3)
    before, now = numbers(rng, 4000), numbers(rng, 336)
    now["x3"] += 0.6
    found = drift_of(before, now)
    assert found.verdict is Verdict.FAIL
    assert found.columns == ("x3",)
    assert "1 of 10 columns drifted: x3: PSI" in found.words
    result = next(r for r in found.results if r.column == "x3")
    assert result.statistic > result.threshold
    assert found.max_effect == result.effect > MIN_EFFECT


def test_a_significant_trifle_is_no_drift():
    rng = np.random.default_rng(4)
    before, now = numbers(rng, 200_000, 1), numbers(rng, 200_000, 1) + 0.05
    found = drift_of(before, now)
    assert found.verdict is Verdict.PASS
    assert found.results[0].statistic > 20 * (1 / 200_000)  # far beyond chance
    assert "none of 1 columns drifted" in found.words


@pytest.mark.fault("I6")
def test_a_changed_unit_is_drift():
    rng = np.random.default_rng(5)
    before = numbers(rng, 1000, 2) + 10
    found = drift_of(before, before.head(200).assign(x1=before["x1"] * 100))
    assert found.columns == ("x1",)


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
