"""The change of a metric is put down to what was changed: one cause at a time, several, and none."""

import os

import pytest

from retrain_pipeline.insight.recipe import NotMeasured
from retrain_pipeline.insight.split import shapley
from retrain_pipeline_tests.gates.world import toys
from retrain_pipeline_tests.insight.conftest import FEATURES, Bench, noisy

BLIND_CODE = FEATURES.replace('["a", "b", "shop"]', '["b", "shop"]')


def parts(split) -> dict[str, float]:
    return {one.cause: one.moved for one in split.parts}


def only(split, cause: str) -> None:
    """Assert that the change is real and nearly all of it is put down to one cause, and that the parts sum to it."""
    told = parts(split)
    assert abs(split.total) > 0.02
    assert sum(told.values()) == pytest.approx(split.total, abs=1e-12)
    assert told[cause] == pytest.approx(split.total, rel=0.02), told
    assert split.old_value + split.total == pytest.approx(split.new_value)


def change_configuration(bench: Bench) -> None:
    bench.declare(("min_samples_leaf: 8", "min_samples_leaf: 120"))


def change_seed(bench: Bench) -> None:
    bench.declare(("seed: 0", "seed: 7"), ("min_samples_leaf: 8", "min_samples_leaf: 8, splitter: random"))


def change_code(bench: Bench) -> None:
    bench.code(BLIND_CODE)


def change_data(bench: Bench) -> None:
    bench.labels(noisy(toys(8, "regression"), 4))


def change_evaluation(bench: Bench) -> None:
    # one more week judges, its labels shifted, and the same four train
    rows = toys(8, "regression").iloc[6 * 168 :].copy()
    bench.labels(rows.assign(y=rows["y"] + 3))
    bench.declare(("window_periods: 6", "window_periods: 7"), ("evaluation_periods: 2", "evaluation_periods: 3"))


@pytest.mark.requirement("D30")
@pytest.mark.parametrize(
    ("cause", "change", "week"),
    [
        ("configuration", change_configuration, 6),
        ("seed", change_seed, 6),
        ("code", change_code, 6),
        ("data", change_data, 6),
        ("evaluation", change_evaluation, 7),
    ],
    ids=["configuration", "seed", "code", "data", "evaluation"],
)
def test_one_changed_cause_has_the_change(bench, cause, change, week):
    if cause == "seed":
        bench.declare(("min_samples_leaf: 8", "min_samples_leaf: 8, splitter: random"))
    old = bench.build()
    change(bench)
    split = bench.split(old, bench.build(week))
    only(split, cause)
    assert [one.cause for one in split.parts if one.verdict != "PASS"] == []
    same = [one.words for one in split.parts if one.cause not in (cause, "environment")]
    assert same == ["the same in both"] * 4


@pytest.mark.requirement("D30")
def test_two_causes_share_what_they_did(bench):
    old = bench.build()
    change_data(bench)
    data = bench.split(old, bench.build()).total
    bench.labels(toys(8, "regression"))
    change_code(bench)
    code = bench.split(old, bench.build()).total
    change_data(bench)
    split = bench.split(old, bench.build())
    told = parts(split)
    assert sum(told.values()) == pytest.approx(split.total, abs=1e-12)
    # each has at least a third of what it did alone, and together they have all of it
    assert told["data"] > data / 3
    assert told["code"] > code / 3
    assert told["data"] + told["code"] == pytest.approx(split.total, abs=1e-9)
    assert (told["configuration"], told["seed"], told["evaluation"]) == (0.0, 0.0, 0.0)


def test_causes_that_pull_both_ways_are_told_apart(bench):
    bench.declare(("min_samples_leaf: 8", "min_samples_leaf: 120"))
    old = bench.build()
    bench.declare()
    change_data(bench)
    told = parts(bench.split(old, bench.build()))
    assert told["configuration"] < 0 < told["data"]


@pytest.mark.requirement("D30")
def test_without_the_old_code_its_part_is_inconclusive_not_guessed(bench):
    stores, old = bench.world.stores, bench.build()
    from retrain_pipeline.learning.versions import read_manifest

    os.unlink(stores.artifacts.path(read_manifest(stores, "toy", old).feature_code_digest))
    bench.declare(("min_samples_leaf: 8", "min_samples_leaf: 120"))
    change_code(bench)
    split = bench.split(old, bench.build())
    [together] = [one for one in split.parts if one.verdict == "INCONCLUSIVE"]
    assert together.cause == "data + code + evaluation"
    assert "is not in the artifact store" in together.words
    assert sum(parts(split).values()) == pytest.approx(split.total, abs=1e-12)
    assert parts(split)["configuration"] != 0


def test_code_that_changes_no_feature_has_no_part(bench):
    old = bench.build()
    bench.code("# A remark.\n" + FEATURES)
    bench.declare(("min_samples_leaf: 8", "min_samples_leaf: 120"))
    split = bench.split(old, bench.build())
    only(split, "configuration")
    assert split.refits == 4  # two recipes, with two seeds


def test_restated_source_rows_are_no_code(bench):
    old = bench.build()
    bench.code(FEATURES.replace('rows[["a", "b", "shop"]]', 'rows[["a", "b", "shop"]].assign(c=rows["a"] + 1)'))
    new = bench.build()
    rows = toys(8, "regression").iloc[5 * 168 : 6 * 168]
    bench.world.stores.lake.replace_partition("toy", "raw", "2024-02-05", rows.assign(a=rows["a"] + 1))
    [together] = [one for one in bench.split(old, new).parts if one.verdict == "INCONCLUSIVE"]
    assert "raw does not give the frozen features" in together.words


def test_seeds_that_draw_nothing_are_not_drawn_again(bench):
    old = bench.build()
    change_configuration(bench)
    split = bench.split(old, bench.build(), seeds=5)
    assert (split.seeds, split.refits) == (2, 4)
    assert split.parts[2].sd == pytest.approx(0.0, abs=1e-12)


def test_the_spread_over_seeds_is_told(bench):
    bench.declare(("min_samples_leaf: 8", "min_samples_leaf: 8, splitter: random"))
    old = bench.build()
    bench.declare(("min_samples_leaf: 8", "min_samples_leaf: 16, splitter: random"))
    split = bench.split(old, bench.build(), seeds=4)
    [part] = [one for one in split.parts if one.cause == "configuration"]
    assert split.seeds == 4
    assert part.low < part.high
    assert part.low <= part.moved <= part.high
    assert part.sd > 0


@pytest.mark.requirement("A19")
def test_what_refits_do_not_reproduce_is_the_environments(bench, monkeypatch):
    from retrain_pipeline.insight import split as module
    from retrain_pipeline.learning import environment as surroundings

    old = bench.build()
    change_configuration(bench)
    new = bench.build()
    recorded = module._recorded

    def otherwise(stores, one):
        return recorded(stores, one) + (0.25 if one.manifest.version == new else 0.0)

    monkeypatch.setattr(module, "_recorded", otherwise)
    split = bench.split(old, new)
    environment = split.parts[-1]
    assert environment.moved == pytest.approx(0.25)
    assert environment.verdict == "INCONCLUSIVE"
    assert "packages and platform are the same" in environment.words
    assert sum(parts(split).values()) == pytest.approx(split.total, abs=1e-12)
    here = surroundings.environment(1)
    elsewhere = here.model_copy(update={"packages": {**here.packages, "scikit-learn": "0.1"}})
    monkeypatch.setattr(surroundings, "environment", lambda *_: elsewhere)
    words = bench.split(old, new).parts[-1].words
    assert "environment: package scikit-learn" in words
    assert "0.1 now" in words


def test_no_time_is_said(bench):
    old = bench.build()
    change_configuration(bench)
    with pytest.raises(NotMeasured, match="no time"):
        bench.split(old, bench.build(), seconds=0)


def test_other_metrics_have_no_difference(bench):
    old = bench.build()
    bench.declare(("metric: mae", "metric: rmse"))
    with pytest.raises(NotMeasured, match="have no difference"):
        bench.split(old, bench.build())


def test_the_parts_of_three_are_the_mean_over_their_orders():
    from itertools import combinations, permutations

    players = [("a",), ("b",), ("c",)]
    every = [frozenset(chosen) for size in range(4) for chosen in combinations(players, size)]
    worth = {chosen: float(at * at % 7) for at, chosen in enumerate(every)}
    found = shapley(players, worth)
    for player in players:
        orders = list(permutations(players))
        gains = []
        for order in orders:
            before = frozenset(order[: order.index(player)])
            gains.append(worth[before | {player}] - worth[before])
        assert found[player] == pytest.approx(sum(gains) / len(orders))
