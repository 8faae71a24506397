"""The way back, to the letter: whom it goes to, what it restores and enters, and what it says when it cannot."""

import pytest

from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.errors import StaleEpoch
from retrain_pipeline.release.errors import RollbackRefused
from retrain_pipeline.release.rollback import cannot_serve, rollback
from retrain_pipeline.release.state import current, utc_now
from retrain_pipeline_tests.release.fitted import Fitted, Line, rows

WHY = "it was far off"


class Back(Line):
    """The champions v1, v2 and v3, and the way back."""

    def back(self, because=WHY, **named):
        return rollback(self.stores, "toy", because=because, actor="somebody", **named)

    def refusal(self, kind=RollbackRefused, **named):
        """Return why a rollback is refused; the deployment stays as it is."""
        before = current(self.ledger, "toy")
        with pytest.raises(kind) as caught:
            self.back(**named)
        assert current(self.ledger, "toy") == before
        return str(caught.value)


@pytest.fixture
def line(tmp_path):
    return Back(tmp_path)


def test_the_champion_before_serves_again_as_it_did_and_the_entry_says_why(line):
    earliest = utc_now()
    state = line.back("  it was\n far off ")
    assert earliest <= state.released_at <= utc_now()
    was = line.states["v2"]
    assert state == was.model_copy(update={"released_at": state.released_at})
    assert current(line.ledger, "toy") == (4, state)
    payload = {
        "version": "v2", "from": "v3", "because": WHY, "previous": "v1", "as_of": was.effective_as_of,
        "manifest": was.manifest, "evidence": was.evidence, "withdraws": None, "serving": was.serving_digest,
    }  # fmt: skip
    entry = line.newest()
    assert entry == NewEntry("somebody", "rolled_back", "toy", "v2", payload, None, 4, entry.key)


def test_one_that_is_on_trial_goes_with_the_champion(line):
    on = line.states["v3"].model_copy(update={"challenger": line.challenger(version="v9")})
    line.ledger.change_deployment("toy", 3, on.to_state(), NewEntry("test", "staged", "toy", "v9", {}))
    assert line.back().challenger is None
    assert line.newest().payload["withdraws"] == "v9"


def test_a_second_rollback_goes_back_one_further_and_a_retry_nowhere(line):
    second = line.back()
    head = line.ledger.head()
    assert line.back() == second
    assert line.ledger.head() == head
    first = line.back("this one is wild as well")
    assert (first.champion, first.previous, first.previous_manifest) == ("v1", None, None)
    words = "toy: v1 has no champion before it to go back to; name one with to"
    assert line.refusal(because="and this one is, too") == words


def test_the_same_reason_after_another_release_is_another_rollback(line):
    line.back()
    line.ledger.append(NewEntry("test", "noted", "toy", "v2", {"because": WHY}))
    entry = NewEntry("test", "released", "toy", "v3", {"because": WHY})
    line.ledger.change_deployment("toy", 4, line.states["v3"].to_state(), entry)
    assert line.back().champion == "v2"


def test_one_that_is_named_serves_again_and_naming_it_again_changes_nothing(line):
    state = line.back(to="v1")
    assert (state.champion, state.previous, state.previous_manifest) == ("v1", None, None)
    assert line.newest().payload["from"] == "v3"
    head = line.ledger.head()
    assert line.back(to="v1") == state
    assert line.back(to="v1", because="another reason") == state
    assert line.ledger.head() == head


def test_one_that_was_undone_comes_back_on_top_of_what_stands(line):
    line.back(to="v1")
    state = line.back(to="v3", because="v1 was no better")
    assert (state.champion, state.previous, state.previous_manifest) == ("v3", "v1", line.champion.manifest)


def test_a_name_that_was_never_champion_is_refused_with_those_that_were(line):
    words = "so nothing proves that it can serve; there were v1, v2, v3"
    assert line.refusal(to="v9") == f"toy: 'v9' has never been champion, {words}"
    line.back(to="v1")
    assert line.refusal(to="v" * 100) == f"toy: {repr('v' * 100)[:80]} has never been champion, {words}"


def test_the_newest_reign_of_one_that_was_champion_twice_is_restored(line):
    again = line.states["v2"].model_copy(update={"evidence": "7" * 64, "previous": "v3"})
    line.deploy(again)
    line.crown("v4")
    assert line.back(to="v2").evidence == "7" * 64


@pytest.mark.parametrize("because", ["", "too short", "  too    short  "])
def test_without_a_reason_nothing_is_rolled_back(line, because):
    words = "toy: give a reason of at least 10 characters (because)"
    assert line.refusal(because=because) == words
    assert line.back(because="long enou" + "g").champion == "v2"


def test_only_who_may_roll_back_does_and_who_tried_is_on_record(line, tmp_path, monkeypatch):
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "roles.yaml").write_text("roles: {}\npeople: {}\nmachines: [release]\n")
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    assert line.refusal(NotAllowed, to="v1").startswith("rollback of toy refused to somebody: ")
    entry = line.newest()
    assert (entry.actor, entry.action, entry.model, entry.subject) == ("somebody", "refused", "toy", "v1")


def test_where_nothing_was_released_there_is_nothing_to_go_back_to(tmp_path):
    class Unreleased(Fitted):
        def deploy(self, state):
            return state

    made = Unreleased(tmp_path)
    words = "^toy: nothing was ever released, so there is nothing to go back to$"
    with pytest.raises(RollbackRefused, match=words):
        rollback(made.stores, "toy", because=WHY, actor="somebody")
    made.ledger.after_look = lambda: Fitted.deploy(made, made.champion)
    with pytest.raises(RollbackRefused, match=words):
        rollback(made.stores, "toy", because=WHY, actor="somebody")


# --- only at an epoch


@pytest.mark.parametrize("asked", [0, 2, 4])
def test_what_was_seen_at_another_epoch_says_nothing_of_this_champion(line, asked):
    with pytest.raises(StaleEpoch) as caught:
        line.back(at_epoch=asked)
    assert (caught.value.model, caught.value.expected, caught.value.found) == ("toy", asked, 3)
    assert line.back(at_epoch=3).champion == "v2"
    assert (line.newest().actor, line.newest().payload["because"]) == ("somebody", WHY)


def test_a_rollback_at_an_epoch_is_not_tried_again_on_top_of_another_change(line):
    line.ledger.before_change = lambda: line.crown("v4")
    with pytest.raises(StaleEpoch):
        line.back(at_epoch=3)
    assert current(line.ledger, "toy") == (4, line.states["v4"])


# --- who was faster


def test_a_release_that_overtakes_it_is_undone_too(line):
    for epoch in range(4):
        entry = NewEntry("test", "rolled_back", "doll", "v1", {})
        line.ledger.change_deployment("doll", epoch, line.champion.to_state(), entry)
    line.ledger.before_change = lambda: line.crown("v4")
    state = line.back()
    assert (state.champion, state.previous) == ("v2", "v1")
    assert current(line.ledger, "toy") == (5, state)
    assert line.newest().payload["from"] == "v4"


def test_a_release_while_it_chooses_does_not_change_whom_it_leaves(line):
    line.ledger.after_look = lambda: line.crown("v4")
    assert line.back().champion == "v2"
    assert current(line.ledger, "toy")[0] == 5


def test_of_two_at_once_one_changes_the_deployment(line):
    line.ledger.before_change = lambda: line.back("somebody else saw it")
    state = line.back()
    assert (state.champion, current(line.ledger, "toy")) == ("v2", (4, state))


def test_another_rollback_meanwhile_answers_for_one_that_named_nobody_and_for_no_other(line):
    line.ledger.before_change = lambda: line.back("further back", to="v1")
    assert line.back().champion == "v1"
    assert current(line.ledger, "toy")[0] == 4
    line.deploy(line.states["v3"])
    line.ledger.before_change = lambda: line.back("further back", to="v1")
    assert line.back(to="v2").champion == "v2"
    assert current(line.ledger, "toy")[0] == 7


def test_a_trial_that_overtakes_it_after_another_rollback_is_no_rollback(line):
    line.back()
    on = line.states["v2"].model_copy(update={"challenger": line.challenger(version="v9")})
    entry = NewEntry("test", "staged", "toy", "v9", {})
    line.ledger.before_change = lambda: line.ledger.change_deployment("toy", 4, on.to_state(), entry)
    assert line.back("this one is wild as well").champion == "v1"
    assert line.newest().payload["withdraws"] == "v9"


def test_one_that_others_made_champion_meanwhile_needs_no_rollback(line):
    line.ledger.before_change = lambda: line.deploy(line.states["v2"])
    assert line.back() == line.states["v2"]
    assert current(line.ledger, "toy")[0] == 4


@pytest.mark.parametrize(("changes", "wins"), [(9, True), (10, False)])
def test_a_rollback_that_is_overtaken_for_ever_gives_up(line, changes, wins):
    left = [changes]

    def again():
        if left[0]:
            left[0] -= 1
            line.ledger.before_change = None
            line.deploy(line.states["v3"])
        line.ledger.before_change = again

    line.ledger.before_change = again
    if wins:
        assert line.back().champion == "v2"
        return
    with pytest.raises(RollbackRefused) as caught:
        line.back()
    assert str(caught.value) == "toy: 10 changes overtook the rollback to v2; stop them and try again"


# --- whether it can serve


def test_a_target_that_does_not_load_is_refused_with_one_that_can(line):
    line.crown("v4")
    line.lose("v3")
    words = line.refusal()
    assert words.startswith("toy: v3 cannot serve: ")
    assert words.endswith("; v2 can serve: roll back to it (to='v2')")
    line.lose("v2")
    assert line.refusal().endswith("; v1 can serve: roll back to it (to='v1')")
    line.lose("v1")
    assert line.refusal().endswith("; no other earlier champion can serve either")


def test_one_that_loads_and_answers_the_newest_features_can_serve(line):
    lake, stores = line.stores.lake, line.stores
    assert cannot_serve(stores, "toy", "v1") is None
    text = ["x"] * 4
    lake.replace_partition("toy", "features", "2024-02-05", rows("2024-02-05", a=text))
    lake.replace_partition("toy", "features", "2024-02-12", rows())
    lake.replace_partition("doll", "features", "2024-02-26", rows(a=text))
    lake.replace_partition("toy", "raw", "2024-02-26", rows(a=text))
    assert cannot_serve(stores, "toy", "v1") is None
    lake.replace_partition("toy", "features", "2024-02-19", rows("2024-02-19", a=["1", "x", "x", "x"]))
    assert cannot_serve(stores, "toy", "v1") is None, "one row is asked for"
    lake.replace_partition("toy", "features", "2024-02-26", rows("2024-02-26", a=text).head(0))
    assert cannot_serve(stores, "toy", "v1") is None
    lake.replace_partition("toy", "features", "2024-03-04", rows("2024-03-04", a=text))
    words = "feature 'a': the model learned numbers from it, and now could not convert string to float: 'x'"
    assert cannot_serve(stores, "toy", "v1") == words
    line.lose("v1")
    assert "is not loadable" in cannot_serve(stores, "toy", "v1")


# --- what was restored


def test_a_record_that_is_not_what_it_was_is_told(line, monkeypatch):
    change = line.ledger.change_deployment

    def bent(model, epoch, state, new, **named):
        return change(model, epoch, {**state, "spec": "0" * 64}, new, **named)

    monkeypatch.setattr(line.ledger, "change_deployment", bent)
    with pytest.raises(RollbackRefused) as caught:
        line.back()
    wanted = line.states["v2"].serving_digest[:12]
    assert str(caught.value) == (
        f"toy: v2 serves again, but its record is not what it was ({wanted}): run `retrain ledger verify`"
    )


def test_what_others_change_right_after_it_is_theirs(line):
    line.ledger.after_change = lambda: line.crown("v4")
    assert line.back().champion == "v2"
    assert current(line.ledger, "toy")[1].champion == "v4"
