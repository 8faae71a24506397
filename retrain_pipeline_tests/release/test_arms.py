"""Signals by arm: the errors that are told are those that the router's own lot makes."""

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.release.arms import Told, arms_of
from retrain_pipeline.release.router import Routing, Share

LOTS, CUSTOMERS = 150, 500


@pytest.mark.requirement("D28", "C31")
@pytest.mark.parametrize("aggregate", ["mean", "sum"])
def test_the_lot_moves_the_difference_as_much_as_the_errors_say(aggregate):
    rng, who, value = np.random.default_rng(5), [], []
    for name in range(CUSTOMERS):
        level, visits = rng.lognormal(0, 0.8), rng.poisson(2)
        who += [(f"c{name}",)] * visits
        value += list(level * rng.gamma(2, size=visits))
    told = Told(pd.DataFrame({"entity": who, "value": value}), aggregate, periods=1, hours=168.0)
    apart, errors = [], []
    for lot in range(LOTS):
        canary, control = arms_of(told, Routing("v1", Share("v2", 0.25, f"lot {lot}")))
        apart.append(canary.value - control.value)
        errors.append(np.hypot(canary.se, control.se))
    assert np.std(apart) / np.mean(errors) == pytest.approx(1, abs=0.15)
    assert abs(np.mean(apart)) < 3 * np.mean(errors) / LOTS**0.5
