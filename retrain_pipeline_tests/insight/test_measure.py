"""What is measured of a version: right on a world whose truth is known, the same again, and honest about the rest."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.insight.effects import Effect, ablation, sensitivity, steps
from retrain_pipeline.insight.groups import group_lines
from retrain_pipeline.insight.importances import importances
from retrain_pipeline.insight.measure import measure
from retrain_pipeline.insight.paths import decision_paths
from retrain_pipeline.insight.ranges import out_of_range
from retrain_pipeline.insight.recipe import Made, NotMeasured, Purse, fitted, losses_on, made
from retrain_pipeline.learning.prediction import predict
from retrain_pipeline.learning.versions import load_version
from retrain_pipeline.records.insights import insight_of, record_insight, released_before
from retrain_pipeline.records.record import records
from retrain_pipeline.spec.insight import Insight
from retrain_pipeline.spec.model import Candidate, Report
from retrain_pipeline_tests.insight.conftest import Bench, template

GROUPS = {"size": ("a",), "colour": ("b",), "place": ("shop",), "unused": ("gone",)}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """One version; nothing here changes the world."""
    copied = template().copy(tmp_path_factory.mktemp("measured"))
    yield Bench(copied)
    copied.stores.close()


@pytest.fixture(scope="module")
def version(bench) -> str:
    return bench.build()


@pytest.fixture(scope="module")
def one(bench, version) -> Made:
    return made(bench.world.stores, "toy", version)


@pytest.fixture(scope="module")
def pipeline(bench, version):
    return load_version(bench.world.stores, "toy", version).pipeline


def plenty() -> Purse:
    return Purse(600)


@pytest.mark.requirement("A26", "D32")
def test_the_features_that_matter_matter_and_the_other_does_not(one, pipeline):
    found = {line.feature: line for line in importances(one, pipeline)}
    assert list(found) == sorted(found, key=lambda name: -found[name].rise)
    assert found["a"].low > found["b"].high > found["b"].low > 0.1
    assert abs(found["shop"].rise) < 0.05
    assert importances(one, pipeline) == list(found.values())


@pytest.mark.requirement("A26")
def test_ablation_shows_what_a_group_is_worth_with_intervals(one):
    found = {effect.name: effect for effect in ablation(one, GROUPS, plenty())}
    assert set(found) == {"size", "colour", "place"}
    assert found["size"].shown == found["colour"].shown == "worse"
    assert found["place"].shown == "not shown"
    for effect in found.values():
        assert effect.low <= effect.difference <= effect.high
        assert (effect.n, effect.blocks) == (336, 14)
    # it is the difference that two real fits make
    spec, frames = one.spec, one.frames
    without = replace(frames, train_x=frames.train_x.drop(columns="a"), eval_x=frames.eval_x.drop(columns="a"))
    alone = losses_on(spec, fitted(one, without), without.eval_x, without.eval_y)
    own = losses_on(spec, fitted(one), frames.eval_x, frames.eval_y)
    assert found["size"].difference == pytest.approx(float((alone - own).mean()))


def test_a_group_that_harms_is_said_to(one):
    # What the model learns from `leak` holds among the training rows only.
    frames = one.frames
    leak = pd.Series(frames.train_y + np.random.default_rng(0).normal(0, 0.1, len(frames.train_y)))
    mixed = np.random.default_rng(1).permutation(frames.eval_y)
    harmed = replace(frames, train_x=frames.train_x.assign(leak=leak), eval_x=frames.eval_x.assign(leak=mixed))
    columns = one.manifest.columns.model_copy(update={"numeric": (*one.manifest.columns.numeric, "leak")})
    other = replace(one, frames=harmed, manifest=one.manifest.model_copy(update={"columns": columns}))
    [effect] = ablation(other, {"leak": ("leak",)}, plenty())
    assert effect.shown == "better"
    assert effect.high < 0


def test_nothing_left_to_learn_from_and_a_failed_fit_are_told(one):
    [everything] = ablation(one, {"all": ("a", "b", "shop")}, plenty())
    assert everything.difference is None
    assert "nothing is left" in everything.words
    bad = replace(one, manifest=one.manifest.model_copy(update={"params": {"min_samples_leaf": 0.9, "max_depth": 1}}))
    found = {effect.name: effect for effect in sensitivity(bad, plenty())}
    assert "no refit" in found["min_samples_leaf = 1.8"].words


def test_few_blocks_give_no_interval(one):
    few = replace(
        one, spec=one.spec.model_copy(update={"gates": one.spec.gates.model_copy(update={"block_hours": 96})})
    )
    [effect] = ablation(few, {"size": ("a",)}, plenty())
    assert (effect.low, effect.shown) == (None, "not shown")
    assert "4 blocks of 96 h hold rows, 8 are needed" in effect.words


@pytest.mark.requirement("A26")
def test_hyper_parameters_are_moved_a_step_in_their_list_or_by_a_factor(one):
    assert steps(one) == [("min_samples_leaf", 8, 4), ("min_samples_leaf", 8, 16)]
    searched = Candidate(estimator=one.manifest.estimator, search={"min_samples_leaf": [1, 8, 100]})
    training = one.spec.training.model_copy(update={"candidates": {"tree": searched}})
    other = replace(one, spec=one.spec.model_copy(update={"training": training}))
    assert steps(other) == [("min_samples_leaf", 8, 1), ("min_samples_leaf", 8, 100)]
    found = {effect.name: effect for effect in sensitivity(other, plenty())}
    assert found["min_samples_leaf = 100"].shown == "worse"
    assert found["seed 1"].difference == 0.0  # this tree draws nothing
    assert found["seed 1"].shown == "not shown"


def test_what_there_was_no_time_for_is_said(one):
    purse = Purse(0)
    assert ablation(one, GROUPS, purse) == []
    assert "budget_seconds were spent" in purse.not_reached[0]


@pytest.mark.requirement("D32")
def test_a_decision_path_leads_from_the_mean_answer_to_that_of_the_row(one, pipeline):
    paths = {path.which: path for path in decision_paths(one, pipeline)}
    told = predict(pipeline, "regression", one.frames.eval_x).frame["prediction"]
    losses = losses_on(one.spec, pipeline, one.frames.eval_x, one.frames.eval_y)
    for path in paths.values():
        place = int(np.flatnonzero(one.frames.eval_keys["id"] == path.key["id"])[0])
        assert path.answer == pytest.approx(told.iloc[place])
        assert path.start + sum(step.moved for step in path.steps) + path.others == pytest.approx(path.answer)
        assert path.loss == losses[place]
    assert paths["worst"].loss == losses.max()
    assert paths["typical"].loss == pytest.approx(np.median(losses), abs=0.01)
    assert len({path.key["id"] for path in paths.values()}) == 3


def test_the_steps_of_a_linear_model_are_its_terms(bench):
    bench.declare(
        ("tree: {estimator: sklearn.tree.DecisionTreeRegressor, params: {min_samples_leaf: 8}}",
         "tree: {estimator: sklearn.linear_model.LinearRegression}"),
    )  # fmt: skip
    version = bench.build()
    bench.declare()
    stores = bench.world.stores
    linear, pipeline = made(stores, "toy", version), load_version(stores, "toy", version).pipeline
    path = decision_paths(linear, pipeline)[0]
    place = int(np.flatnonzero(linear.frames.eval_keys["id"] == path.key["id"])[0])
    row = linear.frames.eval_x.iloc[[place]]
    step = {one.feature: one for one in path.steps}["b"]
    # a term of a straight line is its slope times the distance from the mean of the rows drawn to compare with
    slope = float(np.diff(pipeline.predict(pd.concat([row, row.assign(b=row["b"] + 1)])))[0])
    mean = float(linear.frames.train_x["b"].mean())
    assert step.moved == pytest.approx(slope * (float(row["b"].iloc[0]) - mean), abs=4 * step.se)
    assert 0 < step.se < abs(slope) / 5


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes_have_paths_too(one, task):
    levels = {"binary": [0], "multiclass": [-1, 1]}[task]
    frames, spec = one.frames, one.spec
    train, judged = (np.digitize(y, levels) for y in (frames.train_y, frames.eval_y))
    if task == "multiclass":
        train, judged = train.astype(str), judged.astype(str)
    success = spec.problem.success.model_copy(update={"metric": "brier"})
    label = spec.data.label.model_copy(update={"task": task})
    spec = spec.model_copy(
        update={
            "problem": spec.problem.model_copy(update={"success": success}),
            "data": spec.data.model_copy(update={"label": label}),
        }
    )
    manifest = one.manifest.model_copy(update={"estimator": "sklearn.tree.DecisionTreeClassifier"})
    classes = Made(manifest, spec, replace(frames, train_y=train, eval_y=judged, task=task))
    fit = fitted(classes)
    paths = {path.which: path for path in decision_paths(classes, fit)}
    chances = predict(fit, task, frames.eval_x).frame
    assert list(paths) == ["typical", "worst", "borderline"]
    places = {which: int(np.flatnonzero(frames.eval_keys["id"] == path.key["id"])[0]) for which, path in paths.items()}
    for which, path in paths.items():
        told = chances.iloc[places[which]]
        assert path.answer == pytest.approx(told["score"])  # of several classes, that of the likeliest
        assert path.asked == f"the probability of {1 if task == 'binary' else told['prediction']}"
    if task == "binary":
        others = np.setdiff1d(np.arange(len(chances)), [places["typical"], places["worst"]])
        nearest = np.abs(chances["score"].to_numpy()[others] - 0.5).min()
        assert abs(paths["borderline"].answer - 0.5) == pytest.approx(nearest)


@pytest.mark.requirement("A20")
def test_groups_are_followed_from_the_source_to_the_answer(bench, one, pipeline):
    told = predict(pipeline, "regression", one.frames.eval_x).frame
    losses = losses_on(one.spec, pipeline, one.frames.eval_x, one.frames.eval_y)
    lines = group_lines(bench.world.stores, one, told, losses)
    found = {(line.stage, line.value): line for line in lines}
    assert len(lines) == 8
    raw = bench.world.stores.lake.read("toy", "raw", periods=list(one.manifest.frozen.periods))
    north = raw[raw["shop"] == "north"]
    assert found["source", "north"].rows == len(north) == found["features", "north"].rows
    assert found["source", "north"].label_mean == pytest.approx(float(north["y"].mean()))
    for stage, rows in (("source", 1008), ("training", 672), ("prediction", 336)):
        assert found[stage, "north"].rows + found[stage, "south"].rows == rows
        assert found[stage, "north"].share + found[stage, "south"].share == pytest.approx(1)
    judged = found["prediction", "north"]
    shops = one.frames.eval_x["shop"] == "north"
    assert judged.prediction_mean == pytest.approx(float(told["prediction"][shops].mean()))
    assert judged.loss == pytest.approx(float(losses[shops.to_numpy()].mean()))
    assert judged.loss_low < judged.loss < judged.loss_high
    assert all(line.moved_share is None for line in lines)
    moved = group_lines(
        bench.world.stores, one, told, losses, [line.model_copy(update={"share": line.share - 0.1}) for line in lines]
    )
    assert [line.moved_share for line in moved] == pytest.approx([0.1] * len(moved))


def test_missing_cells_of_a_group_show(bench, one, pipeline):
    frames = one.frames
    holes = frames.eval_x.assign(b=frames.eval_x["b"].where(frames.eval_x["shop"] != "south"))
    told = predict(pipeline, "regression", holes).frame
    losses = losses_on(one.spec, pipeline, holes, frames.eval_y)
    lines = group_lines(bench.world.stores, replace(one, frames=replace(frames, eval_x=holes)), told, losses)
    missing = {line.value: line.missing for line in lines if line.stage == "prediction"}
    assert missing == {"north": 0.0, "south": pytest.approx(1 / 3)}


def test_rare_values_are_one(bench, one, pipeline, monkeypatch):
    from retrain_pipeline.insight import groups

    monkeypatch.setattr(groups, "MAX_VALUES", 1)
    told = predict(pipeline, "regression", one.frames.eval_x).frame
    losses = losses_on(one.spec, pipeline, one.frames.eval_x, one.frames.eval_y)
    lines = group_lines(bench.world.stores, one, told, losses)
    assert {line.value for line in lines} == {"north", groups.OTHERS}


def test_inputs_beyond_the_training_rows_are_counted(one, pipeline):
    x = one.frames.eval_x.copy()
    x.loc[x.index[:34], "a"] = 99.0
    x.loc[x.index[:10], "shop"] = "west"
    found = {line.feature: line for line in out_of_range(replace(one, frames=replace(one.frames, eval_x=x)), pipeline)}
    assert found["a"].rows >= 34
    assert found["a"].share == found["a"].rows / 336
    assert found["shop"].rows == 10
    assert found["shop"].known == "2 levels"


@pytest.mark.requirement("D32", "A20")
def test_measuring_again_gives_the_same_record(bench, version):
    stores, declaration = bench.world.stores, bench.world.declaration
    first = record_insight(stores, declaration, version, actor="test")
    assert record_insight(stores, declaration, version, actor="test") == first
    assert len(list(records(stores, "toy", "insight"))) == 1
    assert insight_of(stores, "toy", version) == first
    assert set(first.plots) == {"importances", "effects", "paths"}
    for digest in first.plots.values():
        assert stores.artifacts.get(digest).startswith(b"\x89PNG")
    assert first.measured.split is None
    reasons = {one.what: one.why for one in first.measured.not_measured}
    assert reasons["the causes of the change of the metric"] == "there is no version before it"
    assert "column lineage" in reasons


def test_one_part_that_fails_hides_nothing_else(bench, version, monkeypatch):
    from retrain_pipeline.insight import measure as module

    def broken(*_: object) -> None:
        raise ZeroDivisionError("of nothing")

    monkeypatch.setattr(module, "decision_paths", broken)
    found = measure(bench.world.stores, "toy", version, refits=False)
    assert found.importances
    assert not found.paths
    reasons = {one.what: one.why for one in found.not_measured}
    assert reasons["decision paths"] == "ZeroDivisionError: of nothing"
    assert "report.insight.every is 10" in reasons["ablation and sensitivity"]


def test_refits_are_due_as_declared():
    assert [n for n in range(9) if Insight(every=4).refits_due(n)] == [0, 4, 8]
    assert [n for n in range(9) if Insight(every="first").refits_due(n)] == [0]
    assert not any(Insight(every="never").refits_due(n) for n in range(9))


def test_defaults_leave_digests_as_they_were(bench):
    spec = bench.world.declaration.spec
    assert "insight" not in spec.model_dump(mode="json")["report"]
    declared = spec.model_copy(update={"report": Report(insight=Insight(every="never"))})
    assert declared.model_dump(mode="json")["report"]["insight"]["every"] == "never"
    assert declared.digest != spec.digest


def test_releases_before_are_counted_once_each(bench, version):
    from retrain_pipeline.ledger.entries import NewEntry

    ledger = bench.world.stores.ledger
    for action, subject in (("staged", "v1"), ("released", "v1"), ("released", "v2"), ("released", "v3")):
        ledger.append(NewEntry("test", action, "counted", subject, {}))
    assert [released_before(bench.world.stores, "counted", name) for name in ("v1", "v2", "v3")] == [0, 1, 2]


def test_a_version_whose_declaration_is_gone_is_not_measured(bench, version):
    import os

    from retrain_pipeline.learning.versions import read_manifest

    artifacts = bench.world.stores.artifacts
    digest = read_manifest(bench.world.stores, "toy", version).spec_digest
    kept = artifacts.get(digest)
    os.unlink(artifacts.path(digest))
    with pytest.raises(NotMeasured, match="the declaration of version"):
        made(bench.world.stores, "toy", version)
    artifacts.put(kept)


def test_effects_say_what_they_show():
    told = {"kind": "without", "name": "x", "words": "w"}
    assert Effect(**told, difference=0.1, low=0.05, high=0.2).shown == "worse"
    assert Effect(**told, difference=-0.1, low=-0.2, high=-0.05).shown == "better"
    assert Effect(**told, difference=0.1, low=-0.05, high=0.2).shown == "not shown"
