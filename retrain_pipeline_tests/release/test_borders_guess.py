"""Losses that are not measured on served rows: guessed before labels come, and compared with the anchor of a plan."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.learning.environment import CodeRevision
from retrain_pipeline.learning.losses import row_losses
from retrain_pipeline.learning.prediction import predict
from retrain_pipeline.learning.versions import load_version, read_manifest, register
from retrain_pipeline.monitoring.evidence import Scored, guess_loss
from retrain_pipeline.release.change_plan import Anchor, _above, check_covered, read_plan
from retrain_pipeline.release.comparison import Pair
from retrain_pipeline.release.errors import ApprovalRefused
from retrain_pipeline.release.guess import label_free
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.handmade import manifest
from retrain_pipeline_tests.release.answering import AS_OF, Answering, constant

MODELS = {
    "dle": ("regression", "mae", "sklearn.linear_model.LinearRegression", "sklearn.dummy.DummyRegressor"),
    "cbpe": ("binary", "brier", "sklearn.tree.DecisionTreeClassifier", "sklearn.linear_model.LogisticRegression"),
    "cbpe and dle": (
        "binary",
        "error",
        "sklearn.linear_model.LogisticRegression",
        "sklearn.linear_model.RidgeClassifier",
    ),
}
"""Two models for each way to guess: the last one gives no probabilities."""
PAIR = Pair("v2", "v1", AS_OF)
LATER = AS_OF + timedelta(weeks=2)


class Guessing(Answering):
    """Two fitted versions, v2 on trial beside v1, and the estimate of the loss of each by its definition."""

    def __init__(self, folder, methods):
        self.task, self.metric, *estimators = MODELS[methods]
        models = tuple((version, one, ()) for version, one in zip(("v2", "v1"), estimators, strict=True))
        success = f"{{metric: {self.metric}, at_most: 5}}"
        super().__init__(folder, self.task, "  rollout: {shadow_periods: 1, margin: 0.5}", models, success)

    def expected(self, version, rows):
        frames, pipeline = self.frames, self.pipelines[version]
        before, told = (predict(pipeline, self.task, one).frame for one in (frames.eval_x, rows))
        losses = row_losses(self.metric, self.task, frames.eval_y, before)
        times = frames.eval_keys["_event_time"].to_numpy()
        mature = Scored(frames.eval_x, before, frames.eval_y, losses, times)
        return guess_loss(self.task, self.metric, mature, rows[["a", "b", "shop"]], told, seed=self.spec.training.seed)

    def margin(self, margin):
        """Return the declaration with another margin."""
        return self.spec.model_copy(update={"rollout": self.spec.rollout.model_copy(update={"margin": margin})})


@pytest.fixture(params=["dle", "cbpe"])
def guessing(request, tmp_path):
    made = Guessing(tmp_path, request.param)
    yield made
    made.stores.close()


def test_the_trial_passes_while_its_guessed_loss_is_within_the_margin_and_never_fails(guessing):
    trial, reference = (guessing.expected(version, guessing.features(6, 7)) for version in ("v2", "v1"))
    assert trial.estimate < reference.estimate, "the world is made so"
    for pair, ours, theirs in ((PAIR, trial, reference), (Pair("v1", "v2", AS_OF), reference, trial)):
        for margin in (0.0, 50.0):
            allowed = theirs.estimate * (1 + margin)
            words = (
                f"no label is mature; by {ours.method} a loss of {ours.estimate:.4g} for {pair.trial} and "
                f"{theirs.estimate:.4g} for {pair.reference}, allowed {allowed:.4g} "
                "(an estimate blind to what labels will say)"
            )
            verdict = Verdict.PASS if ours.estimate <= allowed else Verdict.INCONCLUSIVE
            wanted = GateResult(gate="label_free", verdict=verdict, statistic=ours.estimate, threshold=allowed, n=208,
                                words=words)  # fmt: skip
            assert label_free(guessing.stores, guessing.margin(margin), pair, LATER) == wanted
    same = label_free(guessing.stores, guessing.margin(0.0), Pair("v2", "v2", AS_OF), LATER)
    assert same.verdict is Verdict.PASS, "exactly what is allowed"


def test_estimates_by_two_methods_are_not_compared_however_wide_the_margin(tmp_path):
    made = Guessing(tmp_path, "cbpe and dle")
    found = label_free(made.stores, made.margin(50.0), PAIR, LATER)
    made.stores.close()
    words = "no label is mature; the loss of v2 is estimated by cbpe and that of v1 by dle: they are not compared"
    assert found == GateResult(gate="label_free", verdict=Verdict.INCONCLUSIVE, words=words)


def test_rows_count_from_the_start_of_the_trial_that_were_known_at_the_moment(guessing):
    found = label_free(guessing.stores, guessing.spec, PAIR, AS_OF + timedelta(weeks=1))
    assert (found.n, found.statistic) == (104, guessing.expected("v2", guessing.features(6)).estimate)
    lake, name = guessing.stores.lake, f"{AS_OF:%Y-%m-%d}"
    rows = guessing.features(6).drop(columns="_period")
    lake.put("toy", "features", name, rows.assign(_known_time=[LATER] * 60 + [LATER + timedelta(seconds=1)] * 44))
    assert label_free(guessing.stores, guessing.spec, PAIR, LATER).n == 164


def test_without_a_row_nothing_is_guessed(guessing):
    words = "no rows to estimate on; no rows to estimate on"
    wanted = GateResult(gate="label_free", verdict=Verdict.INCONCLUSIVE, words=words)
    for moment in (AS_OF, AS_OF - timedelta(weeks=1)):
        assert label_free(guessing.stores, guessing.spec, PAIR, moment) == wanted


@pytest.mark.parametrize("broken", ["trial", "reference"])
def test_of_a_model_that_does_not_answer_nothing_is_guessed_and_it_is_told_why(guessing, broken):
    register(
        guessing.stores, manifest(guessing.stores.artifacts, "v3", training_set=guessing.frozen.to_json()), actor="t"
    )
    found = label_free(guessing.stores, guessing.spec, replace(PAIR, **{broken: "v3"}), LATER)
    other = guessing.expected("v1" if broken == "trial" else "v2", guessing.features(6, 7)).words
    with pytest.raises(PermanentError) as refused:
        load_version(guessing.stores, "toy", "v3")
    words = [f"v3: {refused.value}", other]
    words = "; ".join(words if broken == "trial" else words[::-1])
    assert found == GateResult(gate="label_free", verdict=Verdict.INCONCLUSIVE, words=words)


# --- against the anchor

PLAN = """\
id: year-one
valid_from: 2024-01-01
valid_until: 2024-12-31
allowed: {{triggers: [policy], candidates: [tree], {more}}}
cumulative_limits: {{max_autopromotions: 2, max_total_delta: {delta}, max_days_without_human: 30}}
"""
ANCHOR = Anchor("v1", AS_OF, 0)


@pytest.fixture
def toys(tmp_path):
    made = Answering(tmp_path, models=(constant("v1", 1.0),))
    yield made
    made.stores.close()


def covered(toys, version, delta, more="code: false", anchor=ANCHOR):
    (toys.declaration.folder / "change_plan.yaml").write_text(PLAN.format(delta=delta, more=more))
    made = read_manifest(toys.stores, "toy", version)
    return check_covered(toys.stores, toys.declaration, read_plan(toys.declaration.folder), anchor, made)


def loss(toys, value):
    return float(np.abs(toys.frames.eval_y - value).mean())


def test_a_candidate_may_lose_as_much_more_than_the_anchor_as_the_plan_lets_it(toys):
    worse = loss(toys, 2.0) / loss(toys, 1.0) - 1
    assert worse > 0.1
    toys.add(constant("v2", 2.0))
    assert covered(toys, "v2", 50) == pytest.approx(worse, rel=1e-12)
    with pytest.raises(ApprovalRefused) as refused:
        covered(toys, "v2", 0.05)
    assert str(refused.value) == f"plan year-one: mean loss {worse:+.2%} against v1, at most +5.00%"
    toys.add(constant("v3", 1.0))
    assert covered(toys, "v3", 0) == 0, "exactly what is allowed"
    assert covered(toys, "v1", 0, anchor=Anchor("v2", AS_OF, 0)) == pytest.approx(1 / (1 + worse) - 1)


@pytest.mark.parametrize(
    ("more", "changed"),
    [
        ("code: true", {"code": CodeRevision(commit="d" * 40, dirty=True, diff_digest=None)}),
        ("code: true", {"feature_code_digest": "9" * 64}),
        ("declaration: true", {"spec_digest": "other"}),
    ],
)
def test_what_the_plan_allows_may_differ_from_the_anchor(toys, more, changed):
    if "spec_digest" in changed:
        changed = {"spec_digest": toys.stores.artifacts.put(b"another declaration")}
    toys.add(constant("v2", 1.0), **changed)
    assert covered(toys, "v2", 0.0, more) == 0


def test_what_cannot_be_compared_is_not_within_a_limit(toys):
    register(toys.stores, manifest(toys.stores.artifacts, "v0"), actor="test")
    toys.add(constant("v2", 1.0))
    with pytest.raises(ApprovalRefused) as refused:
        covered(toys, "v2", 50, anchor=Anchor("v0", AS_OF, 0))
    assert str(refused.value) == "toy: v2 and v0 cannot be compared on one set of rows"


@pytest.mark.parametrize(
    ("mean", "reference", "above"),
    [(3.0, 2.0, 0.5), (1.0, 2.0, -0.5), (1.0, 1.0, 0.0), (0.5, 0.0, float("inf")), (0.0, 0.0, 0.0), (-2.0, -1.0, 0.0),
     (0.25, 0.5, -0.5)],
)  # fmt: skip
def test_a_loss_is_compared_as_a_share_of_the_other_and_above_none_it_is_infinitely_more(mean, reference, above):
    assert _above(mean, reference) == above
