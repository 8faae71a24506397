"""Answers to rows as they come: by one deployment, looked at when it is due, whatever the rows are called."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.errors import LedgerUnavailable
from retrain_pipeline.release.errors import ServingRefused
from retrain_pipeline.release.router import Routing, Share
from retrain_pipeline.release.service import Service
from retrain_pipeline.release.state import Challenger, Holdback
from retrain_pipeline_tests.release.answering import Answering, constant
from retrain_pipeline_tests.release.handmade import Trial

SAYS = {"v0": 0.0, "v1": 1.0, "v2": 2.0}
CANARY = Challenger(
    version="v2", manifest="1" * 64, evidence="2" * 64, feature_code="3" * 64, spec="4" * 64,
    effective_as_of="2024-01-01T00:00:00+00:00", stage="canary", share=0.3, salt="c",
    stage_from="2024-01-01T00:00:00+00:00",
)  # fmt: skip
HELD = Holdback(version="v0", manifest="9" * 64, effective_as_of="2024-01-01T00:00:00+00:00", share=0.2, salt="h")
ROUTING = Routing("v1", Share("v2", 0.3, "c"), Share("v0", 0.2, "h"))


class Watched:
    """A ledger that counts who asks it for a deployment, and can be away."""

    def __init__(self, ledger):
        self.ledger, self.asked, self.away = ledger, 0, False

    def __getattr__(self, name):
        return getattr(self.ledger, name)

    def deployment(self, model):
        self.asked += 1
        if self.away:
            raise LedgerUnavailable("the ledger is away")
        return self.ledger.deployment(model)


class Toys(Answering):
    """Three versions, each of which says its own number always, and a service that serves what is deployed."""

    def __init__(self, folder, more=""):
        super().__init__(folder, more=more, models=tuple(constant(*one) for one in SAYS.items()))
        self.ledger = Watched(self.stores.ledger)
        self.stores = replace(self.stores, ledger=self.ledger)
        self.service = Service(self.stores, self.spec, refresh_seconds=10)
        self.deploy("v9", model="doll")

    def deploy(self, champion="v1", model="toy", **changed):
        row = self.ledger.ledger.deployment(model)
        state = Trial.champion.model_copy(update={"champion": champion, "model": model, **changed})
        new = NewEntry("test", "released", model, champion)
        self.ledger.change_deployment(model, row.epoch if row else 0, state.to_state(), new)

    def lose(self, version):
        Path(self.stores.artifacts.path(read_manifest(self.stores, "toy", version).model_artifact)).unlink()

    def says(self):
        """Return what a row is answered now."""
        return self.service.answer(self.features(6).head(1))["prediction"].iloc[0]

    def refusal(self):
        with pytest.raises(ServingRefused) as refused:
            self.service.serving()
        return str(refused.value)


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves when the test says so."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def toys(tmp_path):
    made = Toys(tmp_path)
    yield made
    made.stores.close()


# --- answers


def test_each_row_is_answered_by_the_model_of_its_arm_and_it_is_told_which(toys):
    toys.deploy(challenger=CANARY, holdback=HELD)
    rows = toys.features(6).iloc[::-1]
    routes = [ROUTING.route([one]) for one in rows["id"]]
    wanted = pd.DataFrame(
        {
            "prediction": [SAYS[route.version] for route in routes],
            "score": float("nan"),
            "model_version": [route.version for route in routes],
            "arm": [route.arm for route in routes],
            "propensity": [route.propensity for route in routes],
            "epoch": 1,
        },
        index=rows.index,
    )
    assert set(wanted["arm"]) == {"holdback", "canary", "control", "champion"}
    pd.testing.assert_frame_equal(toys.service.answer(rows), wanted)


def test_rows_are_answered_in_their_order_however_they_are_called(toys):
    toys.deploy(challenger=CANARY, holdback=HELD)
    rows = toys.features(6)
    wanted = toys.service.answer(rows)
    for index in (["a"] * 104, list(range(104, 0, -1)), pd.Index([f"row {at % 7}" for at in range(104)], name="id")):
        pd.testing.assert_frame_equal(toys.service.answer(rows.set_axis(index)), wanted.set_axis(index))


def test_no_rows_have_no_answers_in_the_same_columns(toys):
    toys.deploy(challenger=CANARY, holdback=HELD)
    rows = toys.features(6)
    none = toys.service.answer(rows.head(0))
    assert (len(none), list(none.columns)) == (0, list(toys.service.answer(rows).columns))


def test_rows_are_routed_by_what_is_declared_and_without_it_they_are_refused(tmp_path, toys):
    toys.deploy()
    rows = toys.features(6)
    with pytest.raises(ServingRefused) as refused:
        toys.service.answer(rows.drop(columns="id"))
    assert str(refused.value) == "toy: rows need id to be routed (rollout.route_by)"
    by_shop = Toys(tmp_path / "other", "  rollout: {route_by: [shop, a]}")
    by_shop.deploy(challenger=CANARY)
    with pytest.raises(ServingRefused) as refused:
        by_shop.service.answer(rows.drop(columns=["shop", "a"]))
    assert str(refused.value) == "toy: rows need shop, a to be routed (rollout.route_by)"
    routing = Routing("v1", Share("v2", 0.3, "c"))
    told = by_shop.service.answer(rows.drop(columns="id"))
    assert list(told["arm"]) == [routing.route(one).arm for one in zip(rows["shop"], rows["a"], strict=True)]
    by_shop.stores.close()


# --- what serves


def test_before_anything_is_released_and_in_a_lane_nobody_answers(toys, clock):
    words = "nothing was ever released, so nobody answers"
    assert toys.service.trouble is None, "nobody has looked yet"
    assert toys.refusal() == f"toy: {words}"
    assert toys.service.trouble == words
    toys.ledger.append(NewEntry("test", "lane_opened", "doll", payload={"of": "toy"}))
    assert toys.refusal() == f"toy: {words}"
    toys.ledger.append(NewEntry("test", "lane_opened", "toy", payload={"of": "doll"}))
    toys.deploy()
    lane = "toy: the newest deployment does not serve: it is a lane beside doll, and a lane serves nobody"
    assert toys.refusal() == lane


def test_the_record_is_looked_at_once_in_the_time_that_it_may_be_old(toys, clock):
    toys.deploy()
    assert toys.says() == 1.0
    toys.deploy("v2")
    clock[0] += 9.5
    assert (toys.says(), toys.ledger.asked) == (1.0, 1)
    clock[0] += 0.5
    assert (toys.says(), toys.ledger.asked) == (2.0, 2)
    clock[0] += 9.5
    assert (toys.says(), toys.ledger.asked) == (2.0, 2)
    assert toys.service.trouble is None


def test_a_service_looks_once_a_second_where_nobody_said_otherwise(toys, clock):
    toys.service = Service(toys.stores, toys.spec)
    toys.deploy()
    for moment, asked in ((0, 1), (0.9, 1), (1.0, 2)):
        clock[0] = 1000 + moment
        toys.says()
        assert toys.ledger.asked == asked


def test_while_nobody_serves_every_request_looks_once(toys, clock):
    for asked in (1, 2):
        toys.refusal()
        assert toys.ledger.asked == asked
    toys.deploy()
    assert (toys.says(), toys.service.trouble) == (1.0, None)


def test_while_the_record_is_away_what_serves_goes_on_and_the_trouble_ends_with_it(toys, clock):
    toys.deploy()
    toys.says()
    clock[0] += 10
    toys.ledger.away = True
    assert toys.says() == 1.0
    assert toys.service.trouble == "the newest deployment does not serve: the ledger is away"
    clock[0] += 10
    toys.ledger.away = False
    assert toys.says() == 1.0
    assert toys.service.trouble is None


def test_a_champion_that_does_not_load_takes_nobodys_place(toys, clock):
    toys.deploy()
    toys.says()
    toys.lose("v2")
    toys.deploy("v2")
    clock[0] += 10
    assert (toys.says(), toys.service.serving().epoch) == (1.0, 1)
    assert toys.service.trouble.startswith("the newest deployment does not serve: ")
    toys.service = Service(toys.stores, toys.spec)
    assert toys.refusal().startswith("toy: the newest deployment does not serve: ")


@pytest.mark.parametrize("lost", ["v0", "v2"])
def test_for_who_does_not_load_the_champion_stands_in(toys, lost):
    toys.deploy(challenger=CANARY, holdback=HELD)
    toys.lose(lost)
    rows = toys.features(6)
    routes = [ROUTING.route([one]) for one in rows["id"]]
    told = toys.service.answer(rows)
    assert list(told["arm"]) == ["fallback" if route.version == lost else route.arm for route in routes]
    versions = ["v1" if route.version == lost else route.version for route in routes]
    assert list(told["model_version"]) == versions
    assert list(told["prediction"]) == [SAYS[version] for version in versions]
    assert list(told["propensity"]) == [route.propensity for route in routes]
    assert set(toys.service.serving().pipelines) == set(SAYS) - {lost}


def test_models_that_serve_already_are_taken_over_and_others_are_let_go(toys, clock):
    toys.deploy(challenger=CANARY)
    before = toys.service.serving()
    toys.lose("v2")
    toys.deploy("v2", holdback=HELD)
    clock[0] += 10
    after = toys.service.serving()
    assert (before.epoch, after.epoch) == (1, 2)
    assert set(after.pipelines) == {"v0", "v2"}
    assert after.pipelines["v2"] is before.pipelines["v2"]


# --- many at once


def test_at_first_all_wait_for_one_look_and_later_one_looks_while_the_others_go_on(toys, clock):
    toys.deploy()
    inside, go_on = threading.Event(), threading.Event()
    ask = toys.ledger.deployment

    def slow(model):
        inside.set()
        assert go_on.wait(20)
        return ask(model)

    toys.ledger.deployment = slow
    told = []
    readers = [threading.Thread(target=lambda: told.append(toys.says()), daemon=True) for _ in range(3)]
    for reader in readers:
        reader.start()
    assert inside.wait(20)
    assert told == []
    go_on.set()
    for reader in readers:
        reader.join(20)
    assert (told, toys.ledger.asked) == ([1.0] * 3, 1)
    inside.clear()
    go_on.clear()
    toys.deploy("v2")
    clock[0] += 10
    looking = threading.Thread(target=lambda: told.append(toys.says()), daemon=True)
    looking.start()
    assert inside.wait(20)
    assert toys.says() == 1.0, "it goes on with what there is"
    go_on.set()
    looking.join(20)
    assert (told[-1], toys.says(), toys.ledger.asked) == (2.0, 2.0, 2)
