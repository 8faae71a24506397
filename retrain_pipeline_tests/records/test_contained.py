"""Which versions learned from a row, by its key."""

import pytest

from retrain_pipeline.records.contained import KeyRefused, where
from retrain_pipeline_tests.gates.world import versions


@pytest.mark.requirement("D46")
@pytest.mark.fault("G27")
def test_versions_that_learned_from_a_row_are_named(world):
    first, second, third = versions(world)
    early = f"t{10:05d}"  # an hour of the first week: in the training rows of all
    rows, found = where(world.stores, world.declaration.spec, {"id": early})
    assert rows == 1
    assert [(one.version, one.learned, one.judged, one.role) for one in found] == [
        (first, 1, 0, "serves"),
        (second, 1, 0, "serves nobody"),
        (third, 1, 0, "serves nobody"),
    ]
    late = f"t{7 * 168 + 5:05d}"  # the eighth week: only the newest was judged on it
    _, found = where(world.stores, world.declaration.spec, {"id": late})
    assert [(one.version, one.learned, one.judged) for one in found] == [(third, 0, 1)]
    assert where(world.stores, world.declaration.spec, {"id": "t99999"}) == (0, [])


@pytest.mark.parametrize("key", [{}, {"a": "1"}])
def test_what_is_no_key_is_refused(world, key):
    with pytest.raises(KeyRefused, match=r"data\.key \(id\)"):
        where(world.stores, world.declaration.spec, key)
