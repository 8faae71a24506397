"""Scoring a period, to the letter: what is told of it, what is put into the lake, and what a repeat leaves alone."""

from datetime import datetime, timedelta

import pandas as pd
import pytest

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.periods import PeriodRefused
from retrain_pipeline.release.errors import ServingRefused
from retrain_pipeline.release.serving import ScoringReport, score_period
from retrain_pipeline_tests.release.fitted import Line, rows

WEEK = "2024-02-19"


class Served(Line):
    """The champions v1, v2 and so on; the features of a week are in the lake."""

    def put(self, week=WEEK, n=40, **columns):
        self.stores.lake.replace_partition("toy", "features", week, rows(week, n, **columns))

    def score(self, week=WEEK, **named):
        return score_period(self.stores, self.declaration, week, **named)

    def table(self, week=WEEK, table="predictions"):
        return self.stores.lake.tables["toy", table][week]

    def p95(self):
        return self.table()["latency_ms"].quantile(0.95)

    def canary(self, version="v9", share=0.5):
        state = self.champion.model_copy(update={"challenger": self.challenger(("canary", share), version=version)})
        self.ledger.change_deployment("toy", 1, state.to_state(), NewEntry("test", "staged", "toy", version, {}))


@pytest.fixture(params=[1])
def shop(request, tmp_path):
    made = Served(tmp_path, request.param, "watch_periods: 2")
    made.put()
    return made


def test_a_period_is_scored_by_the_champion_once(shop):
    report = shop.score()
    words = "v1, champion with data up to 2024-01-01T00:00:00+00:00"
    assert report == ScoringReport("toy", WEEK, 40, "v1", words, shop.p95(), changed=True, arms={"champion": 40})
    told = shop.table()
    assert told["prediction"].tolist() == pytest.approx(list(range(40)), abs=1e-9)
    assert ("toy", "shadow") not in shop.stores.lake.tables
    again = shop.score()
    assert (again.changed, again.rows, again.arms, again.latency_ms_p95) == (False, 40, {"champion": 40}, shop.p95())
    assert shop.table() is told


def test_a_repeat_tells_the_latency_that_was_measured_first(shop):
    shop.score()
    shop.table()["latency_ms"] = 7.0
    assert shop.score().latency_ms_p95 == 7.0


def test_rows_that_are_other_rows_are_scored_again(shop):
    shop.score()
    shop.put(a=[5.0] * 40)
    assert (shop.score().changed, set(shop.table()["prediction"].round(9))) == (True, {5.0})
    shop.put(n=39)
    report = shop.score()
    assert (report.changed, report.rows, len(shop.table())) == (True, 39, 39)
    shop.stores.lake.tables["toy", "predictions"][WEEK] = shop.table().drop(columns="arm").assign(arms="x")
    assert shop.score().arms == {"champion": 39}


def test_what_was_known_by_a_moment_is_scored(shop):
    until = datetime.fromisoformat(f"{WEEK}T00:00:00+00:00") + timedelta(hours=9)
    assert shop.score(known_at=until).rows == 10
    assert shop.score().rows == 40


def test_of_all_weeks_models_and_tables_only_its_own_rows_are_scored(shop):
    shop.put("2024-02-12", n=30)
    lake = shop.stores.lake
    lake.replace_partition("doll", "features", WEEK, rows(WEEK, 7))
    assert shop.score("2024-02-12").rows == 30
    assert shop.score().rows == 40
    assert list(lake.tables["toy", "predictions"]) == ["2024-02-12", WEEK]
    with pytest.raises(PeriodRefused):
        shop.score("2024-02-13")


def test_a_week_that_nobody_may_score_is_present_and_empty(tmp_path):
    class Unreleased(Served):
        def deploy(self, state):
            return state

    shop = Unreleased(tmp_path, 1)
    shop.put()
    assert shop.score() == ScoringReport("toy", WEEK, 0, None, "no champion yet", changed=True)
    kept = shop.table()
    assert {name: str(kind) for name, kind in kept.dtypes.items()} == dict.fromkeys(
        ("_event_time", "_known_time"), "datetime64[us, UTC]"
    )  # fmt: skip
    assert len(kept) == 0
    assert shop.score().changed is False


def test_a_week_without_rows_is_present_and_empty_and_names_who_would_have_scored_it(shop):
    words = "the period has no rows to score; v1, champion with data up to 2024-01-01T00:00:00+00:00"
    assert shop.score("2024-02-26") == ScoringReport("toy", "2024-02-26", 0, "v1", words, changed=True)
    assert shop.table("2024-02-26").empty


def test_who_scored_it_before_scores_it_again(shop):
    shop.score()
    shop.crown("v2")
    assert shop.score().version == "v1"
    assert shop.score("2024-02-26").version == "v2"


@pytest.mark.parametrize("shop", [2], indirect=True)
def test_while_a_champion_is_watched_the_one_before_answers_beside_it(shop):
    week = "2024-01-08"
    shop.put(week)
    report = shop.score(week)
    assert (report.version, report.beside, report.failures) == ("v2", "v1", {})
    beside = shop.table(week, "shadow")
    assert beside["prediction"].tolist() == pytest.approx(list(range(40)), abs=1e-9)
    assert shop.table(week)["prediction"].tolist() == pytest.approx(list(range(0, 80, 2)), abs=1e-9)
    assert set(beside["model_version"]) == {"v1"}
    later = shop.score()
    assert (later.version, later.beside) == ("v2", None)


def test_a_canary_serves_its_share_and_the_report_counts_the_arms(shop):
    shop.registered("v2")
    shop.canary("v2")
    report = shop.score()
    counts = shop.table()["arm"].value_counts()
    assert report.arms == {"canary": counts["canary"], "control": counts["control"]}
    assert list(report.arms) == ["canary", "control"]
    assert all(type(count) is int for count in report.arms.values())
    assert (report.beside, report.failures, report.version) == ("v2", {}, "v1")
    assert len(shop.table(table="shadow")) == 40


def test_one_that_cannot_answer_is_stood_in_for_and_named(shop):
    shop.canary("v9")
    report = shop.score()
    assert list(report.failures) == ["v9"]
    assert "no version 'v9' in the ledger" in report.failures["v9"]
    assert (set(report.arms), report.beside) == ({"control", "fallback"}, None)


def test_a_champion_that_cannot_score_is_named_with_the_mend(shop):
    shop.lose("v1")
    with pytest.raises(ServingRefused) as caught:
        shop.score()
    words = str(caught.value)
    assert words.startswith(f"toy {WEEK}: v1 cannot score it: ")
    assert words.endswith("; roll back to a version that can, or retrain")
    assert ("toy", "predictions") not in shop.stores.lake.tables


def test_what_the_models_had_not_met_is_counted(shop):
    shop.crown("v101")
    shop.put("2024-02-26", 20, shop=["moon"] * 3 + ["north"] * 17)
    features = shop.table("2024-02-26", "features")
    features.loc[:4, "a"] = None
    report = shop.score("2024-02-26")
    assert (report.version, report.unseen, report.missing) == ("v101", {"shop": 3}, {"a": 5})
    assert pd.notna(shop.table("2024-02-26")["prediction"]).all()
