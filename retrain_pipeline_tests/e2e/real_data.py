"""From the raw file to released versions, the sensor doing the asking, on real data with real drift.

One data set a file of tests: a file is what a worker of pytest-xdist takes, and these take the longest.
"""

from datetime import datetime
from pathlib import Path

import numpy as np

from retrain_pipeline.learning.build import load_version
from retrain_pipeline.learning.losses import row_losses
from retrain_pipeline.learning.reproduce import reproduce
from retrain_pipeline.learning.training_set import freeze_training_set
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.records.kinds.card import ModelCard
from retrain_pipeline.records.kinds.experiment import Experiment
from retrain_pipeline.records.kinds.release_note import ReleaseNote
from retrain_pipeline.records.record import records
from retrain_pipeline.records.settle import settle
from retrain_pipeline.records.truth.context import Context
from retrain_pipeline.records.truth.verify import NAMES, verify
from retrain_pipeline.replay.decisions import redecide
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.e2e.planted import cloned, copied, found


def error_without_the_loop(stores, spec, version: str, feedback) -> float:
    """Return the mean loss of one version over the rows of `feedback`: what never retraining would have cost."""
    model = load_version(stores, spec.name, version)
    periods = sorted(feedback["predicted_period"].unique())
    features = stores.lake.read(spec.name, "features", periods=periods)
    keys = list(spec.data.key)
    rows = feedback[[*keys, "label"]].merge(features, on=keys, validate="one_to_one")
    predicted = model.predict(rows)
    losses = row_losses(spec.problem.success.metric, spec.data.label.task, rows["label"].to_numpy(), predicted.frame)
    return float(np.mean(losses))


def check_what_is_planted(state: Path, declaration: Declaration, folder: Path, monkeypatch) -> None:
    """Plant one untruth for each of the sixteen checks in a copy of what the history left; each must be found."""
    whole = copied(state, declaration.folder, declaration.folder.parent, folder / "whole")
    whole.stores.close()
    for check in NAMES:
        past = cloned(whole, folder / check)
        monkeypatch.setenv("RETRAIN_POLICY", str(past.policy))
        before, after, told = found(check, past)
        past.stores.close()
        # the copy is no clone of the project's repository, so `commits` finds more than what is planted
        assert before is (Verdict.FAIL if check == "commits" else Verdict.PASS), (check, before)
        assert after is Verdict.FAIL, (check, after, told)
        assert check != "commits" or any("abcdef0123" in words for words in told), told


def check_that_the_loop_keeps_a_model_fresh(make_real, name: str, weeks: int, monkeypatch, tmp_path: Path) -> None:
    """Play so many weeks of a model under `models/`; then look at all that it left."""
    declaration, player, stores = make_real(name)
    spec = declaration.spec
    calendar = spec.data.time.calendar()
    periods = calendar.keys_between(calendar.origin, calendar.shift(calendar.origin, weeks))
    # before the first model can be, as a schedule catches up: many periods in one run
    history = spec.training.min_periods
    assert player.backfill(periods[0], periods[history - 1]).success
    assert stores.lake.periods(name, "raw") == periods[:history]
    played = [player.step(period) for period in periods[history:]]

    assert [(p.period, p.why) for p in played if not p.data_ok] == []
    released = stores.ledger.entries(model=name, action="released")
    assert len(released) >= 3, [(p.period, p.why, p.retrain_ok) for p in played if p.retrain_run]
    # nobody but the sensor asked
    started = stores.ledger.entries(model=name, action="retrain_started")
    assert {entry.actor for entry in started} == {f"sensor:{name}_retrain"}
    # every retrain has exactly one end
    ends = stores.ledger.entries(model=name, action=["released", "rejected", "retrain_failed", "superseded"])
    assert sorted(entry.run_id for entry in ends) == sorted(entry.run_id for entry in started)
    assert stores.ledger.verify().verdict is Verdict.PASS

    feedback = stores.lake.read(name, "feedback")
    with_loop = float(feedback["loss"].mean())
    without = error_without_the_loop(stores, spec, released[0].subject, feedback)
    print(
        f"{name}: {len(released)} released of {len(started)} retrains; loss {with_loop:.4f} with, {without:.4f} without"
    )
    assert with_loop < without
    # the live policy, asked again with what was known at each look, decides as it did; nobody looked after the catch-up
    first, *looks = redecide(stores.ledger, spec)
    assert first.period == periods[history - 1]
    assert [one for one in looks if not one.same] == []
    # the same moment again: the rows as they were known then, frozen anew and fitted anew, give the same answers
    last = read_manifest(stores, name, released[-1].subject)
    again = freeze_training_set(stores, spec, datetime.fromisoformat(last.as_of))
    assert again.digest == last.frozen.digest
    assert reproduce(stores, declaration, last.version).same
    # a machine has documented it all, beyond the decisions that ship with the example; and what is written is true
    monkeypatch.setenv("RETRAIN_POLICY", str(declaration.folder.parent))
    settle(stores, declaration, "test")
    told = verify(Context(stores=stores, declaration=declaration))
    # `commits` is of the work tree that the tests run in
    assert {one.check.name: one.verdict for one in told.answers if one.check.name != "commits"} == {
        check: Verdict.PASS for check in NAMES if check != "commits"
    }, [one.words for one in told.answers if one.verdict is not Verdict.PASS]
    cards = {one.subject for one in records(stores, name, ModelCard.KIND)}
    notes = {one.subject for one in records(stores, name, ReleaseNote.KIND)}
    assert cards == notes == {entry.subject for entry in released}
    assert len(list(records(stores, name, Experiment.KIND))) == len(started)
    stores.close()
    check_what_is_planted(tmp_path / "state", declaration, tmp_path / "planted", monkeypatch)
