"""Bounds that hold at every look, and splits that are as declared."""

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates.online import Trial, block_means, mean_sequence, online_loss, sample_ratio
from retrain_pipeline.verdicts import Verdict

LOOKS = range(8, 141, 7)


@pytest.mark.requirement("D26")
def test_looking_every_week_raises_few_false_alarms():
    """Half of alpha on each side, over twenty looks; a fixed-n test looked at so often is wrong a third of the time."""
    rng = np.random.default_rng(3)
    wrong, naive = 0, 0
    for _ in range(300):
        drawn = rng.normal(size=140)
        looks = [drawn[:n] for n in LOOKS]
        wrong += any(mean_sequence(one, alpha=0.05, expected=28).low > 0 for one in looks)
        naive += any(one.mean() / (one.std(ddof=1) / np.sqrt(len(one))) > 1.96 for one in looks)
    assert wrong <= 12, "P(13 or more of 300) at 0.025 is 0.05"
    assert naive > 25


def test_blocks_that_depend_on_each_other_are_given_less_weight():
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(200):
        noise, drawn = rng.normal(size=160), np.zeros(160)
        for at in range(1, 160):
            drawn[at] = 0.5 * drawn[at - 1] + noise[at]
        looks = [mean_sequence(drawn[20 : 20 + n], alpha=0.05, expected=28) for n in LOOKS]
        wrong += any(one.low > 0 or one.high < 0 for one in looks)
    assert wrong <= 25, "taken as independent, one in three is called"


def test_bounds_close_in_on_the_mean():
    drawn = np.random.default_rng(5).normal(1.0, 1.0, 400)
    widths = [one.high - one.low for one in (mean_sequence(drawn[:n], alpha=0.05, expected=28) for n in (10, 50, 400))]
    assert widths[0] > widths[1] > widths[2]
    assert mean_sequence(drawn, alpha=0.05, expected=28).low > 0.5


def test_a_block_of_few_rows_weighs_little_and_the_mean_is_that_of_all_rows():
    at = pd.to_datetime(["2024-01-01T01", "2024-01-01T02", "2024-01-01T03", "2024-01-02T01"], utc=True)
    values = np.array([1.0, 1.0, 1.0, 9.0])
    blocks = block_means(values, pd.Series(at), 24)
    assert len(blocks.values) == 2
    assert blocks.values.mean() == pytest.approx(values.mean())
    assert blocks.effective == pytest.approx(16 / 10), "(3 + 1)² / (3² + 1²)"
    same = block_means(np.full(4, 7.0), pd.Series(at), 24)
    assert np.ptp(same.values) == pytest.approx(0), "how many rows a block has is no spread of their mean"


def staged(shift: float, rng: np.random.Generator, periods: int = 10) -> list[Trial]:
    """Weekly looks at a week of shadow and a canary with one row in ten; differences vary by day and by row."""
    rows = np.concatenate([np.full(7, 144), np.full(7 * (periods - 1), 14)])
    day = np.repeat(np.arange(len(rows)), rows)
    difference = shift + rng.normal(0, 0.04, len(rows))[day] + rng.normal(0, 0.6, len(day))
    at = np.datetime64("2024-01-01", "us") + day * np.timedelta64(86_400_000_000, "us")
    ends = [int(rows[: 7 * look].sum()) for look in range(1, periods + 1)]
    terms = {"margin": 0.0, "alpha": 0.05, "block_hours": 24, "min_rows": 100, "expected_blocks": 70, "metric": "mae"}
    return [Trial(1 + difference[:end], np.ones(end), at[:end], **terms) for end in ends]


@pytest.mark.requirement("D26")
def test_a_canary_of_few_rows_after_a_shadow_of_many_still_tells_good_from_bad():
    """By sums alone a mean of 0.3 had no lower bound above 0 in any of ten looks: few rows were taken for spread."""
    rng = np.random.default_rng(8)
    verdicts = {
        shift: [{online_loss(look, ("v2", "v1")).verdict for look in staged(shift, rng)} for _ in range(20)]
        for shift in (-0.15, 0.3)
    }
    assert all(Verdict.PASS in seen and Verdict.FAIL not in seen for seen in verdicts[-0.15])
    assert all(Verdict.FAIL in seen and Verdict.PASS not in seen for seen in verdicts[0.3])


@pytest.mark.requirement("D26")
def test_unequal_blocks_and_the_few_of_a_first_week_keep_the_level():
    rng = np.random.default_rng(9)
    called = [{online_loss(look, ("v2", "v1")).verdict for look in staged(0.0, rng)} for _ in range(150)]
    for verdict in (Verdict.PASS, Verdict.FAIL):
        assert sum(verdict in seen for seen in called) <= 8, "P(9 or more of 150) at 0.025 is 0.02"


def test_six_blocks_may_speak_against_a_model_and_not_for_it():
    assert online_loss(trial(0.5, n=7 * 24), ("v2", "v1")).verdict is Verdict.FAIL
    assert online_loss(trial(-0.5, n=7 * 24), ("v2", "v1")).verdict is Verdict.INCONCLUSIVE


def trial(shift: float, n: int = 40 * 24, **more) -> Trial:
    rng = np.random.default_rng(6)
    reference = rng.gamma(4, 0.25, n)
    at = pd.Series(pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC"))
    given = {"margin": 0.05, "alpha": 0.05, "block_hours": 24, "min_rows": 100, "expected_blocks": 28, "metric": "mae"}
    return Trial(reference + shift + rng.normal(0, 0.1, n), reference, at, **{**given, **more})


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (trial(0.0), Verdict.PASS),
        (trial(0.2), Verdict.FAIL),
        (trial(0.05), Verdict.INCONCLUSIVE),
        (trial(0.2, n=5 * 24), Verdict.INCONCLUSIVE),
        (trial(0.0, min_rows=10_000), Verdict.INCONCLUSIVE),
        (trial(0.02, margin=0.0), Verdict.FAIL),
    ],
)
def test_a_trial_passes_within_the_margin_fails_beyond_it_and_holds_between(found, verdict):
    result = online_loss(found, ("v2", "v1"))
    assert result.verdict is verdict, result.words


@pytest.mark.fault("P27")
def test_losses_that_are_no_numbers_are_never_good():
    bad = trial(0.0)
    bad.trial[3] = np.nan
    assert online_loss(bad, ("v2", "v1")).verdict is Verdict.FAIL
    other = trial(0.0)
    other.reference[3] = np.inf
    assert online_loss(other, ("v2", "v1")).verdict is Verdict.INCONCLUSIVE


@pytest.mark.fault("G18")
def test_a_split_that_is_off_is_called_and_a_right_one_is_not():
    shares = {"canary": 0.05, "control": 0.05, "champion": 0.9}
    assert sample_ratio({"canary": 52, "control": 49, "champion": 899}, shares).verdict is Verdict.PASS
    assert sample_ratio({"canary": 500, "control": 420, "champion": 9080}, shares).verdict is Verdict.PASS
    assert sample_ratio({"canary": 700, "control": 480, "champion": 8820}, shares).verdict is Verdict.FAIL
    assert sample_ratio({"canary": 50, "control": 50, "champion": 895, "holdback": 5}, shares).verdict is Verdict.FAIL
    assert sample_ratio({}, shares).verdict is Verdict.INCONCLUSIVE


def test_a_right_split_that_is_looked_at_forty_times_is_hardly_ever_called():
    rng = np.random.default_rng(7)
    called = 0
    for _ in range(200):
        counts = np.zeros(3, dtype=int)
        looks = []
        for _ in range(40):
            counts = counts + rng.multinomial(100, [0.1, 0.1, 0.8])
            names = dict(zip(("canary", "control", "champion"), counts.tolist(), strict=True))
            looks.append(sample_ratio(names, {"canary": 0.1, "control": 0.1, "champion": 0.8}).verdict)
        called += Verdict.FAIL in looks
    assert called <= 2
