"""What is enough for a champion to give way to its anchor, and what is not, to the letter."""

from types import SimpleNamespace

import pytest

import retrain_pipeline.release.anchor as room
from retrain_pipeline.gates.evidence import Anchored, GateResult
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.errors import StaleEpoch
from retrain_pipeline.release.anchor import Gave, give_way
from retrain_pipeline.release.errors import ReleaseRefused, RollbackRefused
from retrain_pipeline.verdicts import Verdict, worst
from retrain_pipeline_tests.gates.handmade import evidence, results
from retrain_pipeline_tests.release.handmade import Trial


class Asked(Trial):
    """A judgement of v2 against v1 beside the anchor v0, as a test wants it; what a rollback is asked is kept."""

    def __init__(self, folder, monkeypatch):
        super().__init__(folder)
        self.rollbacks, self.answer = [], SimpleNamespace(champion="v0")
        monkeypatch.setattr(room, "rollback", self.rollback)

    def rollback(self, *asked, **how):
        self.rollbacks.append((asked, how))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def judged(self, *, enter=True, back="PASS", words="v0 is better", second=None, **verdicts):
        """Return the digest of evidence that refuses v2, with these verdicts of gates and of the champion."""
        told = results(**{"quality": "FAIL", **verdicts})
        if second is not None:
            told = (*told, GateResult(gate="escalation", verdict=Verdict(second), words="as the second found"))
        beside = Anchored(
            candidate=GateResult(gate="anchor", verdict=Verdict.FAIL, words="behind"),
            champion=GateResult(gate="anchor", verdict=Verdict(back), words=words),
        )
        return self.kept(
            evidence(
                schema="evidence/5",
                anchor="v0",
                anchored=beside,
                results=told,
                verdict=worst(one.verdict for one in told),
            ),
            enter,
        )

    def kept(self, made, enter=True):
        digest = self.stores.artifacts.put_json(made.document())
        if enter:
            self.ledger.append(NewEntry("judge", "judged", "toy", "v2", {"evidence": digest}))
        return digest

    def give_way(self, digest, version="v2"):
        return give_way(self.stores, "toy", version, evidence_digest=digest)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    return Asked(tmp_path, monkeypatch)


def test_the_way_back_is_asked_for_at_the_epoch_of_the_judgement(asked):
    assert asked.give_way(asked.judged()) == Gave(True, "v0", "judging v2: v0 is better")
    how = {"to": "v0", "because": "judging v2: v0 is better", "actor": "anchor", "at_epoch": 1}
    assert asked.rollbacks == [((asked.stores, "toy"), how)]
    long = asked.give_way(asked.judged(words="x" * 3000))
    assert long.words == asked.rollbacks[1][1]["because"] == f"judging v2: {'x' * 3000}"[:2000]


@pytest.mark.parametrize("gate", room.ROWS)
@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE"])
def test_rows_that_nobody_vouches_for_take_nobody_back(asked, gate, verdict):
    assert asked.give_way(asked.judged(**{gate: verdict})) is None
    assert asked.rollbacks == []


@pytest.mark.parametrize(("second", "moves"), [("PASS", True), ("INCONCLUSIVE", True), ("FAIL", False)])
def test_where_validators_contradict_each_other_a_person_looks_first(asked, second, moves):
    assert (asked.give_way(asked.judged(second=second)) is not None) is moves
    assert len(asked.rollbacks) == moves


def test_without_a_gate_that_vouches_nobody_goes_back(asked):
    better = GateResult(gate="anchor", verdict=Verdict.PASS, words="better")
    made = evidence(
        schema="evidence/5", anchor="v0", anchored=Anchored(candidate=better, champion=better),
        results=tuple(one for one in results() if one.gate != "labels"),
    )  # fmt: skip
    assert asked.give_way(asked.kept(made)) is None
    assert asked.rollbacks == []


@pytest.mark.parametrize("back", ["FAIL", "INCONCLUSIVE"])
def test_an_anchor_that_is_not_shown_to_be_better_stays_where_it_is(asked, back):
    assert asked.give_way(asked.judged(back=back)) is None
    assert asked.give_way(asked.kept(evidence())) is None
    assert asked.rollbacks == []


def test_who_was_overtaken_moves_nobody_and_who_may_not_says_so(asked):
    asked.answer = StaleEpoch("toy", 1, 2)
    assert asked.give_way(asked.judged()) is None
    asked.answer = RollbackRefused("toy: v0 cannot serve: gone")
    told = Gave(False, "v1", "judging v2: v0 is better; but toy: v0 cannot serve: gone")
    assert asked.give_way(asked.judged()) == told
    assert len(asked.rollbacks) == 2


def test_evidence_that_no_judge_entered_takes_nobody_back(asked):
    forged = asked.judged(enter=False)
    words = f"no judgement on record gave evidence {forged[:12]}; judge it"
    with pytest.raises(ReleaseRefused, match=f"^toy v2: {words}$"):
        asked.give_way(forged)
    with pytest.raises(ReleaseRefused, match=r"^toy v2: evidence '0{64}' cannot be read"):
        asked.give_way("0" * 64)
    own = asked.judged()
    asked.ledger.append(NewEntry("judge", "judged", "toy", "v3", {"evidence": own}))
    with pytest.raises(ReleaseRefused, match=r"^toy v3: no judgement on record"):
        asked.give_way(own, "v3")
    other = asked.kept(evidence(model="other"))
    with pytest.raises(ReleaseRefused, match=r"^toy v2: no judgement on record"):
        asked.give_way(other)
    assert asked.rollbacks == []


@pytest.mark.parametrize(("action", "model", "version"), [
    ("judged", "other", "v2"), ("judged", "toy", "v9"), ("recorded", "toy", "v2"),
])  # fmt: skip
def test_an_entry_of_something_else_puts_no_judgement_on_record(asked, action, model, version):
    own = asked.judged(enter=False)
    asked.ledger.append(NewEntry("judge", action, model, version, {"evidence": own}))
    with pytest.raises(ReleaseRefused, match=r"^toy v2: no judgement on record"):
        asked.give_way(own)
    assert asked.rollbacks == []
