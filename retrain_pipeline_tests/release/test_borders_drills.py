"""Rehearsals of the way back, to the letter: what is copied, what is compared, what is entered, and when one is due."""

from types import SimpleNamespace

import pytest

from retrain_pipeline.ledger.entries import DEPLOYMENT, NewEntry
from retrain_pipeline.release import drills
from retrain_pipeline.release.drills import DrillReport, drill, is_due, rehearsed
from retrain_pipeline.release.state import current
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.release.fitted import Line, rows

WEEK = "2024-02-12"
NOTHING = "no earlier champion to go back to: there is nothing to rehearse yet"


class Drilled(Line):
    """The champions v1 and v2, features of three weeks, and data that is monitored up to the end of the second."""

    def __init__(self, folder, count=2, rollout="approval: none"):
        super().__init__(folder, count, rollout)
        for week in ("2024-01-29", "2024-02-05"):
            self.stores.lake.replace_partition("toy", "features", week, rows(week, 9))
        self.stores.lake.replace_partition("toy", "features", WEEK, rows(WEEK, 20))
        self.monitored("2024-02-19")

    def monitored(self, until, model="toy"):
        as_of = f"{until}T00:00:00+00:00"
        self.ledger.append(NewEntry("test", "monitored", model, as_of, {"as_of": as_of}))

    def drill(self, run_id="run-8"):
        return drill(self.stores, self.spec, run_id=run_id, actor="somebody")

    def entered(self, verdict="PASS", until="2024-02-19", model="toy"):
        action = "drilled" if verdict == "PASS" else "drill_failed"
        payload = {"verdict": verdict, "words": "it took 9 s", "as_of": f"{until}T00:00:00+00:00"}
        self.ledger.append(NewEntry("test", action, model, "v1", payload))

    def declared(self, periods):
        file = self.declaration.folder / "defs.yaml"
        file.write_text(file.read_text().replace("approval: none", f"drill_periods: {periods}"))
        self.read()


@pytest.fixture
def shop(tmp_path):
    return Drilled(tmp_path)


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets: how long the way back takes."""

    def set_to(seconds):
        told = iter((10.0, 10.0 + seconds))
        monkeypatch.setattr(drills, "time", SimpleNamespace(perf_counter=lambda: next(told)))

    return set_to


def test_a_way_back_that_works_is_entered_and_changes_nothing_else(shop, clock):
    clock(0.25)
    before, head = current(shop.ledger, "toy"), shop.ledger.head()
    words = "v1 served again after 250 ms, with the same answers"
    assert shop.drill() == DrillReport("toy", Verdict.PASS, words, "v2", "v1", 0.25, 20)
    assert current(shop.ledger, "toy") == before
    payload = {
        "verdict": "PASS", "words": words, "champion": "v2", "target": "v1", "seconds": 0.25, "golden_rows": 20,
        "as_of": "2024-02-19T00:00:00+00:00",
    }  # fmt: skip
    entry = shop.newest()
    assert entry == NewEntry("somebody", "drilled", "toy", "v1", payload, "run-8", None, "drilled:toy:run-8")
    assert len(shop.ledger.entries(after_seq=head.seq)) == 1


@pytest.mark.parametrize("released", [0, 1])
def test_without_an_earlier_champion_there_is_nothing_to_rehearse(tmp_path, released):
    class Few(Drilled):
        def deploy(self, state):
            return super().deploy(state) if released else state

    shop = Few(tmp_path, 1)
    head = shop.ledger.head()
    assert shop.drill() == DrillReport("toy", Verdict.INCONCLUSIVE, NOTHING)
    assert shop.ledger.head() == head


@pytest.mark.parametrize(("seconds", "verdict"), [(1.0, "PASS"), (1.5, "FAIL")])
def test_it_may_take_a_second(shop, clock, seconds, verdict):
    clock(seconds)
    report = shop.drill(run_id=None)
    assert (report.verdict, report.seconds) == (verdict, seconds)
    assert shop.newest().action == ("drilled" if verdict == "PASS" else "drill_failed")
    assert shop.newest().run_id is None
    assert not shop.newest().key.startswith("drilled:")
    if verdict == "FAIL":
        assert report.words == "it took 1.50 s, 1 s are allowed"


def test_bytes_that_are_gone_fail_it(shop):
    shop.lose("v1")
    report = shop.drill()
    assert (report.verdict, report.champion, report.target, report.seconds) == (Verdict.FAIL, "v2", "v1", None)
    assert report.words.startswith("v1 did not come back: ")
    entry = shop.newest()
    assert (entry.action, entry.subject, entry.payload["words"]) == ("drill_failed", "v1", report.words)


def test_long_words_are_cut_in_the_entry(shop):
    drills._enter(shop.stores, shop.spec, DrillReport("toy", Verdict.FAIL, "x" * 3000, "v2", "v1"), None, "somebody")
    assert shop.newest().payload["words"] == "x" * 2000


@pytest.mark.parametrize("where", ["back", "forward"])
def test_answers_that_are_not_what_they_were_fail_it(shop, monkeypatch, where):
    """A version answers otherwise in the copy than in production."""
    whole = drills._answers

    def shifted(stores, spec, version, golden):
        told = whole(stores, spec, version, golden)
        wrong = stores is not shop.stores and version == {"back": "v1", "forward": "v2"}[where]
        return told.assign(prediction=told["prediction"] + 1) if wrong else told

    monkeypatch.setattr(drills, "_answers", shifted)
    assert (shop.drill().verdict, shop.drill().words) == (
        Verdict.FAIL,
        "answers to 20 newest rows are not what they were",
    )


def test_a_record_that_going_forward_does_not_give_back_fails_it(shop):
    state = shop.states["v2"].model_copy(update={"challenger": shop.challenger()})
    shop.ledger.change_deployment("toy", 2, state.to_state(), NewEntry("test", "staged", "toy", "v2", {}))
    assert shop.drill("run-1").verdict is Verdict.PASS, "who is on trial does not matter"
    other = state.model_copy(update={"spec": "0" * 64})
    shop.ledger.change_deployment("toy", 3, other.to_state(), NewEntry("test", "staged", "toy", "v2", {}))
    report = shop.drill("run-2")
    assert (report.verdict, report.words) == (Verdict.FAIL, "going forward again did not give the record of now")


def test_another_that_comes_back_than_was_meant_is_told(shop, clock, monkeypatch):
    whole = drills.rollback
    monkeypatch.setattr(drills, "rollback", lambda *told, to=None, **named: whole(*told, to=to or "v2", **named))
    clock(2.0)
    words = "v2 came back instead of v1; answers to 20 newest rows are not what they were"
    assert shop.drill().words == f"{words}; it took 2.00 s, 1 s are allowed"


def test_another_model_of_the_ledger_is_not_in_it(shop):
    other = shop.states["v1"].model_copy(update={"model": "doll"})
    shop.ledger.change_deployment("doll", 0, other.to_state(), NewEntry("test", "released", "doll", "v1", {}))
    shop.ledger.append(NewEntry("test", "candidate_registered", "doll", "v2", {"manifest": "0" * 64}))
    report = shop.drill()
    assert (report.verdict, report.champion, report.target) == (Verdict.PASS, "v2", "v1")


def test_that_somebody_went_back_because_of_a_drill_is_no_drill(shop):
    """What was rolled back in production for the words of a rehearsal is rehearsed all the same."""
    shop.crown("v3")
    entry = NewEntry("person:bob", "rolled_back", "toy", "v2", {"because": "drill: the way back"})
    shop.ledger.change_deployment("toy", 3, shop.states["v2"].to_state(), entry)
    report = shop.drill()
    assert (report.verdict, report.champion, report.target) == (Verdict.PASS, "v2", "v1")


def test_a_rehearsal_that_changes_production_fails(shop):
    def tamper():
        made = shop.ledger.entries(model="toy", action="released")[-1]
        change = {**made.payload[DEPLOYMENT], "state_sha256": "0" * 64}
        shop.ledger.amend(made, payload={**made.payload, DEPLOYMENT: change})

    shop.ledger.after_look = tamper
    report = shop.drill()
    words = "the rehearsal changed the deployment of production"
    assert (report.verdict, report.words, shop.newest().payload["words"]) == (Verdict.FAIL, words, words)


def test_a_release_meanwhile_is_not_the_rehearsals_doing(shop):
    shop.ledger.after_look = lambda: shop.crown("v3")
    report = shop.drill()
    assert (report.verdict, report.champion, report.target) == (Verdict.PASS, "v3", "v2")


def test_the_newest_rows_are_asked_for(shop):
    shop.stores.lake.replace_partition("toy", "features", WEEK, rows(WEEK, 250))
    golden = drills._golden(shop.stores, shop.spec)
    assert golden["a"].tolist() == list(range(50, 250))
    shop.stores.lake.replace_partition("toy", "raw", "2024-02-19", rows("2024-02-19", 3))
    shop.stores.lake.replace_partition("doll", "features", "2024-02-19", rows("2024-02-19", 3))
    assert len(drills._golden(shop.stores, shop.spec)) == 200


def test_a_copy_has_the_deployments_and_the_bytes_of_both_and_no_more(shop, tmp_path):
    shop.registered("v3")
    state = shop.states["v2"].model_copy(update={"challenger": shop.challenger()})
    for expected, action in ((2, "staged"), (3, "withdrawn")):
        entry = NewEntry("alice", action, "toy", "v3", {"more": action}, run_id="run-7")
        shop.ledger.change_deployment("toy", expected, state.to_state(), entry)
    shop.ledger.append(NewEntry("test", "released", "doll", "v1", {}))
    copy = drills._copied(shop.stores, "toy", ("v2", "v1"), tmp_path / "copy")

    def told(ledger, **asked):
        return [
            (one.actor, one.action, one.model, one.subject, one.payload, one.run_id, one.epoch)
            for one in ledger.entries(**asked)
        ]

    actions = ("candidate_registered", "released", "rolled_back", "staged", "withdrawn")
    assert told(copy.ledger) == told(shop.ledger, model="toy", action=actions)
    assert copy.ledger.deployment("toy").state == shop.ledger.deployment("toy").state
    assert copy.lake is shop.stores.lake
    kept = {path.name for path in (tmp_path / "copy" / "artifacts").glob("??/*")}
    wanted = set()
    for version in ("v1", "v2"):
        made = shop.made(version)
        registered = shop.ledger.latest("toy", "candidate_registered", version).payload["manifest"]
        wanted |= {registered, made.model_artifact, made.probe.artifact}
    assert kept == wanted
    copy.close()


# --- whether it was rehearsed, and when it is due


def gate(shop):
    found = rehearsed(shop.ledger, shop.spec)
    assert found.gate == "drill"
    return found.verdict.value, found.words, found.statistic, found.threshold


def test_a_drill_that_failed_stops_releases_until_one_succeeds(shop):
    shop.entered("FAIL", model="doll")
    undeclared = ("PASS", "drills are not declared to be due (rollout.drill_periods)", None, None)
    assert gate(shop) == undeclared
    shop.entered("PASS")
    shop.entered("FAIL")
    words = "the newest drill did not succeed: it took 9 s; mend it, then: retrain drill toy"
    assert gate(shop) == ("FAIL", words, None, None)
    assert is_due(shop.ledger, shop.spec) is False
    shop.entered("PASS")
    assert gate(shop) == undeclared
    long = {"verdict": "FAIL", "words": "x" * 3000, "as_of": "2024-02-19T00:00:00+00:00"}
    shop.ledger.append(NewEntry("test", "drill_failed", "toy", "v1", long))
    assert len(gate(shop)[1]) == 2000


@pytest.mark.parametrize("released", [0, 1])
def test_without_an_earlier_champion_no_drill_is_due(tmp_path, released):
    class Few(Drilled):
        def deploy(self, state):
            return super().deploy(state.model_copy(update={"previous": None})) if released else state

    shop = Few(tmp_path, 1)
    shop.declared(2)
    assert gate(shop) == ("PASS", "no earlier champion: nothing to rehearse yet", None, None)
    assert is_due(shop.ledger, shop.spec) is False


def test_a_declared_drill_is_asked_for_before_it_is_overdue(shop):
    assert is_due(shop.ledger, shop.spec) is False
    shop.declared(2)
    assert gate(shop) == ("FAIL", "the way back was never rehearsed: retrain drill toy", None, None)
    assert is_due(shop.ledger, shop.spec) is True
    shop.entered("FAIL")
    assert is_due(shop.ledger, shop.spec) is True
    shop.entered("PASS")
    shop.entered("FAIL", model="doll")
    shop.monitored("2024-04-01", "doll")
    for until, age, due in (("2024-02-19", 0, False), ("2024-02-26", 1, False), ("2024-03-04", 2, True)):
        shop.monitored(until)
        assert gate(shop) == ("PASS", f"rehearsed {age} periods ago, rollout.drill_periods is 2", float(age), 2.0)
        assert is_due(shop.ledger, shop.spec) is due
    shop.monitored("2024-03-11")
    words = "rehearsed 3 periods ago, rollout.drill_periods is 2: retrain drill toy"
    assert gate(shop) == ("FAIL", words, 3.0, 2.0)
    assert is_due(shop.ledger, shop.spec) is True


def test_before_anything_was_monitored_it_is_the_start_of_the_first_period(shop):
    for entry in shop.ledger.entries(action="monitored"):
        shop.ledger.forget(entry)
    shop.monitored("2024-04-01", "doll")
    shop.drill()
    assert shop.newest().payload["as_of"] == "2024-01-01T00:00:00+00:00"
