"""The index for Annex IV says of each point where it is answered, and never more than is there."""

import re
from dataclasses import replace

import pytest

from retrain_pipeline.records.audit.annex import FOLDER, POINTS, annex, as_markdown, counted, to_json
from retrain_pipeline.records.audit.look import examined
from retrain_pipeline.records.history import UnknownVersion
from retrain_pipeline_tests.records.audit.test_score import make_rich

HAND = ("1b", "1d", "1f", "1g", "1h", "3c", "5", "7", "8")
"""Points that no store can answer."""


def points(world):
    return {one.number: one for one in annex(examined(world.stores, world.declaration), world.declaration.folder)}


def test_every_section_is_there_in_order(world):
    found = points(world)
    assert list(found) == [one.number for one in POINTS]
    assert sorted({re.match(r"\d", number)[0] for number in found}) == list("123456789")
    assert sum(counted(tuple(found.values())).values()) == len(found)


def test_what_no_store_can_answer_is_missing_until_people_write_it(world):
    for number in HAND:
        assert points(world)[number].status == "missing"
        assert f"{FOLDER}/{number}.md" in points(world)[number].lacking
    folder = world.declaration.folder / FOLDER
    folder.mkdir()
    (folder / "5.md").write_text("To be written.")
    assert points(world)["5"].status == "missing"
    (folder / "5.md").write_text("Every quarter two people go through the list of harms, " * 5)
    found = points(world)["5"]
    assert (found.status, found.lacking) == ("human", "")
    assert found.where[0].file == f"{FOLDER}/5.md"


def test_what_is_generated_names_entries_and_bytes_that_are_there(world):
    entries = {one.seq for one in world.stores.ledger.entries(model="toy")}
    generated = [one for one in points(world).values() if one.status == "generated"]
    assert {"1a", "1c", "2a", "2c", "2g", "3a", "6"} <= {one.number for one in generated}
    for one in generated:
        for where in one.where:
            assert where.seq in entries or where.file
            assert where.digest is None or world.stores.artifacts.get(where.digest)


def test_a_model_with_more_on_record_has_more_answered(world, decide):
    before = counted(tuple(points(world).values()))
    make_rich(world)
    decide("tree-1", more="evaluation_criteria: [mae]\n")
    found = points(world)
    assert found["2b"].status == found["4"].status == "human"
    assert found["2e"].status == found["3d"].status == "generated"
    assert counted(tuple(found.values()))["missing"] < before["missing"]


def test_the_index_is_shown_as_it_is(world):
    found = tuple(points(world).values())
    told = as_markdown("toy", found)
    assert told.count("| missing |") == counted(found)["missing"]
    assert to_json("toy", found)["counts"] == counted(found)
    other = replace(world.declaration, spec=world.declaration.spec.model_copy(update={"name": "other"}))
    with pytest.raises(UnknownVersion):
        examined(world.stores, other)
