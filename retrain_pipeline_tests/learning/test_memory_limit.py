"""A fit that takes memory without end gets a MemoryError at its budget."""

import resource

import numpy as np
import pytest

from retrain_pipeline.learning.budget import memory_limit
from retrain_pipeline.spec.model import Budget

BUDGET = Budget(peak_rss_mb=600)


@pytest.mark.fault("P7")
def test_more_than_the_whole_budget_anew_is_refused_and_the_limit_is_gone_afterwards():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limit(BUDGET):
        np.empty(400_000_000, dtype="int8")
        with pytest.raises(MemoryError):
            np.empty(700_000_000, dtype="int8")
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    np.empty(700_000_000, dtype="int8")


@pytest.mark.fault("P7")
def test_a_small_budget_leaves_room_for_what_libraries_reserve_and_a_lower_limit_stays():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limit(Budget(peak_rss_mb=1)):
        np.empty(300_000_000, dtype="int8")
    with memory_limit(BUDGET):
        low, _ = resource.getrlimit(resource.RLIMIT_DATA)
        with memory_limit(Budget(peak_rss_mb=50_000)):
            assert resource.getrlimit(resource.RLIMIT_DATA)[0] == low
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
