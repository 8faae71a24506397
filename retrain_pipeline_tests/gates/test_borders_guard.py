"""The guard gate to the letter: whose evidence counts, when a baseline is one, and who served a share when."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.canonical import digest_of
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.guard import GuardEvidence, canaries, collection_of, guard, store_guard
from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.ledger.past import PastLedger
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.handmade import manifest

INCONCLUSIVE = Verdict.INCONCLUSIVE
MANIFEST = "d" * 64


def day(number, hour=0):
    """A moment in February 2024; the update's data ends at the start of day 19."""
    return datetime(2024, 2, number, hour, tzinfo=UTC)


class Case:
    """An update of the toys whose champion is v1, and what is on record about it."""

    def __init__(self, folder):
        self.artifacts = Artifacts(folder)
        self.manifest = manifest(self.artifacts)
        self.entries = []

    def found(self, **changed):
        given = {
            "model": "toy", "version": "v2", "manifest": MANIFEST, "champion": "v1",
            "collection": digest_of({"data": {"key": ["id"]}, "signals": []}), "baseline_from": day(5),
            "baseline_until": day(12), "verdict": Verdict.PASS, "words": "three streams are within their baselines",
        }  # fmt: skip
        return GuardEvidence(**{**given, **changed})

    def enter(self, action, subject="v2", payload=None, model="toy"):
        seq = len(self.entries) + 1
        self.entries.append(Entry(seq, "", "", 0, "t", action, model, subject, payload or {}, None, None, f"s{seq}"))

    def guarded(self, subject="v2", says=None, **changed):
        found = self.found(**changed)
        digest = self.artifacts.put_json(found.model_dump(mode="json", by_alias=True))
        self.enter("guarded", subject, {"evidence": digest, "verdict": says or found.verdict.value})

    def told(self, champion="v1"):
        found = guard(PastLedger(self.entries, 99), self.artifacts, self.manifest, MANIFEST, champion)
        assert found == GateResult(gate="guard", verdict=found.verdict, words=found.words)
        return found.verdict, found.words


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_newest_evidence_of_the_version_is_what_the_gate_says(case, verdict):
    case.guarded()
    case.guarded(verdict=verdict, words="looked again")
    case.guarded(subject="v9")
    case.enter("judged", payload={"evidence": "of the judge"})
    assert case.told() == (verdict, "entry 2, baseline 2024-02-05 to 2024-02-12: looked again")


def test_words_are_cut_at_two_thousand(case):
    case.guarded(words="x" * 2000)
    assert len(case.told()[1]) == 2000


def test_without_evidence_the_gate_asks_for_it(case):
    asked = (
        "compare what is collected and what users do with a baseline from before the update, and enter what was found"
    )
    words = "gates.guard is required, and no entry `guarded` of v2 is on record"
    case.enter("guarded", "v2", model="doll")
    assert case.told() == (INCONCLUSIVE, f"{words}: {asked}")
    case.guarded(subject="v0")
    case.guarded(subject="v1")
    case.enter("judged", "v7")
    assert case.told() == (INCONCLUSIVE, f"{words} (the newest is of v1): {asked}")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": "doll"}, "it is of another model: doll, and this is toy; it is stale, look again"),
        ({"version": "v3"}, "it is of another version: v3, and this is v2; it is stale, look again"),
        ({"manifest": "e" * 64},
         f"it is of another manifest: {'e' * 40}, and this is {'d' * 40}; it is stale, look again"),
        ({"champion": None}, "it is of another champion: None, and this is v1; it is stale, look again"),
        ({"collection": "e" * 64}, "it is of another collection: eeee"),
        ({"model": "doll", "version": "v3"}, "it is of another model: doll"),
    ],
)  # fmt: skip
def test_evidence_of_something_else_is_refused_by_what_it_is_of(case, changed, words):
    case.guarded(**changed)
    verdict, said = case.told()
    assert verdict is INCONCLUSIVE
    assert said.startswith(f"the guard evidence of entry 1 is refused: {words}")


def test_an_entry_that_says_otherwise_than_its_evidence_is_refused(case):
    case.guarded(says="FAIL")
    words = "it is of another verdict: PASS, and this is FAIL; it is stale, look again"
    assert case.told() == (INCONCLUSIVE, f"the guard evidence of entry 1 is refused: {words}")


def test_evidence_that_cannot_be_read_is_named_by_its_digest(case):
    case.enter("guarded", payload={"evidence": "f" * 64, "verdict": "PASS"})
    verdict, said = case.told()
    assert verdict is INCONCLUSIVE
    assert said.startswith(f"the guard evidence {'f' * 12} of entry 1 cannot be read: ")
    assert "no such artifact" in said
    odd = case.artifacts.put_json({f"key {n}": n for n in range(99)})
    case.enter("guarded", payload={"evidence": odd, "verdict": "PASS"})
    said = case.told()[1]
    assert "of entry 2 cannot be read: " in said
    assert len(said) == 2000
    case.guarded()
    case.manifest = manifest(case.artifacts, spec_digest=case.artifacts.put_json({"data": {}}))
    assert case.told()[1].endswith("of entry 3 cannot be read: 'signals'")
    case.enter("guarded", payload={"verdict": "PASS"})
    assert case.told()[1].startswith("the guard evidence None of entry 4 cannot be read: ")


def test_a_baseline_ends_when_the_rollout_may_begin_and_has_a_length(case):
    case.guarded(baseline_until=day(19))
    assert case.told()[0] is Verdict.PASS
    case.guarded(baseline_until=day(19) + timedelta(minutes=1))
    words = "its baseline lasts until 2024-02-19 00:01, and the rollout may begin at 2024-02-19 00:00"
    assert case.told() == (INCONCLUSIVE, f"the guard evidence of entry 2 is refused: {words}")
    for until in (day(5), day(4)):
        with pytest.raises(ValidationError, match="baseline_until is not after baseline_from"):
            case.found(baseline_until=until)


# --- who served a share


def deployed(case, version=None, share=0.25, begun=None):
    challenger = {"version": version, "share": share, "stage_from": begun.isoformat()} if version else None
    case.enter("staged" if version else "withdrawn", version, {"deployment": {"state": {"challenger": challenger}}})


def looked(case, version, until, stage="canary"):
    case.enter("rollout_looked", version, {"stage": stage, "as_of": until.isoformat()})


def test_a_canary_serves_from_its_stage_until_the_last_look_or_still(case):
    deployed(case, "a", 0.0, day(1))
    looked(case, "a", day(2), "shadow")
    assert canaries(case.entries) == [], "a shadow serves nobody"
    deployed(case, "a", 0.25, day(3))
    assert canaries(case.entries) == [("a", day(3), None)]
    looked(case, "a", day(5))
    looked(case, "a", day(7))
    looked(case, "z", day(7))
    case.enter("rollout_looked", None, {"stage": "canary", "as_of": day(9).isoformat()})
    deployed(case, "a", 0.5, day(6))
    assert canaries(case.entries) == [("a", day(3), None)], "further stages are the same canary"
    deployed(case)
    deployed(case, "b", 0.1, day(8))
    deployed(case, "c", 0.1, day(9))
    looked(case, "b", day(4))
    case.enter("judged", "c", {"stage": "canary", "as_of": day(14).isoformat()})
    assert canaries(case.entries) == [("a", day(3), day(7)), ("b", day(8), day(8)), ("c", day(9), None)]
    deployed(case)
    assert canaries(case.entries)[2] == ("c", day(9), day(9)), "nobody looked: it served for no time that is known"


@pytest.mark.parametrize(
    ("begun", "ended", "overlaps"),
    [
        (day(1), day(5), None),
        (day(1), day(5, 1), "from 2024-02-01 00:00 until 2024-02-05 01:00"),
        (day(11, 23), day(14), "from 2024-02-11 23:00 until 2024-02-14 00:00"),
        (day(12), day(14), None),
        (day(6), None, "from 2024-02-06 00:00 until now"),
        (day(12), None, None),
    ],
)
def test_a_baseline_during_which_a_share_was_served_by_another_is_none(case, begun, ended, overlaps):
    """The baseline is days 5 to 12. What another model does is no part of it."""
    serving = {"version": "doll's", "share": 0.25, "stage_from": day(6).isoformat()}
    case.enter("staged", "doll's", {"deployment": {"state": {"challenger": serving}}}, model="doll")
    deployed(case, "other", begun=begun)
    if ended is not None:
        looked(case, "other", ended)
        deployed(case)
    case.guarded()
    words = f"a canary of other served {overlaps}, while its baseline was taken"
    assert case.told()[1].endswith(words if overlaps else "three streams are within their baselines")


# --- the record


def test_evidence_is_stored_and_entered_once(case, tmp_path):
    ledger, found = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}"), case.found()
    entry = store_guard(ledger, case.artifacts, found, actor="somebody")
    digest = entry.payload["evidence"]
    assert GuardEvidence.model_validate(case.artifacts.get_json(digest)) == found
    assert case.artifacts.get_json(digest)["schema"] == "guard/1"
    assert entry.payload == {"evidence": digest, "verdict": "PASS", "words": found.words}
    assert (entry.actor, entry.action, entry.model, entry.subject) == ("somebody", "guarded", "toy", "v2")
    assert entry.key == f"guarded:toy:{digest}"
    assert store_guard(ledger, case.artifacts, found, actor="somebody") == entry
    assert guard(ledger, case.artifacts, case.manifest, MANIFEST, "v1").verdict is Verdict.PASS
    ledger.close()


def test_what_is_collected_is_the_data_and_signals_of_the_declaration(case):
    assert collection_of(case.artifacts, case.manifest) == digest_of({"data": {"key": ["id"]}, "signals": []})
