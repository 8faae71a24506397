"""Rentals of bikes by the hour: a regression."""

import pytest

from retrain_pipeline_tests.e2e.real_data import check_that_the_loop_keeps_a_model_fresh


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.requirement("A7", "A12", "A14", "A15", "A31", "D1", "D2", "D3", "D11", "D16", "D21")
def test_the_loop_keeps_a_model_fresh_on_real_data(make_real, monkeypatch, tmp_path):
    check_that_the_loop_keeps_a_model_fresh(make_real, "bike_demand", 60, monkeypatch, tmp_path)
