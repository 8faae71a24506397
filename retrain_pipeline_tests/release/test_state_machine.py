"""Any story of releases: after each step the record is what an independent model says, on either database.

`RETRAIN_STORIES` is the number of stories (default 4, each of all chapters and up to 6 steps): 2000 for a long run.
"""

import os
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import retrain_pipeline.learning.versions as learned
import retrain_pipeline.ledger.writing as writing
import retrain_pipeline.release.approvals as approvals
import retrain_pipeline.release.drills as drills
import retrain_pipeline.release.standing as standing
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.ledger.entries import DEPLOYMENT, FIRST_PREV
from retrain_pipeline.ledger.errors import StaleEpoch
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.release.errors import ApprovalRefused, ReleaseRefused, RollbackRefused
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.release.stages import may_be_tried
from retrain_pipeline.release.state import Deployment, current
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.release import oracle
from retrain_pipeline_tests.release.lab import FIRST_WEEK, FOUND, MODEL, PEOPLE, Lab, template

STORIES, STEPS = int(os.environ.get("RETRAIN_STORIES", "4")), 6
REASONS = st.sampled_from(["it answers nonsense", "users complain a lot"])
ANY = st.integers(0, 10**6)


TOLD: Counter[str] = Counter()
"""How often each answer came, and each death."""
REACHED = {"released", "staged", "superseded", "awaiting", "advance", "promote", "withdraw", "changed"}
CHAPTERS = ("retrain", "trial", "back", "look", "late", "again", "died", "unapproved", "bad")


class Died(BaseException):
    """The process is gone."""


class Clock(datetime):
    """A clock that tests can put forward."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + cls.ahead


_FIDELITY, _real_fidelity = dict[str, tuple[str | None, float]](), learned._fidelity


def known_fidelity(manifest, pipeline, probe):
    """Ask the model its probe questions once: there are two models behind all versions, and thousands of loads."""
    if manifest.model_artifact not in _FIDELITY:
        _FIDELITY[manifest.model_artifact] = _real_fidelity(manifest, pipeline, probe)
    return _FIDELITY[manifest.model_artifact]


class Story(RuleBasedStateMachine):
    """What may happen to one deployment, by whatever process, in whatever order."""

    open: Callable[[], Lab]

    def __init__(self) -> None:
        super().__init__()
        self.lab = type(self).open()
        self.life = oracle.Life(week=FIRST_WEEK)
        self.dies: str | None = None
        self.frozen: list[tuple[Callable[[], object], oracle.Life, oracle.Outcome, tuple[str, str] | None]] = []
        self.digests: dict[str, str] = {}
        Clock.ahead = timedelta()
        self.patch = pytest.MonkeyPatch()
        for module in (approvals, standing):
            self.patch.setattr(module, "datetime", Clock)
        self.patch.setattr(learned, "_fidelity", known_fidelity)
        self.patch.setenv("RETRAIN_POLICY", str(self.lab.template.policy))
        self.lab.tell_week(FIRST_WEEK)

    def teardown(self) -> None:
        self.patch.undo()
        self.lab.ledger.close()

    # --- what goes on around a deployment

    @initialize(chapters=st.permutations(CHAPTERS), found=st.sampled_from(FOUND))
    def an_earlier_life(self, chapters: list[str], found: str) -> None:
        """From nothing, and by rules alone, few stories get far: hypothesis leaves most rules out of most stories."""
        self.things_come_one_after_the_other(["retrain", "retrain", "trial", *chapters], found)

    @rule(author=st.booleans())
    def register(self, author: bool) -> None:
        """A retrain; one in two is made by bob."""
        version = f"v{len(self.life.weeks) + 1}" + ("-bob" if author else "")
        self.lab.register(version, self.life.week, "person:bob" if author else "lab")
        self.life = oracle.replace(self.life, weeks={**self.life.weeks, version: self.life.week})

    @precondition(lambda self: self.life.weeks)
    @rule(which=ANY, verdict=st.sampled_from(["PASS", "PASS", "OPEN", "FAIL"]))
    def judge(self, which: int, verdict: str) -> None:
        version = pick(list(self.life.weeks), which)
        if self.life.served is not None and self.life.served.champion == version:
            return  # the judge returns what it was released on: test_judge.py
        digest = self.lab.judge(version, verdict)
        found = oracle.Judged(version, self.life.epoch, verdict, self.life.served and self.life.served.champion)
        assert self.life.judged.get(digest, found) == found
        self.life = oracle.replace(self.life, judged={**self.life.judged, digest: found})

    @precondition(lambda self: self.life.judged)
    @rule(
        which=ANY,
        who=st.sampled_from([*PEOPLE, "alice", "alice"]),
        hours=st.sampled_from([1, 48]),
        override=st.booleans(),
    )
    def a_person_speaks(self, which: int, who: str, hours: int, override: bool) -> None:
        """Alice and bob may approve, carol may override, dave may do nothing, and bob not what bob made."""
        kind = "override" if override and who in ("carol", "dave") else "release"
        digest = pick(list(self.life.judged), -1 - which % 3 if which >= 0 else which)
        version = self.life.judged[digest].version
        may = (kind, who) in {("release", "alice"), ("release", "bob"), ("override", "carol")}
        if not may or (who == "bob" and kind == "release" and version.endswith("-bob")):
            with pytest.raises(NotAllowed):
                self.lab.say(who, kind, version, digest, hours)
            return
        self.lab.say(who, kind, version, digest, hours)
        word = oracle.Word(kind, version, digest, self.life.hour + hours)
        self.life = oracle.replace(self.life, words=(*self.life.words, word))

    @rule()
    def a_day_passes(self) -> None:
        Clock.ahead += timedelta(hours=24)
        self.life = oracle.replace(self.life, hour=self.life.hour + 24)

    @rule()
    def a_week_of_data_passes(self) -> None:
        self.life = oracle.replace(self.life, week=self.life.week + 1)
        self.lab.tell_week(self.life.week)

    # --- what changes it

    @precondition(lambda self: self.life.judged)
    @rule(which=ANY)
    def release(self, which: int) -> None:
        digest = pick(list(self.life.judged), -1 - which % 3 if which >= 0 else which)
        version = self.life.judged[digest].version
        expected = oracle.release(self.life, version, digest)
        before = len(self.lab.ledger.entries(action=("superseded", "awaiting_approval")))

        def act() -> str:
            try:
                outcome = self.lab.release(version, digest)
            except ApprovalRefused:
                return "awaiting"
            except ReleaseRefused:
                noted = self.lab.ledger.entries(action="superseded", subject=version)
                told = [one for one in noted if one.payload["evidence"] == digest]
                return "superseded" if told and told[-1].payload["found_epoch"] == self.life.epoch else "refused"
            return ("staged" if outcome.stage else "released") if outcome.released else "already"

        self.do(act, expected, (version, digest))
        if expected.answer == "refused":
            assert len(self.lab.ledger.entries(action=("superseded", "awaiting_approval"))) == before

    @rule(found=st.sampled_from([*FOUND, "good", "good", "good"]))
    def look(self, found: str) -> None:
        """The end of the week."""
        self.do(lambda: self.lab.look(self.life.week, found).move, oracle.look(self.life, found))

    @precondition(lambda self: self.life.served is not None)
    @rule(found=st.sampled_from([*FOUND, "good", "good", "good"]))
    def look_at_the_week_that_follows(self, found: str) -> None:
        self.a_week_of_data_passes()
        self.look(found)

    @precondition(lambda self: self.life.weeks)
    @rule(named=st.booleans(), which=ANY, because=REASONS)
    def rollback(self, named: bool, which: int, because: str) -> None:
        to = pick(list(self.life.weeks), which) if named else None
        earlier = {one.champion: one.serving_digest for one in self.records() if one.challenger is None}

        def act() -> str:
            epoch = current(self.lab.ledger, MODEL)[0]
            try:
                found = rollback(self.lab.stores, MODEL, to=to, because=because, actor="person:carol")
            except RollbackRefused:
                return "refused"
            if current(self.lab.ledger, MODEL)[0] == epoch:
                return "same"  # who serves already goes on as it is, also with a trial beside it
            assert found.serving_digest == earlier[found.champion]
            return "changed"

        self.do(act, oracle.rollback(self.life, to, because))

    @precondition(lambda self: len(self.life.stack) > 1)
    @rule(works=st.sampled_from([True, True, False]))
    def drill(self, works: bool) -> None:
        """One that is slower than allowed has failed."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drills, "RESTORED_SECONDS", 600.0 if works else -1.0)
            report = drills.drill(self.lab.stores, self.lab.declaration.spec, actor="lab")
        expected = oracle.drill(self.life, works)
        assert report.verdict == expected.answer, report.words
        self.life = expected.life

    # --- whole stretches, so that stories get far

    @precondition(lambda self: self.life.weeks)
    @rule(which=st.none() | ANY, override=st.booleans())
    def a_retrain_goes_through(self, which: int | None, override: bool) -> None:
        """A new version, or one that was there before, is judged, let through by a person, and released."""
        self.rehearse()
        if which is None:
            self.register(author=False)
        version = pick(list(self.life.weeks), -1 if which is None else which)
        if self.life.served is not None and self.life.served.champion == version:
            return
        self.judge(list(self.life.weeks).index(version), "PASS")
        newest = list(self.life.judged)[-1]
        if self.life.judged[newest].version == version:
            self.a_person_speaks(-1, "carol" if override else "alice", 48, override)
            self.release(-1)

    @precondition(lambda self: self.life.served is not None and self.life.served.trial is not None)
    @rule()
    def a_trial_goes_well(self) -> None:
        for _ in oracle.STAGES:
            self.rehearse()
            self.look("good")
            self.a_week_of_data_passes()

    def rehearse(self) -> None:
        if len(self.life.stack) > 1:
            self.drill(works=True)

    @rule(chapters=st.lists(st.sampled_from(CHAPTERS), min_size=2, max_size=4), found=st.sampled_from(FOUND))
    def things_come_one_after_the_other(self, chapters: list[str], found: str) -> None:
        for number, chapter in enumerate(chapters):
            getattr(self, f"chapter_{chapter}")(number, found)

    def chapter_retrain(self, number: int, _: str) -> None:
        self.a_retrain_goes_through(None, override=number % 2 == 1)

    def chapter_again(self, number: int, _: str) -> None:
        """A version that was there before is judged anew."""
        if self.life.weeks:
            self.a_retrain_goes_through(number, override=False)

    def chapter_trial(self, _: int, __: str) -> None:
        if self.life.served is not None and self.life.served.trial is not None:
            self.a_trial_goes_well()

    def chapter_back(self, number: int, _: str) -> None:
        if self.life.weeks:
            because = f"the incident of week {self.life.week}, number {number}"
            self.rollback(named=False, which=0, because=because)

    def chapter_look(self, _: int, found: str) -> None:
        self.look(found)
        self.a_week_of_data_passes()

    def chapter_bad(self, number: int, _: str) -> None:
        """A version goes on trial, and is worse."""
        self.chapter_retrain(number, "")
        self.look("worse")

    def chapter_unapproved(self, _: int, __: str) -> None:
        self.rehearse()
        self.register(author=False)
        self.judge(len(self.life.weeks) - 1, "PASS")
        self.release(-1)

    def chapter_late(self, _: int, __: str) -> None:
        """The evidence of long ago."""
        if self.life.judged:
            self.release(-len(self.life.judged))

    def chapter_died(self, number: int, _: str) -> None:
        self.dies = ("before the ledger", "inside the transaction", "after the commit", "frozen")[number % 4]

    # --- what goes wrong

    @precondition(lambda self: self.dies is None)
    @rule(
        where=st.sampled_from(["before the ledger", "inside the transaction", "after the commit", "frozen", "frozen"])
    )
    def the_next_change_dies(self, where: str) -> None:
        """The process that makes it is killed there; or it is stopped, and goes on much later."""
        self.dies = where

    @precondition(lambda self: self.frozen)
    @rule(which=ANY)
    def a_frozen_process_goes_on(self, which: int) -> None:
        TOLD["went on"] += 1
        go_on, then, outcome, released = self.frozen.pop(which % len(self.frozen))
        stale = then.epoch != self.life.epoch
        lapsed = released is not None and not oracle.holding(self.life, str(outcome.kind), *released)
        if outcome.key is not None and outcome.key in self.life.done:
            go_on()  # another process did it: this one is told so, and changes nothing
        elif stale or lapsed:
            with pytest.raises(StaleEpoch if stale else ApprovalRefused):
                go_on()
        else:
            go_on()
            kind = outcome.kind
            words = oracle._used(self.life, str(kind), *released) if released else self.life.words
            self.life = self.changed(self.life, outcome, words)

    # --- how

    def do(self, act: Callable[[], str], expected: oracle.Outcome, released: tuple[str, str] | None = None) -> None:
        """Do it, live or die, and hold what came of it to the model."""
        then, changes = self.life, expected.life.epoch != self.life.epoch
        TOLD[expected.answer if self.dies is None or not changes else self.dies] += 1
        if self.dies is None or not changes:
            assert act() == expected.answer
            self.life = self.changed(then, expected) if changes else expected.life
            return
        where, self.dies = self.dies, None
        with pytest.MonkeyPatch.context() as patch:
            held = self.deadly(patch, where)
            with pytest.raises(Died):
                act()
        self.life = oracle.replace(then, looks=expected.life.looks)
        if where == "after the commit":
            self.life = self.changed(self.life, expected)
        elif where == "frozen":
            self.frozen.append((held[0], then, expected, released))

    def deadly(self, patch: pytest.MonkeyPatch, where: str) -> list[Callable[[], object]]:
        held: list[Callable[[], object]] = []
        real = Ledger.change_deployment

        def change(ledger: Ledger, *arguments: Any, **named: Any) -> None:
            if where == "after the commit":
                real(ledger, *arguments, **named)
            held.append(lambda: real(ledger, *arguments, **named))
            raise Died

        def put(*_: object) -> None:
            raise Died

        if where == "inside the transaction":
            patch.setattr(writing, "put_deployment", put)
        else:
            patch.setattr(Ledger, "change_deployment", change)
        return held

    @staticmethod
    def changed(now: oracle.Life, outcome: oracle.Outcome, words: tuple[oracle.Word, ...] | None = None) -> oracle.Life:
        """The life after a change: what else happened since it was decided stays."""
        life = outcome.life
        done = now.done | ({outcome.key} if outcome.key else set())
        words = life.words if words is None else words
        return oracle.replace(
            now, epoch=life.epoch, served=life.served, stack=life.stack, reigns=life.reigns,
            looks={**now.looks, **life.looks}, words=words, done=frozenset(done),
        )  # fmt: skip

    def records(self) -> list[Deployment]:
        """Every record that the deployment had, oldest first."""
        entries = [one for one in self.lab.ledger.entries(model=MODEL) if DEPLOYMENT in one.payload]
        return [Deployment.from_state(one.payload[DEPLOYMENT]["state"]) for one in entries]

    # --- what always holds

    @invariant()
    def the_record_is_what_the_model_says(self) -> None:
        epoch, found = current(self.lab.ledger, MODEL)
        assert epoch == self.life.epoch
        assert (found and self.seen(found)) == self.life.served

    def seen(self, found: Deployment) -> oracle.Served:
        week, on, held = self.lab.week_of, found.challenger, found.holdback
        trial = None
        if on is not None:
            stage = oracle.STAGES.index((on.stage, on.share))
            trial = oracle.Trial(on.version, on.evidence, week(on.effective_as_of), stage, week(on.stage_from))
        return oracle.Served(
            found.champion, found.previous, found.evidence, week(found.effective_as_of),
            week(found.serves_from or found.effective_as_of),
            oracle.Held(held.version, week(held.effective_as_of)) if held else None, trial,
        )  # fmt: skip

    @invariant()
    def the_chain_verifies_and_epochs_count_the_changes(self) -> None:
        verified = self.lab.ledger.verify()
        assert (verified.verdict, verified.problems) == (Verdict.PASS, [])
        changes = [one for one in self.lab.ledger.entries(model=MODEL) if DEPLOYMENT in one.payload]
        assert [one.epoch for one in changes] == list(range(1, len(changes) + 1))

    @invariant()
    def who_serves_has_evidence_and_a_persons_word_and_each_word_counts_once(self) -> None:
        entries = self.lab.ledger.entries(model=MODEL)
        let_in = {one.payload["evidence"]: one for one in entries
                  if one.action in ("released", "staged") and "look" not in one.payload}  # fmt: skip
        words = {one.payload["statement"]["nonce"]: one for one in entries
                 if one.action in ("approved", "override_granted")}  # fmt: skip
        for record in self.records()[-1:]:
            for digest in filter(None, (record.evidence, record.challenger and record.challenger.evidence)):
                evidence = read_evidence(self.lab.stores.artifacts, digest)
                assert evidence.verdict is Verdict.PASS or may_be_tried(self.lab.declaration.spec, evidence)
                permit = let_in[digest].payload["permit"]
                word = words[permit["nonce"]]
                assert word.payload["statement"]["evidence"] == digest
                assert word.actor not in word.payload["statement"]["authors"] or permit["kind"] == "override"
        nonces = [one.payload["permit"]["nonce"] for one in let_in.values()]
        assert len(set(nonces)) == len(nonces)


def pick(options: list[Any], which: int) -> Any:
    """One of them, by any number."""
    return options[which % len(options)]


@pytest.mark.requirement("D23", "D28", "D44")
@pytest.mark.fault("G7", "P1", "P22")
def test_any_story_of_a_deployment_is_the_models_story(ledger_url, tmp_path):
    made = template()
    counted = iter(range(10**9))

    def fresh() -> Lab:
        if ledger_url.startswith("sqlite"):
            return made.lab(f"sqlite:///{tmp_path / f'{next(counted)}.db'}")
        empty(ledger_url)
        return made.lab(ledger_url)

    story = type("OneStory", (Story,), {"open": staticmethod(fresh)})
    TOLD.clear()
    run_state_machine_as_test(
        story,
        settings=settings(
            max_examples=STORIES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize="RETRAIN_STORIES" not in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert set(TOLD) >= REACHED, f"the stories got nowhere: {TOLD}"
    print(f"{sum(TOLD.values())} operations in {STORIES} stories: {dict(TOLD.most_common())}")


def empty(url: str) -> None:
    """Make a ledger as it was before the first entry."""
    from sqlalchemy import create_engine, text

    ledger = Ledger(url)
    ledger.head()
    ledger.close()
    engine = create_engine(url)
    with engine.begin() as conn:
        for name in ("retrain_entry", "retrain_deployment", "retrain_signature"):
            conn.execute(text(f"DELETE FROM {name}"))
        conn.execute(text("UPDATE retrain_head SET seq = 0, sha256 = :first"), {"first": FIRST_PREV})
    engine.dispose()
