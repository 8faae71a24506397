"""A champion that is watched and the bounds on its signals, to the letter: what is looked at, how long, and entered."""

from datetime import datetime, timedelta

import pandas as pd
import pytest

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.periods import PeriodRefused
from retrain_pipeline.release.comparison import Pair, compared_loss
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.guardrails import beyond, guardrail_results
from retrain_pipeline.release.watch import Watch, delay_periods, read_watch, watch
from retrain_pipeline.spec.rollout import Guardrail
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.release.fitted import Fitted

BOUNDS = "guardrails: {latency_ms_p95: {at_most: 20}, prediction_mean: {at_least: -1.5, at_most: 2}}, watch_periods: 2"
BEFORE, FIRST, SECOND, THIRD, FOURTH = "2024-02-05", "2024-02-12", "2024-02-19", "2024-02-26", "2024-03-04"


def moment(week, **later):
    return datetime.fromisoformat(f"{week}T00:00:00+00:00") + timedelta(**later)


class Watched(Fitted):
    """The champion v1 followed v0, with data up to the week `FIRST`."""

    def __init__(self, folder, rollout=BOUNDS):
        super().__init__(folder, rollout)
        self.deployed = self.champion.model_copy(update={"effective_as_of": moment(FIRST).isoformat()})
        self.deploy(self.deployed)

    def signalled(self, week, how="observed", model="toy", known=None, **values):
        at = pd.Series([moment(week)] * len(values)).astype("datetime64[us, UTC]")
        known = at if known is None else pd.Series([known] * len(values)).astype("datetime64[us, UTC]")
        frame = pd.DataFrame({"signal": list(values), "value": list(values.values()), "how": how})
        self.stores.lake.add("signals", week, frame.assign(_event_time=at, _known_time=known), model)

    def answered(self, week=FIRST, ours=2.0):
        self.stores.lake.said(week, "v1", ours, 60)
        self.stores.lake.said(week, "v0", 1.0, 60, table="shadow")
        self.stores.lake.true(week, 0.0, 60)

    def watch(self, week=FIRST, deployment=None, **named):
        given = {"run_id": "run-8", "actor": "somebody"} | named
        return watch(self.stores, self.spec, week, 2, deployment or self.deployed, **given)

    def bounds(self, week=FIRST, since=FIRST, as_of=None):
        found = guardrail_results(self.stores, self.spec, week, moment(since), as_of or moment(week, weeks=1))
        return {one.gate.removeprefix("guardrail:"): one for one in found}


@pytest.fixture
def shop(tmp_path):
    return Watched(tmp_path)


# --- bounds


@pytest.mark.parametrize(
    ("bound", "value", "excess"),
    [
        ({"at_most": 2.0}, 2.0, 0.0), ({"at_most": 2.0}, 2.5, 0.5), ({"at_least": 1.0}, 0.25, 0.75),
        ({"at_least": 1.0}, 3.0, -2.0), ({"at_least": 1.0, "at_most": 2.0}, 1.25, -0.25),
        ({"at_least": 1.0, "at_most": 2.0}, 4.0, 2.0), ({"at_least": 1.0, "at_most": 2.0}, 0.5, 0.5),
    ],
)  # fmt: skip
def test_how_far_a_value_is_beyond_its_bounds(bound, value, excess):
    assert beyond(Guardrail(**bound), value) == excess


@pytest.mark.parametrize(
    ("now", "then", "verdict", "excess", "before"),
    [
        (20.0, 4.0, "PASS", 0.0, "4"), (19.0, None, "PASS", -1.0, "not observed"), (19.0, 30.0, "PASS", -1.0, "30"),
        (20.5, 20.0, "FAIL", 0.5, "20"), (20.5, None, "FAIL", 0.5, "not observed"),
        (20.5, 20.25, "INCONCLUSIVE", 0.5, "20.25"),
    ],
)  # fmt: skip
def test_a_signal_fails_that_was_within_before_the_change_and_is_beyond_after_it(
    shop, now, then, verdict, excess, before
):
    shop.signalled(FIRST, latency_ms_p95=now)
    if then is not None:
        shop.signalled(BEFORE, latency_ms_p95=then)
    words = f"latency_ms_p95 is {now:.4g}, declared at most 20; before the change it was {before}"
    assert shop.bounds()["latency_ms_p95"] == GateResult(
        gate="guardrail:latency_ms_p95", verdict=Verdict(verdict), statistic=excess, threshold=0.0, words=words
    )


def test_each_declared_bound_is_judged_in_order_by_what_was_observed(shop):
    shop.signalled(FIRST, prediction_mean=1.23456, other=7.0)
    shop.signalled(FIRST, how="imputed", latency_ms_p95=99.0)
    shop.signalled(FIRST, model="doll", latency_ms_p95=99.0)
    shop.signalled(BEFORE, prediction_mean=-1.23456)
    found = shop.bounds()
    assert list(found) == ["latency_ms_p95", "prediction_mean"]
    assert found["latency_ms_p95"] == GateResult(
        gate="guardrail:latency_ms_p95", verdict=Verdict.INCONCLUSIVE, words="latency_ms_p95 was not observed"
    )
    words = "prediction_mean is 1.235, declared at most 2 and at least -1.5; before the change it was -1.235"
    assert found["prediction_mean"].words == words


def test_the_period_before_the_change_is_that_of_the_change_and_what_is_known_counts(shop):
    shop.signalled(BEFORE, latency_ms_p95=1.0)
    shop.signalled(FIRST, latency_ms_p95=30.0)
    shop.signalled(SECOND, latency_ms_p95=40.0, known=moment(THIRD))
    assert shop.bounds(SECOND, since=FIRST)["latency_ms_p95"].verdict is Verdict.FAIL
    assert shop.bounds(SECOND, since=SECOND)["latency_ms_p95"].verdict is Verdict.INCONCLUSIVE
    known = shop.bounds(SECOND, since=FIRST, as_of=moment(THIRD) - timedelta(seconds=1))["latency_ms_p95"]
    assert known.words == "latency_ms_p95 was not observed"
    within = guardrail_results(shop.stores, shop.spec, SECOND, moment(FIRST, days=3), moment(THIRD))
    assert within[0].verdict is Verdict.FAIL, "a change within a period is one of its start"


def test_a_bound_on_one_side_is_told_alone(tmp_path):
    made = Watched(tmp_path, "guardrails: {prediction_mean: {at_least: 0.5}}")
    made.signalled(FIRST, prediction_mean=1.0)
    words = "prediction_mean is 1, declared at least 0.5; before the change it was not observed"
    assert made.bounds()["prediction_mean"].words == words


def test_without_declared_bounds_nothing_is_judged(tmp_path):
    made = Watched(tmp_path, "watch_periods: 2")
    made.signalled(FIRST, latency_ms_p95=30.0)
    assert made.bounds() == {}


# --- the watch


def test_what_was_found_is_entered_with_its_results(shop):
    shop.signalled(FIRST, latency_ms_p95=30.0, prediction_mean=1.0)
    shop.signalled(BEFORE, latency_ms_p95=10.0)
    shop.answered()
    found, digest = shop.watch()
    pair, end = Pair("v1", "v0", moment(FIRST)), moment(SECOND)
    results = (*shop.bounds().values(), compared_loss(shop.stores, shop.spec, pair, end, 2))
    assert results[-1].n == 60
    assert found == Watch(
        model="toy", version="v1", reference="v0", epoch=2, period=FIRST, as_of=end.isoformat(), results=results
    )
    assert read_watch(shop.stores.artifacts, digest) == found
    payload = {
        "watch": digest, "period": FIRST, "as_of": end.isoformat(), "reference": "v0",
        "results": {
            "guardrail:latency_ms_p95": "FAIL", "guardrail:prediction_mean": "PASS", "online_loss": "INCONCLUSIVE"
        },
        "words": f"{FIRST}: guardrail:latency_ms_p95: {results[0].words}",
    }  # fmt: skip
    assert found.words == payload["words"]
    key = f"champion_watched:toy:2:v1:{FIRST}:{digest}"
    assert shop.newest() == NewEntry("somebody", "champion_watched", "toy", "v1", payload, "run-8", 2, key)
    head = shop.ledger.head()
    assert shop.watch() == (found, digest)
    assert shop.ledger.head() == head


def test_a_signal_that_was_known_after_the_period_is_not_of_its_watch(shop):
    shop.signalled(FIRST, latency_ms_p95=30.0, known=moment(SECOND, seconds=1))
    assert shop.watch()[0].results[0].words == "latency_ms_p95 was not observed"


def test_what_is_known_later_of_a_period_is_another_watch(shop):
    first = shop.watch()[1]
    shop.signalled(FIRST, latency_ms_p95=1.0)
    assert shop.watch()[1] != first
    assert len(shop.ledger.entries(action="champion_watched")) == 2


def result(gate, verdict, words):
    return GateResult(gate=gate, verdict=Verdict(verdict), words=words)


def watched(*results):
    return Watch(
        model="toy", version="v1", reference="v0", epoch=2, period=FIRST, as_of=SECOND, results=tuple(results)
    )  # fmt: skip


def test_what_is_broken_is_told_and_else_all_that_was_found():
    good, open_, bad = (
        result("a", "PASS", "is well"),
        result("b", "INCONCLUSIVE", "who knows"),
        result("c", "FAIL", "x"),
    )
    worse = result("d", "FAIL", "y")
    assert (watched(good, open_).broken, watched(good, open_).words) == ((), "is well; who knows")
    found = watched(good, bad, open_, worse)
    assert (found.broken, found.words) == ((bad, worse), f"{FIRST}: c: x; d: y")


def test_long_words_are_cut_in_the_entry(tmp_path):
    made = Watched(tmp_path)
    bounds = {f"declared_signal_number_{at}": Guardrail(at_most=1.0) for at in range(60)}
    rollout = made.spec.rollout.model_copy(update={"guardrails": bounds})
    made.spec = made.spec.model_copy(update={"rollout": rollout})
    found, _ = made.watch()
    assert len(found.words) > 2000
    assert made.newest().payload["words"] == found.words[:2000]


def test_a_watch_that_does_not_read_is_refused(shop):
    for digest in ("f" * 64, shop.stores.artifacts.put_json({"model": "toy"})):
        with pytest.raises(ReleaseRefused, match=f"^watch {digest[:12]} does not read: "):
            read_watch(shop.stores.artifacts, digest)


def test_only_a_champion_that_followed_another_by_a_release_is_watched_from_its_first_period_on(shop):
    alone = shop.deployed.model_copy(update={"previous": None})
    assert shop.watch(deployment=alone) is None
    assert shop.watch(BEFORE) is None
    with pytest.raises(PeriodRefused):
        shop.watch("2024-02-13")
    later = shop.deployed.model_copy(update={"serves_from": moment(SECOND).isoformat()})
    assert shop.watch(FIRST, later) is None
    assert shop.watch(SECOND, later)[0].period == SECOND
    shop.ledger.append(NewEntry("test", "rolled_back", "doll", "v1", {}))
    shop.ledger.append(NewEntry("test", "noted", "toy", "v1", {}))
    assert shop.watch() is not None
    shop.ledger.append(NewEntry("test", "rolled_back", "toy", "v1", {}))
    assert shop.watch() is None


def test_where_no_release_is_on_record_nothing_is_watched(shop):
    for entry in shop.ledger.entries(action="released"):
        shop.ledger.forget(entry)
    assert shop.watch() is None


@pytest.mark.parametrize(("delay", "last"), [(0, THIRD), (24, FOURTH), (168, FOURTH)])
def test_it_is_compared_for_as_long_as_the_one_before_answers_and_labels_come(tmp_path, delay, last):
    made = Watched(tmp_path, "watch_periods: 2")
    file = made.declaration.folder / "defs.yaml"
    file.write_text(file.read_text().replace("{column: y,", f"{{delay_hours: {delay}, column: y,"))
    made.read()
    assert delay_periods(made.spec) == delay / 168
    weeks = [FIRST, SECOND, THIRD, FOURTH, "2024-03-11"]
    seen = {week: made.watch(week) is not None for week in weeks}
    assert seen == {week: week <= last for week in weeks}


def test_bounds_are_looked_at_for_as_long_as_it_serves(shop):
    found, _ = shop.watch("2024-06-03")
    assert [one.gate for one in found.results] == ["guardrail:latency_ms_p95", "guardrail:prediction_mean"]
