"""The change plan's borders, and who was champion when: by files, entries and manifests that a test wrote."""

import time
from datetime import UTC, date, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.learning.environment import CodeRevision
from retrain_pipeline.learning.manifest import TriggerRef
from retrain_pipeline.learning.versions import register
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.release.change_plan import Anchor, ChangePlan, anchor_of, check_covered, check_limits, read_plan
from retrain_pipeline.release.errors import ApprovalRefused
from retrain_pipeline.release.lineage import deployed_at, newest_place, reigns, standing
from retrain_pipeline.stores import open_stores
from retrain_pipeline_tests.gates.handmade import manifest
from retrain_pipeline_tests.release.handmade import Trial

PLAN = """\
id: year-one
valid_from: 2024-01-01
valid_until: 2024-12-31
allowed: {triggers: [policy, drift], candidates: [tree, forest]}
cumulative_limits: {max_autopromotions: 2, max_total_delta: 0.5, max_days_without_human: 30}
"""


def refusal(call, *arguments, **named):
    with pytest.raises(ApprovalRefused) as refused:
        call(*arguments, **named)
    return str(refused.value)


def plan(tmp_path, old="", new=""):
    assert old in PLAN
    (tmp_path / "change_plan.yaml").write_text(PLAN.replace(old, new) if old else PLAN)
    return read_plan(tmp_path)


# --- the file


def test_a_plan_says_what_the_file_says(tmp_path):
    assert read_plan(tmp_path) is None
    read = plan(tmp_path)
    says = {
        "id": "year-one", "valid_from": "2024-01-01", "valid_until": "2024-12-31",
        "allowed": {"triggers": ["policy", "drift"], "candidates": ["tree", "forest"], "code": False,
                    "declaration": False},
        "cumulative_limits": {"max_autopromotions": 2, "max_total_delta": 0.5, "max_days_without_human": 30.0},
    }  # fmt: skip
    assert read.model_dump(mode="json") == says
    assert read.digest == digest_of(says)
    assert plan(tmp_path, "2024-12-31", "2024-01-01").valid_until == date(2024, 1, 1), "a plan of one day"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("id: year-one", "id: Year One", r"id: String should match pattern '^[a-z0-9][a-z0-9_-]{0,62}$'"),
        ("[tree, forest]", "[]", "allowed.candidates: Tuple should have at least 1 item after validation, not 0"),
        ("2024-12-31", "2023-12-31", ": Value error, valid_until lies before valid_from"),
        ("max_autopromotions: 2", 'max_autopromotions: "2"',
         "cumulative_limits.max_autopromotions: Input should be a valid integer"),
    ],
)  # fmt: skip
def test_a_plan_with_a_mistake_is_refused_with_the_path_in_the_file(tmp_path, old, new, words):
    assert refusal(plan, tmp_path, old, new) == f"{tmp_path / 'change_plan.yaml'}: {words}"


def test_a_plan_that_does_not_read_is_refused_by_its_name(tmp_path):
    file = tmp_path / "change_plan.yaml"
    file.write_text("id: [")
    assert refusal(read_plan, tmp_path).startswith(f"{file}: ")
    file.write_bytes(b"\xff\xfe")
    assert refusal(read_plan, tmp_path).startswith(f"{file}: ")


# --- its counts and dates

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


def at(now, anchor=None):
    return {"anchor": anchor or Anchor("v1", now, 0), "now": now}


@pytest.fixture(params=["UTC0", "EAST-14"])
def zone(request, monkeypatch):
    """The zone of the machine."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


def test_a_plan_holds_from_its_first_to_its_last_day_in_utc(tmp_path, zone):
    read = plan(tmp_path)
    last = datetime(2024, 12, 31, 23, 59, 59, tzinfo=UTC)
    east = timezone(timedelta(hours=5))
    for now in (datetime(2024, 1, 1, tzinfo=UTC), last, last.astimezone(east)):
        check_limits(read, **at(now))
    for now in (datetime(2023, 12, 31, 23, 59, tzinfo=UTC), datetime(2024, 1, 1, 2, tzinfo=east),
                last + timedelta(seconds=1)):  # fmt: skip
        assert refusal(check_limits, read, **at(now)) == "plan year-one: valid from 2024-01-01 to 2024-12-31"


def test_automatic_releases_are_counted_up_to_the_limit(tmp_path):
    read = plan(tmp_path)
    check_limits(read, **at(NOON, Anchor("v1", NOON, 1)))
    for automatic in (2, 3):
        words = refusal(check_limits, read, **at(NOON, Anchor("v1", NOON, automatic)))
        assert words == f"plan year-one: {automatic} automatic releases since v1, at most 2"


def test_days_without_a_person_are_counted_from_the_anchor(tmp_path):
    read = plan(tmp_path, "human: 30", "human: 30.25")
    anchor = Anchor("v1", NOON - timedelta(days=30, hours=6), 0)
    check_limits(read, **at(NOON, anchor))
    words = refusal(check_limits, read, **at(NOON + timedelta(hours=12), anchor))
    assert words == "plan year-one: 30.8 days since a person let v1 through, at most 30.25"
    assert refusal(check_limits, read, **at(NOON + timedelta(seconds=1), anchor)).startswith("plan year-one: 30.3 days")


# --- who was champion when


class History:
    """A ledger in which champions come and go."""

    def __init__(self, folder):
        self.ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")

    def serves(self, version, action="released", model="toy", **payload):
        row = self.ledger.deployment(model)
        epoch = row.epoch if row else 0
        state = Trial.champion.model_copy(update={"champion": version, "model": model, "serves_from": f"{epoch}"})
        new = NewEntry("test", action, model, version, payload)
        return self.ledger.change_deployment(model, epoch, state.to_state(), new)

    def permitted(self, version, kind):
        return self.serves(version, permit={"kind": kind})

    def back(self, version):
        return self.serves(version, "rolled_back")

    @property
    def stands(self):
        return [reign.version for reign in standing(reigns(self.ledger, "toy"))]


@pytest.fixture
def history(tmp_path):
    made = History(tmp_path)
    yield made
    made.ledger.close()


def test_reigns_are_the_changes_of_the_champion_of_this_model(history):
    entries = [history.serves("v1"), history.serves("v2"), history.back("v1")]
    history.serves("v9", model="doll")
    history.serves("v3", "staged")
    history.ledger.append(NewEntry("test", "released", "toy", "v4", {"evidence": "1" * 64}))
    found = reigns(history.ledger, "toy")
    assert [reign.entry for reign in found] == entries
    assert [reign.version for reign in found] == ["v1", "v2", "v1"]
    assert [reign.deployment.serves_from for reign in found] == ["0", "1", "2"]


def test_each_epoch_has_what_was_deployed_then(history):
    for version, action in (("v1", "released"), ("v2", "staged"), ("v3", "withdrawn"), ("v4", "rolled_back")):
        history.serves(version, action)
    history.ledger.append(NewEntry("test", "released", "toy", "v9", epoch=2))
    history.serves("v5", "drilled")
    history.serves("v8", model="doll")
    found = [deployed_at(history.ledger, "toy", epoch) for epoch in range(7)]
    assert [one and one.champion for one in found] == [None, "v1", "v2", "v3", "v4", None, None]
    assert deployed_at(history.ledger, "doll", 1).champion == "v8"


def test_a_rollback_undoes_what_stands_above_its_target(history):
    for version in ("v1", "v2", "v3", "v4"):
        history.serves(version)
    assert history.stands == ["v1", "v2", "v3", "v4"]
    kept = history.back("v2")
    assert history.stands == ["v1", "v2"]
    assert standing(reigns(history.ledger, "toy"))[-1].entry == kept, "the newest of its place"
    history.back("v4")
    assert history.stands == ["v1", "v2", "v4"], "undone before, on top again"
    history.serves("v1")
    history.serves("v5")
    assert history.stands == ["v1", "v2", "v4", "v1", "v5"]
    history.back("v1")
    assert history.stands == ["v1", "v2", "v4", "v1"], "its newest place"


def test_the_newest_of_several_places_is_found():
    line = [SimpleNamespace(version=version) for version in ("v1", "v2", "v1", "v3")]
    assert [newest_place(line, version) for version in ("v1", "v2", "v3", "v4")] == [2, 1, 3, None]


# --- the anchor


def test_the_anchor_is_the_newest_standing_version_that_a_person_let_through(history):
    nobody = "toy: the plan has no anchor yet; a person approves the first version"
    assert refusal(anchor_of, history.ledger, "toy") == nobody
    history.serves("v0")
    history.permitted("v1", "none")
    assert refusal(anchor_of, history.ledger, "toy") == nobody
    for kind, version in (("release", "v2"), ("override", "v3")):
        entry = history.permitted(version, kind)
        moment = datetime.fromisoformat(entry.at_utc)
        assert anchor_of(history.ledger, "toy") == Anchor(version, moment, 0)
    history.permitted("v4", "plan")
    history.serves("v5")
    history.serves("v5", model="doll", permit={"kind": "release"})
    history.serves("v2", model="doll")
    history.ledger.append(NewEntry("test", "released", "toy", "v4", {"permit": {"kind": "release"}}))
    assert anchor_of(history.ledger, "toy") == Anchor("v3", moment, 2)
    history.back("v2")
    history.permitted("v6", "plan")
    assert (anchor_of(history.ledger, "toy").version, anchor_of(history.ledger, "toy").automatic) == ("v2", 3)


# --- what it covers


class Covered:
    """A plan, the anchor v1 and stores; a candidate that lies outside is refused before anything is measured."""

    def __init__(self, folder):
        self.stores, self.plan = open_stores(folder / "home"), plan(folder)
        self.anchor = Anchor("v1", NOON, 0)
        self.put("v1")

    def put(self, version, **changed):
        return register(self.stores, manifest(self.stores.artifacts, version, **changed), actor="test")

    def refusal(self, plan=None, anchor=None, **changed):
        made = manifest(self.stores.artifacts, "v2", **changed)
        return refusal(check_covered, self.stores, None, plan or self.plan, anchor or self.anchor, made)


@pytest.fixture
def covered(tmp_path):
    made = Covered(tmp_path)
    yield made
    made.stores.close()


OTHER = CodeRevision(commit="d" * 40, dirty=False, diff_digest=None)
UNCLEAN = CodeRevision(commit="c" * 40, dirty=True, diff_digest=None)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"trigger": TriggerRef(kind="manual", id="m")}, "a manual retrain is not one of policy, drift"),
        ({"candidate": "ridge"}, "candidate ridge is not one of tree, forest"),
        ({"code": OTHER}, "the code is not that of v1"),
        ({"code": UNCLEAN}, "the code is not that of v1"),
        ({"feature_code_digest": "9" * 64}, "the code is not that of v1"),
        ({"spec_digest": "9" * 64}, "the declaration is not that of v1"),
    ],
)
def test_what_differs_from_the_anchor_beyond_what_is_allowed_is_refused(covered, changed, words):
    assert covered.refusal(**changed) == f"plan year-one: {words}"


def test_uncommitted_code_is_not_the_anchors_even_where_it_reads_the_same(covered):
    covered.put("v3", code=UNCLEAN)
    words = covered.refusal(anchor=Anchor("v3", NOON, 0), code=UNCLEAN)
    assert words == "plan year-one: the code is not that of v3"


def test_an_anchor_that_does_not_read_covers_nothing(covered):
    covered.put("v9", model="doll")
    words = covered.refusal(anchor=Anchor("v9", NOON, 0))
    assert words.startswith("plan year-one: the anchor cannot be read: model 'toy' has no version 'v9' in the ledger")
    assert isinstance(covered.plan, ChangePlan)
