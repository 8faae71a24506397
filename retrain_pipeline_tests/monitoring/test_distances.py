"""Distances between summaries, against SciPy and Evidently on the same rows."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial import distance

from retrain_pipeline.monitoring import distances
from retrain_pipeline.monitoring.errors import ProfilesDiffer
from retrain_pipeline.monitoring.profile import profile


def both(before: pd.Series, now: pd.Series):
    reference = profile(before.to_frame("x"))
    return reference.columns["x"], profile(now.to_frame("x"), reference.edges).columns["x"]


@pytest.fixture(scope="module")
def digits():
    """Values 0 to 6: each has a bin of its own."""
    rng = np.random.default_rng(1)
    return pd.Series(rng.integers(0, 7, 4000).astype(float)), pd.Series(rng.binomial(6, 0.6, 900).astype(float))


@pytest.fixture(scope="module")
def floats():
    rng = np.random.default_rng(2)
    return pd.Series(rng.normal(size=20_000)), pd.Series(rng.normal(0.3, 1.2, 3000))


def test_distances_of_few_values_are_those_of_scipy(digits):
    before, now = digits
    p, q = both(before, now)
    found = [side.value_counts(normalize=True).reindex(range(7), fill_value=0).to_numpy() for side in (before, now)]
    assert distances.kolmogorov_smirnov(p, q) == pytest.approx(stats.ks_2samp(before, now).statistic, abs=1e-12)
    assert distances.wasserstein(p, q) == pytest.approx(stats.wasserstein_distance(before, now), abs=1e-12)
    assert distances.jensen_shannon(p, q) == pytest.approx(distance.jensenshannon(*found, base=2), abs=1e-12)
    assert distances.total_variation(p, q) == pytest.approx(np.abs(found[0] - found[1]).sum() / 2, abs=1e-12)


def test_distances_of_numbers_are_those_of_scipy_but_for_what_happens_within_a_bin(floats):
    before, now = floats
    p, q = both(before, now)
    exact = stats.ks_2samp(before, now).statistic
    binned = distances.kolmogorov_smirnov(p, q)
    assert exact - 0.05 < binned <= exact + 1e-12  # at the edges only: never above, and by half a bin's rows below
    # the outer deciles of a normal column are wide, and straight lines in them are a coarse guess
    inside = now.clip(before.min(), before.max())
    assert distances.wasserstein(p, q) == pytest.approx(stats.wasserstein_distance(before, inside), rel=0.2)


def test_wasserstein_of_lines_that_cross_within_a_bin():
    reference = profile(pd.DataFrame({"x": np.linspace(0, 1, 1001)}))
    wide = profile(pd.DataFrame({"x": np.concatenate([np.zeros(500), np.ones(500)])}), reference.edges)
    found = distances.wasserstein(reference.columns["x"], wide.columns["x"])
    # the steps at both ends are told as lines over a bin of a tenth: 0.5 · 0.1 / 2 each
    assert found == pytest.approx(0.25 - 2 * 0.5 * 0.1 / 2, abs=0.001)


def test_categories_are_compared_level_by_level():
    before, now = pd.Series(list("aaabbc") * 20), pd.Series([*"abbbcc", None] * 20)
    p, q = both(before, now)
    moved = distances.category_shifts(p, q)
    assert next(iter(moved)) == "a"
    assert moved["a"] == pytest.approx(1 / 7 - 1 / 2)
    assert distances.total_variation(p, q) == pytest.approx(1 / 2 - 1 / 7 + 0.0, abs=1e-12)
    assert distances.jensen_shannon(p, p) == distances.psi(p, p) == distances.total_variation(p, p) == 0.0


def test_distances_are_those_of_evidently_on_the_same_rows(digits, monkeypatch):
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    from evidently.legacy.calculations.stattests import get_stattest  # what its presets call
    from evidently.legacy.core import ColumnType

    before, now = digits
    letters = [side.map(dict(enumerate("abcdefg"))) for side in (before, now)]
    p, q = both(*letters)
    for name, ours in (("jensenshannon", distances.jensen_shannon), ("TVD", distances.total_variation)):
        test = get_stattest(letters[0], letters[1], ColumnType.Categorical, name)
        theirs = test(letters[0], letters[1], ColumnType.Categorical, 0.1).drift_score
        if name == "TVD":  # Evidently gives the p-value of a permutation test of it
            assert 0 <= theirs <= 1
            continue
        # Evidently's logarithm is natural, ours to base 2
        assert ours(p, q) == pytest.approx(theirs / np.log(2) ** 0.5, abs=1e-9)
    test = get_stattest(letters[0], letters[1], ColumnType.Categorical, "psi")
    theirs = test(letters[0], letters[1], ColumnType.Categorical, 0.1).drift_score
    assert distances.psi(p, q) == pytest.approx(
        theirs, rel=0.06
    )  # half a row in a cell is ours, which counts where it is empty


def test_what_was_counted_in_other_cells_has_no_distance():
    p, q = both(pd.Series([1.0, 2.0]), pd.Series([1.0, 2.0]))
    other, _ = both(pd.Series([1.0, 3.0]), pd.Series([1.0]))
    assert distances.kolmogorov_smirnov(p, q) == 0.0
    for measure in (distances.psi, distances.jensen_shannon, distances.kolmogorov_smirnov, distances.wasserstein):
        with pytest.raises(ProfilesDiffer, match="edges of one reference"):
            measure(p, other)
