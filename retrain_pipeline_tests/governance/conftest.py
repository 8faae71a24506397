"""A copy of the world in which releases need a person, for each test."""

import pytest

from retrain_pipeline_tests.governance.asking import make_asking


@pytest.fixture
def asking(request, tmp_path, monkeypatch):
    """Keys and roles of four people, and a version that waits."""
    (tmp_path / "policy").mkdir()
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    # A module that has a fixture `ledger_place` runs on each of its places.
    place = request.getfixturevalue("ledger_place") if "ledger_place" in request.fixturenames else None
    made = make_asking(tmp_path, ledger_url=place)
    # What runs the tests is a machine to the roles, and machines may release.
    yield made
    made.world.stores.close()
