"""The borders of what the release computes without stores: routes, and the record as a value."""

import hashlib
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.router import CANARY, CHAMPION, CONTROL, HOLDBACK, Route, Routing, Share, place
from retrain_pipeline.release.state import Challenger, Deployment, Holdback, utc_now

DAY = "2024-01-0{}T00:00:00+00:00"


def where(salt: str, *texts: str) -> float:
    """The place by its definition."""
    data = b"".join(b"%d:%b" % (len(text.encode()), text.encode()) for text in (salt, *texts))
    return int(hashlib.sha256(data).hexdigest()[:13], 16) / 16**13


def test_a_place_is_the_first_52_bits_of_a_hash_of_lengths_and_texts():
    assert place("salt", ["customer-7"]) == where("salt", "customer-7")
    assert place("salt", ["ä", 5.0, 2.5, None, float("nan"), True]) == where("salt", "ä", "5", "2.5", "", "", "True")
    assert place("s", [datetime(2024, 1, 2, tzinfo=UTC)]) == where("s", "2024-01-02T00:00:00+00:00")
    assert place("s", [pd.Timestamp("2024-01-02"), np.float64(3)]) == where("s", "2024-01-02T00:00:00", "3")


def entity_at(salt: str, low: float, high: float, *more: tuple[str, float, float]) -> list[str]:
    """An entity whose place by each salt is between the bounds."""
    wanted = ((salt, low, high), *more)
    return next([f"e{n}"] for n in range(10**6) if all(a <= place(s, [f"e{n}"]) < b for s, a, b in wanted))


def test_each_place_has_its_arm():
    routing = Routing("v1", Share("v2", 0.3, "c"), Share("v0", 0.1, "h"))
    served = ("h", 0.1, 1.0)
    held = Route(HOLDBACK, "v0", 0.1)
    assert routing.route(entity_at("h", 0.09, 0.1)) == held
    canary, control = Route(CANARY, "v2", 0.9 * 0.3), Route(CONTROL, "v1", 0.9 * 0.3)
    assert routing.route(entity_at("c", 0.29, 0.3, served)) == canary
    assert routing.route(entity_at("c", 0.7, 0.71, served)) == control
    for low, high in ((0.3, 0.31), (0.69, 0.7)):
        found = routing.route(entity_at("c", low, high, served))
        assert (found.arm, found.version, found.propensity) == (CHAMPION, "v1", pytest.approx(0.9 * 0.4))
    assert sum(routing.shares.values()) == pytest.approx(1)


def test_borders_of_shares_belong_to_one_arm(monkeypatch):
    import retrain_pipeline.release.router as module

    routing = Routing("v1", Share("v2", 0.25, "c"), Share("v0", 0.25, "h"))
    places = {"h": 0.25, "c": 0.25}
    monkeypatch.setattr(module, "place", lambda salt, _: places[salt])
    assert routing.route(["x"]).arm == CHAMPION
    places["c"] = 0.75
    assert routing.route(["x"]).arm == CONTROL
    places["h"] = 0.0
    assert routing.route(["x"]).arm == HOLDBACK


def test_arms_without_a_share_are_not_there():
    assert Routing("v1").shares == {CHAMPION: 1}
    assert Routing("v1", Share("v2", 0.5, "c")).shares == {CANARY: 0.5, CONTROL: 0.5}
    assert Routing("v1", Share("v2", 0.8, "c")).shares == pytest.approx({CANARY: 0.8, CONTROL: 0.2})
    assert Routing("v1", None, Share("v0", 0.2, "h")).shares == {HOLDBACK: 0.2, CHAMPION: 0.8}
    assert Routing("v1", Share("v2", 0.5, "c")).one_model is False
    assert Routing("v1", None, Share("v0", 0.2, "h")).one_model is False


def challenger(**changed) -> Challenger:
    given = {"version": "v2", "manifest": "1" * 64, "evidence": "2" * 64, "feature_code": "3" * 64, "spec": "4" * 64,
             "effective_as_of": DAY.format(3), "stage": "canary", "share": 0.25, "salt": "c",
             "stage_from": DAY.format(4)}  # fmt: skip
    return Challenger(**{**given, **changed})


def deployment(**changed) -> Deployment:
    given = {"model": "toy", "champion": "v1", "previous": "v0", "manifest": "a" * 64, "previous_manifest": "b" * 64,
             "evidence": "c" * 64, "feature_code": "d" * 64, "spec": "e" * 64, "effective_as_of": DAY.format(1),
             "released_at": DAY.format(2)}  # fmt: skip
    return Deployment(**{**given, **changed})


def test_what_users_get_is_in_the_digest_and_nothing_else_is():
    held = Holdback(version="v0", manifest="f" * 64, effective_as_of=DAY.format(1), share=0.1, salt="h")
    plain = deployment()
    same = [{"previous": None}, {"previous_manifest": None}, {"released_at": "later"}, {"schema_": "deployment/1"}]
    assert {plain.model_copy(update=one).serving_digest for one in same} == {plain.serving_digest}
    other = [{"champion": "v9"}, {"manifest": "9" * 64}, {"evidence": "9" * 64}, {"feature_code": "9" * 64},
             {"spec": "9" * 64}, {"effective_as_of": DAY.format(9)}, {"serves_from": DAY.format(9)},
             {"challenger": challenger()}, {"holdback": held},
             {"collection": "9" * 64}, {"model": "other"}]  # fmt: skip
    digests = {plain.model_copy(update=one).serving_digest for one in other}
    assert len(digests) == len(other)
    assert plain.serving_digest not in digests


def test_the_record_says_who_answers_whom():
    held = Holdback(version="v0", manifest="f" * 64, effective_as_of=DAY.format(1), share=0.1, salt="h")
    full = deployment(challenger=challenger(), holdback=held)
    assert full.routing() == Routing("v1", Share("v2", 0.25, "c"), Share("v0", 0.1, "h"))
    shadow = deployment(challenger=challenger(stage="shadow", share=0.0))
    assert shadow.routing() == Routing("v1")


def test_a_record_is_stored_and_read_as_it_is():
    made = deployment(challenger=challenger())
    state = made.to_state()
    assert (state["schema"], "schema_" in state) == ("deployment/2", False)
    assert Deployment.from_state(state) == made
    with pytest.raises(ReleaseRefused) as refused:
        Deployment.from_state({**state, "challenger": {**state["challenger"], "share": 2.0}})
    assert str(refused.value) == (
        "the stored deployment of 'toy' cannot be read: challenger.share: Input should be less than 1; "
        "use the version of this project that wrote it, or a newer one"
    )


def test_moments_are_in_utc_and_a_staged_one_serves_later():
    made = deployment(effective_as_of="2024-01-01T02:00:00+02:00")
    assert (made.as_of, made.since) == (datetime(2024, 1, 1, tzinfo=UTC),) * 2
    assert (made.as_of.tzinfo, made.since.tzinfo) == (UTC, UTC)
    later = deployment(serves_from="2024-01-08T02:00:00+02:00")
    assert (later.since, later.since.tzinfo) == (datetime(2024, 1, 8, tzinfo=UTC), UTC)
    now = utc_now()
    assert datetime.fromisoformat(now).utcoffset().total_seconds() == 0
    assert len(now) == len("2024-01-01T00:00:00+00:00")
