"""What a judgement is made of, to the letter: whose answers, on which rows, and what stands where one is silent."""

import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates import material
from retrain_pipeline.gates.evidence import GateResult, read_evidence
from retrain_pipeline.gates.kept import second_rows
from retrain_pipeline.gates.material import Side, losses_of
from retrain_pipeline.lake.digests import row_digests
from retrain_pipeline.lake.errors import TableMissing
from retrain_pipeline.learning.fingerprint import probe_set
from retrain_pipeline.learning.prediction import predict
from retrain_pipeline.spec.escalate import Escalate
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.handmade import results
from retrain_pipeline_tests.gates.ruled import Rule, asked_by
from retrain_pipeline_tests.gates.small import EARLY, LATE, Small, frames_of, toys, write_folder_once
from retrain_pipeline_tests.release.handmade import LOSS


@pytest.fixture
def small(tmp_path):
    made = Small(tmp_path)
    yield made
    made.stores.close()


FRAMES = frames_of("regression", LATE)


def lose(small, digest):
    os.unlink(small.artifacts.path(digest))


def says(side, name, rows=FRAMES):
    """Check that a side is what its model says of the rows that judge."""
    told = predict(side.pipeline, rows.task, rows.eval_x).frame
    assert (side.name, side.takes, side.why_not) == (name, ("a", "b", "shop"), "")
    pd.testing.assert_frame_equal(side.predictions, told)
    assert side.losses.tolist() == np.abs(told["prediction"] - rows.eval_y).tolist()


def test_both_sides_and_the_baselines_answer_the_frozen_rows(small):
    made = small.material(released_on=small.released_on("v1"))
    says(made.candidate, "candidate")
    says(made.champion, "champion")
    assert set(made.baselines) == {"dummy", "linear"}
    for name, side in made.baselines.items():
        says(side, name)
    answers = [
        one.predictions["prediction"].tolist() for one in (made.candidate, made.champion, *made.baselines.values())
    ]
    assert len({tuple(one) for one in answers}) == 4
    assert (made.anchor, made.anchor_version, made.fidelity) == (None, None, "same")
    assert (made.spec, made.manifest, made.frozen) == (small.spec, small.manifest, small.manifest.frozen)
    assert made.champion_validated == LOSS.mean + 2 * LOSS.se


def test_rows_are_named_by_key_and_time_and_their_slices_are_as_raw_was_known(small):
    raw = small.stores.lake.frames["raw"]
    raw.loc[raw.index[-5:], "_known_time"] = pd.Timestamp("2030-01-01", tz="UTC")
    made = small.material()
    assert made.digests.tolist() == row_digests(FRAMES.eval_keys).tolist()
    assert made.event_time.tolist() == FRAMES.eval_keys["_event_time"].tolist()
    assert made.slices["shop"].tolist()[:-5] == toys("regression")["shop"].tolist()[LATE:-5]
    assert made.slices["shop"].isna().sum() == 5
    assert made.model_bytes == small.manifest.size_bytes
    assert made.seed == int(small.manifest.frozen.evaluation_row_digests_artifact[:8], 16)
    pd.testing.assert_frame_equal(made.earlier, probe_set(frames_of("regression", EARLY).train_x))


def test_what_each_side_has_seen_is_what_it_learned_from(small):
    small.version("v0", learned=200, leaf=30)
    made = small.material(champion="v0")
    for seen, name, learned in ((made.candidate_seen, "candidate", LATE), (made.champion_seen, "champion", 200)):
        keys = frames_of("regression", learned).train_keys
        assert (seen.name, seen.train_until) == (name, keys["_event_time"].iloc[-1])
        assert seen.row_digests.tolist() == sorted(row_digests(keys))
    assert made.unseen.tolist() == [False] * 80 + [True] * 160
    first = small.material(champion=None)
    assert (first.champion, first.champion_seen, first.earlier, first.champion_validated) == (None, None, None, None)
    assert first.unseen.tolist() == [True] * 240


def test_rows_that_are_kept_back_are_in_none_of_it(small):
    spec = small.declare(escalate=Escalate(share=0.4))
    keys = FRAMES.eval_keys
    rest = ~second_rows(small.stores, spec, keys, keys["_event_time"].max())
    made = small.material()
    assert made.digests.tolist() == row_digests(keys[rest]).tolist()
    assert len(made.candidate.losses) == len(made.slices) == len(made.frames.eval_y) == rest.sum() < 200
    assert made.event_time.index.tolist() == list(range(rest.sum()))
    small.declare(escalate=Escalate(share=1e-9))
    assert len(small.material().digests) == 240


def test_rows_are_kept_back_by_what_the_rollout_routes_by_as_raw_was_known(small):
    raw, spec = small.stores.lake.frames["raw"], small.declare(escalate=Escalate(share=0.4))
    raw.loc[raw.index[-60:], "_known_time"] = pd.Timestamp("2030-01-01", tz="UTC")
    spec = spec.model_copy(update={"rollout": spec.rollout.model_copy(update={"route_by": ("b",)})})
    small.declaration = replace(small.declaration, spec=spec)
    rest = ~second_rows(small.stores, spec, FRAMES.eval_keys, FRAMES.eval_keys["_event_time"].max())
    assert small.material().digests.tolist() == row_digests(FRAMES.eval_keys[rest]).tolist()


def test_frozen_rows_that_are_gone_leave_nothing_to_judge(small):
    del small.stores.lake.frames["labels"]
    with pytest.raises(TableMissing):
        small.material()


# --- who is silent


def test_a_champion_that_does_not_load_is_a_side_that_says_why_and_has_seen_nothing(small):
    lose(small, small.before.model_artifact)
    made = small.material()
    assert made.champion == Side("champion", (), None, None, None, made.champion.why_not)
    assert made.champion.why_not.startswith("v1 does not load: version v1 of 'toy' is not loadable: ")
    assert (made.champion_seen.name, made.champion_seen.row_digests, made.earlier) == ("champion", None, None)
    assert made.unseen.all()
    says(made.candidate, "candidate")


def test_row_digests_of_the_champion_that_are_gone_are_none_and_its_time_stands(small):
    lose(small, small.before.frozen.row_digests_artifact)
    seen = small.material().champion_seen
    until = frames_of("regression", EARLY).train_keys["_event_time"].iloc[-1]
    assert (seen.name, seen.row_digests, seen.train_until) == ("champion", None, until)


def test_a_baseline_that_is_missing_or_lost_is_none(small):
    lose(small, small.manifest.baselines["linear"])
    made = small.material()
    assert made.baselines["linear"] is None
    says(made.baselines["dummy"], "dummy")
    small.version("v3", baselines={})
    assert small.material("v3").baselines == {"dummy": None, "linear": None}


def test_features_that_are_gone_leave_a_side_without_an_answer_that_still_says_what_it_takes(small):
    features = small.stores.lake.frames["features"]
    small.stores.lake.frames["features"] = features.rename(columns={"b": "c"})
    made = small.material()
    for side in (made.candidate, made.champion):
        assert (side.takes, side.predictions, side.losses) == (("a", "b", "shop"), None, None)
        assert side.pipeline is not None
        assert side.why_not.startswith("features ['b'] are not in the frame")


def test_a_loss_that_cannot_be_computed_leaves_a_side_without_an_answer():
    frames, rule = frames_of("binary", LATE), Rule(lambda rows: np.ones(len(rows)))
    spec = write_folder_once("binary")
    side = material._asked("champion", spec, frames, rule)
    assert side == Side("champion", ("a", "b", "shop"), rule, None, None, side.why_not)
    assert side.why_not == "brier needs probabilities: use an estimator with predict_proba"
    told = material._asked("champion", asked_by(spec, "error"), frames, rule)
    assert told.losses.tolist() == (frames.eval_y != 1).astype(float).tolist()


def test_losses_are_against_the_labels_or_others():
    spec, told = write_folder_once("regression"), pd.DataFrame({"prediction": np.ones(240), "score": np.nan})
    assert losses_of(spec, FRAMES, told).tolist() == np.abs(1 - FRAMES.eval_y).tolist()
    assert losses_of(spec, FRAMES, told, np.full(240, 3.0)).tolist() == [2.0] * 240
    wide = asked_by(spec, "rmse")
    assert losses_of(wide, FRAMES, told, np.full(240, 3.0)).tolist() == [4.0] * 240


# --- what was validated, and the anchor


def chained(small, anchor, **changed):
    """Return evidence that let v1 take over from another version as not worse than it."""
    return small.released_on(
        "v1", champion=anchor, champion_manifest="b" * 64, epoch=1, mode="non_inferiority", **changed
    )


def test_what_was_validated_is_the_mean_and_two_errors_where_there_is_one(small):
    alone = small.released_on("v1", validated_loss=LOSS.model_copy(update={"se": None}))
    assert small.material(released_on=alone).champion_validated == LOSS.mean
    none = small.released_on("v1", validated_loss=None)
    assert small.material(released_on=none).champion_validated is None


def test_the_version_that_was_better_last_answers_the_same_rows(small):
    small.version("v0", learned=60, leaf=12)
    made = small.material(released_on=chained(small, "v0"))
    assert made.anchor_version == "v0"
    says(made.anchor, "anchor")
    assert made.anchor.predictions["prediction"].tolist() != made.champion.predictions["prediction"].tolist()


def test_an_anchor_that_does_not_load_is_a_side_that_says_why(small):
    made = small.material(released_on=chained(small, "v7"))
    why = (
        "anchor v7 does not load: model 'toy' has no version 'v7' in the ledger: bytes without an entry are no version"
    )
    assert (made.anchor_version, made.anchor) == ("v7", Side("anchor", (), None, None, None, why))


def test_the_champion_and_the_candidate_are_no_anchors(small):
    assert small.material(released_on=chained(small, "v2")).anchor is None
    better = tuple(
        GateResult(gate="quality", verdict=Verdict.PASS, words="better", interval=(-2.0, -1.0)) if one.gate == "quality"
        else one for one in results()
    )  # fmt: skip
    digest = chained(small, "v0", results=better)
    assert read_evidence(small.artifacts, digest).next_anchor is None
    for released_on in (digest, None):
        made = small.material(released_on=released_on)
        assert (made.anchor, made.anchor_version) == (None, None)


def test_evidence_that_cannot_be_read_leaves_the_anchor_unknown(small):
    made = small.material(released_on="e" * 64)
    why = f"the champion's evidence {'e' * 64} cannot be read: what it may not fall behind is unknown"
    assert (made.anchor_version, made.anchor) == (None, Side("anchor", (), None, None, None, why))
    assert made.champion_validated is None
