"""The second validator to the letter: which rows it reads, whom it asks, and what it says where it cannot look."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.canonical import sha256
from retrain_pipeline.gates.evidence import EvaluationRows, GateResult
from retrain_pipeline.gates.kept import second_rows
from retrain_pipeline.gates.second import flipped, second_look
from retrain_pipeline.lake.digests import row_digests
from retrain_pipeline.learning.losses import row_losses
from retrain_pipeline.learning.persistence import load_model
from retrain_pipeline.learning.prediction import predict
from retrain_pipeline.spec.escalate import Escalate
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.small import LATE, Small, fitted, frames_of

INCONCLUSIVE = Verdict.INCONCLUSIVE


def opened(folder, task="regression", metric=None, **given):
    small = Small(folder, task, escalate=Escalate(share=0.5), **given)
    if metric:
        spec = small.spec
        success = spec.problem.success.model_copy(update={"metric": metric})
        spec = spec.model_copy(update={"problem": spec.problem.model_copy(update={"success": success})})
        small.declaration = replace(small.declaration, spec=spec)
    return small


@pytest.fixture
def small(tmp_path):
    made = opened(tmp_path)
    yield made
    made.stores.close()


def by_the_first(small, own, theirs, mode, rows=None):
    """Judge the kept-back rows by what the first validator reads, asks and computes of them."""
    frames, spec = frames_of(small.task, LATE), small.spec
    as_of = frames.eval_keys["_event_time"].max() + timedelta(hours=1)
    kept = second_rows(small.stores, spec, frames.eval_keys, as_of.to_pydatetime())
    kept = kept if rows is None else kept & rows
    x, y, keys = frames.eval_x[kept], frames.eval_y[kept], frames.eval_keys[kept]
    losses = [
        row_losses(spec.problem.success.metric, small.task, y, predict(load_model(small.artifacts.get(model)),
                   small.task, x).frame) for model in (own, theirs)
    ]  # fmt: skip
    digest = sha256(np.sort(row_digests(keys)).astype("<u8").tobytes())
    times = keys["_event_time"]
    named = EvaluationRows(
        rows=len(y), digest=digest, **{"from": times.min().isoformat(), "until": times.max().isoformat()}
    )
    return named, flipped(*losses, times, spec=spec, mode=mode)


def look(small, candidate=None, champion="v1", mode="non_inferiority"):
    return second_look(small.stores, small.spec, candidate or small.manifest, champion, mode, sha256)


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("regression", "mae"), ("regression", "rmse"), ("binary", "brier"), ("binary", "log_loss"), ("binary", "error"),
        ("multiclass", "brier"), ("multiclass", "log_loss"), ("multiclass", "error"),
    ],
)  # fmt: skip
def test_both_validators_find_the_same_of_the_same_rows(tmp_path, task, metric):
    small = opened(tmp_path, task, metric)
    rows, told = look(small)
    assert rows.rows > 90
    assert (rows, told) == by_the_first(
        small, small.manifest.model_artifact, small.before.model_artifact, "non_inferiority"
    )
    assert told.statistic is not None


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_model_without_probabilities_is_asked_for_classes(tmp_path, task):
    small = opened(tmp_path, task, "error")
    bare = small.artifacts.put(fitted(task, LATE, "sklearn.linear_model.RidgeClassifier", "{}")[1])
    rows, told = look(small, small.manifest.model_copy(update={"model_artifact": bare}))
    assert (rows, told) == by_the_first(small, bare, small.before.model_artifact, "non_inferiority")
    assert told.statistic is not None


def test_before_the_first_release_the_dummy_is_the_reference(small):
    found = look(small, champion=None, mode="first")
    assert found == by_the_first(small, small.manifest.model_artifact, small.manifest.baselines["dummy"], "first")
    alone = small.manifest.model_copy(update={"baselines": {}})
    words = "no second judgement: it could not look: ValueError: there is nothing to compare with"
    assert look(small, alone, None, "first") == (None, cannot(words))


def cannot(words):
    return GateResult(gate="second", verdict=INCONCLUSIVE, words=words)


# --- which rows


def test_a_label_counts_as_it_was_known_last_and_rows_without_one_do_not(small):
    frames = small.stores.lake.frames
    late = frames["labels"].iloc[LATE:]
    early = late.assign(label=99.0, _known_time=late["_known_time"] - timedelta(days=1))
    frames["labels"] = pd.concat([late.iloc[:-40].sample(frac=1, random_state=1), early.iloc[:-40]], ignore_index=True)
    labelled = np.arange(240) < 200
    wanted = by_the_first(
        small, small.manifest.model_artifact, small.before.model_artifact, "non_inferiority", labelled
    )  # fmt: skip
    assert look(small) == wanted


def test_of_two_labels_that_were_known_at_once_the_one_that_was_written_last_counts(small):
    frames = small.stores.lake.frames
    frames["labels"] = pd.concat([frames["labels"].assign(label=99.0).iloc[LATE:], frames["labels"]])
    small.stores.lake.read_snapshot = lambda snapshot: frames[snapshot.table]
    assert look(small) == by_the_first(
        small, small.manifest.model_artifact, small.before.model_artifact, "non_inferiority"
    )  # fmt: skip


def test_only_rows_from_the_begin_of_the_evaluation_until_its_end_are_judged(small):
    frozen = small.manifest.training_set
    cut, end = (str(frames_of("regression", LATE).eval_keys["_event_time"].iloc[at]) for at in (30, 200))
    changed = small.manifest.model_copy(update={"training_set": {**frozen, "evaluation_from": cut, "as_of": end}})
    inside = (np.arange(240) >= 30) & (np.arange(240) < 200)
    wanted = by_the_first(small, small.manifest.model_artifact, small.before.model_artifact, "non_inferiority", inside)
    assert look(small, changed) == wanted
    assert 50 < wanted[0].rows < 100


def test_rows_are_kept_back_by_what_the_rollout_routes_by_as_raw_was_known(small):
    raw, spec = small.stores.lake.frames["raw"], small.spec
    raw.loc[raw.index[-60:], "_known_time"] = pd.Timestamp("2030-01-01", tz="UTC")
    routed = spec.model_copy(update={"rollout": spec.rollout.model_copy(update={"route_by": ("b",)})})
    small.declaration = replace(small.declaration, spec=routed)
    assert look(small) == by_the_first(
        small, small.manifest.model_artifact, small.before.model_artifact, "non_inferiority"
    )  # fmt: skip


def test_a_row_that_is_there_twice_is_refused(small):
    frames = small.stores.lake.frames
    frames["features"] = frames["features"].iloc[[*range(359), 358]]
    words = "no second judgement: it could not look: ValueError: a row of the frozen features is there twice"
    assert look(small) == (None, cannot(words))


def test_rows_in_whatever_order_give_the_same(small):
    wanted, frames = look(small), small.stores.lake.frames
    for table in ("features", "labels"):
        frames[table] = frames[table].sample(frac=1, random_state=2)
    assert look(small) == wanted


def test_rows_that_the_champion_learned_from_are_not_judged(small):
    old = small.version("v0", learned=200, leaf=30)
    wanted = by_the_first(
        small, small.manifest.model_artifact, old.model_artifact, "non_inferiority", np.arange(240) >= 80
    )  # fmt: skip
    assert look(small, champion="v0") == wanted
    rows, _ = look(small, old, champion="v2")
    assert wanted[0].rows == rows.rows, "the candidate's own training does not count either"


def test_a_row_whose_digest_was_learned_from_is_not_judged_however_late_it_is(small):
    own = np.sort(row_digests(frames_of("regression", LATE).eval_keys.iloc[150:]))
    learned = {**small.manifest.training_set, "row_digests_artifact": small.artifacts.put(own.astype("<u8").tobytes())}
    changed = small.manifest.model_copy(update={"training_set": learned})
    wanted = by_the_first(
        small, small.manifest.model_artifact, small.before.model_artifact, "non_inferiority", np.arange(240) < 150
    )  # fmt: skip
    assert look(small, changed) == wanted


def test_a_row_of_the_last_moment_that_was_learned_from_is_not_judged(small):
    keys = frames_of("regression", LATE).eval_keys
    last = np.flatnonzero(second_rows(small.stores, small.spec, keys, keys["_event_time"].max()))[40]
    until = str(keys["_event_time"].iloc[last])
    changed = small.manifest.model_copy(
        update={"training_set": {**small.manifest.training_set, "train_until": until}}
    )  # fmt: skip
    wanted = by_the_first(
        small, small.manifest.model_artifact, small.before.model_artifact, "non_inferiority", np.arange(240) > last
    )  # fmt: skip
    assert look(small, changed) == wanted


def test_too_few_rows_say_nothing(small):
    keys = frames_of("regression", LATE).eval_keys
    at = np.flatnonzero(second_rows(small.stores, small.spec, keys, keys["_event_time"].max()))
    for needed, wanted in ((50, True), (49, False)):
        begin = str(keys["_event_time"].iloc[at[-needed]])
        changed = small.manifest.model_copy(
            update={"training_set": {**small.manifest.training_set, "evaluation_from": begin}}
        )
        rows, told = look(small, changed)
        if wanted:
            assert rows.rows == 50
        else:
            words = "no second judgement: 49 rows are kept back and unseen, 50 are needed"
            assert (rows, told) == (None, cannot(words))


# --- what stops it


@pytest.mark.parametrize("gone", ["features", "labels"])
def test_rows_that_are_gone_are_told(small, gone):
    del small.stores.lake.frames[gone]
    words = f"no second judgement: it could not look: TableMissing: table {gone} is gone"
    assert look(small) == (None, cannot(words))


def test_a_model_that_is_gone_or_unknown_is_told_and_words_are_cut(small):
    gone = small.manifest.model_copy(update={"model_artifact": "0" * 64})
    rows, told = look(small, gone)
    assert (rows, told) == (None, cannot(told.words))
    assert told.words.startswith("no second judgement: it could not look: ArtifactMissing: ")
    rows, told = look(small, champion="v" * 3000)
    assert (rows, len(told.words)) == (None, 2000)
    assert told.words.startswith(
        "no second judgement: it could not look: VersionNotLoadable: model 'toy' has no version"
    )


def test_features_that_the_model_learned_from_and_are_gone_are_told(small):
    frames = small.stores.lake.frames
    frames["features"] = frames["features"].drop(columns="b")
    assert look(small) == (None, cannot("no second judgement: it could not look: KeyError: 'b'"))


def test_texts_that_are_missing_are_none_and_others_are_texts(small):
    """A straight line that turns on a category with numbers and gaps answers the second as it answers the first."""
    shops = small.stores.lake.frames["features"]["shop"].astype(object)
    shops[::7], shops[1::7] = None, 5
    small.stores.lake.frames["features"]["shop"] = shops
    frames, linear = frames_of("regression", LATE), small.manifest.baselines["linear"]
    x = frames.eval_x.assign(shop=shops.iloc[LATE:].to_numpy())
    pipes = [load_model(small.artifacts.get(one)) for one in (linear, small.before.model_artifact)]
    losses = [row_losses("mae", "regression", frames.eval_y, predict(one, "regression", x).frame) for one in pipes]
    kept = second_rows(small.stores, small.spec, frames.eval_keys, frames.eval_keys["_event_time"].max())
    times = frames.eval_keys["_event_time"][kept]
    _, told = look(small, small.manifest.model_copy(update={"model_artifact": linear}), mode="superiority")
    assert told == flipped(losses[0][kept], losses[1][kept], times, spec=small.spec, mode="superiority")
    assert 0.0004 < told.statistic < 0.999
