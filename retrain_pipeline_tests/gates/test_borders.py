"""The borders of what gates compute without stores: what is needed to pass, how near it was, what may be spent."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.gates.budget import (
    CALLED,
    UNCALLED,
    Account,
    Reuse,
    gamma,
    level,
    past_judgements,
    question,
)
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.online import Trial, block_means, mean_sequence, online_loss, sample_ratio
from retrain_pipeline.gates.required import GATES, required_gates
from retrain_pipeline.gates.turning import Turning, turning
from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.spec.escalate import Escalate
from retrain_pipeline.spec.gates import Gates
from retrain_pipeline.verdicts import Verdict


def result(gate, verdict="PASS", **numbers):
    return GateResult(gate=gate, verdict=Verdict(verdict), words="as found", **numbers)


# --- what turned a judgement


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"statistic": 250.0, "threshold": 200.0},
         "statistic 250 where at most 200 is allowed: it needed to be lower by 50, or the threshold as much higher"),
        ({"statistic": 200.0, "threshold": 200.0}, "its statistic 200 is within 200, but as found"),
        ({"statistic": 250.0}, "evidence that it could judge: as found"),
        ({"threshold": 200.0}, "evidence that it could judge: as found"),
    ],
)  # fmt: skip
def test_what_a_gate_needed_is_said_by_its_numbers(numbers, words):
    assert turning([result("size", "FAIL", **numbers)]) == (Turning(gate="size", verdict=Verdict.FAIL, words=words),)


def test_long_words_are_cut_at_two_thousand():
    long = GateResult(gate="size", verdict=Verdict.INCONCLUSIVE, words="x" * 3000)
    assert len(turning([long])[0].words) == 2000
    within = GateResult(gate="size", verdict=Verdict.FAIL, words="x" * 3000, statistic=1.0, threshold=2.0)
    assert len(turning([within])[0].words) == 2000


def test_of_a_pass_the_nearest_is_told_with_its_room():
    [found] = turning([
        result("quality", statistic=-0.3, threshold=0.1, interval=(-0.9, -0.1)),
        result("latency", statistic=10.0, threshold=50.0),
        result("labels", threshold=1.0, interval=(None, 2.0), statistic=0.0),
        result("faults", statistic=0.0, threshold=0.0),
    ])  # fmt: skip
    assert found.words == (
        "passed with -0.3 where 0.1 is allowed; a threshold below -0.3 would have stopped it (room 0.5 interval widths)"
    )
    [other] = turning([result("latency", statistic=10.0, threshold=50.0)])
    assert other.words == (
        "passed with 10 where 50 is allowed; a threshold below 10 would have stopped it (room 0.8 of the threshold)"
    )
    [half] = turning([result("a", statistic=-3.0, threshold=-1.0, interval=(1.0, None)), result("words only")])
    assert "room 2 of the threshold" in half.words


def test_of_gates_as_near_the_first_is_told_and_one_without_a_threshold_is_not_measured():
    found = turning([
        result("odd", statistic=1.0),
        result("latency", statistic=25.0, threshold=50.0),
        result("size", statistic=100.0, threshold=200.0),
    ])  # fmt: skip
    assert [one.gate for one in found] == ["latency"]


# --- what is required


@pytest.mark.parametrize(
    ("declared", "beyond"),
    [
        ({}, ()),
        ({"refits": 1}, ("reproducible",)),
        ({"refits": 2}, ("reproducible", "seed_noise")),
        ({"max_rss_mb": 100.0}, ("footprint",)),
        ({"groups": ("shop",)}, ("groups",)),
        ({"documentation": True}, ("documentation",)),
        ({"guard": "required"}, ("guard",)),
        ({"escalate": Escalate()}, ("escalation",)),
    ],
)
def test_what_is_declared_is_required_beyond_what_all_require(declared, beyond):
    off = {"refits": 0, "max_rss_mb": None, "groups": (), "documentation": False}
    assert required_gates(Gates().model_copy(update=off | declared)) == (*GATES, *beyond)


# --- what may be spent


def test_levels_are_those_of_the_formula():
    assert gamma(1) == pytest.approx(1 / 2.2857656996)
    assert gamma(4) == pytest.approx(4**-1.6 / 2.2857656996)
    assert level(0.05, 3, []) == pytest.approx(0.025 * gamma(3))
    assert level(0.05, 3, [1]) == pytest.approx(0.025 * gamma(3) + 0.025 * gamma(2))
    assert level(0.05, 5, [1, 3]) == pytest.approx(0.025 * gamma(5) + 0.025 * gamma(4) + 0.05 * gamma(2))
    assert level(0.05, 5, [1, 3], [3]) == level(0.05, 5, [1])
    assert level(0.05, 5, [1, 3], [1]) == pytest.approx(0.025 * gamma(5) + 0.05 * gamma(2))


def told(**changed):
    given = {"rule": UNCALLED, "question": "q", "alpha": 0.05, "judgement": 3, "passed": 1, "spent_before": 0.025,
             "spent": 0.0055, "reused": ()}  # fmt: skip
    return Account(**{**given, **changed}).words()


def test_an_account_is_told_in_words():
    words = (
        "judgement 3 of the model's life by rule LORD++ spends 0.0055, α is 0.05 (0.025 spent before by all, "
        "1 of its rule passed)"
    )
    assert told() == words
    again = told(reused=(Reuse(version="v1", rows=7), Reuse(version="v2", rows=None)))
    assert again == f"{words}; rows judged before with v1 (7), v2 (lost)"


def judged(seq, version, verdict="PASS", question=None, mode="superiority", **payload):
    rows = {"digest": "d", "from": "2024-01-01", "until": "2024-01-02"}
    told = {"verdict": verdict, "question": question, "mode": mode, "alpha_spent": 0.01, "rows": rows, **payload}
    return Entry(seq, "", "", 0, "t", "judged", "toy", version, told, None, 1, f"sha{seq}")


def test_the_past_is_one_judgement_a_question_up_to_the_question_asked():
    entries = [
        judged(1, "v1", mode="first", question="a"),
        judged(2, "v2", "FAIL", question="b"),
        judged(3, "v2", "PASS", question="b"),
        judged(4, "v2", "FAIL", question="b"),
        judged(5, "v3", "FAIL", question="c", mode="non_inferiority"),
        judged(6, "v4", question="d"),
        judged(7, "v5", "FAIL"),
        judged(8, "v5", "FAIL"),
    ]
    found = past_judgements(entries)
    assert [(one.version, one.passed, one.rule, one.founds) for one in found] == [
        ("v1", True, CALLED, True),
        ("v2", True, UNCALLED, False),
        ("v3", False, CALLED, False),
        ("v4", True, UNCALLED, False),
        ("v5", False, UNCALLED, False),
        ("v5", False, UNCALLED, False),
    ]
    assert [one.version for one in past_judgements(entries, "d")] == ["v1", "v2", "v3"]
    refused = judged(1, "v1", "FAIL", mode="first", question="a")
    assert [one.founds for one in past_judgements([refused, entries[0]])] == [True]
    assert [one.founds for one in past_judgements([entries[0], refused])] == [True]
    assert past_judgements([refused])[0].founds is False


@pytest.mark.parametrize("rows", [None, {}, {"digest": "d", "from": None, "until": "u"}, {"digest": "d", "from": "f"}])
def test_rows_that_the_record_does_not_name_whole_are_not_known(rows):
    [found] = past_judgements([judged(1, "v1", rows=rows, alpha_spent=None)])
    assert (found.rows, found.spent) == (None, 0.0)
    [known] = past_judgements([judged(1, "v1")])
    assert (known.rows.digest, known.rows.from_, known.rows.until, known.spent) == (
        "d",
        "2024-01-01",
        "2024-01-02",
        0.01,
    )


# --- evidence while it serves


def test_bounds_are_those_of_the_formula():
    from scipy import stats

    drawn = np.array([0.4, -0.2, 0.9, 0.1, 0.6, -0.4, 0.3, 0.8, -0.1, 0.5])
    found = mean_sequence(drawn, alpha=0.05, expected=20)
    n, rho2 = 10, (-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 20
    wide = math.sqrt(2 * (n * rho2 + 1) / (n * n * rho2) * math.log(math.sqrt(n * rho2 + 1) / 0.05))
    tail = stats.norm.sf(wide * math.sqrt(n))
    half = float(np.std(drawn, ddof=1)) * stats.t.isf(tail, n - 1) / math.sqrt(n)
    assert found.mean == pytest.approx(0.29)
    # its neighbours go apart (r < 0), which is taken as independent, never as better than that
    assert (found.low, found.high) == (pytest.approx(0.29 - half), pytest.approx(0.29 + half))
    assert found.blocks == 10


def test_of_less_than_two_blocks_nothing_is_known():
    for drawn, mean in (([], 0.0), ([3.0], 3.0)):
        found = mean_sequence(np.array(drawn), alpha=0.05, expected=20)
        assert (found.mean, found.low, found.high, found.blocks) == (mean, -math.inf, math.inf, len(drawn))
        assert not found.enough
    from scipy import stats

    two = mean_sequence(np.array([1.0, 2.0]), alpha=0.05, expected=1)
    rho2 = -2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)
    wide = math.sqrt(2 * (2 * rho2 + 1) / (4 * rho2) * math.log(math.sqrt(2 * rho2 + 1) / 0.05))
    half = math.sqrt(0.5) * stats.t.isf(stats.norm.sf(wide * math.sqrt(2)), 1) / math.sqrt(2)
    assert two.high == pytest.approx(1.5 + half), "one degree of freedom is left"
    assert mean_sequence(np.array([1.0, 2.0]), alpha=0.05, expected=0) == two


def test_blocks_begin_at_multiples_of_their_length_and_weigh_as_their_rows():
    at = pd.to_datetime(["2024-01-01T23:59:59", "2024-01-02T00:00:00", "2024-01-02T23:59:59", "2024-01-05T00:00:00"])
    blocks = block_means(np.array([1.0, 2.0, 4.0, 9.0]), pd.Series(at.tz_localize("UTC")), 24)
    # one, two and one rows about the mean of all, 4: sums apart by -3, -2 and 5, each times blocks by rows
    assert blocks.values == pytest.approx(4 + np.array([-3.0, -2.0, 5.0]) * 3 / 4)
    assert blocks.effective == pytest.approx(4**2 / (1 + 4 + 1))


def online(shift=0.0, **more):
    rng = np.random.default_rng(6)
    n = 30 * 24
    reference = rng.gamma(4, 0.25, n)
    at = pd.Series(pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC"))
    given = {"margin": 0.05, "alpha": 0.05, "block_hours": 24, "min_rows": 100, "expected_blocks": 28, "metric": "mae"}
    return Trial(reference + shift, reference, at, **{**given, **more})


def test_a_look_tells_its_numbers():
    found = online_loss(online(), ("v2", "v1"))
    blocks = block_means(-0.05 * online().reference, online().event_time, 24)
    bounds = mean_sequence(blocks.values, alpha=0.05, expected=28, effective=blocks.effective)
    assert (found.verdict, found.gate, found.n, found.threshold) == (Verdict.PASS, "online_loss", 720, 0.0)
    assert found.interval == pytest.approx((bounds.low, bounds.high))
    assert found.statistic == found.interval[1]
    assert found.words == (
        f"mean mae row loss of v2 minus that of v1: 0; minus 1.05 times it: {bounds.mean:.4g} "
        f"[{bounds.low:.4g}, {bounds.high:.4g}] in 30 blocks, bounds that hold at every look"
    )
    assert "minus that of v1: 0.25;" in online_loss(online(0.25), ("v2", "v1")).words


def test_the_same_losses_are_within_no_margin():
    found = online_loss(online(margin=0.0), ("v2", "v1"))
    assert (found.verdict, found.interval) == (Verdict.PASS, (0.0, 0.0))


def test_rows_enough_are_enough():
    assert online_loss(online(min_rows=720), ("v2", "v1")).verdict is Verdict.PASS
    few = online_loss(online(min_rows=721), ("v2", "v1"))
    assert (few.verdict, few.n, few.gate) == (Verdict.INCONCLUSIVE, 720, "online_loss")
    assert few.words.startswith("720 rows with a label in 30 blocks of 24 h, 721 rows in ")


@pytest.mark.parametrize(
    ("side", "verdict", "words"),
    [
        ("trial", Verdict.FAIL, "the loss of v2 is not finite on 2 of 720 rows"),
        ("reference", Verdict.INCONCLUSIVE, "the loss of v1 is not finite: there is nothing to compare with"),
    ],
)
def test_a_loss_that_is_no_number_is_told(side, verdict, words):
    found = online()
    getattr(found, side)[[3, 9]] = np.inf
    told = online_loss(found, ("v2", "v1"))
    assert (told.verdict, told.words, told.n, told.gate) == (verdict, words, 720, "online_loss")


def test_a_split_is_told_with_its_numbers():
    from scipy.special import gammaln

    shares, counts = {"canary": 0.2, "control": 0.2, "champion": 0.6}, {"canary": 30, "control": 15, "champion": 55}
    found = sample_ratio(counts, shares)
    wanted = gammaln(3) - gammaln(103)
    for arm, share in shares.items():
        wanted += gammaln(3 * share + counts[arm]) - gammaln(3 * share) - counts[arm] * math.log(share)
    assert found.statistic == pytest.approx(wanted)
    assert (found.gate, found.verdict, found.n) == ("sample_ratio", Verdict.PASS, 100)
    assert found.threshold == pytest.approx(math.log(1000))
    assert found.words == (
        f"entities by arm: canary 30 (20.0% meant), champion 55 (60.0% meant), control 15 (20.0% meant); "
        f"log evidence against that split {wanted:.2f}, limit 6.91"
    )


def test_an_arm_without_a_share_must_be_empty():
    found = sample_ratio({"champion": 90, "canary": 1}, {"champion": 1.0, "canary": 0.0})
    assert (found.gate, found.verdict, found.n) == ("sample_ratio", Verdict.FAIL, 91)
    assert found.words == "entities in an arm that has no share: {'canary': 1}"
    assert sample_ratio({"champion": 90, "canary": 0}, {"champion": 1.0}).verdict is Verdict.PASS
    nobody = sample_ratio({}, {"champion": 1.0})
    assert (nobody.gate, nobody.verdict, nobody.n, nobody.words) == (
        "sample_ratio", Verdict.INCONCLUSIVE, 0, "no entity was routed yet",
    )  # fmt: skip
    assert sample_ratio({"champion": 900}, {"champion": 0.5, "canary": 0.5}).verdict is Verdict.FAIL


def test_blocks_that_all_say_the_same_have_no_spread_and_no_rows_no_blocks():
    found = mean_sequence(np.full(12, 0.5), alpha=0.05, expected=20)
    assert (found.low, found.high) == (0.5, 0.5)
    none = block_means(np.empty(0), pd.Series([], dtype="datetime64[ns, UTC]"), 24)
    assert (none.values.shape, none.effective) == ((0,), 0.0)


@pytest.mark.parametrize("carried", [0.6, 0.99])
def test_neighbours_that_go_together_widen_the_bounds_by_their_correlation(carried):
    rng = np.random.default_rng(2)
    drawn = np.empty(60)
    drawn[0] = 0.0
    for at in range(1, 60):
        drawn[at] = carried * drawn[at - 1] + rng.normal()
    apart = drawn - drawn.mean()
    r = min(float(apart[1:] @ apart[:-1]) / float(apart @ apart) + 1 / 60, 0.9)
    order = rng.permutation(60)
    while float(apart[order][1:] @ apart[order][:-1]) / float(apart @ apart) + 1 / 60 > 0:
        order = rng.permutation(60)
    found, shuffled = (mean_sequence(one, alpha=0.05, expected=20) for one in (drawn, drawn[order]))
    assert (found.high - found.low) / (shuffled.high - shuffled.low) == pytest.approx(math.sqrt((1 + r) / (1 - r)))


def test_blocks_of_unequal_rows_tell_as_much_as_fewer_equal_ones():
    at = pd.Series(pd.date_range("2024-01-01", periods=20 * 24, freq="h", tz="UTC"))
    kept = np.arange(len(at)) % 24 < np.where(np.arange(len(at)) // 24 < 17, 24, 2)
    rng = np.random.default_rng(6)
    reference = rng.gamma(4, 0.25, int(kept.sum()))
    given = {"margin": 0.05, "alpha": 0.05, "block_hours": 24, "min_rows": 100, "expected_blocks": 28, "metric": "mae"}
    found = online_loss(Trial(reference, reference, at[kept].reset_index(drop=True), **given), ("v2", "v1"))
    blocks = block_means(-0.05 * reference, at[kept], 24)
    assert blocks.effective < 18
    wanted = mean_sequence(blocks.values, alpha=0.05, expected=28, effective=blocks.effective)
    assert found.interval == pytest.approx((wanted.low, wanted.high))
    assert wanted.high > mean_sequence(blocks.values, alpha=0.05, expected=28).high


def test_margins_of_squared_losses_are_those_of_the_root():
    found = online_loss(online(metric="rmse", margin=0.1), ("v2", "v1"))
    blocks = block_means((1 - 1.1**2) * online().reference, online().event_time, 24)
    bounds = mean_sequence(blocks.values, alpha=0.05, expected=28, effective=blocks.effective)
    assert found.interval == pytest.approx((bounds.low, bounds.high))


def test_an_arm_that_nobody_was_routed_to_counts_as_none_and_one_that_was_not_meant_as_stray():
    empty = sample_ratio({"champion": 40}, {"champion": 0.5, "canary": 0.5})
    assert empty.verdict is Verdict.FAIL
    assert "canary 0 (50.0% meant)" in empty.words
    assert empty.statistic == pytest.approx(
        sample_ratio({"champion": 40, "canary": 0}, {"champion": 0.5, "canary": 0.5}).statistic
    )
    assert sample_ratio({"champion": 1}, {"champion": 1.0, "canary": 0.0}).verdict is Verdict.PASS
    stray = sample_ratio({"champion": 9, "holdback": 3}, {"champion": 1.0})
    assert (stray.verdict, stray.words) == (
        Verdict.FAIL, "entities in an arm that has no share: {'holdback': 3}",
    )  # fmt: skip


def test_a_question_is_what_quality_asks_and_nothing_else():
    def asked(gates=None, metric="mae", **terms):
        named = {
            "model": "toy",
            "manifest": "m",
            "champion_manifest": "c",
            "mode": "superiority",
            "policy": "p",
            **terms,
        }
        success = SimpleNamespace(success=SimpleNamespace(metric=metric))
        return question(named, SimpleNamespace(problem=success, gates=gates or Gates()))

    assert asked() == asked(policy="another") == asked(Gates(max_size_mb=1.0))
    others = [
        asked(model="doll"), asked(manifest="n"), asked(champion_manifest=None), asked(mode="first"),
        asked(metric="rmse"), asked(Gates(margin=0.01)), asked(Gates(block_hours=12)),
        asked(Gates(escalate=Escalate())), asked(Gates(escalate=Escalate(share=0.4))),
    ]  # fmt: skip
    assert len({asked(), *others}) == 10
    assert asked() == digest_of({
        "model": "toy", "manifest": "m", "champion_manifest": "c", "mode": "superiority", "metric": "mae",
        "margin": Gates().margin, "block_hours": Gates().block_hours,
    })  # fmt: skip
    assert asked(Gates(escalate=Escalate(share=0.4))) == digest_of({
        "model": "toy", "manifest": "m", "champion_manifest": "c", "mode": "superiority", "metric": "mae",
        "margin": Gates().margin, "block_hours": Gates().block_hours, "kept": 0.4,
    })  # fmt: skip
