"""Limitations come from what was measured, and what was not measured is named with its reason."""

import pytest

from retrain_pipeline.insight.effects import Effect
from retrain_pipeline.insight.groups import GroupLine
from retrain_pipeline.insight.limits import Served, limitations, not_measured, served
from retrain_pipeline.insight.measure import Measured, Unmeasured
from retrain_pipeline.insight.ranges import OutOfRange
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.monitoring.staleness import Judged, Staleness
from retrain_pipeline.records.card import write_card
from retrain_pipeline.records.insights import record_insight


def measured(**parts: object) -> Measured:
    return Measured(metric="mae", rows=200, mean_loss=1.0, alpha=0.05, **parts)


def line(value: str, loss: float, low: float, rows: int = 80) -> GroupLine:
    return GroupLine(
        column="shop", value=value, stage="prediction", rows=rows, share=0.4, missing=0.0, loss=loss, loss_low=low,
        loss_high=loss + 1,
    )  # fmt: skip


def test_the_worst_slices_are_named_those_beyond_noise_only():
    lines = (line("north", 1.5, 1.2), line("south", 2.0, 1.4), line("west", 1.4, 0.9), line("tiny", 9.0, 8.0, rows=20))
    found = limitations(measured(groups=lines), Served())
    assert [words.split(":")[0] for words in found] == ["worst where shop is south", "worst where shop is north"]
    assert "mean row loss 2 (at least 1.4) on 80 rows, 1 on all 200" in found[0]


def test_what_harms_and_what_lies_beyond_training_is_named():
    told = {"kind": "without", "words": "better beyond noise", "n": 200, "blocks": 9}
    harmful = Effect(name="wind", difference=-0.2, low=-0.3, high=-0.1, **told)
    open_one = Effect(name="rain", difference=-0.1, low=-0.3, high=0.1, **told)
    beyond = (OutOfRange(feature="temp", share=0.2, rows=40, known="0 to 30"),
              OutOfRange(feature="hum", share=0.005, rows=1, known="0 to 1"))  # fmt: skip
    found = limitations(measured(ablation=(harmful, open_one), out_of_range=beyond), Served())
    assert found == [
        "without wind the refit loses less: -0.2 [-0.3, -0.1]",
        "inputs beyond the training rows: temp in 20.0% of rows (known: 0 to 30)",
    ]


def test_how_it_ages_and_how_far_estimates_were_off_is_told():
    course = Staleness("v", 1.0, tuple(Judged(f"w{at}", 1.0 + at * 0.1, 1.0, 0.04) for at in range(4)))
    seen = Served(course, {"method": "cbpe", "reconciled": 5, "inside": 3})
    ages, blind = limitations(None, seen)
    assert "+0 in w0, +0.3 in w3" in ages
    assert "beyond noise in 3 of 4 periods" in ages
    assert "2 of the 5 newest estimates missed the truth" in blind
    assert "blind to concept drift" in blind
    assert not_measured(measured(), seen) == []


def test_nothing_measured_is_said_with_reasons():
    found = {one.what: one.why for one in not_measured(None, Served())}
    assert found["importances, ablation and groups"] == "no measurement of this version is on record"
    assert found["how it ages"] == "no period since its release has its labels yet"
    assert "label-free" in " ".join(found)
    trouble = not_measured(measured(), Served(Staleness("v", 0.0, trouble="twins do not fit")))
    assert {one.what: one.why for one in trouble}["how it ages"] == "twins do not fit"
    own = (Unmeasured(what="ablation", why="not due"),)
    assert not_measured(measured(not_measured=own), Served())[0] == own[0]
    assert limitations(None, Served()) == []


@pytest.mark.requirement("A16", "D30")
def test_a_card_carries_what_was_measured(bench):
    world = bench.world
    stores, first = world.stores, world.build(6)
    second = world.build(7, parent=first)
    bare = write_card(stores, world.declaration, second).document
    assert "no measurement of this version is on record" in {one["why"] for one in bare["not_measured"]}
    assert bare["measurements"] is None
    record = record_insight(stores, world.declaration, second, actor="test")
    course = Staleness(second, 1.0, (Judged("2024-02-19", 1.5, 1.0, 0.1),)).to_json()
    payload = {"period": "2024-02-19", "as_of": "2024-02-26T00:00:00+00:00", "champion": second, "staleness": course}
    stores.ledger.append(NewEntry("test", "monitored", "toy", payload=payload))
    assert served(stores.ledger, "toy", second).staleness.judged[0].champion == 1.5
    assert served(stores.ledger, "toy", first) == Served()
    card = write_card(stores, world.declaration, second)
    again = write_card(stores, world.declaration, second)
    assert (card.markdown, card.json) == (again.markdown, again.json)
    section = card.document["measurements"]
    document = stores.artifacts.get_json(section["record"])
    assert document["schema"] == "insight/1"
    for number in section["numbers"]:
        at = document
        for step in number["pointer"].removeprefix("insight.json#/").split("/"):
            at = at[int(step)] if isinstance(at, list) else at[step]
        assert at == number["value"]
    assert any("by data" in number["name"] for number in section["numbers"])
    assert record.measured.split.old == first
    assert any(words.startswith("ages:") for words in card.document["limitations_from_evidence"])
    text = stores.artifacts.get(card.markdown).decode()
    assert "Measured after the release" in text
    assert "change of mae since" in text
