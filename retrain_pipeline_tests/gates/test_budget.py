"""The error budget: what a judgement may spend, kept from the record, and what lives come of it."""

import numpy as np
import pytest
from scipy import stats

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.gates.budget import Rows, account, gamma, level
from retrain_pipeline.gates.quality import quality
from retrain_pipeline.learning.paired import block_mean_interval
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.test_quality import HOURS, losses, paired
from retrain_pipeline_tests.gates.world import deliver, toys, versions


@pytest.fixture
def record(tmp_path):
    """A ledger and artifacts, and a function that enters judgements of rows."""
    ledger, artifacts = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}"), Artifacts(tmp_path / "artifacts")

    def rows(first, last):
        digest = artifacts.put(np.arange(first, last, dtype="<u8").tobytes())
        return Rows(digest, f"2024-{first:04d}", f"2024-{last - 1:04d}")

    def judged(version, verdict, seen, asked=None, spent=0.01, mode="superiority", model="toy", action="judged"):
        where = {"digest": seen.digest, "from": seen.from_, "until": seen.until} if seen else None
        payload = {"verdict": verdict, "question": asked or version, "mode": mode, "alpha_spent": spent, "rows": where}
        ledger.append(NewEntry("test", action, model, version, payload))

    def now(seen, asked="now", mode="superiority"):
        return account(ledger, artifacts, "toy", alpha=0.05, mode=mode, asked=asked, rows=seen)

    yield rows, judged, now, artifacts
    ledger.close()


@pytest.mark.requirement("D26")
def test_the_levels_of_a_life_never_add_up_to_more_than_its_promotions_earned():
    rng = np.random.default_rng(0)
    for rate in (0.0, 0.1, 0.9):
        passed, spent = [], 0.0
        for t in range(1, 400):
            spent += level(0.05, t, passed)
            assert spent <= 0.05 * max(len(passed), 1)
            passed += [t] if rng.random() < rate else []
    assert sum(gamma(j) for j in range(1, 10_000)) < 1


@pytest.mark.requirement("D26")
def test_few_of_many_lives_of_null_retrains_see_a_false_promotion():
    """100 retrains that gain nothing, after a first release; with exact p-values, fresh rows each."""
    rng, lives = np.random.default_rng(1), 2000
    false = {"budget": 0, "fixed": 0}
    for p in rng.random((lives, 100)):
        passed = [1]
        for t, chance in enumerate(p, 2):
            passed += [t] if chance <= level(0.05, t, passed) else []
        false["budget"] += len(passed) > 1
        false["fixed"] += bool((p <= 0.05).any())
    assert false["budget"] / lives <= 0.05
    assert false["fixed"] / lives > 0.9


def test_promotions_give_back_what_was_spent_and_failures_do_not():
    starved, fed = level(0.05, 12, [1]), level(0.05, 12, [1, 3, 6, 9, 11])
    assert starved < 0.001
    assert fed > 0.02


def test_the_account_is_kept_from_the_record(record):
    rows, judged, now, _ = record
    judged("v1", "PASS", rows(0, 10), spent=0.011)
    judged("v2", "FAIL", rows(10, 20), spent=0.014)
    found = now(rows(20, 30))
    assert (found.judgement, found.passed, found.reused) == (3, 1, ())
    assert found.spent == level(0.05, 3, [1])
    assert found.spent_before == pytest.approx(0.025)
    assert "judgement 3" in found.words()


@pytest.mark.fault("P26")
def test_the_same_question_again_finds_the_account_that_it_found(record):
    rows, judged, now, _ = record
    judged("v1", "PASS", rows(0, 10))
    first = now(rows(10, 20), "one")
    judged("v2", "INCONCLUSIVE", rows(10, 20), "one")
    judged("v2", "INCONCLUSIVE", rows(10, 20), "one")
    assert now(rows(10, 20), "one") == first
    assert now(rows(20, 30), "another").judgement == 3


@pytest.mark.requirement("D26")
def test_rows_that_judged_before_are_named_and_their_promotion_earns_nothing(record):
    rows, judged, now, _ = record
    judged("v1", "PASS", rows(0, 10))
    judged("v2", "PASS", rows(10, 20))
    fresh, again = now(rows(20, 30)), now(rows(15, 30))
    assert [(one.version, one.rows) for one in again.reused] == [("v2", 5)]
    assert again.spent == level(0.05, 3, [1, 2], [2]) < fresh.spent
    assert "v2 (5)" in again.words()


@pytest.mark.requirement("D26")
def test_a_refresh_that_was_called_for_spends_alpha_and_half_of_it_on_rows_that_judged_before(record):
    """However many came before it: a decayed champion must not be kept because others were replaced."""
    rows, judged, now, _ = record
    for week in range(30):
        mode = "non_inferiority" if week % 2 else "superiority"
        judged(f"v{week}", "INCONCLUSIVE", rows(10 * week, 10 * week + 10), mode=mode)
    called = now(rows(300, 310), mode="non_inferiority")
    assert (called.spent, called.judgement, called.reused) == (0.05, 16, ())
    assert now(rows(295, 305), mode="non_inferiority").spent == 0.025
    assert now(rows(285, 295), mode="non_inferiority").spent == 0.0125
    assert now(rows(300, 310)).judgement == 16
    assert now(rows(300, 310)).spent < 0.001


def test_judgements_of_other_models_and_other_entries_do_not_count(record):
    rows, judged, now, _ = record
    judged("v1", "PASS", rows(0, 10))
    alone = now(rows(20, 30))
    judged("v9", "PASS", rows(20, 30), model="doll")
    judged("v1", "PASS", rows(20, 30), action="released")
    assert now(rows(20, 30)) == alone


def test_rows_are_shared_up_to_the_very_moment_that_both_have(record):
    rows, judged, now, _ = record
    judged("v1", "PASS", rows(10, 20))
    assert [one.rows for one in now(rows(19, 30)).reused] == [1]
    assert [one.rows for one in now(rows(5, 11)).reused] == [1]
    assert now(rows(20, 30)).reused == now(rows(5, 10)).reused == ()


@pytest.mark.fault("G19")
def test_rows_of_which_nothing_is_known_count_as_the_same(record, tmp_path):
    rows, judged, now, artifacts = record
    judged("v1", "PASS", None)
    seen = rows(10, 20)
    judged("v2", "PASS", seen)
    path = artifacts.path(seen.digest)
    with open(path, "r+b") as file:
        file.write(b"damaged!")
    assert [(one.version, one.rows) for one in now(rows(15, 30)).reused] == [("v1", None), ("v2", None)]
    assert now(None).spent == level(0.05, 3, [])


def test_a_first_model_may_spend_alpha_and_founds_the_account_of_the_others(record):
    rows, judged, now, _ = record
    judged("v1", "FAIL", rows(0, 10), mode="first")
    assert now(rows(10, 20), mode="first").spent == 0.05
    judged("v2", "PASS", rows(10, 20), mode="first")
    found = now(rows(20, 30))
    assert (found.rule, found.judgement, found.spent) == ("LORD++", 2, level(0.05, 2, [1]))


@pytest.mark.requirement("D26")
def test_a_bound_that_may_be_spent_keeps_its_level_with_an_effect_of_the_day():
    """Resampled blocks alone are beyond the truth in 7 % of such looks."""
    rng, beyond = np.random.default_rng(4), 0
    for _ in range(400):
        day = np.repeat(rng.normal(0, 0.3, 14), 24)
        judged = paired(10 + day + rng.normal(size=336), np.full(336, 10.0))
        beyond += judged.charged_bound(0.0, 0.05) < 0
    assert beyond <= 30


@pytest.mark.requirement("D26")
def test_quality_passes_at_the_level_that_may_be_spent_and_fails_at_the_declared_one():
    reference = losses(10)
    candidate = reference * 0.985 + np.random.default_rng(2).normal(0, 0.8, len(reference))
    freely = quality(paired(candidate, reference), "superiority")
    assert freely.verdict is Verdict.PASS
    charged = quality(paired(candidate, reference, spent=1e-5), "superiority")
    assert charged.verdict is Verdict.INCONCLUSIVE
    assert charged.statistic > freely.statistic
    assert charged.interval == freely.interval
    assert "1e-05" in charged.words
    worse = quality(paired(reference * 1.3, reference, spent=1e-5), "superiority")
    assert worse.verdict is Verdict.FAIL


def test_bounds_at_small_levels_widen_as_students_t_does():
    values = np.random.default_rng(3).normal(size=336)

    def high(alpha):
        return block_mean_interval(values, HOURS, block_hours=24, alpha=alpha, seed=1).high - values.mean()

    widths = [high(alpha) for alpha in (0.05, 0.02, 0.01, 0.003, 1e-3, 1e-5)]
    assert widths == sorted(widths)
    assert high(1e-5) / high(0.01) == pytest.approx(stats.t.ppf(1 - 1e-5, 13) / stats.t.ppf(0.99, 13))


@pytest.mark.requirement("D26", "D14")
def test_a_judgement_says_what_it_spent_and_on_which_rows_again(world):
    """The versions of the weeks 7 and 8 are judged on a week each that others were judged on, too."""
    first, second, third = versions(world)
    entries = world.stores.ledger.entries(action="judged")
    accounts = [world.judge(version)[0].budget for version in (second, third)]
    assert [one.judgement for one in accounts] == [2, 3]
    assert [one.spent for one in accounts] == [0.025, 0.025]
    assert [one.version for one in accounts[0].reused] == [first]
    assert [(one.version, one.rows) for one in accounts[1].reused] == [(second, 168)]
    assert [entry.payload["alpha_spent"] for entry in entries][1:] == [one.spent for one in accounts]
    assert len(world.stores.ledger.entries(action="judged")) == len(entries)


@pytest.mark.fault("P25")
def test_a_second_look_with_another_margin_spends_again(world):
    third = versions(world)[2]
    path = world.declaration.folder / "defs.yaml"
    path.write_text(path.read_text().replace("margin: 0.08", "margin: 0.2"))
    evidence, _ = world.again().judge(third)
    assert evidence.budget.judgement == 4
    assert evidence.budget.spent == 0.0125
    assert third in [one.version for one in evidence.budget.reused]


def test_a_policy_that_asks_the_same_question_spends_once(world):
    third = versions(world)[2]
    before = world.judge(third)[0]
    path = world.declaration.folder / "defs.yaml"
    path.write_text(path.read_text().replace("gates:", "rollout: {holdback_share: 0.1}\n  gates:"))
    again = world.again().judge(third)[0]
    assert again.policy != before.policy
    assert again.budget == before.budget


def test_fresh_rows_after_a_promotion_may_spend_what_it_earned(world):
    second = versions(world)[1]
    world.judged_release(second)
    deliver(world.stores, world.declaration, toys(4, "regression", first=8))
    newest = world.build(12, parent=second)
    for mode, spent in (("superiority", level(0.05, 2, [1])), ("non_inferiority", 0.05)):
        evidence, _ = world.judge(newest, mode)
        assert [one.version for one in evidence.budget.reused] == ([] if mode == "superiority" else [newest])
        assert evidence.budget.spent == (spent if mode == "superiority" else spent / 2)
