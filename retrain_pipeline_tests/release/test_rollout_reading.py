"""What a rollout reads: entities that are columns of the raw table, and losses estimated before labels come."""

from datetime import timedelta

from retrain_pipeline.release.comparison import Pair
from retrain_pipeline.release.guess import label_free
from retrain_pipeline.release.scoring import entities
from retrain_pipeline_tests.gates.world import START, versions

WEEK = "2024-02-19"


def test_an_entity_is_looked_up_in_the_raw_table_where_the_rows_do_not_have_it(world):
    spec = world.declaration.spec
    routed = spec.model_copy(update={"rollout": spec.rollout.model_copy(update={"route_by": ("shop",)})})
    rows = world.stores.lake.read("toy", "features", periods=[WEEK])
    raw = world.stores.lake.read("toy", "raw", periods=[WEEK]).set_index("id")["shop"]
    found = entities(world.stores, routed, rows.drop(columns="shop").sample(frac=1, random_state=1))
    shuffled = rows.sample(frac=1, random_state=1)
    assert found == [(raw[key],) for key in shuffled["id"]]
    assert entities(world.stores, routed, rows) == [(shop,) for shop in rows["shop"]]


def test_before_labels_come_the_answers_of_both_are_weighed(world):
    first, second, _ = versions(world)
    pair = Pair(second, first, START + timedelta(weeks=7))
    found = label_free(world.stores, world.declaration.spec, pair, START + timedelta(weeks=8))
    assert (found.verdict, found.n) == ("PASS", 168), found.words
    nothing = label_free(world.stores, world.declaration.spec, pair, START + timedelta(weeks=7))
    assert nothing.verdict == "INCONCLUSIVE"
