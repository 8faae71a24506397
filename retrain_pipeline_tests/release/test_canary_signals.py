"""A guardrail in a canary: what the control shows too is not its doing, and what a few suffer is not thinned."""

from collections import Counter
from datetime import timedelta

import pandas as pd
import pytest

from retrain_pipeline.records.rollouts import stored_trial_plot
from retrain_pipeline.release.look import read_look
from retrain_pipeline.release.rollout import LOOKED
from retrain_pipeline.release.router import CANARY, CONTROL, place
from retrain_pipeline.release.state import current
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import START
from retrain_pipeline_tests.release.staging import live, moves, served, week

STAGES = "{shadow_periods: 2, canary_shares: [0.4], margin: 0.2, guardrails: {refunds: {at_most: 0.2}}}"
SIGNAL = (
    "  signals:\n    refunds: {{source: {{kind: csv, path: refunds.csv}}, time: at, column: refunded, unit: share, "
    "direction: down{more}}}\n"
)
BY_ENTITY = SIGNAL.format(more=", entity: [customer]")
WHOLE = SIGNAL.format(more="")


def arm(world, name):
    """The arm that a customer is in once the canary serves."""
    _, deployment = current(world.stores.ledger, "toy")
    at = place(deployment.challenger.salt, (name,))
    return CANARY if at < 0.4 else CONTROL if at >= 0.6 else "champion"


def refunded(world, root, share, first=7, last=13):
    """Write who was refunded: of the customers of a week and arm a share, told by a function, spread evenly."""
    met, rows = Counter(), []
    for number in range(first, last):
        for hour in range(168):
            name = f"t{number * 168 + hour:05d}"
            mine = arm(world, name)
            part, at = share(number, mine), met[number, mine]
            met[number, mine] += 1
            rows.append((name, START + timedelta(weeks=number, hours=hour), int((at + 1) * part) - int(at * part)))
    pd.DataFrame(rows, columns=["customer", "at", "refunded"]).to_csv(root / "refunds.csv", index=False)


def observed(world, number, value):
    at = pd.Series([START + timedelta(weeks=number)]).astype("datetime64[us, UTC]")
    row = pd.DataFrame({"signal": ["refunds"], "value": [value], "how": ["observed"]})
    world.stores.lake.replace_partition("toy", "signals", week(number), row.assign(_event_time=at, _known_time=at))


def guardrail(world):
    entry = world.stores.ledger.latest("toy", LOOKED)
    return read_look(world.stores.artifacts, entry.payload["look"]).result("guardrail:refunds")


@pytest.mark.requirement("D28", "C16", "C31")
def test_what_a_canary_does_to_its_few_entities_takes_it_back(world_with, tmp_path):
    world = world_with(rollout=STAGES, more=BY_ENTITY)
    refunded(world, tmp_path, lambda number, arm: 0.4 if arm == CANARY and number >= 9 else 0.05)
    observed(world, 8, 0.05)
    observed(world, 9, 0.19)  # of everybody it is within the bound
    assert moves(world, root=tmp_path) == ["hold", "advance", "withdraw"]
    found = guardrail(world)
    assert (found.verdict, found.threshold) == (Verdict.FAIL, 0.0)
    assert found.statistic == pytest.approx(0.2, abs=0.03)
    assert found.interval[0] > 0.1
    assert "where the canary serves" in world.stores.ledger.latest("toy", "withdrawn").payload["words"]
    assert stored_trial_plot(world.stores, "toy") is not None


def test_of_the_whole_service_the_same_is_not_seen(world_with, tmp_path):
    world = world_with(rollout=STAGES, more=WHOLE)
    refunded(world, tmp_path, lambda number, arm: 0.4 if arm == CANARY and number >= 9 else 0.05)
    observed(world, 8, 0.05)
    observed(world, 9, 0.19)
    assert moves(world, root=tmp_path) == ["hold", "advance", "promote"]


@pytest.mark.requirement("D28")
@pytest.mark.parametrize(("signal", "last"), [(BY_ENTITY, "promote"), (WHOLE, "withdraw")])
def test_a_bad_week_for_everybody_is_not_the_canarys_doing(world_with, tmp_path, signal, last):
    world = world_with(rollout=STAGES, more=signal)
    refunded(world, tmp_path, lambda number, arm: 0.5 if number == 9 else 0.05)
    observed(world, 8, 0.05)
    observed(world, 9, 0.5)
    assert moves(world, root=tmp_path) == ["hold", "advance", last]
    if last == "promote":
        found = guardrail(world)
        compared = served(world, 9)["arm"].isin([CANARY, CONTROL]).sum()
        assert (found.verdict, found.n) == (Verdict.INCONCLUSIVE, compared)
        assert found.threshold > 0.1


def test_one_that_breaks_it_alone_by_chance_or_not_is_held(world_with, tmp_path):
    world = world_with(rollout=STAGES.replace("0.2}}", "0.1}}"), more=BY_ENTITY)
    refunded(world, tmp_path, lambda number, arm: 0.18 if arm == CANARY and number >= 9 else 0.09)
    assert moves(world, last=10, root=tmp_path) == ["hold", "advance", "hold"]
    entry = world.stores.ledger.latest("toy", LOOKED)
    assert entry.payload["words"].startswith("cannot tell yet whether guardrail:refunds is broken: refunds is")
    assert guardrail(world).verdict is Verdict.INCONCLUSIVE
    assert live(world, 10, tmp_path).move in ("hold", "withdraw"), "more weeks tell more"


def test_few_entities_and_a_source_that_is_gone_leave_the_whole_service(world_with, tmp_path):
    world = world_with(rollout=STAGES, more=BY_ENTITY)
    refunded(world, tmp_path, lambda number, arm: 1.0 if arm == CANARY else 0.0, 7, 9)
    observed(world, 8, 0.05)
    observed(world, 9, 0.1)
    assert moves(world, root=tmp_path) == ["hold", "advance", "promote"]
    assert "before the change it was 0.05" in guardrail(world).words
    assert guardrail(world).interval is None
