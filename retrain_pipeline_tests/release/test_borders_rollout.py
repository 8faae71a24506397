"""A period of a rollout, to the letter: what is looked at, what is entered of it, and what is told of what was done."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.gates.evidence import GateResult, policy_digest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.periods import PeriodRefused
from retrain_pipeline.release.comparison import Pair, compared_loss, serves, split_results
from retrain_pipeline.release.documents import documented_on_trial
from retrain_pipeline.release.drills import rehearsed
from retrain_pipeline.release.guardrails import CanaryLook, canary_results
from retrain_pipeline.release.guess import label_free
from retrain_pipeline.release.look import Look, next_step, read_look
from retrain_pipeline.release.moment import permitted
from retrain_pipeline.release.proof import still_proved
from retrain_pipeline.release.rollout import RolloutReport, roll
from retrain_pipeline.release.state import current
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.release.fitted import Learned, rows

STAGES = "shadow_periods: 1, canary_shares: [0.5], margin: 0.2"
SHADOW, CANARY = ("shadow", 0.0), ("canary", 0.5)
FIRST, SECOND, THIRD = "2024-02-19", "2024-02-26", "2024-03-04"


def moment(week, **later):
    return datetime.fromisoformat(f"{week}T00:00:00+00:00") + timedelta(**later)


class Rolled(Learned):
    """The version v2 is on trial beside v1 since the week `FIRST`."""

    def __init__(self, folder, at=SHADOW, rollout=STAGES, stage_from=FIRST, **judged):
        super().__init__(folder, rollout)
        self.digest = self.judge(**judged)
        self.stores.lake.replace_partition("toy", "features", FIRST, rows(FIRST, 20))
        self.deployed = self.on(at, evidence=self.digest, stage_from=moment(stage_from).isoformat())

    def roll(self, week=FIRST):
        return roll(self.stores, self.declaration, week, run_id="run-8", actor="somebody")

    def lived(self, ours, *weeks):
        """Let weeks pass, an event an hour: v1 is wrong by about 1, v2 by about `ours`; who serves is routed."""
        lake, routing, rng = self.stores.lake, self.deployed.routing(), np.random.default_rng(3)
        for week in weeks:
            frame = rows(week, 168).drop(columns="a")
            lake.replace_partition("toy", "labels", week, frame.assign(label=0.0))
            routes = [routing.route((one,)) for one in frame["id"]]
            served = np.array([one.version for one in routes])
            frame = frame.assign(score=np.nan)
            said = {"v1": 1 + rng.random(168) / 50, "v2": ours + rng.random(168) / 50}
            for table, versions in (("predictions", served), ("shadow", np.where(served == "v1", "v2", "v1"))):
                told = np.where(versions == "v1", said["v1"], said["v2"])
                more = {"arm": [one.arm for one in routes]} if table == "predictions" else {}
                lake.replace_partition(
                    "toy", table, week, frame.assign(prediction=told, model_version=versions, **more)
                )

    def signalled(self, week, known, **values):
        at, by = (pd.Series([one] * len(values)).astype("datetime64[us, UTC]") for one in (moment(week), known))
        frame = pd.DataFrame({"signal": list(values), "value": list(values.values()), "how": "observed"})
        self.stores.lake.add("signals", week, frame.assign(_event_time=at, _known_time=by), "toy")

    def results(self, week=FIRST, stage_from=FIRST, canary=False):
        """Return what a look at the end of a week is made of."""
        stores, spec, on, end = self.stores, self.spec, self.deployed.challenger, moment(week, weeks=1)
        pair, longest = Pair("v2", "v1", moment(FIRST)), spec.rollout.longest(spec.data.label.delay_hours / 168)
        found = [
            serves(stores, "toy", "v2"), still_proved(stores, self.declaration, "v2", on.evidence),
            GateResult(gate="terms", verdict=Verdict.PASS, words="the declaration is as it was judged by"),
            rehearsed(stores.ledger, spec), compared_loss(stores, spec, pair, end, longest),
        ]  # fmt: skip
        if not found[-1].n:
            found.append(label_free(stores, spec, pair, end))
        if canary:
            routing = self.deployed.routing()
            split = split_results(stores, spec, routing, moment(stage_from), end)
            assert {one.verdict for one in split} == {Verdict.PASS}
            seen = CanaryLook(week, moment(stage_from), end, longest, split_holds=True)
            found += [*split, *canary_results(stores, spec, routing, seen, Path())]
        asked = permitted(stores, self.declaration, on), documented_on_trial(stores.ledger, spec)
        return tuple(found + [one for one in asked if one is not None])

    def looked(self, results, at=SHADOW, week=FIRST, **more):
        given = {
            "model": "toy", "version": "v2", "reference": "v1", "evidence": self.digest, "epoch": 2, "stage": at[0],
            "share": at[1], "period": week, "as_of": moment(week, weeks=1).isoformat(), "periods_in_stage": 1,
            "periods_on_trial": 1, "longest": self.spec.rollout.longest(self.spec.data.label.delay_hours / 168),
            "rollout": self.spec.rollout, "results": results,
        }  # fmt: skip
        return Look(**{**given, **more})


@pytest.fixture
def trial(tmp_path):
    return Rolled(tmp_path)


# --- where there is nothing to look at


def test_without_a_champion_nothing_is_rolled_out(tmp_path):
    class Unreleased(Learned):
        def deploy(self, state):
            return state

    made = Unreleased(tmp_path)
    assert roll(made.stores, made.declaration, FIRST) == RolloutReport("toy", FIRST, "none", "no champion yet")
    with pytest.raises(PeriodRefused):
        roll(made.stores, made.declaration, "2024-02-20")


def test_one_that_goes_on_trial_later_is_not_looked_at_yet(trial):
    head = trial.ledger.head()
    words = "v2 goes on trial after this period"
    wanted = RolloutReport("toy", "2024-02-12", "none", words, "v1", "v2", "shadow", 0.0)
    assert trial.roll("2024-02-12") == wanted
    assert trial.ledger.head() == head
    assert trial.roll().move == "hold"


def test_a_later_stage_is_not_looked_at_before_it_began(tmp_path):
    made = Rolled(tmp_path, CANARY, stage_from=SECOND)
    words = "v2 goes on trial after this period"
    assert made.roll() == RolloutReport("toy", FIRST, "none", words, "v1", "v2", "canary", 0.5)


# --- what a look is made of


def test_a_look_in_shadow_has_its_results_and_is_entered_whole(trial):
    wanted = trial.looked(trial.results())
    step = next_step(wanted)
    assert [one.gate for one in wanted.results] == ["serves", "proof", "terms", "drill", "online_loss", "label_free"]
    assert {one.verdict for one in wanted.results[:4]} == {Verdict.PASS}
    report = trial.roll()
    assert read_look(trial.stores.artifacts, report.look) == wanted
    assert report == RolloutReport(
        "toy", FIRST, "hold", step.words, "v1", "v2", "shadow", 0.0, wanted.results, report.look
    )
    payload = {
        "look": report.look, "period": FIRST, "as_of": wanted.as_of, "stage": "shadow", "share": 0, "move": "hold",
        "results": {one.gate: one.verdict.value for one in wanted.results}, "words": step.words,
    }  # fmt: skip
    key = f"rollout_looked:toy:2:v2:{FIRST}"
    assert trial.newest() == NewEntry("somebody", "rollout_looked", "toy", "v2", payload, "run-8", 2, key)


def test_a_period_that_was_looked_at_is_not_looked_at_anew(trial):
    first, head = trial.roll(), trial.ledger.head()
    trial.lived(0.5, FIRST)
    assert trial.roll() == first
    assert trial.ledger.head() == head


@pytest.mark.parametrize("delay", [0, 24])
def test_a_look_in_a_canary_is_at_the_split_and_the_bounds_of_its_stage_too(tmp_path, delay):
    by_arm = "prediction_mean: {at_most: 9}"
    bounds = f"guardrails: {{latency_ms_p95: {{at_most: 40}}, prediction_count: {{at_most: 9}}, {by_arm}}}"
    made = Rolled(tmp_path, CANARY, f"{STAGES}, {bounds}, approval: required", stage_from=SECOND)
    file = made.declaration.folder / "defs.yaml"
    told = file.read_text().replace("{margin: 0.08", "{documentation: true, margin: 0.08")
    file.write_text(told.replace("{column: y,", f"{{delay_hours: {delay}, column: y,"))
    made.read()
    made.digest = made.judge()
    on = made.deployed.challenger.model_copy(update={"evidence": made.digest})
    made.deployed = made.deployed.model_copy(update={"challenger": on})
    entry = NewEntry("test", "staged", "toy", "v2", {"evidence": made.digest})
    made.ledger.change_deployment("toy", 2, made.deployed.to_state(), entry)
    made.lived(0.1, FIRST, SECOND)
    made.signalled(SECOND, moment(THIRD), latency_ms_p95=30.0)
    made.signalled(SECOND, moment(THIRD, seconds=1), prediction_count=30.0)
    results = made.results(SECOND, SECOND, canary=True)
    bounded = ["guardrail:latency_ms_p95", "guardrail:prediction_count", "guardrail:prediction_mean"]
    gates = ["online_loss", "sample_ratio", "exposure", *bounded, "permit", "documents"]
    assert [one.verdict for one in results if one.gate in bounded] == [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.PASS]
    assert [one.interval is None for one in results if one.gate in bounded] == [True, True, False]
    assert [one.gate for one in results][4:] == gates
    assert results[5].n == results[6].n == 168
    report = made.roll(SECOND)
    wanted = made.looked(results, CANARY, SECOND, epoch=3, periods_on_trial=2)
    assert read_look(made.stores.artifacts, report.look) == wanted
    assert (report.stage, report.share, report.results) == ("canary", 0.5, results)


def test_long_words_of_a_look_are_cut_in_its_entry(tmp_path):
    class Far(Rolled):
        @staticmethod
        def opened(home):
            return replace(Learned.opened(home), artifacts=Artifacts(f"memory://{'n' * 2500}/{uuid4().hex}"))

    made = Far(tmp_path)
    made.stores.artifacts.remove(made.manifest.model_artifact)
    report = made.roll()
    assert len(report.words) > 2000
    [entry] = made.ledger.entries(action="rollout_looked")
    assert entry.payload["words"] == report.words[:2000]


# --- what is done on it


def test_what_proves_itself_in_shadow_goes_on(trial):
    trial.lived(0.1, FIRST, SECOND, THIRD)
    report = trial.roll(THIRD)
    assert (report.move, report.champion, report.challenger) == ("advance", "v1", "v2")
    assert (report.stage, report.share) == ("canary", 0.5)
    assert current(trial.ledger, "toy")[1].challenger.share == 0.5
    assert trial.newest().action == "staged"
    assert (trial.newest().actor, trial.newest().run_id) == ("somebody", "run-8")


def test_what_proves_itself_in_the_last_stage_becomes_champion(tmp_path):
    made = Rolled(tmp_path, CANARY)
    made.lived(0.1, FIRST, SECOND, THIRD)
    report = made.roll(THIRD)
    assert (report.move, report.champion, report.challenger, report.stage, report.share) == (
        "promote", "v2", None, None, 0.0,
    )  # fmt: skip
    assert current(made.ledger, "toy")[1].champion == "v2"
    assert (made.newest().action, made.newest().actor, made.newest().run_id) == ("released", "somebody", "run-8")


def test_what_cannot_answer_goes_back(trial):
    trial.stores.artifacts.remove(trial.manifest.model_artifact)
    report = trial.roll()
    assert (report.move, report.champion, report.challenger, report.stage, report.share) == (
        "withdraw", "v1", None, None, 0.0,
    )  # fmt: skip
    assert report.words.startswith("serves: ")
    assert report.results == read_look(trial.stores.artifacts, report.look).results


def test_a_change_meanwhile_is_left_to_the_next_period(trial):
    trial.stores.artifacts.remove(trial.manifest.model_artifact)
    trial.ledger.before_change = lambda: trial.ledger.change_deployment(
        "toy", 2, trial.champion.to_state(), NewEntry("test", "withdrawn", "toy", "v2", {})
    )
    words = "the deployment moved on to epoch 3 meanwhile; the next period will tell"
    assert trial.roll() == RolloutReport("toy", FIRST, "overtaken", words, "v1", "v2", "shadow", 0.0)


def test_a_declaration_that_says_something_else_now_takes_it_back(trial):
    was = policy_digest(trial.spec)[:12]
    file = trial.declaration.folder / "defs.yaml"
    file.write_text(file.read_text().replace("margin: 0.08", "margin: 0.5"))
    trial.read()
    now = policy_digest(trial.spec)[:12]
    report = trial.roll()
    words = f"judged under policy {was}, the declaration now says {now}: retrain, or judge it again"
    assert report.results[2] == GateResult(gate="terms", verdict=Verdict.FAIL, words=words)
    assert (report.move, report.words) == ("withdraw", f"terms: {words}")


def test_evidence_that_is_gone_fails_its_terms(trial):
    on = trial.deployed.challenger.model_copy(update={"evidence": "f" * 64})
    trial.deployed = trial.deployed.model_copy(update={"challenger": on})
    entry = NewEntry("test", "staged", "toy", "v2", {})
    trial.ledger.change_deployment("toy", 2, trial.deployed.to_state(), entry)
    found = trial.roll().results[2]
    assert (found.gate, found.verdict) == ("terms", Verdict.FAIL)
    assert found.words.startswith(f"evidence '{'f' * 64}' cannot be read")
