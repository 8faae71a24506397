"""A period in which nothing is on trial, to the letter: a champion that followed another is watched."""

from dataclasses import replace

import pytest

from retrain_pipeline.release.rollout import RolloutReport
from retrain_pipeline.release.state import current
from retrain_pipeline.spec.rollout import Guardrail
from retrain_pipeline_tests.release.fitted import Learned, rows
from retrain_pipeline_tests.release.test_borders_rollout import FIRST, SECOND, Rolled, moment


class Followed(Learned):
    """The champion v2 followed v1, which is kept, in the week `FIRST`."""

    def __init__(self, folder, rollout="watch_periods: 4, margin: 0.2"):
        super().__init__(folder, rollout)
        state = self.champion.model_copy(update={
            "champion": "v2", "manifest": self.evidence.manifest, "previous": "v1",
            "previous_manifest": self.champion.manifest, "effective_as_of": moment(FIRST).isoformat(),
        })  # fmt: skip
        self.deployed = self.deploy(state)

    roll, lived = Rolled.roll, Rolled.lived


@pytest.fixture
def followed(tmp_path):
    return Followed(tmp_path)


def test_a_champion_is_watched_and_after_that_it_is_not(followed):
    report = followed.roll()
    assert report == RolloutReport(
        "toy", FIRST, "watched", report.words, "v2", results=report.results, look=report.look
    )
    assert [one.gate for one in report.results] == ["online_loss"]
    assert report.words == report.results[0].words
    entry = followed.newest()
    assert (entry.action, entry.actor, entry.run_id, entry.epoch) == ("champion_watched", "somebody", "run-8", 2)
    assert entry.payload["watch"] == report.look
    words = "nothing is on trial or watched"
    assert followed.roll("2024-06-03") == RolloutReport("toy", "2024-06-03", "none", words, "v2")


def test_one_that_is_shown_to_be_worse_is_rolled_back_by_its_guard(followed):
    followed.lived(9.0, FIRST, SECOND)
    report = followed.roll(SECOND)
    assert (report.move, report.champion) == ("rolled_back", "v1")
    entry = followed.newest()
    assert (entry.action, entry.actor, entry.payload["because"]) == ("rolled_back", "guardrail", report.words)
    assert report.words.startswith(f"{SECOND}: online_loss: ")
    assert current(followed.ledger, "toy")[1].champion == "v1"


def test_long_words_of_what_was_broken_are_cut_where_they_are_the_reason(followed):
    names = [f"declared_signal_number_{at}" for at in range(60)]
    rollout = followed.spec.rollout.model_copy(update={"guardrails": {one: Guardrail(at_most=1.0) for one in names}})
    followed.declaration = replace(followed.declaration, spec=followed.spec.model_copy(update={"rollout": rollout}))
    at = rows(FIRST, 60).drop(columns=["id", "a"])
    followed.stores.lake.add("signals", FIRST, at.assign(signal=names, value=2.0, how="observed"))
    words = followed.roll(FIRST).words
    assert words.startswith(f"{FIRST}: guardrail:declared_signal_number_0: ")
    assert followed.newest().payload["because"] == words[:2000]
    assert len(words) > 2000


def test_a_change_while_it_is_watched_is_not_rolled_back(followed):
    followed.lived(9.0, FIRST, SECOND)
    followed.ledger.before_change = lambda: followed.deploy(followed.deployed)
    report = followed.roll(SECOND)
    assert (report.move, report.champion) == ("overtaken", "v2")
    assert report.words.startswith(f"{SECOND}: online_loss: ")
    assert current(followed.ledger, "toy") == (3, followed.deployed)
