"""Which rows are kept back, to the letter: by whom they are named, and what is left for the gates."""

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates.kept import kept_back, second_rows, without
from retrain_pipeline.lake.digests import row_digests
from retrain_pipeline.spec.escalate import Escalate
from retrain_pipeline_tests.gates.small import LATE, Small, frames_of

AS_OF = datetime(2024, 6, 1, tzinfo=UTC)


def by_hand(entities, share, model):
    """The salted hash of each row's digest, as a share of all hashes, lies below the share."""
    return [
        int(hashlib.sha256(f"second validator of {model}".encode() + int(one).to_bytes(8, "big")).hexdigest()[:16], 16)
        / 2**64 < share
        for one in row_digests(entities)
    ]  # fmt: skip


@pytest.mark.parametrize("share", [0.001, 0.3, 0.5, 0.899])
def test_an_entity_is_kept_back_by_its_salted_hash_wherever_it_stands(share):
    names = [f"c{number % 500}" for number in range(1000)]
    many = pd.DataFrame({"customer": names, "branch": [name[-1] for name in names]})
    kept = kept_back(many, share, "lending")
    assert kept.dtype == bool
    assert kept.tolist() == by_hand(many, share, "lending")
    none = kept_back(many[:0], share, "lending")
    assert (none.dtype, none.shape) == (bool, (0,))
    assert kept_back(many.iloc[::-3], share, "churn").tolist() == by_hand(many.iloc[::-3], share, "churn")


@pytest.fixture
def small(tmp_path):
    made = Small(tmp_path, escalate=Escalate(share=0.4))
    yield made
    made.stores.close()


KEYS = frames_of("regression", LATE).eval_keys


def routed(small, *names):
    spec = small.spec
    return spec.model_copy(update={"rollout": spec.rollout.model_copy(update={"route_by": names})})


def test_nothing_is_kept_back_where_nothing_escalates_or_there_are_no_rows(small):
    none = second_rows(small.stores, small.declare(escalate=None), KEYS, AS_OF)
    assert (none.dtype, none.shape, none.any()) == (bool, (240,), False)
    small.declare(escalate=Escalate(share=0.4))
    empty = second_rows(small.stores, small.spec, KEYS[:0], AS_OF)
    assert (empty.dtype, empty.shape) == (bool, (0,))


def test_rows_are_kept_back_by_their_key_or_by_what_the_rollout_routes_by(small):
    del small.stores.lake.frames["raw"]  # what the key says is not read
    by_key = second_rows(small.stores, small.spec, KEYS, AS_OF)
    assert by_key.tolist() == by_hand(KEYS[["id"]], 0.4, "toy")
    assert 60 < by_key.sum() < 130
    both = second_rows(small.stores, routed(small, "id", "_event_time"), KEYS, AS_OF)
    assert both.tolist() == by_hand(KEYS[["id", "_event_time"]], 0.4, "toy")


def test_what_the_key_does_not_say_is_read_from_raw_as_it_was_known(small):
    raw = small.stores.lake.frames["raw"]
    raw.loc[raw.index[-20:], "_known_time"] = AS_OF + timedelta(hours=1)
    shops = KEYS.merge(raw[["id", "shop"]].iloc[:-20], on="id", how="left")[["shop"]]
    for names in (("shop",), ("shop", "id")):
        found = second_rows(small.stores, routed(small, *names), KEYS, AS_OF)
        entities = shops.assign(id=KEYS["id"])[list(names)]
        assert found.tolist() == by_hand(entities, 0.4, "toy"), names
    assert shops["shop"].isna().sum() == 20


def test_what_is_left_is_in_order_with_an_index_of_its_own_and_training_rows_stay():
    frames, kept = frames_of("regression", LATE), np.arange(240) % 3 == 0
    left = without(frames, kept)
    at = np.flatnonzero(np.arange(240) % 3 != 0)
    for made, given in ((left.eval_x, frames.eval_x), (left.eval_keys, frames.eval_keys)):
        pd.testing.assert_frame_equal(made, given.iloc[at].reset_index(drop=True))
    assert left.eval_y.tolist() == frames.eval_y[at].tolist()
    assert left.train_x is frames.train_x
